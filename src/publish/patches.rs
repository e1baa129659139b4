//! The patches of a release: one for each earlier release that is worth it, and one for the manifest itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::earlier::Earlier;
use super::pack::Asset;
use super::patch::{Contents, Target, make, targets};
use super::place::{self, Release};
use super::tree::Entry;
use crate::error::{Doing, Result};
use crate::quantity;
use crate::release::manifest::Patch;
use crate::release::route::{self, Way};
use crate::release::{Digest, Manifest, manifest, patch};

/// A patch has to be smaller than this part of what the blocks cost, in hundredths: it is one more asset to keep, and of no use to a
/// device whose files differ.
const WORTH: u64 = 90;

/// Writes patches of contents. What does not pay is not written.
///
/// # Errors
/// An earlier release's contents are not there; a disk that does not take it.
pub fn contents(new: &Manifest, entries: &[Entry], earlier: &[Earlier], dir: &Path) -> Result<Vec<Patch>> {
    let mut written = Vec::new();
    for old in earlier.iter().filter(|e| e.patch) {
        let ways = route::ways(new, &new.beyond(&old.manifest), None);
        let Some(blocks) = ways.iter().find(|w| matches!(w, Way::Runs(_))).and_then(|w| w.bytes(None)) else { continue };
        let before = Contents::of(&old.release, &old.manifest)?;
        let bytes = make(&targets(new, entries, &old.manifest, &before)?, &before)?;
        if bytes.len() as u64 * 100 >= blocks * WORTH {
            continue;
        }
        let product = new.product.as_deref().unwrap_or_default();
        let name = format!("{product}-{}-{}{}", old.manifest.version, new.version, patch::SUFFIX);
        place::put(&dir.join(&name), &bytes)?;
        written.push(Patch { name, from: old.manifest.version.clone(), size: bytes.len() as u64, sha256: Digest::of(&bytes) });
    }
    Ok(written)
}

/// Removes the patches of a manifest that was changed: they make it as it was, and devices would fetch them for nothing. What to say of it.
///
/// # Errors
/// The folder cannot be read or changed.
pub fn forget_manifests(release: &Release) -> Result<Option<String>> {
    let patches = of_manifests(release)?;
    for path in &patches {
        std::fs::remove_file(path).doing(|| format!("removing {}", path.display()))?;
    }
    let told = || format!("{} of an earlier state of the manifest removed: devices fetch the new one whole", quantity::count(patches.len(), "patch file"));
    Ok((!patches.is_empty()).then(told))
}

/// Puts the signatures behind the patches of the manifest, which saves devices a request.
///
/// # Errors
/// The folder cannot be read or changed.
pub fn sign_manifests(release: &Release, signatures: &[u8]) -> Result<()> {
    for path in of_manifests(release)? {
        let bytes = place::small(&path, manifest::SIZE_MAX)?.unwrap_or_default();
        // what is no patch is left to whoever put it there
        if let Some(signed) = patch::with_signatures(&bytes, signatures) {
            place::put(&path, &signed)?;
        }
    }
    Ok(())
}

/// The patches of the manifest that lie beside it.
fn of_manifests(release: &Release) -> Result<Vec<PathBuf>> {
    let folder = release.manifest.parent().unwrap_or(Path::new(""));
    let reading = || format!("reading the folder {}", folder.display());
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).doing(reading)? {
        let path = item.doing(reading)?.path();
        if path.to_string_lossy().ends_with(patch::MANIFEST_SUFFIX) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Looks at the patches and chunks that a manifest names: a file that is there must be the one that is meant. What is wrong with them.
///
/// # Errors
/// A file cannot be read.
pub fn look(release: &Release, manifest: &Manifest) -> Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    let patches = manifest.bundle.iter().flat_map(|b| &b.patches).map(|p| (&p.name, format!("devices on {}", p.from), p.sha256, p.size));
    let chunks = manifest.bundle.iter().flat_map(|b| &b.chunks).map(|c| (&c.name, "devices".to_owned(), c.sha256, c.size));
    for (name, whose, sha256, size) in patches.chain(chunks) {
        let path = release.manifest.with_file_name(name);
        let reading = || format!("reading {}", path.display());
        if !path.is_file() {
            found.push((format!("{name} is not there: {whose} fetch blocks instead"), true));
        } else if Digest::of_reader(File::open(&path).doing(reading)?).doing(reading)? != (sha256, size) {
            found.push((format!("{name} is not the file that the manifest names"), false));
        }
    }
    Ok(found)
}

/// Writes patches of the manifest, for every earlier release.
///
/// # Errors
/// A disk that does not take it.
pub fn manifests(new: &Manifest, bytes: &[u8], earlier: &[Earlier], dir: &Path) -> Result<Vec<Asset>> {
    let mut written = Vec::new();
    for old in earlier {
        let target = Target { file: 0, hints: vec![0], common: false, content: bytes.to_vec() };
        let patch = make(&[target], &Contents { all: vec![(0, old.bytes.clone())] })?;
        if patch.len() as u64 * 100 >= bytes.len() as u64 * WORTH {
            continue;
        }
        let name = patch::manifest_name(new.product.as_deref().unwrap_or_default(), &old.manifest.version);
        place::put(&dir.join(&name), &patch)?;
        written.push(Asset { name, size: patch.len() as u64, sha256: Digest::of(&patch) });
    }
    Ok(written)
}
