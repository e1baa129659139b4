//! Setting automatic mode on a simulated board, with a systemctl that remembers what it was told.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};

use super::*;
use crate::device::Layout;
use crate::update::rig::{CONFIG, FakeClock};
use crate::world::outside::{Letter, Ran};
use crate::world::sim::{Cut, SimDisk};
use crate::world::{Disk, Outside};

const PATH: &str = "/etc/pikit/updater.toml";
const HOUR: &str = "/etc/systemd/system/pikit-update.timer.d/schedule.conf";
const PATHS: &str = "/etc/systemd/system/pikit-update-apply.service.d/paths.conf";

#[derive(Default)]
struct Systemd {
    told: RefCell<Vec<String>>,
    active: Cell<bool>,
    /// An old one, or one that does not know the unit, or one that fails at this verb.
    old: bool,
    missing: bool,
    fails_at: Cell<Option<&'static str>>,
}

impl Outside for Systemd {
    fn run(&self, argv: &[String], _: Duration) -> io::Result<Ran> {
        assert_eq!(argv[0], "/usr/bin/systemctl");
        let failed = |words: &str| Ok(Ran { status: Some(1), stdout: String::new(), last_error: words.into() });
        let words = argv[1..].join(" ");
        if self.fails_at.get().is_some_and(|verb| words.starts_with(verb)) {
            return failed("no such luck");
        }
        if !words.starts_with("show") {
            self.told.borrow_mut().push(words.clone());
        }
        match words.as_str() {
            "enable --now pikit-update.timer" => self.active.set(true),
            "disable --now pikit-update.timer" => self.active.set(false),
            "daemon-reload" => {}
            show if show.starts_with("show pikit-update.timer --property=") => {
                if self.old && show.contains("--timestamp") {
                    return failed("unrecognized option");
                }
                let load = if self.missing { "not-found" } else { "loaded" };
                let next = match (self.active.get(), self.old) {
                    (false, _) => "",
                    (true, true) => "Sat 2026-11-21 04:31:12 UTC",
                    (true, false) => "@1795235472",
                };
                let active = if self.active.get() { "active" } else { "inactive" };
                let stdout = format!("LoadState={load}\nActiveState={active}\nNextElapseUSecRealtime={next}\n");
                return Ok(Ran { status: Some(0), stdout, last_error: String::new() });
            }
            other => return failed(&format!("unknown: {other}")),
        }
        Ok(Ran { status: Some(0), stdout: String::new(), last_error: String::new() })
    }
    fn try_content(&self, _: &[u8], _: &str, _: &[String], _: Duration) -> io::Result<Ran> {
        unreachable!("no program is tried here")
    }
    fn program(&self) -> Option<std::path::PathBuf> {
        None
    }
    fn run_content(&self, _: &[u8], _: &str, _: &[String], _: &[(&str, String)], _: Duration) -> io::Result<Ran> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn http(&self, _: &str, _: Duration) -> std::result::Result<(u16, String), String> {
        unreachable!("nobody asks")
    }
    fn post(&self, _: &Letter, _: Duration) -> std::result::Result<(u16, String), String> {
        unreachable!("nobody is told")
    }
    fn tcp(&self, _: &str, _: Duration) -> std::result::Result<(), String> {
        unreachable!("nobody asks")
    }
}

/// A config whose control command is systemctl.
fn config() -> String {
    CONFIG.replace("\"ctl\"", "\"/usr/bin/systemctl\"") + "[schedule] # mine\naction = \"off\" # for now\n"
}

fn board() -> SimDisk {
    let disk = SimDisk::new();
    durable::make_dirs(&disk, Path::new("/etc/pikit"), 0o755).unwrap();
    durable::make_dirs(&disk, Path::new(RUNS), 0o755).unwrap();
    let mut file = disk.create(Path::new(PATH), 0o600).unwrap();
    file.own(7, 8, 0o640).unwrap();
    file.write_all(config().as_bytes()).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/etc/pikit")).unwrap();
    disk
}

const RUNS: &str = "/run/systemd/system";

fn read(disk: &SimDisk, path: &str) -> Option<String> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap())
}

fn settings(disk: &SimDisk) -> Settings {
    Settings::parse(&read(disk, PATH).unwrap(), &Layout::new("/")).unwrap()
}

fn set_to(disk: &SimDisk, systemd: &Systemd, mode: Option<&str>, at: Option<&str>) -> Result<Set> {
    let clock = FakeClock::default();
    set(World { disk, outside: systemd, clock: &clock }, &settings(disk), Path::new(PATH), mode, at)
}

#[test]
fn the_config_says_it_the_drop_ins_say_it_and_systemd_is_told() {
    let (disk, systemd) = (board(), Systemd::default());
    let set = set_to(&disk, &systemd, Some("install"), Some("05:07")).unwrap();
    assert_eq!((set.schedule.action.as_str(), set.next.timer, set.notes.len()), ("install", true, 0), "{set:?}");
    assert_eq!(set.next.at, chrono::DateTime::from_timestamp(1_795_235_472, 0));
    assert_eq!(*systemd.told.borrow(), ["daemon-reload", "enable --now pikit-update.timer"]);
    assert_eq!(read(&disk, PATH).unwrap(), config().replace("action = \"off\" # for now\n", "at = \"05:07\"\naction = \"install\" # for now\n"));
    let meta = disk.meta(Path::new(PATH)).unwrap().unwrap();
    assert_eq!((meta.mode, meta.uid, meta.gid), (0o640, 7, 8));
    assert!(read(&disk, HOUR).unwrap().contains("OnCalendar=*-*-* 05:07:00\n"));
    assert!(read(&disk, PATHS).unwrap().contains("/usr/bin") && read(&disk, PATHS).unwrap().contains("After=api.service"));

    let set = set_to(&disk, &systemd, Some("off"), None).unwrap();
    assert_eq!((set.schedule.at.as_str(), set.next, set.notes.len()), ("05:07", Next::default(), 0));
    assert_eq!(systemd.told.borrow()[3], "disable --now pikit-update.timer");
}

#[test]
fn what_is_so_already_is_not_written_again_and_systemd_is_told_once_more() {
    let (disk, systemd) = (board(), Systemd::default());
    set_to(&disk, &systemd, Some("check"), None).unwrap();
    let effects = disk.effects();
    set_to(&disk, &systemd, Some("check"), None).unwrap();
    assert_eq!((disk.effects(), systemd.told.borrow().len()), (effects, 4));
}

#[test]
fn an_older_systemctl_is_understood_too() {
    let (disk, systemd) = (board(), Systemd { old: true, ..Systemd::default() });
    let set = set_to(&disk, &systemd, Some("check"), None).unwrap();
    assert_eq!(set.next.at, chrono::DateTime::from_timestamp(1_795_235_472, 0));
}

#[test]
fn without_systemd_or_its_units_only_the_config_changes_and_that_is_said() {
    let missing = Systemd { missing: true, ..Systemd::default() };
    let other = (board(), Systemd::default());
    other.0.rmdir(Path::new(RUNS)).unwrap();
    for (disk, systemd) in [(board(), missing), other] {
        let set = set_to(&disk, &systemd, Some("install"), None).unwrap();
        assert_eq!((set.next, systemd.told.borrow().len(), read(&disk, HOUR)), (Next::default(), 0, None));
        assert!(set.notes.last().unwrap().contains("auto run"), "{:?}", set.notes);
        assert_eq!(settings(&disk).schedule.action, "install");
        assert_eq!(set_to(&disk, &systemd, Some("off"), None).unwrap().notes, Vec::<String>::new(), "off needs nobody to start it");
    }
    // somebody else's service manager, and another board's files
    let clock = FakeClock::default();
    let (disk, systemd) = (board(), Systemd::default());
    let world = World { disk: &disk, outside: &systemd, clock: &clock };
    for control in [vec!["rc-service", "{unit}", "{verb}"], vec!["systemctl", "{verb}", "{unit}"], vec![]] {
        let mut settings = settings(&disk);
        settings.services.control = control.into_iter().map(str::to_owned).collect();
        assert_eq!(timer::control(world, &settings), None);
    }
    assert_eq!(timer::control(world, &Settings { layout: Layout::new("/mnt"), ..settings(&disk) }), None);
}

#[test]
fn what_failed_and_what_had_been_done_is_said_and_the_same_again_mends_it() {
    for verb in ["daemon-reload", "enable", "show"] {
        let (disk, systemd) = (board(), Systemd::default());
        systemd.fails_at.set(Some(verb));
        let error = set_to(&disk, &systemd, Some("install"), None).unwrap_err();
        assert!(error.message().starts_with("/etc/pikit/updater.toml says install at 04:20 now, but the timer could not be set to it: "), "{error}");
        assert!(error.hint.as_deref().unwrap().contains("the same command again"), "{error:?}");
        assert_eq!(settings(&disk).schedule.action, "install");
        systemd.fails_at.set(None);
        assert!(set_to(&disk, &systemd, Some("install"), None).unwrap().next.timer);
    }
}

#[test]
fn cut_at_any_effect_the_config_is_whole_and_the_same_again_mends_it() {
    let systemd = Systemd::default();
    let last = {
        let disk = board();
        set_to(&disk, &systemd, Some("install"), Some("05:07")).unwrap();
        disk.effects()
    };
    let first = board().effects();
    assert!(last - first > 10);
    for (k, cut) in (0..last - first).flat_map(|k| [Cut::LoseAll, Cut::KeepMetadata, Cut::KeepAll].map(|cut| (k, cut))) {
        let disk = board();
        disk.cut_after(k);
        assert!(set_to(&disk, &systemd, Some("install"), Some("05:07")).is_err(), "effect {k}");
        let disk = disk.after_power_cut(cut);
        let action = settings(&disk).schedule.action;
        assert!(["off", "install"].contains(&action.as_str()));
        assert!(set_to(&disk, &systemd, Some("install"), Some("05:07")).unwrap().next.timer);
        assert!(read(&disk, HOUR).unwrap().ends_with("RandomizedDelaySec=1800000ms\n"));
        let left: Vec<_> = disk.list(Path::new("/etc/pikit")).unwrap().into_iter().filter(|n| n != "updater.toml").collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new(), "effect {k}, {cut:?}");
    }
}

#[test]
fn what_is_no_mode_or_no_time_changes_nothing() {
    let (disk, systemd) = (board(), Systemd::default());
    let effects = disk.effects();
    for (mode, at, word) in [(Some("always"), None, "schedule.action"), (None, Some("4:20"), "schedule.at"), (None, Some("24:00"), "schedule.at")] {
        let error = set_to(&disk, &systemd, mode, at).unwrap_err();
        assert_eq!((error.code, error.message().contains(word)), (Code::Usage, true), "{error}");
    }
    assert_eq!((disk.effects(), systemd.told.borrow().len()), (effects, 0));
}

#[test]
fn a_config_that_is_a_link_is_changed_where_it_leads() {
    let (disk, systemd) = (board(), Systemd::default());
    let real = Path::new("/etc/pikit/real.toml");
    disk.rename(Path::new(PATH), real, false).unwrap();
    disk.plant_link(Path::new("second.toml"), Path::new(PATH));
    disk.plant_link(real, Path::new("/etc/pikit/second.toml"));
    let clock = FakeClock::default();
    let world = World { disk: &disk, outside: &systemd, clock: &clock };
    let before = Settings::parse(&config(), &Layout::new("/")).unwrap();
    set(world, &before, Path::new(PATH), Some("check"), None).unwrap();
    assert!(read(&disk, "/etc/pikit/real.toml").unwrap().contains("action = \"check\""));
    assert_eq!(disk.meta(Path::new(PATH)).unwrap().unwrap().kind, Kind::Link);
    disk.unlink(real).unwrap();
    assert_eq!(set(world, &before, Path::new(PATH), Some("off"), None).unwrap_err().code, Code::Usage);
}

#[test]
fn a_unit_that_may_not_write_the_drop_ins_of_units_still_sets_the_hour() {
    use rustix::io::Errno;
    let (disk, systemd) = (board(), Systemd::default());
    set_to(&disk, &systemd, Some("check"), None).unwrap();
    // the config has a new managed path since, and only the drop-in of the timer can be written from here
    let text = read(&disk, PATH).unwrap().replace("/srv/web/", "/opt/web/");
    durable::save(&disk, Path::new(PATH), text.as_bytes(), 0o644).unwrap();
    let clock = FakeClock::default();
    assert!(look(World { disk: &disk, outside: &systemd, clock: &clock }, &settings(&disk)).notes[0].contains("tells it again"));
    disk.fail_from(0, Errno::ROFS);
    let set = set_to(&disk, &systemd, Some("check"), None).unwrap();
    assert!(set.next.timer && set.notes.len() == 5 && set.notes[0].contains("in a shell"), "{:?}", set.notes);
    let error = set_to(&disk, &systemd, Some("install"), None).unwrap_err();
    assert_eq!(error.code, Code::Permission);
}

#[test]
fn what_somebody_saves_meanwhile_is_not_lost() {
    let (disk, systemd) = (board(), Systemd::default());
    let clock = FakeClock::default();
    let before = settings(&disk);
    let text = config().replace("# mine", "# yours");
    let theirs = text.clone();
    // between our look and our rename
    disk.meanwhile(2, move |disk| durable::save(disk, Path::new(PATH), theirs.as_bytes(), 0o644).unwrap());
    set(World { disk: &disk, outside: &systemd, clock: &clock }, &before, Path::new(PATH), Some("check"), None).unwrap();
    assert_eq!(read(&disk, PATH).unwrap(), text.replace("\"off\"", "\"check\""));
    assert_eq!(disk.list(Path::new("/etc/pikit")).unwrap(), ["updater.toml"]);
}
