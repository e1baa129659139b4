//! Which authorities are believed: the system's, and the owner's own.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::error::{Doing, Error, Result};

/// Where Debian and Raspberry Pi OS keep the authorities that the system believes.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The system's authorities and those in the file `own`.
///
/// # Errors
/// `own` cannot be read or holds no certificate.
pub fn roots(own: Option<&Path>) -> Result<RootCerts> {
    let own = own.map(|path| Ok::<_, Error>((path.display().to_string(), read_named(path, "source.ca_file")?))).transpose()?;
    with(own.as_ref())
}

/// The system's authorities and those in `own`, a named text. On a board without any, those that came with this program are believed,
/// unless `own` is given: then it alone is.
///
/// # Errors
/// `own` holds no certificate.
pub fn with(own: Option<&(String, Vec<u8>)>) -> Result<RootCerts> {
    let mut all = std::fs::read(SYSTEM).map(|pem| certificates(&pem)).unwrap_or_default();
    if let Some((name, pem)) = own {
        let mine = certificates(pem);
        if mine.is_empty() {
            return Err(
                Error::usage(format!("{name} (source.ca_file) holds no certificate in PEM form")).hint("it should have lines like -----BEGIN CERTIFICATE-----")
            );
        }
        all.extend(mine);
    }
    Ok(if all.is_empty() { RootCerts::WebPki } else { RootCerts::from(all) })
}

/// Reads a file that the config names.
///
/// # Errors
/// There is none: the config is wrong; or it cannot be read.
pub fn read_named(path: &Path, key: &str) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::usage(format!("{key} names {}, which does not exist", path.display())).hint(format!("make the file, or take {key} out of updater.toml")))
        }
        read => read.doing(|| format!("reading {} ({key})", path.display())),
    }
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(|item| item.ok());
    items.filter_map(|item| if let PemItem::Certificate(c) = item { Some(c) } else { None }).collect()
}
