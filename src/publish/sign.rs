//! `sign`: signs the exact bytes of a manifest, and can change the two things in it that time changes: until when it may be offered, and
//! that it takes later releases back.
//!
//! What lies there after a kill at any moment holds. The order: the bundle first, which is whole by itself, with the new manifest and its
//! signatures in its head; then, if the manifest changes, a signature file with the old signatures **and** the new ones, which fits both
//! manifests; then the manifest; then the signature file without the old ones. What is left of a kill is seen by `verify-release` (the head is
//! not what lies beside it), and signing again mends it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use semver::Version;
use serde::Serialize;

use super::key::Signer;
use super::place::{self, Release};
use super::signatures::{self, Merged, Single};
use super::{bundle, pack, patches, recipe};
use crate::error::{Error, Result};
use crate::release::manifest::{self, Manifest, Recall};
use crate::release::{KeyId, KeySet, PublicKey, signature};

/// Longest comment of a person, characters: devices show it beside product, version and time.
const COMMENT_MAX: usize = 100;

/// What is to be signed and how.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// With these keys.
    pub signers: &'a [Signer],
    /// Keys of others, so that their signatures can be looked at.
    pub known: &'a [PublicKey],
    /// A later `expires`: a date, or a duration from now.
    pub expires: Option<&'a str>,
    /// Takes later releases back.
    pub recall: bool,
    /// Also an `expires` that is not later.
    pub force: bool,
    /// A person's word, at the end of the trusted comment.
    pub comment: Option<&'a str>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The manifest.
    pub manifest: PathBuf,
    /// Its version.
    pub version: Version,
    /// Until when it may be offered.
    pub expires: Option<DateTime<Utc>>,
    /// Later releases go back to this one.
    pub recall: bool,
    /// By which keys.
    pub keys: Vec<KeyId>,
    /// What the signatures say.
    pub comment: String,
    /// The signatures of others.
    #[serde(flatten)]
    pub others: Merged,
    /// The bundle whose head was rewritten.
    pub bundle: Option<PathBuf>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// Signs the release in a folder.
///
/// # Errors
/// There is no manifest, or none that devices would read; it cannot be changed without losing something; a disk that does not take it.
pub fn sign(target: &Path, wanted: &Wanted) -> Result<Signed> {
    let release = Release::at(target)?;
    let (mut manifest, old) = release.read()?;
    if wanted.signers.is_empty() {
        return Err(Error::usage("there is no key to sign with").hint("give --key FILE, env:NAME or fd:N, or set PIKIT_SECRET_KEY"));
    }
    let comment = comment(&manifest, wanted)?;
    let bytes = changed(&mut manifest, &old, wanted)?.unwrap_or_else(|| old.clone());
    let mut notes = Vec::new();

    let new: Vec<Single> = wanted.signers.iter().map(|s| Ok(Single { key: s.public().id(), text: s.sign(&bytes, &comment)? })).collect::<Result<_>>()?;
    let before = release.signatures()?;
    let before = before.as_deref().map(|bytes| std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned()).and_then(signatures::split));
    let before = before.transpose().unwrap_or_else(|e| {
        notes.push(format!("{} was replaced: {e}", release.signature.display()));
        None
    });
    let before = before.unwrap_or_default();
    let (known, named) = known(&manifest, wanted);
    let others = signatures::merge(&before, new, &bytes, bytes != old, &known);
    // the door of the devices: what does not pass it is not written
    let held = signature::verify(&bytes, others.text.as_bytes(), &known).map_err(|e| Error::unexpected("checking the new signature").because(e))?;
    if wanted.signers.iter().any(|s| held.iter().all(|h| h.key != s.public().id())) {
        return Err(Error::unexpected("the new signature does not hold").hint("the key is damaged: its secret half and its public half do not fit"));
    }
    notes.extend(named.and_then(|set| doubt(&set, wanted, &bytes, &others.text)));

    let bundle = release.bundle(&manifest).filter(|_| manifest.bundle.as_ref().is_some_and(|b| b.payload_size > 0));
    match &bundle {
        Some(bundle) => bundle::replace_head(bundle, &bytes, Some(others.text.as_bytes()))?,
        None => notes.push("no bundle of `pack` lies beside it: the copy of the manifest in the bundle's head stays as it was".into()),
    }
    if bytes != old {
        let both = before.iter().map(|single| single.text.as_str()).chain([others.text.as_str()]).collect::<String>();
        if signature::verify(&bytes, both.as_bytes(), &[]).is_ok() {
            place::put(&release.signature, both.as_bytes())?;
        }
        place::put(&release.manifest, &bytes)?;
        notes.extend(patches::forget_manifests(&release)?);
    }
    place::put(&release.signature, others.text.as_bytes())?;
    patches::sign_manifests(&release, others.text.as_bytes())?;
    Ok(Signed {
        manifest: release.manifest,
        version: manifest.version,
        expires: manifest.expires,
        recall: manifest.recall.is_some(),
        keys: wanted.signers.iter().map(|s| s.public().id()).collect(),
        comment,
        others,
        bundle,
        notes,
    })
}

/// Makes the changes that were asked for; the new bytes, if there were any.
fn changed(manifest: &mut Manifest, old: &[u8], wanted: &Wanted) -> Result<Option<Vec<u8>>> {
    if wanted.expires.is_none() && !wanted.recall {
        return Ok(None);
    }
    if pack::text(manifest) != old {
        let told = "the manifest is not written as `pack` writes it: to change it would lose what this program does not know";
        return Err(Error::refused(told).hint("pack the release again with another `expires`, or sign it as it is"));
    }
    let now = wanted.now.trunc_subsecs(0);
    if let Some(text) = wanted.expires {
        let expires = recipe::expiry(text, now).map_err(|e| Error::usage(format!("--{e}")))?;
        let told = match manifest.expires {
            _ if wanted.force => None,
            _ if expires <= now => Some(format!("it would have expired at {} already", time(expires))),
            Some(before) if expires <= before => Some(format!("{} is not later than {}, when it expires now", time(expires), time(before))),
            None => Some("it never expires now, and would then".into()),
            Some(_) => None,
        };
        if let Some(told) = told {
            return Err(Error::refused(told).hint("devices that have seen it do not take an earlier one; --force writes it all the same"));
        }
        manifest.expires = Some(expires);
    }
    if wanted.recall {
        if manifest.expires.is_some_and(|e| e <= now) {
            return Err(Error::refused("it has expired: devices would not read what it takes back").hint("give --expires 90d along"));
        }
        manifest.recall = Some(Recall { max_version: manifest.version.clone() });
        // devices honour a recall only if it was released after all they have seen
        manifest.released = Some(now);
    }
    let bytes = pack::text(manifest);
    Manifest::parse(&bytes).map_err(|e| Error::refused(format!("no device would accept this manifest: {e}")))?;
    Ok(Some(bytes))
}

/// `pikit 1.4.0 manifest.json 2026-11-20T10:00:00Z`, and the person's word.
fn comment(manifest: &Manifest, wanted: &Wanted) -> Result<String> {
    let word = wanted.comment.unwrap_or_default().trim();
    if word.chars().any(char::is_control) || word.chars().count() > COMMENT_MAX {
        return Err(Error::usage(format!("--comment takes one line of at most {COMMENT_MAX} characters")));
    }
    let product = manifest.product.as_deref().unwrap_or("release");
    Ok(format!("{product} {} {} {} {word}", manifest.version, manifest::NAME, time(wanted.now)).trim_end().to_owned())
}

/// Whose signatures can be looked at; and the set of keys that the manifest names.
fn known(manifest: &Manifest, wanted: &Wanted) -> (Vec<PublicKey>, Option<KeySet>) {
    let named = manifest.trust.as_ref().and_then(|keys| KeySet::of(keys).ok());
    let of_manifest = named.iter().flat_map(|set| set.keys().iter().cloned());
    (wanted.signers.iter().map(|s| s.public().clone()).chain(wanted.known.iter().cloned()).chain(of_manifest).collect(), named)
}

/// What a device that follows the manifest's keys would miss.
fn doubt(set: &KeySet, wanted: &Wanted, bytes: &[u8], signatures: &str) -> Option<String> {
    if let Some(other) = wanted.signers.iter().find(|s| !set.keys().contains(s.public())) {
        return Some(format!("{} is none of the keys that the manifest names: devices that know those do not count it", other.public().id()));
    }
    set.verify(bytes, signatures.as_bytes()).err().map(|e| format!("devices will not take it yet: {e}"))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The present, as the clock of this machine has it.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
