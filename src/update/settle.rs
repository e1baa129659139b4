//! How a transaction ends: confirmed, returned, or abandoned. Every function here can be cut anywhere and called again by recovery.

use std::path::Path;

use chrono::Utc;

use super::begin::Tx;
use super::{Report, Trip, backup, carry, fetch, switch, trial};
use crate::error::{Code, Doing, Error, Result};
use crate::event::{Outcome, Phase};
use crate::journal::{Stage, UnitWay};
use crate::plan::Action;
use crate::release::manifest;
use crate::state::status::{self, LastResult};
use crate::state::{Distrust, Row, history};
use crate::world::{Disk, durable};

/// Makes the new tree the installed one.
///
/// # Errors
/// A record cannot be written; recovery finishes it.
pub fn confirm(trip: &mut Trip, mut tx: Tx) -> Result<Report> {
    trip.phase(Phase::Confirming, "making it the installed version");
    if tx.journal.stage != (Stage::Confirming { carried: true }) {
        record(trip, &mut tx).map_err(|e| {
            Error::unexpected(format!("{} is live and healthy, but could not be recorded: {}", name_of(&tx.plan.to), e.message()))
                .hint("make the file system writable or free some space, then run `pikit-updater recover`, which finishes it")
        })?;
    }
    let tidied = tidy(trip, &tx);
    trip.state.drift = None;
    if tx.plan.action == Action::Rollback {
        // a rollback stays: automatic mode passes over what was left until a newer one comes
        if let Some(left) = tx.plan.from.clone().filter(|v| Some(v) > tx.plan.to.as_ref() && !trip.state.skipped.contains(v)) {
            trip.state.skipped.push(left);
        }
    }
    let version = tx.plan.to.clone();
    trip.state.skipped.retain(|v| Some(v) != version.as_ref() || tx.plan.action == Action::Rollback);
    finish(trip, tx, tidied, Outcome::Confirmed, Code::Unexpected, None, None)
}

/// The records that make the live tree the installed one.
fn record(trip: &mut Trip, tx: &mut Tx) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    carry::over(trip, tx, true)?;
    match &tx.manifest {
        Some(bytes) => status::save(disk, &layout, &layout.installed(), bytes)?,
        None => forget(disk, &layout.installed())?,
    }
    match &tx.plan.to {
        Some(version) => status::save(disk, &layout, &layout.version(), format!("{version}\n").as_bytes())?,
        None => forget(disk, &layout.version())?,
    }
    tx.enter(trip, Stage::Confirming { carried: true })
}

/// Removes what only the way back needed.
fn tidy(trip: &mut Trip, tx: &Tx) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    carry::bury(trip, tx, true)?;
    if let (Some(version), Some(content)) = (&tx.plan.to, &tx.plan.content) {
        // a memory that cannot be read is no reason to hold a healthy release; installs stay refused until a person looks
        if let Ok(mut distrust) = Distrust::load(disk, &layout) {
            distrust.confirmed(disk, &layout, version, content)?;
        }
    }
    if tx.journal.backup.is_some() {
        backup::prune(trip, trip.settings.backup_keep)?;
    }
    if tx.plan.action != Action::Repair {
        fetch::forget_pieces(trip);
    }
    Ok(())
}

/// Returns every managed path to the old tree, restarts its services and says how they are.
///
/// # Errors
/// Exit 7: it could not be done; the journal stays, so that `recover` can try again.
pub fn roll_back(trip: &mut Trip, mut tx: Tx, reason: &str, quarantine: bool, services: bool) -> Result<Report> {
    trip.phase(Phase::RollingBack, format!("returning to {}: {reason}", name_of(&tx.plan.from)));
    let was_live = tx.journal.switched.is_some();
    let services = services && was_live;
    let mut still = returned(trip, &mut tx, reason, quarantine, services).map_err(|e| stuck(trip, &tx, &e))?;
    let tidied = tidy_back(trip, &tx);
    if services {
        let probes: Vec<_> = trip.settings.health.iter().filter(|p| !tx.journal.failing_before.contains(&p.name())).cloned().collect();
        still.extend(probes.iter().filter_map(|p| settled(trip, p)));
    }
    let mut words = reason.to_owned();
    if !still.is_empty() {
        words = format!("{reason}; after the return still failing: {}", still.join("; "));
    }
    let hint = if quarantine {
        "it will not be tried again; `apply --force` tries it all the same, `log` shows what happened"
    } else {
        "`log` shows what happened; run it again when the cause is gone"
    };
    finish(trip, tx, tidied, Outcome::RolledBack, Code::RolledBack, Some(words), Some(hint.into()))
}

fn returned(trip: &mut Trip, tx: &mut Tx, reason: &str, quarantine: bool, services: bool) -> Result<Vec<String>> {
    let layout = trip.settings.layout.clone();
    let disk = trip.world.disk;
    let mut still = Vec::new();
    // what it was kept for
    let _ = disk.unlink(&layout.reserve());
    if !matches!(tx.journal.stage, Stage::RollingBack { carried: true, .. }) {
        if !matches!(tx.journal.stage, Stage::RollingBack { .. }) {
            tx.enter(trip, Stage::RollingBack { reason: reason.to_owned(), quarantine, carried: false })?;
        }
        switch::back(trip, tx)?;
        if services {
            still = trial::restart(trip, tx);
        }
        if let (true, Some(version), Some(content)) = (quarantine, tx.plan.to.clone(), tx.plan.content) {
            let now = trip.world.clock.now();
            let mut distrust = Distrust::load(disk, &layout).unwrap_or_default();
            distrust.add(disk, &layout, version, tx.plan.manifest_sha256, content, reason, now)?;
        }
        tx.enter(trip, Stage::RollingBack { reason: reason.to_owned(), quarantine, carried: true })?;
    }
    Ok(still)
}

/// Removes what only the new tree needed.
fn tidy_back(trip: &mut Trip, tx: &Tx) -> Result<()> {
    carry::bury(trip, tx, false)?;
    match &tx.journal.backup {
        // the tree it describes is live again
        Some(name) => backup::remove(trip.world.disk, &trip.settings.layout, name),
        None => Ok(()),
    }
}

/// Gives a probe of the old tree the time of a trial to pass again; its words if it does not.
fn settled(trip: &Trip, probe: &crate::device::settings::Probe) -> Option<String> {
    let clock = trip.world.clock;
    let began = clock.monotonic();
    loop {
        let why = trial::ask(trip, probe).err()?;
        if clock.monotonic().saturating_sub(began) >= trip.settings.trial.timeout || clock.stops() > 1 {
            return Some(format!("{}: {why}", probe.name()));
        }
        clock.sleep(trip.settings.trial.interval);
    }
}

fn stuck(trip: &mut Trip, tx: &Tx, e: &Error) -> Error {
    let words = format!("could not return to the old tree: {}", e.message());
    trip.warn(words.clone());
    let log = trip.settings.layout.log(&tx.journal.transaction);
    Error::stuck(words).hint(format!(
        "both trees are still on the card and nothing was deleted. Make the file system writable or free some space, then run `pikit-updater recover`; it goes on from where it stopped. The log is {}",
        log.display()
    ))
}

/// Nothing had changed: drops what was staged, keeps what was fetched.
///
/// # Errors
/// What was staged cannot be removed; recovery tries again.
pub fn abandon(trip: &mut Trip, tx: Tx, error: &Error) -> Result<Report> {
    let outcome = match error.code {
        Code::Cancelled => Outcome::Cancelled,
        Code::Refused => Outcome::Refused,
        _ => Outcome::Failed,
    };
    discard(trip, &tx)?;
    finish(trip, tx, Ok(()), outcome, error.code, Some(error.message()), error.hint.clone())
}

/// Drops what was staged and the backup that describes what is still live; keeps what was fetched.
///
/// # Errors
/// It cannot be removed.
pub fn discard(trip: &mut Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    let layout = trip.settings.layout.clone();
    fetch::keep_pieces(trip, tx);
    for unit in &tx.journal.units {
        match &unit.way {
            UnitWay::Exchange { beside, .. } => drop_tree(disk, beside)?,
            UnitWay::PerFile { bases } => bases.iter().try_for_each(|b| drop_tree(disk, b))?,
        }
    }
    drop_tree(disk, &backup::work_dir(&layout, &tx.journal.transaction))?;
    for backup in backup::list(disk, &layout)?.iter().filter(|b| b.record.transaction == tx.journal.transaction) {
        backup::remove(disk, &layout, &backup.name)?;
    }
    Ok(())
}

/// Removes a tree of ours that never went live: links and fresh copies only.
fn drop_tree(disk: &dyn Disk, path: &Path) -> Result<()> {
    let doing = || format!("removing {}", path.display());
    match disk.meta(path).doing(doing)? {
        Some(meta) => durable::remove_tree(disk, path, meta.dev).doing(doing),
        None => Ok(()),
    }
}

fn forget(disk: &dyn Disk, path: &Path) -> Result<()> {
    let doing = || format!("removing {}", path.display());
    durable::remove(disk, path).doing(doing)?;
    match path.parent() {
        Some(dir) if disk.meta(dir).doing(doing)?.is_some() => disk.sync_dir(dir).doing(doing),
        _ => Ok(()),
    }
}

/// Writes result, history and state, then ends the transaction, unless tidying up has failed. Once a tree is live and recorded that is no
/// failure any more: the journal stays, and the next run goes on from it.
fn finish(trip: &mut Trip, tx: Tx, tidied: Result<()>, outcome: Outcome, code: Code, reason: Option<String>, hint: Option<String>) -> Result<Report> {
    let now = trip.world.clock.now();
    let since = |t: chrono::DateTime<Utc>| ((now - t).num_milliseconds() as f64 / 1000.0).max(0.0);
    let code = if outcome == Outcome::Confirmed { 0 } else { code as u8 };
    let result = LastResult {
        transaction: tx.journal.transaction.clone(),
        action: tx.plan.action,
        outcome,
        from: tx.plan.from.clone(),
        to: tx.plan.to.clone(),
        at: now,
        seconds: since(tx.journal.started),
        offline_seconds: tx.journal.switched.map_or(0.0, since),
        code,
        reason: reason.clone(),
    };
    let words = match outcome {
        Outcome::Confirmed => format!("confirmed: {} is installed", name_of(&tx.plan.to)),
        other => format!("{}: {}", other.name(), reason.as_deref().unwrap_or_default()),
    };
    trip.note(words);
    let mut report = Report {
        transaction: Some(result.transaction.clone()),
        action: result.action,
        outcome,
        from: result.from.clone(),
        to: result.to.clone(),
        code,
        reason,
        hint,
        counts: tx.plan.counts(),
        bytes_fetched: tx.fetched,
        bytes_written: tx.written,
        seconds: result.seconds,
        offline_seconds: result.offline_seconds,
        notes: tx.notes.clone(),
    };
    if let Err(e) = tidied.and_then(|()| close(trip, &tx, result)) {
        if !matches!(outcome, Outcome::Confirmed | Outcome::RolledBack) {
            return Err(e);
        }
        let words = format!("tidying up is not finished ({}); the next run, or `pikit-updater recover`, goes on with it", e.message());
        trip.warn(words.clone());
        report.notes.push(words);
    }
    trip.log = None;
    Ok(report)
}

fn close(trip: &mut Trip, tx: &Tx, result: LastResult) -> Result<()> {
    history::add(trip.world.disk, &trip.settings.layout, &Row { result: result.clone(), bytes_fetched: tx.fetched, bytes_written: tx.written })?;
    trip.state.last_result = Some(result);
    trip.state.progress = None;
    refresh(trip)?;
    trip.state.save(trip.world.disk, &trip.settings.layout)?;
    tx.end(trip)
}

/// Brings the parts of the state that mirror other files up to date.
///
/// # Errors
/// They cannot be read.
pub fn refresh(trip: &mut Trip) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let version = durable::read(disk, &layout.version(), 4096).doing(|| format!("reading {}", layout.version().display()))?;
    trip.state.current = version.and_then(|b| manifest::version(String::from_utf8_lossy(&b).trim()).ok());
    let backups = backup::list(disk, &layout)?;
    trip.state.backup_path = backups.first().map(|b| b.dir.display().to_string());
    trip.state.backups = backups.iter().map(backup::Backup::line).collect();
    if let Ok(distrust) = Distrust::load(disk, &layout) {
        trip.state.quarantined = distrust.quarantine;
    }
    let offered = trip.state.available.as_ref().map(|a| a.version.clone());
    if offered.is_some() && offered <= trip.state.current {
        trip.state.available = None;
    }
    let quarantined = |v: &semver::Version, m: &crate::release::Digest| trip.state.quarantined.iter().any(|q| q.version == *v && q.manifest_sha256 == Some(*m));
    trip.state.update_available = trip.state.available.as_ref().is_some_and(|a| a.blocked.is_empty() && !quarantined(&a.version, &a.manifest_sha256));
    Ok(())
}

/// A version for people.
pub fn name_of(version: &Option<semver::Version>) -> String {
    version.as_ref().map_or_else(|| "what was there before".into(), ToString::to_string)
}
