//! Whom this board believes, and what it remembers of what they said. Loaded once for each look at the source, changed in memory while
//! releases are weighed, and written once: nothing that was refused is ever kept.

use std::path::Path;

use chrono::{DateTime, Utc};
use semver::Version;

use super::Trip;
use crate::device::{Layout, Settings};
use crate::error::{Doing, Error, Result};
use crate::plan::decide::Installed;
use crate::release::keyset::{KEYS_MAX, KeySet};
use crate::release::manifest::SignedStep;
use crate::release::rollout::{self, Turn};
use crate::release::signature::Signed;
use crate::release::{Digest, Manifest, PublicKey, steps};
use crate::source::Offer;
use crate::state::Ledger;
use crate::state::trust::Adopted;
use crate::trust::{Expiry, Offered, Refusal, Standing, Sync, Time};
use crate::world::{Disk, World, durable};

/// Largest key file that is read, bytes.
const KEY_MAX: u64 = 4 << 10;

/// A release that is believed, and what follows from that.
#[derive(Debug, Clone)]
pub struct Believed {
    /// The release.
    pub offer: Offer,
    /// Who signed it.
    pub signed: Vec<Signed>,
    /// What should be known before one says yes.
    pub doubts: Vec<String>,
    /// The highest version that is still good, if the installed one was taken back.
    pub takes_back: Option<Version>,
}

/// What this board believes.
#[derive(Debug, Clone)]
pub struct Belief {
    /// Whether what nobody signed is refused.
    pub required: bool,
    /// The keys that count, and how many of them must sign; or why there are none.
    pub keys: Result<KeySet, String>,
    /// Whether they were adopted from a release, rather than put into the folder by a person.
    pub adopted: bool,
    /// The memory.
    pub ledger: Ledger,
    /// What time it is, as far as that can be told.
    pub time: Time,
    /// What is wrong with the folder of keys.
    pub troubles: Vec<String>,
    /// What tells this board from others; none if nothing does.
    board: Option<String>,
    product: String,
    channel: String,
    in_folder: Vec<PublicKey>,
    folder: Digest,
    as_saved: Ledger,
}

impl Belief {
    /// Reads keys and memory.
    ///
    /// # Errors
    /// The memory cannot be read: nothing is believed on a guess.
    pub fn load(world: World, settings: &Settings) -> Result<Self> {
        let (disk, layout) = (world.disk, &settings.layout);
        let ledger = Ledger::load(disk, layout)?;
        let (in_folder, troubles) = read_folder(disk, &settings.trust.keys);
        let folder = folder_digest(&in_folder, settings.trust.threshold);
        // a folder that cannot be read whole says nothing: neither that a person changed it, nor whose releases to believe
        let adopted = ledger.keys.as_ref().filter(|a| a.folder == folder && troubles.is_empty()).and_then(key_set);
        let by_hand = || match in_folder.is_empty() {
            _ if !troubles.is_empty() => Err(troubles.join("; ")),
            true => Err(format!("there is no public key in {}", settings.trust.keys.display())),
            false => KeySet::new(1, in_folder.clone(), settings.trust.threshold).map_err(|e| format!("{}: {e}", settings.trust.keys.display())),
        };
        let time = Time { now: world.clock.now(), sync: sync(disk, layout), known: ledger.learned.time };
        let mut belief = Belief {
            required: settings.trust.required,
            adopted: adopted.is_some(),
            keys: adopted.map_or_else(by_hand, Ok),
            as_saved: ledger.clone(),
            ledger,
            time,
            troubles,
            board: identity(disk, layout),
            product: settings.product.clone(),
            channel: settings.channel.clone(),
            in_folder,
            folder,
        };
        if !belief.adopted && belief.keys.is_ok() {
            belief.ledger.keys = None;
        }
        belief.retire();
        Ok(belief)
    }

    /// The keys that count.
    pub fn trusted(&self) -> &[PublicKey] {
        self.keys.as_ref().map_or(&[], KeySet::keys)
    }

    /// The keys that a person put into the folder.
    pub fn in_folder(&self) -> &[PublicKey] {
        &self.in_folder
    }

    /// What only keys told that are trusted no more is forgotten.
    fn retire(&mut self) {
        if let Ok(keys) = &self.keys {
            self.ledger.learned.retire(keys.keys());
        }
    }

    /// Whether the right keys signed these exact bytes; who did. Adopts the keys that `steps` lead to, if the keys before them say so:
    /// that holds whatever becomes of this manifest. `what` names it in messages. Nothing of it was read yet.
    ///
    /// # Errors
    /// It is not signed, or not by enough of the right keys.
    pub fn signed(&mut self, what: &str, bytes: &[u8], signatures: Option<&[u8]>, chain: &[SignedStep]) -> Result<Vec<Signed>> {
        if !self.required {
            return Ok(Vec::new());
        }
        let keys = self.keys.clone().map_err(|why| {
            Error::verification(format!("{what} cannot be believed: {why}"))
                .hint("copy the maintainer's .pub file there; on a network you trust, trust.required = false does without")
        })?;
        let walked = steps::walk(&keys, &self.product, chain);
        let moved = walked.set.version() > keys.version() && !walked.set.same(&keys);
        let keys = walked.set;
        if moved {
            self.adopt(keys.clone());
        }
        let Some(signatures) = signatures else {
            return Err(Error::verification(format!("{what} is not signed, and trust.required is true"))
                .hint("ask the maintainer to sign it; on a network you trust, trust.required = false does without"));
        };
        keys.verify(bytes, signatures).map_err(|why| {
            let trusted: Vec<String> = keys.keys().iter().map(|k| k.id().to_string()).collect();
            let mut words = format!("{what} is not signed by whom this device trusts ({}): {why}", trusted.join(", "));
            if let Some(stopped) = walked.stopped {
                words.push_str(&format!("; {stopped}"));
            }
            Error::verification(words)
                .hint("it is damaged, or somebody else's, or the maintainer has other keys now: compare those they publish with those that `pikit-updater status` names")
        })
    }

    fn adopt(&mut self, set: KeySet) {
        let named = set.named(None);
        self.ledger.keys = Some(Adopted { version: named.version, keys: named.keys, threshold: named.threshold, folder: self.folder });
        (self.keys, self.adopted) = (Ok(set), true);
        self.ledger.learned.forget_dates();
        self.retire();
    }

    /// Weighs a manifest whose signatures hold.
    ///
    /// # Errors
    /// It has expired, is older than what was seen, was taken back, or is another release than was offered under its version.
    pub fn weigh(&mut self, offered: &Offered) -> Result<(), Refusal> {
        // without signatures there is nobody to hold to what was said before
        let offered = Offered { lower: offered.lower || !self.required, ..*offered };
        let trusted = self.trusted().to_vec();
        self.ledger.learned.weigh(&offered, &Standing { channel: &self.channel, keys: &trusted, time: self.time })
    }

    /// Remembers a release that this device may install.
    pub fn accept(&mut self, offered: &Offered) {
        let trusted = self.trusted().to_vec();
        self.ledger.learned.accept(offered, &Standing { channel: &self.channel, keys: &trusted, time: self.time });
        self.learn_time(offered.manifest.released);
    }

    /// Remembers what time it is at least: a confirmed clock corrects what was remembered, also when nothing is offered.
    pub fn learn_time(&mut self, signed: Option<DateTime<Utc>>) {
        if let Some(time) = self.time.learn(signed) {
            self.ledger.learned.time = Some(time);
        }
    }

    /// The highest version that is still good, if the installed one was taken back.
    pub fn takes_back(&self, installed: &Installed) -> Option<Version> {
        self.ledger.learned.takes_back(installed.version.as_ref()?, installed.released).cloned()
    }

    /// What speaks against installing a release by itself, and should be said to whoever is asked: that the clock is not set, that it is not
    /// this board's turn. What takes the installed release back waits for no turn.
    pub fn doubts(&self, manifest: &Manifest, takes_back: bool) -> Vec<String> {
        let now = self.time.now.format("%Y-%m-%d %H:%M UTC");
        let untold = (self.time.expiry(manifest.expires) == Expiry::CannotTell)
            .then(|| format!("the clock of this board is not set (it says {now}), so whether {} has expired cannot be told", manifest.version));
        untold.into_iter().chain(self.not_yet(manifest).filter(|_| !takes_back)).collect()
    }

    /// Why a release that comes in waves does not come to this board now.
    fn not_yet(&self, manifest: &Manifest) -> Option<String> {
        let (rollout, version) = (manifest.rollout.as_ref()?, &manifest.version);
        // a board that nothing tells from others goes last
        let place = self.board.as_ref().map_or(99, |board| rollout::place(board, &self.product, version));
        match rollout.turn(place, manifest.released, self.time.now) {
            Turn::Now => None,
            Turn::At(at) => Some(format!("{version} comes to boards in waves, to this one on {}", at.format("%Y-%m-%d at %H:%M UTC"))),
            Turn::Never => Some(format!("{version} comes to some boards only, and not to this one")),
        }
    }

    /// Writes down what is new, if the trip may write. Without signatures nothing is remembered: whoever said it may have been anybody.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&mut self, trip: &Trip) -> Result<()> {
        if self.ledger == self.as_saved || trip.locked.is_none() || !self.required {
            return Ok(());
        }
        let (disk, layout) = (trip.world.disk, &trip.settings.layout);
        durable::make_dirs(disk, &layout.state_dir(), 0o755).doing(|| format!("making {}", layout.state_dir().display()))?;
        self.ledger.save(disk, layout)?;
        self.as_saved = self.ledger.clone();
        Ok(())
    }
}

/// Whether a time server has confirmed the clock in this boot: systemd-timesyncd leaves a file (systemd-timesyncd.service(8)).
pub fn sync(disk: &dyn Disk, layout: &Layout) -> Sync {
    let there = |path: &Path| matches!(disk.meta(path), Ok(Some(_)));
    match (there(&layout.timesync_done()), there(&layout.timesync())) {
        (true, _) => Sync::Confirmed,
        (false, true) => Sync::Pending,
        (false, false) => Sync::Untold,
    }
}

/// What tells this board from others (machine-id(5)).
fn identity(disk: &dyn Disk, layout: &Layout) -> Option<String> {
    let bytes = durable::read(disk, &layout.machine_id(), KEY_MAX).ok()??;
    let id = String::from_utf8(bytes).ok()?.trim().to_owned();
    Some(id).filter(|id| id.len() == 32)
}

/// The keys in the folder, sorted and each once, and what is wrong with it.
fn read_folder(disk: &dyn Disk, folder: &Path) -> (Vec<PublicKey>, Vec<String>) {
    let (mut keys, mut troubles) = (Vec::<PublicKey>::new(), Vec::new());
    let names = match disk.list(folder) {
        Ok(names) => names,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return (keys, troubles),
        Err(e) => return (keys, vec![format!("{}: {e}", folder.display())]),
    };
    for name in names.iter().filter(|n| Path::new(n).extension().is_some_and(|e| e == "pub")).take(KEYS_MAX) {
        let path = folder.join(name);
        let text = durable::read(disk, &path, KEY_MAX).map_err(|e| e.to_string()).map(Option::unwrap_or_default);
        match text.and_then(|bytes| PublicKey::parse(&String::from_utf8_lossy(&bytes))) {
            Ok(key) if !keys.contains(&key) => keys.push(key),
            Ok(_) => {}
            Err(e) => troubles.push(format!("{}: {e}", path.display())),
        }
    }
    keys.sort_by(|a, b| a.line().cmp(b.line()));
    (keys, troubles)
}

/// What a person decided: other keys, or another threshold, and what was adopted since is forgotten.
fn folder_digest(keys: &[PublicKey], threshold: usize) -> Digest {
    let lines: Vec<&str> = keys.iter().map(PublicKey::line).collect();
    Digest::of(format!("{threshold}\n{}", lines.join("\n")).as_bytes())
}

/// Keys as they were adopted; none if they make no set that could ever sign.
fn key_set(adopted: &Adopted) -> Option<KeySet> {
    let keys: Option<Vec<PublicKey>> = adopted.keys.iter().map(|line| PublicKey::parse(line).ok()).collect();
    KeySet::new(adopted.version, keys?, adopted.threshold).ok()
}
