//! The question before a change. It never hangs: without somebody to answer it refuses, and a signal is an answer too.

use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::voice::{Tone, Voice, clean};
use crate::error::{Code, Error, Result};
use crate::world::Clock;

/// Goes on when a person says yes, or has said so with `-y`.
///
/// # Errors
/// Usage when there is nobody to ask; cancelled when the answer is no.
pub fn consent(voice: &Voice, clock: &dyn Clock, question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !somebody(voice) {
        return Err(
            Error::new(Code::Usage, "there is nobody to ask, and this would change the device").hint("-y answers yes; --dry-run shows what would be done")
        );
    }
    let mut stderr = io::stderr().lock();
    loop {
        let _ = write!(stderr, "{} [Y/n] ", voice.paint_err(question, Tone::Strong)).and_then(|()| stderr.flush());
        match answer(clock)?.as_deref().map(|a| a.trim().to_lowercase()).as_deref() {
            Some("" | "y" | "yes") => return Ok(()),
            Some("n" | "no") => return Err(declined()),
            Some(_) => {
                let _ = writeln!(stderr, "please answer y or n");
            }
            None => {
                let _ = writeln!(stderr);
                return Err(declined());
            }
        }
    }
}

/// Whether there is somebody to ask.
pub fn somebody(voice: &Voice) -> bool {
    !voice.no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; an empty one is what stands in brackets.
///
/// # Errors
/// Cancelled: the terminal is gone, or a signal came.
pub fn line(voice: &Voice, clock: &dyn Clock, question: &str, usual: &str) -> Result<String> {
    let mut stderr = io::stderr().lock();
    let brackets = if usual.is_empty() { String::new() } else { format!(" [{}]", clean(usual)) };
    let _ = write!(stderr, "{}{brackets}: ", voice.paint_err(question, Tone::Strong)).and_then(|()| stderr.flush());
    match answer(clock)?.map(|line| line.trim().to_owned()) {
        Some(line) if line.is_empty() => Ok(usual.to_owned()),
        Some(line) => Ok(line),
        None => {
            let _ = writeln!(stderr);
            Err(declined())
        }
    }
}

fn declined() -> Error {
    Error::cancelled("cancelled: nothing was changed")
}

/// A line from the terminal; `None` at its end, or when a signal came. Signals no longer end the process by then, so the wait looks
/// up now and again.
fn answer(clock: &dyn Clock) -> Result<Option<String>> {
    let stdin = io::stdin();
    let pause = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    loop {
        if clock.stops() > 0 {
            return Ok(None);
        }
        let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut waiting, Some(&pause)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(e) => return Err(Error::unexpected("reading the answer").because(io::Error::from(e))),
        }
    }
    let mut line = String::new();
    match stdin.read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(e) => Err(Error::unexpected("reading the answer").because(e)),
    }
}
