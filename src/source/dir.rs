//! A folder of this machine, or of a stick: `manifest.json` and the bundle in it, or in one subfolder for each version.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::choose::Taste;
use super::url::SIGNATURE_MAX;
use super::{Body, BundleRef, Memory, Offer, Source, Wanted};
use crate::error::{Doing, Error, Result};
use crate::release::{Manifest, manifest};

/// Subfolders that are looked into.
const FOLDERS_MAX: usize = 1000;

/// The source.
pub struct Folder {
    dir: PathBuf,
    taste: Taste,
}

/// A manifest that was found.
struct Found {
    dir: PathBuf,
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Folder {
    /// A source in this folder.
    pub fn new(dir: &Path, taste: Taste) -> Self {
        Folder { dir: dir.to_owned(), taste }
    }

    /// All manifests that are there, the highest version first, and what is wrong with the others.
    fn look(&self) -> Result<(Vec<Found>, Vec<Error>)> {
        let listed = std::fs::read_dir(&self.dir);
        let listed = listed.map_err(|e| {
            Error::source_failed(format!("opening {}", self.dir.display())).because(e).hint("is the stick plugged in and mounted? `lsblk` shows it")
        })?;
        let mut folders: Vec<PathBuf> = listed.flatten().map(|e| e.path()).filter(|p| p.is_dir()).take(FOLDERS_MAX).collect();
        folders.sort();
        folders.insert(0, self.dir.clone());
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        for dir in folders {
            let path = dir.join(manifest::NAME);
            match read_small(&path, manifest::SIZE_MAX)? {
                None => {}
                Some(bytes) => match Manifest::parse(&bytes) {
                    Ok(manifest) => found.push(Found { dir, bytes, manifest }),
                    Err(e) => wrong.push(Error::verification(format!("{}: {e}", path.display()))),
                },
            }
        }
        found.sort_by(|a, b| b.manifest.version.cmp(&a.manifest.version));
        Ok((found, wrong))
    }

    fn offer(&self, found: Found) -> Result<Offer> {
        let Found { dir, bytes, manifest } = found;
        let listed = std::fs::read_dir(&dir).doing(|| format!("reading {}", dir.display()))?;
        let names: Vec<String> = listed.flatten().filter(|e| e.path().is_file()).filter_map(|e| e.file_name().into_string().ok()).collect();
        let name = self.taste.bundle_among(&manifest, names.iter().map(String::as_str));
        let path = dir.join(name.map_err(|e| Error::source_failed(format!("release {} in {} {e}", manifest.version, dir.display())))?);
        let size = std::fs::metadata(&path).doing(|| format!("reading {}", path.display()))?.len();
        let at = path.into_os_string().into_string();
        let at = at.map_err(|_| Error::source_failed(format!("the path of {} is not UTF-8", dir.display())))?;
        let signature = read_small(&dir.join(manifest::SIGNATURE_NAME), SIGNATURE_MAX)?;
        Ok(Offer { manifest_bytes: bytes, signature, manifest, bundle: BundleRef { at, size: Some(size) }, notes: Vec::new() })
    }
}

impl Source for Folder {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn find(&self, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, _: &mut Memory) -> Result<Option<Offer>> {
        let (found, mut wrong) = self.look()?;
        if let Wanted::Exact(version) = wanted {
            let versions: Vec<String> = found.iter().map(|f| f.manifest.version.to_string()).collect();
            return match found.into_iter().find(|f| f.manifest.version == *version) {
                Some(found) => self.offer(found).map(Some),
                None if versions.is_empty() => Err(Error::source_failed(format!("{} holds no release", self.name()))),
                None => Err(Error::source_failed(format!("{} has no release {version}", self.name())).hint(format!("it has {}", versions.join(", ")))),
            };
        }
        if found.is_empty() && wrong.is_empty() {
            let hint = "a release is manifest.json and its bundle, side by side, here or one folder down";
            return Err(Error::source_failed(format!("{} holds no {}", self.name(), manifest::NAME)).hint(hint));
        }
        let mut refused = false;
        for found in found.into_iter().filter(|f| self.taste.is_mine(&f.manifest, false)) {
            if may(&found.manifest).is_err() {
                refused = true;
                continue;
            }
            match self.offer(found) {
                Ok(offer) => return Ok(Some(Offer { notes: wrong.iter().map(Error::message).collect(), ..offer })),
                Err(e) => wrong.push(e),
            }
        }
        match wrong.into_iter().next() {
            Some(error) if !refused => Err(error),
            _ => Ok(None),
        }
    }

    fn bundle(&self, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body<'_>> {
        open(Path::new(&bundle.at), from, validator)
    }
}

/// Opens a file of this machine at an offset; its time and size name its state.
///
/// # Errors
/// It cannot be read, or is no file.
pub fn open(path: &Path, from: u64, validator: Option<&str>) -> Result<Body<'static>> {
    let doing = || format!("reading {}", path.display());
    let meta = std::fs::metadata(path).map_err(|e| Error::source_failed(doing()).because(e).hint("was the stick pulled out?"))?;
    if !meta.is_file() {
        return Err(Error::source_failed(format!("{} is not a file", path.display())));
    }
    let mut file = File::open(path).doing(doing)?;
    let time = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let state = format!("{}-{}", time.as_nanos(), meta.len());
    let start = if validator.is_none_or(|v| v == state) && from <= meta.len() { from } else { 0 };
    file.seek(SeekFrom::Start(start)).doing(doing)?;
    Ok(Body { reader: Box::new(file), start, total: Some(meta.len()), validator: Some(state) })
}

/// A small file; `None` when there is none.
fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= limit => {}
        Ok(meta) if meta.is_file() => {
            return Err(Error::verification(format!("{} has {} bytes, {limit} is the most that is read", path.display(), meta.len())));
        }
        Ok(_) => return Err(Error::verification(format!("{} is not a file", path.display()))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e).doing(|| format!("reading {}", path.display())),
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(limit).read_to_end(&mut bytes)).doing(|| format!("reading {}", path.display()))?;
    Ok(Some(bytes))
}
