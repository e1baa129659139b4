//! Where releases come from: a Gitea or Forgejo server, a static URL, a folder, a single bundle file, stdin.
//! A source finds the release and hands out its contents; whether they are believed and installed is decided elsewhere, by a [`Judge`].
//!
//! Everything here may be slow or lie. What a stranger's server can do is bounded: sizes, redirects, tries, and time — a person who
//! asks to stop is heard within a fraction of a second, whatever the line does. And it is made to run where nothing can be lost: the
//! commands have it in a process without privileges (`apart`).

mod access;
mod address;
mod answer;
mod archive;
pub mod chunked;
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
mod judge;
mod line;
mod listed;
mod pace;
mod parts;
pub mod patched;
mod proxy;
mod pump;
mod resume;
mod retry;
mod roots;
pub mod steps;
pub mod unpack;
mod url;
mod way;

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::device::settings::{self, Settings};
use crate::error::{Error, Result};
use crate::release::Manifest;
use crate::world::Clock;
pub use access::{Access, PEM_MAX, Token};
pub use address::Address;
pub use archive::{Archive, Here, Input, Opener, Plain};
pub use choose::Taste;
pub use chunked::{Chunked, Loose};
pub use fault::Fault;
pub use inside::Inside;
pub use judge::{Candidate, Judge, Verdict};
pub use line::{Line, Place};
pub use patched::{Bits, Earlier, Making};
pub use unpack::{Start, Unpacked};
pub use url::SIGNATURE_MAX;
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

/// Bytes of what a source remembers, at most; more is not kept.
pub const MEMORY_MAX: usize = 16 << 20;

/// What a source remembers between two checks so that the second costs one small request. Saved by the caller as it is, and read by
/// nobody else: most of it is what a server said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(pub String);

impl Memory {
    /// What was remembered, if it is of this shape. It is as long as the manifests in it: what is not kept again is forgotten.
    fn recall<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        serde_json::from_str(&std::mem::take(&mut self.0)).ok()
    }
    fn keep(&mut self, value: &impl Serialize) {
        // memory is a saving, not a need: without it the next check asks for everything
        let text = crate::record::json(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        self.0 = text.filter(|text| text.len() <= MEMORY_MAX).unwrap_or_default();
    }
}

impl BundleRef {
    /// Another asset of the same release, that lies beside it.
    pub fn beside(&self, name: &str, size: u64) -> Self {
        let folder = self.at.rfind('/').map_or("", |at| &self.at[..=at]);
        // of what may stand in a version, a URL means something else by this only
        let name = if folder.contains("://") { name.replace('+', "%2B") } else { name.to_owned() };
        BundleRef { at: format!("{folder}{name}"), size: Some(size) }
    }
}

/// Which bytes of an asset are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span<'v> {
    /// From an offset to the end. `validator` is that of an earlier [`Start`]; when the asset has changed since, it starts at 0.
    Rest {
        /// Where.
        from: u64,
        /// Of which state of the asset.
        validator: Option<&'v str>,
    },
    /// A run of a bundle's blocks. Counted from the end, so that nobody has to know the size before.
    Run {
        /// Where it starts, bytes before the end.
        before_end: u64,
        /// Bytes.
        length: u64,
    },
}

impl Span<'_> {
    /// All of it.
    pub const ALL: Span<'static> = Span::Rest { from: 0, validator: None };
}

/// What was asked of a server so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests, redirects and repetitions included.
    pub requests: u64,
    /// Bytes of all answers, heads aside.
    pub bytes: u64,
}

impl Tally {
    /// With these as well.
    pub fn plus(self, requests: u64, bytes: u64) -> Self {
        Tally { requests: self.requests.saturating_add(requests), bytes: self.bytes.saturating_add(bytes) }
    }
}

/// Bytes of a bundle as they arrive.
pub struct Body<'a> {
    /// The bytes from `start` on. A broken connection is taken up again inside; an error here is final: [`read_error`] has its words.
    pub reader: Box<dyn Read + 'a>,
    /// Where the bytes really start: what was asked for, or 0 when the source cannot start elsewhere; then they go to the end.
    pub start: u64,
    /// Bytes of the whole bundle, if known.
    pub total: Option<u64>,
    /// What identifies these bytes for a later resume (a strong ETag, or Last-Modified), if there is something.
    pub validator: Option<String>,
    /// Whether they end between two files: a run.
    pub cut: bool,
}

/// The door to releases.
pub trait Source {
    /// What messages call it: `https://git.example.org/owner/pi-kit`.
    fn name(&self) -> String;
    /// Finds a release: shows what there is to the judge, the highest version first, until one is taken.
    /// `Ok(None)`: there is no release to offer.
    ///
    /// A release with missing assets, or that the judge finds wrong, is passed over when a lower one is fine (see [`Offer::notes`]), and
    /// is the error when none is.
    ///
    /// # Errors
    /// The network or the source, each kind with its own words and hint; what the judge says. Nothing of the memory is to be kept then.
    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, memory: &mut Memory) -> Result<Option<Offer>>;
    /// Unpacks a bundle, or a run of its blocks. Returns the compressed bytes that were read.
    ///
    /// # Errors
    /// As for `find`; an archive that is none; whatever the taker says.
    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64>;
    /// Whether releases here may have patches.
    fn has_patches(&self) -> bool {
        false
    }
    /// Makes contents out of earlier ones with a patch. Returns its bytes that were read.
    ///
    /// # Errors
    /// As for `unpack`; it hands out no patches.
    fn patch(&self, patch: &BundleRef, making: &Making, to: &mut dyn Unpacked) -> Result<u64> {
        let (_, _, _) = (patch, making, to);
        Err(Error::source_failed(format!("{} hands out no patches", self.name())))
    }
    /// Makes contents out of chunks: those that are here in files of an earlier release, and those that are fetched. Makes nothing if
    /// these are more than they may be. Returns the bytes that were read.
    ///
    /// # Errors
    /// As for `patch`.
    fn chunks(&self, asset: &BundleRef, wanted: &Chunked, making: &Making, to: &mut dyn Unpacked) -> Result<u64> {
        let (_, _, _, _) = (asset, wanted, making, to);
        Err(Error::source_failed(format!("{} hands out no chunks", self.name())))
    }
    /// What was asked of a server so far.
    fn tally(&self) -> Tally {
        Tally::default()
    }
}

/// A source on the network, before anything is unpacked.
pub trait Network: Source {
    /// Opens an asset.
    ///
    /// # Errors
    /// As for [`Source::find`].
    fn open(&self, asset: &BundleRef, span: Span) -> Result<Body<'_>>;
    /// Opens several parts of an asset, as one stream; at most `spare` bytes come beside them.
    ///
    /// # Errors
    /// The address. What else goes wrong is told by the first read.
    fn parts(&self, asset: &BundleRef, parts: Vec<Range<u64>>, spare: u64) -> Result<Body<'_>>;
}

/// Opens the source that the config names, in this very process. Reads its token and CA files; asks nobody yet.
///
/// # Errors
/// A token or CA file that cannot be read or used; a proxy variable that is no URL.
pub fn open<'a>(settings: &Settings, clock: &'a dyn Clock) -> Result<Box<dyn Source + 'a>> {
    Ok(match Line::of(settings)? {
        Some(line) => line.open(clock)?,
        None => open_dir(settings, Box::new(Here(clock))),
    })
}

/// Opens the folder that the config names, if that is what it names.
pub fn open_dir<'a>(settings: &Settings, opener: Box<dyn Opener<'a> + 'a>) -> Box<dyn Source + 'a> {
    let dir = if let settings::Source::Dir(dir) = &settings.source { dir } else { Path::new("/nonexistent") };
    Box::new(dir::Folder::new(dir, Taste::of(settings), opener))
}

/// Opens what `apply --from` names: `-` is a bundle on stdin, a folder holds manifest and bundle, anything else is a bundle file.
/// `opener` reads what is inside of archives.
///
/// # Errors
/// There is nothing there, or stdin is a terminal.
pub fn open_from<'a>(from: &Path, settings: &Settings, opener: Box<dyn Opener<'a> + 'a>) -> Result<Box<dyn Source + 'a>> {
    use std::io::IsTerminal;
    if from.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(Error::usage("--from - reads a bundle from stdin, and stdin is a terminal")
                .hint("pipe it in: pikit-updater apply --from - < pikit-1.4.0.tar.gz"));
        }
        return Ok(open_stream(Input::Stdin, opener));
    }
    match std::fs::metadata(from) {
        Ok(meta) if meta.is_dir() => Ok(Box::new(dir::Folder::new(from, Taste::of(settings), opener))),
        Ok(_) => Ok(Box::new(file::BundleFile::new(from, opener))),
        Err(e) => Err(Error::source_failed(format!("opening {}", from.display())).because(e).hint("is the stick plugged in and mounted? `lsblk` shows it")),
    }
}

/// A source that is one bundle, read once from a stream; its manifest must come before its other files.
pub fn open_stream<'a>(stream: Input, opener: Box<dyn Opener<'a> + 'a>) -> Box<dyn Source + 'a> {
    Box::new(file::BundleStream::new(stream, opener))
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
