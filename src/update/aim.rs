//! Where a trip goes and what was asked of it; with the measurements and the policy that the decision is made from.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use semver::Version;
use serde::Serialize;

use super::at_hand::AtHand;
use super::belief::Believed;
use super::fetch::From;
use super::{Trip, survey};
use crate::error::Result;
use crate::plan::decide::Installed;
use crate::plan::{Action, Facts, Policy, Target};
use crate::release::Digest;
use crate::release::signature::Signed;
use crate::source::Wanted;
use crate::state::Ledger;

/// What is asked of `apply`.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which release.
    pub wanted: Wanted,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Only fetch.
    pub download_only: bool,
    /// A lower version is all right.
    pub allow_downgrade: bool,
    /// Quarantined, equal or changed: all the same.
    pub force: bool,
    /// The only manifest that may be installed.
    pub require_manifest: Option<Digest>,
    /// It is the installed release that is asked for, to put back what drifted.
    pub repair: bool,
    /// Nobody sits in front of it: what a person would have to be asked about waits.
    pub automatic: bool,
}

impl Default for Request {
    /// The best release, with nothing special about it.
    fn default() -> Self {
        Request {
            wanted: Wanted::Best,
            dry_run: false,
            download_only: false,
            allow_downgrade: false,
            force: false,
            require_manifest: None,
            repair: false,
            automatic: false,
        }
    }
}

/// Everything that [`super::apply::bring`] needs to know about where it goes.
pub struct Aim<'s> {
    /// What for.
    pub action: Action,
    /// Where to.
    pub target: Target,
    /// Bytes of the target's manifest.
    pub manifest: Option<Vec<u8>>,
    /// Where contents come from that are not on the device.
    pub from: Option<From<'s>>,
    /// What was asked.
    pub request: Request,
    /// The highest version that is still good, if the installed one was taken back.
    pub takes_back: Option<Version>,
    /// What people are told about it.
    pub about: About,
}

/// What people are told about a release beside its plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// Release notes.
    pub notes: Option<String>,
    /// Where to read about it.
    pub changelog: Option<String>,
    /// When it was released.
    pub released: Option<DateTime<Utc>>,
    /// Who signed it.
    pub signed: Vec<Signed>,
    /// What should be known before one says yes.
    pub doubts: Vec<String>,
}

impl About {
    /// What a believed release says of itself.
    pub fn of(believed: &Believed) -> Self {
        let manifest = &believed.offer.manifest;
        About {
            notes: manifest.notes.clone(),
            changelog: manifest.changelog.clone(),
            released: manifest.released,
            signed: believed.signed.clone(),
            doubts: believed.doubts.clone(),
        }
    }
}

/// Looks at the device once, with nothing to remember of refused exchanges.
///
/// # Errors
/// Something cannot be read.
pub fn measure(trip: &mut Trip, installed: &Installed, aim: &Aim, bundle_size: Option<u64>) -> Result<(Facts, AtHand)> {
    let (mut facts, at_hand) = measure_for(trip, installed, aim, &BTreeSet::new())?;
    facts.bundle_size = facts.bundle_size.or(bundle_size);
    Ok((facts, at_hand))
}

/// Looks at the device; `per_file` names managed paths whose exchange was refused.
///
/// # Errors
/// Something cannot be read.
pub fn measure_for(trip: &mut Trip, installed: &Installed, aim: &Aim, per_file: &BTreeSet<usize>) -> Result<(Facts, AtHand)> {
    let mut facts = survey::facts(trip, installed, &aim.target, per_file)?;
    let at_hand = AtHand::look(trip, &facts)?;
    facts.at_hand = at_hand.digests().copied().collect();
    facts.bundle_size = aim.from.and_then(|f| f.bundle.size);
    if let (Action::Apply, Some(content)) = (aim.action, &aim.target.content) {
        facts.quarantined = Ledger::load(trip.world.disk, &trip.settings.layout)?.reason(content).map(str::to_owned);
    }
    Ok((facts, at_hand))
}

/// The owner's decisions and what was asked, as `decide` takes them.
pub fn policy<'t>(trip: &Trip<'t>, aim: &Aim) -> Policy<'t> {
    let settings = trip.settings;
    Policy {
        action: aim.action,
        managed: &settings.managed,
        product: &settings.product,
        channel: &settings.channel,
        restart: &settings.services.restart,
        reload: &settings.services.reload,
        commands: settings.trust.required && settings.services.allow_commands,
        min_free: settings.min_free,
        updater: this_version(),
        allow_downgrade: aim.request.allow_downgrade,
        force: aim.request.force,
        takes_back: aim.takes_back.clone(),
        require_manifest: aim.request.require_manifest,
    }
}

/// This program's version.
pub fn this_version() -> Version {
    Version::parse(env!("CARGO_PKG_VERSION")).expect("cargo takes semantic versions only")
}
