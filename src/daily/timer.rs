//! The timer of systemd: what is written for it, what it is told, and when it goes off next. All of it through the control command of
//! the config; where that is not systemctl, or systemd does not run this board, there is no timer.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};

use crate::device::{Schedule, Settings};
use crate::world::{Kind, World};

/// Its unit.
pub const UNIT: &str = "pikit-update.timer";
/// Where an administrator's units and drop-ins lie.
pub(super) const UNITS: &str = "/etc/systemd/system";
/// There if and only if systemd runs the board: sd_booted(3).
const RUNS: &str = "/run/systemd/system";
/// For a question: systemd answers in milliseconds, or is in trouble.
const ASKING: Duration = Duration::from_secs(3);

/// When automatic mode is at work next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Next {
    /// Whether a timer is there to start it; without one nothing will.
    pub timer: bool,
    /// When it goes off, as systemd says. None: it is at work right now, or systemd does not say.
    #[serde(rename = "next")]
    pub at: Option<DateTime<Utc>>,
}

/// When the timer goes off next. Quick, and never a failure: what cannot be found out is not known.
pub fn next(world: World, settings: &Settings) -> Next {
    match control(world, settings) {
        Some(control) if settings.schedule.action != "off" => ask(world, control).map_or_else(Next::default, |seen| seen.next),
        _ => Next::default(),
    }
}

/// The program that talks to the systemd of this board.
pub fn control<'s>(world: World, settings: &'s Settings) -> Option<&'s [String]> {
    let control = settings.services.control.as_slice();
    let program = Path::new(control.first()?).file_name()?;
    let is_systemctl = program == "systemctl" && !control.iter().any(|word| word.contains('{'));
    let here = settings.layout.root() == Path::new("/") && world.disk.meta(Path::new(RUNS)).ok()?.is_some_and(|m| m.kind == Kind::Dir);
    (is_systemctl && here).then_some(control)
}

/// What systemd says about the timer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its unit is installed.
    pub(super) installed: bool,
    pub(super) next: Next,
}

/// Asks systemd; none when it does not answer.
pub(super) fn ask(world: World, control: &[String]) -> Option<Seen> {
    let words = ["show", UNIT, "--property=LoadState,ActiveState,NextElapseUSecRealtime"];
    // older ones do not know how to say a time in numbers
    let tries = [&["--timestamp=unix"][..], &[]];
    let ran = tries.into_iter().find_map(|more| {
        let argv = control.iter().cloned().chain(words.iter().chain(more).map(|w| (*w).to_owned())).collect::<Vec<_>>();
        world.outside.run(&argv, ASKING).ok().filter(|ran| ran.status == Some(0))
    })?;
    let value = |key: &str| ran.stdout.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().trim().to_owned();
    let timer = value("ActiveState") == "active";
    let at = time(&value("NextElapseUSecRealtime")).filter(|_| timer);
    Some(Seen { installed: value("LoadState") == "loaded", next: Next { timer, at } })
}

/// A time as systemctl shows it: `@1795234800`, microseconds, or `Sat 2026-11-21 04:31:12 CET`.
fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Some(seconds) = text.strip_prefix('@') {
        return DateTime::from_timestamp(seconds.split('.').next()?.parse().ok()?, 0);
    }
    if let Ok(micros) = text.parse::<i64>() {
        return Some(micros).filter(|m| *m > 0).and_then(DateTime::from_timestamp_micros);
    }
    let mut words = text.split(' ').filter(|w| !w.chars().all(char::is_alphabetic) || ["UTC", "GMT"].contains(w));
    let (day, clock, zone) = (words.next()?, words.next()?, words.next());
    let local = NaiveDateTime::parse_from_str(&format!("{day} {clock}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    match zone {
        Some("UTC" | "GMT") => Some(local.and_utc()),
        // of an hour that there is twice, the first
        _ => Local.from_local_datetime(&local).earliest().map(|t| t.to_utc()),
    }
}

/// The drop-in that says when.
pub(super) fn text(schedule: &Schedule) -> String {
    let days: Vec<String> = schedule.day_names().iter().map(|d| format!("{}{}", d[..1].to_uppercase(), &d[1..])).collect();
    let days = if days.is_empty() { String::new() } else { format!("{} ", days.join(",")) };
    format!(
        "# Written by `pikit-updater auto` from [schedule] of the config; it is written anew when that changes.\n[Timer]\n\
         # the empty one takes back what the unit itself says\nOnCalendar=\nOnCalendar={days}*-*-* {}:00\nRandomizedDelaySec={}ms\n",
        schedule.at,
        schedule.jitter.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_systemctl_has() {
        let at = |s: i64| DateTime::from_timestamp(s, 0);
        assert_eq!(time("@1795235472"), at(1_795_235_472));
        assert_eq!(time("@1795235472.5"), at(1_795_235_472));
        assert_eq!(time("1795235472000000"), at(1_795_235_472));
        assert_eq!(time("Sat 2026-11-21 04:31:12 UTC"), at(1_795_235_472));
        assert_eq!(time("2026-11-21 04:31:12.25 GMT").map(|t| t.timestamp()), Some(1_795_235_472));
        let local = Local.with_ymd_and_hms(2026, 11, 21, 4, 31, 12).unwrap().to_utc();
        assert_eq!(time("Sat 2026-11-21 04:31:12 CET"), Some(local));
        for none in ["", "n/a", "0", "infinity", "@", "@x", "Sat", "[not set]", "18446744073709551615"] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    #[test]
    fn the_drop_in_says_days_time_and_jitter() {
        let with = |days: &[&str], jitter: &str| {
            let days = days.iter().map(ToString::to_string).collect();
            let config = crate::device::config::Schedule { at: "05:07".into(), days, jitter: jitter.into(), ..Default::default() };
            text(&Schedule::new(&config).unwrap()).lines().filter(|l| !l.starts_with('#')).skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(with(&["sun", "mon"], "30m"), ["OnCalendar=", "OnCalendar=Mon,Sun *-*-* 05:07:00", "RandomizedDelaySec=1800000ms"]);
        assert_eq!(with(&[], "0"), ["OnCalendar=", "OnCalendar=*-*-* 05:07:00", "RandomizedDelaySec=0ms"]);
    }
}
