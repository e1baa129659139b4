//! Where releases come from: a Gitea or Forgejo server, a static URL, a folder, a single bundle file, stdin.
//! A source finds the release and hands out its bytes; whether they are believed and installed is decided elsewhere.
//!
//! Everything here may be slow or lie. What a stranger's server can do is bounded: sizes, redirects, tries, and time — a person who
//! asks to stop is heard within a fraction of a second, whatever the line does.

mod address;
mod answer;
mod choose;
mod dir;
mod fault;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gitea;
mod http;
mod inside;
mod listed;
mod pace;
mod proxy;
mod pump;
mod resume;
mod retry;
mod roots;
mod url;
mod way;

use std::io::{self, Read};
use std::path::Path;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::device::settings::{self, Settings};
use crate::error::{Error, Result};
use crate::release::Manifest;
use crate::world::Clock;
pub use way::way;

/// Which release is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The highest version of the channel that this device may install and whose assets are all there.
    Best,
    /// This one, whatever its channel.
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
    /// Higher releases that were passed over because something about them is wrong, a sentence each: for the log.
    pub notes: Vec<String>,
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

impl Memory {
    /// What was remembered, if it is of this shape.
    fn recall<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.0).ok()
    }
    fn keep(&mut self, value: &impl Serialize) {
        // memory is a saving, not a need: without it the next check asks for everything
        self.0 = serde_json::to_value(value).unwrap_or_default();
    }
}

/// Bytes of a bundle as they arrive.
pub struct Body<'a> {
    /// The bytes from `start` on. A broken connection is taken up again inside; an error here is final: [`read_error`] has its words.
    pub reader: Box<dyn Read + 'a>,
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
    /// may not. For [`Wanted::Exact`] neither `may` nor the channel is asked: a person named the version, and the plan has better words.
    /// `Ok(None)`: there is no release to offer.
    ///
    /// A release with missing assets or a broken manifest is passed over when a lower one is fine (see [`Offer::notes`]), and is the
    /// error when none is.
    ///
    /// # Errors
    /// The network or the source, each kind with its own words and hint; a manifest that is no manifest.
    fn find(&self, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, memory: &mut Memory) -> Result<Option<Offer>>;
    /// Opens a bundle at an offset of its compressed bytes. `validator` is that of an earlier [`Body`]; when the bundle has changed
    /// since, the body starts at 0.
    ///
    /// # Errors
    /// As for `find`.
    fn bundle(&self, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body<'_>>;
}

/// Opens the source that the config names. Reads its token and CA files; asks nobody yet.
///
/// # Errors
/// A token or CA file that cannot be read or used; a proxy variable that is no URL.
pub fn open<'a>(settings: &Settings, clock: &'a dyn Clock) -> Result<Box<dyn Source + 'a>> {
    let taste = choose::Taste::of(settings);
    Ok(match &settings.source {
        settings::Source::Gitea { base, repo, net } => Box::new(gitea::Gitea::new(repo, taste, http::Http::new(base, net, settings.download, clock)?)?),
        settings::Source::Url { base, net } => Box::new(url::Static::new(base, taste, http::Http::new(base, net, settings.download, clock)?)?),
        settings::Source::Dir(dir) => Box::new(dir::Folder::new(dir, taste)),
    })
}

/// Opens what `apply --from` names: `-` is a bundle on stdin, a folder holds manifest and bundle, anything else is a bundle file.
///
/// # Errors
/// There is nothing there, or stdin is a terminal.
pub fn open_from<'a>(from: &Path, settings: &Settings, clock: &'a dyn Clock) -> Result<Box<dyn Source + 'a>> {
    use std::io::IsTerminal;
    if from.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(Error::usage("--from - reads a bundle from stdin, and stdin is a terminal")
                .hint("pipe it in: pikit-updater apply --from - < pikit-1.4.0.tar.gz"));
        }
        return Ok(open_stream(Box::new(io::stdin()), clock));
    }
    match std::fs::metadata(from) {
        Ok(meta) if meta.is_dir() => Ok(Box::new(dir::Folder::new(from, choose::Taste::of(settings)))),
        Ok(_) => Ok(Box::new(file::BundleFile::new(from, clock))),
        Err(e) => Err(Error::source_failed(format!("opening {}", from.display())).because(e).hint("is the stick plugged in and mounted? `lsblk` shows it")),
    }
}

/// A source that is one bundle, read once from a stream; its manifest must come before its other files.
pub fn open_stream<'a>(stream: Box<dyn Read + Send>, clock: &'a dyn Clock) -> Box<dyn Source + 'a> {
    Box::new(file::BundleStream::new(stream, clock))
}

/// The error with code and hint that a [`Body`]'s reader carried, however deeply decompression and tar have wrapped it;
/// an error of any other origin keeps its words after `doing`.
pub fn read_error(error: io::Error, doing: impl FnOnce() -> String) -> Error {
    if let Some(ours) = crate::error::find_inside::<Error>(&error) {
        let copy = Error::new(ours.code, ours.message());
        return match &ours.hint {
            Some(hint) => copy.hint(hint),
            None => copy,
        };
    }
    Error::source_failed(doing()).because(error)
}
