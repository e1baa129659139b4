//! The whole trip, from top to bottom: [`apply`] brings the managed paths to a release, [`rollback`] to a backup; `verify --repair`
//! comes through [`bring`] as well.

use std::collections::BTreeSet;

use super::aim::{About, Aim, Request, measure, measure_for, policy};
use super::at_hand;
use super::backup::{self, Backup};
use super::begin::{self, Tx};
use super::fetch::{self, From};
pub use super::proposal::Proposal;
use super::stage::{self, NotSealed, Sealed};
use super::switch::{self, NotSwitched};
use super::trial::{self, Verdict};
use super::{Report, Trip, carry, check, commands, itself, mirror, settle, survey};
use crate::error::{Doing, Error, Result};
use crate::event::{Outcome, Phase};
use crate::journal::Stage;
use crate::plan::decide::Installed;
use crate::plan::{Action, Decision, Reason, Target, decide};
use crate::release::{Digest, manifest};
use crate::source::{Offer, Source, Wanted};
use crate::state::status::LastResult;
use crate::state::{Row, history};
use crate::world::durable;

/// How a command that follows a plan ended.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one of it a run
pub enum Done {
    /// It ran to an end.
    Ended(Report),
    /// Only the plan was asked for.
    Planned(Box<Proposal>),
}

/// Asks whether to go on.
pub type Consent<'c> = &'c mut dyn FnMut(&Proposal) -> Result<()>;

/// Brings the device to a release.
///
/// # Errors
/// Nothing has changed then: the source, a release that is refused, a full disk, cancelled. Once the switch was made the answer is a
/// [`Report`], or exit 7.
pub fn apply(trip: &mut Trip, source: &dyn Source, request: Request, consent: Consent) -> Result<Done> {
    trip.phase(Phase::Checking, format!("asking {}", source.name()));
    let installed = survey::installed(trip)?;
    let Some(mut believed) = check::find(trip, source, &request, &installed)? else {
        return match &request.wanted {
            Wanted::Exact(version) => {
                Err(Error::source_failed(format!("{} has no release {version}", source.name())).hint("`pikit-updater check` shows what is offered"))
            }
            Wanted::Best => {
                trip.note(format!("{} offers no release for this device", source.name()));
                Ok(Done::Ended(Report::up_to_date(Action::Apply, installed.version)))
            }
        };
    };
    if let (true, Some(doubt)) = (request.automatic, believed.doubts.first()) {
        return Err(Error::refused(format!("{doubt}; what is installed by itself waits for that"))
            .hint("`pikit-updater apply` installs it now")
            .during(Phase::Checking));
    }
    if request.wanted == Wanted::Best && !request.dry_run {
        trip.state.latest = Some(believed.offer.manifest.version.clone());
        trip.state.last_check = Some(trip.world.clock.now());
        trip.state.last_check_error = None;
    }
    let sha256 = Digest::of(&believed.offer.manifest_bytes);
    let target = Target::of_release(&believed.offer.manifest, sha256);
    if request.download_only {
        return download(trip, source, &believed.offer, target, &installed, request).map(Done::Ended);
    }
    // ten thousand files are a list of megabytes: what is done with is not held, and what goes on is not held twice
    drop(installed);
    let manifest_bytes = std::mem::take(&mut believed.offer.manifest_bytes);
    let from = From::offered(source, &believed.offer, sha256);
    let (about, takes_back) = (About::of(&believed), believed.takes_back.clone());
    bring(trip, Aim { action: Action::Apply, target, manifest: Some(manifest_bytes), from: Some(from), request, takes_back, about }, consent)
}

/// Returns to a backup. Needs nothing but the device.
///
/// # Errors
/// There is no such backup, or it is damaged; nothing has changed then.
pub fn rollback(trip: &mut Trip, name: Option<&str>, dry_run: bool, consent: Consent) -> Result<Done> {
    let backups = backup::list(trip.world.disk, &trip.settings.layout)?;
    let chosen: Option<&Backup> = match name {
        None => backups.first(),
        Some(name) => backups.iter().find(|b| b.name == name || b.record.version.as_ref().is_some_and(|v| manifest::version(name).is_ok_and(|n| n == *v))),
    };
    let Some(backup) = chosen else {
        let list: Vec<&str> = backups.iter().map(|b| b.name.as_str()).collect();
        return Err(match (name, list.is_empty()) {
            (_, true) => Error::refused("there is no backup to return to").hint("`pikit-updater apply VERSION --allow-downgrade` fetches an older release"),
            (name, false) => Error::refused(format!("there is no backup {}", name.unwrap_or_default())).hint(format!("there are: {}", list.join(", "))),
        });
    };
    let disk = trip.world.disk;
    let mut target = backup.target(disk)?;
    // the way back must not depend on what the config allows today
    let allowed = |s: &crate::release::Step| match s {
        crate::release::Step::Restart(unit) => trip.settings.services.restart.contains(unit),
        crate::release::Step::Reload(unit) => trip.settings.services.reload.contains(unit),
        crate::release::Step::Run { .. } => false,
    };
    target.steps.retain(allowed);
    let bytes = backup.manifest(disk)?;
    let request = Request { dry_run, allow_downgrade: true, force: true, ..Request::default() };
    let about = About { released: Some(backup.record.at), ..About::default() };
    bring(trip, Aim { action: Action::Rollback, target, manifest: bytes, from: None, request, takes_back: None, about }, consent)
}

/// Plans, begins, stages, seals, switches, tries.
///
/// # Errors
/// See [`apply`].
pub fn bring(trip: &mut Trip, mut aim: Aim, consent: Consent) -> Result<Done> {
    let mut per_file = BTreeSet::new();
    let mut asked = false;
    loop {
        trip.phase(Phase::Planning, "looking at what is installed");
        let installed = survey::installed(trip).or_else(|e| if aim.action == Action::Rollback { Ok(Installed::default()) } else { Err(e) })?;
        let (mut facts, at_hand) = measure_for(trip, &installed, &aim, &per_file)?;
        let mut plan = match decide(&policy(trip, &aim), &installed, &aim.target, &facts) {
            Decision::Go(plan) => plan,
            Decision::UpToDate { drifted, note } => {
                let mut report = Report::up_to_date(aim.action, installed.version.clone());
                report.counts.drifted = drifted.len();
                report.notes.extend(note);
                return Ok(Done::Ended(report));
            }
            Decision::Blocked(reasons) => {
                if let ([Reason::Downgrade { installed: here, offered }], Wanted::Best, Action::Apply) = (reasons.as_slice(), &aim.request.wanted, aim.action) {
                    let mut report = Report::up_to_date(aim.action, Some(here.clone()));
                    report.notes.push(format!("{here} is installed, {offered} is the newest that is offered"));
                    return Ok(Done::Ended(report));
                }
                let error = Reason::error(&reasons);
                if !aim.request.dry_run {
                    note_refusal(trip, &aim, &installed, &error)?;
                }
                return Err(error.during(Phase::Planning));
            }
        };
        if let Some(from) = aim.from {
            plan.price(from.manifest, &facts.at_hand, from.bundle.size, from.source.has_patches() && installed.manifest_sha256.is_some());
        }
        let spared = at_hand::spare_what_is_nowhere(&mut plan, &at_hand);
        // the plan holds what of it matters from here on; of thousands of files it is megabytes
        (facts.files, facts.obstacles, facts.at_hand) = Default::default();
        drop(installed);
        if !asked {
            let proposal = Proposal::of(trip, &aim.about, plan);
            if aim.request.dry_run {
                return Ok(Done::Planned(Box::new(proposal)));
            }
            consent(&proposal)?;
            (asked, plan) = (true, proposal.plan);
        }
        let mut tx = begin::begin(trip, plan, &facts, aim.manifest.take())?;
        if !spared.is_empty() {
            let words = format!("changed since and not in the backup, so left as they are: {}", spared.join(", "));
            trip.warn(words.clone());
            tx.notes.push(words);
        }
        let sealed = match stage::prepare(trip, tx, &facts, at_hand, aim.from) {
            Ok(sealed) => sealed,
            Err(not) => match *not {
                NotSealed::Refused(tx, refused) if per_file.insert(refused.unit) => {
                    trip.note(format!("{}: going file by file", refused.why));
                    settle::discard(trip, &tx)?;
                    aim.manifest = tx.manifest_bytes(trip)?;
                    tx.end(trip)?;
                    continue;
                }
                NotSealed::Refused(tx, refused) => return Err(abandoned(trip, tx, Error::unexpected(refused.why))),
                NotSealed::Failed(tx, error) => return Err(abandoned(trip, tx, error)),
            },
        };
        match go_live(trip, sealed)? {
            Live::On(tx) => return try_out(trip, *tx, 1).map(Done::Ended),
            Live::Returned(report) => return Ok(Done::Ended(*report)),
            Live::Refused(unit, why, manifest) => {
                aim.manifest = manifest;
                trip.note(format!("{} cannot be exchanged ({why}): going file by file", trip.settings.managed[unit].to.display()));
                if !per_file.insert(unit) {
                    return Err(Error::unexpected(format!(
                        "{} can be switched neither as a whole nor file by file: {why}",
                        trip.settings.managed[unit].to.display()
                    )));
                }
            }
        }
    }
}

enum Live {
    On(Box<Tx>),
    Returned(Box<Report>),
    Refused(usize, String, Option<Vec<u8>>),
}

/// From sealed to live. From here on every failure leads back to the old tree.
fn go_live(trip: &mut Trip, sealed: Sealed) -> Result<Live> {
    let Sealed(mut tx) = sealed;
    if tx.plan.switches() {
        tx.journal.failing_before = trial::failing_before(trip, &tx);
    }
    // the checks before the switch take their time: one more look
    if let Err(error) = trip.go_on().and_then(|()| stage::still_as_found(trip, &tx)) {
        return Err(abandoned(trip, tx, error));
    }
    if let Err(error) = itself::arm(trip, &tx) {
        return Err(abandoned(trip, tx, error));
    }
    trip.phase(Phase::Switching, "switching to the new tree");
    tx.journal.switched = Some(trip.world.clock.now());
    if let Err(error) = tx.enter(trip, Stage::Switching) {
        tx.journal.switched = None;
        // The record may be there all the same: a folder that could not be synced has its new name. Nothing it counts on may be dropped
        // before it is taken back; where even that fails, all stays for recovery, which can go either way.
        return Err(match tx.save(trip) {
            Ok(()) => abandoned(trip, tx, error),
            Err(_) => error.hint("nothing had changed yet; make the file system writable or free some space, then run `pikit-updater recover`"),
        });
    }
    let began = trip.world.clock.monotonic();
    let switched = switch::forward(trip, &tx);
    tx.switch = trip.world.clock.monotonic().saturating_sub(began);
    match switched {
        Ok(()) => Ok(Live::On(Box::new(tx))),
        Err(NotSwitched::Refused(unit, why)) => {
            let reason = format!("going file by file: {why}");
            tx.enter(trip, Stage::RollingBack { reason: reason.clone(), quarantine: false, carried: false })?;
            switch::back(trip, &tx)?;
            // before the idle tree goes: what is missing from it afterwards was not deleted by a person
            tx.enter(trip, Stage::RollingBack { reason, quarantine: false, carried: true })?;
            carry::bury(trip, &tx, false)?;
            settle::discard(trip, &tx)?;
            itself::disarm(trip)?;
            let manifest = tx.manifest_bytes(trip)?;
            tx.end(trip)?;
            Ok(Live::Refused(unit, why, manifest))
        }
        Err(NotSwitched::Failed(error)) => settle::roll_back(trip, tx, &error.message(), false, false).map(|r| Live::Returned(Box::new(r))),
    }
}

/// The trial of a live tree, and what follows from its verdict.
///
/// # Errors
/// The verdict was good and could not be recorded (recovery finishes it), or exit 7.
pub fn try_out(trip: &mut Trip, mut tx: Tx, attempt: u32) -> Result<Report> {
    // before the trial begins: one that kills the board counts
    if let Err(e) = tx.enter(trip, Stage::Trial { attempt }) {
        return settle::roll_back(trip, tx, &e.message(), false, true);
    }
    if let Err(failed) = commands::run(trip, &mut tx) {
        return settle::roll_back(trip, tx, &failed.why, failed.its_fault, true);
    }
    let verdict = if tx.plan.switches() {
        let failures = trial::restart(trip, &mut tx);
        trial::verdict(trip, &mut tx, failures)
    } else {
        tx.journal.switched = None;
        Verdict::Healthy
    };
    let verdict = match verdict {
        Verdict::Healthy => itself::prove(trip, &tx).map_or_else(Verdict::Sick, |()| Verdict::Healthy),
        other => other,
    };
    match (verdict, tx.plan.action) {
        (Verdict::Healthy, _) | (Verdict::Stopped, Action::Rollback) => {}
        // what a person asked to return to is not undone, and not blamed
        (Verdict::Sick(why), Action::Rollback) => {
            let words = format!("the old version is back, but is not healthy: {why}");
            trip.warn(words.clone());
            tx.notes.push(words);
        }
        (Verdict::Sick(why), action) => {
            let reason = format!("{} failed its health check: {why}", settle::name_of(&tx.plan.to));
            return settle::roll_back(trip, tx, &reason, action == Action::Apply, true);
        }
        (Verdict::Stopped, _) => return settle::roll_back(trip, tx, "a person did not want to wait for the verdict", false, true),
    }
    if let Err(e) = tx.enter(trip, Stage::Confirming { carried: false }) {
        return settle::roll_back(trip, tx, &e.message(), false, true);
    }
    settle::confirm(trip, tx)
}

/// Ends a transaction that changed nothing, and gives back why.
fn abandoned(trip: &mut Trip, tx: Tx, error: Error) -> Error {
    match settle::abandon(trip, tx, &error) {
        Ok(_) => error,
        // the first error is the one to tell; recovery tidies up at the next run
        Err(second) => {
            trip.warn(format!("tidying up: {}", second.message()));
            error
        }
    }
}

/// A refusal is a result too; the same one every day is told once.
fn note_refusal(trip: &mut Trip, aim: &Aim, installed: &Installed, error: &Error) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let now = trip.world.clock.now();
    let result = LastResult {
        transaction: trip.id.clone(),
        action: aim.action,
        outcome: Outcome::Refused,
        from: installed.version.clone(),
        to: aim.target.version.clone(),
        at: now,
        seconds: 0.0,
        offline_seconds: 0.0,
        code: error.code as u8,
        reason: Some(error.message()),
    };
    let same = |r: &LastResult| r.outcome == result.outcome && r.to == result.to && r.reason == result.reason;
    durable::make_dirs(disk, &layout.state_dir(), 0o755).doing(|| format!("making {}", layout.state_dir().display()))?;
    if !trip.state.last_result.as_ref().is_some_and(same) {
        history::add(disk, &layout, &Row { result: result.clone(), bytes_fetched: 0, bytes_written: 0 })?;
    }
    trip.state.last_result = Some(result);
    mirror::refresh(trip)?;
    trip.state.save(disk, &layout)
}

/// Fetches and keeps what an apply would need, and changes nothing else.
fn download(trip: &mut Trip, source: &dyn Source, offer: &Offer, target: Target, installed: &Installed, request: Request) -> Result<Report> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let began = trip.world.clock.monotonic();
    let from = From::offered(source, offer, Digest::of(&offer.manifest_bytes));
    let aim = Aim { action: Action::Apply, target, manifest: None, from: Some(from), request, takes_back: None, about: About::default() };
    let (facts, at_hand) = measure(trip, installed, &aim, None)?;
    let plan = match decide(&policy(trip, &aim), installed, &aim.target, &facts) {
        Decision::Go(plan) => plan,
        Decision::UpToDate { .. } => return Ok(Report::up_to_date(Action::Apply, installed.version.clone())),
        Decision::Blocked(reasons) => return Err(Reason::error(&reasons).during(Phase::Planning)),
    };
    let home = layout.fetched_of(&offer.manifest.version);
    durable::make_dirs(disk, &home, 0o700).doing(|| format!("making {}", home.display()))?;
    let mut missing = fetch::Missing::new();
    for file in plan.files.iter().filter(|f| f.is_written()) {
        let Some(want) = &file.want else { continue };
        if at_hand.place(&want.sha256).is_none() {
            let staged = home.join(want.sha256.to_string());
            missing.insert(want.sha256, vec![fetch::Need { path: file.path.clone(), staged: staged.into(), owner: None, mode: None }]);
        }
    }
    let mut cost = fetch::Cost::default();
    fetch::fetch(trip, from, missing, &at_hand, &mut cost).map_err(|e| e.during(Phase::Downloading))?;
    disk.sync_fs(&home).doing(|| format!("syncing {}", home.display()))?;
    if let Some(signature) = &offer.signature {
        durable::save(disk, &home.join(manifest::SIGNATURE_NAME), signature, 0o600).doing(|| format!("writing {}", home.display()))?;
    }
    // last: with it, all that it needs is here
    durable::save(disk, &home.join(manifest::NAME), &offer.manifest_bytes, 0o600).doing(|| format!("writing {}", home.display()))?;
    let mut report = Report::up_to_date(Action::Apply, installed.version.clone());
    report.to = aim.target.version.clone();
    report.outcome = Outcome::Confirmed;
    report.counts = plan.counts();
    report.bytes_fetched = cost.fetched;
    report.bytes_spared = cost.whole.saturating_sub(cost.fetched);
    report.requests = cost.requests;
    report.seconds = trip.world.clock.monotonic().saturating_sub(began).as_secs_f64();
    report.notes.push(format!("{} is fetched and verified; `pikit-updater apply` installs it, also without network", offer.manifest.version));
    Ok(report)
}
