//! Time. The wall clock of a board is wrong at boot; durations come from the monotonic one.
//! And the wish to stop, because whoever waits must hear it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The door to time.
pub trait Clock {
    /// Wall-clock time; may be wrong.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits; returns early, with `true`, when a person or a signal wants the program to stop. One wish ends one sleep, be it the one under
    /// way or the next: who goes on regardless (a switch must be finished) then sleeps as usual and does not spin.
    fn sleep(&self, time: Duration) -> bool;
    /// How often a person or a signal has asked to stop.
    fn stops(&self) -> u32;
    /// Identifies this boot (`/proc/sys/kernel/random/boot_id`).
    fn boot_id(&self) -> String;
    /// 26 characters of `[0-9a-z]`, never the same twice.
    fn new_id(&self) -> String;
}

/// The board's clock.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
    wishes: Arc<Wishes>,
}

#[derive(Debug, Default)]
struct Wishes {
    count: Mutex<Count>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Count {
    asked: u32,
    /// How many have ended a sleep.
    heard: u32,
}

impl Wishes {
    /// A poisoned count is still a count.
    fn lock(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        self.lock().asked += 1;
        self.changed.notify_all();
    }
}

impl RealClock {
    /// A clock that no signal disturbs.
    #[allow(clippy::new_without_default)] // there is nothing default about reading the time
    pub fn new() -> Self {
        RealClock { start: Instant::now(), wishes: Arc::default() }
    }

    /// A clock that counts SIGINT, SIGTERM and SIGHUP, which from now on no longer end the process: a connection that breaks must not leave a
    /// transaction in the middle. Under `nohup` a hang-up stays what it was, nothing.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn with_signals() -> io::Result<Self> {
        let clock = RealClock::new();
        let wishes = clock.wishes.clone();
        let hangs_up = Some(SIGHUP).filter(|_| !ignores_hang_ups());
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM].into_iter().chain(hangs_up))?;
        // it sleeps in the kernel until a signal comes, and ends with the process
        std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(|_| wishes.add()))?;
        Ok(clock)
    }
}

/// Whether this process was started so that a hang-up is nothing to it, as `nohup` does; proc_pid_status(5) has a bit for each signal.
fn ignores_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & 1 << (SIGHUP - 1) != 0)
}

impl Clock for RealClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn sleep(&self, time: Duration) -> bool {
        let quiet = |count: &mut Count| count.asked == count.heard;
        let waited = self.wishes.changed.wait_timeout_while(self.wishes.lock(), time, quiet);
        let (mut count, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let wanted = count.asked != count.heard;
        count.heard = count.asked;
        wanted
    }
    fn stops(&self) -> u32 {
        self.wishes.lock().asked
    }
    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| "unknown".into(), |id| id.trim().to_owned())
    }
    fn new_id(&self) -> String {
        let mut id = String::with_capacity(26);
        while id.len() < 26 {
            let mut bytes = [0u8; 32];
            let flags = rustix::rand::GetRandomFlags::empty();
            let n = rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes, flags)).expect("Linux has getrandom since 3.17");
            // 252 is the largest multiple of 36 in a byte: above it the first letters would be likelier
            id.extend(bytes[..n].iter().filter(|b| **b < 252).map(|b| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(b % 36)])));
        }
        id.truncate(26);
        id
    }
}

/// A clock for tests: its time goes on only in sleeps and when told to.
#[cfg(test)]
#[derive(Debug)]
pub struct TestClock {
    wall: std::cell::Cell<DateTime<Utc>>,
    elapsed: std::cell::Cell<Duration>,
    stops: std::cell::Cell<u32>,
    heard: std::cell::Cell<u32>,
    stop_at: std::cell::Cell<Option<Duration>>,
    boot: std::cell::RefCell<String>,
    ids: std::cell::Cell<u64>,
}

#[cfg(test)]
impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl TestClock {
    /// 20 November 2026, 10:00 UTC.
    pub fn new() -> Self {
        let wall = DateTime::from_timestamp(1_795_168_800, 0).expect("a time in 2026");
        TestClock {
            wall: wall.into(),
            elapsed: Duration::ZERO.into(),
            stops: 0.into(),
            heard: 0.into(),
            stop_at: None.into(),
            boot: String::from("boot-1").into(),
            ids: 0.into(),
        }
    }
    /// Time goes on.
    pub fn advance(&self, time: Duration) {
        self.elapsed.set(self.elapsed.get() + time);
        self.wall.set(self.wall.get() + time);
    }
    /// Somebody sets the wall clock.
    pub fn set_wall(&self, now: DateTime<Utc>) {
        self.wall.set(now);
    }
    /// Somebody asks to stop.
    pub fn stop(&self) {
        self.stops.set(self.stops.get() + 1);
    }
    /// Somebody will ask to stop once, after this time.
    pub fn stop_after(&self, time: Duration) {
        self.stop_at.set(Some(self.elapsed.get() + time));
    }
    /// The next boot.
    pub fn reboot(&self) {
        let mut boot = self.boot.borrow_mut();
        let n: u32 = boot["boot-".len()..].parse().expect("numbered boots");
        *boot = format!("boot-{}", n + 1);
    }
}

#[cfg(test)]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.wall.get()
    }
    fn monotonic(&self) -> Duration {
        self.elapsed.get()
    }
    fn sleep(&self, time: Duration) -> bool {
        let pending = self.stops.get() != self.heard.get();
        let left = self.stop_at.get().map(|at| at.saturating_sub(self.elapsed.get())).filter(|left| *left <= time);
        match left {
            _ if pending => {}
            None => self.advance(time),
            Some(left) => {
                self.stop_at.set(None);
                self.advance(left);
                self.stop();
            }
        }
        let wanted = self.stops.get() != self.heard.get();
        self.heard.set(self.stops.get());
        wanted
    }
    fn stops(&self) -> u32 {
        self.stops.get()
    }
    fn boot_id(&self) -> String {
        self.boot.borrow().clone()
    }
    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        format!("{:0>26}", self.ids.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn ids_are_of_the_agreed_form_and_differ() {
        let clock = RealClock::new();
        let ids: std::collections::BTreeSet<_> = (0..500).map(|_| clock.new_id()).collect();
        assert_eq!(ids.len(), 500);
        assert!(ids.iter().all(|id| id.len() == 26 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())));
        assert_eq!(TestClock::new().new_id().len(), 26);
    }

    #[test]
    fn a_boot_has_one_name() {
        let clock = RealClock::new();
        assert_eq!(clock.boot_id(), clock.boot_id());
        assert!(!clock.boot_id().contains(char::is_whitespace));
    }

    #[test]
    fn one_wish_ends_one_sleep_at_once() {
        let clock = RealClock::new();
        clock.wishes.add();
        assert!(clock.sleep(LONG));
        assert!(!clock.sleep(Duration::ZERO));
        let wishes = clock.wishes.clone();
        let asker = std::thread::spawn(move || wishes.add());
        assert!(clock.sleep(LONG));
        asker.join().unwrap();
        assert_eq!(clock.stops(), 2);
    }

    #[test]
    fn a_signal_is_a_wish_to_stop() {
        let clock = RealClock::with_signals().unwrap();
        for (n, signal) in [rustix::process::Signal::TERM, rustix::process::Signal::INT].into_iter().enumerate() {
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
            assert!(clock.sleep(LONG));
            assert_eq!(clock.stops(), n as u32 + 1);
        }
    }

    #[test]
    fn the_time_of_a_test_goes_on_in_sleeps_only() {
        let clock = TestClock::new();
        let start = clock.now();
        clock.stop_after(Duration::from_secs(8));
        assert!(!clock.sleep(Duration::from_secs(5)));
        assert!(clock.sleep(Duration::from_secs(5)));
        assert!(!clock.sleep(Duration::from_secs(2)));
        assert_eq!((clock.monotonic(), clock.now() - start), (Duration::from_secs(10), chrono::TimeDelta::seconds(10)));
    }
}
