//! Time. The wall clock of a board is wrong at boot; durations come from the monotonic one.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The door to time.
pub trait Clock {
    /// Wall-clock time; may be wrong.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits; returns early, with `true`, when a person or a signal wants the program to stop.
    fn sleep(&self, time: Duration) -> bool;
    /// How often a person or a signal has asked to stop.
    fn stops(&self) -> u32;
    /// Identifies this boot (`/proc/sys/kernel/random/boot_id`).
    fn boot_id(&self) -> String;
    /// 26 characters of `[0-9a-z]`, never the same twice.
    fn new_id(&self) -> String;
}
