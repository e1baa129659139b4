//! `auto` shows and sets automatic mode; `auto run` is what the timer calls. `notify test`.

use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use serde_json::{Value, json};

use super::args::{Auto, AutoMode, Globals};
use super::board::{self, Board};
use super::progress::Progress;
use super::voice::{Tone, Voice, clean, json_line, with_ok};
use super::{change, report_view};
use crate::daily::run::{Day, run as days_work};
use crate::daily::{self, Set};
use crate::error::{Code, Doing, Error, Result, stopped};
use crate::quantity::seconds;
use crate::update::{Trip, upload};
use crate::world::{Clock, World};
use crate::{apart, notify};

/// `auto`.
///
/// # Errors
/// The config, the lock, systemd; and as for `auto run`.
pub fn auto(globals: &Globals, voice: &Voice, asked: &Auto) -> Result<u8> {
    match (asked.mode, &asked.at) {
        (Some(AutoMode::Run), Some(_)) => Err(Error::usage("`auto run` takes no --at").hint("`pikit-updater auto --at 05:00` sets the time")),
        (Some(AutoMode::Run), None) => run(globals, voice, &asked.retry),
        _ if !asked.retry.is_empty() => Err(Error::usage("--retry goes with `auto run`")),
        (None, None) => {
            let board = Board::to_look(globals)?;
            let disk = board.look_only();
            show(voice, &daily::look(World { disk: &disk, ..board.world() }, &board.settings), board.clock.now());
            Ok(0)
        }
        (mode, at) => {
            let board = Board::to_change(globals)?;
            let config = board::config_path(globals, &board.settings.layout);
            let config = std::path::absolute(&config).doing(|| format!("finding {}", config.display()))?;
            let _locked = board.lock()?;
            let set = daily::set(board.world(), &board.settings, &config, mode.map(AutoMode::name), at.as_deref())?;
            show(voice, &set, board.clock.now());
            Ok(0)
        }
    }
}

fn show(voice: &Voice, set: &Set, now: DateTime<Utc>) {
    let schedule = &set.schedule;
    if voice.json {
        let mut value = with_ok(true, &set.next);
        value["mode"] = json!(schedule.action);
        value["at"] = json!(schedule.at);
        value["window_seconds"] = json!(schedule.window.as_secs());
        value["days"] = json!(schedule.day_names());
        value["jitter_seconds"] = json!(schedule.jitter.as_secs());
        value["notes"] = json!(set.notes);
        return json_line(&value);
    }
    let mut words = match schedule.action.as_str() {
        "off" => voice.paint("off", Tone::Strong),
        mode => format!("{} at {}", voice.paint(mode, Tone::Strong), schedule.at),
    };
    if schedule.action != "off" {
        let span = |d: std::time::Duration| seconds(d.as_secs_f64()).trim_end_matches(" 0 s").trim_end_matches(" 0 min").to_owned();
        words.push_str(&if schedule.days.is_empty() { String::new() } else { format!(" on {}", schedule.day_names().join(", ")) });
        words.push_str(&if schedule.jitter.is_zero() { String::new() } else { format!(", up to {} later", span(schedule.jitter)) });
        words.push_str(&if schedule.window.is_zero() { String::new() } else { format!("; it installs only within {} after that", span(schedule.window)) });
    }
    let next = match set.next.at {
        Some(at) => format!("\nnext: {} ({})", at.with_timezone(&Local).format("%a %Y-%m-%d %H:%M"), from_now(at, now)),
        None => String::new(),
    };
    voice.result(&format!("{words}{next}"));
    for note in &set.notes {
        voice.message(&format!("{} {}", voice.paint_err("note:", Tone::Odd), clean(note)));
    }
}

fn from_now(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (at - now).num_minutes() {
        ..2 => "about now".into(),
        minutes @ 2..120 => format!("in {minutes} min"),
        minutes @ 120..2880 => format!("in {} h", minutes / 60),
        minutes => format!("in {} days", minutes / 1440),
    }
}

/// `auto run`. A source that cannot be reached, or a download that broke, is tried again after each of the pauses; whoever wants to
/// update by hand meanwhile can. What was refused or failed here is not tried again.
fn run(globals: &Globals, voice: &Voice, pauses: &[Duration]) -> Result<u8> {
    let board = Board::to_change(globals)?;
    for pause in pauses {
        match once(&board, voice, false) {
            Err(e) if e.code == Code::Source => {
                voice.message(&format!("{}; trying again in {}", clean(&e.message()), seconds(pause.as_secs_f64())));
                if board.clock.sleep(*pause) {
                    return Err(stopped());
                }
            }
            ended => return ended,
        }
    }
    once(&board, voice, true)
}

/// One try. That somebody is updating by hand just now is no error of the timer's: tomorrow is another day. `last`: a source that
/// cannot be reached is told to others too.
fn once(board: &Board, voice: &Voice, last: bool) -> Result<u8> {
    let locked = match board.lock() {
        Err(e) if e.code == Code::Busy => {
            told(voice, "busy", &format!("{}; nothing is done today", e.message()), None);
            return Ok(0);
        }
        locked => locked?,
    };
    upload::tidy(&board.disk, &board.settings.layout, board.clock.now());
    let mut progress = Progress::new(voice);
    let done = {
        let mut trip = Trip::new(board.world(), &board.settings, &locked, &mut progress)?;
        let day = change::first_recover(&mut trip, voice).and_then(|()| {
            trip.announce(Some("check"));
            days_work(&mut trip, || apart::open(&board.settings, &board.clock))
        });
        trip.leave();
        day.map(|day| (day, trip.state))
    };
    drop(locked);
    let passing = |e: &&Error| e.code != Code::Source || last;
    notify::after(board.world(), &board.settings, done.as_ref().err().filter(passing), &mut progress);
    drop(progress);
    match done? {
        (Day::Off, _) => told(voice, "off", "automatic mode is off", None),
        (Day::Looked(words), state) => told(voice, "looked", &words, Some(json!(state.available.map(|a| a.version)))),
        (Day::Ended(report), _) => {
            if voice.json {
                let mut value = report_view::json(report.code == 0, &report);
                value["auto"] = json!("installed");
                json_line(&value);
            } else {
                change::show(voice, &report);
            }
            return Ok(report.code);
        }
    }
    Ok(0)
}

fn told(voice: &Voice, what: &str, words: &str, available: Option<Value>) {
    if voice.json {
        let mut value = with_ok(true, &json!({"event": "result", "auto": what, "words": words}));
        if let Some(available) = available {
            value["available"] = available;
        }
        json_line(&value);
    } else {
        voice.result(&clean(words));
    }
}

/// `notify test`.
///
/// # Errors
/// Usage without `[notify]`; source when the notice was not taken.
pub fn notify_test(globals: &Globals, voice: &Voice) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let (host, status) = notify::test(board.world(), &board.settings)?;
    if voice.json {
        json_line(&with_ok(true, &json!({"host": host, "status": status})));
    } else {
        voice.result(&format!("{}: {} took it ({status})", voice.paint("sent", Tone::Good), clean(&host)));
    }
    Ok(0)
}
