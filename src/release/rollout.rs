//! A release that comes to boards in waves: to a few first, and to all when nothing bad was heard of. Only what is installed by itself waits;
//! a person need not. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;
use crate::quantity;

/// Most waves that are read.
const WAVES_MAX: usize = 100;

/// When a release comes to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// From when on the waves are counted; absent: when it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// The waves.
    #[serde(default)]
    pub waves: Vec<Wave>,
}

/// From some time on, so many boards of a hundred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// After the start; written as `"24h"`.
    #[serde(deserialize_with = "read", serialize_with = "write")]
    pub after: Duration,
    /// Of a hundred boards, those of earlier waves among them.
    pub percent: u8,
}

/// When a board's turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It has come.
    Now,
    /// At this time.
    At(DateTime<Utc>),
    /// No wave reaches this board.
    Never,
}

impl Rollout {
    /// Looks whether it can be meant.
    ///
    /// # Errors
    /// Names what cannot.
    pub fn check(&self) -> Result<(), String> {
        if self.waves.is_empty() || self.waves.len() > WAVES_MAX {
            return Err(format!("rollout: {} waves; 1 to {WAVES_MAX} can be told", self.waves.len()));
        }
        match self.waves.iter().find(|w| w.percent == 0 || w.percent > 100) {
            Some(wave) => Err(format!("rollout: a wave of {} percent; 1 to 100 can be told", wave.percent)),
            None => Ok(()),
        }
    }

    /// When the turn of a board comes that stands at this place of a hundred. `released` is when the release was made.
    pub fn turn(&self, place: u8, released: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Turn {
        let Some(start) = self.start.or(released) else { return Turn::Now };
        // beyond what a calendar has is as good as never
        let at = |wave: &Wave| TimeDelta::from_std(wave.after).ok().and_then(|after| start.checked_add_signed(after));
        match self.waves.iter().filter(|w| place < w.percent).filter_map(at).min() {
            Some(at) if at <= now => Turn::Now,
            Some(at) => Turn::At(at),
            None => Turn::Never,
        }
    }
}

/// Where a board stands among a hundred, 0 to 99: by chance, and the same whenever it is asked. Another one for each release, so that it is
/// not always the same boards that go first.
pub fn place(board: &str, product: &str, version: &Version) -> u8 {
    let digest = Digest::of(format!("{board}\n{product}\n{version}").as_bytes()).to_string();
    let number = u64::from_str_radix(&digest[..15], 16).expect("a digest is hex digits");
    (number % 100) as u8
}

fn read<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(d)?;
    quantity::duration(&text).map_err(serde::de::Error::custom)
}

fn write<S: Serializer>(after: &Duration, s: S) -> Result<S::Ok, S::Error> {
    match after.as_secs() {
        seconds if after.subsec_nanos() > 0 => s.collect_str(&format_args!("{}ms", seconds * 1000 + u64::from(after.subsec_millis()))),
        seconds if seconds % 3600 == 0 => s.collect_str(&format_args!("{}h", seconds / 3600)),
        seconds => s.collect_str(&format_args!("{seconds}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn rollout(text: &str) -> Rollout {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_board_has_its_turn_with_the_first_wave_that_reaches_it() {
        let waves =
            rollout(r#"{"start":"2026-11-20T10:00:00Z","waves":[{"after":"0h","percent":1},{"after":"24h","percent":20},{"after":"72h","percent":90}]}"#);
        let start = time("2026-11-20T10:00:00Z");
        for (place, now, turn) in [
            (0, "2026-11-20T09:59:59Z", Turn::At(start)),
            (0, "2026-11-20T10:00:00Z", Turn::Now),
            (1, "2026-11-20T10:00:00Z", Turn::At(time("2026-11-21T10:00:00Z"))),
            (19, "2026-11-21T10:00:00Z", Turn::Now),
            (20, "2026-11-21T10:00:00Z", Turn::At(time("2026-11-23T10:00:00Z"))),
            (89, "2026-12-01T00:00:00Z", Turn::Now),
            (90, "2026-12-01T00:00:00Z", Turn::Never),
        ] {
            assert_eq!(waves.turn(place, None, time(now)), turn, "{place} {now}");
        }
        // without a start it is the release's own time that counts, and without either there is nothing to wait for
        let from_release = rollout(r#"{"waves":[{"after":"1d","percent":100}]}"#);
        assert_eq!(from_release.turn(5, Some(start), start), Turn::At(time("2026-11-21T10:00:00Z")));
        assert_eq!(from_release.turn(5, None, start), Turn::Now);
    }

    #[test]
    fn what_cannot_be_meant_is_named_and_what_can_is_written_as_it_was_read() {
        for (text, why) in
            [(r#"{"waves":[]}"#, "0 waves"), (r#"{"waves":[{"after":"0h","percent":0}]}"#, "0 percent"), (r#"{"waves":[{"after":"0h","percent":101}]}"#, "101")]
        {
            assert!(rollout(text).check().unwrap_err().contains(why), "{text}");
        }
        assert!(serde_json::from_str::<Rollout>(r#"{"waves":[{"after":"soon","percent":1}]}"#).is_err());
        for text in [r#"{"waves":[{"after":"72h","percent":100}]}"#, r#"{"waves":[{"after":"90s","percent":5},{"after":"1500ms","percent":6}]}"#] {
            assert_eq!(serde_json::to_string(&rollout(text)).unwrap(), text);
        }
    }

    #[test]
    fn boards_stand_evenly_and_elsewhere_for_each_release() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let place = |n: u32, release: &str| place(&format!("{n:032x}"), "pikit", &version(release));
        let first: Vec<u8> = (0..10_000).map(|n| place(n, "1.0.0")).collect();
        for hundredth in 0..100 {
            let there = first.iter().filter(|p| **p == hundredth).count();
            assert!((50..200).contains(&there), "{hundredth}: {there}");
        }
        assert_eq!(first[7], place(7, "1.0.0"));
        let same = (0..10_000).filter(|n| place(*n, "1.1.0") == first[*n as usize]).count();
        assert!(same < 300, "{same} of 10,000 stand where they stood");
    }
}
