//! The staged tree of a managed folder: everything that stays is linked in, so that nothing is written twice and what belongs to a
//! person keeps its inode.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::begin::{PLAN_MAX, PLAN_SCHEMA, Tx};
use super::{Trip, survey};
use crate::error::{Doing, Error, Result};
use crate::plan::{Change, Planned};
use crate::record;
use crate::state::status;
use crate::world::{Kind, Meta, durable};

/// What was linked into the staged trees although no manifest lists it: by managed path, then by the path inside.
/// What differs from it later was saved while the update ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clone {
    /// Entries by index of the managed path.
    pub units: BTreeMap<usize, BTreeMap<String, Linked>>,
}

impl Clone {
    /// What was cloned into the staged trees.
    ///
    /// # Errors
    /// The record is missing or damaged.
    pub fn load(trip: &Trip) -> Result<Self> {
        let path = trip.settings.layout.transaction().join("clone.json");
        let bytes = durable::read(trip.world.disk, &path, PLAN_MAX).doing(|| format!("reading {}", path.display()))?;
        let bytes = bytes.ok_or_else(|| Error::stuck(format!("{} is missing", path.display())))?;
        record::open_record(&bytes, PLAN_SCHEMA).map_err(|e| Error::stuck(format!("{}: {e}", path.display())))
    }
    /// Writes what was cloned into the staged trees; synced with them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, trip: &Trip) -> Result<()> {
        let path = trip.settings.layout.transaction().join("clone.json");
        status::save(trip.world.disk, &trip.settings.layout, &path, &record::seal_record(PLAN_SCHEMA, self))
    }
}

/// One entry as it was linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// What it was.
    pub kind: Kind,
    /// Its inode.
    pub ino: u64,
}

/// A managed folder cannot be exchanged: it must go file by file.
#[derive(Debug)]
pub struct Refused {
    /// Index of the managed path.
    pub unit: usize,
    /// Why.
    pub why: String,
}

/// Why a tree was not cloned.
pub enum CloneError {
    /// It must go file by file.
    Refused(Refused),
    /// It failed.
    Failed(Error),
}

impl From<Error> for CloneError {
    fn from(e: Error) -> Self {
        CloneError::Failed(e)
    }
}

/// A name as text that can be turned back: a byte that is no UTF-8 is written as NUL, which no name has, and two digits.
pub fn spell(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\0{byte:02x}")));
    }
    text
}

/// The path of which [`spell`] made the text.
pub fn unspell(path: &str) -> PathBuf {
    let mut parts = path.split('\0');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(byte, 16));
        bytes.extend(rest.as_bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

struct Walk<'w, 'a> {
    trip: &'w mut Trip<'a>,
    unit: usize,
    dev: u64,
    files: BTreeMap<&'w str, &'w Planned>,
    linked: BTreeMap<String, Linked>,
}

/// Links what stays of a live folder into its staged tree and gives the staged folders the owners and modes of the live ones.
///
/// # Errors
/// See [`CloneError`]; a file that changed since it was looked at ends the run before anything changed.
pub fn folder(trip: &mut Trip, tx: &Tx, unit: usize, live: &Path, staged: &Path) -> Result<BTreeMap<String, Linked>, CloneError> {
    let disk = trip.world.disk;
    let Some(root) = disk.meta(live).doing(|| format!("looking at {}", live.display()))? else {
        // a first install has no live folder to take owner and mode from
        let above = live.parent().map(|p| disk.meta(p)).transpose().doing(|| format!("looking above {}", live.display()))?.flatten();
        let (uid, gid) = above.map_or((0, 0), |m| (m.uid, m.gid));
        disk.own_dir(staged, uid, gid, 0o755).doing(|| format!("making {}", staged.display()))?;
        return Ok(BTreeMap::new());
    };
    let files = tx.plan.of_unit(unit).map(|f| (f.inside(), f)).collect();
    let mut walk = Walk { trip, unit, dev: root.dev, files, linked: BTreeMap::new() };
    walk.dir(live, staged, "", &root)?;
    Ok(walk.linked)
}

impl Walk<'_, '_> {
    fn dir(&mut self, live: &Path, staged: &Path, inside: &str, meta: &Meta) -> Result<(), CloneError> {
        let disk = self.trip.world.disk;
        let doing = || format!("making {}", staged.display());
        if disk.meta(staged).doing(doing)?.is_none() {
            disk.mkdir(staged, 0o700).doing(doing)?;
        }
        for name in disk.list(live).doing(|| format!("reading {}", live.display()))? {
            self.trip.go_on()?;
            let (from, to) = (live.join(&name), staged.join(&name));
            // names that are no UTF-8 belong to a person: a manifest cannot list them
            let name = spell(&name);
            let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            let Some(meta) = disk.meta(&from).doing(|| format!("looking at {}", from.display()))? else { continue };
            if meta.dev != self.dev {
                return Err(CloneError::Refused(Refused { unit: self.unit, why: format!("something is mounted on {}", from.display()) }));
            }
            match meta.kind {
                Kind::Dir if self.emptied(&path) && self.only_removed(&from, &path)? => {}
                Kind::Dir => {
                    if self.is_a_persons(&path) {
                        self.linked.insert(path.clone(), Linked { kind: Kind::Dir, ino: meta.ino });
                    }
                    self.dir(&from, &to, &path, &meta)?;
                }
                _ => self.entry(&from, &to, path, &meta)?,
            }
        }
        // last, because a folder without write permission takes no entries
        disk.own_dir(staged, meta.uid, meta.gid, meta.mode).doing(doing)?;
        Ok(())
    }
    fn entry(&mut self, from: &Path, to: &Path, path: String, meta: &Meta) -> Result<(), CloneError> {
        let planned = self.files.get(path.as_str());
        match planned.map(|f| (f.change, &f.found)) {
            Some((Change::Add | Change::Replace | Change::Remove, _)) => return Ok(()),
            Some((Change::Keep, Some(found))) if !survey::unchanged(Some(meta), found) => return Err(survey::changed_meanwhile(from).into()),
            Some((Change::Keep | Change::KeepEdited, _)) => {}
            // listed before, gone when we looked, and back now: somebody works on it
            Some((Change::Gone, _)) => {}
            None => {
                self.linked.insert(path, Linked { kind: meta.kind, ino: meta.ino });
            }
        }
        match self.trip.world.disk.link(from, to) {
            Ok(()) => Ok(()),
            // saved away while we looked: it is carried over after the switch
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(CloneError::Refused(Refused { unit: self.unit, why: format!("{} cannot be linked: {e}", from.display()) })),
        }
    }
    /// Whether a folder held listed files and holds none of the new release.
    fn emptied(&self, path: &str) -> bool {
        let mut files = survey::below(&self.files, path).peekable();
        files.peek().is_some() && files.all(|f| matches!(f.change, Change::Remove | Change::Gone))
    }
    /// Whether there is nothing in a folder but files that go.
    fn only_removed(&self, dir: &Path, path: &str) -> Result<bool> {
        let disk = self.trip.world.disk;
        for name in disk.list(dir).doing(|| format!("reading {}", dir.display()))? {
            let at = dir.join(&name);
            let path = format!("{path}/{}", spell(&name));
            let ours = match disk.meta(&at).doing(|| format!("looking at {}", at.display()))?.map(|m| m.kind) {
                Some(Kind::Dir) => self.emptied(&path) && self.only_removed(&at, &path)?,
                _ => self.files.get(path.as_str()).is_some_and(|f| f.change == Change::Remove),
            };
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }
    fn is_a_persons(&self, path: &str) -> bool {
        survey::below(&self.files, path).next().is_none()
    }
}
