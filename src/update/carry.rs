//! What a person or a service saved in a managed folder while the update ran. After every exchange, in either direction, entries of
//! the idle tree that no manifest lists and that are new or changed since they were cloned go into the live tree; only then may the
//! idle tree go. Every step is safe to be cut and done again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::begin::Tx;
use super::clone::{Clone, Linked, spell, unspell};
use super::{Trip, survey};
use crate::error::{Doing, Result};
use crate::journal::UnitWay;
use crate::plan::Planned;
use crate::world::{Disk, Kind, Meta, disk};

/// Prefix of a name that is being removed: first out of the way of everybody, then looked at, then unlinked.
const GRAVE: &str = ".pikit-grave.";
/// How often an idle tree is emptied before whoever keeps filling it has won: a second or two.
const BURIALS: u32 = 10_000;
/// Longest name on Linux's file systems, bytes.
const NAME_MAX: usize = 255;

/// The live and the idle tree of one managed folder.
struct Trees<'t> {
    disk: &'t dyn Disk,
    live: PathBuf,
    idle: PathBuf,
    files: BTreeMap<&'t str, &'t Planned>,
    linked: &'t BTreeMap<String, Linked>,
    /// Whether the idle tree is the old one.
    idle_is_old: bool,
    moved: Vec<String>,
}

/// Where an entry is put out of reach. A name that is too long for that stays where it is: a save between the last look and the removal
/// is the price.
fn grave_of(at: &Path) -> PathBuf {
    match at.file_name() {
        Some(name) if GRAVE.len() + name.len() <= NAME_MAX => {
            let mut grave = OsString::from(GRAVE);
            grave.push(name);
            at.with_file_name(grave)
        }
        _ => at.to_owned(),
    }
}

/// The n-th name beside `name` for what has to make room, cut where it would be longer than a name can be.
pub fn kept_name(name: &str, n: u32) -> String {
    let end = if n == 1 { ".pikit-kept".to_owned() } else { format!(".pikit-kept.{n}") };
    let mut cut = name.len().min(NAME_MAX - end.len());
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &name[..cut])
}

/// Carries over what was saved into the idle trees of all exchanged folders.
///
/// # Errors
/// A tree cannot be read, or an entry cannot be moved; nothing is lost then.
pub fn over(trip: &mut Trip, tx: &Tx, idle_is_old: bool) -> Result<()> {
    each(trip, tx, idle_is_old, |trees| {
        trees.over(&trees.idle.clone(), "")?;
        trees.deletions()
    })
}

/// Removes the idle trees. What nobody knows is carried over first, even now.
///
/// # Errors
/// A tree cannot be read or removed.
pub fn bury(trip: &mut Trip, tx: &Tx, idle_is_old: bool) -> Result<()> {
    each(trip, tx, idle_is_old, |trees| {
        let (idle, disk) = (trees.idle.clone(), trees.disk);
        match disk.meta(&idle)? {
            None => Ok(()),
            Some(m) if m.kind == Kind::Dir => {
                // a process that works in the idle tree may add to it while it goes
                for _ in 0..BURIALS {
                    trees.bury(&idle, "")?;
                    match disk.rmdir(&idle) {
                        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => continue,
                        other => return other,
                    }
                }
                Err(io::Error::other("something keeps adding files to it"))
            }
            Some(_) => trees.bury_file(&idle),
        }
    })?;
    let disk = trip.world.disk;
    for unit in &tx.journal.units {
        if let UnitWay::PerFile { bases } = &unit.way {
            for base in bases {
                crate::world::durable::remove_whole(disk, base).doing(|| format!("removing {}", base.display()))?;
            }
        }
    }
    Ok(())
}

fn each(trip: &mut Trip, tx: &Tx, idle_is_old: bool, mut work: impl FnMut(&mut Trees) -> io::Result<()>) -> Result<()> {
    let record = Clone::load(trip)?;
    let none = BTreeMap::new();
    for unit in &tx.journal.units {
        let UnitWay::Exchange { beside, .. } = &unit.way else { continue };
        let mut trees = Trees {
            disk: trip.world.disk,
            live: unit.to.clone(),
            idle: beside.clone(),
            files: tx.plan.of_unit(unit.unit).map(|f| (f.inside(), f)).collect(),
            linked: record.units.get(&unit.unit).unwrap_or(&none),
            idle_is_old,
            moved: Vec::new(),
        };
        work(&mut trees).doing(|| format!("carrying over what was saved in {}", unit.to.display()))?;
        for path in std::mem::take(&mut trees.moved) {
            let path = unspell(&path);
            trip.note(format!("{} was saved while the update ran and is kept", path.display()));
        }
    }
    Ok(())
}

impl Trees<'_> {
    /// What lies there. What lies behind a link, which somebody may have put in the place of a folder meanwhile, does not lie there.
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        match self.disk.meta(path) {
            Err(e) if disk::is_behind_a_link(&e) => Ok(None),
            other => other,
        }
    }
    fn over(&mut self, dir: &Path, inside: &str) -> io::Result<()> {
        if self.meta(dir)?.is_none_or(|m| m.kind != Kind::Dir) {
            return Ok(());
        }
        for name in self.disk.list(dir)? {
            let (at, name, path) = self.entry(dir, &name, inside);
            let Some(meta) = self.meta(&at)? else { continue };
            if meta.kind != Kind::Dir {
                if !self.files.contains_key(path.as_str()) {
                    self.save(&at, &path, &meta)?;
                }
                continue;
            }
            let live = self.live.join(unspell(&path));
            match self.meta(&live)?.map(|m| m.kind) {
                Some(Kind::Dir) => self.over(&at, &path)?,
                // a folder that is new goes over whole
                None if !self.linked.contains_key(&path) && !self.has_listed_below(&path) => {
                    if self.make_parents(&path)?.is_some() {
                        self.keep_beside(&at, &path, &name)?;
                        continue;
                    }
                    match self.disk.rename(&at, &live, true) {
                        Ok(()) => self.moved.push(path),
                        Err(e) if e.kind() == ErrorKind::AlreadyExists => self.over(&at, &path)?,
                        Err(e) => return Err(e),
                    }
                }
                None => self.over(&at, &path)?,
                Some(_) if self.files.contains_key(path.as_str()) || self.has_listed_below(&path) => self.over(&at, &path)?,
                Some(_) => self.keep_beside(&at, &path, &name)?,
            }
        }
        Ok(())
    }
    /// Brings one entry over, if it is new or changed.
    fn save(&mut self, idle: &Path, path: &str, meta: &Meta) -> io::Result<()> {
        let live = self.live.join(unspell(path));
        let cloned = self.linked.get(path).map(|l| l.ino);
        let mut stale = BTreeSet::from_iter(cloned);
        loop {
            match self.meta(&live)? {
                Some(l) if l.ino == meta.ino => return Ok(()),
                _ if cloned == Some(meta.ino) => return Ok(()),
                None => {
                    if self.make_parents(path)?.is_some() {
                        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                        return self.keep_beside(idle, path, &name);
                    }
                    match self.disk.rename(idle, &live, true) {
                        Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()), // renamed on by who saves it: the next look finds it
                        Err(e) => return Err(e),
                        Ok(()) => {}
                    }
                    self.moved.push(path.to_owned());
                    return Ok(());
                }
                Some(l) if Some(l.ino) == cloned && l.kind != Kind::Dir => break,
                Some(_) => {
                    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                    return self.keep_beside(idle, path, &name);
                }
            }
        }
        // The live one is the stale one of the clone. Between our look and the exchange a newer one may have been saved: then what
        // comes out is not stale, and goes back in, until what comes out is known to be older than what went in.
        stale.insert(meta.ino);
        loop {
            self.disk.exchange(idle, &live)?;
            let Some(out) = self.meta(idle)? else { break };
            if !stale.insert(out.ino) {
                break;
            }
        }
        self.moved.push(path.to_owned());
        Ok(())
    }
    /// Both sides have a new one: the idle tree's stays beside as `NAME.pikit-kept`; where its folder has become something else, in the
    /// nearest folder above.
    fn keep_beside(&mut self, idle: &Path, path: &str, name: &str) -> io::Result<()> {
        let own = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let above = self.make_parents(path)?.unwrap_or(own);
        let folder = if above.is_empty() { self.live.clone() } else { self.live.join(unspell(&above)) };
        for n in 1.. {
            let kept = kept_name(name, n);
            match self.disk.rename(idle, &folder.join(unspell(&kept)), true) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e),
                Ok(()) => {}
            }
            self.moved.push(if above.is_empty() { kept } else { format!("{above}/{kept}") });
            return Ok(());
        }
        Ok(())
    }
    /// What was cloned and is gone from the idle tree was deleted, or renamed, while the update ran: gone it stays.
    fn deletions(&mut self) -> io::Result<()> {
        let mut gone = Vec::new();
        for (path, linked) in self.linked.iter().rev() {
            if self.meta(&self.idle.join(unspell(path)))?.is_none() {
                gone.push((path, linked));
            }
        }
        // When most of it is gone, or the idle tree itself, the card lost it rather than a person: nothing is deleted on that ground.
        let lost = self.meta(&self.idle)?.is_none() || (gone.len() > 3 && gone.len() * 2 > self.linked.len());
        for (path, linked) in gone {
            let live = self.live.join(unspell(path));
            // of a run that was cut in between
            let grave = grave_of(&live);
            if grave != live {
                self.settle_grave(&grave, &live, path, linked.ino)?;
            }
            if lost {
                continue;
            }
            match self.meta(&live)? {
                Some(m) if m.kind == Kind::Dir && linked.kind == Kind::Dir => match self.disk.rmdir(&live) {
                    Err(e) if !matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound | ErrorKind::AlreadyExists) => return Err(e),
                    _ => {}
                },
                Some(m) if m.kind != Kind::Dir && m.ino == linked.ino => self.delete(&live, path, linked.ino)?,
                _ => {}
            }
        }
        Ok(())
    }
    /// Deletes one live entry, out of reach first: if somebody has saved a new one under the name by then, it goes back.
    fn delete(&mut self, live: &Path, path: &str, ino: u64) -> io::Result<()> {
        let grave = grave_of(live);
        match if grave == live { Ok(()) } else { self.disk.rename(live, &grave, false) } {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        self.settle_grave(&grave, live, path, ino)
    }
    fn settle_grave(&mut self, grave: &Path, live: &Path, path: &str, ino: u64) -> io::Result<()> {
        match self.meta(grave)? {
            Some(m) if m.ino == ino => crate::world::durable::remove(self.disk, grave),
            Some(_) if grave != live => match self.disk.rename(grave, live, true) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                    self.keep_beside(grave, path, &name)
                }
                other => other,
            },
            _ => Ok(()),
        }
    }
    /// Removes what is known below an idle folder, and carries over what is not.
    fn bury(&mut self, dir: &Path, inside: &str) -> io::Result<()> {
        for name in self.disk.list(dir)? {
            let (at, name, path) = self.entry(dir, &name, inside);
            let Some(meta) = self.meta(&at)? else { continue };
            if meta.kind == Kind::Dir {
                if self.meta(&self.live.join(unspell(&path)))?.is_none() && !self.linked.contains_key(&path) && !self.has_listed_below(&path) {
                    self.over(dir, inside)?;
                    continue;
                }
                self.bury(&at, &path)?;
                match self.disk.rmdir(&at) {
                    Err(e) if !matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => return Err(e),
                    _ => {}
                }
                continue;
            }
            if self.files.contains_key(path.as_str()) {
                if self.is_ours(&at, &path, &meta)? {
                    self.disk.unlink(&at)?;
                } else {
                    self.keep_beside(&at, &path, &name)?;
                }
                continue;
            }
            // out of reach first: between a look and an unlink somebody could save under the name
            let grave = grave_of(&dir.join(unspell(&name)));
            if at != grave {
                match self.disk.rename(&at, &grave, false) {
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    other => other?,
                }
            }
            let Some(meta) = self.meta(&grave)? else { continue };
            let known =
                self.linked.get(&path).is_some_and(|l| l.ino == meta.ino) || self.meta(&self.live.join(unspell(&path)))?.is_some_and(|m| m.ino == meta.ino);
            if !known {
                self.save(&grave, &path, &meta)?;
                // whatever the reason: what is nowhere else is not removed
                let still_here = self.meta(&grave)?.is_some_and(|m| m.ino == meta.ino);
                if still_here && self.meta(&self.live.join(unspell(&path)))?.is_none_or(|m| m.ino != meta.ino) {
                    return Err(io::Error::other(format!("{path} cannot be carried over")));
                }
            }
            crate::world::durable::remove(self.disk, &grave)?;
        }
        Ok(())
    }
    /// A managed file's other side.
    fn bury_file(&mut self, idle: &Path) -> io::Result<()> {
        let Some(meta) = self.meta(idle)? else { return Ok(()) };
        if self.is_ours(idle, "", &meta)? {
            return self.disk.unlink(idle);
        }
        let name = self.live.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        for n in 1.. {
            let kept = self.live.with_file_name(kept_name(&name, n));
            match self.disk.rename(idle, &kept, true) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            self.moved.push(kept.display().to_string());
            return Ok(());
        }
        Ok(())
    }
    /// Whether a listed file of the idle tree is what was found or staged there, rather than an edit made while the update ran.
    fn is_ours(&self, at: &Path, path: &str, meta: &Meta) -> io::Result<bool> {
        if self.meta(&survey::join(&self.live, path))?.is_some_and(|m| m.ino == meta.ino) {
            return Ok(true);
        }
        let Some(file) = self.files.get(path) else { return Ok(false) };
        if self.idle_is_old || !file.is_written() {
            return Ok(file.found.as_ref().is_some_and(|f| survey::unchanged(Some(meta), f)));
        }
        let Some(want) = &file.want else { return Ok(false) };
        Ok(meta.kind == Kind::File && survey::hash(self.disk, at).is_ok_and(|d| d == want.sha256))
    }
    /// The entry's path on disk, its own name and its path inside, for a grave those of what lies in it.
    fn entry(&self, dir: &Path, name: &OsStr, inside: &str) -> (PathBuf, String, String) {
        let at = dir.join(name);
        let name = spell(name);
        let name = name.strip_prefix(GRAVE).unwrap_or(&name).to_owned();
        let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
        (at, name, path)
    }
    fn has_listed_below(&self, path: &str) -> bool {
        survey::below(&self.files, path).next().is_some()
    }
    /// The folders above an entry, in the live tree, made like those of the idle tree. Where something else has taken the place of one,
    /// the folder above that.
    fn make_parents(&self, path: &str) -> io::Result<Option<String>> {
        // a first install that returns leaves no folder, and somebody may have saved into it
        if self.meta(&self.live)?.is_none() {
            self.disk.mkdir(&self.live, 0o755)?;
            if let Some(like) = self.meta(&self.idle)? {
                self.disk.own_dir(&self.live, like.uid, like.gid, like.mode)?;
            }
        }
        for end in path.match_indices('/').map(|(i, _)| i) {
            let dir = self.live.join(unspell(&path[..end]));
            let there = self.meta(&dir)?;
            if there.is_some_and(|m| m.kind != Kind::Dir) {
                return Ok(Some(path[..end].rsplit_once('/').map_or("", |(above, _)| above).to_owned()));
            }
            if there.is_none() {
                self.disk.mkdir(&dir, 0o755)?;
                if let Some(like) = self.meta(&self.idle.join(unspell(&path[..end])))? {
                    self.disk.own_dir(&dir, like.uid, like.gid, like.mode)?;
                }
            }
        }
        Ok(None)
    }
}
