//! Backups: what is needed to return to an earlier tree. A record of the tree as it was found, and only the files that the
//! transaction changes or removes. On its own file system a stored file is a second name of the old inode and costs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chrono::{DateTime, Utc};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Trip;
use super::begin::Tx;
use super::survey;
use crate::device::Layout;
use crate::error::{Doing, Error, Result};
use crate::plan::{Action, Found, Plan, Target, Want};
use crate::record;
use crate::release::manifest::{self, Manifest};
use crate::release::{Digest, ReleasePath, digest::Hashing};
use crate::state::status::BackupLine;
use crate::world::disk::NewFile;
use crate::world::{Disk, durable};

/// Format of the record.
pub const SCHEMA: u32 = 1;
/// Largest record that is read, bytes.
const SIZE_MAX: u64 = 64 << 20;

/// A backup's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Orders backups: clocks lie.
    pub sequence: u64,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The version it returns to; none: what was there before any release.
    pub version: Option<Version>,
    /// Digest of that version's manifest, which lies beside this record.
    pub manifest_sha256: Option<Digest>,
    /// The transaction that made it.
    pub transaction: String,
    /// The files as they were found.
    pub entries: Vec<Entry>,
}

/// One file as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the release.
    pub path: ReleasePath,
    /// Its content, size, mode and owner.
    #[serde(flatten)]
    pub want: Want,
    /// Whether its content lies in the backup; otherwise it did not change.
    pub stored: bool,
}

/// A backup on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its record.
    pub record: Record,
}

impl Backup {
    /// Where a stored file lies.
    pub fn file(&self, path: &ReleasePath) -> PathBuf {
        self.dir.join("files").join(path.as_str())
    }
    /// How state and `rollback --list` show it.
    pub fn line(&self) -> BackupLine {
        let bytes = self.record.entries.iter().filter(|e| e.stored).filter_map(|e| e.want.size).sum();
        BackupLine { name: self.name.clone(), version: self.record.version.clone(), at: self.record.at, bytes }
    }
    /// The manifest it returns to, byte for byte.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn manifest(&self, disk: &dyn Disk) -> Result<Option<Vec<u8>>> {
        let Some(expected) = self.record.manifest_sha256 else { return Ok(None) };
        let path = self.dir.join(manifest::NAME);
        let bytes = durable::read(disk, &path, manifest::SIZE_MAX).doing(|| format!("reading {}", path.display()))?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) == expected => Ok(Some(bytes)),
            _ => Err(Error::verification(format!("the backup {} is damaged: its manifest is missing or not what was stored", self.name))
                .hint("`rollback --list` shows other backups; `apply VERSION --allow-downgrade` fetches a release again")),
        }
    }
    /// What a rollback to it brings the managed paths to.
    ///
    /// # Errors
    /// As for [`Backup::manifest`].
    pub fn target(&self, disk: &dyn Disk) -> Result<Target> {
        let manifest =
            self.manifest(disk)?.map(|b| Manifest::parse(&b)).transpose().map_err(|e| Error::verification(format!("the backup {}: {e}", self.name)))?;
        Ok(Target {
            version: self.record.version.clone(),
            manifest_sha256: self.record.manifest_sha256,
            content: manifest.as_ref().map(Manifest::content_digest),
            files: self.record.entries.iter().map(|e| (e.path.clone(), Rc::new(e.want.clone()))).collect(),
            // units the old release restarted are restarted for it again; what the device does not allow any more is left out by the caller
            steps: manifest.map(|m| m.post_install).unwrap_or_default(),
            product: None,
            channel: None,
            requires: Default::default(),
        })
    }
}

/// All whole backups, newest first. What cannot be read is passed over: it is no backup.
///
/// # Errors
/// The folder cannot be read.
pub fn list(disk: &dyn Disk, layout: &Layout) -> Result<Vec<Backup>> {
    let home = layout.backups();
    if disk.meta(&home).doing(|| format!("looking at {}", home.display()))?.is_none() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for name in disk.list(&home).doing(|| format!("reading {}", home.display()))? {
        let Some(name) = name.to_str().filter(|n| n.starts_with(|c: char| c.is_ascii_digit())) else { continue };
        let dir = home.join(name);
        let bytes = match durable::read(disk, &dir.join("backup.json"), SIZE_MAX) {
            Ok(Some(bytes)) => bytes,
            // who may not look must not be told that there is none
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Err(e).doing(|| format!("reading the backup {name}")),
            Ok(None) | Err(_) => continue,
        };
        if let Ok(record) = record::open_record(&bytes, SCHEMA) {
            all.push(Backup { name: name.to_owned(), dir, record });
        }
    }
    all.sort_by_key(|b: &Backup| std::cmp::Reverse(b.record.sequence));
    Ok(all)
}

/// Makes the backup of a transaction, or puts the edited copies of a repair aside. Whole and named, but not yet synced: sealing does that.
/// `installed` is the digest of the installed manifest, as far as it was read.
///
/// # Errors
/// A file that changed since it was looked at, a full disk, ….
pub fn make(trip: &mut Trip, tx: &mut Tx, installed: Option<Digest>) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let home = layout.backups();
    if tx.plan.action == Action::Repair {
        let edited: Vec<usize> = (0..tx.plan.files.len()).filter(|i| tx.plan.files[*i].is_backed_up()).collect();
        if !edited.is_empty() {
            let dir = layout.edited().join(&tx.journal.transaction);
            store(trip, &tx.plan, &dir)?;
            trip.note(format!("what was edited is kept in {}", dir.display()));
        }
        return Ok(());
    }
    if !tx.plan.backup {
        return Ok(());
    }
    let backups = list(disk, &layout)?;
    let sequence = backups.first().map_or(1, |b| b.record.sequence + 1);
    let now = trip.world.clock.now();
    let version = tx.plan.from.as_ref().map_or("before".into(), Version::to_string);
    let name = format!("{sequence:04}-{}-{version}", now.format("%Y%m%dT%H%M%SZ"));
    let work = work_dir(&layout, &tx.journal.transaction);
    durable::make_dirs(disk, &home, 0o755).doing(|| format!("making {}", home.display()))?;
    store(trip, &tx.plan, &work)?;
    let entries = tx.plan.files.iter().filter_map(|f| {
        let found = f.found.as_ref()?;
        let config = f.want.as_ref().is_some_and(|w| w.config);
        let want = Want { sha256: found.sha256, size: Some(found.size), mode: Some(found.mode), owner: Some((found.uid, found.gid)), config };
        Some(Entry { path: f.path.clone(), want, stored: f.is_backed_up() })
    });
    // without one the backup is one of the files as they were found
    let manifest_sha256 = survey::installed_manifest(disk, &layout, installed)?;
    let record =
        Record { sequence, at: now, version: tx.plan.from.clone(), manifest_sha256, transaction: tx.journal.transaction.clone(), entries: entries.collect() };
    let doing = || format!("writing the backup {name}");
    if let Some(digest) = manifest_sha256 {
        // a second name would cost nothing, but who gets a board back by hand may write into the installed one, and the way back with it
        copy(disk, &layout.installed(), &work.join(manifest::NAME), &digest, 0o644)?;
    }
    let mut file = disk.create(&work.join("backup.json"), 0o644).doing(doing)?;
    record::Sealed::of(SCHEMA, &record).write(&mut file).doing(doing)?;
    drop(file);
    // contents before the name that makes it a backup
    disk.sync_fs(&work).doing(doing)?;
    disk.rename(&work, &home.join(&name), true).doing(doing)?;
    tx.journal.backup = Some(name);
    Ok(())
}

/// A stored file is a second name of what lay there: who wrote into it after the last look before the switch wrote into the backup, too.
/// The backup then gets a copy of its own, and its record says what is in that, so that the way back brings it and is not refused for it.
///
/// Whatever fails here is only told: a healthy release is not held for it, and the way back looks at digests.
pub fn keep_up(trip: &mut Trip, tx: &Tx) {
    let Some(name) = &tx.journal.backup else { return };
    let dir = trip.settings.layout.backups().join(name);
    match kept_up(trip.world.disk, &dir, &tx.plan) {
        Ok(written) => {
            written.iter().for_each(|path| trip.warn(format!("{path} was written to while the trees were switched: the backup {name} has it as it is now")))
        }
        Err(e) => trip.warn(format!("the backup {name} may not have what was written while the trees were switched: {}", e.message())),
    }
}

fn kept_up(disk: &dyn Disk, dir: &Path, plan: &Plan) -> Result<Vec<ReleasePath>> {
    let at = dir.join("backup.json");
    let Some(bytes) = durable::read(disk, &at, SIZE_MAX).doing(|| format!("reading {}", at.display()))? else { return Ok(Vec::new()) };
    let mut record: Record = record::open_record(&bytes, SCHEMA).map_err(|e| Error::verification(format!("{}: {e}", at.display())))?;
    let stored: BTreeMap<&ReleasePath, &Found> = plan.files.iter().filter(|f| f.is_backed_up()).filter_map(|f| Some((&f.path, f.found.as_deref()?))).collect();
    let (mut written, mut named) = (Vec::new(), Vec::new());
    for entry in record.entries.iter_mut().filter(|e| e.stored) {
        let Some(found) = stored.get(&entry.path) else { continue };
        let kept = dir.join("files").join(entry.path.as_str());
        // a copy, where there are no second names, nobody else writes into; and a run before this one may have been cut after the record
        let second_name = || disk.meta(&kept).ok().flatten().is_some_and(|m| m.ino == found.ino && !survey::unchanged(Some(&m), found));
        if entry.want.sha256 == found.sha256 && !second_name() {
            continue;
        }
        let own = durable::beside(&kept).doing(|| format!("naming {}", kept.display()))?;
        let (mut copy, size, sha256) = copied(disk, &kept, &own, 0o600)?;
        copy.sync().doing(|| format!("writing {}", own.display()))?;
        if sha256 != found.sha256 {
            written.push(entry.path.clone());
        }
        (entry.want.sha256, entry.want.size) = (sha256, Some(size));
        named.push((own, kept));
    }
    if !named.is_empty() {
        // the record first: one that is ahead of its file is seen when this is done again, a file that is ahead of its record is not
        let doing = || format!("writing {}", at.display());
        durable::save(disk, &at, &record::seal_record(SCHEMA, &record), 0o644).doing(doing)?;
        named.iter().try_for_each(|(own, kept)| disk.rename(own, kept, false)).and_then(|()| disk.sync_fs(dir)).doing(doing)?;
    }
    Ok(written)
}

/// Where a backup is put together.
pub fn work_dir(layout: &Layout, transaction: &str) -> PathBuf {
    layout.backups().join(format!(".pikit-{transaction}"))
}

/// Stores the files that change or go below `dir/files`.
fn store(trip: &mut Trip, plan: &Plan, dir: &Path) -> Result<()> {
    let disk = trip.world.disk;
    durable::make_dirs(disk, &dir.join("files"), 0o700).doing(|| format!("making {}", dir.display()))?;
    for file in plan.files.iter().filter(|f| f.is_backed_up()) {
        trip.go_on()?;
        let found = file.found.as_ref().expect("only found files are backed up");
        let live = survey::join(&trip.settings.managed[file.unit].to, file.inside());
        let kept = dir.join("files").join(file.path.as_str());
        durable::make_parents(disk, &dir.join("files"), file.path.as_str(), None)
            .doing(|| format!("making the folders above {}", dir.join("files").join(file.path.as_str()).display()))?;
        match disk.link(&live, &kept) {
            Ok(()) => {}
            // another file system, or one without links: a copy, hashed on the way
            Err(_) => copy(disk, &live, &kept, &found.sha256, 0o600)?,
        }
        if !survey::unchanged(disk.meta(&live).doing(|| format!("looking at {}", live.display()))?.as_ref(), found) {
            return Err(survey::changed_meanwhile(&live));
        }
    }
    Ok(())
}

fn copy(disk: &dyn Disk, from: &Path, to: &Path, expected: &Digest, mode: u32) -> Result<()> {
    if copied(disk, from, to, mode)?.2 == *expected { Ok(()) } else { Err(survey::changed_meanwhile(from)) }
}

/// The copy, not yet synced; its bytes and digest.
fn copied(disk: &dyn Disk, from: &Path, to: &Path, mode: u32) -> Result<(Box<dyn NewFile>, u64, Digest)> {
    let mut reader = disk.open(from).doing(|| format!("reading {}", from.display()))?;
    let writing = || format!("writing {}", to.display());
    durable::remove(disk, to).doing(writing)?; // of a run that was killed
    let mut writer = Hashing::new(disk.create(to, mode).doing(writing)?);
    let size = survey::copy(&mut reader, &mut writer, &mut |_| Ok(())).map_err(|e| e.at(from, to))?;
    let (file, sha256) = writer.finish();
    Ok((file, size, sha256))
}

/// Drops the backups beyond `keep`, never the one just made, and whatever a killed run left half made.
///
/// # Errors
/// A backup cannot be removed.
pub fn prune(trip: &mut Trip, keep: u32) -> Result<()> {
    let (disk, layout) = (trip.world.disk, &trip.settings.layout);
    for old in list(disk, layout)?.iter().skip(keep as usize) {
        remove(disk, layout, &old.name)?;
    }
    Ok(())
}

/// Edited copies that repairs put aside: the newest few stay.
///
/// # Errors
/// One cannot be removed.
pub fn prune_edited(trip: &Trip) -> Result<()> {
    const KEPT: usize = 5;
    let (disk, home) = (trip.world.disk, trip.settings.layout.edited());
    let doing = || format!("tidying {}", home.display());
    if disk.meta(&home).doing(doing)?.is_none() {
        return Ok(());
    }
    let mut all = Vec::new();
    for name in disk.list(&home).doing(doing)? {
        let dir = home.join(name);
        if let Some(meta) = disk.meta(&dir).doing(doing)? {
            all.push((meta.mtime, meta.dev, dir));
        }
    }
    all.sort();
    for (_, dev, dir) in all.iter().take(all.len().saturating_sub(KEPT)) {
        durable::remove_tree(disk, dir, *dev).doing(doing)?;
    }
    Ok(())
}

/// Removes one backup: its record first, so that a half-removed one is none.
///
/// # Errors
/// It cannot be removed.
pub fn remove(disk: &dyn Disk, layout: &Layout, name: &str) -> Result<()> {
    let dir = layout.backups().join(name);
    let doing = || format!("removing {}", dir.display());
    let Some(meta) = disk.meta(&dir).doing(doing)? else { return Ok(()) };
    durable::remove(disk, &dir.join("backup.json")).doing(doing)?;
    durable::remove_tree(disk, &dir, meta.dev).doing(doing)
}
