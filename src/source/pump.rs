//! Something that blocks (a connection, stdin), read by a thread of its own, so that whoever waits for it can be told to stop.
//! What was read waits in a short queue; when nobody takes it, the thread waits too, and the sender's window closes.
//!
//! A thread whose pump is dropped ends with its next read, at the latest when that times out. Nothing waits for it.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::fault::Fault;
use super::pace::Pace;
use crate::world::Clock;

/// How soon a wish to stop is heard.
const HEAR: Duration = Duration::from_millis(100);
/// Bytes of one read, and how many of them wait in the queue.
const CHUNK: usize = 64 << 10;
const QUEUE: usize = 3;

/// What the thread hands over; `H` comes first.
pub enum Part<H> {
    /// What stands before the bytes.
    Head(H),
    /// Some bytes, never none.
    Bytes(Vec<u8>),
    /// All is read.
    End,
    /// It ended badly.
    Broken(Fault),
}

/// The near end.
pub struct Pump<'a, H> {
    clock: &'a dyn Clock,
    pace: Pace,
    floor: u64,
    parts: Receiver<Part<H>>,
    chunk: Vec<u8>,
    used: usize,
    ended: bool,
}

/// The far end, inside the thread.
pub struct Sender<H>(SyncSender<Part<H>>);

impl<H> Sender<H> {
    /// Hands over; `false`: nobody listens any more.
    pub fn send(&self, part: Part<H>) -> bool {
        self.0.send(part).is_ok()
    }
    /// Hands over everything the reader gives, and how it ended.
    pub fn drain(&self, mut reader: impl Read, sort: impl Fn(std::io::Error) -> Fault) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let part = match reader.read(&mut buffer) {
                Ok(0) => Part::End,
                Ok(n) => Part::Bytes(buffer[..n].to_vec()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => Part::Broken(sort(e)),
            };
            let last = !matches!(part, Part::Bytes(_));
            if !self.send(part) || last {
                return;
            }
        }
    }
}

impl<'a, H: Send + 'static> Pump<'a, H> {
    /// Starts the thread. `floor` and `ceiling` are bytes a second, 0 for none.
    pub fn start(clock: &'a dyn Clock, floor: u64, ceiling: u64, work: impl FnOnce(Sender<H>) + Send + 'static) -> Result<Self, Fault> {
        let (sender, parts) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("source".into()).spawn(move || work(Sender(sender)));
        thread.map_err(|e| Fault::Other(format!("no thread could be started: {e}")))?;
        Ok(Pump { clock, pace: Pace::new(floor, ceiling), floor, parts, chunk: Vec::new(), used: 0, ended: false })
    }

    /// Waits for the head.
    pub fn head(&mut self) -> Result<H, Fault> {
        match self.next()? {
            Part::Head(head) => Ok(head),
            Part::Broken(fault) => Err(fault),
            Part::Bytes(_) | Part::End => Err(Fault::Other("the answer has no beginning".into())),
        }
    }

    /// Reads some bytes; 0 at the end.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        if self.used == self.chunk.len() {
            if self.ended || into.is_empty() {
                return Ok(0);
            }
            match self.next()? {
                Part::Bytes(chunk) => (self.chunk, self.used) = (chunk, 0),
                Part::End => self.ended = true,
                Part::Broken(fault) => return Err(fault),
                Part::Head(_) => return Err(Fault::Other("the answer has two beginnings".into())),
            }
            if self.ended {
                return Ok(0);
            }
            let owed = self.pace.owed(self.chunk.len() as u64, self.clock.monotonic());
            if !owed.is_zero() && self.clock.sleep(owed) {
                return Err(Fault::Cancelled);
            }
        }
        let n = into.len().min(self.chunk.len() - self.used);
        into[..n].copy_from_slice(&self.chunk[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }

    fn next(&mut self) -> Result<Part<H>, Fault> {
        loop {
            if self.clock.stops() > 0 {
                return Err(Fault::Cancelled);
            }
            let before = self.clock.monotonic();
            let part = self.parts.recv_timeout(HEAR);
            let bytes = if let Ok(Part::Bytes(chunk)) = &part { chunk.len() as u64 } else { 0 };
            let fast = self.pace.fast_enough(bytes, self.clock.monotonic().saturating_sub(before));
            match part {
                Ok(part @ (Part::Head(_) | Part::End | Part::Broken(_))) => return Ok(part),
                _ if !fast => return Err(Fault::Slow(self.floor)),
                Ok(part) => return Ok(part),
                Err(RecvTimeoutError::Timeout) => {}
                // the thread is gone without a last word: it panicked
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Other("the reading thread ended early".into())),
            }
        }
    }
}
