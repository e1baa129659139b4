//! Reads the manifest out of a bundle: `manifest.json` and its signature, wherever they stand in the archive.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::url::SIGNATURE_MAX;
use super::{read_error, steps};
use crate::error::{Error, Result};
use crate::release::manifest::{self, SignedStep};

/// Decompressed bytes beside the manifest that are read when it has to come first: folders and headers.
const BEFORE_MAX: u64 = 1 << 20;

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// Its signature.
    pub signature: Option<Vec<u8>>,
    /// The changes of keys that it carries.
    pub steps: Vec<SignedStep>,
}

/// Reads as much of an archive as it takes. `first`: the manifest must come before other files, and nothing behind it but its signature
/// is looked at; otherwise all of the archive is searched.
///
/// # Errors
/// It is no tar.gz, or has no manifest where it should be.
pub fn read(archive: impl Read, first: bool, name: &str) -> Result<Inside> {
    let most = if first { manifest::SIZE_MAX + SIGNATURE_MAX + BEFORE_MAX } else { u64::MAX };
    let mut tar = tar::Archive::new(MultiGzDecoder::new(archive).take(most));
    let broken = |e: std::io::Error| {
        let found = read_error(e, || format!("{name} is not a bundle (a tar.gz)"));
        // what went wrong below has its own code; what is wrong with the bytes is a matter of verification
        if found.code == crate::error::Code::Source && found.hint.is_none() { Error::verification(found.message()) } else { found }
    };
    let (mut manifest, mut signature) = (None, None);
    // raw: tar would read the long names of hostile archives whole, whatever their size; ours are short
    for entry in tar.entries().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        let (wanted, limit) = match entry.path_bytes().strip_prefix(b"./").unwrap_or(&entry.path_bytes()) {
            p if p == manifest::NAME.as_bytes() => (&mut manifest, manifest::SIZE_MAX),
            p if p == manifest::SIGNATURE_NAME.as_bytes() => (&mut signature, SIGNATURE_MAX),
            _ if first && entry.header().entry_type().is_file() => break,
            _ => continue,
        };
        if !entry.header().entry_type().is_file() || entry.size() > limit || wanted.is_some() {
            return Err(Error::verification(format!("{name}: its manifest or signature is no file, too big, or there twice")));
        }
        let size = entry.size();
        let mut bytes = Vec::new();
        entry.take(limit).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != size {
            return Err(Error::verification(format!("{name} is cut off within its manifest")));
        }
        *wanted = Some(bytes);
        if manifest.is_some() && signature.is_some() {
            break;
        }
    }
    match manifest {
        Some(manifest) => Ok(Inside { steps: steps::of(&manifest), manifest, signature }),
        None if first => Err(Error::verification(format!("{name} does not begin with its {}", manifest::NAME))
            .hint("a bundle on stdin must carry its manifest first: pack it with `pikit-updater pack`, or give the file itself")),
        None => {
            Err(Error::verification(format!("{name} has no {} in it", manifest::NAME)).hint("give the folder that holds the bundle and manifest.json instead"))
        }
    }
}
