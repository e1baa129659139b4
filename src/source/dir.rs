//! A folder of this machine, or of a stick: `manifest.json` and the bundle in it, or in one subfolder for each version.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use semver::Version;

use super::archive::{Input, Opener};
use super::choose::Taste;
use super::judge::{Candidate, Judge, Verdict};
use super::url::SIGNATURE_MAX;
use super::{BundleRef, Memory, Offer, Source, Span, Start, Unpacked, Wanted, steps};
use crate::error::{Doing, Error, Result};
use crate::release::manifest::SignedStep;
use crate::release::{Manifest, manifest};

/// Subfolders that are looked into.
const FOLDERS_MAX: usize = 1000;
/// Bytes of manifests that are held at once: of whoever wrote that stick nothing is known yet.
const LOOK_MAX: u64 = 64 << 20;

/// The source.
pub struct Folder<'a> {
    dir: PathBuf,
    taste: Taste,
    opener: Box<dyn Opener<'a> + 'a>,
}

/// A manifest that was found.
struct Found {
    dir: PathBuf,
    /// What messages call it.
    name: String,
    bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    steps: Vec<SignedStep>,
}

impl Found {
    fn shown(&self, look_only: bool) -> Candidate<'_> {
        let signature = self.signature.as_deref();
        Candidate { name: &self.name, manifest: &self.bytes, signature, tag: None, flagged: false, handed: false, look_only, steps: &self.steps }
    }
}

impl<'a> Folder<'a> {
    /// A source in this folder.
    pub fn new(dir: &Path, taste: Taste, opener: Box<dyn Opener<'a> + 'a>) -> Self {
        Folder { dir: dir.to_owned(), taste, opener }
    }

    /// All manifests that are there, and what is wrong with others.
    fn look(&self) -> Result<(Vec<Found>, Vec<Error>)> {
        let listed = std::fs::read_dir(&self.dir);
        let listed = listed.map_err(|e| {
            Error::source_failed(format!("opening {}", self.dir.display())).because(e).hint("is the stick plugged in and mounted? `lsblk` shows it")
        })?;
        let mut folders: Vec<PathBuf> = listed.flatten().map(|e| e.path()).filter(|p| p.is_dir()).take(FOLDERS_MAX).collect();
        folders.sort();
        folders.insert(0, self.dir.clone());
        let (mut found, mut wrong, mut room) = (Vec::new(), Vec::new(), LOOK_MAX);
        for dir in folders {
            let path = dir.join(manifest::NAME);
            let (bytes, signature) = match (read_small(&path, manifest::SIZE_MAX.min(room)), read_small(&dir.join(manifest::SIGNATURE_NAME), SIGNATURE_MAX)) {
                (Ok(None), _) => continue,
                (Ok(Some(bytes)), Ok(signature)) => (bytes, signature),
                // one that cannot be read is no reason to have none
                (Err(e), _) | (_, Err(e)) => {
                    wrong.push(e);
                    continue;
                }
            };
            room -= bytes.len() as u64;
            let steps = if steps::likely(&bytes) { self.opener.steps(&bytes)? } else { Vec::new() };
            found.push(Found { dir, name: path.display().to_string(), bytes, signature, steps });
        }
        Ok((found, wrong))
    }

    fn offer(&self, found: &Found, manifest: Manifest) -> Result<Offer> {
        let dir = &found.dir;
        let listed = std::fs::read_dir(dir).doing(|| format!("reading {}", dir.display()))?;
        let names: Vec<String> = listed.flatten().filter(|e| e.path().is_file()).filter_map(|e| e.file_name().into_string().ok()).collect();
        let name = self.taste.bundle_among(&manifest, names.iter().map(String::as_str));
        let path = dir.join(name.map_err(|e| Error::source_failed(format!("release {} in {} {e}", manifest.version, dir.display())))?);
        let size = std::fs::metadata(&path).doing(|| format!("reading {}", path.display()))?.len();
        let at = path.into_os_string().into_string();
        let at = at.map_err(|_| Error::source_failed(format!("the path of {} is not UTF-8", dir.display())))?;
        let (manifest_bytes, signature) = (found.bytes.clone(), found.signature.clone());
        Ok(Offer { manifest_bytes, signature, manifest, bundle: BundleRef { at, size: Some(size) }, notes: Vec::new() })
    }
}

impl Source for Folder<'_> {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    /// Which is the highest is only known once all were shown; so all are shown twice, and what the first round says of other releases
    /// (a recall) is known in the second.
    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, _: &mut Memory) -> Result<Option<Offer>> {
        let (found, mut wrong) = self.look()?;
        if found.is_empty() && wrong.is_empty() && *wanted == Wanted::Best {
            let hint = "a release is manifest.json and its bundle, side by side, here or one folder down";
            return Err(Error::source_failed(format!("{} holds no {}", self.name(), manifest::NAME)).hint(hint));
        }
        let mut known: Vec<(Version, &Found)> = Vec::new();
        for found in &found {
            match judge.judge(&found.shown(true))? {
                Verdict::Take(manifest) => known.push((manifest.version, found)),
                Verdict::NotForUs(version) => known.push((version, found)),
                Verdict::Wrong(error) => wrong.push(error),
            }
        }
        known.sort_by(|(a, _), (b, _)| b.cmp(a));
        let mut refused = false;
        for (_, found) in &known {
            match judge.judge(&found.shown(false))? {
                Verdict::Take(manifest) => match self.offer(found, *manifest) {
                    Ok(offer) => return Ok(Some(Offer { notes: wrong.iter().map(Error::message).collect(), ..offer })),
                    Err(e) if *wanted != Wanted::Best => return Err(e),
                    Err(e) => wrong.push(e),
                },
                Verdict::NotForUs(_) => refused = true,
                // the one that was asked for, and what is wrong with it
                Verdict::Wrong(error) if *wanted != Wanted::Best => return Err(error),
                Verdict::Wrong(error) => wrong.push(error),
            }
        }
        match (wanted, wrong.into_iter().next()) {
            (Wanted::Exact(_), Some(error)) if known.is_empty() => Err(error),
            (Wanted::Exact(_), _) if known.is_empty() => Err(Error::source_failed(format!("{} holds no release", self.name()))),
            (Wanted::Exact(version), wrong) => {
                let versions: Vec<String> = known.iter().map(|(v, _)| v.to_string()).collect();
                // which version one is that is not believed, nobody can tell
                let and = wrong.map(|error| format!("; and one that is refused: {}", error.message())).unwrap_or_default();
                Err(Error::source_failed(format!("{} has no release {version}", self.name())).hint(format!("it has {}{and}", versions.join(", "))))
            }
            (Wanted::Best, Some(error)) if !refused => Err(error),
            (Wanted::Best, _) => Ok(None),
        }
    }

    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        unpack(self.opener.as_ref(), bundle, span, to)
    }
}

/// Unpacks a file of this machine.
///
/// # Errors
/// It cannot be read; and as [`Source::unpack`].
pub fn unpack<'a>(opener: &(dyn Opener<'a> + 'a), bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
    let (file, start, length) = open(Path::new(&bundle.at), span)?;
    let limit = to.start(&start)?;
    opener.open(Input::File(file))?.unpack(limit, length, to)
}

/// Opens a file of this machine where the span begins, and tells how much of it is meant if not all; its time and size name its state.
///
/// # Errors
/// It cannot be read, or is no file.
fn open(path: &Path, span: Span) -> Result<(File, Start, Option<u64>)> {
    let doing = || format!("reading {}", path.display());
    let meta = std::fs::metadata(path).map_err(|e| Error::source_failed(doing()).because(e).hint("was the stick pulled out?"))?;
    if !meta.is_file() {
        return Err(Error::source_failed(format!("{} is not a file", path.display())));
    }
    let mut file = File::open(path).doing(doing)?;
    let time = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let state = format!("{}-{}", time.as_nanos(), meta.len());
    let (start, length) = match span {
        Span::Rest { from, validator } if validator.is_none_or(|v| v == state) && from <= meta.len() => (from, None),
        Span::Rest { .. } => (0, None),
        Span::Run { before_end, length } => match meta.len().checked_sub(before_end) {
            Some(start) if start > 0 => (start, Some(length)),
            _ => (0, None),
        },
    };
    file.seek(SeekFrom::Start(start)).doing(doing)?;
    Ok((file, Start { start, total: Some(meta.len()), validator: Some(state) }, length))
}

/// A small file; `None` when there is none. What is opened is what is looked at, and a pipe in its place holds up nobody.
fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let reading = || format!("reading {}", path.display());
    let file = match File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        opened => opened.doing(reading)?,
    };
    let meta = file.metadata().doing(reading)?;
    if !meta.is_file() {
        return Err(Error::verification(format!("{} is not a file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).doing(reading)?;
    if bytes.len() as u64 > limit {
        return Err(Error::verification(format!("{} has {} bytes, {limit} is the most that is read", path.display(), meta.len())));
    }
    Ok(Some(bytes))
}
