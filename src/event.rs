//! The one stream of events that feeds the progress bar, the log, NDJSON and, later, SSE: the same names everywhere.
//! State on disk is the truth; a stream is only a view of it.

use serde::{Deserialize, Serialize};

/// Where on the trip a transaction is. The order is the order of the trip; `RollingBack` leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Asking the source.
    Checking,
    /// Looking at the live tree and deciding.
    Planning,
    /// Fetching contents.
    Downloading,
    /// Hashing what is on the device.
    Verifying,
    /// Building the staged trees and the backup.
    Staging,
    /// The renames.
    Switching,
    /// Restarting and reloading services.
    Restarting,
    /// Waiting for the verdict of the health checks.
    Trial,
    /// Making it the installed one.
    Confirming,
    /// Returning to the old tree.
    RollingBack,
}

impl Phase {
    /// The phase in the contract's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Checking => "checking",
            Phase::Planning => "planning",
            Phase::Downloading => "downloading",
            Phase::Verifying => "verifying",
            Phase::Staging => "staging",
            Phase::Switching => "switching",
            Phase::Restarting => "restarting",
            Phase::Trial => "trial",
            Phase::Confirming => "confirming",
            Phase::RollingBack => "rolling-back",
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was to be done.
    UpToDate,
    /// The target is live and healthy.
    Confirmed,
    /// It was live, was found sick, and the old tree is back.
    RolledBack,
    /// It was not begun; the reason says why.
    Refused,
    /// It failed before anything changed, or a person is needed: the code tells which.
    Failed,
    /// A person or a signal stopped it before anything changed.
    Cancelled,
}

impl Outcome {
    /// The outcome in the contract's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::UpToDate => "up-to-date",
            Outcome::Confirmed => "confirmed",
            Outcome::RolledBack => "rolled-back",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// Something that happened on the trip.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A transaction has its id; its log is `log/<transaction>.log`.
    Begun {
        /// The id that stands in every log line, event and history row.
        transaction: String,
    },
    /// A new phase began.
    Phase {
        /// Which.
        phase: Phase,
        /// What is being done, in words.
        message: String,
    },
    /// Bytes moved on within the phase. Sent often; not written to the log.
    Progress {
        /// Which phase.
        phase: Phase,
        /// Bytes done.
        bytes_done: u64,
        /// Bytes in all, 0 when not known.
        bytes_total: u64,
    },
    /// Worth knowing, nothing to do.
    Note {
        /// What.
        message: String,
    },
    /// Worth a person's attention; the trip goes on.
    Warning {
        /// What.
        message: String,
    },
}

/// Takes events as they happen.
pub trait Sink {
    /// Called in order, from one thread.
    fn event(&mut self, event: &Event);

    /// A note.
    fn note(&mut self, message: impl Into<String>)
    where
        Self: Sized,
    {
        self.event(&Event::Note { message: message.into() });
    }
}

impl<F: FnMut(&Event)> Sink for F {
    fn event(&mut self, event: &Event) {
        self(event)
    }
}

/// A sink that forgets: for tests and for commands that show nothing on the way.
pub struct Silent;

impl Sink for Silent {
    fn event(&mut self, _: &Event) {}
}
