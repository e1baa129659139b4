//! One error type. It says what was being done and to what, keeps the cause, and carries apart from that a hint: what to do next.
//! Variants are sorted by what the reader can do about them, and each has its documented exit code.

use std::fmt;

use crate::event::Phase;

/// Why a command did not do what it was asked to. The discriminant is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Nothing we foresaw.
    Unexpected = 1,
    /// Wrong arguments, or a config that does not parse.
    Usage = 2,
    /// The network or the source of releases.
    Source = 3,
    /// A hash, format, downgrade, expiry or quarantine check failed; `verify` found drift.
    Verification = 4,
    /// Refused before any change: disk space, a requirement, a unit that is not allowed.
    Refused = 5,
    /// Failed and rolled back: the system is as before.
    RolledBack = 6,
    /// Failed and could not roll back: a person is needed, the message says what to do.
    Stuck = 7,
    /// Another run holds the lock.
    Busy = 8,
    /// Not permitted: run as root, or the card has gone read-only.
    Permission = 9,
    /// Cancelled by a person or a signal before anything changed.
    Cancelled = 10,
}

/// An error with its exit code, its hint and its cause.
#[derive(Debug)]
pub struct Error {
    /// What the reader can do about it.
    pub code: Code,
    /// Where on the trip it happened, when it happened on the trip.
    pub phase: Option<Phase>,
    /// The next step, in words.
    pub hint: Option<String>,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this code; the message is lower case, without a full stop.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, phase: None, hint: None, message: message.into(), cause: None }
    }
    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// Adds the cause, shown after a colon.
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
    /// Adds the phase, unless one is known already: the innermost knows best.
    pub fn during(mut self, phase: Phase) -> Self {
        self.phase.get_or_insert(phase);
        self
    }
    /// The message and its causes on one line, without the hint.
    pub fn message(&self) -> String {
        let mut line = self.message.clone();
        let mut next = self.cause.as_deref().map(|c| c as &dyn std::error::Error);
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
    /// The same once more, its causes in its message.
    pub fn again(&self) -> Error {
        Error { code: self.code, phase: self.phase, hint: self.hint.clone(), message: self.message(), cause: None }
    }
    /// The same in other words, its causes in them.
    pub fn in_words(self, other: impl FnOnce(String) -> String) -> Error {
        Error { message: other(self.message()), cause: None, ..self }
    }
    /// The operating system's error below this one, if that is what it was.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        self.cause.as_ref()?.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Error {}

/// A person or a signal stopped the run before the switch: the same words wherever it was noticed.
pub fn stopped() -> Error {
    Error::cancelled("stopped before anything changed").hint("what was fetched is kept: run it again to go on from there")
}

/// The error of this type that an `io::Error` carries, however deeply readers around readers have wrapped it.
pub fn find_inside<T: std::error::Error + 'static>(error: &std::io::Error) -> Option<&T> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(inner) = next {
        if let Some(found) = inner.downcast_ref::<T>() {
            return Some(found);
        }
        // an io::Error's source() skips what it holds itself
        next = match inner.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|e| e as _),
            None => inner.source(),
        };
    }
    None
}

/// Gives an `io::Result` the sentence it lacks: what was being done, to what.
pub trait Doing<T> {
    /// `"reading /etc/pikit/updater.toml"`; the code follows from the kind of the error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| {
            use std::io::ErrorKind as K;
            let (code, hint) = match e.kind() {
                _ if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                    (Code::Refused, Some("somebody put a symbolic link where none may be; `namei -l` on that path shows who can write there"))
                }
                K::StorageFull | K::QuotaExceeded => (Code::Refused, Some("free some space on that file system and run it again: nothing was lost")),
                K::PermissionDenied => (Code::Permission, Some("run it as root (sudo)")),
                K::ReadOnlyFilesystem => {
                    (Code::Permission, Some("the file system is read-only; a card that fails goes read-only by itself: see `dmesg | tail`"))
                }
                _ => (Code::Unexpected, None),
            };
            let error = Error::new(code, what()).because(e);
            match hint {
                Some(h) => error.hint(h),
                None => error,
            }
        })
    }
}

/// Shorthand for the codes that are made in many places.
macro_rules! shorthand {
    ($($name:ident $code:ident $doc:literal),* $(,)?) => { impl Error { $(
        #[doc = $doc]
        pub fn $name(message: impl Into<String>) -> Self { Error::new(Code::$code, message) }
    )* } };
}
shorthand! {
    unexpected Unexpected "Exit 1.",
    usage Usage "Exit 2.",
    source_failed Source "Exit 3.",
    verification Verification "Exit 4.",
    refused Refused "Exit 5.",
    stuck Stuck "Exit 7.",
    cancelled Cancelled "Exit 10.",
}
