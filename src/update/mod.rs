//! The trip: check, decide, begin, fetch, stage, seal, switch, trial, then confirm or return. Start with [`apply`], which tells it
//! from top to bottom; each step stands in a file of its own, in this order.
//!
//! What is promised: whatever is killed in between, once [`recover`] has run all managed paths are together at the old tree or
//! together at the new one. What is not: a `rollback` cannot undo what services did to data outside the managed paths.

/// Looking at the device.
pub mod survey;
/// A transaction: plan and journal on disk.
pub mod begin;
/// What the staged trees link in.
pub mod clone;
/// Contents that are on the device already.
pub mod at_hand;
/// Backups.
pub mod backup;
/// What the state shows of other files.
pub mod mirror;
/// What was fetched and is not used yet.
pub mod pieces;
/// A bundle that came through the page.
pub mod upload;
/// What a patch starts from.
pub mod patching;
/// Taking contents in.
pub mod intake;
/// Contents that come from the source.
pub mod fetch;
/// Whom this board believes.
pub mod belief;
/// Where a trip goes.
pub mod aim;
/// What is about to be done.
pub mod proposal;
/// Whether a release is believed, and for this device.
pub mod judge;
/// Asking the source.
pub mod check;
mod chunking;
/// Whether it can run here.
pub mod fitness;
/// The updater among what is updated.
pub mod itself;
/// Building and sealing what the switch needs.
pub mod stage;
/// What was saved meanwhile.
pub mod carry;
/// The renames.
pub mod switch;
/// The release's own commands.
pub mod commands;
/// Restarts and health checks.
pub mod trial;
/// Confirmed, returned, abandoned.
pub mod settle;
/// The whole trip.
pub mod apply;
/// What became of the updater's own update.
pub mod returned;
/// What happens after a crash.
pub mod recover;
/// Comparing with what is installed, and repair.
pub mod verify;
/// What whoever looks is shown.
pub mod view;
#[cfg(test)]
mod adverse;
#[cfg(test)]
mod decay;
#[cfg(test)]
mod powercut;
#[cfg(test)]
mod replaced;
#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod saves;
#[cfg(test)]
mod story;

use std::time::Duration;

use semver::Version;
use serde::Serialize;

use crate::device::Settings;
use crate::error::Result;
use crate::event::{Event, Outcome, Phase, Sink};
use crate::plan::{Action, Counts};
use crate::state::State;
use crate::state::log::Log;
use crate::state::status::Progress;
use crate::world::World;
use crate::world::lock::Locked;

/// How often outsiders are told how far a download is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What every step of the trip is handed.
pub struct Trip<'a> {
    /// The doors.
    pub world: World<'a>,
    /// The owner's decisions.
    pub settings: &'a Settings,
    /// Proof that no other run changes anything; none on a trip that only looks.
    pub locked: Option<&'a Locked>,
    /// Who wants to know.
    pub sink: &'a mut dyn Sink,
    /// The state as it will be written next.
    pub state: State,
    /// The log of the running transaction.
    pub log: Option<Log>,
    /// When outsiders were last told how far it is.
    pub told: Duration,
    /// The id of the transaction, should one begin.
    pub id: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Id of the transaction, if one was begun.
    pub transaction: Option<String>,
    /// What it was for.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Version before.
    pub from: Option<Version>,
    /// Version it went for.
    pub to: Option<Version>,
    /// Exit code.
    pub code: u8,
    /// Why it ended so, if it did not end well.
    pub reason: Option<String>,
    /// What to do next, if something is to be done.
    pub hint: Option<String>,
    /// What it did, file by file, in numbers.
    pub counts: Counts,
    /// Bytes of contents fetched from the source.
    pub bytes_fetched: u64,
    /// Bytes of the bundle that did not have to be fetched.
    pub bytes_spared: u64,
    /// Requests to the source, those of the check included.
    pub requests: u64,
    /// Bytes written under managed paths.
    pub bytes_written: u64,
    /// How long it took.
    pub seconds: f64,
    /// The switch itself: the renames, until they were on the disk. 0 if another run made them.
    pub switch_seconds: f64,
    /// From the first rename to the verdict that services are back.
    pub offline_seconds: f64,
    /// Worth knowing: edited files that stayed, units that do not exist, ….
    pub notes: Vec<String>,
}

impl Report {
    /// Nothing was to be done.
    pub fn up_to_date(action: Action, version: Option<Version>) -> Self {
        Report {
            transaction: None,
            action,
            outcome: Outcome::UpToDate,
            from: version.clone(),
            to: version,
            code: 0,
            reason: None,
            hint: None,
            counts: Counts::default(),
            bytes_fetched: 0,
            bytes_spared: 0,
            requests: 0,
            bytes_written: 0,
            seconds: 0.0,
            switch_seconds: 0.0,
            offline_seconds: 0.0,
            notes: Vec::new(),
        }
    }
}

impl<'a> Trip<'a> {
    /// Begins a command that may change things. A state that is damaged is set aside and said so.
    ///
    /// # Errors
    /// The state's folder cannot be read or written; a newer updater wrote the state: exit 7.
    pub fn new(world: World<'a>, settings: &'a Settings, locked: &'a Locked, sink: &'a mut dyn Sink) -> Result<Self> {
        let loaded = State::load(world.disk, &settings.layout)?;
        if let (true, Some(trouble)) = (loaded.newer, &loaded.trouble) {
            return Err(crate::record::held(trouble));
        }
        let mut trip = Trip { world, settings, locked: Some(locked), sink, state: loaded.state, log: None, told: Duration::ZERO, id: world.clock.new_id() };
        if let Some(trouble) = loaded.trouble {
            let aside = settings.layout.state().with_extension(format!("json.aside-{}", world.clock.now().format("%Y%m%dT%H%M%SZ")));
            crate::error::Doing::doing(world.disk.rename(&settings.layout.state(), &aside, false), || {
                format!("setting {} aside", settings.layout.state().display())
            })?;
            trip.warn(format!("{trouble}; it was set aside as {} and a new one begun", aside.display()));
        }
        trip.follow_settings();
        Ok(trip)
    }
    /// Begins a command that only looks: it needs no lock, and nothing can be begun with it. Hand it a disk that cannot write.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn looking(world: World<'a>, settings: &'a Settings, sink: &'a mut dyn Sink) -> Result<Self> {
        let loaded = State::load(world.disk, &settings.layout)?;
        let mut trip = Trip { world, settings, locked: None, sink, state: loaded.state, log: None, told: Duration::ZERO, id: world.clock.new_id() };
        if let Some(trouble) = loaded.trouble {
            trip.warn(trouble);
        }
        trip.follow_settings();
        Ok(trip)
    }
    /// What the state says of the config is what the config says now.
    fn follow_settings(&mut self) {
        self.state.signed = self.settings.trust.required;
        let schedule = &self.settings.schedule;
        if (&self.state.auto.mode, &self.state.auto.at) != (&schedule.action, &schedule.at) {
            self.state.auto = crate::state::status::Auto { mode: schedule.action.clone(), at: schedule.at.clone(), next: None, timer: false };
        }
        self.state.updater.version = env!("CARGO_PKG_VERSION").into();
    }
    /// Tells everybody.
    pub fn event(&mut self, event: Event) {
        self.sink.event(&event);
        if let Some(log) = &self.log {
            log.event(self.world.disk, self.world.clock.now(), &event);
        }
    }
    /// A new phase: told, and written into the state of a running transaction.
    pub fn phase(&mut self, phase: Phase, message: impl Into<String>) {
        let message = message.into();
        self.event(Event::Phase { phase, message: message.clone() });
        if let Some(progress) = &mut self.state.progress {
            progress.phase = phase;
            progress.message = message;
            progress.percent = percent(phase);
            (progress.bytes_done, progress.bytes_total) = (0, 0);
        }
        self.tell();
    }
    /// Lets outsiders see that something is being done, from the first question on and not only once a transaction has begun. Everything
    /// that was interrupted must be settled before. What may or may not lead to an update is a `check` until that update has begun.
    pub fn announce(&mut self, action: Option<&str>) {
        let (transaction, started) = (self.id.clone(), self.world.clock.now());
        let (action, message) = (action.map(str::to_owned), "beginning".to_owned());
        self.state.progress = Some(Progress { transaction, action, phase: Phase::Checking, percent: 0, bytes_done: 0, bytes_total: 0, message, started });
        self.tell();
    }
    /// Nothing is being done any more, however it ended.
    pub fn leave(&mut self) {
        if self.state.progress.take().is_some() && self.locked.is_some() {
            Progress::forget(self.world.disk, &self.settings.layout);
        }
    }
    /// Writes down how far the running transaction is, for whoever looks from outside.
    fn tell(&mut self) {
        if let (Some(progress), Some(_)) = (&self.state.progress, self.locked) {
            progress.tell(self.world.disk, &self.settings.layout);
        }
        self.told = self.world.clock.monotonic();
    }
    /// Bytes moved on. Told to the sink each time, and to outsiders now and then.
    pub fn moved(&mut self, phase: Phase, bytes_done: u64, bytes_total: u64) {
        self.event(Event::Progress { phase, bytes_done, bytes_total });
        if let Some(progress) = &mut self.state.progress {
            (progress.bytes_done, progress.bytes_total) = (bytes_done, bytes_total);
            let (from, to) = (percent(Phase::Downloading), percent(Phase::Verifying));
            progress.percent = from + (u64::from(to - from) * bytes_done.min(bytes_total) / bytes_total.max(1)) as u8;
            if self.world.clock.monotonic().saturating_sub(self.told) >= TELL_EVERY {
                self.tell();
            }
        }
    }
    /// Worth knowing.
    pub fn note(&mut self, message: impl Into<String>) {
        self.event(Event::Note { message: message.into() });
    }
    /// Worth a person's attention.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.event(Event::Warning { message: message.into() });
    }
    /// Ends the trip if a person or a signal wants that. Only asked before the switch.
    ///
    /// # Errors
    /// Cancelled.
    pub fn go_on(&self) -> Result<()> {
        if self.world.clock.stops() == 0 {
            return Ok(());
        }
        Err(crate::error::stopped())
    }
}

/// How far the whole trip is when a phase begins, in per cent: the download is most of what a person waits for.
fn percent(phase: Phase) -> u8 {
    match phase {
        Phase::Checking => 0,
        Phase::Planning => 2,
        Phase::Downloading => 5,
        Phase::Verifying => 70,
        Phase::Staging => 75,
        Phase::Switching => 80,
        Phase::Restarting => 82,
        Phase::Trial => 85,
        Phase::Confirming => 97,
        Phase::RollingBack => 90,
    }
}
