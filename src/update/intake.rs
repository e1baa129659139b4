//! Taking contents in while they pass by: each that is needed is hashed and written where it is staged, and anything that the manifest does
//! not list ends the run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::Trip;
use super::fetch::{Cost, From, Missing, Need};
use super::pieces::Resume;
use super::survey::{self, CopyError};
use crate::error::{Doing, Error, Result};
use crate::event::Phase;
use crate::quantity::bytes;
use crate::release::bundle::Head;
use crate::release::{Digest, ReleasePath, digest::Hashing, manifest};
use crate::source::{Start, Unpacked};

/// How much more must have arrived before the place to go on from is written again, bytes: each write costs the card an erase block.
const RESUME_EVERY: u64 = 16 << 20;
/// Bounds of an archive whose manifest tells no sizes.
const UNTOLD_MAX: u64 = 4 << 30;
const UNTOLD_RATIO: u64 = 200;

/// Takes in what is missing while the bundle passes by.
struct Intake<'i, 't, 's> {
    trip: &'i mut Trip<'t>,
    from: From<'s>,
    missing: &'i mut Missing,
    written: &'i mut u64,
    /// What the manifest lists.
    listed: &'i Listed<'s>,
    /// How often each path has come.
    seen: BTreeMap<ReleasePath, usize>,
    /// Whether only a part of the contents was asked for.
    part: Option<Part>,
    /// What stands before the entries, once it has come.
    began: Option<Start>,
    /// Bytes that came before this pass, or lie before it; and how many there are in all.
    done: u64,
    total: Option<u64>,
    /// Compressed bytes of this pass.
    used: u64,
    /// The place that was last written down, and the one to be written down next.
    saved: u64,
    resume: Resume,
}

/// One of several answers that make up a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Bytes before it.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// How a pass over contents ended.
pub struct Passed {
    /// Whether all of the bundle came, from its start on.
    pub whole: bool,
    /// How it ended.
    pub result: Result<()>,
}

/// What a manifest lists, in order: paths, each with one content for each architecture.
pub struct Listed<'s>(Vec<(&'s str, Digest)>);

impl<'s> Listed<'s> {
    /// What this release lists.
    pub fn of(from: &From<'s>) -> Self {
        let mut all: Vec<_> = from.manifest.files.iter().map(|f| (f.path.as_str(), f.sha256)).collect();
        all.sort_unstable();
        all.dedup();
        Listed(all)
    }
    /// The contents that may come at a path; none: it is not listed.
    fn at(&self, path: &str) -> &[(&'s str, Digest)] {
        let start = self.0.partition_point(|(p, _)| *p < path);
        let count = self.0[start..].iter().take_while(|(p, _)| *p == path).count();
        &self.0[start..start + count]
    }
}

/// One pass over contents: `unpack` hands them over.
pub fn pass<'s>(
    trip: &mut Trip,
    from: From<'s>,
    listed: &Listed<'s>,
    part: Option<Part>,
    missing: &mut Missing,
    cost: &mut Cost,
    unpack: impl FnOnce(&mut dyn Unpacked) -> Result<u64>,
) -> Passed {
    let (done, total) = part.map_or((0, None), |p| (p.done, Some(p.total)));
    let resume = Resume::start(&from);
    let written = &mut cost.written;
    let mut intake = Intake { trip, from, missing, written, listed, seen: BTreeMap::new(), part, began: None, done, total, used: 0, saved: 0, resume };
    let unpacked = unpack(&mut intake);
    let Intake { trip, part, began, used, resume, .. } = intake;
    cost.fetched = cost.fetched.saturating_add(*unpacked.as_ref().unwrap_or(&used));
    if unpacked.is_err() && part.is_none() && began.as_ref().is_some_and(|b| resume.offset > b.start) {
        resume.save(trip, &from);
    }
    Passed { whole: part.is_none() && began.is_some_and(|b| b.start == 0), result: unpacked.map(drop).map_err(|e| e.during(Phase::Downloading)) }
}

impl Unpacked for Intake<'_, '_, '_> {
    fn start(&mut self, start: &Start) -> Result<u64> {
        self.began = Some(start.clone());
        if start.start == 0 || self.part.is_none() {
            // of all that is still to come
            self.part = None;
            (self.done, self.total) = (start.start, start.total);
            self.resume.validator.clone_from(&start.validator);
            (self.resume.offset, self.saved) = (start.start, start.start);
            let words = match start.total {
                Some(total) => format!("fetching {} of {}", bytes(total.saturating_sub(start.start)), self.from.source.name()),
                None => format!("fetching from {}", self.from.source.name()),
            };
            self.trip.phase(Phase::Downloading, words);
        }
        Ok(limit(self.trip, &self.from, start.total))
    }

    fn expect(&mut self, bytes: u64) {
        self.total = Some(bytes);
        self.trip.phase(Phase::Downloading, format!("fetching {} in chunks from {}", crate::quantity::bytes(bytes), self.from.source.name()));
    }

    fn entry(&mut self, head: &Head, content: &mut dyn Read, used: &Cell<u64>) -> Result<()> {
        self.trip.go_on()?;
        self.used = used.get();
        if let (Some(offset), None) = (head.member, &self.part) {
            self.resume.offset = self.done.saturating_add(offset);
            if self.resume.offset > self.saved.saturating_add(RESUME_EVERY) {
                self.saved = self.resume.offset;
                self.resume.save(self.trip, &self.from);
            }
        }
        if [manifest::NAME, manifest::SIGNATURE_NAME].contains(&head.path.as_str()) {
            return Ok(());
        }
        let digests = self.listed.at(head.path.as_str());
        if digests.is_empty() {
            return Err(Error::verification(format!("the bundle holds {}, which its manifest does not list", head.path))
                .hint("somebody packed something else than they described: nothing of it is installed; tell the maintainer"));
        }
        let times = self.seen.entry(head.path.clone()).or_insert(0);
        *times += 1;
        if *times > digests.len() {
            return Err(Error::verification(format!("the bundle holds {} twice", head.path)).hint("the release is broken: tell its maintainer"));
        }
        if let Some(sha256) = digests.iter().map(|(_, d)| *d).find(|d| self.missing.contains_key(d)) {
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
        self.trip.moved(Phase::Downloading, self.done.saturating_add(used.get()), self.total.unwrap_or(0));
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
            Ok(_) if self.listed.at(head.path.as_str()).iter().any(|(_, d)| *d == digest) => None,
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
