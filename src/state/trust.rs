//! What this board trusts and distrusts: releases that failed here, what was learned from signed manifests, keys that were adopted. Two
//! checksummed generations, so that a torn or worn card cannot forget it; with both unreadable, installs are refused.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::status::Quarantined;
use crate::device::Layout;
use crate::error::{Doing, Error, Result};
use crate::record::{self, RecordError};
use crate::release::Digest;
use crate::trust::Learned;
use crate::world::{Disk, durable};

/// Format of the record.
pub const SCHEMA: u32 = 1;
/// Largest record that is read, bytes.
const SIZE_MAX: u64 = 4 << 20;
/// Most releases remembered; the oldest go first.
const QUARANTINE_MAX: usize = 64;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Counts the writes; the higher generation is the newer one.
    #[serde(default)]
    pub generation: u64,
    /// Releases that failed here.
    #[serde(default)]
    pub quarantine: Vec<Quarantined>,
    /// What signed manifests told.
    #[serde(default)]
    pub learned: Learned,
    /// Keys that took the place of those in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Adopted>,
    /// Fields of newer updaters, kept as they are.
    #[serde(flatten)]
    pub others: serde_json::Map<String, serde_json::Value>,
}

/// Keys that a signed step named. They replace the folder, because a union would keep the key that was changed for a reason; until a
/// person changes the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Which step.
    pub version: u64,
    /// The keys, as minisign writes them.
    pub keys: Vec<String>,
    /// How many of them must sign.
    pub threshold: usize,
    /// What the folder held then.
    pub folder: Digest,
}

impl Ledger {
    /// Reads the newer generation that is whole.
    ///
    /// # Errors
    /// Files are there and none can be read: verification, because nothing may be installed on a guess. A newer updater wrote one: exit 7.
    pub fn load(disk: &dyn Disk, layout: &Layout) -> Result<Self> {
        let mut best: Option<Ledger> = None;
        let mut trouble = None;
        for path in [layout.trust(), layout.trust_previous()] {
            let Some(bytes) = durable::read(disk, &path, SIZE_MAX).doing(|| format!("reading {}", path.display()))? else { continue };
            match record::open_record::<Ledger>(&bytes, SCHEMA) {
                Ok(found) if best.as_ref().is_none_or(|b| b.generation < found.generation) => best = Some(found),
                Ok(_) => {}
                // the older generation beside it would be a guess: what the newer one distrusts is not in it
                Err(e @ RecordError::Newer(_)) => return Err(record::held(format!("{} was {e}", path.display()))),
                Err(e) => trouble = Some(format!("{}: {e}", path.display())),
            }
        }
        match (best, trouble) {
            (Some(best), _) => Ok(best),
            (None, None) => Ok(Ledger::default()),
            (None, Some(trouble)) => Err(Error::verification(format!("the memory of what is trusted and what failed here cannot be read: {trouble}"))
                .hint(format!("nothing is installed on a guess; `rollback` works; to start afresh remove {} and its .previous", layout.trust().display()))),
        }
    }
    /// Writes it durably; the generation before it stays beside it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&mut self, disk: &dyn Disk, layout: &Layout) -> Result<()> {
        if let Some(current) = durable::read(disk, &layout.trust(), SIZE_MAX).doing(|| "reading the memory of what is trusted".into())?
            && record::open_record::<Ledger>(&current, SCHEMA).is_ok()
        {
            super::status::save(disk, layout, &layout.trust_previous(), &current)?;
        }
        self.generation += 1;
        super::status::save(disk, layout, &layout.trust(), &record::seal_record(SCHEMA, self))
    }
    /// Why this content is distrusted, if it is.
    pub fn reason(&self, content: &Digest) -> Option<&str> {
        self.quarantine.iter().find(|q| q.content == *content).map(|q| q.reason.as_str())
    }
    /// Remembers a release that failed.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn add(&mut self, disk: &dyn Disk, layout: &Layout, failed: Quarantined) -> Result<()> {
        if self.reason(&failed.content).is_some() {
            return Ok(());
        }
        self.quarantine.push(failed);
        let from = self.quarantine.len().saturating_sub(QUARANTINE_MAX);
        self.quarantine.drain(..from);
        self.save(disk, layout)
    }
    /// Forgets what a confirmed release makes pointless: itself and everything below it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn confirmed(&mut self, disk: &dyn Disk, layout: &Layout, version: &Version, content: &Digest) -> Result<()> {
        self.forgive(disk, layout, |q| q.version <= *version || q.content == *content).map(drop)
    }
    /// Forgets the failures of some releases; tells whether there were any.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn forgive(&mut self, disk: &dyn Disk, layout: &Layout, whom: impl Fn(&Quarantined) -> bool) -> Result<bool> {
        let before = self.quarantine.len();
        self.quarantine.retain(|q| !whom(q));
        if self.quarantine.len() == before { Ok(false) } else { self.save(disk, layout).map(|()| true) }
    }
}
