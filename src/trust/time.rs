//! What time it is, for a board without a clock of its own. At boot it says some moment before the power was cut, or 1970; a wrong
//! battery says 2038. So a time counts as certain only when a time server confirmed it, or when a signed manifest was made at it.

use chrono::{DateTime, TimeDelta, Utc};

/// How much the remembered time may be behind before it is written again: each write costs the card an erase block.
const WORTH_WRITING: TimeDelta = TimeDelta::hours(12);
/// A clock that is behind what is certain by less than this is set: servers and boards differ by minutes.
const SLACK: TimeDelta = TimeDelta::hours(1);

/// Whether a time server has confirmed the board's clock in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// It has.
    Confirmed,
    /// One is asked and has not answered yet.
    Pending,
    /// Nobody here tells: no systemd-timesyncd, but perhaps another one.
    Untold,
}

/// The board's clock, what is known of it, and the latest time that is certain to have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// What the clock says.
    pub now: DateTime<Utc>,
    /// Whether to believe it.
    pub sync: Sync,
    /// The latest time known to have been.
    pub known: Option<DateTime<Utc>>,
}

/// Whether something is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It is.
    Valid,
    /// It has expired; by this time.
    Expired(DateTime<Utc>),
    /// The clock is not set, so that it cannot be told.
    CannotTell,
}

impl Time {
    /// Whether the clock can be believed: it was confirmed, or nobody can confirm it and it is not behind what is certain.
    pub fn is_set(&self) -> bool {
        match self.sync {
            Sync::Confirmed => true,
            Sync::Pending => false,
            Sync::Untold => self.known.is_none_or(|known| self.now + SLACK >= known),
        }
    }
    /// Whether what expires then has expired. Without a set clock only what is certain counts.
    pub fn expiry(&self, expires: Option<DateTime<Utc>>) -> Expiry {
        let Some(expires) = expires else { return Expiry::Valid };
        match (self.is_set(), self.known) {
            (true, _) if expires <= self.now => Expiry::Expired(self.now),
            (true, _) => Expiry::Valid,
            (false, Some(known)) if expires <= known => Expiry::Expired(known),
            (false, _) => Expiry::CannotTell,
        }
    }
    /// Whether something can have been made then: with a set clock, not in the future.
    pub fn may_be(&self, made: DateTime<Utc>) -> bool {
        !self.is_set() || made <= self.now + TimeDelta::days(1)
    }
    /// The time to remember, if it is another one. A confirmed clock corrects what was remembered, in both directions: one boot in 2038
    /// must not freeze a board for ever. `signed` is when something was made that the right keys signed.
    pub fn learn(&self, signed: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let new = match self.sync {
            Sync::Confirmed => Some(self.now),
            Sync::Pending | Sync::Untold => signed.filter(|signed| self.may_be(*signed)).max(self.known),
        };
        match (new, self.known) {
            (Some(new), Some(known)) if (new - known).abs() < WORTH_WRITING => None,
            (new, known) if new == known => None,
            (new, _) => new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(n)
    }

    #[test]
    fn what_has_expired_is_told_by_what_is_certain() {
        use Expiry::{CannotTell, Expired, Valid};
        let at = |now, sync, known: Option<i64>, expires| Time { now: day(now), sync, known: known.map(day) }.expiry(Some(day(expires)));
        let table = [
            // a confirmed clock is right, whatever was remembered
            (at(100, Sync::Confirmed, None, 101), Valid),
            (at(100, Sync::Confirmed, None, 100), Expired(day(100))),
            (at(100, Sync::Confirmed, Some(9000), 101), Valid),
            // a clock that nobody confirmed yet says nothing, neither that it is late nor that it is early
            (at(100, Sync::Pending, None, 90), CannotTell),
            (at(100, Sync::Pending, Some(50), 90), CannotTell),
            (at(0, Sync::Pending, Some(95), 90), Expired(day(95))),
            (at(9000, Sync::Pending, Some(50), 90), CannotTell),
            // where nobody can confirm it, it is believed unless it is behind what is certain
            (at(100, Sync::Untold, None, 90), Expired(day(100))),
            (at(100, Sync::Untold, Some(95), 110), Valid),
            (at(0, Sync::Untold, Some(95), 110), CannotTell),
            (at(0, Sync::Untold, Some(95), 90), Expired(day(95))),
        ];
        for (n, (got, want)) in table.into_iter().enumerate() {
            assert_eq!(got, want, "row {n}");
        }
        assert_eq!(Time { now: day(0), sync: Sync::Pending, known: None }.expiry(None), Valid);
    }

    #[test]
    fn a_confirmed_clock_corrects_what_was_remembered_and_others_only_add() {
        let learn = |now, sync, known: Option<i64>, signed: Option<i64>| Time { now: day(now), sync, known: known.map(day) }.learn(signed.map(day));
        assert_eq!(learn(100, Sync::Confirmed, Some(9000), Some(90)), Some(day(100)), "one boot in 2038");
        assert_eq!(learn(9000, Sync::Pending, Some(50), None), None);
        assert_eq!(learn(9000, Sync::Untold, Some(50), Some(60)), Some(day(60)));
        assert_eq!(learn(0, Sync::Untold, Some(50), Some(40)), None);
        assert_eq!(learn(100, Sync::Confirmed, Some(100), None), None, "not worth writing");
        assert_eq!(learn(100, Sync::Untold, None, None), None);
    }
}
