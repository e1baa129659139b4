//! A passphrase from a person: asked for on the terminal itself, whatever stdin is, and typed without being seen.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::secret::Secret;
use crate::error::{Doing, Error, Result};
use crate::world::Clock;
use crate::world::clock::RealClock;

/// Longest passphrase, bytes: what minisign takes.
const LENGTH_MAX: usize = 1024;
/// What to do where nobody can be asked.
pub const HINT: &str = "give --passphrase FILE, env:NAME or fd:N, or set PIKIT_PASSPHRASE";

/// A terminal that asks for passphrases.
pub struct Terminal {
    tty: File,
    clock: RealClock,
}

/// Gives the terminal its echo back, also when something failed on the way.
struct Silent<'t> {
    tty: &'t File,
    before: Termios,
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}

impl Terminal {
    /// The terminal of this process, if it has one. From here on Ctrl-C is an answer, and no longer ends the process without the terminal's
    /// echo.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Self> {
        let tty = File::options().read(true).write(true).open("/dev/tty");
        let tty = tty.map_err(|e| Error::usage("a passphrase is needed, and there is no terminal to ask on").because(e).hint(HINT))?;
        Ok(Terminal { tty, clock: RealClock::with_signals().doing(|| "listening for signals".into())? })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Cancelled; the terminal went away.
    pub fn ask(&mut self, question: &str) -> Result<Secret> {
        let asking = || "asking for the passphrase".to_owned();
        let before = tcgetattr(&self.tty).map_err(io::Error::from).doing(asking)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // the end of the line is seen, so that the next question stands on its own
        quiet.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        let silent = Silent { tty: &self.tty, before };
        tcsetattr(&self.tty, OptionalActions::Flush, &quiet).map_err(io::Error::from).doing(asking)?;
        (&self.tty).write_all(question.as_bytes()).and_then(|()| (&self.tty).flush()).doing(asking)?;
        let line = self.line();
        drop(silent);
        if line.as_ref().is_err() {
            let _ = (&self.tty).write_all(b"\n");
        }
        line.map(Secret::new)
    }

    /// Asks twice, for a new passphrase.
    ///
    /// # Errors
    /// They differ, or there is none.
    pub fn ask_twice(&mut self, question: &str) -> Result<Secret> {
        let first = self.ask(&format!("{question}: "))?;
        if first.reveal().is_empty() {
            return Err(Error::usage("an empty passphrase protects nothing").hint("--no-passphrase says that the key shall have none"));
        }
        let second = self.ask(&format!("{question}, again: "))?;
        if first.reveal() != second.reveal() {
            return Err(Error::usage("the passphrases differ: nothing was written"));
        }
        Ok(first)
    }

    /// A line of the terminal. The wait looks up now and again: signals no longer end the process.
    fn line(&self) -> Result<String> {
        let reading = || "reading the passphrase".to_owned();
        let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut line = Vec::new();
        loop {
            if self.clock.stops() > 0 {
                return Err(Error::cancelled("cancelled: nothing was written"));
            }
            let mut waiting = [PollFd::new(&self.tty, PollFlags::IN)];
            match poll(&mut waiting, Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(e) => return Err(io::Error::from(e)).doing(reading),
            }
            let mut piece = [0; 256];
            let n = match (&self.tty).read(&mut piece) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.doing(reading)?,
            };
            line.extend_from_slice(&piece[..n]);
            if n == 0 && line.is_empty() {
                return Err(Error::cancelled("cancelled: nothing was written"));
            }
            if line.len() > LENGTH_MAX {
                return Err(Error::usage(format!("the passphrase is longer than {LENGTH_MAX} bytes")));
            }
            if n == 0 || line.last() == Some(&b'\n') {
                let text = String::from_utf8(line).map_err(|_| Error::usage("the passphrase is not UTF-8"))?;
                return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
            }
        }
    }
}
