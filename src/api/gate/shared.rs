//! What the front loop, the supervisor and the caller of the service tell each other.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

/// Their common board.
pub struct Shared {
    /// Readable when the front loop is to look up.
    pub wake: OwnedFd,
    wishes: Mutex<Wishes>,
    changed: Condvar,
    start: Instant,
    /// Requests and streams that are not answered.
    busy: AtomicUsize,
    /// Requests on their way in.
    unfinished: AtomicUsize,
    /// Milliseconds after the start when there were some last.
    last: AtomicU64,
}

#[derive(Default)]
struct Wishes {
    stop: bool,
    /// The inner server does not let anybody in.
    check: bool,
}

impl Shared {
    pub fn new() -> std::io::Result<Shared> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (wishes, changed, busy, unfinished, last) = Default::default();
        Ok(Shared { wake, wishes, changed, start: Instant::now(), busy, unfinished, last })
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody ends.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
    pub fn is_stopping(&self) -> bool {
        self.lock().stop
    }
    /// The front loop has looked up.
    pub fn heard(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
    /// The inner server is gone: do not wait for the next self-check.
    pub fn call_supervisor(&self) {
        self.lock().check = true;
        self.changed.notify_all();
    }
    /// Waits until it is time for a self-check, or, while all was well, until somebody calls for one; `true`: to stop.
    pub fn rest(&self, time: Duration, all_well: bool) -> bool {
        let quiet = |w: &mut Wishes| !(w.stop || w.check && all_well);
        let (mut wishes, _) = self.changed.wait_timeout_while(self.lock(), time, quiet).unwrap_or_else(PoisonError::into_inner);
        wishes.check = false;
        wishes.stop
    }

    /// How much is going on.
    pub fn count(&self, busy: usize, unfinished: usize) {
        let before = self.busy.swap(busy, Ordering::Relaxed);
        self.unfinished.store(unfinished, Ordering::Relaxed);
        if busy > 0 || before > 0 {
            self.last.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    }
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
    pub fn idle_for(&self) -> Option<Duration> {
        let quiet = self.busy() == 0 && self.unfinished.load(Ordering::Relaxed) == 0;
        quiet.then(|| self.start.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed))))
    }
}
