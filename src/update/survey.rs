//! Looking at the device: where the managed paths lie, how they can be switched, and what their files are. Only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Trip;
use crate::device::{Layout, managed};
use crate::error::{Doing, Error, Result};
use crate::plan::decide::Installed;
use crate::plan::{Facts, Found, Target, UnitFacts, VolumeFacts, Want, Way};
use crate::release::manifest::{self, Manifest};
use crate::release::{Digest, ReleasePath};
use crate::world::{Disk, Kind, Meta, durable};

/// Size of the reads, bytes.
pub const CHUNK: usize = 64 << 10;

/// What the live tree was last brought to.
///
/// # Errors
/// The record is there and cannot be read: nothing is decided on a guess.
pub fn installed(trip: &Trip) -> Result<Installed> {
    let (disk, layout) = (trip.world.disk, &trip.settings.layout);
    let path = layout.installed();
    let noted = durable::read(disk, &layout.version(), 4096).doing(|| format!("reading {}", layout.version().display()))?;
    let noted = noted.and_then(|b| manifest::version(String::from_utf8_lossy(&b).trim()).ok());
    let Some(bytes) = durable::read(disk, &path, manifest::SIZE_MAX).doing(|| format!("reading {}", path.display()))? else {
        return Ok(Installed { version: noted, ..Installed::default() });
    };
    if let Some(schema) = manifest::newer(&bytes) {
        return Err(crate::record::held(format!("{} was installed by a newer updater (schema {schema})", path.display())));
    }
    let manifest = Manifest::parse(&bytes).map_err(|e| {
        Error::verification(format!("{}: {e}", path.display()))
            .hint(format!("`rollback` does not need it; or move {} away: the next apply then looks at the files themselves", path.display()))
    })?;
    let sha256 = Digest::of(&bytes);
    drop(bytes);
    let target = Target::of_release(&manifest, sha256);
    Ok(Installed {
        version: target.version,
        manifest_sha256: target.manifest_sha256,
        content: target.content,
        released: manifest.released,
        files: target.files,
    })
}

/// Digest of the installed manifest, which is `known` if it was read before. A damaged one describes nothing.
///
/// # Errors
/// It cannot be read at all.
pub fn installed_manifest(disk: &dyn Disk, layout: &Layout, known: Option<Digest>) -> Result<Option<Digest>> {
    let path = layout.installed();
    let doing = || format!("reading {}", path.display());
    if disk.meta(&path).doing(doing)?.is_none() {
        return Ok(None);
    }
    let here = hash(disk, &path)?;
    if Some(here) == known {
        return Ok(known);
    }
    let bytes = durable::read(disk, &path, manifest::SIZE_MAX).doing(doing)?;
    Ok(bytes.filter(|bytes| Digest::of(bytes) == here && Manifest::parse(bytes).is_ok()).map(|_| here))
}

/// Measures everything that a decision about this target needs. `per_file` names managed paths whose exchange was refused before.
///
/// # Errors
/// A managed path that cannot be read, or that is a link.
pub fn facts(trip: &Trip, installed: &Installed, target: &Target, per_file: &BTreeSet<usize>) -> Result<Facts> {
    let mut facts = Facts { installed: installed.manifest_sha256, ..Facts::default() };
    units(trip, per_file, &mut facts)?;
    let mut folders: Vec<Folders> = facts.units.iter().map(|u| Folders::below(trip.world.disk, &u.to)).collect();
    let beside = target.files.iter().filter(|(_, w)| w.config).filter_map(|(p, _)| ReleasePath::new(&format!("{p}.pikit-new")).ok());
    let (mut files, mut obstacles) = (BTreeMap::new(), BTreeMap::new());
    let paths: BTreeSet<ReleasePath> = installed.files.keys().chain(target.files.keys()).cloned().chain(beside).collect();
    for path in paths {
        trip.go_on()?;
        let Some((unit, inside)) = managed::place(&trip.settings.managed, &path) else { continue };
        match look(trip.world.disk, &mut folders[unit], inside, installed, &path)? {
            Seen::Nothing => {}
            Seen::File(found) => {
                files.insert(path, found.into());
            }
            Seen::Obstacle(words) => {
                obstacles.insert(path, words);
            }
        }
    }
    Ok(Facts { files, obstacles, ..facts })
}

/// The managed paths and the file systems involved.
fn units(trip: &Trip, per_file: &BTreeSet<usize>, facts: &mut Facts) -> Result<()> {
    let disk = trip.world.disk;
    let mounts = disk.mounts().doing(|| "reading the list of mounts".into())?;
    for (index, managed) in trip.settings.managed.iter().enumerate() {
        let to = &managed.to;
        let doing = || format!("looking at {}", to.display());
        let live = disk.meta(to).doing(doing)?;
        let wrong = match live.map(|m| m.kind) {
            Some(Kind::Link) => Some("a symbolic link: put the path it points to into [[managed]] to"),
            Some(Kind::File) if managed.is_folder() => Some("a file, and the config says folder (\"/\" at both ends)"),
            Some(Kind::Dir) if !managed.is_folder() => Some("a folder, and the config says file"),
            Some(Kind::Other) => Some("neither a file nor a folder"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(Error::refused(format!("{} is {wrong}", to.display())));
        }
        let parent = existing_above(disk, managed.parent())?;
        let parent_meta = disk.meta(&parent).doing(doing)?.ok_or_else(|| Error::unexpected(format!("{} vanished", parent.display())))?;
        let at = if live.is_some() { to.clone() } else { parent.clone() };
        let volume = disk.volume(&at).doing(doing)?;
        let mounted = mounts.iter().any(|m| m.starts_with(to)) || live.is_some_and(|l| l.dev != parent_meta.dev);
        let way = match live {
            // a new tree comes in by a plain rename, which every file system can
            None => Way::Exchange,
            Some(_) if mounted || !volume.exchanges || per_file.contains(&index) => Way::PerFile,
            Some(_) => Way::Exchange,
        };
        let owner = live.unwrap_or(parent_meta);
        let volume_index = volume_of(facts, &at, &volume);
        facts.units.push(UnitFacts {
            to: to.clone(),
            way,
            exists: live.is_some(),
            owner: (owner.uid, owner.gid),
            volume: volume_index,
            has_modes: volume.has_modes,
        });
    }
    for (own, is_backups) in [(trip.settings.layout.backups(), true), (trip.settings.layout.state_dir(), false)] {
        let at = existing_above(disk, &own)?;
        let volume = disk.volume(&at).doing(|| format!("looking at {}", own.display()))?;
        let index = volume_of(facts, &at, &volume);
        if is_backups {
            facts.backup_volume = index;
        }
    }
    Ok(())
}

fn volume_of(facts: &mut Facts, at: &Path, volume: &crate::world::disk::Volume) -> usize {
    if let Some(known) = facts.volumes.iter().position(|v| v.dev == volume.dev) {
        return known;
    }
    facts.volumes.push(VolumeFacts { dev: volume.dev, at: at.to_owned(), free: volume.free, block: volume.block, read_only: volume.read_only });
    facts.volumes.len() - 1
}

/// The path itself, or the nearest folder above it that is there.
pub fn existing_above(disk: &dyn Disk, path: &Path) -> Result<PathBuf> {
    let mut at = path;
    loop {
        if disk.meta(at).doing(|| format!("looking at {}", at.display()))?.is_some() {
            return Ok(at.to_owned());
        }
        at = at.parent().ok_or_else(|| Error::unexpected(format!("nothing above {} is there", path.display())))?;
    }
}

enum Seen {
    Nothing,
    File(Found),
    Obstacle(String),
}

/// The folders below a managed path, each looked at once: where one is not there, nothing below it is.
pub struct Folders<'d> {
    disk: &'d dyn Disk,
    to: &'d Path,
    seen: BTreeMap<String, Option<Kind>>,
}

impl<'d> Folders<'d> {
    /// Those below `to`; none was looked at yet.
    pub fn below(disk: &'d dyn Disk, to: &'d Path) -> Self {
        Folders { disk, to, seen: BTreeMap::new() }
    }
    /// What lies at the first part of the way to `inside`, `to` itself included, that is no folder; `None`: all are folders.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn first_other<'i>(&mut self, inside: &'i str) -> Result<Option<(&'i str, Option<Kind>)>> {
        let top = (!inside.is_empty()).then_some("");
        for folder in top.into_iter().chain(inside.match_indices('/').map(|(i, _)| &inside[..i])) {
            let kind = match self.seen.get(folder) {
                Some(kind) => *kind,
                None => {
                    let at = join(self.to, folder);
                    let kind = self.disk.meta(&at).doing(|| format!("looking at {}", at.display()))?.map(|m| m.kind);
                    self.seen.insert(folder.to_owned(), kind);
                    kind
                }
            };
            if kind != Some(Kind::Dir) {
                return Ok(Some((folder, kind)));
            }
        }
        Ok(None)
    }
}

/// What lies at one listed path.
fn look(disk: &dyn Disk, folders: &mut Folders, inside: &str, installed: &Installed, path: &ReleasePath) -> Result<Seen> {
    match folders.first_other(inside)? {
        None => {}
        Some((_, None)) => return Ok(Seen::Nothing),
        Some((folder, kind)) => {
            let folder = join(folders.to, folder);
            let listed = path.parents().find(|p| folder.ends_with(p) && installed.files.contains_key(*p));
            // a listed file of the old release may give way to a folder of the new one
            return match (kind, listed) {
                (Some(Kind::File), Some(listed)) if gives_way(disk, &folder, listed, installed)? => Ok(Seen::Nothing),
                _ => Ok(Seen::Obstacle(format!("{} is not a folder", folder.display()))),
            };
        }
    }
    let to = folders.to;
    let live = join(to, inside);
    let Some(meta) = disk.meta(&live).doing(|| format!("looking at {}", live.display()))? else { return Ok(Seen::Nothing) };
    Ok(match meta.kind {
        Kind::File => Seen::File(found(disk, &live, &meta)?),
        Kind::Dir if only_listed(disk, &live, path.as_str(), installed)? => Seen::Nothing,
        Kind::Dir => Seen::Obstacle(format!("{} is a folder", live.display())),
        Kind::Link => Seen::Obstacle(format!("{} is a symbolic link", live.display())),
        Kind::Other => Seen::Obstacle(format!("{} is a device, pipe or socket", live.display())),
    })
}

/// Whether what lies there is a file of the old release that goes with it; an edited config file stays, and stays in the way.
fn gives_way(disk: &dyn Disk, at: &Path, path: &str, installed: &Installed) -> Result<bool> {
    match installed.files.get(path) {
        Some(want) if want.config => Ok(hash(disk, at)? == want.sha256),
        listed => Ok(listed.is_some()),
    }
}

/// Whether a folder holds nothing but files of the old release, so that a file may take its place.
fn only_listed(disk: &dyn Disk, dir: &Path, path: &str, installed: &Installed) -> Result<bool> {
    let below = |f: &ReleasePath| f.as_str().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    if !installed.files.keys().any(below) {
        return Ok(false);
    }
    for name in disk.list(dir).doing(|| format!("reading {}", dir.display()))? {
        let Some(name) = name.to_str() else { return Ok(false) };
        let (at, path) = (dir.join(name), format!("{path}/{name}"));
        let meta = disk.meta(&at).doing(|| format!("looking at {}", at.display()))?;
        let ours = match meta.map(|m| m.kind) {
            Some(Kind::Dir) => only_listed(disk, &at, &path, installed)?,
            Some(Kind::File) => gives_way(disk, &at, &path, installed)?,
            _ => false,
        };
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file with its digest.
pub fn found(disk: &dyn Disk, path: &Path, meta: &Meta) -> Result<Found> {
    Ok(Found { sha256: hash(disk, path)?, size: meta.size, mtime: meta.mtime, ino: meta.ino, mode: meta.mode, uid: meta.uid, gid: meta.gid })
}

/// The digest of a file's content.
pub fn hash(disk: &dyn Disk, path: &Path) -> Result<Digest> {
    let doing = || format!("reading {}", path.display());
    let mut file = disk.open(path).doing(doing)?;
    let mut hasher = crate::release::digest::Hashing::new(std::io::sink());
    copy(&mut file, &mut hasher, &mut |_| Ok(())).map_err(|e| e.into_io()).doing(doing)?;
    Ok(hasher.finish().1)
}

/// Copies in large pieces and tells after each how many bytes it had.
pub fn copy(from: &mut dyn Read, to: &mut dyn std::io::Write, after: &mut dyn FnMut(u64) -> Result<()>) -> Result<u64, CopyError> {
    thread_local!(static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; CHUNK]));
    BUFFER.with_borrow_mut(|buffer| {
        let mut total = 0;
        loop {
            let n = match from.read(buffer) {
                Ok(0) => return Ok(total),
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(CopyError::Read(e)),
            };
            to.write_all(&buffer[..n]).map_err(CopyError::Write)?;
            total += n as u64;
            after(n as u64).map_err(CopyError::Told)?;
        }
    })
}

/// Which end of a copy failed.
pub enum CopyError {
    /// Where it came from.
    Read(std::io::Error),
    /// Where it went.
    Write(std::io::Error),
    /// Who was told.
    Told(Error),
}

impl CopyError {
    /// The error with words, for a copy between these two.
    pub fn at(self, from: &Path, to: &Path) -> Error {
        let (e, words) = match self {
            CopyError::Read(e) => (e, format!("reading {}", from.display())),
            CopyError::Write(e) => (e, format!("writing {}", to.display())),
            CopyError::Told(e) => return e,
        };
        Err::<(), _>(e).doing(|| words).expect_err("it is an error")
    }
    fn into_io(self) -> std::io::Error {
        match self {
            CopyError::Read(e) | CopyError::Write(e) => e,
            CopyError::Told(e) => std::io::Error::other(e),
        }
    }
}

/// The listed files below a folder. Only those are looked at: a walk asks for every folder.
pub fn below<'m, V>(files: &'m BTreeMap<&str, V>, folder: &str) -> impl Iterator<Item = &'m V> {
    let prefix = format!("{folder}/");
    let from = (std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded);
    files.range::<str, _>(from).take_while(move |(f, _)| f.starts_with(&prefix)).map(|(_, file)| file)
}

/// `to` itself for a managed file, a path below it otherwise.
pub fn join(to: &Path, inside: &str) -> PathBuf {
    if inside.is_empty() { to.to_owned() } else { to.join(inside) }
}

/// Whether a file lies there as it was found: same inode, size and time.
pub fn unchanged(meta: Option<&Meta>, found: &Found) -> bool {
    meta.is_some_and(|m| m.kind == Kind::File && m.ino == found.ino && m.size == found.size && m.mtime == found.mtime)
}

/// The same where inode numbers do not outlast a boot.
pub fn looks_unchanged(meta: Option<&Meta>, found: &Found) -> bool {
    meta.is_some_and(|m| m.kind == Kind::File && m.size == found.size && m.mtime == found.mtime)
}

/// What a want says about the file that is there; a file system without modes cannot contradict it.
pub fn matches(want: &Want, found: &Found, has_modes: bool) -> bool {
    found.sha256 == want.sha256 && (!has_modes || want.mode.is_none_or(|m| m == found.mode))
}

/// Somebody works on a file that is about to be replaced: theirs must not be lost.
pub fn changed_meanwhile(path: &Path) -> Error {
    Error::refused(format!("{} was changed while the update was being prepared", path.display()))
        .hint("nothing was changed; run it again when nobody edits the files")
}
