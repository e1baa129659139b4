//! The updater's own records: who holds the lock, what waits for recovery, and whether state, history, trust and manifest can be read.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Board, Finding};
use crate::error::Error;
use crate::quantity::count;
use crate::release::manifest::{self, Manifest};
use crate::state::{Ledger, State, history};
use crate::update::view::Trusting;
use crate::update::{backup, recover};
use crate::world::{Clock, World, durable, lock};

/// All of it.
pub fn look(board: &Board) -> Vec<Finding> {
    vec![the_lock(board), state(board), installed(board), trust(board), backups(board)]
}

fn unreadable(name: &'static str, e: &Error) -> Finding {
    Finding::fail(name, e.message(), e.hint.clone().unwrap_or_else(|| "run it as root; if it is damaged, ask for help and keep the file".into()))
}

fn the_lock(board: &Board) -> Finding {
    let layout = &board.settings.layout;
    let holder = lock::holder(&layout.lock(), &board.clock.boot_id());
    match (recover::waiting(&board.disk, layout), holder) {
        (_, Some(holder)) => Finding::warn(
            "lock",
            format!("held by pid {}: {}", holder.pid, holder.command),
            "wait until it is done; `pikit-updater status` shows how far it is",
        ),
        (Ok(None), None) => Finding::ok("lock", "free, and nothing was interrupted"),
        (Ok(Some(transaction)), None) => {
            Finding::warn("lock", format!("free, but transaction {transaction} was interrupted"), "`pikit-updater recover` settles it")
        }
        (Err(e), None) => unreadable("journal", &e),
    }
}

fn state(board: &Board) -> Finding {
    let (disk, layout) = (&board.disk, &board.settings.layout);
    match (State::load(disk, layout), history::load(disk, layout)) {
        (Err(e), _) | (_, Err(e)) => unreadable("state", &e),
        (Ok(loaded), Ok(rows)) => match loaded.trouble {
            Some(trouble) if loaded.newer => {
                Finding::fail("state", trouble, "use the newer updater that wrote it: this one changes nothing here; docs/install.md tells how to install one")
            }
            Some(trouble) => Finding::warn("state", trouble, "the next command that changes something sets it aside and begins a new one"),
            None => Finding::ok("state", format!("readable, with {} in the history", count(rows.len(), "transaction"))),
        },
    }
}

fn installed(board: &Board) -> Finding {
    let path = board.settings.layout.installed();
    match durable::read(&board.disk, &path, manifest::SIZE_MAX) {
        Err(e) => Finding::fail("installed", format!("{}: {e}", path.display()), "run it as root"),
        Ok(None) => Finding::ok("installed", "no release yet: the first update records what is there, so that a rollback returns to it"),
        Ok(Some(bytes)) => match Manifest::parse(&bytes) {
            Ok(manifest) => Finding::ok("installed", format!("{} with {}", manifest.version, count(manifest.files.len(), "file"))),
            Err(e) => Finding::fail("installed", format!("{}: {e}", path.display()), format!("`rollback` does not need it; or move {} away", path.display())),
        },
    }
}

fn trust(board: &Board) -> Finding {
    let settings = &board.settings;
    match Ledger::load(&board.disk, &settings.layout) {
        Err(e) => return unreadable("trust", &e),
        Ok(memory) if !memory.quarantine.is_empty() => {
            let names: Vec<String> = memory.quarantine.iter().map(|q| q.version.to_string()).collect();
            return Finding::warn(
                "trust",
                format!("failed here and not tried again: {}", names.join(", ")),
                "a newer release is tried; `apply --force` tries one of these",
            );
        }
        Ok(_) => {}
    }
    let trusting = Trusting::of(World { disk: &board.disk, ..board.world() }, settings);
    if !settings.trust.required {
        return Finding::warn(
            "trust",
            "signatures are not required: whoever can write at the source can install anything here",
            "set trust.required = true when your releases are signed",
        );
    }
    let ids: Vec<String> = trusting.keys.iter().map(ToString::to_string).collect();
    match trusting.trouble {
        Some(trouble) if ids.is_empty() => Finding::fail("trust", format!("every release is refused: {trouble}"), "copy the maintainer's .pub file there"),
        Some(trouble) => Finding::warn("trust", trouble, "a public key is the file that `pikit-updater keygen` or `minisign -G` calls .pub"),
        None if !ids.is_empty() && open_to_others(&settings.trust.keys) => Finding::fail(
            "trust",
            format!("others than root may write in {}, and so decide whose releases are installed", settings.trust.keys.display()),
            format!("sudo chown -R root: {0} && sudo chmod -R go-w {0}", settings.trust.keys.display()),
        ),
        None => {
            let origin = if trusting.adopted { format!("adopted from a release, version {}", trusting.version) } else { "from the folder".to_owned() };
            let floor = trusting.highest.map(|v| format!("; nothing below {v} is taken for new")).unwrap_or_default();
            Finding::ok("trust", format!("{} of {} must sign ({origin}){floor}", trusting.threshold, ids.join(", ")))
        }
    }
}

/// Whether somebody else than root can put a key there. Of a sandbox that belongs to a user nothing is said.
fn open_to_others(keys: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::metadata(keys).is_ok_and(|m| m.mode() & 0o022 != 0 || (m.uid() != 0 && m.uid() != own))
}

fn backups(board: &Board) -> Finding {
    match backup::list(&board.disk, &board.settings.layout) {
        Err(e) => unreadable("backup", &e),
        Ok(all) if all.is_empty() => Finding::ok("backup", "none yet: the first update that replaces something makes one"),
        Ok(all) => match all[0].target(&board.disk) {
            Ok(_) => Finding::ok("backup", format!("{}, the newest is {}", count(all.len(), "backup"), all[0].name)),
            Err(e) => Finding::warn("backup", e.message(), e.hint.clone().unwrap_or_else(|| "the next update makes a new one".into())),
        },
    }
}
