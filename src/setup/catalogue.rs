//! The releases of a source: looked at, never taken. Nothing of a manifest is read before the key has signed for it.

use semver::Version;

use crate::error::{Error, Result};
use crate::release::keyset::KeySet;
use crate::release::signature::Signed;
use crate::release::{Digest, Manifest, PublicKey};
use crate::source::{Candidate, Judge, Memory, Source, Verdict, Wanted};
use crate::update::belief::Belief;

/// A release that is believed.
#[derive(Debug, Clone)]
pub struct Known {
    /// What the source calls it.
    pub name: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest, byte for byte.
    pub bytes: Vec<u8>,
    /// Who signed it.
    pub signed: Vec<Signed>,
}

/// What a source has.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// What is believed, the highest version first.
    pub known: Vec<Known>,
    /// What is not, and which version its server says that it is.
    pub refused: Vec<(Option<Version>, Error)>,
    /// What else went wrong on the way.
    pub trouble: Option<Error>,
}

impl Catalogue {
    /// The highest release of this product and channel, if there is one.
    pub fn newest(&self, product: Option<&str>, channel: &str) -> Option<&Known> {
        let mine = |k: &&Known| k.manifest.product.as_deref().is_none_or(|p| product.is_none_or(|mine| p == mine));
        let fits = |k: &&Known| crate::plan::decide::channel_fits(channel, k.manifest.channel.as_deref(), Some(&k.manifest.version));
        self.known.iter().filter(mine).find(fits)
    }
}

/// Looks at all that the source shows; at least one must be believed, and none above it refused.
///
/// # Errors
/// The source; a release that the key did not sign.
pub fn look(source: &dyn Source, belief: &mut Belief) -> Result<Catalogue> {
    let mut reading = Reading { belief, found: Catalogue::default() };
    let asked = source.find(&Wanted::Best, &mut reading, &mut Memory::default());
    let mut found = reading.found;
    found.known.sort_by(|a, b| b.manifest.version.cmp(&a.manifest.version));
    let highest = found.known.first().map(|k| k.manifest.version.clone());
    if let Some(at) = found.refused.iter().position(|(version, _)| highest.is_none() || version.as_ref() > highest.as_ref()) {
        return Err(found.refused.swap_remove(at).1);
    }
    match asked {
        Err(error) if highest.is_none() => return Err(error),
        Err(error) => found.trouble = Some(error),
        Ok(_) => {}
    }
    match highest {
        Some(_) => Ok(found),
        None => {
            Err(Error::source_failed(format!("{} has no release yet", source.name())).hint("publish one first, or look whether the channel is the right one"))
        }
    }
}

struct Reading<'b> {
    belief: &'b mut Belief,
    found: Catalogue,
}

impl Judge for Reading<'_> {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict> {
        let signed = match self.belief.signed(candidate.name, candidate.manifest, candidate.signature, candidate.steps) {
            Ok(signed) => signed,
            Err(error) => {
                self.found.refused.push((candidate.tag.cloned(), error.again()));
                return Ok(Verdict::Wrong(error));
            }
        };
        let manifest = match Manifest::parse(candidate.manifest) {
            Ok(manifest) if candidate.tag.is_none_or(|tag| *tag == manifest.version) => manifest,
            Ok(manifest) => return Ok(Verdict::Wrong(Error::verification(format!("{} has a manifest of {}", candidate.name, manifest.version)))),
            Err(e) => return Ok(Verdict::Wrong(Error::verification(format!("{} has a broken manifest: {e}", candidate.name)))),
        };
        let version = manifest.version.clone();
        // some are shown twice
        if self.found.known.iter().all(|k| k.bytes != candidate.manifest) {
            self.found.known.push(Known { name: candidate.name.to_owned(), manifest, bytes: candidate.manifest.to_vec(), signed });
        }
        Ok(Verdict::NotForUs(version))
    }
}

/// Asks a source for whatever it shows first, and believes nothing: whether it is there, and which keys are written in what it shows.
///
/// # Errors
/// The source does not answer, or has no release.
pub fn peek(source: &dyn Source) -> Result<Vec<PublicKey>> {
    let mut seen = First(None);
    match (source.find(&Wanted::Best, &mut seen, &mut Memory::default()), seen.0) {
        (_, Some(manifest)) => Ok(keys_in(&manifest)),
        (Err(error), None) => Err(error),
        (Ok(_), None) => {
            Err(Error::source_failed(format!("{} has no release yet", source.name())).hint("publish one first, or look whether the channel is the right one"))
        }
    }
}

struct First(Option<Vec<u8>>);

impl Judge for First {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict> {
        self.0 = Some(candidate.manifest.to_vec());
        Err(Error::cancelled("enough was seen"))
    }
}

/// Whatever in these bytes looks like a key and is one. Not read as JSON: nobody has signed for it. A key is only ever used if a person gave its
/// fingerprint.
fn keys_in(manifest: &[u8]) -> Vec<PublicKey> {
    let is_letter = |b: &u8| b.is_ascii_alphanumeric() || b"+/".contains(b);
    let words = manifest.split(|b| !is_letter(b)).filter(|w| w.len() == 56 && w.starts_with(b"RW"));
    let mut keys: Vec<PublicKey> = words.filter_map(|w| PublicKey::parse(std::str::from_utf8(w).ok()?).ok()).collect();
    keys.sort_by(|a, b| a.line().cmp(b.line()));
    keys.dedup();
    keys
}

/// The key with this fingerprint.
pub fn with_fingerprint(keys: &[PublicKey], fingerprint: &Digest) -> Option<PublicKey> {
    keys.iter().find(|k| k.fingerprint() == *fingerprint).cloned()
}

/// The same belief as if this key lay in the folder too.
///
/// # Errors
/// The keys make no set that could sign.
pub fn with_key(mut belief: Belief, key: &PublicKey, threshold: usize) -> Result<Belief> {
    if belief.trusted().contains(key) {
        return Ok(belief);
    }
    let mut keys = belief.in_folder().to_vec();
    if !keys.contains(key) {
        keys.push(key.clone());
    }
    belief.keys = Ok(KeySet::new(1, keys, threshold).map_err(Error::usage)?);
    Ok(belief)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_stand_and_nothing_else_is() {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let line = pair.pk.to_base64();
        let text = format!("{{\"keys\":[\"{line}\"],\"steps\":\"{{\\\"keys\\\":[\\\"{line}\\\"]}}\",\"x\":\"RW{}\"}}", "A".repeat(54));
        let found = keys_in(text.as_bytes());
        assert!(found.iter().any(|k| k.line() == line), "{found:?}");
        let wanted = Digest::of(line.as_bytes());
        assert_eq!(with_fingerprint(&found, &wanted).map(|k| k.line().to_owned()), Some(line));
        assert!(with_fingerprint(&found, &Digest::of(b"")).is_none());
        assert!(keys_in(b"RWnothing").is_empty());
    }
}
