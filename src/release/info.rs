//! What a manifest says of its bundle: where in it contents lie, how old they are, and what patches lie beside it.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::Digest;
use super::manifest::lenient_version;

/// The archive that holds the contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleInfo {
    /// Name among the release's assets.
    pub name: String,
    /// Bytes of the payload, which ends the archive; 0 when not told.
    #[serde(default)]
    pub payload_size: u64,
    /// The payload's gzip members, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// How old the files are: the list of files falls into runs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Generation>,
    /// What turns an earlier release's contents into these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// The same contents in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Chunks>,
}

/// A run of files that have been as they are since the same release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// That release.
    #[serde(deserialize_with = "lenient_version")]
    pub since: Version,
    /// How many files.
    pub files: usize,
}

/// An asset beside the bundle with what an earlier release lacks; see [`super::patch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Name among the release's assets.
    pub name: String,
    /// The earlier release.
    #[serde(deserialize_with = "lenient_version")]
    pub from: Version,
    /// Bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// An asset beside the bundle with the contents in chunks, for devices on any earlier release; see [`super::chunks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// Name among the release's assets.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of its index, with which it begins.
    pub index: u64,
    /// Digest of the index: what is built on what is said there, and nobody else says it.
    pub index_sha256: Digest,
    /// Digest of its bytes.
    pub sha256: Digest,
}

impl Chunks {
    /// Whether there can be such a file.
    pub fn is_possible(&self) -> bool {
        (1..=self.size).contains(&self.index) && self.size <= 1 << 50
    }
}

/// One gzip member of the payload: whole tar entries of one or several files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Start, counted from the payload's start, bytes.
    pub offset: u64,
    /// Compressed bytes.
    pub length: u64,
    /// Digest of the compressed bytes.
    pub sha256: Digest,
}
