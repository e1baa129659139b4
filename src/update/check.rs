//! Asking the source, and remembering what it offers.

use super::aim::{About, Aim, Request, measure, policy};
use super::belief::{Belief, Believed};
use super::judge::Judging;
use super::proposal::Proposal;
use super::{Trip, mirror, pieces, survey};
use crate::error::{Code, Doing, Result};
use crate::event::Phase;
use crate::plan::decide::Installed;
use crate::plan::{Action, Decision, Target, decide};
use crate::release::earlier::Earlier;
use crate::release::{Digest, Manifest, manifest};
use crate::source::{BundleRef, Candidate, Judge, Memory, Offer, SIGNATURE_MAX, Source, Verdict};
use crate::state::status::{self, Available};
use crate::world::durable;

/// Largest memory of a source that is kept, bytes: whoever reads for us may be taken over.
const MEMORY_MAX: u64 = 16 << 20;

/// What is remembered of this source: its name stands in the first line of the record, as JSON, and the rest is the memory as it came.
fn recall(bytes: Vec<u8>, source: &str) -> Option<Memory> {
    let mut text = String::from_utf8(bytes).ok()?;
    let (name, _) = text.split_once('\n')?;
    let is_of_it = serde_json::from_str::<String>(name).is_ok_and(|name| name == source);
    text.drain(..=name.len());
    is_of_it.then_some(Memory(text))
}

/// The record of it.
fn record(Memory(mut text): Memory, source: &str) -> String {
    text.insert(0, '\n');
    text.insert_str(0, &serde_json::to_string(source).expect("a name is plain data"));
    text
}

/// Asks the source for a release. Without network a release that was downloaded before does as well.
///
/// # Errors
/// The source; a release that no trusted key signed, when signatures are required.
pub fn find(trip: &mut Trip, source: &dyn Source, request: &Request, installed: &Installed) -> Result<Option<Believed>> {
    let wanted = &request.wanted;
    let (disk, layout, settings) = (trip.world.disk, trip.settings.layout.clone(), trip.settings);
    // a memory that cannot be read only costs a larger request
    let bytes = durable::read(disk, &layout.offered(), MEMORY_MAX).unwrap_or_default();
    let mut memory = bytes.and_then(|bytes| recall(bytes, &source.name())).unwrap_or_default();
    let before = Digest::of(memory.0.as_bytes());
    let mut judge = Judging::new(Belief::load(trip.world, settings)?, settings, request, installed);
    let asked = source.find(wanted, &mut judge, &mut memory);
    let answered = asked.is_ok();
    let found = match asked {
        Err(e) if e.code == Code::Source => match downloaded(trip, &mut judge) {
            Some(offer) => {
                trip.warn(format!("{}; going on with {}, which was downloaded before", e.message(), offer.manifest.version));
                Ok(Some(offer))
            }
            None => Err(e),
        },
        found => found,
    };
    let believed = match found {
        Ok(Some(offer)) => judge.believed(offer, installed).map(Some),
        Ok(None) => Ok(None),
        Err(e) => Err(e),
    };
    // what was learned on the way holds whatever became of the question: other keys, a recall, the time
    judge.belief.learn_time(None);
    judge.belief.save(trip)?;
    let believed = believed.map_err(|e| e.during(Phase::Checking))?;
    let changed = answered && Digest::of(memory.0.as_bytes()) != before;
    let record = record(memory, &source.name());
    if changed && record.len() as u64 <= MEMORY_MAX {
        let saved = durable::make_dirs(disk, &layout.state_dir(), 0o755)
            .doing(|| format!("making {}", layout.state_dir().display()))
            .and_then(|()| status::save(disk, &layout, &layout.offered(), record.as_bytes()));
        // a trip that only looks writes nothing, and loses nothing but a smaller request
        if trip.locked.is_some() {
            saved?;
        }
    }
    believed.iter().flat_map(|b| &b.offer.notes).for_each(|note| trip.note(note.clone()));
    Ok(believed)
}

/// Asks the source and writes what it offers into the state. With `remember` false nothing is written.
///
/// # Errors
/// The source. The state then says so and keeps what was known.
pub fn check(trip: &mut Trip, source: &dyn Source) -> Result<()> {
    trip.phase(Phase::Checking, format!("asking {}", source.name()));
    let layout = trip.settings.layout.clone();
    durable::make_dirs(trip.world.disk, &layout.state_dir(), 0o755).doing(|| format!("making {}", layout.state_dir().display()))?;
    let installed = survey::installed(trip)?;
    let now = trip.world.clock.now();
    let believed = match find(trip, source, &Request::default(), &installed) {
        Ok(believed) => believed,
        Err(e) => {
            trip.state.last_check_error = Some(e.message());
            mirror::refresh(trip)?;
            trip.state.save(trip.world.disk, &layout)?;
            return Err(e);
        }
    };
    trip.state.last_check = Some(now);
    trip.state.last_check_error = None;
    trip.state.latest = believed.as_ref().map(|b| b.offer.manifest.version.clone());
    trip.state.available = match &believed {
        Some(believed) => available(trip, believed, &installed, source.has_patches())?,
        None => None,
    };
    mirror::refresh(trip)?;
    trip.state.save(trip.world.disk, &layout)
}

/// What the offer would do here; none when there is nothing to install.
fn available(trip: &mut Trip, believed: &Believed, installed: &Installed, patches: bool) -> Result<Option<Available>> {
    trip.phase(Phase::Planning, "comparing with what is installed");
    let offer = &believed.offer;
    let manifest_sha256 = Digest::of(&offer.manifest_bytes);
    let request = Request { dry_run: true, ..Request::default() };
    let target = Target::of_release(&offer.manifest, manifest_sha256);
    let (about, takes_back) = (About::of(believed), believed.takes_back.clone());
    let mut aim = Aim { action: Action::Apply, target, manifest: None, from: None, request, takes_back, about };
    let (facts, _) = measure(trip, installed, &aim, offer.bundle.size)?;
    let mut decided = decide(&policy(trip, &aim), installed, &aim.target, &facts);
    let mut blocked = Vec::new();
    if let Decision::Blocked(reasons) = &decided {
        if reasons.iter().any(|r| matches!(r, crate::plan::Reason::Downgrade { .. })) {
            return Ok(None);
        }
        blocked = reasons.iter().map(ToString::to_string).collect();
        // what it would do if it could: people want to know what they miss
        aim.request.force = true;
        decided = decide(&policy(trip, &aim), installed, &aim.target, &facts);
    }
    let plan = match decided {
        Decision::UpToDate { drifted, .. } => {
            trip.state.drift = Some(drifted.len());
            return Ok(None);
        }
        Decision::Go(mut plan) => {
            plan.price(&offer.manifest, &facts.at_hand, offer.bundle.size, patches && installed.manifest_sha256.is_some());
            Some(plan)
        }
        Decision::Blocked(_) => None,
    };
    let manifest: &manifest::Manifest = &offer.manifest;
    let proposal = plan.map(|plan| Proposal::of(trip, &aim.about, plan));
    let plan = proposal.as_ref().map(|p| &p.plan);
    if let (Some(proposal), Some(_)) = (&proposal, trip.locked) {
        // only a view, and in memory: who wants it and finds none asks again
        let _ = durable::tell_with(trip.world.disk, &trip.settings.layout.planned(), |to| Ok(serde_json::to_writer(to, proposal)?));
    }
    Ok(Some(Available {
        version: manifest.version.clone(),
        manifest_sha256,
        released: manifest.released,
        changelog: manifest.changelog.clone(),
        notes: manifest.notes.clone(),
        download_bytes: plan.map_or(offer.bundle.size, |p| p.fetch_bytes),
        download_at_most: plan.is_some_and(|p| p.fetch_at_most),
        plan: plan.map(crate::plan::Plan::counts).unwrap_or_default(),
        services: plan.iter().flat_map(|p| p.restart.iter().chain(&p.reload)).cloned().collect(),
        backup: plan.is_some_and(|p| p.backup),
        expected_offline_seconds: proposal.as_ref().and_then(|p| p.expected_offline),
        earlier: between(manifest, installed.version.as_ref()),
        signed: believed.signed.clone(),
        doubts: believed.doubts.clone(),
        takes_back: installed.version.clone().filter(|_| believed.takes_back.is_some()),
        blocked,
    }))
}

/// The notes a person missed: of releases above the installed one and below the offered one. A first install missed nothing.
fn between(manifest: &Manifest, installed: Option<&semver::Version>) -> Vec<Earlier> {
    let missed = |e: &&Earlier| installed.is_some_and(|i| e.version > *i) && e.version < manifest.version;
    let mut missed: Vec<Earlier> = manifest.earlier.iter().filter(missed).cloned().collect();
    missed.sort_by(|a, b| b.version.cmp(&a.version));
    missed.dedup_by(|a, b| a.version == b.version);
    missed
}

/// Of what `--download-only` left: the highest version that may be taken. It is believed no more than what the source says.
fn downloaded(trip: &Trip, judge: &mut dyn Judge) -> Option<Offer> {
    let disk = trip.world.disk;
    let homes = pieces::homes(disk, &trip.settings.layout);
    let offers = homes.iter().filter_map(|home| {
        let read = |what: &str, limit| durable::read(disk, &home.join(what), limit).ok()?;
        let bytes = read(manifest::NAME, manifest::SIZE_MAX)?;
        let (signature, at) = (read(manifest::SIGNATURE_NAME, SIGNATURE_MAX), home.display().to_string());
        // the keys that it is checked by are those that are known: what it says of keys was heard when it was downloaded
        let shown =
            Candidate { name: &at, manifest: &bytes, signature: signature.as_deref(), tag: None, flagged: false, handed: false, look_only: false, steps: &[] };
        let Ok(Verdict::Take(manifest)) = judge.judge(&shown) else { return None };
        Some(Offer { manifest_bytes: bytes, signature, manifest: *manifest, bundle: BundleRef { at, size: None }, notes: Vec::new() })
    });
    offers.max_by(|a, b| a.manifest.version.cmp(&b.manifest.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_said_is_remembered_of_that_source_alone() {
        let memory = Memory("{\"any\": \"thing\"}\nand more".into());
        for source in ["https://x/y", "a\nb\"c"] {
            let record = record(memory.clone(), source);
            assert_eq!(recall(record.clone().into_bytes(), source), Some(memory.clone()));
            assert_eq!(recall(record.into_bytes(), "https://x/z"), None);
        }
        // as earlier versions wrote it, and what a dying card makes of it: the next check asks for all
        for other in [&b"{\"source\":\"https://x/y\",\"memory\":\"m\"}"[..], b"", b"\n", b"\"https://x/y\"", b"\xff\n"] {
            assert_eq!(recall(other.to_vec(), "https://x/y"), None);
        }
    }
}
