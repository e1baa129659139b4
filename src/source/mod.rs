//! Where releases come from: a Gitea or Forgejo server, a static URL, a folder, a single bundle file, stdin.
//! A source finds the release and hands out its bytes; whether they are believed and installed is decided elsewhere.

use std::io::Read;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::release::Manifest;

/// Which release is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The highest version of the channel that this device may install and whose assets are all there.
    Best,
    /// This one.
    Exact(Version),
}

/// A release that a source offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The manifest, byte for byte.
    pub manifest_bytes: Vec<u8>,
    /// Its signature file, if there is one.
    pub signature: Option<Vec<u8>>,
    /// The manifest, checked.
    pub manifest: Manifest,
    /// Where its bundle is; what it means is the source's own affair.
    pub bundle: BundleRef,
}

/// Where a bundle is and how big.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRef {
    /// URL or path.
    pub at: String,
    /// Compressed bytes, if the source told.
    pub size: Option<u64>,
}

/// What a source remembers between two checks so that the second costs one small request. Saved by the caller as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(pub serde_json::Value);

/// Bytes of a bundle as they arrive.
pub struct Body {
    /// The bytes from `start` on. A broken connection is taken up again inside; an error here is final.
    pub reader: Box<dyn Read>,
    /// Where the bytes really start: what was asked for, or 0 when the source cannot start elsewhere.
    pub start: u64,
    /// Bytes of the whole bundle, if known.
    pub total: Option<u64>,
    /// What identifies these bytes for a later resume (a strong ETag, or Last-Modified), if there is something.
    pub validator: Option<String>,
}

/// The door to releases.
pub trait Source {
    /// What messages call it: `https://git.example.org/owner/pi-kit`.
    fn name(&self) -> String;
    /// Finds a release. `may` says whether this device may install one; for [`Wanted::Best`] the next lower version is tried when it
    /// may not. `Ok(None)`: there is no release to offer.
    ///
    /// # Errors
    /// The network or the source, each kind with its own words and hint; a manifest that is no manifest.
    fn find(&self, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, memory: &mut Memory) -> Result<Option<Offer>>;
    /// Opens a bundle at an offset of its compressed bytes. `validator` is that of an earlier [`Body`]; when the bundle has changed
    /// since, the body starts at 0.
    ///
    /// # Errors
    /// As for `find`.
    fn bundle(&self, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body>;
}
