//! Where secrets come from: a file, the environment, a file descriptor. Never the command line itself, which every user of the machine
//! can read in `ps`, and which stays in the shell's history.
//!
//! A secret is never shown, not even by `{:?}`. It is not wiped from memory: the program ends soon after.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Code, Doing, Error, Result};

/// Largest secret that is read, bytes.
const SIZE_MAX: u64 = 64 << 10;
/// A line that long of nothing but base64 is no file's name but the key itself.
const LITERAL: usize = 100;
/// Bits of a mode that let others than the owner read.
const OTHERS: u32 = 0o044;

/// A secret text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: String) -> Self {
        Secret(text)
    }
    /// The text itself: to be handed to what needs it, and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Its first line: what a passphrase is, however its file ends.
    pub fn first_line(&self) -> Secret {
        Secret(self.0.lines().next().unwrap_or_default().to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
    /// To be read from an open file descriptor.
    Fd(u32),
}

impl Place {
    /// Reads `FILE`, `env:NAME` or `fd:N` as given after `option`.
    ///
    /// # Errors
    /// It is none of them; what looks like the secret itself is refused without being repeated.
    pub fn parse(option: &str, text: &OsStr) -> Result<Self> {
        let literal = || {
            Error::usage(format!("{option} takes the place of a secret, and this looks like the secret itself"))
                .hint(format!("what stands on a command line is seen by everybody in `ps`: give {option} FILE, env:NAME or fd:N, and make another secret"))
        };
        let Some(plain) = text.to_str() else { return Ok(Place::File(text.into())) };
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        if plain.contains('\n') || plain.starts_with("pass:") || (plain.len() >= LITERAL && plain.chars().all(base64)) {
            return Err(literal());
        }
        match plain.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains('=') => Ok(Place::Env(name.to_owned())),
            Some(("fd", number)) => number.parse().map(Place::Fd).map_err(|_| Error::usage(format!("{option} fd:N takes a number"))),
            Some(("env", _)) => Err(Error::usage(format!("{option} env:NAME takes the name of a variable"))),
            _ if plain.is_empty() => Err(Error::usage(format!("{option} names no place"))),
            _ => Ok(Place::File(text.into())),
        }
    }

    /// Reads the secret. `what` names it in messages.
    ///
    /// # Errors
    /// It cannot be read. A name that is no file may be the secret itself, typed there by mistake: it is not repeated unless it is surely a path.
    pub fn read(&self, what: &str) -> Result<Secret> {
        match self {
            Place::Env(name) => {
                let value = std::env::var_os(name).filter(|v| !v.is_empty());
                let value = value.ok_or_else(|| {
                    Error::usage(format!("{what}: the variable {name} is not set")).hint("a CI hands secrets to the jobs that are allowed to have them only")
                })?;
                text(value.into_encoded_bytes(), what)
            }
            // the descriptor may be anybody's: opened anew, never taken over
            Place::Fd(number) => {
                let path = format!("/proc/self/fd/{number}");
                let file = File::open(&path).doing(|| format!("reading {what} from the file descriptor {number}"))?;
                bounded(file, what).and_then(|bytes| text(bytes, what))
            }
            Place::File(path) => {
                let file = File::open(path).map_err(|e| not_opened(e, path, what))?;
                bounded(file, what).and_then(|bytes| text(bytes, what))
            }
        }
    }

    /// A word about a file that others than its owner can read.
    pub fn doubt(&self) -> Option<String> {
        let Place::File(path) = self else { return None };
        let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let mode = meta.permissions().mode() & 0o777;
        (mode & OTHERS != 0).then(|| format!("{} can be read by others (mode {mode:04o}): `chmod 600` it", path.display()))
    }
}

fn not_opened(e: std::io::Error, path: &Path, what: &str) -> Error {
    let code = if e.kind() == std::io::ErrorKind::PermissionDenied { Code::Permission } else { Code::Usage };
    let surely_a_path = path.as_os_str().as_bytes().contains(&b'/') || path.extension().is_some();
    if surely_a_path {
        return Error::new(code, format!("reading {what} from {}", path.display())).because(e);
    }
    Error::new(code, format!("{what}: the place that was given is no file that can be read"))
        .because(e)
        .hint("a secret itself never stands on the command line, where everybody sees it in `ps`: give FILE, env:NAME or fd:N")
}

fn bounded(mut file: File, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut file).take(SIZE_MAX + 1).read_to_end(&mut bytes).doing(|| format!("reading {what}"))?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(Error::usage(format!("{what} is longer than {SIZE_MAX} bytes: that is something else")));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>, what: &str) -> Result<Secret> {
    // the error of `from_utf8` would carry the bytes along
    String::from_utf8(bytes).map(Secret).map_err(|_| Error::usage(format!("{what} is not text")))
}

/// The places that the options name, or the variable of the environment if there are none and it is set.
///
/// # Errors
/// See [`Place::parse`].
pub fn places(option: &str, told: &[OsString], variable: &str) -> Result<Vec<Place>> {
    if told.is_empty() {
        let set = std::env::var_os(variable).is_some_and(|v| !v.is_empty());
        return Ok(if set { vec![Place::Env(variable.to_owned())] } else { Vec::new() });
    }
    told.iter().map(|text| Place::parse(option, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_the_secret_itself_is_refused_and_not_repeated() {
        let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().sk.to_box(None).unwrap().into_string();
        let line = key.lines().nth(1).unwrap().to_owned();
        for literal in [key.as_str(), &line, "pass:tulip"] {
            let error = Place::parse("--key", OsStr::new(literal)).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(error.code == Code::Usage && said.contains("ps") && !said.contains(literal) && !said.contains("tulip"), "{said}");
        }
        // a passphrase that somebody types in the place of its file
        let error = Place::parse("--passphrase", OsStr::new("correct horse")).unwrap().read("the passphrase").unwrap_err();
        assert!(!format!("{error:?}").contains("horse") && format!("{error:?}").contains("ps"), "{error:?}");
    }

    #[test]
    fn a_place_is_a_file_a_variable_or_a_descriptor() {
        let parse = |text: &str| Place::parse("--key", OsStr::new(text));
        assert_eq!(parse("pikit.key").unwrap(), Place::File("pikit.key".into()));
        assert_eq!(parse("./env:odd").unwrap(), Place::File("./env:odd".into()));
        assert_eq!(parse("env:KEY").unwrap(), Place::Env("KEY".into()));
        assert_eq!(parse("fd:3").unwrap(), Place::Fd(3));
        for wrong in ["", "env:", "fd:", "fd:x", "fd:-1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Place::Env("PIKIT_NEVER_SET".into()).read("the key").unwrap_err().message().contains("PIKIT_NEVER_SET"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("tulip\nrose".into());
        assert_eq!(format!("{secret:?} {:?}", Some(secret.first_line())), "(secret) Some((secret))");
        assert_eq!(secret.first_line().reveal(), "tulip");
    }
}
