//! Comparing the live files with the installed manifest, and putting back what drifted.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Serialize;

use super::aim::{About, Aim, Request, measure};
use super::apply::{self, Consent, Done};
use super::fetch::From;
use super::{Trip, check, survey};
use crate::error::{Code, Doing, Error, Result};
use crate::event::Phase;
use crate::plan::{Action, Facts, Target, Want};
use crate::release::{Digest, Manifest, ReleasePath, manifest};
use crate::source::{Source, Wanted};
use crate::world::durable;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The installed version.
    pub version: Option<semver::Version>,
    /// Files listed.
    pub listed: usize,
    /// Files that are as the manifest says.
    pub matching: usize,
    /// Files with other content or mode.
    pub edited: Vec<String>,
    /// Files that are not there.
    pub missing: Vec<String>,
    /// Config files that a person edited, which is their right.
    pub config_edited: Vec<String>,
}

impl Verified {
    /// Files that differ and should not.
    pub fn drift(&self) -> usize {
        self.edited.len() + self.missing.len()
    }
}

/// Hashes every installed file. Changes nothing; the caller may note the result.
///
/// # Errors
/// Nothing is installed, or something cannot be read.
pub fn verify(trip: &mut Trip) -> Result<Verified> {
    trip.phase(Phase::Verifying, "hashing every installed file");
    let installed = survey::installed(trip)?;
    if installed.manifest_sha256.is_none() {
        return Err(nothing_installed());
    }
    let target = Target {
        version: None,
        manifest_sha256: None,
        content: None,
        files: Default::default(),
        steps: vec![],
        product: None,
        channel: None,
        requires: Default::default(),
    };
    let facts = survey::facts(trip, &installed, &target, &BTreeSet::new())?;
    Ok(compare(trip, installed.version.clone(), &installed.files, &facts))
}

/// What of these files lies there as it should, as far as these facts tell.
pub fn compare(trip: &Trip, version: Option<semver::Version>, files: &BTreeMap<ReleasePath, Rc<Want>>, facts: &Facts) -> Verified {
    let mut seen = Verified { version, listed: files.len(), ..Verified::default() };
    let has_modes = |path| crate::device::managed::place(&trip.settings.managed, path).is_none_or(|(unit, _)| facts.units[unit].has_modes);
    for (path, want) in files {
        match facts.files.get(path) {
            Some(found) if survey::matches(want, found, has_modes(path)) => seen.matching += 1,
            Some(_) if want.config => seen.config_edited.push(path.to_string()),
            Some(_) => seen.edited.push(path.to_string()),
            None if facts.obstacles.contains_key(path) => seen.edited.push(path.to_string()),
            None if want.config => seen.config_edited.push(path.to_string()),
            None => seen.missing.push(path.to_string()),
        }
    }
    seen
}

fn nothing_installed() -> Error {
    Error::refused("no release is installed yet, so there is nothing to compare with").hint("`pikit-updater apply` installs one")
}

/// Puts back what drifted: from the device if it is there, otherwise from the source.
///
/// # Errors
/// As for an apply.
pub fn repair(trip: &mut Trip, source: &dyn Source, consent: Consent) -> Result<Done> {
    let installed = survey::installed(trip)?;
    let path = trip.settings.layout.installed();
    let bytes = durable::read(trip.world.disk, &path, manifest::SIZE_MAX).doing(|| format!("reading {}", path.display()))?.ok_or_else(nothing_installed)?;
    let manifest = Manifest::parse(&bytes).map_err(|e| Error::verification(format!("{}: {e}", path.display())))?;
    let target = Target::of_release(&manifest, Digest::of(&bytes));
    let content = target.content;
    let request = Request { wanted: Wanted::Exact(manifest.version.clone()), allow_downgrade: true, force: true, repair: true, ..Request::default() };
    let aim = Aim { action: Action::Repair, target, manifest: Some(bytes), from: None, request: request.clone(), takes_back: None, about: About::default() };
    // without the source first: what drifted may lie in a backup, and the network may be the thing that is broken
    let (facts, at_hand) = measure(trip, &installed, &aim, None)?;
    let known: BTreeSet<&Digest> = at_hand.digests().collect();
    let differs = |(path, want): &(&ReleasePath, &Rc<Want>)| !want.config && facts.files.get(*path).is_none_or(|f| f.sha256 != want.sha256);
    if aim.target.files.iter().filter(differs).all(|(_, want)| known.contains(&want.sha256)) {
        return apply::bring(trip, aim, consent);
    }
    let offer = check::find(trip, source, &request, &installed)?
        .ok_or_else(|| Error::source_failed(format!("{} has no release {} any more", source.name(), manifest.version)))?
        .offer;
    if Some(offer.manifest.content_digest()) != content {
        return Err(Error::new(Code::Verification, format!("{} is now offered with other contents than were installed", manifest.version))
            .hint("update to another version instead"));
    }
    let from = From::offered(source, &offer, Digest::of(&offer.manifest_bytes));
    apply::bring(trip, Aim { from: Some(from), ..aim }, consent)
}
