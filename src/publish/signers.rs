//! Who signs: keys and passphrases brought together.

use super::key::Signer;
use super::secret::Place;
use super::terminal::{HINT, Terminal};
use crate::error::{Error, Result};

/// Reads secret keys, each with its passphrase: the n-th place for the n-th key that wants one, the last for those after it, and a person
/// if there is no place and `may_ask` says so.
///
/// # Errors
/// A key or passphrase that cannot be read, or is none.
pub fn signers(keys: &[Place], passphrases: &[Place], may_ask: bool) -> Result<Vec<Signer>> {
    let mut asked = 0;
    let mut signers: Vec<Signer> = Vec::new();
    for place in keys {
        let what = match place {
            Place::File(path) => format!("the key {}", path.display()),
            Place::Env(name) => format!("the key in {name}"),
            Place::Fd(number) => format!("the key of fd:{number}"),
        };
        let text = place.read("the secret key")?;
        let signer = Signer::read(&text, &what, || {
            let passphrase = passphrases.get(asked).or(passphrases.last());
            asked += 1;
            match passphrase {
                Some(place) => Ok(place.read("the passphrase")?.first_line()),
                None if !may_ask => Err(Error::usage(format!("{what} wants its passphrase, and there is nobody to ask")).hint(HINT)),
                None => Terminal::open()?.ask(&format!("passphrase of {what}: ")),
            }
        })?;
        if signers.iter().all(|s| s.public() != signer.public()) {
            signers.push(signer);
        }
    }
    Ok(signers)
}
