//! Sees to it that the API lives: asks it, as a client would and through the same loop, whether it answers. If it does not, the inner
//! server is replaced. If that does not help either, the service ends, and whoever started it (systemd) begins anew.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::shared::Shared;
use crate::api::door::Door;
use crate::api::inner::Current;
use crate::error::{Error, Result};

/// The supervisor.
pub struct Supervisor {
    pub limits: Limits,
    pub door: Door,
    pub inner: Arc<Current>,
    pub shared: Arc<Shared>,
}

/// Before the third try; squared, it grows.
const PATIENCE: Duration = Duration::from_millis(50);
/// Failures are forgotten after so long.
const MEMORY: Duration = Duration::from_secs(600);

impl Supervisor {
    /// Watches until it is told to stop; `alive` is called after each good answer.
    ///
    /// # Errors
    /// There is no help any more.
    pub fn watch(&self, alive: impl Fn()) -> Result<()> {
        let mut failures = VecDeque::new();
        let mut in_a_row = 0;
        loop {
            let pause = match self.check() {
                Ok(()) => {
                    in_a_row = 0;
                    alive();
                    self.limits.check_every
                }
                Err(_) if self.shared.is_stopping() => return Ok(()),
                Err(why) => {
                    failures.retain(|at: &Instant| at.elapsed() < MEMORY);
                    failures.push_back(Instant::now());
                    if failures.len() > self.limits.tries {
                        return Err(Error::unexpected("the API does not answer itself, and a new inner server does not help").because(why));
                    }
                    eprintln!("the API does not answer itself ({why}): starting its inner server anew");
                    if let Err(e) = self.inner.replace() {
                        eprintln!("{e}");
                    }
                    in_a_row += 1;
                    // the first time it is to go on at once; after that something else is short, and needs a moment
                    PATIENCE * (in_a_row - 1) * (in_a_row - 1)
                }
            };
            if self.shared.rest(pause, in_a_row == 0) {
                return Ok(());
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        // a closed door is known at once; through the gate it would be waited for
        drop(self.inner.door().knock()?);
        let end = Instant::now() + self.limits.check_time;
        let mut stream = self.door.connect()?;
        stream.set_write_timeout(Some(self.limits.check_time))?;
        write!(stream, "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.limits.check)?;
        let mut answer = Vec::new();
        // to its end, and no further than an answer of this kind may go
        while answer.len() < 64 << 10 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let mut piece = [0; 1024];
            match stream.read(&mut piece)? {
                0 => break,
                n => answer.extend_from_slice(&piece[..n]),
            }
        }
        match answer.get(..12) {
            Some(b"HTTP/1.1 200") => Ok(()),
            _ => Err(io::Error::other(String::from_utf8_lossy(answer.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned())),
        }
    }
}
