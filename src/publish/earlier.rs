//! The releases before the one that is packed: their manifests tell how old files are, their contents are what patches start from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Recipe;
use super::place::Release;
use crate::error::{Doing, Error, Result};
use crate::release::{Manifest, manifest};

/// Where earlier releases are: manifests, folders of releases, folders of such folders.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Whose manifests are looked at.
    pub previous: Vec<PathBuf>,
    /// For whose devices a patch is made.
    pub patch_from: Vec<PathBuf>,
}

/// An earlier release.
#[derive(Debug)]
pub struct Earlier {
    /// Where it is.
    pub release: Release,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest, byte for byte.
    pub bytes: Vec<u8>,
    /// Whether a patch is wanted for devices that have it.
    pub patch: bool,
}

impl Earlier {
    /// All of them, oldest first. What is not earlier (this release, packed before) is passed over.
    ///
    /// # Errors
    /// There is no release; a manifest cannot be read, or is of another product.
    pub fn find(before: &Before, recipe: &Recipe) -> Result<Vec<Self>> {
        let mut found: BTreeMap<PathBuf, Earlier> = BTreeMap::new();
        let places = before.previous.iter().map(|p| (p, false)).chain(before.patch_from.iter().map(|p| (p, true)));
        for (place, patch) in places {
            for at in folders(place)? {
                let release = Release::at(&at)?;
                let (manifest, bytes) = release.read()?;
                if let Some(other) = manifest.product.as_ref().filter(|p| **p != recipe.product) {
                    return Err(Error::usage(format!("{} is a release of {other}, not of {}", release.manifest.display(), recipe.product)));
                }
                if manifest.version >= recipe.version {
                    continue;
                }
                found.insert(release.manifest.clone(), Earlier { release, manifest, bytes, patch });
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by(|a, b| a.manifest.version.cmp(&b.manifest.version));
        Ok(found)
    }
}

/// The releases that a place holds: itself, or each folder in it that is one.
///
/// # Errors
/// There is none.
pub fn folders(place: &Path) -> Result<Vec<PathBuf>> {
    if !place.is_dir() || place.join(manifest::NAME).is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let reading = || format!("reading the folder {}", place.display());
    let mut inside = Vec::new();
    for item in std::fs::read_dir(place).doing(reading)? {
        let path = item.doing(reading)?.path();
        if path.join(manifest::NAME).is_file() {
            inside.push(path);
        }
    }
    if inside.is_empty() {
        let hint = "name a manifest.json, a release's folder, or a folder of such folders";
        return Err(Error::usage(format!("{} holds no release", place.display())).hint(hint));
    }
    Ok(inside)
}
