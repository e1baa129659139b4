//! Fetching: what is not on the device comes by the way that costs the fewest bytes. Each way that fails leaves what it brought, and the
//! next one brings the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use serde::Serialize;

use super::Trip;
use super::at_hand::AtHand;
use super::chunking;
use super::intake::{Listed, Part, Passed, pass};
use super::patching::{self, Earlier};
use super::pieces::Resume;
use crate::error::{Code, Error, Result};
use crate::event::Phase;
use crate::quantity::{bytes, count};
use crate::release::route::{self, Run, Way};
use crate::release::{Digest, Manifest, ReleasePath};
use crate::source::{BundleRef, Offer, Source, Span, Unpacked};

/// Where a release's contents come from.
#[derive(Clone, Copy)]
pub struct From<'s> {
    /// The source.
    pub source: &'s dyn Source,
    /// Its bundle.
    pub bundle: &'s BundleRef,
    /// Its manifest.
    pub manifest: &'s Manifest,
    /// Digest of the manifest's bytes.
    pub manifest_sha256: Digest,
}

impl<'s> From<'s> {
    /// What a source offers; `manifest_sha256` is of the offer's manifest.
    pub fn offered(source: &'s dyn Source, offer: &'s Offer, manifest_sha256: Digest) -> Self {
        From { source, bundle: &offer.bundle, manifest: &offer.manifest, manifest_sha256 }
    }
}

/// Contents still to come, and where each goes.
pub type Missing = BTreeMap<Digest, Vec<Need>>;

/// One place that a content is to come to.
#[derive(Debug, Clone)]
pub struct Need {
    /// The file, for messages.
    pub path: ReleasePath,
    /// Where it is staged.
    pub staged: Rc<Path>,
    /// Owner, if it is to be set.
    pub owner: Option<(u32, u32)>,
    /// Mode; none: that of the bundle.
    pub mode: Option<u32>,
}

/// What bringing contents here cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes of contents fetched.
    pub fetched: u64,
    /// Bytes written under managed paths.
    pub written: u64,
    /// Requests to the server, those of the check included.
    pub requests: u64,
    /// Bytes of the whole bundle; 0 when nothing was needed of it, or when it is not known.
    pub whole: u64,
}

/// Brings what is missing and stages it. On return nothing is missing.
///
/// # Errors
/// The source; a bundle that is not what its manifest says (nothing of it is used beyond files whose digest was right).
pub fn fetch(trip: &mut Trip, from: From, mut missing: Missing, at_hand: &AtHand, cost: &mut Cost) -> Result<()> {
    // the installed release is another long list: read only where something can start from it
    let starts_from_it = from.manifest.bundle.as_ref().is_some_and(|b| b.chunks.is_some() || !b.patches.is_empty());
    let earlier = (starts_from_it && from.source.has_patches()).then(|| Earlier::of(trip.world.disk, &trip.settings.layout, at_hand)).flatten();
    let brought = bring(trip, from, &mut missing, earlier.as_ref(), cost);
    cost.requests = from.source.tally().requests;
    brought?;
    Resume::forget(trip, &from);
    Ok(())
}

fn bring(trip: &mut Trip, from: From, missing: &mut Missing, earlier: Option<&Earlier>, cost: &mut Cost) -> Result<()> {
    cost.whole = from.bundle.size.unwrap_or_default();
    let listed = &Listed::of(&from);
    let (mut by_patch, mut in_chunks, mut in_runs) = (true, true, true);
    while !missing.is_empty() {
        let lacking: BTreeSet<Digest> = missing.keys().copied().collect();
        let ways = route::ways(from.manifest, &lacking, earlier.map(|e| &e.manifest.version));
        let way = ways.into_iter().find(|way| match way {
            Way::Patch(_) => by_patch,
            Way::Chunks(..) => in_chunks,
            Way::Runs(_) => in_runs,
            Way::Whole => true,
        });
        let way = way.unwrap_or(Way::Whole);
        match &way {
            Way::Patch(patch) => {
                by_patch = false;
                let Some(earlier) = earlier else { continue };
                trip.phase(Phase::Downloading, format!("fetching a patch of {} from {}", bytes(patch.size), from.source.name()));
                let (part, ready) = (Part { done: 0, total: patch.size }, patching::Ready::look(from, earlier, missing));
                let Passed { result, .. } = pass(trip, from, listed, Some(part), missing, cost, |to| ready.make(from, patch, to));
                // a patch that is not there says nothing about the bundle
                forgive(trip, result, &[Code::Verification, Code::Source], "the patch is of no use")?;
            }
            Way::Chunks(chunks, most) => {
                in_chunks = false;
                let Some(earlier) = earlier else { continue };
                trip.phase(Phase::Downloading, format!("looking at the chunks of {}", from.source.name()));
                let (part, ready) = (Part { done: 0, total: *most }, chunking::Ready::look(trip, from, earlier, missing)?);
                let make = |to: &mut dyn Unpacked| ready.make(from, chunks, *most, to);
                let Passed { result, .. } = pass(trip, from, listed, Some(part), missing, cost, make);
                forgive(trip, result, &[Code::Verification, Code::Source], "chunks are of no use")?;
            }
            Way::Runs(runs) => {
                in_runs = false;
                trip.phase(Phase::Downloading, format!("fetching {} in {} from {}", bytes(sum(runs)), count(runs.len(), "part"), from.source.name()));
                let result = fetch_runs(trip, from, listed, runs, missing, cost);
                // the line is the same for the whole bundle
                forgive(trip, result, &[Code::Verification], "the bundle is not as its manifest says; going on with all of it")?;
            }
            Way::Whole => return whole(trip, from, listed, missing, cost),
        }
    }
    Ok(())
}

/// A fault of these kinds is noted, and another way is taken.
fn forgive(trip: &mut Trip, result: Result<()>, kinds: &[Code], what: &str) -> Result<()> {
    match result {
        Err(e) if kinds.contains(&e.code) => {
            trip.note(format!("{what}: {}", e.message()));
            Ok(())
        }
        result => result,
    }
}

fn sum(runs: &[Run]) -> u64 {
    runs.iter().map(|r| r.length).sum()
}

fn fetch_runs<'s>(trip: &mut Trip, from: From<'s>, listed: &Listed<'s>, runs: &[Run], missing: &mut Missing, cost: &mut Cost) -> Result<()> {
    let mut part = Part { done: 0, total: sum(runs) };
    for run in runs {
        let span = Span::Run { before_end: run.before_end, length: run.length };
        let Passed { whole, result } = pass(trip, from, listed, Some(part), missing, cost, |to| from.source.unpack(from.bundle, span, to));
        result?;
        // a server that knows no parts sent everything
        if whole || missing.is_empty() {
            break;
        }
        part.done += run.length;
    }
    Ok(())
}

/// The bundle from start to end, or from where an earlier run stopped.
fn whole<'s>(trip: &mut Trip, from: From<'s>, listed: &Listed<'s>, missing: &mut Missing, cost: &mut Cost) -> Result<()> {
    let mut resume = Resume::load(trip, &from).unwrap_or_else(|| Resume::start(&from));
    loop {
        let span = Span::Rest { from: resume.offset, validator: resume.validator.as_deref() };
        let Passed { whole, result } = pass(trip, from, listed, None, missing, cost, |to| from.source.unpack(from.bundle, span, to));
        result?;
        if missing.is_empty() {
            return Ok(());
        }
        if whole {
            return Err(Error::verification(format!("the bundle of {} lacks files that its manifest lists: {}", from.manifest.version, named(missing)))
                .hint("the release is broken: tell its maintainer"));
        }
        // what lay before the place we went on from turned out to be damaged: once more, from the start
        resume = Resume::start(&from);
    }
}

/// The first of the files that are missing, for messages.
pub fn named(missing: &Missing) -> String {
    let all: Vec<&str> = missing.values().flatten().map(|n| n.path.as_str()).collect();
    let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
    format!("{}{more}", all[..all.len().min(3)].join(", "))
}
