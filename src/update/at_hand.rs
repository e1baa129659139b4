//! Contents that are on the device already: in the live tree under any name, in a backup, in what an interrupted run fetched.
//! Each is hashed again while it is copied; a copy that is not what it should be is forgotten and fetched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::survey::{self, CopyError};
use super::{Trip, backup, pieces};
use crate::device::Managed;
use crate::error::{Doing, Result};
use crate::plan::{Action, Change, Facts, Planned, Want};
use crate::release::{Digest, ReleasePath, digest::Hashing};

/// Where contents can be had.
#[derive(Debug, Default)]
pub struct AtHand {
    places: BTreeMap<Digest, Place>,
    /// The managed paths.
    units: Vec<PathBuf>,
}

/// Where a content is. Of thousands most are live, and there the path has its memory already.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the live tree: index of the managed path, the file, and how much of its path is inside.
    Live(u32, u32, ReleasePath),
    /// Somewhere else.
    At(Rc<Path>),
}

impl AtHand {
    /// Looks for contents in the live tree, the backups and what was fetched before.
    ///
    /// # Errors
    /// A folder of ours cannot be read.
    pub fn look(trip: &Trip, facts: &Facts) -> Result<Self> {
        let (disk, layout) = (trip.world.disk, &trip.settings.layout);
        let mut places = BTreeMap::new();
        // whatever is wrong with these folders costs a download and nothing else
        for home in pieces::homes(disk, layout) {
            for name in disk.list(&home).unwrap_or_default() {
                let Some(digest) = name.to_str().and_then(|n| n.parse::<Digest>().ok()) else { continue };
                let piece = home.join(name);
                // hashed now: a power cut tears what was not synced, and a plan must not count on it
                if survey::hash(disk, &piece).is_ok_and(|d| d == digest) {
                    places.insert(digest, Place::At(piece.into()));
                } else if trip.locked.is_some() {
                    let _ = disk.unlink(&piece);
                }
            }
        }
        for backup in backup::list(disk, layout)? {
            for entry in backup.record.entries.iter().filter(|e| e.stored) {
                places.insert(entry.want.sha256, Place::At(backup.file(&entry.path).into()));
            }
        }
        for (path, found) in &facts.files {
            if let Some((unit, inside)) = crate::device::managed::place(&trip.settings.managed, path) {
                places.insert(found.sha256, Place::Live(unit as u32, inside.len() as u32, path.clone()));
            }
        }
        Ok(AtHand { places, units: facts.units.iter().map(|u| u.to.clone()).collect() })
    }
    /// The contents.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.places.keys()
    }
    /// Where a content is.
    pub fn place(&self, content: &Digest) -> Option<&Place> {
        self.places.get(content)
    }
    /// The path of a place.
    pub fn path(&self, place: &Place) -> PathBuf {
        match place {
            Place::Live(unit, inside, path) => survey::join(&self.units[*unit as usize], path.end(*inside as usize)),
            Place::At(path) => path.to_path_buf(),
        }
    }
    /// The mode that the bundle gave a content, if it came from there in an earlier run.
    pub fn packed(&self, trip: &Trip, want: &Want) -> Option<u32> {
        let piece = self.path(self.place(&want.sha256)?);
        if !piece.starts_with(trip.settings.layout.fetched()) {
            return None;
        }
        Some(trip.world.disk.meta(&piece).ok()??.mode & 0o755)
    }
    /// Puts a wanted content at `staged`, if it is at hand and whole.
    ///
    /// # Errors
    /// The staged file cannot be written.
    pub fn put(&mut self, trip: &mut Trip, want: &Want, mode: u32, owner: (u32, u32), staged: &Path) -> Result<Option<u64>> {
        let Some(place) = self.place(&want.sha256).map(|place| self.path(place)) else { return Ok(None) };
        let disk = trip.world.disk;
        let Ok(mut reader) = disk.open(&place) else {
            self.places.remove(&want.sha256);
            return Ok(None);
        };
        let writing = || format!("writing {}", staged.display());
        let mut writer = Hashing::new(disk.create(staged, 0o600).doing(writing)?);
        let copied = survey::copy(&mut reader, &mut writer, &mut |_| trip.go_on());
        let (mut file, digest) = writer.finish();
        match copied {
            Ok(bytes) if digest == want.sha256 => {
                file.own(owner.0, owner.1, mode).doing(writing)?;
                return Ok(Some(bytes));
            }
            Err(CopyError::Write(e)) => return Err(e).doing(writing),
            Err(CopyError::Told(e)) => return Err(e),
            Ok(_) | Err(CopyError::Read(_)) => {}
        }
        drop(file);
        disk.unlink(staged).doing(|| format!("removing {}", staged.display()))?;
        self.places.remove(&want.sha256);
        trip.warn(format!("{} is damaged and not used", place.display()));
        Ok(None)
    }
}

/// A rollback works with what is on the device: a file that changed since and whose old content is nowhere stays as it is.
pub fn spare_what_is_nowhere(plan: &mut crate::plan::Plan, at_hand: &AtHand) -> Vec<String> {
    let mut spared = Vec::new();
    if plan.action != Action::Rollback {
        return spared;
    }
    for file in plan.files.iter_mut().filter(|f| f.is_written()) {
        let nowhere = file.want.as_ref().is_some_and(|w| !at_hand.places.contains_key(&w.sha256));
        if nowhere {
            file.change = if file.found.is_some() { Change::KeepEdited } else { Change::Gone };
            spared.push(file.path.to_string());
        }
    }
    plan.fetch_bytes = Some(0);
    spared
}

/// Owner and mode of a file to be written; `packed` is the mode in the bundle, if it came from there.
pub fn attributes(managed: &Managed, facts_owner: (u32, u32), file: &Planned, packed: Option<u32>) -> ((u32, u32), u32) {
    let want = file.want.as_ref().expect("a written file has a want");
    let owner = want.owner.unwrap_or(facts_owner);
    let found = file.found.as_ref().map(|f| f.mode & 0o755);
    let mode = want.mode.or(packed).or(found).unwrap_or(if managed.is_folder() { 0o644 } else { 0o755 });
    (owner, mode & 0o777)
}
