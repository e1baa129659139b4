//! What became of the updater's own update, seen by whoever brings a `recover` to its end: the new one proves itself by that; the old one, put
//! back by the unit that needs no program, takes the release back, or says honestly what is left of it.

use super::begin::Tx;
use super::{Trip, mirror, survey};
use crate::error::{Code, Doing, Result};
use crate::event::Outcome;
use crate::journal::{Finding, Recovery, Side, UnitWay};
use crate::plan::Action;
use crate::release::Digest;
use crate::state::status::{LastResult, Quarantined};
use crate::state::{Ledger, Row, Sentinel, history};
use crate::world::Kind;

/// The sentinel of an update whose new updater could not complete recovery, so that the old one lies there again. Before a switch it lies
/// there too: then only what the unit left tells.
///
/// # Errors
/// Something cannot be read.
pub fn put_back(trip: &Trip, tx: Option<&Tx>) -> Result<Option<Sentinel>> {
    let found = Sentinel::load(trip.world.disk, &trip.settings.layout)?;
    let switched = found.used || tx.is_none_or(|tx| tx.journal.is_live());
    let Some(sentinel) = found.sentinel.filter(|_| switched) else { return Ok(None) };
    Ok((live(trip, &sentinel)? == Some(sentinel.old)).then_some(sentinel))
}

/// What lies at the updater's path.
fn live(trip: &Trip, sentinel: &Sentinel) -> Result<Option<Digest>> {
    let path = sentinel.live(&trip.settings.layout);
    let meta = trip.world.disk.meta(&path).doing(|| format!("looking at {}", path.display()))?;
    meta.filter(|m| m.kind == Kind::File).map(|_| survey::hash(trip.world.disk, &path)).transpose()
}

/// Why the release is taken back, in words.
fn why(sentinel: &Sentinel) -> String {
    format!("the updater of {} could not complete `recover`: the one before it was put back", super::settle::name_of(&sentinel.to))
}

/// What to do with an open transaction whose new updater was put back; `None`: as ever. Called with what was found at its paths.
pub fn decide(sentinel: &Sentinel, tx: &Tx, found: &mut [Finding], root: &std::path::Path) -> Option<Recovery> {
    if sentinel.transaction != tx.journal.transaction {
        return None;
    }
    // Exchanged as a single file it looks old, which it is; what else the transaction has is where it was.
    let live = root.join(sentinel.path.strip_prefix("/").unwrap_or(&sentinel.path));
    for (unit, finding) in tx.journal.units.iter().zip(found.iter_mut()) {
        if unit.to == live && matches!(unit.way, UnitWay::Exchange { .. }) && finding.side == Side::Old && tx.journal.is_live() {
            finding.side = Side::New;
        }
    }
    tx.journal.without_its_updater(found, why(sentinel))
}

/// `recover` has come to its end, and nothing is open any more. Called twice it does nothing the second time.
///
/// # Errors
/// A record cannot be written; the next `recover` goes on.
pub fn settled(trip: &mut Trip) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let found = Sentinel::load(disk, &layout)?;
    if !found.there {
        return Ok(());
    }
    let Some(sentinel) = found.sentinel else {
        trip.warn(format!("{} is damaged and was removed: the updater's own update is not watched over any more", layout.self_update().display()));
        return Sentinel::forget(disk, &layout);
    };
    match live(trip, &sentinel)? {
        Some(live) if live == sentinel.old => remember(trip, &sentinel)?,
        Some(live) if live == sentinel.new => {
            // another machine that looks after the card proves nothing
            if trip.world.outside.program().is_none_or(|p| p != sentinel.live(&layout)) {
                return Ok(());
            }
            trip.note("the new updater works here: it has brought a `recover` to its end");
        }
        // a person put another one there, or none: not ours to replace
        _ => {}
    }
    Sentinel::forget(disk, &layout)
}

/// The release had been confirmed by then: its files stay, but for the updater's own. It is not tried again, and everybody is told.
fn remember(trip: &mut Trip, sentinel: &Sentinel) -> Result<()> {
    let (disk, layout, now) = (trip.world.disk, trip.settings.layout.clone(), trip.world.clock.now());
    let path = sentinel.path.display();
    let reason = format!("{}; the rest of the release stays, so that {path} differs from it", why(sentinel));
    trip.warn(reason.clone());
    if let (Some(version), Some(content)) = (sentinel.to.clone(), sentinel.content) {
        match Ledger::load(disk, &layout) {
            Ok(mut ledger) => {
                ledger.add(disk, &layout, Quarantined { version, manifest_sha256: sentinel.manifest_sha256, content, reason: reason.clone(), at: now })?;
            }
            Err(e) => trip.warn(e.message()),
        }
    }
    let result = LastResult {
        // the same each time it is told; the update itself has the first half of it
        transaction: format!("{:.25}r", sentinel.transaction),
        action: Action::Apply,
        outcome: Outcome::Failed,
        from: sentinel.from.clone(),
        to: sentinel.to.clone(),
        at: now,
        seconds: 0.0,
        offline_seconds: 0.0,
        code: Code::Unexpected as u8,
        reason: Some(reason),
    };
    history::add(disk, &layout, &Row { result: result.clone(), bytes_fetched: 0, bytes_written: 0 })?;
    trip.state.last_result = Some(result);
    trip.state.drift = Some(trip.state.drift.unwrap_or(0).max(1));
    mirror::refresh(trip)?;
    trip.state.save(disk, &layout)
}
