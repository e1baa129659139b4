//! The commands that change the board: apply, rollback, recover, repair. Each takes the lock, settles what an earlier run left, and
//! hands over to the trip.

use serde_json::json;

use super::args::{Apply, Globals, Rollback};
use super::ask;
use super::board::Board;
use super::own;
use super::progress::Progress;
use super::voice::{Voice, clean, json_line, with_ok};
use super::{plan_view, report_view};
use crate::apart;
use crate::error::Result;
use crate::event::{Outcome, Sink as _};
use crate::source::Wanted;
use crate::update::aim::Request;
use crate::update::apply::{self, Done, Proposal};
use crate::update::recover::{Recovered, recover};
use crate::update::settle::name_of;
use crate::update::{Report, Trip, verify};
use crate::world::World;

/// `apply`.
///
/// # Errors
/// As for the trip.
pub fn apply(globals: &Globals, voice: &Voice, asked: &Apply) -> Result<u8> {
    let request = Request {
        wanted: asked.version.clone().map_or(Wanted::Best, Wanted::Exact),
        dry_run: asked.dry_run,
        download_only: asked.download_only,
        allow_downgrade: asked.allow_downgrade,
        force: asked.force,
        require_manifest: asked.require_manifest,
        repair: false,
        automatic: false,
    };
    let board = if asked.dry_run { Board::to_look(globals)? } else { Board::to_change(globals)? };
    let open = || match &asked.from {
        Some(from) => apart::open_from(from, &board.settings, &board.clock),
        None => apart::open(&board.settings, &board.clock),
    };
    let go = |trip: &mut Trip, yes: bool| apply::apply(trip, open()?.as_ref(), request.clone(), &mut |p| consent(&board, voice, p, yes));
    // what is only fetched changes nothing, and so does a plan
    run(&board, voice, asked.dry_run, |trip| go(trip, asked.yes))
}

/// `rollback`.
///
/// # Errors
/// As for the trip.
pub fn rollback(globals: &Globals, voice: &Voice, asked: &Rollback) -> Result<u8> {
    let board = if asked.dry_run { Board::to_look(globals)? } else { Board::to_change(globals)? };
    run(&board, voice, asked.dry_run, |trip| apply::rollback(trip, asked.backup.as_deref(), asked.dry_run, &mut |p| consent(&board, voice, p, asked.yes)))
}

/// `verify --repair`.
///
/// # Errors
/// As for the trip.
pub fn repair(globals: &Globals, voice: &Voice, yes: bool) -> Result<u8> {
    let board = Board::to_change(globals)?;
    run(&board, voice, false, |trip| {
        let source = apart::open(&board.settings, &board.clock)?;
        verify::repair(trip, source.as_ref(), &mut |p| consent(&board, voice, p, yes))
    })
}

/// `recover`. Exit 0 whenever all is settled, whichever way: what became of the interrupted run is told, and stands in the history.
///
/// # Errors
/// Exit 7: nothing was touched.
pub fn settle(globals: &Globals, voice: &Voice, boot: bool) -> Result<u8> {
    let board = Board::to_change(globals)?;
    let locked = board.lock()?;
    let mut progress = Progress::new(voice);
    let recovered = {
        let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut progress)?;
        recover(&mut trip, boot)
    };
    drop(locked);
    // at boot there is no network yet
    if !boot {
        crate::notify::after(board.world(), &board.settings, recovered.as_ref().err(), &mut progress);
        if let Some(words) = crate::daily::requests::revive(board.world(), &board.settings) {
            progress.event(&crate::event::Event::Note { message: words });
        }
    }
    drop(progress);
    match recovered? {
        Recovered::Nothing if voice.json => json_line(&with_ok(true, &json!({"event": "result", "recovered": "nothing"}))),
        Recovered::Nothing => voice.result("nothing was interrupted"),
        Recovered::Pending { transaction } if voice.json => {
            json_line(&with_ok(true, &json!({"event": "result", "recovered": "pending", "transaction": transaction})));
        }
        Recovered::Pending { transaction } => {
            voice.result(&format!("the paths are settled; the trial of transaction {transaction} waits for the services: `pikit-updater recover` runs it"));
        }
        Recovered::Ended(report) if voice.json => {
            let mut value = report_view::json(true, &report);
            value["recovered"] = json!("ended");
            json_line(&value);
        }
        Recovered::Ended(report) => voice.result(&format!("settled: {}", settled(&report))),
    }
    Ok(0)
}

/// Takes the lock, settles what was interrupted, runs, and shows how it ended. A dry run does neither of the first two: its disk
/// cannot write, and a lock that another run holds is no reason not to look.
fn run(board: &Board, voice: &Voice, dry: bool, command: impl FnOnce(&mut Trip) -> Result<Done>) -> Result<u8> {
    let mut progress = Progress::new(voice);
    let done = if dry {
        let disk = board.look_only();
        let world = World { disk: &disk, ..board.world() };
        command(&mut Trip::looking(world, &board.settings, &mut progress)?)
    } else {
        let locked = board.lock()?;
        let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut progress)?;
        own::note(&board.settings.layout).into_iter().for_each(|words| trip.warn(words));
        trip.id = board.id.clone().unwrap_or(trip.id);
        let done = first_recover(&mut trip, voice).and_then(|()| {
            trip.announce(None);
            command(&mut trip)
        });
        trip.leave();
        done
    };
    if !dry {
        crate::notify::after(board.world(), &board.settings, done.as_ref().err(), &mut progress);
    }
    drop(progress);
    match done? {
        Done::Planned(proposal) if voice.json => {
            let mut value = with_ok(true, &proposal);
            value["event"] = json!("result");
            value["dry_run"] = json!(true);
            json_line(&value);
            Ok(0)
        }
        Done::Planned(proposal) => {
            voice.result(&plan_view::text(voice, &proposal));
            voice.message("this was a dry run: nothing was changed");
            Ok(0)
        }
        Done::Ended(report) => {
            show(voice, &report);
            Ok(report.code)
        }
    }
}

/// Shows how it ended.
pub fn show(voice: &Voice, report: &Report) {
    if voice.json {
        json_line(&report_view::json(report.code == 0, report));
    } else if report.code == 0 {
        voice.result(&report_view::text(voice, report));
    } else {
        // an end that is not the wished one is an error, also for `-q`
        voice.failure(&report_view::text(&voice.on_stderr(), report));
    }
}

/// What became of an interrupted run.
fn settled(report: &crate::update::Report) -> String {
    let (from, to) = (name_of(&report.from), name_of(&report.to));
    let how = match report.outcome {
        Outcome::Confirmed => format!("it was brought to its end, {to} is installed"),
        Outcome::RolledBack => format!("{from} is back as it was ({})", clean(report.reason.as_deref().unwrap_or_default())),
        _ => format!("nothing had changed, {from} is as it was; what was fetched is kept"),
    };
    format!("the interrupted {} of {to}: {how}", report.action.name())
}

/// Says what an earlier run left and what became of it, then goes on.
pub fn first_recover(trip: &mut Trip, voice: &Voice) -> Result<()> {
    if let Recovered::Ended(report) = recover(trip, false)? {
        let reason = report.reason.as_deref().filter(|_| voice.verbose).map(|r| format!(" ({})", clean(r))).unwrap_or_default();
        trip.note(format!("{}{reason}", settled(&report)));
    }
    Ok(())
}

/// Shows the plan and asks.
fn consent(board: &Board, voice: &Voice, proposal: &Proposal, yes: bool) -> Result<()> {
    voice.over_progress(&plan_view::text(&voice.on_stderr(), proposal), !yes && !voice.no_input);
    ask::consent(voice, &board.clock, &plan_view::question(&proposal.plan), yes)
}
