//! The board as whoever looks at it is shown: the state, and what only this moment can tell. The command line, the API and its events all
//! show this, so that they cannot tell two stories.

use chrono::{DateTime, Utc};
use semver::Version;
use serde::Serialize;

use super::belief::Belief;
use super::{Trip, mirror, recover};
use crate::device::Settings;
use crate::error::Result;
use crate::event::Sink;
use crate::release::keyset::KeySet;
use crate::release::{KeyId, PublicKey};
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
    /// Whose releases are installed.
    pub trust: Trusting,
}

/// Whose releases are installed, and what is remembered of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trusting {
    /// Whether what they did not sign is refused.
    pub required: bool,
    /// The keys that count.
    pub keys: Vec<KeyId>,
    /// How many of them must sign.
    pub threshold: usize,
    /// How often they have changed since this board was set up, and one.
    pub version: u64,
    /// Whether they came with a release, rather than from the folder.
    pub adopted: bool,
    /// The highest release that was verified: older ones are not taken for new.
    pub highest: Option<Version>,
    /// Whether the clock is set, so that it can be told what has expired.
    pub clock_set: bool,
    /// What keeps every release out, or what is wrong with the folder of keys.
    pub trouble: Option<String>,
}

impl Trusting {
    /// As it is now.
    pub fn of(world: World, settings: &Settings) -> Self {
        let belief = match Belief::load(world, settings) {
            Ok(belief) => belief,
            Err(e) => return Trusting { required: settings.trust.required, trouble: Some(e.message()), ..Trusting::default() },
        };
        let (keys, why) = match &belief.keys {
            Ok(set) => (Some(set), None),
            Err(why) => (None, Some(why.clone()).filter(|_| belief.required)),
        };
        Trusting {
            required: belief.required,
            keys: belief.trusted().iter().map(PublicKey::id).collect(),
            threshold: keys.map_or(settings.trust.threshold, KeySet::threshold),
            version: keys.map_or(0, KeySet::version),
            adopted: belief.adopted,
            highest: belief.ledger.learned.floor_for(&settings.channel, belief.trusted()).map(|f| f.version.clone()),
            clock_set: belief.time.is_set(),
            trouble: why.or_else(|| belief.troubles.first().cloned()),
        }
    }
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
    // before the state: an answer is written after it, so whoever sees the answer also sees what became of the request
    let last_request = Answer::load(world.disk, layout);
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
        last_request,
        rollback_to,
        trust: Trusting::of(world, settings),
        state,
    })
}
