//! Secret keys in minisign's format: made, protected by a passphrase, read, and used. The real tool opens ours and we open its.

use std::fmt;

use scrypt::Params;

use super::secret::Secret;
use crate::error::{Error, Result};
use crate::release::PublicKey;

/// How the line of a key begins that a passphrase protects (`Ed`, `Sc`, `B2`), and of one that none protects.
const PROTECTED: &str = "RWRTY0Iy";
const PLAIN: &str = "RWQAAEIy";
const COMMENT: &str = "untrusted comment: ";

/// What minisign derives a key from a passphrase with (libsodium's "sensitive"): N = 2^20, r = 8, p = 1. That takes 1 GiB of memory for a
/// few seconds, of the machine that signs and of whoever guesses.
const LOG_N: u8 = 20;
const R: u32 = 8;
const P: u32 = 1;
const OPSLIMIT: u64 = 33_554_432;
const MEMLIMIT: u64 = 1_073_741_824;

/// Where things lie in the bytes of a secret key.
const KDF: std::ops::Range<usize> = 2..4;
const SALT: std::ops::Range<usize> = 6..38;
const OPS: std::ops::Range<usize> = 38..46;
const MEM: std::ops::Range<usize> = 46..54;
const HIDDEN: std::ops::Range<usize> = 54..158;

/// A key that signs.
#[derive(Clone)]
pub struct Signer {
    secret: minisign::SecretKey,
    public: PublicKey,
}

// the library's own would print the key
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret key {}", self.public.id())
    }
}

/// A new key: both files' texts.
pub struct NewKey {
    /// The text of the secret key's file.
    pub secret: Secret,
    /// The text of the public key's file.
    pub public_text: String,
    /// The public key.
    pub public: PublicKey,
}

impl Signer {
    /// Reads a secret key: the file's two lines, or the key's line alone. `passphrase` is asked only if the key wants one.
    ///
    /// # Errors
    /// It is no secret key, or the passphrase is wrong.
    pub fn read(text: &Secret, what: &str, passphrase: impl FnOnce() -> Result<Secret>) -> Result<Self> {
        let line = text.reveal().lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("untrusted comment:")).unwrap_or_default();
        let boxed = minisign::SecretKeyBox::from(format!("{COMMENT}\n{line}\n"));
        let damaged = || Error::usage(format!("{what} is damaged")).hint("copy it again from where it is kept");
        let secret = if line.starts_with(PLAIN) {
            boxed.into_unencrypted_secret_key().map_err(|_| damaged())?
        } else if line.starts_with(PROTECTED) {
            if line.len() < HIDDEN.end * 4 / 3 {
                return Err(damaged());
            }
            let passphrase = passphrase()?;
            boxed.into_secret_key(Some(passphrase.reveal().to_owned())).map_err(|_| Error::usage(format!("the passphrase does not open {what}")))?
        } else if PublicKey::parse(line).is_ok() {
            return Err(Error::usage(format!("{what} is a public key")).hint("signing takes the secret one, NAME.key"));
        } else {
            return Err(Error::usage(format!("{what} is not a secret key of minisign")).hint("`pikit-updater keygen` makes one"));
        };
        let public = minisign::PublicKey::from_secret_key(&secret).map_err(|_| damaged())?;
        let public = PublicKey::parse(&public.to_base64()).map_err(|_| damaged())?;
        Ok(Signer { secret, public })
    }
    /// Its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
    /// Signs bytes; four lines.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> Result<String> {
        let comment = format!("signature from key {}", self.public.id());
        let signed = minisign::sign(None, &self.secret, bytes, Some(trusted_comment), Some(&comment));
        signed.map(minisign::SignatureBox::into_string).map_err(|e| Error::unexpected("signing").because(e.to_string()))
    }
}

/// Makes a key, protected by a passphrase if one is given.
///
/// # Errors
/// There is no randomness.
pub fn make(passphrase: Option<&Secret>, comment: &str) -> Result<NewKey> {
    let failed = |e: minisign::PError| Error::unexpected("making a key").because(e.to_string());
    let pair = minisign::KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    let secret = match passphrase {
        None => pair.sk,
        Some(passphrase) => minisign::SecretKey::from_bytes(&protected(pair.sk.to_bytes(), passphrase)?).map_err(failed)?,
    };
    let public = PublicKey::parse(&pair.pk.to_base64()).map_err(|e| Error::unexpected("making a key").because(e))?;
    Ok(NewKey {
        secret: Secret::new(secret.to_box(Some(comment)).map_err(failed)?.into_string()),
        public_text: format!("{COMMENT}minisign public key {}\n{}\n", public.id(), public.line()),
        public,
    })
}

/// The library protects keys with weaker parameters than the tool does, so this is done here: number, key and checksum are hidden under what
/// scrypt makes of the passphrase.
fn protected(mut bytes: Vec<u8>, passphrase: &Secret) -> Result<Vec<u8>> {
    let failed = || Error::unexpected("protecting the key");
    if bytes.len() != HIDDEN.end {
        return Err(failed());
    }
    rustix::rand::getrandom(&mut bytes[SALT], rustix::rand::GetRandomFlags::empty()).map_err(|e| failed().because(std::io::Error::from(e)))?;
    bytes[KDF].copy_from_slice(b"Sc");
    bytes[OPS].copy_from_slice(&OPSLIMIT.to_le_bytes());
    bytes[MEM].copy_from_slice(&MEMLIMIT.to_le_bytes());
    let mut stream = [0; HIDDEN.end - HIDDEN.start];
    let params = Params::new(LOG_N, R, P, Params::RECOMMENDED_LEN).map_err(|e| failed().because(e.to_string()))?;
    scrypt::scrypt(passphrase.reveal().as_bytes(), &bytes[SALT], &params, &mut stream).map_err(|e| failed().because(e.to_string()))?;
    for (byte, hide) in bytes[HIDDEN].iter_mut().zip(stream) {
        *byte ^= hide;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Result<Secret> {
        Err(Error::usage("nobody is to be asked"))
    }

    #[test]
    fn a_key_is_read_from_its_file_or_from_its_line_and_never_shown() {
        let new = make(None, "a test").unwrap();
        let line = new.secret.reveal().lines().nth(1).unwrap().to_owned();
        assert!(line.starts_with(PLAIN));
        for text in [new.secret.reveal().to_owned(), line.clone(), format!("\n{line}\r\n")] {
            let signer = Signer::read(&Secret::new(text), "the key", nobody).unwrap();
            assert_eq!(signer.public(), &new.public);
            assert_eq!(format!("{signer:?}"), format!("the secret key {}", new.public.id()));
        }
        assert_eq!(PublicKey::parse(&new.public_text).unwrap(), new.public);
    }

    #[test]
    fn what_is_no_secret_key_is_said_to_be_none() {
        let new = make(None, "a test").unwrap();
        let line = new.secret.reveal().lines().nth(1).unwrap().to_owned();
        let flipped = format!("{}{}{}", &line[..100], if line.as_bytes()[100] == b'A' { 'B' } else { 'A' }, &line[101..]);
        let table = [
            (new.public_text.clone(), "is a public key"),
            (flipped, "damaged"),
            (line[..150].to_owned(), "damaged"),
            (format!("{PROTECTED}AAAA"), "damaged"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".into(), "not a secret key"),
            (String::new(), "not a secret key"),
        ];
        for (text, words) in table {
            let error = Signer::read(&Secret::new(text.clone()), "the key", nobody).unwrap_err();
            assert!(error.message().contains(words), "{words}: {error}");
            assert!(text.len() < 8 || !format!("{error:?}").contains(&text[4..]), "{error:?}");
        }
    }
}
