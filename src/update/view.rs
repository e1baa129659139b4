//! The board as whoever looks at it is shown: the state, and what only this moment can tell. The command line, the API and its events all
//! show this, so that they cannot tell two stories.

use chrono::{DateTime, Utc};
use semver::Version;
use serde::Serialize;

use super::{Trip, mirror, recover};
use crate::device::Settings;
use crate::error::Result;
use crate::event::Sink;
use crate::request::{self, Answer, Wish};
use crate::state::State;
use crate::world::{World, lock};

/// The state and the moment. Keys are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// The state, its progress only if somebody is really at work.
    #[serde(flatten)]
    pub state: State,
    /// The board's clock: ages are told against it.
    pub now: DateTime<Utc>,
    /// What is kept up to date.
    pub product: String,
    /// A transaction that was interrupted and that nobody works on.
    pub interrupted: Option<String>,
    /// What was asked for and is not begun yet.
    pub pending: Option<Pending>,
    /// A run that holds the lock.
    pub busy: Option<Busy>,
    /// How the last request ended.
    pub last_request: Option<Answer>,
    /// Where `rollback` leads.
    pub rollback_to: Option<Return>,
}

/// What was asked for and is not begun yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pending {
    /// The id its transaction will have.
    pub transaction: String,
    /// What.
    pub action: Wish,
}

/// A run that holds the lock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Busy {
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What it was called with.
    pub command: String,
}

/// Where `rollback` leads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Return {
    /// The backup.
    pub backup: String,
    /// Its version; none: what was there before any release.
    pub version: Option<Version>,
    /// When it was made.
    pub at: DateTime<Utc>,
}

/// Looks. Hand it a disk that cannot write.
///
/// # Errors
/// The state cannot be read.
pub fn view(world: World, settings: &Settings, sink: &mut dyn Sink) -> Result<View> {
    let layout = &settings.layout;
    let mut trip = Trip::looking(world, settings, sink)?;
    // what others may not read (backups, as a rule) stays as the state has it
    let remembered = trip.state.clone();
    if mirror::refresh(&mut trip).is_err() {
        trip.state = remembered;
    }
    let mut state = trip.state;
    let holder = lock::holder(&layout.lock(), &world.clock.boot_id());
    if holder.is_none() {
        // left by a run that was killed: nobody is at work
        state.progress = None;
    }
    let interrupted = match holder {
        Some(_) => None,
        None => recover::waiting(world.disk, layout).unwrap_or_else(|e| Some(e.message())),
    };
    let rollback_to = state.backups.first().map(|b| Return { backup: b.name.clone(), version: b.version.clone(), at: b.at });
    Ok(View {
        now: world.clock.now(),
        product: settings.product.clone(),
        interrupted,
        pending: request::waiting(world.disk, layout).map(|r| Pending { transaction: r.transaction, action: r.action }),
        busy: holder.map(|h| Busy { pid: h.pid, since: h.since, command: h.command }),
        last_request: Answer::load(world.disk, layout),
        rollback_to,
        state,
    })
}
