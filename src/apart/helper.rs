//! The root side's end: starts the process without privileges, hands over orders, reads answers. It waits with an end, hears a wish to
//! stop within a tenth of a second, and leaves no process behind.

use std::io::{self, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::frame::{self, Lie, NoFrame};
use super::words::{self, Kind};
use crate::error::{Code, Error, Result, find_inside};
use crate::source::Tally;
use crate::world::Clock;
use crate::world::user::User;

/// This very program, also when its file was replaced meanwhile: an update of the updater exchanges what lies at its path, and the helper must
/// speak as we do. The kernel keeps what it started for as long as we run, whatever its name leads to.
const PROGRAM: &str = "/proc/self/exe";
/// How soon a wish to stop is heard.
const HEAR: Duration = Duration::from_millis(100);
/// How long an order may wait to be taken. The other side always listens; this is for one that was taken over.
const TAKE: Duration = Duration::from_secs(30);
/// How long it may say nothing at all. It gives up on a server long before, with words.
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// How long it may take to end once it has said its last word.
const LEAVE: Duration = Duration::from_secs(2);
/// What of our environment it gets: the way to the network.
const ENVIRONMENT: [&str; 6] = ["PATH", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The process, and the line to it.
pub struct Helper<'a> {
    child: Child,
    line: UnixStream,
    ear: BufReader<Ear<'a>>,
    /// The last answer.
    pub payload: Vec<u8>,
    /// What it has asked of a server so far.
    pub tally: Tally,
}

impl<'a> Helper<'a> {
    /// Starts one. `stdin` is an archive for it, or nothing.
    ///
    /// # Errors
    /// It cannot be started, or not without privileges.
    pub fn start(stdin: Stdio, clock: &'a dyn Clock) -> Result<Self> {
        let line = || -> io::Result<_> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_read_timeout(Some(HEAR))?;
            ours.set_write_timeout(Some(TAKE))?;
            Ok((ours.try_clone()?, ours, OwnedFd::from(theirs)))
        };
        let (ear, line, theirs) = line().map_err(|e| Error::unexpected("making a line to the process without privileges").because(e))?;
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(PROGRAM);
        command.arg0("pikit-updater").arg("fetcher").stdin(stdin).stdout(theirs).stderr(Stdio::null());
        command.env_clear().envs(environment()).current_dir("/");
        // a Ctrl-C at our terminal is for us: we tell it to end
        command.process_group(0);
        if root {
            command.arg("--dropped");
            User::find().of(&mut command);
        }
        let child = command.spawn().map_err(|e| not_started(e, root))?;
        // its end of the line is in the command still, and would keep the line open
        drop(command);
        let ear = Ear { line: ear, clock, heard: clock.monotonic() };
        Ok(Helper { child, line, ear: BufReader::with_capacity(64 << 10, ear), payload: Vec::new(), tally: Tally::default() })
    }

    /// Gives an order.
    ///
    /// # Errors
    /// It is not taken.
    pub fn order(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        // from now on it may be silent again
        let ear = self.ear.get_mut();
        ear.heard = ear.clock.monotonic();
        match frame::write(&mut self.line, kind as u8, payload) {
            Ok(()) => Ok(()),
            // it may have said why before it went
            Err(_) => self.answer(&[]).map(drop),
        }
    }

    /// Waits for an answer of one of these kinds. It is in `payload` then.
    ///
    /// # Errors
    /// What the other side says is wrong; that it died, is silent or lies; a wish to stop.
    pub fn answer(&mut self, may: &[Kind]) -> Result<Kind> {
        if self.ear.get_ref().clock.stops() > 0 {
            return Err(crate::error::stopped());
        }
        let known = |number| Kind::of(number).filter(|k| matches!(k, Kind::Failed | Kind::Tallied) || may.contains(k));
        let read = loop {
            match frame::read(&mut self.ear, &mut self.payload, |number| known(number).map(Kind::most)) {
                Ok(number) if number == Kind::Tallied as u8 => self.tally = words::tally(&self.payload).map_err(lied)?,
                read => break read,
            }
        };
        match read {
            Ok(number) => match known(number) {
                Some(Kind::Failed) => Err(words::error(&self.payload).unwrap_or_else(lied)),
                Some(kind) => Ok(kind),
                None => Err(lied(Lie("something came that was not its turn"))),
            },
            Err(NoFrame::Gone) => Err(self.gone()),
            Err(NoFrame::Lie(lie)) => Err(lied(lie)),
            Err(NoFrame::Read(e)) => Err(match find_inside::<Error>(&e) {
                Some(_) => crate::source::read_error(e, String::new),
                None => Error::unexpected("listening to the process without privileges").because(e),
            }),
        }
    }

    /// The payload of an answer that may be long: its memory is not used again.
    pub fn taken(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.payload)
    }

    /// Why it is not there any more.
    fn gone(&mut self) -> Error {
        if self.ear.get_ref().clock.stops() > 0 {
            return crate::error::stopped();
        }
        let how = match ended(&mut self.child) {
            Some(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("was killed (signal {signal})"),
                (_, code) => format!("ended (status {})", code.unwrap_or_default()),
            },
            None => "hung up".into(),
        };
        Error::source_failed(format!("the process that fetches and unpacks {how} in the middle of it"))
            .hint("nothing was changed and what was fetched is kept: run it again; if memory ran out, `dmesg | tail` says so")
    }
}

/// Ends it, whatever it is doing. One that was asked to stop, or found lying, gets no last word.
impl Drop for Helper<'_> {
    fn drop(&mut self) {
        let _ = self.line.shutdown(Shutdown::Both);
        match self.child.kill() {
            Ok(()) => drop(self.child.wait()),
            // without CAP_KILL: it sees that the line is cut, and the kernel ends it with us
            Err(_) => drop(ended(&mut self.child)),
        }
    }
}

/// Waits for its end, but not for ever: it may have closed the line and live on.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..LEAVE.as_millis() / STEP.as_millis() {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(STEP);
    }
    None
}

/// What was said that cannot be.
pub fn lied(lie: Lie) -> Error {
    Error::source_failed(format!("the process that fetches and unpacks does not keep to the rules: {lie}"))
        .hint("nothing was changed; if it happens again, somebody may have sent this board something made to take it over")
}

fn not_started(e: io::Error, root: bool) -> Error {
    let hint = match e.kind() {
        io::ErrorKind::NotFound => "it is started through /proc: mount it",
        // EACCES, where EPERM would be the change of user
        io::ErrorKind::PermissionDenied if e.raw_os_error() == Some(13) => "the program's file has to be executable by everybody: chmod 755",
        _ if root => "becoming another user needs CAP_SETUID and CAP_SETGID, and that user in this container; it is never done as root instead",
        _ => "is the board out of memory or processes?",
    };
    let code = if e.kind() == io::ErrorKind::PermissionDenied { Code::Permission } else { Code::Refused };
    Error::new(code, "starting the process without privileges that fetches and unpacks").because(e).hint(hint)
}

fn environment() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        ENVIRONMENT.iter().any(|n| name.eq_ignore_ascii_case(n)) || name.starts_with("SSL_CERT_")
    })
}

/// Listens, and hears a wish to stop meanwhile.
struct Ear<'a> {
    line: UnixStream,
    clock: &'a dyn Clock,
    heard: Duration,
}

impl Read for Ear<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.line.read(into) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                read => {
                    self.heard = self.clock.monotonic();
                    return read;
                }
            }
            if self.clock.stops() > 0 {
                return Err(io::Error::other(crate::error::stopped()));
            }
            if self.clock.monotonic().saturating_sub(self.heard) > SILENCE {
                let error = Error::source_failed("the process that fetches and unpacks has said nothing for half an hour");
                return Err(io::Error::other(error.hint("run it again; what was fetched is kept")));
            }
        }
    }
}
