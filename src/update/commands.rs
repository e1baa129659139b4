//! The release's own commands, run as root after the switch and before the restarts. Only of a signed release, and only where the owner
//! allows it: both were decided with the plan.
//!
//! What such a command does to data nobody can undo, so none is run twice: the journal says that one begins before it does, and one that
//! was interrupted leads back to the old tree.

use std::io::Read as _;

use super::Trip;
use super::begin::Tx;
use super::survey::join;
use crate::device::managed;
use crate::error::Error;
use crate::event::Phase;
use crate::plan::Command;
use crate::quantity::seconds;
use crate::release::Digest;

/// Largest program that is run, bytes: it is held in memory while it runs.
pub const SIZE_MAX: u64 = 32 << 20;

/// Why the release is to be taken back.
pub struct Failed {
    /// In words.
    pub why: String,
    /// Whether it is the release's own fault.
    pub its_fault: bool,
}

impl From<Error> for Failed {
    /// A record that could not be written says nothing about the release.
    fn from(e: Error) -> Self {
        Failed { why: e.message(), its_fault: false }
    }
}

fn not_its_fault(why: String) -> Failed {
    Failed { why, its_fault: false }
}

/// Runs what is still to be run.
///
/// # Errors
/// See [`Failed`].
pub fn run(trip: &mut Trip, tx: &mut Tx) -> Result<(), Failed> {
    while let Some(command) = tx.plan.commands.get(tx.journal.commands.done).cloned() {
        trip.phase(Phase::Restarting, format!("running {command}"));
        // recovery comes here too: what the owner allowed when it began may not be allowed any more
        if !(trip.settings.trust.required && trip.settings.services.allow_commands) {
            return Err(not_its_fault(format!("{command} is not run: services.allow_commands does not allow it any more")));
        }
        let content = verified(trip, &command).map_err(not_its_fault)?;
        tx.journal.commands.running = true;
        tx.save(trip)?;
        one(trip, tx, &command, &content)?;
        (tx.journal.commands.running, tx.journal.commands.done) = (false, tx.journal.commands.done + 1);
        tx.save(trip)?;
    }
    Ok(())
}

/// The content that the manifest says, out of the live tree: what is in memory now is what will run.
fn verified(trip: &Trip, command: &Command) -> Result<Vec<u8>, String> {
    let (unit, inside) = managed::place(&trip.settings.managed, &command.path).ok_or_else(|| format!("no managed path holds {}", command.path))?;
    let path = join(&trip.settings.managed[unit].to, inside);
    let mut content = Vec::new();
    let read = trip.world.disk.open(&path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut content));
    read.map_err(|e| format!("reading {}, which is to be run: {e}", path.display()))?;
    if content.len() as u64 > SIZE_MAX {
        return Err(format!("{} is larger than {SIZE_MAX} bytes, and is not run", path.display()));
    }
    if Digest::of(&content) != command.sha256 {
        return Err(format!("{} is not what the manifest says, and is not run", path.display()));
    }
    Ok(content)
}

fn one(trip: &mut Trip, tx: &Tx, command: &Command, content: &[u8]) -> Result<(), Failed> {
    let version = |v: &Option<semver::Version>| v.as_ref().map(ToString::to_string).unwrap_or_default();
    let vars = [("PIKIT_FROM", version(&tx.plan.from)), ("PIKIT_TO", version(&tx.plan.to)), ("PIKIT_ROOT", trip.settings.layout.root().display().to_string())];
    let ran = trip.world.outside.run_content(content, command.path.as_str(), &command.args, &vars, command.timeout);
    match ran {
        Ok(ran) if ran.status == Some(0) => {
            trip.note(format!("{command}: done"));
            Ok(())
        }
        Ok(ran) => {
            let how = match ran.status {
                Some(code) => format!("exit {code}"),
                None => format!("not done within {}", seconds(command.timeout.as_secs_f64())),
            };
            let said = if ran.last_error.is_empty() { String::new() } else { format!(": {}", ran.last_error) };
            Err(Failed { why: format!("{command} failed: {how}{said}"), its_fault: true })
        }
        // no memory, or a kernel that forbids it
        Err(e) => Err(not_its_fault(format!("{command} cannot be run: {e}"))),
    }
}
