//! Which release lies on the board already. Every live file that some release lists is hashed once; the release with the fewest
//! differences is the one, if most of its files are there as it says. It is then recorded as installed, so that the next update fetches
//! little and `verify` knows what was edited. No file of the dashboard is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use semver::Version;

use super::catalogue::Known;
use crate::error::{Doing, Result};
use crate::plan::decide::Installed;
use crate::plan::{Target, Want};
use crate::release::{Digest, ReleasePath};
use crate::state::status;
use crate::update::verify::{self, Verified};
use crate::update::{Trip, mirror, survey};
use crate::world::durable;

/// What lies on the board.
#[derive(Debug, Clone, PartialEq)]
pub enum Here {
    /// It is on record already.
    Recorded(Option<Version>),
    /// This release, and how it differs.
    Release(Box<Adoption>),
    /// So many files that releases list, and no release that they are.
    Unknown(usize),
    /// Nothing of it.
    Nothing,
}

/// A release that was found on the board.
#[derive(Debug, Clone, PartialEq)]
pub struct Adoption {
    /// Its manifest, byte for byte.
    pub bytes: Vec<u8>,
    /// How it lies there.
    pub seen: Verified,
}

/// Looks. Changes nothing.
///
/// # Errors
/// Something cannot be read.
pub fn look(trip: &Trip, known: &[Known]) -> Result<Here> {
    let installed = survey::installed(trip)?;
    if installed.manifest_sha256.is_some() {
        return Ok(Here::Recorded(installed.version));
    }
    let releases: Vec<(&Known, Target)> = known
        .iter()
        .filter(|k| k.manifest.product.as_ref().is_none_or(|p| *p == trip.settings.product))
        .map(|k| (k, Target::of_release(&k.manifest, Digest::of(&k.bytes))))
        .collect();
    // one pass over the disk for all of them
    let every: BTreeMap<ReleasePath, Rc<Want>> = releases.iter().flat_map(|(_, target)| target.files.clone()).collect();
    let Some(shape) = releases.first().map(|(_, target)| target.clone()) else { return Ok(Here::Nothing) };
    let facts = survey::facts(trip, &Installed::default(), &Target { files: every, ..shape }, &BTreeSet::new())?;
    if facts.files.is_empty() {
        return Ok(Here::Nothing);
    }
    let compared = releases.into_iter().map(|(known, target)| (known, verify::compare(trip, target.version, &target.files, &facts)));
    // of two that differ as much, the newer
    let best = compared.min_by_key(|(known, seen)| (seen.drift() + seen.config_edited.len(), std::cmp::Reverse(known.manifest.version.clone())));
    Ok(match best {
        Some((known, seen)) if plausible(&seen) => Here::Release(Box::new(Adoption { bytes: known.bytes.clone(), seen })),
        _ => Here::Unknown(facts.files.len()),
    })
}

/// Most of its files are as it says: anything less is more likely another release, which the source does not show any more.
fn plausible(seen: &Verified) -> bool {
    seen.matching * 2 > seen.listed
}

/// Records it as installed. The manifest comes last: cut before it, nothing is on record yet and the next `setup` does it again.
///
/// # Errors
/// It cannot be written.
pub fn record(trip: &mut Trip, adoption: &Adoption) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    for dir in [layout.state_dir(), layout.version().parent().expect("the version file lies in a folder").to_owned()] {
        durable::make_dirs(disk, &dir, 0o755).doing(|| format!("making {}", dir.display()))?;
    }
    if let Some(version) = &adoption.seen.version {
        status::save(disk, &layout, &layout.version(), format!("{version}\n").as_bytes())?;
    }
    trip.state.drift = Some(adoption.seen.drift());
    trip.state.last_verify = Some(trip.world.clock.now());
    status::save(disk, &layout, &layout.installed(), &adoption.bytes)?;
    mirror::refresh(trip)?;
    trip.state.save(disk, &layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_plausible_when_most_of_it_is_there() {
        let seen = |matching, listed| Verified { matching, listed, ..Verified::default() };
        assert!(plausible(&seen(3, 5)) && plausible(&seen(1, 1)));
        assert!(!plausible(&seen(2, 4)) && !plausible(&seen(0, 3)) && !plausible(&seen(0, 0)));
    }
}
