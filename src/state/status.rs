//! `state.json`: the one truth that status, API and UI show. Keys are only ever added.

use std::path::Path;

use chrono::{DateTime, Utc};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::device::Layout;
use crate::error::{Doing, Result};
use crate::event::{Outcome, Phase};
use crate::plan::{Action, Counts};
use crate::release::Digest;
use crate::release::earlier::Earlier;
use crate::release::signature::Signed;
use crate::world::{Disk, durable};

/// Format of the state.
pub const SCHEMA: u32 = 1;
/// Largest state file that is read, bytes.
const SIZE_MAX: u64 = 32 << 20;

/// The state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Format.
    pub schema: u32,
    /// Installed version.
    pub current: Option<Version>,
    /// Highest version the source offers this device.
    pub latest: Option<Version>,
    /// Whether `latest` can be installed and is not yet.
    pub update_available: bool,
    /// The offered release, when there is one to install.
    pub available: Option<Available>,
    /// When the source was last asked with success.
    pub last_check: Option<DateTime<Utc>>,
    /// Why the last check failed, if it did.
    pub last_check_error: Option<String>,
    /// How the last transaction ended.
    pub last_result: Option<LastResult>,
    /// The running transaction.
    pub progress: Option<Progress>,
    /// Where the newest backup lies.
    pub backup_path: Option<String>,
    /// Backups, newest first.
    pub backups: Vec<BackupLine>,
    /// What the timer does.
    pub auto: Auto,
    /// Versions that automatic mode passes over.
    pub skipped: Vec<Version>,
    /// Releases that failed here.
    pub quarantined: Vec<Quarantined>,
    /// Listed files that differed when last verified.
    pub drift: Option<usize>,
    /// When that was.
    pub last_verify: Option<DateTime<Utc>>,
    /// Whether signatures are required; false is said everywhere.
    pub signed: bool,
    /// This program.
    pub updater: Updater,
}

/// The offered release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Available {
    /// Its version.
    pub version: Version,
    /// Digest of its manifest: what is consented to.
    pub manifest_sha256: Digest,
    /// When it was released.
    pub released: Option<DateTime<Utc>>,
    /// Where to read about it.
    pub changelog: Option<String>,
    /// Markdown.
    pub notes: Option<String>,
    /// Bytes to fetch, if known.
    pub download_bytes: Option<u64>,
    /// Whether it may be fewer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub download_at_most: bool,
    /// What it would do.
    pub plan: Counts,
    /// Units it would restart or reload.
    #[serde(default)]
    pub services: Vec<String>,
    /// Whether a backup would be made.
    #[serde(default)]
    pub backup: bool,
    /// How long services will be away, seconds, if they will and if that is known: as long as the last time.
    #[serde(default)]
    pub expected_offline_seconds: Option<f64>,
    /// What the releases between the installed one and this one said, newest first.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
    /// Who signed it, and what they said with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed: Vec<Signed>,
    /// What should be known before one says yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// The installed version, if its maintainer took it back: this one is offered in its place, and may be lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<Version>,
    /// Why it cannot be installed here; empty when it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
}

/// How the last transaction ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastResult {
    /// Its id.
    pub transaction: String,
    /// What it was for.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Version before.
    pub from: Option<Version>,
    /// Version it went for.
    pub to: Option<Version>,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// From the first rename to the verdict that services are back.
    pub offline_seconds: f64,
    /// Exit code.
    pub code: u8,
    /// Why it ended so, if it did not end well.
    pub reason: Option<String>,
}

/// The running transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Its id.
    pub transaction: String,
    /// What it is for: `check`, or the action of the transaction; none while that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Where it is.
    pub phase: Phase,
    /// 0 to 100.
    pub percent: u8,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes in all in this phase; 0: not known.
    pub bytes_total: u64,
    /// What is being done.
    pub message: String,
    /// When it began.
    pub started: DateTime<Utc>,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupLine {
    /// Name of its folder; `rollback NAME` takes it.
    pub name: String,
    /// The version it returns to; none: what was there before any release.
    pub version: Option<Version>,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Bytes it holds.
    pub bytes: u64,
}

/// What the timer does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auto {
    /// `off`, `check` or `install`.
    pub mode: String,
    /// Local time.
    pub at: String,
    /// When next, if known.
    pub next: Option<DateTime<Utc>>,
    /// Whether a timer of systemd starts it; otherwise nothing does by itself.
    #[serde(default)]
    pub timer: bool,
}

/// A release that failed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its version.
    pub version: Version,
    /// Digest of its manifest.
    pub manifest_sha256: Option<Digest>,
    /// Digest of its file list: signing it again does not bring it back.
    pub content: Digest,
    /// What failed.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// This program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updater {
    /// Its version.
    pub version: String,
}

impl Default for State {
    fn default() -> Self {
        State {
            schema: SCHEMA,
            current: None,
            latest: None,
            update_available: false,
            available: None,
            last_check: None,
            last_check_error: None,
            last_result: None,
            progress: None,
            backup_path: None,
            backups: Vec::new(),
            auto: Auto { mode: "check".into(), at: "04:20".into(), next: None, timer: false },
            skipped: Vec::new(),
            quarantined: Vec::new(),
            drift: None,
            last_verify: None,
            signed: true,
            updater: Updater { version: env!("CARGO_PKG_VERSION").into() },
        }
    }
}

impl Progress {
    /// How far the running transaction is, if there is one and it can be read.
    pub fn load(disk: &dyn Disk, layout: &Layout) -> Option<Self> {
        let bytes = durable::read(disk, &layout.progress(), 64 << 10).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
    /// Tells it. Not durable and never a failure: it is a view, the truth is the journal.
    pub fn tell(&self, disk: &dyn Disk, layout: &Layout) {
        let bytes = serde_json::to_vec(self).expect("progress is plain data");
        let _ = durable::tell(disk, &layout.progress(), &bytes);
    }
    /// Forgets it.
    pub fn forget(disk: &dyn Disk, layout: &Layout) {
        let _ = durable::remove(disk, &layout.progress());
    }
}

/// A state as read, with what to say about the file.
pub struct Loaded {
    /// The state; the default one if there is no good one.
    pub state: State,
    /// Why the file was not taken, if it was there and was not.
    pub trouble: Option<String>,
    /// A newer updater wrote it: it is left alone. What of it is understood is in `state`, for whoever only looks.
    pub newer: bool,
}

impl State {
    /// Reads the state. A damaged file is not taken, one of a newer format is only to be looked at: see [`Loaded::trouble`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(disk: &dyn Disk, layout: &Layout) -> Result<Loaded> {
        let path = layout.state();
        let Some(bytes) = durable::read(disk, &path, SIZE_MAX).doing(|| format!("reading {}", path.display()))? else {
            let state = State { progress: Progress::load(disk, layout), ..State::default() };
            return Ok(Loaded { state, trouble: None, newer: false });
        };
        #[derive(Deserialize)]
        struct Peek {
            schema: u32,
        }
        if let Ok(Peek { schema }) = serde_json::from_slice::<Peek>(&bytes)
            && schema > SCHEMA
        {
            let trouble = format!("{} was {}", path.display(), crate::record::RecordError::Newer(schema));
            return Ok(Loaded { state: serde_json::from_slice(&bytes).unwrap_or_default(), trouble: Some(trouble), newer: true });
        }
        let trouble = match serde_json::from_slice::<State>(&bytes) {
            Ok(mut state) => {
                state.progress = Progress::load(disk, layout);
                return Ok(Loaded { state, trouble: None, newer: false });
            }
            Err(e) => format!("{} is damaged ({e})", path.display()),
        };
        Ok(Loaded { state: State::default(), trouble: Some(trouble), newer: false })
    }
    /// Writes the state durably; how far a transaction is has its own file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, disk: &dyn Disk, layout: &Layout) -> Result<()> {
        let mut bytes = serde_json::to_vec(&State { progress: None, ..self.clone() }).expect("a state is plain data");
        bytes.push(b'\n');
        save(disk, layout, &layout.state(), &bytes)
    }
}

/// Writes one of our own records durably; on a full disk the reserve is given up for it, which is what it is for.
///
/// # Errors
/// The file cannot be written.
pub fn save(disk: &dyn Disk, layout: &Layout, path: &Path, bytes: &[u8]) -> Result<()> {
    save_with(disk, layout, path, &|to| to.write_all(bytes))
}

/// The same for what is written piece by piece.
///
/// # Errors
/// As for [`save`].
pub fn save_with(disk: &dyn Disk, layout: &Layout, path: &Path, write: &durable::Write) -> Result<()> {
    match durable::save_with(disk, path, 0o644, write) {
        Err(e) if e.kind() == std::io::ErrorKind::StorageFull && disk.unlink(&layout.reserve()).is_ok() => durable::save_with(disk, path, 0o644, write),
        other => other,
    }
    .doing(|| format!("writing {}", path.display()))
}
