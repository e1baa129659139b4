//! Which keys sign a product's releases: as it stands in manifests, and as it is signed by itself when they change.

use serde::{Deserialize, Serialize};

/// Which keys sign, and how many of them must. One step of them is a document that is signed by itself ([`SignedStep`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Counts the changes; the keys a device was set up with are version 1.
    pub version: u64,
    /// Public keys as minisign writes them, the line that begins with `RW`.
    pub keys: Vec<String>,
    /// How many of them must sign.
    pub threshold: usize,
    /// Whose releases they sign, so that a step of one product is none of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Every change since the first, oldest first: in a manifest, so that a device that slept through some of them still arrives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<SignedStep>,
}

/// One change of the keys: a [`Keys`] without steps, as it was signed by the keys before it and by those it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStep {
    /// The exact text that was signed.
    pub signed: String,
    /// minisign signatures of it, one after the other.
    pub signatures: String,
}
