//! The files of a release as they lie in a folder: where they are, read with limits, and put back whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Result};
use crate::release::{Manifest, PublicKey, manifest, signature};
use crate::world::durable;
use crate::world::real::RealDisk;

/// Largest file of a public key that is read, bytes.
const KEY_MAX: u64 = 4 << 10;
/// Mode of what is published anyway.
const PUBLIC: u32 = 0o644;

/// A release in a folder.
#[derive(Debug, Clone)]
pub struct Release {
    /// `manifest.json`
    pub manifest: PathBuf,
    /// `manifest.json.minisig`
    pub signature: PathBuf,
}

impl Release {
    /// The release that a folder, or the manifest in it, is.
    ///
    /// # Errors
    /// There is none.
    pub fn at(target: &Path) -> Result<Self> {
        let absolute = std::path::absolute(target).doing(|| format!("finding {}", target.display()))?;
        let manifest = if absolute.is_dir() { absolute.join(manifest::NAME) } else { absolute };
        if !manifest.is_file() {
            let hint = format!("name the folder of a release, or its {}", manifest::NAME);
            return Err(Error::usage(format!("there is no {}", manifest.display())).hint(hint));
        }
        let mut signature = manifest.clone().into_os_string();
        signature.push(".minisig");
        Ok(Release { signature: signature.into(), manifest })
    }
    /// The manifest, and its exact bytes.
    ///
    /// # Errors
    /// It is none that a device would read.
    pub fn read(&self) -> Result<(Manifest, Vec<u8>)> {
        let reading = || format!("reading {}", self.manifest.display());
        let bytes = small(&self.manifest, manifest::SIZE_MAX)?.ok_or_else(|| Error::usage(format!("there is no {}", self.manifest.display())))?;
        let manifest = Manifest::parse(&bytes).map_err(|e| Error::verification(reading()).because(e))?;
        Ok((manifest, bytes))
    }
    /// The signatures, if there are any.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn signatures(&self) -> Result<Option<Vec<u8>>> {
        small(&self.signature, signature::SIZE_MAX)
    }
    /// The bundle that the manifest names.
    pub fn bundle(&self, manifest: &Manifest) -> Option<PathBuf> {
        let named = manifest.bundle.as_ref().map(|bundle| self.manifest.with_file_name(&bundle.name));
        named.filter(|path| path.is_file())
    }
}

/// A small file; `None` when there is none.
///
/// # Errors
/// It cannot be read, or is larger than `limit`.
pub fn small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let reading = || format!("reading {}", path.display());
    let mut file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.doing(reading)?,
    };
    let mut bytes = Vec::new();
    (&mut file).take(limit + 1).read_to_end(&mut bytes).doing(reading)?;
    if bytes.len() as u64 > limit {
        return Err(Error::verification(format!("{} is larger than {limit} bytes, the most that is read", path.display())));
    }
    Ok(Some(bytes))
}

/// Replaces a file whole, or not at all.
///
/// # Errors
/// The disk does not take it.
pub fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let absolute = std::path::absolute(path).doing(writing)?;
    durable::save(&RealDisk::new(Vec::new()), &absolute, bytes, PUBLIC).doing(writing)
}

/// Public keys: those of these files, and every `.pub` in this folder.
///
/// # Errors
/// A file is not there, or is no key; the folder has none.
pub fn public_keys(files: &[PathBuf], folder: Option<&Path>) -> Result<Vec<PublicKey>> {
    let mut paths = files.to_vec();
    if let Some(folder) = folder {
        let reading = || format!("reading the folder {}", folder.display());
        for item in std::fs::read_dir(folder).doing(reading)? {
            paths.push(item.doing(reading)?.path());
        }
        paths.retain(|path| files.contains(path) || path.extension().is_some_and(|e| e == "pub"));
        paths[files.len()..].sort();
        if paths.len() == files.len() {
            return Err(Error::usage(format!("there is no key in {}", folder.display())).hint("keys are files whose names end in .pub"));
        }
    }
    paths.iter().map(|path| public_key(path)).collect()
}

/// The public key in a file; or the key's line itself, which is no secret.
fn public_key(path: &Path) -> Result<PublicKey> {
    if let Some(key) = path.to_str().and_then(|line| PublicKey::parse(line).ok()) {
        return Ok(key);
    }
    let reading = || format!("reading the public key {}", path.display());
    let bytes = small(path, KEY_MAX)?.ok_or_else(|| Error::usage(format!("there is no {}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::usage(reading()).because("it is not text"))?;
    // the message of the parser repeats the line, and that of a secret key is not to be repeated
    PublicKey::parse(&text).map_err(|_| Error::usage(reading()).because("it is no public key of minisign").hint("it is the file NAME.pub, not NAME.key"))
}
