//! Where the updater's own files lie. `--root DIR` puts all of them under DIR.

use std::path::{Path, PathBuf};

/// All paths of the updater below one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    /// Where to, if not to the usual place, what is fetched goes.
    fetched_apart: bool,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => { impl Layout { $($(#[$doc])* pub fn $name(&self) -> PathBuf { self.root.join($path) })* } };
}
paths! {
    /// The config.
    config = "etc/pikit/updater.toml";
    /// Current version, one line.
    version = "etc/pikit/version";
    /// The updater's memory.
    state_dir = "var/lib/pikit-update";
    /// The one truth that status, API and UI show.
    state = "var/lib/pikit-update/state.json";
    /// The installed manifest, byte for byte.
    installed = "var/lib/pikit-update/installed.json";
    /// The offered manifest of the last check, byte for byte, and what the source said about it.
    offered = "var/lib/pikit-update/offered.json";
    /// The updater itself was replaced, and the new one has not proven itself yet.
    self_update = "var/lib/pikit-update/self-update";
    /// The same, once the old one was put back.
    self_update_returned = "var/lib/pikit-update/self-update.returned";
    /// The running transaction.
    journal = "var/lib/pikit-update/journal.json";
    /// What belongs to the running transaction.
    transaction = "var/lib/pikit-update/transaction";
    /// One line a transaction.
    history = "var/lib/pikit-update/history.jsonl";
    /// What somebody else was told already.
    notified = "var/lib/pikit-update/notified.json";
    /// One file a transaction.
    logs = "var/lib/pikit-update/log";
    /// Quarantine, version floor, adopted keys: the newer generation.
    trust = "var/lib/pikit-update/trust.json";
    /// The generation before it.
    trust_previous = "var/lib/pikit-update/trust.previous.json";
    /// How far the running transaction is; in memory on a real board, so that telling it costs the card nothing.
    progress = "run/pikit-update/progress.json";
    /// What the API and the side that may change things tell each other; in memory on a real board.
    run_dir = "run/pikit-update";
    /// The folder of the request that waits; the API's user may write there.
    requests = "run/pikit-update/requests";
    /// How the last request ended.
    answer = "run/pikit-update/answer.json";
    /// The plan of the last check, in full.
    planned = "run/pikit-update/plan.json";
    /// Space kept for the records of a rollback on a full disk.
    reserve = "var/lib/pikit-update/reserve";
    /// Backups.
    backups = "var/backups/pikit";
    /// Edited copies that a repair put aside.
    edited = "var/backups/pikit/edited";
    /// systemd-timesyncd is at work here.
    timesync = "run/systemd/timesync";
    /// It has asked a time server in this boot.
    timesync_done = "run/systemd/timesync/synchronized";
    /// The lock.
    lock = "var/run/pikit-update.lock";
}

impl Layout {
    /// The layout below this root; `/` for a real device.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Layout { root: root.into(), fetched_apart: false }
    }
    /// The same, with what is fetched below the updater's memory: everybody may make folders where it usually goes.
    pub fn with_fetched_apart(self) -> Self {
        Layout { fetched_apart: true, ..self }
    }
    /// What was fetched and is not used yet, a folder a version.
    pub fn fetched(&self) -> PathBuf {
        self.root.join(if self.fetched_apart { "var/lib/pikit-update/fetched" } else { "var/tmp/pikit-update" })
    }
    /// Where the API puts a bundle that somebody sent it.
    pub fn uploads(&self) -> PathBuf {
        self.fetched().join("upload")
    }
    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// A path of the config below the root: `/var/www` becomes `ROOT/var/www`.
    pub fn rooted(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
    /// What tells this machine from others, also without this program: machine-id(5).
    pub fn machine_id(&self) -> PathBuf {
        self.rooted(Path::new("/etc/machine-id"))
    }
    /// The log of one transaction.
    pub fn log(&self, transaction: &str) -> PathBuf {
        self.logs().join(format!("{transaction}.log"))
    }
    /// What was fetched of one version.
    pub fn fetched_of(&self, version: &semver::Version) -> PathBuf {
        self.fetched().join(version.to_string())
    }
}
