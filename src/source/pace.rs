//! How fast a line is: the least it must give, and the most it may take.

use std::time::Duration;

/// Over which time [`Pace`] judges.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Counts bytes and the time spent waiting for them. Time spent elsewhere (writing to a slow card) is not the line's fault.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Bytes a second that must arrive; 0: any.
    floor: u64,
    /// Bytes a second that may be taken; 0: any.
    ceiling: u64,
    waited: Duration,
    got: u64,
    /// Bytes and start of the time over which the ceiling is kept.
    taken: u64,
    since: Option<Duration>,
}

impl Pace {
    /// Limits in bytes a second; 0 is none.
    pub fn new(floor: u64, ceiling: u64) -> Self {
        Pace { floor, ceiling, waited: Duration::ZERO, got: 0, taken: 0, since: None }
    }
    /// Notes that `bytes` came after a wait. `false`: the line gave less than the floor over a whole window.
    pub fn fast_enough(&mut self, bytes: u64, wait: Duration) -> bool {
        self.waited += wait;
        self.got += bytes;
        if self.waited < WINDOW {
            return true;
        }
        let enough = self.got as f64 >= self.floor as f64 * self.waited.as_secs_f64();
        (self.waited, self.got) = (Duration::ZERO, 0);
        enough
    }
    /// How long to wait before the next bytes may be taken, now that these were.
    pub fn owed(&mut self, bytes: u64, now: Duration) -> Duration {
        if self.ceiling == 0 {
            return Duration::ZERO;
        }
        let since = *self.since.get_or_insert(now);
        self.taken += bytes;
        let due = Duration::from_secs_f64(self.taken as f64 / self.ceiling as f64);
        let owed = due.saturating_sub(now.saturating_sub(since));
        if owed.is_zero() {
            // a line that was slow for a while earns no burst afterwards
            (self.taken, self.since) = (0, Some(now));
        }
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_noticed_after_a_window_and_a_slow_but_living_line_is_not() {
        let second = Duration::from_secs(1);
        let mut trickle = Pace::new(1024, 0);
        assert_eq!((0..200).take_while(|_| trickle.fast_enough(100, second)).count(), 59);
        let mut alive = Pace::new(1024, 0);
        assert!((0..600).all(|_| alive.fast_enough(1100, second)));
        let mut any = Pace::new(0, 0);
        assert!((0..600).all(|_| any.fast_enough(0, second)));
    }

    #[test]
    fn the_ceiling_is_kept_on_average() {
        let mut pace = Pace::new(0, 1000);
        let mut now = Duration::from_secs(7);
        for _ in 0..10 {
            now += pace.owed(500, now);
        }
        assert_eq!(now, Duration::from_secs(12));
        assert_eq!(Pace::new(0, 0).owed(1 << 30, now), Duration::ZERO);
    }
}
