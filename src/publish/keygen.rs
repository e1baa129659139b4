//! `keygen`: a pair of keys in two files, as minisign writes them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key;
use super::secret::Secret;
use crate::error::{Doing, Error, Result};
use crate::release::KeyId;

/// Mode of the secret key's file, and of the public one's.
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// A new pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The file of the secret key.
    pub secret: PathBuf,
    /// The file of the public key.
    pub public: PathBuf,
    /// The public key's number.
    pub id: KeyId,
    /// The public key's line.
    pub line: String,
    /// Whether a passphrase protects the secret key.
    pub passphrase: bool,
}

/// Both files of a name.
pub fn files(name: &Path) -> (PathBuf, PathBuf) {
    let with = |end: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    };
    (with(".key"), with(".pub"))
}

/// Says no where a key is already, before anybody is asked for a passphrase.
///
/// # Errors
/// One of the files is there.
pub fn refuse_existing(name: &Path) -> Result<()> {
    let (secret, public) = files(name);
    match [secret, public].iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(taken(path)),
        None => Ok(()),
    }
}

/// Makes `NAME.key` and `NAME.pub`. Nothing is ever overwritten: a lost secret key cannot be had again.
///
/// # Errors
/// A file is there already, or cannot be written; then neither is left.
pub fn keygen(name: &Path, passphrase: Option<&Secret>, comment: Option<&str>) -> Result<Made> {
    let comment = match comment.map(str::trim) {
        Some(text) if text.chars().any(char::is_control) || text.len() > 900 => return Err(Error::usage("--comment takes one line")),
        Some(text) => text.to_owned(),
        None if passphrase.is_some() => "minisign encrypted secret key".into(),
        None => "minisign secret key".into(),
    };
    refuse_existing(name)?;
    let new = key::make(passphrase, &comment)?;
    let (secret, public) = files(name);
    create(&secret, new.secret.reveal(), SECRET)?;
    create(&public, &new.public_text, PUBLIC).inspect_err(|_| drop(std::fs::remove_file(&secret)))?;
    Ok(Made { secret, public, id: new.public.id(), line: new.public.line().to_owned(), passphrase: passphrase.is_some() })
}

fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = match File::options().write(true).create_new(true).mode(mode).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(taken(path)),
        file => file.doing(writing)?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.doing(writing).inspect_err(|_| drop(std::fs::remove_file(path)))
}

fn taken(path: &Path) -> Error {
    Error::refused(format!("{} is there already, and a key is never overwritten", path.display())).hint("give the new key another name")
}
