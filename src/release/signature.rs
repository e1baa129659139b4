//! Signatures in minisign's format (Ed25519, <https://jedisct1.github.io/minisign/>), checked over the exact bytes that were signed. Both kinds are
//! read: prehashed, and the legacy one.
//!
//! A signature file holds one signature, or several one after the other: the real `minisign` checks the first of them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign_verify as verifying;
use serde::{Deserialize, Serialize};

use super::Digest;

/// Largest signature file that is read, bytes.
pub const SIZE_MAX: u64 = 64 << 10;
/// Most signatures that are looked at.
const SIGNATURES_MAX: usize = 32;
/// Lines of one signature.
const LINES: usize = 4;
/// Longest comment that is shown, characters.
const COMMENT_MAX: usize = 200;
/// What the line of a public key decodes to: the algorithm, the number, the key itself.
const KEY_BYTES: usize = 42;
const ALGORITHM_BYTES: usize = 2;

/// The number that a key and its signatures carry; written as minisign prints it. It tells keys apart for people and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// The number as it stands in a key or a signature.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        KeyId(u64::from_le_bytes(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        u64::from_str_radix(&text, 16).map(KeyId).map_err(serde::de::Error::custom)
    }
}

/// A public key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    id: KeyId,
    line: String,
    point: Vec<u8>,
    key: verifying::PublicKey,
}

/// The same key is the same bytes, whatever the comment beside it says.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    /// Reads what minisign writes: a comment line and the key, or the key's line alone.
    ///
    /// # Errors
    /// It is no public key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("untrusted comment:"));
        let (line, more) = (lines.next().unwrap_or_default(), lines.next());
        if more.is_some() {
            return Err("it holds more than one key".into());
        }
        let wrong = || format!("{:?} is not a minisign public key (a line of 56 characters that begins with RW)", shown(line));
        let bytes: [u8; KEY_BYTES] = STANDARD.decode(line).ok().and_then(|b| b.try_into().ok()).ok_or_else(wrong)?;
        let key = verifying::PublicKey::from_base64(line).map_err(|_| wrong())?;
        let (number, point) = bytes[ALGORITHM_BYTES..].split_first_chunk().ok_or_else(wrong)?;
        Ok(PublicKey { id: KeyId::from_bytes(*number), line: STANDARD.encode(bytes), point: point.to_vec(), key })
    }
    /// Its number.
    pub fn id(&self) -> KeyId {
        self.id
    }
    /// The line that is the key.
    pub fn line(&self) -> &str {
        &self.line
    }
    /// The key without its number.
    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }
    /// SHA-256 of that line: unlike the number, nobody can make another key that has it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.line.as_bytes())
    }
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// By which key.
    pub key: KeyId,
    /// The trusted comment: signed too, and told by whoever signed.
    pub comment: String,
}

/// The signatures of these exact bytes that hold, one for each of the keys at most: who signs twice counts once.
///
/// # Errors
/// The signature file is none.
pub fn verify(bytes: &[u8], signatures: &[u8], keys: &[PublicKey]) -> Result<Vec<Signed>, String> {
    if signatures.len() as u64 > SIZE_MAX {
        return Err(format!("the signature has {} bytes, {SIZE_MAX} is the most that is read", signatures.len()));
    }
    let text = std::str::from_utf8(signatures).map_err(|_| "the signature is not text".to_owned())?;
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    if lines.is_empty() || !lines.len().is_multiple_of(LINES) {
        return Err("the signature is not one of minisign (four lines each)".into());
    }
    if lines.len() / LINES > SIGNATURES_MAX {
        return Err(format!("there are {} signatures, {SIGNATURES_MAX} is the most that is looked at", lines.len() / LINES));
    }
    let mut held: BTreeMap<&str, Signed> = BTreeMap::new();
    for four in lines.chunks_exact(LINES) {
        let signature = verifying::Signature::decode(&four.join("\n")).map_err(|e| format!("the signature is not one of minisign: {e}"))?;
        for key in keys.iter().filter(|key| key.key.verify(bytes, &signature, true).is_ok()) {
            held.entry(&key.line).or_insert_with(|| Signed { key: key.id, comment: shown(signature.trusted_comment()) });
        }
    }
    Ok(held.into_values().collect())
}

/// A comment as far as it is shown.
fn shown(text: &str) -> String {
    text.chars().take(COMMENT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        public: PublicKey,
        secret: minisign::SecretKey,
    }

    fn pair() -> Pair {
        let minisign::KeyPair { pk, sk } = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        Pair { public: PublicKey::parse(&pk.to_base64()).unwrap(), secret: sk }
    }

    fn sign(pair: &Pair, bytes: &[u8], comment: &str) -> String {
        minisign::sign(None, &pair.secret, bytes, Some(comment), None).unwrap().into_string()
    }

    #[test]
    fn a_signature_is_of_its_bytes_and_its_key() {
        let (a, b) = (pair(), pair());
        let signature = sign(&a, b"bytes", "pikit 1.0.0");
        let held = verify(b"bytes", signature.as_bytes(), &[b.public.clone(), a.public.clone()]).unwrap();
        assert_eq!(held, [Signed { key: a.public.id(), comment: "pikit 1.0.0".into() }]);
        assert_eq!(verify(b"Bytes", signature.as_bytes(), std::slice::from_ref(&a.public)).unwrap(), []);
        assert_eq!(verify(b"bytes", signature.as_bytes(), std::slice::from_ref(&b.public)).unwrap(), []);
        assert_eq!(verify(b"bytes", signature.replace("pikit 1.0.0", "pikit 9.0.0").as_bytes(), std::slice::from_ref(&a.public)).unwrap(), []);
    }

    #[test]
    fn keys_are_counted_and_not_signatures() {
        let (a, b) = (pair(), pair());
        let keys = [a.public.clone(), a.public.clone(), b.public.clone()];
        let twice = format!("{}{}", sign(&a, b"x", "one"), sign(&a, b"x", "two"));
        assert_eq!(verify(b"x", twice.as_bytes(), &keys).unwrap().len(), 1);
        let both = format!("{twice}\n{}", sign(&b, b"x", "three"));
        assert_eq!(verify(b"x", both.as_bytes(), &keys).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_signature_is_said_to_be_none() {
        let a = pair();
        for bad in [&b""[..], b"\n\n", b"untrusted comment: x\n", b"a\nb\nc\nd\n", b"\xff\xfe", &[b'\n'; 70_000]] {
            assert!(verify(b"x", bad, std::slice::from_ref(&a.public)).is_err(), "{bad:?}");
        }
        let many = sign(&a, b"x", "").repeat(SIGNATURES_MAX + 1);
        assert!(verify(b"x", many.as_bytes(), std::slice::from_ref(&a.public)).is_err());
        for bad in ["", "RWx", "untrusted comment: minisign public key\n", "hello world"] {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
        let (one, two) = (a.public.line(), pair().public.line().to_owned());
        assert!(PublicKey::parse(&format!("{one}\n{two}\n")).is_err());
        let boxed = format!("untrusted comment: minisign public key {}\n{one}\n", a.public.id());
        assert_eq!(PublicKey::parse(&boxed).unwrap(), a.public);
    }
}
