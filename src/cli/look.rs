//! The commands that look: status, verify; and those that only change the updater's own memory: check, skip, unskip.

use semver::Version;
use serde_json::json;

use super::args::Globals;
use super::board::Board;
use super::progress::Progress;
use super::status_view;
use super::voice::{Tone, Voice, clean};
use crate::apart;
use crate::daily::timer;
use crate::error::{Code, Doing, Result};
use crate::event::Silent;
use crate::quantity::count;
use crate::state::Ledger;
use crate::update::verify::Verified;
use crate::update::{Trip, check as asking, mirror, settle, verify as comparing, view};
use crate::world::lock::Locked;
use crate::world::{Clock, World, durable};

/// `status`.
///
/// # Errors
/// The state cannot be read.
pub fn status(globals: &Globals, voice: &Voice) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let disk = board.look_only();
    let mut progress = Progress::new(voice);
    let mut silent = Silent;
    let world = World { disk: &disk, ..board.world() };
    // a trouble with the file is a warning for people; in JSON the state stands alone
    let sink: &mut dyn crate::event::Sink = if voice.json { &mut silent } else { &mut progress };
    let mut view = view::view(world, &board.settings, sink)?;
    let next = timer::next(board.world(), &board.settings);
    (view.state.auto.next, view.state.auto.timer) = (next.at, next.timer);
    if voice.json {
        voice.json(true, &view);
    } else {
        voice.result(&status_view::text(voice, &view));
    }
    Ok(0)
}

/// `check`.
///
/// # Errors
/// The source, the lock.
pub fn check(globals: &Globals, voice: &Voice, exit_code: bool) -> Result<u8> {
    let board = Board::to_change(globals)?;
    let source = apart::open(&board.settings, &board.clock)?;
    let locked = board.lock()?;
    let mut progress = Progress::new(voice);
    let mut silent = Silent;
    let sink: &mut dyn crate::event::Sink = if voice.json { &mut silent } else { &mut progress };
    let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut *sink)?;
    trip.id = board.id.clone().unwrap_or(trip.id);
    // what was interrupted is left as it is: nothing is begun here
    trip.state.progress = None;
    trip.announce(Some("check"));
    let asked = asking::check(&mut trip, source.as_ref());
    trip.leave();
    asked?;
    let state = trip.state;
    drop(locked);
    crate::notify::after(board.world(), &board.settings, None, sink);
    drop(progress);
    if voice.json {
        voice.json(true, &state);
    } else {
        voice.result(&status_view::offer(voice, &state, board.clock.now()));
    }
    Ok(if exit_code && state.update_available { 100 } else { 0 })
}

/// `verify`, without `--repair`. Exit 4 when something differs.
///
/// # Errors
/// Nothing is installed, or something cannot be read.
pub fn verify(globals: &Globals, voice: &Voice) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let disk = board.look_only();
    let world = World { disk: &disk, ..board.world() };
    let mut progress = Progress::new(voice);
    let mut silent = Silent;
    let sink: &mut dyn crate::event::Sink = if voice.json { &mut silent } else { &mut progress };
    let seen = comparing::verify(&mut Trip::looking(world, &board.settings, sink)?)?;
    drop(progress);
    remember(&board, &seen);
    let good = seen.drift() == 0;
    if voice.json {
        let mut value = super::voice::with_ok(good, &seen);
        value["drift"] = json!(seen.drift());
        super::voice::json_line(&value);
    } else {
        voice.result(&verified(voice, &seen));
    }
    Ok(if good { 0 } else { Code::Verification as u8 })
}

/// The state knows of the drift when it may be written and nobody else is at it; otherwise this was only a look.
fn remember(board: &Board, seen: &Verified) {
    let note = || -> Result<()> {
        let locked = board.lock()?;
        // an interrupted transaction is not ours to settle here, and its progress not ours to clear
        let mut silent = Silent;
        let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut silent)?;
        trip.state.drift = Some(seen.drift());
        trip.state.last_verify = Some(board.clock.now());
        trip.state.save(&board.disk, &board.settings.layout)
    };
    // who may not write has still seen the result
    let _ = note();
}

fn verified(voice: &Voice, seen: &Verified) -> String {
    let version = settle::name_of(&seen.version);
    let mut out = match seen.drift() {
        0 => format!("{}: {} of {version}, and none differs that should not\n", voice.paint("good", Tone::Good), count(seen.listed, "file")),
        n => format!("{}: {} of {} of {version} differ\n", voice.paint("drift", Tone::Bad), n, count(seen.listed, "file")),
    };
    let kinds = [("edited", &seen.edited), ("missing", &seen.missing), ("config, edited by you (that is all right)", &seen.config_edited)];
    for (word, names) in kinds {
        for name in names {
            out.push_str(&format!("  {}  ({word})\n", clean(name)));
        }
    }
    if seen.drift() > 0 {
        out.push_str(&format!("{} `pikit-updater verify --repair` puts them back and keeps your copies aside\n", voice.paint("hint:", Tone::Faint)));
    }
    out
}

/// Versions that are passed over, at most: the highest.
const SKIPPED_MAX: usize = 100;

/// `skip` and `unskip`.
///
/// # Errors
/// The lock, the state.
pub fn skip(globals: &Globals, voice: &Voice, version: &Version, pass_over: bool) -> Result<u8> {
    let board = Board::to_change(globals)?;
    let locked: Locked = board.lock()?;
    let mut silent = Silent;
    let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut silent)?;
    let known = trip.state.skipped.contains(version);
    trip.state.skipped.retain(|v| v != version);
    if pass_over {
        trip.state.skipped.push(version.clone());
        trip.state.skipped.sort();
        // whoever may ask for this must not make the state grow without end; what is far below will not be offered
        let beyond = trip.state.skipped.len().saturating_sub(SKIPPED_MAX);
        trip.state.skipped.drain(..beyond);
    }
    // whoever wants a version again wants it tried again
    let forgiven = !pass_over && Ledger::load(&board.disk, &board.settings.layout)?.forgive(&board.disk, &board.settings.layout, |q| q.version == *version)?;
    mirror::refresh(&mut trip)?;
    let home = board.settings.layout.state_dir();
    durable::make_dirs(&board.disk, &home, 0o755).doing(|| format!("making {}", home.display()))?;
    trip.state.save(&board.disk, &board.settings.layout)?;
    if voice.json {
        voice.json(true, &trip.state);
        return Ok(0);
    }
    voice.result(&match (pass_over, known) {
        (true, false) => format!("{version} is passed over by automatic mode; `apply {version}` still installs it"),
        (true, true) => format!("{version} was passed over already"),
        (false, _) if forgiven => format!("{version} is no longer passed over, and that it failed here is forgotten"),
        (false, true) => format!("{version} is no longer passed over"),
        (false, false) => format!("{version} was not passed over"),
    });
    Ok(0)
}
