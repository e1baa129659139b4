//! What a source shows, and to whom. A source finds bytes and believes nothing: whether a manifest is signed, what it says, and
//! whether this device takes it, is for the judge. So nothing here reads a manifest before the judge has.

use semver::Version;

use crate::error::{Error, Result};
use crate::release::Manifest;
use crate::release::manifest::SignedStep;

/// A release as it was found: bytes, and what whoever offers it says of it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// What messages call it: `release v1.4.0 of https://git.example.org/owner/pi-kit`.
    pub name: &'c str,
    /// The manifest, byte for byte.
    pub manifest: &'c [u8],
    /// Its signature file, if there is one.
    pub signature: Option<&'c [u8]>,
    /// The version that the server calls it, where it calls it something.
    pub tag: Option<&'c Version>,
    /// The server says that it is a prerelease.
    pub flagged: bool,
    /// A person handed over this very file, so that its channel is their affair.
    pub handed: bool,
    /// It is shown for what its manifest says of other releases. It is not taken now, whatever the verdict.
    pub look_only: bool,
    /// The changes of keys that the manifest carries, taken out of it by whoever may read what nobody has signed for.
    pub steps: &'c [SignedStep],
}

/// What the judge says of a candidate.
#[derive(Debug)]
pub enum Verdict {
    /// It is believed and wanted.
    Take(Box<Manifest>),
    /// It is believed, and this version is not for this device, or not the one that was asked for: another may be.
    NotForUs(Version),
    /// It is broken or not believed. Another may be fine; if none is, this is the error.
    Wrong(Error),
}

impl Verdict {
    /// Whether the manifest was believed: only such bytes are remembered.
    pub fn believed(&self) -> bool {
        !matches!(self, Verdict::Wrong(_))
    }
}

/// Decides about releases.
pub trait Judge {
    /// Decides about one.
    ///
    /// # Errors
    /// Nothing can be decided: no further candidate is shown.
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict>;
}
