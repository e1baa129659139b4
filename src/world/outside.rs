//! The door to the rest of the board: programs that are run, and the probes that ask whether it is well.

use std::io;
use std::time::Duration;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; `None`: killed by a signal or by the time limit.
    pub status: Option<i32>,
    /// The last part of what it said on stdout, at most 4 KiB.
    pub stdout: String,
    /// Its last line on stderr that is not empty, at most 500 characters.
    pub last_error: String,
}

/// The verbs.
pub trait Outside {
    /// Runs a program to its end; past the time limit it and its children are killed.
    ///
    /// # Errors
    /// It cannot be started.
    fn run(&self, argv: &[String], limit: Duration) -> io::Result<Ran>;
    /// Gets a URL without following redirects: status and at most 64 KiB of the body.
    ///
    /// # Errors
    /// What a person needs to know: refused, timed out, ….
    fn http(&self, url: &str, limit: Duration) -> Result<(u16, String), String>;
    /// Whether something accepts connections there.
    ///
    /// # Errors
    /// What a person needs to know.
    fn tcp(&self, addr: &str, limit: Duration) -> Result<(), String>;
}
