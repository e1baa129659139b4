//! What the rules look at: of every file its name, size, mode and first bytes; of the release its version and times. From a recipe, or
//! from a packed release.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use chrono::{DateTime, Utc};
use semver::Version;

use crate::device::Managed;
use crate::error::{Doing, Error, Result};
use crate::publish::pack::Prepared;
use crate::publish::place::Release;
use crate::release::bundle::{self, BundleError};
use crate::release::{Manifest, ReleasePath, manifest};

/// How much of a file is looked at, bytes.
const LOOK: u64 = 64 << 10;

/// A file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Where it goes.
    pub path: ReleasePath,
    /// Bytes.
    pub size: u64,
    /// Permission bits on the device.
    pub mode: u32,
    /// Its first bytes.
    pub first: Vec<u8>,
}

/// A release, as far as the rules ask.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its version.
    pub version: Version,
    /// Until when it may be offered.
    pub expires: Option<DateTime<Utc>>,
    /// Its files.
    pub files: Vec<Fact>,
    /// Bytes of its bundle, if it is packed.
    pub bundle: Option<u64>,
    /// The architectures it is for; none: it does not say.
    pub arch: Vec<String>,
    /// The highest version that is published, if that is known.
    pub published: Option<Version>,
    /// What a device manages, if one is at hand.
    pub managed: Option<Vec<Managed>>,
    /// The time, if it counts.
    pub now: Option<DateTime<Utc>>,
}

impl Facts {
    /// With what is published, and the time.
    pub fn known(self, published: Option<Version>, now: DateTime<Utc>) -> Self {
        Facts { published, now: Some(now), ..self }
    }
}

/// Of what will be packed.
///
/// # Errors
/// A file cannot be read.
pub fn of_prepared(prepared: &Prepared) -> Result<Facts> {
    let recipe = &prepared.recipe;
    let mut files = Vec::new();
    for entry in &prepared.entries {
        let reading = || format!("reading {}", entry.from.display());
        let mut first = Vec::new();
        File::open(&entry.from).doing(reading)?.take(LOOK).read_to_end(&mut first).doing(reading)?;
        files.push(Fact { path: entry.path.clone(), size: entry.size, mode: entry.mode.bits(), first });
    }
    Ok(Facts {
        version: recipe.version.clone(),
        expires: recipe.expires,
        files,
        bundle: None,
        arch: recipe.requires.arch.clone(),
        published: None,
        managed: None,
        now: None,
    })
}

/// Of a packed release.
///
/// # Errors
/// There is none, or its bundle cannot be read.
pub fn of_release(dir: &Path) -> Result<Facts> {
    let release = Release::at(dir)?;
    let (manifest, _) = release.read()?;
    let at = release.bundle(&manifest).ok_or_else(|| Error::usage(format!("there is no bundle beside {}", release.manifest.display())))?;
    let reading = || format!("reading {}", at.display());
    let file = File::open(&at).doing(reading)?;
    let size = file.metadata().doing(reading)?.len();
    let mut files = Vec::new();
    let read = bundle::read(BufReader::with_capacity(1 << 16, file), u64::MAX, |head, content| {
        if ![manifest::NAME, manifest::SIGNATURE_NAME].contains(&head.path.as_str()) {
            let mut first = Vec::new();
            content.take(LOOK).read_to_end(&mut first)?;
            files.push(Fact { path: head.path.clone(), size: head.size, mode: mode_of(&manifest, &head.path).unwrap_or(head.mode), first });
        }
        Ok::<(), std::io::Error>(())
    });
    read.map_err(|e| match e {
        BundleError::Read(e) | BundleError::Visitor(e) => Error::verification(reading()).because(e),
        BundleError::Bad(why) => Error::verification(reading()).because(why),
    })?;
    let arch = manifest.requires.arch.clone();
    Ok(Facts { version: manifest.version, expires: manifest.expires, files, bundle: Some(size), arch, published: None, managed: None, now: None })
}

fn mode_of(manifest: &Manifest, path: &ReleasePath) -> Option<u32> {
    manifest.files.iter().find(|f| f.path == *path)?.mode.map(manifest::Mode::bits)
}
