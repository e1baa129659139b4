//! A release that is ready to be published: packed and signed, in a folder.

use std::path::{Path, PathBuf};

use semver::Version;

use crate::error::{Doing, Error, Result};
use crate::publish::key::Signer;
use crate::publish::pack::{self, Asset, Packed, Prepared};
use crate::publish::place::{self, Release};
use crate::publish::sign::{self, Wanted};
use crate::publish::{Before, Recipe, bundle, earlier, patches};
use crate::release::{Digest, Manifest, PublicKey, manifest, signature};

/// What a release is, before it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whose.
    pub product: String,
    /// Which.
    pub version: Version,
    /// For whom.
    pub channel: String,
}

/// What is published.
#[derive(Debug)]
pub enum What {
    /// A release that is packed and signed already: its folder.
    Packed(PathBuf),
    /// One that will be packed, with earlier releases that lie here.
    Prepared(Box<Prepared>, Before),
}

impl What {
    /// The folder where it lies, or will.
    pub fn dir(&self) -> &Path {
        match self {
            What::Packed(dir) => dir,
            What::Prepared(prepared, _) => &prepared.out,
        }
    }

    /// Whose and which it is.
    ///
    /// # Errors
    /// There is no release in its folder.
    pub fn about(&self) -> Result<About> {
        let dir = match self {
            What::Packed(dir) => dir,
            What::Prepared(prepared, _) => {
                let Recipe { product, version, channel, .. } = &prepared.recipe;
                return Ok(About { product: product.clone(), version: version.clone(), channel: channel.clone() });
            }
        };
        let (manifest, _) = Release::at(dir)?.read()?;
        let product = manifest.product.ok_or_else(|| Error::usage(format!("the release in {} does not say whose it is", dir.display())))?;
        Ok(About { product, version: manifest.version, channel: manifest.channel.unwrap_or_else(|| "stable".into()) })
    }
}

/// A release, ready.
#[derive(Debug)]
pub struct Ready {
    /// The folder.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest, byte for byte.
    pub bytes: Vec<u8>,
    /// Whose it is.
    pub product: String,
    /// Its channel.
    pub channel: String,
    /// Its files in the order of upload: the signature first, so that a run after this one finds it and need not sign anew; the manifest
    /// last, because a device passes over what has none.
    pub assets: Vec<Asset>,
    /// Who signed, if it was signed here.
    pub signers: Vec<PublicKey>,
}

impl Ready {
    /// One that was packed and signed before; with the keys at hand, if there are any.
    ///
    /// # Errors
    /// It is not signed, or not whole.
    pub fn at(dir: &Path, signers: &[Signer]) -> Result<Self> {
        let release = Release::at(dir)?;
        let (manifest, bytes) = release.read()?;
        if release.signatures()?.is_none() {
            return Err(Error::usage(format!("the release in {} is not signed", dir.display())).hint("sign it first: pikit-updater sign DIR --key FILE"));
        }
        if release.bundle(&manifest).is_none() {
            return Err(Error::usage(format!("there is no bundle in {}", dir.display())).hint("name the whole folder that `pack` made"));
        }
        let folder = release.manifest.parent().unwrap_or(dir).to_owned();
        let product = manifest.product.clone().unwrap_or_default();
        let channel = manifest.channel.clone().unwrap_or_else(|| "stable".into());
        let assets = assets(&folder, &product)?;
        Ok(Ready { dir: folder, product, channel, manifest, bytes, assets, signers: signers.iter().map(|s| s.public().clone()).collect() })
    }

    /// Signs what was packed; or takes the signature that is `there` already, if these keys made it of this manifest: signatures are never
    /// the same twice, and the bundle holds one.
    ///
    /// # Errors
    /// There is no key; the disk does not take it.
    pub fn sign(packed: &Packed, signers: &[Signer], there: Option<&[u8]>, notes: &mut Vec<String>) -> Result<Self> {
        let release = Release::at(&packed.dir)?;
        let (manifest, bytes) = release.read()?;
        let keys: Vec<PublicKey> = signers.iter().map(|s| s.public().clone()).collect();
        let by_all = |held: Vec<signature::Signed>| !keys.is_empty() && keys.iter().all(|key| held.iter().any(|h| h.key == key.id()));
        let taken = there.filter(|there| signature::verify(&bytes, there, &keys).is_ok_and(by_all));
        match (taken, release.bundle(&manifest)) {
            (Some(there), Some(at)) => {
                bundle::replace_head(&at, &bytes, Some(there))?;
                place::put(&release.signature, there)?;
                patches::sign_manifests(&release, there)?;
            }
            _ => {
                let wanted = Wanted { signers, known: &[], expires: None, recall: false, force: false, comment: None, now: sign::now() };
                notes.extend(sign::sign(&packed.dir, &wanted)?.notes);
            }
        }
        Ready::at(&packed.dir, signers)
    }
}

/// The files of a release, as they lie there.
fn assets(dir: &Path, product: &str) -> Result<Vec<Asset>> {
    let reading = || format!("reading the folder {}", dir.display());
    let ours = format!("{product}-");
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).doing(reading)? {
        let item = item.doing(reading)?;
        let name = item.file_name().to_string_lossy().into_owned();
        let of_release = name.starts_with(&ours) && pack::ENDS.iter().any(|end| name.ends_with(end));
        if !of_release && name != manifest::NAME && name != manifest::SIGNATURE_NAME {
            continue;
        }
        let reading = || format!("reading {}", item.path().display());
        let (sha256, size) = Digest::of_reader(std::fs::File::open(item.path()).doing(reading)?).doing(reading)?;
        found.push(Asset { name, size, sha256 });
    }
    let place = |name: &str| match name {
        manifest::SIGNATURE_NAME => 0,
        manifest::NAME => 2,
        _ => 1,
    };
    found.sort_by(|a, b| (place(&a.name), &a.name).cmp(&(place(&b.name), &b.name)));
    Ok(found)
}

/// The folder where packed releases lie side by side, by the folder of one of them.
pub fn shelf(dir: &Path) -> PathBuf {
    let beside = std::path::absolute(dir).ok().and_then(|dir| dir.parent().map(Path::to_owned));
    beside.unwrap_or_else(|| PathBuf::from("dist"))
}

/// The versions of the releases in a place.
pub fn versions(place: &Path) -> Vec<Version> {
    let of = |dir: &PathBuf| Some(Release::at(dir).ok()?.read().ok()?.0.version);
    earlier::folders(place).unwrap_or_default().iter().filter_map(of).collect()
}
