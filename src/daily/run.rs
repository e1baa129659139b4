//! One day's work, as the timer calls it: look, and install if the owner wants that and nothing speaks against it today.

use chrono::Local;

use crate::error::Result;
use crate::plan::Reason;
use crate::source::Source;
use crate::state::State;
use crate::update::aim::Request;
use crate::update::apply::{self, Done};
use crate::update::{Report, Trip, check};

/// How the day went.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // one of it a day
pub enum Day {
    /// Automatic mode is off.
    Off,
    /// The source was asked and nothing was installed; why not.
    Looked(String),
    /// An update was tried.
    Ended(Report),
}

/// Does what `[schedule]` says. The trip has recovered before.
///
/// # Errors
/// The source; an offered release that cannot be installed here. What is passed over, distrusted or not for this hour is no error.
pub fn run<'s>(trip: &mut Trip, open: impl FnOnce() -> Result<Box<dyn Source + 's>>) -> Result<Day> {
    let schedule = trip.settings.schedule.clone();
    if schedule.action == "off" {
        return Ok(Day::Off);
    }
    let source = open()?;
    check::check(trip, source.as_ref())?;
    if schedule.action != "install" {
        return Ok(Day::Looked(match &trip.state.available {
            Some(a) => format!("{} is offered; automatic mode only looks", a.version),
            None => nothing(&trip.state),
        }));
    }
    let local = trip.world.clock.now().with_timezone(&Local).naive_local();
    if let Err(why_not) = worth_a_try(&trip.state, schedule.may_begin(local)) {
        return Ok(Day::Looked(why_not));
    }
    // what was just looked at and no other: a person may have skipped the next one
    let seen = trip.state.available.as_ref().map(|a| a.manifest_sha256);
    let request = Request { require_manifest: seen, automatic: true, ..Request::default() };
    match apply::apply(trip, source.as_ref(), request, &mut |_| Ok(()))? {
        Done::Ended(report) => Ok(Day::Ended(report)),
        Done::Planned(_) => Ok(Day::Looked("only a plan was made".into())),
    }
}

fn nothing(state: &State) -> String {
    match &state.current {
        Some(current) => format!("{current} is installed, nothing newer is offered"),
        None => "nothing is offered for this device".into(),
    }
}

/// Whether the offered release is to be installed by itself, now. One that is blocked is: it is refused, and that is told.
fn worth_a_try(state: &State, hour: Result<(), String>) -> Result<(), String> {
    let Some(offered) = &state.available else { return Err(nothing(state)) };
    let version = &offered.version;
    if state.skipped.contains(version) {
        return Err(format!("{version} is offered, and is passed over; `pikit-updater unskip {version}` changes that"));
    }
    let distrusted = |why: &String| offered.blocked.contains(&Reason::Quarantined { version: Some(version.clone()), why: why.clone() }.to_string());
    if let Some(failed) = state.quarantined.iter().find(|q| distrusted(&q.reason)) {
        return Err(format!("{version} is offered, but failed here before ({}) and is not tried again", failed.reason));
    }
    if let Some(doubt) = offered.doubts.first() {
        return Err(format!("{version} is offered and waits: {doubt}"));
    }
    hour.map_err(|when| format!("{version} is offered, and is not installed at this hour: {when}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::event::Outcome;
    use crate::update::rig::{self, CONFIG, Deed, FakeClock, FakeSource, Made, board, made};
    use crate::world::sim::SimDisk;

    fn one() -> Made {
        made("1.0.0", &[("web/index.html", "one"), ("api.py", "a")])
    }

    fn two() -> Made {
        made("1.1.0", &[("web/index.html", "two"), ("api.py", "a")])
    }

    fn sick() -> Made {
        made("1.1.0", &[("web/index.html", "two"), ("web/sick", "x"), ("api.py", "a")])
    }

    /// A day of a board with this in its `[schedule]`. The clock of the tests stands at midnight of a Friday, in UTC.
    fn day(disk: &SimDisk, release: &Made, schedule: &str) -> Result<Day> {
        let config = format!("{CONFIG}[schedule]\n{schedule}\n");
        rig::with_trip_of(disk, &FakeClock::default(), &config, |trip| run(trip, || Ok(Box::new(FakeSource(release.clone())) as Box<dyn Source>)))
    }

    fn looked(day: Result<Day>) -> String {
        match day.unwrap() {
            Day::Looked(words) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn off_asks_nobody_check_looks_and_install_installs() {
        let disk = board(SimDisk::new(), &one());
        let config = format!("{CONFIG}[schedule]\naction = \"off\"\n");
        let off = rig::with_trip_of(&disk, &FakeClock::default(), &config, |trip| run(trip, || panic!("nobody is asked")));
        assert_eq!(off.unwrap(), Day::Off);
        assert!(looked(day(&disk, &two(), "action = \"check\"")).starts_with("1.1.0 is offered"));
        let Day::Ended(report) = day(&disk, &two(), "action = \"install\"").unwrap() else { panic!() };
        assert_eq!((report.outcome, report.to.unwrap().to_string()), (Outcome::Confirmed, "1.1.0".into()));
        assert!(looked(day(&disk, &two(), "action = \"install\"")).contains("nothing newer"));
        assert!(looked(day(&disk, &one(), "action = \"install\"")).contains("nothing newer"), "a lower one is nothing");
    }

    #[test]
    fn a_rollback_stays_until_a_newer_one_comes() {
        let disk = board(SimDisk::new(), &one());
        rig::run(&disk, &Deed::Apply(&two())).unwrap();
        rig::run(&disk, &Deed::Rollback).unwrap();
        assert!(looked(day(&disk, &two(), "action = \"install\"")).contains("passed over"));
        let three = made("1.2.0", &[("web/index.html", "three")]);
        let Day::Ended(report) = day(&disk, &three, "action = \"install\"").unwrap() else { panic!() };
        assert_eq!(report.outcome, Outcome::Confirmed);
    }

    #[test]
    fn what_failed_here_is_not_tried_again() {
        let disk = board(SimDisk::new(), &one());
        let Day::Ended(report) = day(&disk, &sick(), "action = \"install\"").unwrap() else { panic!() };
        assert_eq!((report.outcome, report.code), (Outcome::RolledBack, 6));
        let words = looked(day(&disk, &sick(), "action = \"install\""));
        assert!(words.contains("failed here before") && words.contains("not tried again"), "{words}");
        let well = day(&disk, &two(), "action = \"install\"").unwrap();
        assert!(matches!(well, Day::Ended(r) if r.outcome == Outcome::Confirmed), "the same version with other contents is another release");
    }

    #[test]
    fn a_release_in_waves_waits_for_this_boards_turn_and_a_person_need_not() {
        let disk = board(SimDisk::new(), &one());
        let waves =
            |start: &str| two().with(&format!(r#""rollout":{{"start":"{start}","waves":[{{"after":"0h","percent":1}},{{"after":"1h","percent":100}}]}}"#));
        let automatic = |release: &Made| day(&disk, release, "action = \"install\"");
        // no machine-id here, so it goes last
        let words = looked(automatic(&waves("2100-01-01T00:00:00Z")));
        assert_eq!(words, "1.1.0 is offered and waits: 1.1.0 comes to boards in waves, to this one on 2100-01-01 at 01:00 UTC");
        let by_hand = rig::run(&disk, &Deed::Apply(&waves("2100-01-01T00:00:00Z"))).unwrap().unwrap();
        assert_eq!(by_hand.outcome, Outcome::Confirmed);
        let disk = board(SimDisk::new(), &one());
        let Day::Ended(report) = day(&disk, &waves("2000-01-01T00:00:00Z"), "action = \"install\"").unwrap() else { panic!() };
        assert_eq!(report.outcome, Outcome::Confirmed, "its turn has come");
    }

    #[test]
    fn outside_of_its_days_it_only_looks() {
        let disk = board(SimDisk::new(), &one());
        let today = rig::with_trip_of(&disk, &FakeClock::default(), CONFIG, |trip| trip.world.clock.now().with_timezone(&Local).naive_local());
        let day_name = today.format("%a").to_string().to_lowercase();
        let others: Vec<String> = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().filter(|d| **d != day_name).map(|d| format!("{d:?}")).collect();
        let schedule = format!("action = \"install\"\ndays = [{}]", others.join(","));
        assert!(looked(day(&disk, &two(), &schedule)).contains("not installed at this hour: only on "));
        assert!(matches!(day(&disk, &two(), &format!("action = \"install\"\ndays = [{day_name:?}]")).unwrap(), Day::Ended(_)));
    }

    #[test]
    fn what_cannot_be_installed_here_is_refused_and_told() {
        let disk = board(SimDisk::new(), &one());
        let elsewhere = made("1.1.0", &[("other/file", "x")]);
        let error = day(&disk, &elsewhere, "action = \"install\"").unwrap_err();
        assert_eq!(error.code, Code::Refused);
        let state = rig::with_trip_of(&disk, &FakeClock::default(), CONFIG, |trip| trip.state.clone());
        assert_eq!(state.last_result.unwrap().outcome, Outcome::Refused);
    }
}
