//! `doctor`: everything an update needs, looked at without changing anything, and the next step for whatever is wrong.

/// Files and file systems.
mod storage;
/// The updater's own records.
mod memory;
/// Time, services, health checks and the source.
mod surroundings;
/// Timer, recovery at boot, the page.
mod by_itself;
/// The updater itself.
mod program;
/// Whether this program could look after this board.
pub mod self_test;

use serde::Serialize;
use serde_json::json;

use super::args::Globals;
use super::board::Board;
use super::voice::{Tone, Voice, clean, json_line, with_ok};
use crate::device::settings::UNWATCHED;
use crate::error::{Code, Result};
use crate::event::Silent;
use crate::quantity::count;
use crate::update::Trip;
use crate::world::World;

/// What was looked at, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub level: Level,
    /// What was seen.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warn,
    /// An update would fail.
    Fail,
}

impl Finding {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Finding { name, level: Level::Ok, message: message.into(), hint: None }
    }
    fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Finding { name, level: Level::Warn, message: message.into(), hint: Some(hint.into()) }
    }
    fn fail(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Finding { name, level: Level::Fail, message: message.into(), hint: Some(hint.into()) }
    }
}

/// `doctor`. Exit 0 when nothing failed, 5 when something did.
///
/// # Errors
/// With `reset_time`, that cannot be done; otherwise none of its own: what goes wrong is a finding.
pub fn run(globals: &Globals, voice: &Voice, offline: bool, reset_time: bool) -> Result<u8> {
    let mut found = Vec::new();
    if reset_time {
        surroundings::reset_time(globals)?;
        voice.message("the remembered time is forgotten; the next signed release or time server tells it anew");
    }
    match Board::to_look(globals) {
        // without a config there is nothing else to look at but the board itself
        Err(e) => {
            let hint = e.hint.clone().unwrap_or_else(|| "`pikit-updater config check` looks at the config alone".into());
            found.push(Finding::fail("config", e.message(), hint));
            found.push(surroundings::clock(None));
        }
        Ok(board) => {
            let disk = board.look_only();
            let mut silent = Silent;
            let around = match Trip::looking(World { disk: &disk, ..board.world() }, &board.settings, &mut silent) {
                Ok(trip) => surroundings::look(&trip),
                Err(e) => vec![Finding::fail("state", e.message(), e.hint.unwrap_or_else(|| "run it as root".into()))],
            };
            found.extend(config(&board, around.iter().any(|f| f.name == "health")));
            found.push(surroundings::clock(Some(&board)));
            found.extend(storage::look(&board));
            found.extend(memory::look(&board));
            found.extend(around);
            found.extend(by_itself::look(&board));
            found.extend(program::look(&board));
            if !offline {
                found.push(surroundings::source(&board));
            }
        }
    }
    let failed = found.iter().filter(|f| f.level == Level::Fail).count();
    let warned = found.iter().filter(|f| f.level == Level::Warn).count();
    if voice.json {
        json_line(&with_ok(failed == 0, &json!({"failed": failed, "warned": warned, "checks": found})));
    } else {
        voice.result(&text(voice, &found));
        let summary = match (failed, warned) {
            (0, 0) => "all is well".to_owned(),
            (0, n) => format!("nothing is in the way of an update; {}", count(n, "warning")),
            (n, w) => format!("{} and {}", count(n, "failure"), count(w, "warning")),
        };
        voice.message(&summary);
    }
    Ok(if failed == 0 { 0 } else { Code::Refused as u8 })
}

/// What the config itself makes doubtful. `told_below`: that nothing is watched is told among the health checks, with what the release suggests.
fn config(board: &Board, told_below: bool) -> Vec<Finding> {
    let doubts: Vec<&String> = board.settings.doubts.iter().filter(|doubt| !(told_below && *doubt == UNWATCHED)).collect();
    if doubts.is_empty() {
        return vec![Finding::ok("config", "it parses, and there are no doubts about it")];
    }
    doubts.into_iter().map(|doubt| Finding::warn("config", doubt, "`pikit-updater config check` shows the whole config as it is understood")).collect()
}

fn text(voice: &Voice, found: &[Finding]) -> String {
    let mut out = String::new();
    for finding in found {
        let (word, tone) = match finding.level {
            Level::Ok => ("ok  ", Tone::Good),
            Level::Warn => ("warn", Tone::Odd),
            Level::Fail => ("FAIL", Tone::Bad),
        };
        out.push_str(&format!("{}  {:<9} {}\n", voice.paint(word, tone), finding.name, clean(&finding.message)));
        if let Some(hint) = &finding.hint {
            out.push_str(&format!("                {} {}\n", voice.paint("→", Tone::Faint), clean(hint)));
        }
    }
    out
}
