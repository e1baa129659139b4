//! How long this machine keeps somebody waiting who asks for next to nothing. Run beside a test, it says how late something may be that
//! comes at once: a limit of milliseconds then holds on a slow and busy machine, and stays sharp on a quick one.

#![allow(dead_code)]
#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// From one beat to the next.
const EVERY: Duration = Duration::from_millis(2);
/// What is measured goes through so many more hands than a beat.
const HANDS: u32 = 5;

/// Beats until it is dropped.
pub struct Pulse {
    asks: Sender<Sender<Duration>>,
}

impl Pulse {
    pub fn start() -> Pulse {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut beat = [0];
            while there.read_exact(&mut beat).and_then(|()| there.write_all(&beat)).is_ok() {}
        });
        let (asks, asked) = channel::<Sender<Duration>>();
        std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                let ask = asked.recv_timeout(EVERY);
                // a timer, another thread, and back
                here.write_all(&[0]).and_then(|()| here.read_exact(&mut [0])).unwrap();
                slowest = slowest.max(begun.elapsed().saturating_sub(EVERY));
                match ask {
                    Ok(answer) => drop(answer.send(slowest)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Pulse { asks }
    }
    /// The slowest beat so far, the one under way included.
    pub fn slowest(&self) -> Duration {
        let (answer, answered) = channel();
        self.asks.send(answer).unwrap();
        answered.recv().unwrap()
    }
    /// This limit, and what the machine itself was late since the start.
    pub fn allows(&self, limit: Duration) -> Duration {
        limit + HANDS * self.slowest()
    }
}
