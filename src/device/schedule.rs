//! When automatic mode is at work: the `[schedule]` of the config, checked.

use std::time::Duration;

use chrono::{Datelike as _, NaiveDateTime, NaiveTime, Weekday};

use super::config;
use crate::quantity;

/// What the daily timer does, and when it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `off`, `check` or `install`.
    pub action: String,
    /// Local time, `HH:MM`.
    pub at: String,
    /// How long after `at` an installation may still begin; zero: at any time, as when the board was off at `at`.
    pub window: Duration,
    /// Days it is at work; none: every day.
    pub days: Vec<Weekday>,
    /// Up to this much later, always the same on one board.
    pub jitter: Duration,
}

/// The names that the config and systemd.time(7) have for the days.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

impl Schedule {
    /// Checks the section.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn new(config: &config::Schedule) -> Result<Self, String> {
        if !["off", "check", "install"].contains(&config.action.as_str()) {
            return Err(format!("schedule.action: {:?} is none of off, check, install", config.action));
        }
        time(&config.at).ok_or_else(|| format!("schedule.at: {:?} is not a time like 04:20", config.at))?;
        let day = |name: &String| {
            let known = DAYS.iter().find(|(known, _)| known == name).map(|(_, day)| *day);
            known.ok_or_else(|| format!("schedule.days: {name:?} is none of mon … sun"))
        };
        Ok(Schedule {
            action: config.action.clone(),
            at: config.at.clone(),
            window: quantity::duration(&config.window).map_err(|e| format!("schedule.window: {e}"))?,
            days: config.days.iter().map(day).collect::<Result<_, _>>()?,
            jitter: quantity::duration(&config.jitter).map_err(|e| format!("schedule.jitter: {e}"))?,
        })
    }
    /// Names of its days, as the config and systemd spell them.
    pub fn day_names(&self) -> Vec<&'static str> {
        DAYS.iter().filter(|(_, day)| self.days.contains(day)).map(|(name, _)| *name).collect()
    }
    /// Whether an installation may begin by itself now. A window that passes midnight belongs to the day it began on.
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_begin(&self, now: NaiveDateTime) -> Result<(), String> {
        let at = time(&self.at).expect("it was checked when it was made");
        let today = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        let wrong_day = || format!("only on {}", self.day_names().join(", "));
        if self.window.is_zero() {
            return if today(now.weekday()) { Ok(()) } else { Err(wrong_day()) };
        }
        let window = chrono::TimeDelta::from_std(self.window + self.jitter).unwrap_or(chrono::TimeDelta::MAX);
        let open = [now.date(), now.date().pred_opt().unwrap_or(now.date())].map(|date| date.and_time(at)).into_iter().find(|begin| {
            let since = now - *begin;
            since >= chrono::TimeDelta::zero() && since <= window
        });
        match open {
            Some(begin) if today(begin.weekday()) => Ok(()),
            Some(_) => Err(wrong_day()),
            None => Err(format!("only within {} after {}", quantity::seconds(self.window.as_secs_f64()), self.at)),
        }
    }
}

/// `HH:MM`, two digits each.
pub fn time(text: &str) -> Option<NaiveTime> {
    // chrono passes over blanks, which systemd does not
    if text.len() != 5 || text.contains(|c: char| !c.is_ascii_digit() && c != ':') {
        return None;
    }
    NaiveTime::parse_from_str(text, "%H:%M").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(window: &str, days: &[&str]) -> Schedule {
        let days = days.iter().map(ToString::to_string).collect();
        Schedule::new(&config::Schedule { at: "23:00".into(), window: window.into(), days, jitter: "10m".into(), ..Default::default() }).unwrap()
    }

    #[test]
    fn a_time_has_two_digits_twice() {
        assert!(time("04:20").is_some() && time("23:59").is_some());
        for wrong in ["4:20", " 4:20", "4: 20", "04:2 ", "24:00", "04:60", "04.20", "+4:20", "4:2:0", "04:20:00", "0\u{e9}:2", ""] {
            assert_eq!(time(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_window_opens_at_the_time_and_closes_after_it_even_past_midnight() {
        // 2026-11-20 is a Friday
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        let friday = schedule("3h", &["fri"]);
        assert_eq!(friday.may_begin(at("2026-11-20 23:00")), Ok(()));
        assert_eq!(friday.may_begin(at("2026-11-21 02:10")), Ok(()), "the jitter comes on top");
        assert!(friday.may_begin(at("2026-11-21 02:11")).unwrap_err().contains("within"));
        assert!(friday.may_begin(at("2026-11-20 22:59")).unwrap_err().contains("after 23:00"));
        assert_eq!(friday.may_begin(at("2026-11-20 01:00")), Err("only on fri".into()), "it began on Thursday");
        assert_eq!(friday.may_begin(at("2026-11-21 23:30")), Err("only on fri".into()));

        // a window longer than any clock: adding the jitter to it used to panic
        let endless = config::Schedule { window: "18446744073709549568".into(), jitter: "1h".into(), ..Default::default() };
        assert!(Schedule::new(&endless).unwrap_err().contains("out of range"));

        let any = schedule("0", &[]);
        assert_eq!(any.may_begin(at("2026-11-20 12:00")), Ok(()), "a board that was off catches up at once");
        assert_eq!(schedule("0", &["sat", "mon"]).may_begin(at("2026-11-20 12:00")), Err("only on mon, sat".into()));
    }
}
