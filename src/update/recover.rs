//! Recovery: run at boot, and at the start of every command that changes anything. What to do is decided by [`crate::journal::recovery`];
//! here it is done.

use super::begin::Tx;
use super::{Report, Trip, apply, returned, settle, switch};
use crate::device::Layout;
use crate::error::{Code, Doing, Error, Result};
use crate::event::Phase;
use crate::journal::{self, Recovery, Stage};
use crate::state::status::Progress;
use crate::world::{Disk, durable};

/// What recovery found and did.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovered {
    /// There was no interrupted transaction.
    Nothing,
    /// One was brought to its end.
    Ended(Box<Report>),
    /// The paths are settled on the new side; its trial waits for the services.
    Pending {
        /// The transaction.
        transaction: String,
    },
}

/// Settles whatever an interrupted run left. At boot no service is touched, and a pending trial is left to a later call.
///
/// # Errors
/// Exit 7: what was found is not in the table; nothing was touched. Otherwise what failed; calling it again goes on.
pub fn recover(trip: &mut Trip, boot: bool) -> Result<Recovered> {
    let recovered = settle_all(trip, boot)?;
    // with a trial that waits nothing is proven yet
    if !matches!(recovered, Recovered::Pending { .. }) {
        returned::settled(trip)?;
    }
    Ok(recovered)
}

/// What `recover` would do with what is there; changes nothing.
///
/// # Errors
/// Something cannot be read.
pub fn would(trip: &Trip) -> Result<Recovery> {
    Ok(look(trip)?.0)
}

fn look(trip: &Trip) -> Result<(Recovery, Option<Tx>)> {
    let (read, tx) = Tx::load(trip)?;
    let mut findings = match &tx {
        Some(tx) => tx.journal.units.iter().map(|u| switch::find(trip.world.disk, tx, u)).collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    let back = match (&tx, returned::put_back(trip, tx.as_ref())?) {
        (Some(tx), Some(sentinel)) => returned::decide(&sentinel, tx, &mut findings, trip.settings.layout.root()),
        _ => None,
    };
    Ok((back.unwrap_or_else(|| journal::recovery(&read, &findings)), tx))
}

fn settle_all(trip: &mut Trip, boot: bool) -> Result<Recovered> {
    let (decided, tx) = look(trip)?;
    let Some(mut tx) = tx else {
        return match decided {
            Recovery::Hold(why) => Err(held(trip, &why)),
            _ => nothing(trip),
        };
    };
    trip.log = Some(crate::state::log::Log::open(trip.world.disk, &trip.settings.layout, &tx.journal.transaction));
    if let Recovery::Hold(why) = decided {
        return Err(held(trip, &why));
    }
    trip.event(crate::event::Event::Warning { message: format!("transaction {} was interrupted; {}", tx.journal.transaction, words(&decided)) });
    let services = !boot;
    let pending = |tx: &Tx| Ok(Recovered::Pending { transaction: tx.journal.transaction.clone() });
    let ended = |report: Report| Ok(Recovered::Ended(Box::new(report)));
    match decided {
        Recovery::Nothing | Recovery::Hold(_) => nothing(trip),
        Recovery::Abandon => {
            let error = Error::new(Code::Unexpected, "interrupted before anything changed").hint("run it again: it goes on from what was fetched");
            ended(settle::abandon(trip, tx, &error)?)
        }
        Recovery::CompleteSwitch => {
            trip.phase(Phase::Switching, "completing the interrupted switch");
            match switch::forward(trip, &tx) {
                Ok(()) => {}
                Err(switch::NotSwitched::Refused(_, why)) => {
                    return ended(settle::roll_back(trip, tx, &format!("the switch cannot be completed: {why}"), false, services)?);
                }
                Err(switch::NotSwitched::Failed(e)) => {
                    return ended(settle::roll_back(trip, tx, &format!("the switch cannot be completed: {}", e.message()), false, services)?);
                }
            }
            tx.enter(trip, Stage::Trial { attempt: 0 })?;
            if boot { pending(&tx) } else { ended(apply::try_out(trip, tx, 1)?) }
        }
        Recovery::RunTrial { attempt } => {
            if boot {
                pending(&tx)
            } else {
                ended(apply::try_out(trip, tx, attempt)?)
            }
        }
        Recovery::ReturnToOld { reason, quarantine } => ended(settle::roll_back(trip, tx, &reason, quarantine, services)?),
        Recovery::FinishConfirming => ended(settle::confirm(trip, tx)?),
        Recovery::FinishRollingBack => {
            let (reason, quarantine) = match &tx.journal.stage {
                Stage::RollingBack { reason, quarantine, .. } => (reason.clone(), *quarantine),
                _ => ("interrupted".into(), false),
            };
            ended(settle::roll_back(trip, tx, &reason, quarantine, services)?)
        }
    }
}

fn words(decided: &Recovery) -> &'static str {
    match decided {
        Recovery::Nothing | Recovery::Hold(_) => "nothing to do",
        Recovery::Abandon => "nothing had changed: what was staged is dropped",
        Recovery::CompleteSwitch => "everything was ready: the switch is completed",
        Recovery::RunTrial { .. } => "the new version is live: its trial is run",
        Recovery::ReturnToOld { .. } => "returning to the old version",
        Recovery::FinishConfirming => "the new version was found healthy: finishing",
        Recovery::FinishRollingBack => "finishing the return to the old version",
    }
}

fn held(trip: &mut Trip, why: &str) -> Error {
    let layout = &trip.settings.layout;
    let hint = format!(
        "nothing was touched and nothing is lost. If the dashboard works as it is and you want to keep it so, move {} away and run `pikit-updater verify`; otherwise keep everything and ask for help with the output of `pikit-updater doctor`",
        layout.journal().display()
    );
    let error = Error::stuck(format!("an interrupted transaction cannot be settled: {why}")).hint(hint);
    // the error itself is what a person is shown; the log keeps it for later
    if let Some(log) = &trip.log {
        log.line(trip.world.disk, trip.world.clock.now(), &error.message());
    }
    error
}

/// No transaction: what is left beside the managed paths is stray.
fn nothing(trip: &mut Trip) -> Result<Recovered> {
    let disk = trip.world.disk;
    let layout = trip.settings.layout.clone();
    let mounts = disk.mounts().doing(|| "reading the list of mounts".into())?;
    for managed in &trip.settings.managed {
        strays(disk, managed.parent(), &format!(".{}.pikit-", managed.name()))?;
        if managed.is_folder() {
            strays(disk, &managed.to, ".pikit-")?;
            for mount in mounts.iter().filter(|m| m.starts_with(&managed.to)) {
                strays(disk, mount, ".pikit-")?;
            }
        }
    }
    strays(disk, &layout.backups(), ".pikit-")?;
    let dir = layout.transaction();
    durable::remove_whole(disk, &dir).doing(|| format!("removing {}", dir.display()))?;
    if trip.state.progress.take().is_some() {
        Progress::forget(disk, &layout);
    }
    Ok(Recovered::Nothing)
}

/// Removes what has our prefix and one of our ids; ids are 26 characters, so that nobody else's file looks like it.
fn strays(disk: &dyn Disk, dir: &std::path::Path, prefix: &str) -> Result<()> {
    let doing = || format!("looking for strays in {}", dir.display());
    if disk.meta(dir).doing(doing)?.is_none_or(|m| m.kind != crate::world::Kind::Dir) {
        return Ok(());
    }
    for name in disk.list(dir).doing(doing)? {
        let is_ours = name
            .to_str()
            .and_then(|n| n.strip_prefix(prefix))
            .is_some_and(|id| id.len() == 26 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
        if is_ours {
            let path = dir.join(&name);
            durable::remove_whole(disk, &path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a transaction is waiting for recovery, and which.
///
/// # Errors
/// The journal cannot be read.
pub fn waiting(disk: &dyn Disk, layout: &Layout) -> Result<Option<String>> {
    let path = layout.journal();
    let Some(bytes) = durable::read(disk, &path, 1 << 20).doing(|| format!("reading {}", path.display()))? else { return Ok(None) };
    Ok(Some(match crate::record::open_record::<journal::Journal>(&bytes, journal::SCHEMA) {
        Ok(journal) => journal.transaction,
        Err(e) => format!("(unreadable: {e})"),
    }))
}
