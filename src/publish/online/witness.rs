//! What a device finds on the server, looked at through the device's own code over the way that everybody takes: what was published is
//! only then published when it arrives.

use std::io;

use semver::Version;

use crate::error::{Error, Result};
use crate::plan::decide::channel_fits;
use crate::publish::pack::Asset;
use crate::release::route::{self, Way};
use crate::release::{Digest, KeySet, Manifest, manifest, steps};
use crate::source::{Candidate, Judge, Memory, Network, Offer, Span, Verdict, Wanted, read_error};

/// What was published.
pub struct Released<'r> {
    /// The manifest.
    pub manifest: &'r Manifest,
    /// Byte for byte.
    pub bytes: &'r [u8],
    /// All files.
    pub assets: &'r [Asset],
    /// Its channel.
    pub channel: &'r str,
    /// The keys that devices have, if they are known.
    pub keys: Option<&'r KeySet>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// What a device on the channel is offered.
    pub offered: Version,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// Looks, from devices that have these earlier releases.
///
/// # Errors
/// A device would not find what was published, or not get it.
pub fn look(network: &dyn Network, released: &Released, earlier: &[&Manifest]) -> Result<Witnessed> {
    let version = &released.manifest.version;
    let mut notes = Vec::new();
    let exact = find(network, released, &Wanted::Exact(version.clone()))?;
    let Some(offer) = exact.filter(|o| o.manifest_bytes == released.bytes) else {
        return Err(wrong(format!("{} hands out another manifest of {version} than was published", network.name())));
    };
    let offered = match find(network, released, &Wanted::Best)? {
        Some(best) if best.manifest.version == *version && best.manifest_bytes != released.bytes => {
            return Err(wrong(format!("{} offers another {version} than was published", network.name())));
        }
        Some(best) => {
            notes.extend(best.notes.clone());
            best.manifest.version
        }
        None => return Err(wrong(format!("{} offers nothing to a device", network.name()))),
    };
    if offered < *version {
        return Err(wrong(format!("{} offers {offered} to a device, not {version}", network.name())));
    }
    if offered > *version {
        notes.push(format!("devices are offered {offered}, which is higher"));
    }
    for asset in released.assets.iter().filter(|a| a.name != manifest::NAME) {
        arrives(network, &offer, asset)?;
    }
    notes.extend(several(network, &offer));
    for old in earlier {
        let Some(runs) = parts(released.manifest, old) else { continue };
        for run in runs {
            let body = network.open(&offer.bundle, Span::Run { before_end: run.before_end, length: run.length })?;
            if !body.cut {
                notes.push(format!("{} gives out no parts of files: devices fetch whole bundles", network.name()));
                return Ok(Witnessed { offered, notes });
            }
            let mut reader = body.reader;
            let n = io::copy(&mut reader, &mut io::sink()).map_err(|e| read_error(e, || format!("fetching a part of {}", offer.bundle.at)))?;
            if n != run.length {
                return Err(wrong(format!("of a part of {} came {n} bytes, not {}", offer.bundle.at, run.length)));
            }
        }
    }
    Ok(Witnessed { offered, notes })
}

/// Whether several parts of a file come with one request, as devices ask for chunks. If not, what to say of it.
fn several(network: &dyn Network, offer: &Offer) -> Option<String> {
    let chunks = offer.manifest.bundle.as_ref()?.chunks.as_ref()?;
    let asset = offer.bundle.beside(&chunks.name, chunks.size);
    let (first, last) = (0..1, chunks.size.checked_sub(1)?..chunks.size);
    let came = network.parts(&asset, vec![first, last], 0).and_then(|mut body| {
        let mut bytes = Vec::new();
        body.reader.read_to_end(&mut bytes).map_err(|e| read_error(e, || format!("fetching parts of {}", asset.at)))
    });
    let why = came.err()?;
    Some(format!("chunks are of no use, devices fetch blocks: {}", why.message()))
}

/// The runs of blocks that a device without a usable patch asks for.
fn parts(new: &Manifest, old: &Manifest) -> Option<Vec<route::Run>> {
    let missing = new.beyond(old);
    if missing.is_empty() {
        return None;
    }
    route::ways(new, &missing, None).into_iter().find_map(|way| if let Way::Runs(runs) = way { Some(runs) } else { None })
}

fn find(network: &dyn Network, released: &Released, wanted: &Wanted) -> Result<Option<Offer>> {
    let mut judge = Witness { released, wanted };
    network.find(wanted, &mut judge, &mut Memory::default())
}

/// A file comes whole, and is the one that was sent.
fn arrives(network: &dyn Network, offer: &Offer, asset: &Asset) -> Result<()> {
    let at = offer.bundle.beside(&asset.name, asset.size);
    let body = network.open(&at, Span::ALL)?;
    let (sha256, n) = Digest::of_reader(body.reader).map_err(|e| read_error(e, || format!("fetching {}", at.at)))?;
    if (n, sha256) != (asset.size, asset.sha256) {
        return Err(wrong(format!("{} is not what was uploaded: {n} bytes with sha256 {sha256} came", at.at)));
    }
    Ok(())
}

fn wrong(what: String) -> Error {
    Error::verification(what).hint("run it again; if it stays like this, something between the server and the world changes or keeps what it serves")
}

/// Takes what the keys signed, as a device would that may install anything.
struct Witness<'w> {
    released: &'w Released<'w>,
    wanted: &'w Wanted,
}

impl Judge for Witness<'_> {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict> {
        let wrong = |what: String| Ok(Verdict::Wrong(Error::verification(format!("{} {what}", candidate.name))));
        let manifest = match Manifest::parse(candidate.manifest) {
            Ok(manifest) => manifest,
            Err(e) => return wrong(format!("has a broken manifest: {e}")),
        };
        if let Some(start) = self.released.keys {
            let walked = steps::walk(start, manifest.product.as_deref().unwrap_or_default(), candidate.steps);
            let Some(signature) = candidate.signature else { return wrong("is not signed".into()) };
            if let Err(why) = walked.set.verify(candidate.manifest, signature) {
                return wrong(format!("is not believed: {why}"));
            }
        }
        if candidate.tag.is_some_and(|tag| *tag != manifest.version) {
            return wrong(format!("has a manifest of another version, {}", manifest.version));
        }
        match self.wanted {
            Wanted::Exact(version) if *version != manifest.version => Ok(Verdict::NotForUs(manifest.version)),
            Wanted::Best if !channel_fits(self.released.channel, manifest.channel.as_deref(), Some(&manifest.version)) => {
                Ok(Verdict::NotForUs(manifest.version))
            }
            _ => Ok(Verdict::Take(Box::new(manifest))),
        }
    }
}
