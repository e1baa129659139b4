//! When to try again, and how long to wait before. Pure, but for a little chance.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How often one request is made before it has failed.
pub const TRIES: u32 = 4;
/// First pause; each further one is twice as long.
const BASE: Duration = Duration::from_millis(500);
/// Longest pause, also when the server asks for more: a person may be watching, and the timer comes back tomorrow.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause after the `failed`th failure (1, 2, …). What the server asked for counts; up to half is added by chance, so that many
/// boards that lost the same server do not come back in step.
pub fn pause(failed: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let ours = BASE.saturating_mul(1 << failed.saturating_sub(1).min(10));
    ours.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 2.0).max(asked.unwrap_or_default()).min(PAUSE_MAX)
}

/// From 0 to 1. Not secret, only uneven: the keys of std's hash maps.
pub fn chance() -> f64 {
    (std::collections::hash_map::RandomState::new().build_hasher().finish() % 1024) as f64 / 1023.0
}

/// Reads `Retry-After`: seconds, or a date. `server_now` is the answer's own `Date`, since a board's clock may be wrong.
pub fn retry_after(value: &str, server_now: Option<&str>, our_now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    let now = server_now.and_then(|d| DateTime::parse_from_rfc2822(d.trim()).ok()).map_or(our_now, |d| d.to_utc());
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let ms = |failed, chance| pause(failed, None, chance).as_millis();
        assert_eq!([ms(1, 0.0), ms(2, 0.0), ms(3, 0.0), ms(1, 1.0), ms(3, 0.5)], [500, 1000, 2000, 750, 2500]);
        assert_eq!([pause(60, None, 1.0), pause(1, Some(Duration::from_secs(9999)), 0.0)], [PAUSE_MAX; 2]);
        assert_eq!(pause(1, Some(Duration::from_secs(7)), 0.0), Duration::from_secs(7));
        assert_eq!(pause(3, Some(Duration::ZERO), 0.0), Duration::from_secs(2));
        assert!((0..100).all(|_| (0.0..=1.0).contains(&chance())));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_server_s_clock() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        let table = [
            ("120", None, Some(120)),
            (" 3 ", None, Some(3)),
            ("99999999999999999999999", None, Some(u64::MAX)),
            ("Sat, 21 Nov 2026 10:00:30 GMT", None, Some(30)),
            ("Sat, 21 Nov 2026 09:00:30 GMT", None, Some(0)),
            ("Thu, 01 Jan 2032 00:00:10 GMT", Some("Thu, 01 Jan 2032 00:00:00 GMT"), Some(10)),
            ("soon", None, None),
            ("-1", None, None),
            ("", None, None),
        ];
        for (value, date, want) in table {
            assert_eq!(retry_after(value, date, now), want.map(Duration::from_secs), "{value:?}");
        }
    }
}
