//! Fetching: the bundle is read once, and each file that is needed is hashed and written where it is staged while it arrives.
//! What an interrupted run had fetched is kept below `/var/tmp/pikit-update/<version>/`, each piece named by its digest.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Trip;
use super::begin::Tx;
use super::survey::{self, CopyError};
use crate::error::{Doing, Error, Result};
use crate::event::Phase;
use crate::quantity::bytes;
use crate::release::bundle::Head;
use crate::release::{Digest, Manifest, ReleasePath, digest::Hashing, manifest};
use crate::source::{BundleRef, Source, Start, Unpacked};
use crate::world::durable;

/// Where a release's contents come from.
#[derive(Clone, Copy)]
pub struct From<'s> {
    /// The source.
    pub source: &'s dyn Source,
    /// Its bundle.
    pub bundle: &'s BundleRef,
    /// Its manifest.
    pub manifest: &'s Manifest,
    /// Digest of the manifest's bytes.
    pub manifest_sha256: Digest,
}

/// Contents still to come, and where each goes.
pub type Missing = BTreeMap<Digest, Vec<Need>>;

/// One place that a content is to come to.
#[derive(Debug, Clone)]
pub struct Need {
    /// The file, for messages.
    pub path: ReleasePath,
    /// Where it is staged.
    pub staged: PathBuf,
    /// Owner, if it is to be set.
    pub owner: Option<(u32, u32)>,
    /// Mode; none: that of the bundle.
    pub mode: Option<u32>,
}

/// A place to go on from after an interruption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Resume {
    manifest_sha256: Digest,
    at: String,
    offset: u64,
    validator: Option<String>,
}

/// How much more must have arrived before the place to go on from is written again, bytes: each write costs the card an erase block.
const RESUME_EVERY: u64 = 16 << 20;
/// Bounds of an archive whose manifest tells no sizes.
const UNTOLD_MAX: u64 = 4 << 30;
const UNTOLD_RATIO: u64 = 200;

/// Streams the bundle and stages what is missing. On return nothing is missing.
///
/// # Errors
/// The source; a bundle that is not what its manifest says (nothing of it is used beyond files whose digest was right).
pub fn fetch(trip: &mut Trip, from: From, mut missing: Missing, fetched: &mut u64, written: &mut u64) -> Result<()> {
    let resume = load_resume(trip, &from).filter(|_| !missing.is_empty());
    let mut start = resume.as_ref().map_or(0, |r| r.offset);
    let mut validator = resume.and_then(|r| r.validator);
    loop {
        if missing.is_empty() {
            return Ok(());
        }
        let began_at = stream(trip, from, start, validator.as_deref(), &mut missing, fetched, written)?;
        if missing.is_empty() {
            break;
        }
        if began_at == 0 {
            return Err(Error::verification(format!("the bundle of {} lacks files that its manifest lists: {}", from.manifest.version, named(&missing)))
                .hint("the release is broken: tell its maintainer"));
        }
        // what lay before the place we went on from turned out to be damaged: once more, from the start
        (start, validator) = (0, None);
    }
    let _ = durable::remove(trip.world.disk, &resume_path(trip, &from));
    Ok(())
}

/// One pass over the bundle from an offset. Returns where it really began.
fn stream(trip: &mut Trip, from: From, start: u64, validator: Option<&str>, missing: &mut Missing, fetched: &mut u64, written: &mut u64) -> Result<u64> {
    let listed = from.manifest.files.iter().fold(BTreeMap::<_, BTreeSet<_>>::new(), |mut all, f| {
        all.entry(f.path.as_str()).or_default().insert(f.sha256);
        all
    });
    let resume = Resume { manifest_sha256: from.manifest_sha256, at: from.bundle.at.clone(), offset: start, validator: None };
    let mut intake = Intake { trip, from, missing, written, listed, seen: BTreeMap::new(), began_at: start, total: None, used: 0, saved: start, resume };
    let unpacked = from.source.unpack(from.bundle, start, validator, &mut intake);
    let Intake { trip, began_at, used, resume, .. } = intake;
    *fetched = fetched.saturating_add(*unpacked.as_ref().unwrap_or(&used));
    if unpacked.is_err() && resume.offset > began_at {
        save_resume(trip, &from, &resume);
    }
    unpacked.map(|_| began_at).map_err(|e| e.during(Phase::Downloading))
}

/// Takes in what is missing while the bundle passes by.
struct Intake<'i, 't, 's> {
    trip: &'i mut Trip<'t>,
    from: From<'s>,
    missing: &'i mut Missing,
    written: &'i mut u64,
    /// What the manifest lists.
    listed: BTreeMap<&'s str, BTreeSet<Digest>>,
    /// How often each path has come.
    seen: BTreeMap<ReleasePath, usize>,
    began_at: u64,
    total: Option<u64>,
    /// Compressed bytes so far.
    used: u64,
    /// The place that was last written down.
    saved: u64,
    resume: Resume,
}

impl Unpacked for Intake<'_, '_, '_> {
    fn start(&mut self, start: &Start) -> Result<u64> {
        (self.began_at, self.total, self.saved) = (start.start, start.total, start.start);
        self.resume.validator.clone_from(&start.validator);
        let words = match self.total {
            Some(total) => format!("fetching {} of {}", bytes(total.saturating_sub(self.began_at)), self.from.source.name()),
            None => format!("fetching from {}", self.from.source.name()),
        };
        self.trip.phase(Phase::Downloading, words);
        Ok(limit(self.trip, &self.from, self.total))
    }

    fn entry(&mut self, head: &Head, content: &mut dyn Read, used: &Cell<u64>) -> Result<()> {
        self.trip.go_on()?;
        self.used = used.get();
        if let Some(offset) = head.member {
            self.resume.offset = self.began_at.saturating_add(offset);
            if self.resume.offset > self.saved.saturating_add(RESUME_EVERY) {
                self.saved = self.resume.offset;
                save_resume(self.trip, &self.from, &self.resume);
            }
        }
        if [manifest::NAME, manifest::SIGNATURE_NAME].contains(&head.path.as_str()) {
            return Ok(());
        }
        let Some(digests) = self.listed.get(head.path.as_str()) else {
            return Err(Error::verification(format!("the bundle holds {}, which its manifest does not list", head.path))
                .hint("somebody packed something else than they described: nothing of it is installed; tell the maintainer"));
        };
        let times = self.seen.entry(head.path.clone()).or_insert(0);
        *times += 1;
        if *times > digests.len() {
            return Err(Error::verification(format!("the bundle holds {} twice", head.path)).hint("the release is broken: tell its maintainer"));
        }
        if let Some(sha256) = digests.iter().find(|d| self.missing.contains_key(d)).copied() {
            let needs = self.missing.get(&sha256).expect("it was found just now").clone();
            let taken = self.take(head, content, (&sha256, &needs[0]), used);
            self.used = used.get();
            if taken? {
                for twin in &needs[1..] {
                    double(self.trip, head, &sha256, &needs[0].staged, twin)?;
                    *self.written += head.size;
                }
                self.missing.remove(&sha256);
            }
        }
        self.moved(used);
        Ok(())
    }
}

impl Intake<'_, '_, '_> {
    fn moved(&mut self, used: &Cell<u64>) {
        self.trip.moved(Phase::Downloading, self.began_at.saturating_add(used.get()), self.total.unwrap_or(0));
    }

    /// Writes one content where it is staged. `false`: it is that of another architecture.
    fn take(&mut self, head: &Head, content: &mut dyn Read, (sha256, need): (&Digest, &Need), used: &Cell<u64>) -> Result<bool> {
        let disk = self.trip.world.disk;
        let writing = || format!("writing {}", need.staged.display());
        // with its mode from the start: what is whole when the power goes is used as it is
        let mut writer = Hashing::new(disk.create(&need.staged, need.mode.unwrap_or(head.mode)).doing(writing)?);
        let mut told = 0;
        let copied = survey::copy(content, &mut writer, &mut |n| {
            told += n;
            if told >= 1 << 20 {
                told = 0;
                self.moved(used);
            }
            self.trip.go_on()
        });
        let (mut file, digest) = writer.finish();
        let error = match copied {
            Ok(bytes) if digest == *sha256 => {
                // what is only kept for later stays whose it is, and remembers the mode
                let itself = || Ok::<_, Error>(disk.meta(&need.staged).doing(writing)?.map_or((0, 0), |m| (m.uid, m.gid)));
                let (uid, gid) = need.owner.map_or_else(itself, Ok)?;
                file.own(uid, gid, need.mode.unwrap_or(head.mode)).doing(writing)?;
                *self.written += bytes;
                return Ok(true);
            }
            Ok(_) if self.listed.get(head.path.as_str()).is_some_and(|d| d.contains(&digest)) => None,
            Ok(_) => Some(
                Error::verification(format!("{} is not what the manifest says: its SHA-256 is {digest}, {sha256} is listed", head.path))
                    .hint("the bundle was damaged or exchanged: nothing of it is installed"),
            ),
            Err(CopyError::Read(e)) => Some(crate::source::read_error(e, || "reading the bundle".into())),
            Err(e) => Some(e.at(Path::new(head.path.as_str()), &need.staged)),
        };
        drop(file);
        // a partial file must never be taken for a verified one; if this fails too, its digest is still checked before it is used
        let _ = disk.unlink(&need.staged);
        error.map_or(Ok(false), Err)
    }
}

/// A content that goes to several places arrives once.
fn double(trip: &mut Trip, head: &Head, sha256: &Digest, staged: &Path, twin: &Need) -> Result<()> {
    let disk = trip.world.disk;
    let writing = || format!("writing {}", twin.staged.display());
    let mut reader = disk.open(staged).doing(|| format!("reading {}", staged.display()))?;
    let mut writer = Hashing::new(disk.create(&twin.staged, 0o600).doing(writing)?);
    survey::copy(&mut reader, &mut writer, &mut |_| trip.go_on()).map_err(|e| e.at(staged, &twin.staged))?;
    let (mut file, digest) = writer.finish();
    if digest != *sha256 {
        return Err(Error::verification(format!("{} is not what was written to it a moment ago", staged.display()))
            .hint("the card or the memory of this board is failing"));
    }
    match twin.owner {
        Some((uid, gid)) => file.own(uid, gid, twin.mode.unwrap_or(head.mode)).doing(writing),
        None => Ok(()),
    }
}

/// The first of the files that are missing, for messages.
pub fn named(missing: &Missing) -> String {
    let all: Vec<&str> = missing.values().flatten().map(|n| n.path.as_str()).collect();
    let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
    format!("{}{more}", all[..all.len().min(3)].join(", "))
}

/// Most bytes the bundle may unpack to: what the manifest accounts for, with tar's own overhead.
fn limit(trip: &Trip, from: &From, compressed: Option<u64>) -> u64 {
    let files = &from.manifest.files;
    let overhead = 4096 * (files.len() as u64 + 8) + 2 * manifest::SIZE_MAX;
    match files.iter().try_fold(0u64, |sum, f| Some(sum.saturating_add(f.size?))) {
        Some(told) => told.saturating_add(overhead),
        None => {
            let free = trip.settings.managed.iter().filter_map(|m| trip.world.disk.volume(m.parent()).ok()).map(|v| v.free).min().unwrap_or(UNTOLD_MAX);
            let ratio = compressed.map_or(UNTOLD_MAX, |c| c.saturating_mul(UNTOLD_RATIO));
            UNTOLD_MAX.min(ratio).min(free.saturating_sub(trip.settings.min_free)).saturating_add(overhead)
        }
    }
}

fn resume_path(trip: &Trip, from: &From) -> PathBuf {
    trip.settings.layout.fetched_of(&from.manifest.version).join("resume.json")
}

fn load_resume(trip: &Trip, from: &From) -> Option<Resume> {
    let bytes = durable::read(trip.world.disk, &resume_path(trip, from), 64 << 10).ok()??;
    let resume: Resume = serde_json::from_slice(&bytes).ok()?;
    (resume.manifest_sha256 == from.manifest_sha256 && resume.at == from.bundle.at).then_some(resume)
}

/// Without it a later run starts at the beginning, so failing to write it is no failure.
fn save_resume(trip: &Trip, from: &From, resume: &Resume) {
    let path = resume_path(trip, from);
    let bytes = serde_json::to_vec(resume).expect("a place is plain data");
    let _ = make_home(trip, path.parent().expect("it lies in a folder")).and_then(|()| durable::save(trip.world.disk, &path, &bytes, 0o600));
}

fn make_home(trip: &Trip, dir: &Path) -> io::Result<()> {
    durable::make_dirs(trip.world.disk, dir, 0o700)
}

/// Moves what was staged of an abandoned transaction to where the next run finds it. Best effort: what cannot be kept is fetched again.
pub fn keep_pieces(trip: &Trip, tx: &Tx) {
    let (Some(version), Some(_)) = (&tx.plan.to, &tx.manifest) else { return };
    let disk = trip.world.disk;
    let home = trip.settings.layout.fetched_of(version);
    for unit in &tx.journal.units {
        for (index, file) in tx.changes(unit).filter(|(_, f)| f.is_written()) {
            let Some(want) = &file.want else { continue };
            let staged = tx.staged(unit, index, file);
            if !matches!(disk.meta(&staged), Ok(Some(m)) if m.kind == crate::world::Kind::File && m.size > 0) {
                continue;
            }
            let piece = home.join(want.sha256.to_string());
            if make_home(trip, &home).is_err() {
                return;
            }
            // on another file system it is copied, and only if it is what it should be
            if disk.rename(&staged, &piece, false).is_err() {
                let _ = copy_piece(trip, &staged, &piece, &want.sha256);
            }
        }
    }
}

fn copy_piece(trip: &Trip, staged: &Path, piece: &Path, expected: &Digest) -> io::Result<()> {
    let disk = trip.world.disk;
    durable::remove(disk, piece)?;
    let mut reader = disk.open(staged)?;
    let mode = disk.meta(staged)?.map_or(0o600, |m| m.mode & 0o755);
    let mut writer = Hashing::new(disk.create(piece, mode)?);
    let copied = survey::copy(&mut reader, &mut writer, &mut |_| Ok(()));
    if copied.is_err() || writer.finish().1 != *expected {
        return disk.unlink(piece);
    }
    Ok(())
}

/// Removes what was fetched and is not needed any more.
pub fn forget_pieces(trip: &Trip) {
    let _ = durable::remove_whole(trip.world.disk, &trip.settings.layout.fetched());
}
