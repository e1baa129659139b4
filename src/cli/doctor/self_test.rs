//! `doctor --self-test`: whether this very program could look after this board. An updater that is about to be replaced asks it of the new
//! one. Fast, without network, and nothing is changed: what `recover` would read is read, and what it would do is decided, but not done.

use serde_json::json;

use super::{Board, Globals};
use crate::cli::voice::{Voice, json_line, with_ok};
use crate::error::{Code, Result};
use crate::event::Silent;
use crate::journal::{self, Recovery};
use crate::state::{Ledger, State, status, trust};
use crate::update::{Trip, backup, recover, survey};
use crate::world::World;

/// Looks; exit 0 when it could, 5 when not. Without the rights of root nobody knows what else there is to be read: exit 9.
///
/// # Errors
/// None of its own: what goes wrong is told.
pub fn run(globals: &Globals, voice: &Voice) -> Result<u8> {
    let mut troubles = Vec::new();
    match Board::to_look(globals) {
        Ok(board) => troubles.extend(memory(&board)),
        Err(e) => troubles.push(e.message()),
    }
    let version = env!("CARGO_PKG_VERSION");
    let formats = [("state", status::SCHEMA), ("journal", journal::SCHEMA), ("trust", trust::SCHEMA), ("backup", backup::SCHEMA)];
    if voice.json {
        let formats: serde_json::Map<String, serde_json::Value> = formats.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect();
        json_line(&with_ok(troubles.is_empty(), &json!({"version": version, "reads": formats, "troubles": troubles})));
    } else if troubles.is_empty() {
        let lines: Vec<String> = formats.iter().map(|(name, n)| format!("reads {name} format {n}")).collect();
        voice.result(&format!("pikit-updater {version}\n{}", lines.join("\n")));
    } else {
        voice.failure(&troubles.join("; "));
    }
    Ok(match (troubles.is_empty(), rustix::process::geteuid().is_root()) {
        (true, _) => 0,
        (false, true) => Code::Refused as u8,
        (false, false) => Code::Permission as u8,
    })
}

/// What of the board's memory could not be worked with. What is merely damaged is no fault of this program, and was so before.
fn memory(board: &Board) -> Vec<String> {
    let (disk, layout) = (board.look_only(), &board.settings.layout);
    let world = World { disk: &disk, ..board.world() };
    let mut troubles = Vec::new();
    match State::load(&disk, layout) {
        Ok(loaded) if loaded.newer => troubles.extend(loaded.trouble),
        Ok(_) => {}
        Err(e) => troubles.push(e.message()),
    }
    if let Err(e) = Ledger::load(&disk, layout)
        && e.code != Code::Verification
    {
        troubles.push(e.message());
    }
    let mut silent = Silent;
    match Trip::looking(world, &board.settings, &mut silent) {
        Ok(trip) => {
            match recover::would(&trip) {
                Ok(Recovery::Hold(why)) => troubles.push(why),
                Ok(_) => {}
                Err(e) => troubles.push(e.message()),
            }
            if let Err(e) = survey::installed(&trip)
                && e.code != Code::Verification
            {
                troubles.push(e.message());
            }
        }
        Err(e) => troubles.push(e.message()),
    }
    troubles
}
