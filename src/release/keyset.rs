//! Whose signatures count, and how many of them it takes.

use std::collections::BTreeSet;

use super::manifest::Keys;
use super::signature::{self, PublicKey, Signed};

/// Most keys in one set.
pub const KEYS_MAX: usize = 32;

/// A set of keys with its threshold. It cannot be empty, and it can always be met.
#[derive(Debug, Clone)]
pub struct KeySet {
    version: u64,
    keys: Vec<PublicKey>,
    threshold: usize,
}

impl KeySet {
    /// Checks a set; a key that is named twice is one key, whatever number it was given.
    ///
    /// # Errors
    /// No key, too many of them, or a threshold that nobody or everybody could meet.
    pub fn new(version: u64, keys: Vec<PublicKey>, threshold: usize) -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        // a number proves nothing: a set that names one key under two of them would let its holder sign for two
        let keys: Vec<PublicKey> = keys.into_iter().filter(|key| seen.insert(key.point().to_vec())).collect();
        match (version, keys.len(), threshold) {
            (0, ..) => Err("a set of keys has version 0; they begin with 1".into()),
            (_, 0, _) => Err("a set of keys has no key".into()),
            (_, n, _) if n > KEYS_MAX => Err(format!("a set has {n} keys, {KEYS_MAX} is the most")),
            (_, _, 0) => Err("a threshold of 0 would accept what nobody signed".into()),
            (_, n, t) if t > n => Err(format!("a threshold of {t} can never be met by {}", crate::quantity::count(n, "key"))),
            _ => Ok(KeySet { version, keys, threshold }),
        }
    }
    /// The set that a document names.
    ///
    /// # Errors
    /// As [`KeySet::new`], and a line that is no key.
    pub fn of(keys: &Keys) -> Result<Self, String> {
        // counted before they are read: what names a million keys costs nothing
        if keys.keys.len() > KEYS_MAX {
            return Err(format!("a set has {} keys, {KEYS_MAX} is the most", keys.keys.len()));
        }
        let read: Result<Vec<PublicKey>, String> = keys.keys.iter().map(|line| PublicKey::parse(line)).collect();
        KeySet::new(keys.version, read?, keys.threshold)
    }
    /// As it stands in a document.
    pub fn named(&self, product: Option<&str>) -> Keys {
        let keys = self.keys.iter().map(|key| key.line().to_owned()).collect();
        Keys { version: self.version, keys, threshold: self.threshold, product: product.map(str::to_owned), steps: Vec::new() }
    }
    /// Counts the changes; what a device was set up with is 1.
    pub fn version(&self) -> u64 {
        self.version
    }
    /// The keys, each once.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
    /// How many of them must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }
    /// The same keys in any order, and as many of them needed.
    pub fn same(&self, other: &KeySet) -> bool {
        let points = |keys: &[PublicKey]| keys.iter().map(|key| key.point().to_vec()).collect::<BTreeSet<_>>();
        self.threshold == other.threshold && points(&self.keys) == points(&other.keys)
    }
    /// The signatures of these bytes by as many of the keys as it takes.
    ///
    /// # Errors
    /// What was read is no signature; or too few of the keys have signed, in words.
    pub fn verify(&self, bytes: &[u8], signatures: &[u8]) -> Result<Vec<Signed>, String> {
        let held = signature::verify(bytes, signatures, &self.keys)?;
        if held.len() >= self.threshold {
            return Ok(held);
        }
        let of = match self.keys.as_slice() {
            [one] => format!("the key {}", one.id()),
            keys => format!("{} of {} keys", self.threshold, keys.len()),
        };
        Err(match held.as_slice() {
            [] => format!("no signature by {of}"),
            some => format!("signed by {} only, and it takes {of}", some.iter().map(|s| s.key.to_string()).collect::<Vec<_>>().join(", ")),
        })
    }
    pub(super) fn at(mut self, version: u64) -> Self {
        self.version = version;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        PublicKey::parse(&minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64()).unwrap()
    }

    #[test]
    fn a_set_that_is_always_or_never_met_is_refused() {
        let (a, b) = (key(), key());
        for (keys, threshold, words) in [(vec![], 1, "no key"), (vec![a.clone()], 0, "nobody"), (vec![a.clone(), a.clone()], 2, "never be met by 1 key")] {
            assert!(KeySet::new(1, keys, threshold).unwrap_err().contains(words), "{words}");
        }
        assert!(KeySet::new(0, vec![a.clone()], 1).is_err());
        assert!(KeySet::new(1, (0..=KEYS_MAX).map(|_| key()).collect(), 1).is_err());
        let (one, other) = (KeySet::new(1, vec![a.clone(), b.clone()], 2).unwrap(), KeySet::new(7, vec![b.clone(), a.clone(), b], 2).unwrap());
        assert!(one.same(&other));
        assert!(!one.same(&KeySet::new(1, vec![a], 1).unwrap()));
        assert!(KeySet::of(&one.named(Some("pikit"))).unwrap().same(&one));
    }

    #[test]
    fn one_key_under_two_numbers_is_one_key() {
        let a = key();
        let mut bytes = minisign::PublicKey::from_base64(a.line()).unwrap().to_bytes();
        bytes[2] ^= 1;
        let b = PublicKey::parse(&minisign::PublicKey::from_bytes(&bytes).unwrap().to_base64()).unwrap();
        assert_ne!(a, b);
        assert!(KeySet::new(1, vec![a, b], 2).is_err());
    }
}
