//! How a transaction ends: confirmed, returned, or abandoned. Every function here can be cut anywhere and called again by recovery.

use std::path::Path;

use chrono::Utc;

use super::begin::Tx;
use super::{Report, Trip, backup, carry, itself, mirror, pieces, switch, trial};
use crate::error::{Code, Doing, Error, Result};
use crate::event::{Outcome, Phase};
use crate::journal::{Stage, UnitWay};
use crate::plan::Action;
use crate::state::status::{self, LastResult, Progress, Quarantined};
use crate::state::{Ledger, Row, history};
use crate::world::{Disk, durable};

/// Makes the new tree the installed one.
///
/// # Errors
/// A record cannot be written; recovery finishes it.
pub fn confirm(trip: &mut Trip, tx: Tx) -> Result<Report> {
    let version = name_of(&tx.plan.to);
    confirmed(trip, tx).map_err(|e| {
        Error::unexpected(format!("{version} is live and healthy, but that could not be recorded: {}", e.message()))
            .hint("`pikit-updater recover` finishes it; so does the next command that changes anything")
    })
}

fn confirmed(trip: &mut Trip, mut tx: Tx) -> Result<Report> {
    trip.phase(Phase::Confirming, "making it the installed version");
    let layout = trip.settings.layout.clone();
    let disk = trip.world.disk;
    if tx.journal.stage != (Stage::Confirming { carried: true }) {
        carry::over(trip, &tx, true)?;
        backup::keep_up(trip, &tx);
        match tx.manifest_bytes(trip)? {
            Some(bytes) => status::save(disk, &layout, &layout.installed(), &bytes)?,
            None => forget(disk, &layout.installed())?,
        }
        match &tx.plan.to {
            Some(version) => status::save(disk, &layout, &layout.version(), format!("{version}\n").as_bytes())?,
            None => forget(disk, &layout.version())?,
        }
        tx.enter(trip, Stage::Confirming { carried: true })?;
    }
    carry::bury(trip, &tx, true)?;
    if let (Some(version), Some(content)) = (&tx.plan.to, &tx.plan.content) {
        // a memory that cannot be read is no reason to hold a healthy release; installs stay refused until a person looks
        if let Ok(mut ledger) = Ledger::load(disk, &layout) {
            ledger.confirmed(disk, &layout, version, content)?;
        }
    }
    if tx.journal.backup.is_some() {
        backup::prune(trip, trip.settings.backup_keep)?;
    }
    match tx.plan.action {
        Action::Repair => backup::prune_edited(trip)?,
        Action::Apply | Action::Rollback => pieces::forget_pieces(trip),
    }
    trip.state.drift = None;
    if tx.plan.action == Action::Rollback {
        // a rollback stays: automatic mode passes over what was left until a newer one comes
        // and after a recall the newer one may be the lower one
        let recalled = Ledger::load(disk, &layout).is_ok_and(|ledger| ledger.learned.recalled.is_some());
        let undoes = |v: &semver::Version| Some(v) > tx.plan.to.as_ref() || (recalled && Some(v) != tx.plan.to.as_ref());
        if let Some(left) = tx.plan.from.clone().filter(|v| undoes(v) && !trip.state.skipped.contains(v)) {
            trip.state.skipped.push(left);
        }
    }
    // what a person went to, by whichever way, is not passed over any more
    trip.state.skipped.retain(|v| Some(v) != tx.plan.to.as_ref());
    finish(trip, tx, Outcome::Confirmed, Code::Unexpected, None, None)
}

/// Returns every managed path to the old tree, restarts its services and says how they are.
///
/// # Errors
/// Exit 7: it could not be done; the journal stays, so that `recover` can try again.
pub fn roll_back(trip: &mut Trip, mut tx: Tx, reason: &str, quarantine: bool, services: bool) -> Result<Report> {
    trip.phase(Phase::RollingBack, format!("returning to {}: {reason}", name_of(&tx.plan.from)));
    let was_live = tx.journal.switched.is_some();
    let still = returned(trip, &mut tx, reason, quarantine, services && was_live).map_err(|e| stuck(trip, &tx, &e))?;
    let mut words = reason.to_owned();
    if !still.is_empty() {
        words = format!("{reason}; after the return still failing: {}", still.join("; "));
    }
    let hint = if quarantine {
        "it will not be tried again; `apply --force` tries it all the same, `log` shows what happened"
    } else {
        "`log` shows what happened; run it again when the cause is gone"
    };
    let told = words.clone();
    finish(trip, tx, Outcome::RolledBack, Code::RolledBack, Some(words), Some(hint.into())).map_err(|e| {
        Error::new(Code::RolledBack, format!("{told}; the old tree is back, but that could not be recorded: {}", e.message()))
            .hint("`pikit-updater recover` finishes it; so does the next command that changes anything")
    })
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
            // a memory that cannot be read is not written over: until a person looks, nothing is installed at all
            match Ledger::load(disk, &layout) {
                Ok(mut ledger) => {
                    let failed = Quarantined { version, manifest_sha256: tx.plan.manifest_sha256, content, reason: reason.to_owned(), at: now };
                    ledger.add(disk, &layout, failed)?;
                }
                Err(e) => trip.warn(e.message()),
            }
        }
        tx.enter(trip, Stage::RollingBack { reason: reason.to_owned(), quarantine, carried: true })?;
    }
    carry::bury(trip, tx, false)?;
    if let Some(name) = tx.journal.backup.take() {
        // the tree it describes is live again
        backup::remove(disk, &layout, &name)?;
    }
    if services {
        still.extend(still_failing(trip, tx));
    }
    Ok(still)
}

/// Gives the probes of the old tree the time of a trial to pass again; the words of those that do not.
fn still_failing(trip: &Trip, tx: &mut Tx) -> Vec<String> {
    let clock = trip.world.clock;
    let began = clock.monotonic();
    let probes: Vec<_> = trip.settings.health.iter().filter(|p| !tx.journal.failing_before.contains(&p.name())).collect();
    loop {
        let failing: Vec<String> = probes.iter().filter_map(|p| trial::ask(trip, p).err().map(|why| format!("{}: {why}", p.name()))).collect();
        if failing.is_empty() {
            tx.back = Some(clock.now());
        }
        if failing.is_empty() || clock.monotonic().saturating_sub(began) >= trip.settings.trial.timeout || clock.stops() > 1 {
            return failing;
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
    finish(trip, tx, outcome, error.code, Some(error.message()), error.hint.clone())
}

/// Drops what was staged and the backup that describes what is still live; keeps what was fetched.
///
/// # Errors
/// It cannot be removed.
pub fn discard(trip: &mut Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    let layout = trip.settings.layout.clone();
    pieces::keep_pieces(trip, tx);
    let drop_tree = |path: &Path| durable::remove_whole(disk, path).doing(|| format!("removing {}", path.display()));
    for unit in &tx.journal.units {
        match &unit.way {
            UnitWay::Exchange { beside, .. } => drop_tree(beside)?,
            UnitWay::PerFile { bases } => bases.iter().try_for_each(|b| drop_tree(b))?,
        }
    }
    drop_tree(&backup::work_dir(&layout, &tx.journal.transaction))?;
    for backup in backup::list(disk, &layout)?.iter().filter(|b| b.record.transaction == tx.journal.transaction) {
        backup::remove(disk, &layout, &backup.name)?;
    }
    Ok(())
}

fn forget(disk: &dyn Disk, path: &Path) -> Result<()> {
    let doing = || format!("removing {}", path.display());
    durable::remove(disk, path).doing(doing)?;
    match path.parent() {
        Some(dir) if disk.meta(dir).doing(doing)?.is_some() => disk.sync_dir(dir).doing(doing),
        _ => Ok(()),
    }
}

/// Writes result, history and state, then ends the transaction.
fn finish(trip: &mut Trip, tx: Tx, outcome: Outcome, code: Code, reason: Option<String>, hint: Option<String>) -> Result<Report> {
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
        offline_seconds: tx.journal.switched.map_or(0.0, |from| (tx.back.unwrap_or(now) - from).num_milliseconds().max(0) as f64 / 1000.0),
        code,
        reason: reason.clone(),
    };
    let counts = tx.plan.counts();
    let words = match outcome {
        Outcome::Confirmed => format!("confirmed: {} is installed", name_of(&tx.plan.to)),
        other => format!("{}: {}", other.name(), reason.as_deref().unwrap_or_default()),
    };
    trip.note(words);
    history::add(trip.world.disk, &trip.settings.layout, &Row { result: result.clone(), bytes_fetched: tx.cost.fetched, bytes_written: tx.cost.written })?;
    trip.state.last_result = Some(result.clone());
    trip.state.progress = None;
    Progress::forget(trip.world.disk, &trip.settings.layout);
    mirror::refresh(trip)?;
    trip.state.save(trip.world.disk, &trip.settings.layout)?;
    if outcome != Outcome::Confirmed {
        itself::disarm(trip)?;
    }
    tx.end(trip)?;
    trip.log = None;
    Ok(Report {
        transaction: Some(result.transaction),
        action: result.action,
        outcome,
        from: result.from,
        to: result.to,
        code,
        reason,
        hint,
        counts,
        bytes_fetched: tx.cost.fetched,
        bytes_spared: tx.cost.whole.saturating_sub(tx.cost.fetched),
        requests: tx.cost.requests,
        bytes_written: tx.cost.written,
        seconds: result.seconds,
        switch_seconds: tx.switch.as_micros() as f64 / 1e6,
        offline_seconds: result.offline_seconds,
        notes: tx.notes,
    })
}

/// A version for people.
pub fn name_of(version: &Option<semver::Version>) -> String {
    version.as_ref().map_or_else(|| "what was there before".into(), ToString::to_string)
}
