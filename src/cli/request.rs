//! The side that may change things: takes the request that the API left and does what it asks for, as if it had been typed.

use std::path::PathBuf;

use chrono::Utc;

use super::args::{Apply, Globals, Rollback};
use super::board::{self, Board};
use super::voice::Voice;
use super::{change, look};
use crate::daily;
use crate::device::Layout;
use crate::error::{Error, Result};
use crate::request::{self, Answer, Request, Trouble, Wish};
use crate::state::{State, history};
use crate::update::{recover, upload};
use crate::world::clock::RealClock;
use crate::world::durable;
use crate::world::real::RealDisk;

/// `request`.
///
/// # Errors
/// As for the action; whoever asked is told as well.
pub fn run(globals: &Globals, voice: &Voice) -> Result<u8> {
    // The request goes before anything that can fail: one that stayed would have a path unit start this again and again.
    let layout = board::layout(globals)?;
    let (disk, clock) = (RealDisk::new(Vec::new()), RealClock::new());
    let answer = |request: Option<&Request>, error: Option<Trouble>| {
        let transaction = request.map(|r| r.transaction.clone()).unwrap_or_default();
        let told = Answer { transaction, action: request.map(|r| r.action), at: Utc::now(), ok: error.is_none(), error }.tell(&disk, &layout);
        // who asked also sees the state, and gives up by itself
        told.unwrap_or_else(|e| voice.message(&format!("the answer is lost: {}", e.message())));
    };
    let request = match request::take(&disk, &layout, &clock) {
        Ok(Some(request)) => request,
        Ok(None) => {
            voice.message("no request waits");
            return Ok(0);
        }
        Err(error) => {
            answer(None, Some(Trouble::from(&error)));
            return Err(error);
        }
    };
    if was_used(&disk, &layout, &request.transaction) {
        // its end would be taken for that of the other one, and would not be written into the history
        let error = Error::usage("a request was dropped: its transaction is not a new one").hint("ask again; if it happens again, look who writes there");
        answer(None, Some(Trouble::from(&error)));
        return Err(error);
    }
    voice.message(&format!("request {}: {}", request.transaction, request.action.name()));
    let globals = Globals { transaction: Some(request.transaction.clone()), no_input: true, ..globals.clone() };
    let done = act(&globals, voice, &request);
    let trouble = match &done {
        Err(error) => Some(Trouble::from(error)),
        Ok(0) => None,
        Ok(code) => {
            let ended = State::load(&disk, &layout).ok().and_then(|loaded| loaded.state.last_result).filter(|r| r.transaction == request.transaction);
            let message = ended.and_then(|r| r.reason).unwrap_or_else(|| format!("it ended with exit code {code}"));
            Some(Trouble { code: *code, phase: None, message, hint: None })
        }
    };
    answer(Some(&request), trouble);
    done
}

/// Whether something that is on record has this id already.
fn was_used(disk: &RealDisk, layout: &Layout, id: &str) -> bool {
    let in_history = || history::load(disk, layout).unwrap_or_default().iter().any(|row| row.result.transaction == id);
    let is_last = || State::load(disk, layout).ok().and_then(|loaded| loaded.state.last_result).is_some_and(|last| last.transaction == id);
    durable::exists(disk, &layout.log(id)).unwrap_or(false)
        || Answer::load(disk, layout).is_some_and(|answer| answer.transaction == id)
        || recover::waiting(disk, layout).is_ok_and(|waiting| waiting.as_deref() == Some(id))
        || in_history()
        || is_last()
}

fn take_upload(globals: &Globals, request: &Request) -> Result<PathBuf> {
    let settings = board::settings(globals)?;
    upload::take(&RealDisk::new(Vec::new()), &settings.layout, &request.transaction, settings.api.upload_limit)
}

fn act(globals: &Globals, voice: &Voice, request: &Request) -> Result<u8> {
    match request.action {
        Wish::Check => look::check(globals, voice, false),
        Wish::Apply | Wish::ApplyAnyway => {
            let taken = if request.upload { Some(take_upload(globals, request)?) } else { None };
            let asked = Apply {
                version: request.version.clone(),
                from: taken.clone(),
                dry_run: false,
                require_manifest: request.manifest,
                download_only: false,
                allow_downgrade: false,
                force: request.action == Wish::ApplyAnyway,
                yes: true,
            };
            let done = change::apply(globals, voice, &asked);
            // used or refused: whoever wants it again sends it again
            if let Some(path) = taken {
                let _ = durable::remove_whole(&RealDisk::new(Vec::new()), &path);
            }
            done
        }
        Wish::Rollback => change::rollback(globals, voice, &Rollback { backup: request.backup.clone(), list: false, dry_run: false, yes: true }),
        Wish::Repair => change::repair(globals, voice, true),
        Wish::Auto => {
            let board = Board::to_change(globals)?;
            let _locked = board.lock()?;
            let config = board::config_path(globals, &board.settings.layout);
            let set = daily::set(board.world(), &board.settings, &config, request.mode.as_deref(), request.at.as_deref())?;
            set.notes.iter().for_each(|note| voice.message(note));
            Ok(0)
        }
        Wish::Skip | Wish::Unskip => {
            let version = request.version.as_ref().expect("it was checked when it was read");
            look::skip(globals, voice, version, request.action == Wish::Skip)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::plan::Action;
    use crate::state::Row;
    use crate::state::status::LastResult;
    use crate::world::scratch::Scratch;

    #[test]
    fn an_id_is_taken_once() {
        let scratch = Scratch::new();
        let layout = Layout::new(std::fs::canonicalize(scratch.path()).unwrap());
        let disk = RealDisk::new(Vec::new());
        let ids = ["logged", "answered", "told"].map(|word| format!("{word:0<26}"));
        ids.iter().for_each(|id| assert!(!was_used(&disk, &layout, id)));
        std::fs::create_dir_all(layout.logs()).unwrap();
        std::fs::write(layout.log(&ids[0]), "").unwrap();
        Answer { transaction: ids[1].clone(), action: Some(Wish::Check), at: Utc::now(), ok: true, error: None }.tell(&disk, &layout).unwrap();
        let result = LastResult {
            transaction: ids[2].clone(),
            action: Action::Apply,
            outcome: Outcome::Confirmed,
            from: None,
            to: None,
            at: Utc::now(),
            seconds: 0.0,
            offline_seconds: 0.0,
            code: 0,
            reason: None,
        };
        history::add(&disk, &layout, &Row { result, bytes_fetched: 0, bytes_written: 0 }).unwrap();
        ids.iter().for_each(|id| assert!(was_used(&disk, &layout, id), "{id}"));
        assert!(!was_used(&disk, &layout, &"0".repeat(26)));
    }
}
