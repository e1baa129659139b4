//! What people live through with an updater, told on a simulated board.

use std::path::Path;

use super::rig::{CONFIG, Deed, FakeClock, Made, board, leftovers, made, run, run_with, tree, write};
use crate::error::Code;
use crate::event::Outcome;
use crate::journal::{ATTEMPTS, Stage};
use crate::world::sim::{Cut, SimDisk};
use crate::world::{Disk, durable};

fn one() -> Made {
    made("1.0.0", &[("web/index.html", "one"), ("web/config.json!", "default 1"), ("api.py", "api one")])
}

fn two() -> Made {
    made("1.1.0", &[("web/index.html", "two"), ("web/config.json!", "default 2"), ("web/extra.js", "extra"), ("api.py", "api two")])
}

fn sick() -> Made {
    made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes"), ("web/config.json!", "default 2"), ("api.py", "api two")])
}

fn read(disk: &SimDisk, path: &str) -> Option<String> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap())
}

fn state(disk: &SimDisk) -> serde_json::Value {
    serde_json::from_str(&read(disk, "/var/lib/pikit-update/state.json").unwrap()).unwrap()
}

fn apply(disk: &SimDisk, release: &Made) -> super::Report {
    run(disk, &Deed::Apply(release)).unwrap().unwrap()
}

#[test]
fn a_sick_release_takes_itself_back_once_and_is_not_tried_again() {
    let disk = board(SimDisk::new(), &one());
    let before = tree(&disk);
    let report = apply(&disk, &sick());
    assert_eq!((report.outcome, report.code), (Outcome::RolledBack, 6));
    assert!(report.reason.unwrap().contains("1.2.0 failed its health check: http://127.0.0.1:1/ping: HTTP 503"));
    assert_eq!(tree(&disk), before);
    assert_eq!(state(&disk)["quarantined"][0]["version"], "1.2.0");
    assert_eq!(state(&disk)["backups"].as_array().unwrap().len(), 0, "the tree it would describe is live");
    let error = run(&disk, &Deed::Apply(&sick())).unwrap_err();
    assert_eq!(error.code, Code::Verification);
    assert!(error.message().contains("is not tried again"), "{error}");
    // signing it again does not bring it back
    let mut signed_again = sick();
    signed_again.manifest = String::from_utf8(signed_again.manifest).unwrap().replacen('{', "{ \"notes\": \"signed again\", ", 1).into_bytes();
    assert_eq!(run(&disk, &Deed::Apply(&signed_again)).unwrap_err().code, Code::Verification);
    // a person may insist, and a newer release clears the memory
    assert_eq!(run(&disk, &Deed::Force(&sick())).unwrap().unwrap().code, 6);
    assert_eq!(apply(&disk, &made("1.3.0", &[("web/index.html", "three")])).code, 0);
    assert_eq!(state(&disk)["quarantined"].as_array().unwrap().len(), 0);
}

#[test]
fn a_check_that_failed_before_cannot_condemn_a_release() {
    let disk = board(SimDisk::new(), &one());
    write(&disk, "/srv/web/sick", "a person broke it");
    let report = apply(&disk, &two());
    assert_eq!((report.outcome, report.code), (Outcome::Confirmed, 0), "{report:?}");
}

#[test]
fn rollback_goes_back_and_forth_and_stays() {
    let disk = board(SimDisk::new(), &one());
    let first = tree(&disk);
    apply(&disk, &two());
    let second = tree(&disk);
    assert_eq!(state(&disk)["backups"].as_array().unwrap().len(), 1);
    let back = run(&disk, &Deed::Rollback).unwrap().unwrap();
    assert_eq!((back.code, back.bytes_fetched), (0, 0));
    assert_eq!(tree(&disk), first);
    assert_eq!(state(&disk)["skipped"], serde_json::json!(["1.1.0"]), "automatic mode must not undo it");
    assert_eq!(state(&disk)["backups"].as_array().unwrap().len(), 1, "keep = 1");
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(tree(&disk), second);
    assert_eq!(state(&disk)["skipped"], serde_json::json!([]), "a person went there");
}

#[test]
fn a_rollback_to_something_sick_is_reported_and_not_undone() {
    let disk = board(SimDisk::new(), &one());
    write(&disk, "/srv/web/sick", "since yesterday");
    apply(&disk, &two());
    disk.unlink(Path::new("/srv/web/sick")).unwrap();
    let settings_of_a_day = CONFIG;
    let clock = FakeClock::default();
    write(&disk, "/srv/web/index.html", "edited");
    let report = run_with(&disk, &Deed::Rollback, &clock, settings_of_a_day).unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Confirmed);
    assert_eq!(read(&disk, "/etc/pikit/version").as_deref(), Some("1.0.0\n"));
}

#[test]
fn edited_config_stays_and_the_new_default_lies_beside_it() {
    let disk = board(SimDisk::new(), &one());
    write(&disk, "/srv/web/config.json", "mine");
    apply(&disk, &two());
    assert_eq!(read(&disk, "/srv/web/config.json").as_deref(), Some("mine"));
    assert_eq!(read(&disk, "/srv/web/config.json.pikit-new").as_deref(), Some("default 2"));
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(read(&disk, "/srv/web/config.json").as_deref(), Some("mine"));
    let untouched = board(SimDisk::new(), &one());
    apply(&untouched, &two());
    assert_eq!(read(&untouched, "/srv/web/config.json").as_deref(), Some("default 2"));
    assert_eq!(read(&untouched, "/srv/web/config.json.pikit-new"), None);
}

#[test]
fn an_edited_file_goes_into_the_backup_and_comes_back() {
    let disk = board(SimDisk::new(), &one());
    write(&disk, "/srv/web/index.html", "edited by hand");
    let report = apply(&disk, &two());
    assert_eq!(report.counts.drifted, 1);
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("two"));
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("edited by hand"));
}

#[test]
fn a_first_install_over_files_that_are_there_can_be_undone() {
    let disk = SimDisk::new();
    durable::make_dirs(&disk, Path::new("/usr/bin"), 0o755).unwrap();
    write(&disk, "/srv/web/index.html", "by rsync");
    write(&disk, "/srv/web/mine.txt", "mine");
    let before = tree(&disk);
    apply(&disk, &one());
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("one"));
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(tree(&disk), before);
}

#[test]
fn apply_without_change_touches_nothing() {
    let disk = board(SimDisk::new(), &one());
    let before = disk.effects();
    let report = apply(&disk, &one());
    assert_eq!(report.outcome, Outcome::UpToDate);
    assert_eq!(disk.effects(), before);
    let lower = made("0.9.0", &[("web/index.html", "zero")]);
    assert_eq!(apply(&disk, &lower).outcome, Outcome::UpToDate, "an offer is no reason to go back");
    assert_eq!(disk.effects(), before);
}

#[test]
fn a_journal_that_cannot_be_read_is_held_and_nothing_is_touched() {
    let disk = board(SimDisk::new(), &one());
    for (journal, words) in [("{ torn", "damaged"), (r#"{"schema":99,"sha256":"x","body":{}}"#, "newer updater")] {
        write(&disk, "/var/lib/pikit-update/journal.json", journal);
        let (before, effects) = (tree(&disk), disk.effects());
        for deed in [Deed::Recover, Deed::Apply(&two()), Deed::Rollback] {
            let error = run(&disk, &deed).unwrap_err();
            assert_eq!(error.code, Code::Stuck);
            assert!(error.message().contains(words), "{error}");
        }
        assert_eq!((tree(&disk), disk.effects()), (before, effects));
    }
}

#[test]
fn a_damaged_state_is_set_aside() {
    let disk = board(SimDisk::new(), &one());
    write(&disk, "/var/lib/pikit-update/state.json", "{ torn");
    apply(&disk, &two());
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(state(&disk)["current"], "1.0.0");
    let names = disk.list(Path::new("/var/lib/pikit-update")).unwrap();
    assert!(names.iter().any(|n| n.to_string_lossy().contains("aside")), "{names:?}");
}

#[test]
fn with_both_generations_of_trust_unreadable_installs_are_refused_and_rollback_works() {
    let disk = board(SimDisk::new(), &one());
    apply(&disk, &two());
    write(&disk, "/var/lib/pikit-update/trust.json", "torn");
    let error = run(&disk, &Deed::Apply(&made("2.0.0", &[("web/index.html", "x")]))).unwrap_err();
    assert_eq!(error.code, Code::Verification);
    run(&disk, &Deed::Rollback).unwrap();
    // one generation is enough
    let disk = board(SimDisk::new(), &one());
    apply(&disk, &sick());
    run(&disk, &Deed::Force(&made("1.2.1", &[("web/sick", "still")]))).unwrap();
    write(&disk, "/var/lib/pikit-update/trust.json", "torn");
    assert!(run(&disk, &Deed::Apply(&sick())).unwrap_err().message().contains("is not tried again"));
}

/// A release that kills the board in its trial does not get to say so: attempts are counted before they begin.
#[test]
fn a_release_that_kills_the_board_three_times_is_taken_back() {
    let base = board(SimDisk::new(), &one());
    let before = tree(&base);
    // the effect after which the journal says that attempt 1 has begun
    let effects = {
        let dry = base.clone();
        run(&dry, &Deed::Apply(&two())).unwrap();
        dry.effects()
    };
    let stage_at = |disk: &SimDisk| {
        let bytes = durable::read(disk, Path::new("/var/lib/pikit-update/journal.json"), 1 << 20).unwrap()?;
        crate::record::open_record::<crate::journal::Journal>(&bytes, 1).ok().map(|j| j.stage)
    };
    let mut disk = (0..effects)
        .map(|k| {
            let disk = base.clone();
            disk.cut_after(k);
            let _ = run(&disk, &Deed::Apply(&two()));
            disk.after_power_cut(Cut::KeepAll)
        })
        .find(|disk| stage_at(disk) == Some(Stage::Trial { attempt: 1 }))
        .unwrap();
    for attempt in 2..=ATTEMPTS {
        let next = (0..60)
            .map(|k| {
                let next = disk.clone();
                next.cut_after(k);
                let _ = run(&next, &Deed::Recover);
                next.after_power_cut(Cut::KeepAll)
            })
            .find(|next| stage_at(next) == Some(Stage::Trial { attempt }))
            .unwrap();
        disk = next;
    }
    let report = run(&disk, &Deed::Recover).unwrap().unwrap();
    assert_eq!((report.outcome, report.code), (Outcome::RolledBack, 6));
    assert_eq!(tree(&disk), before);
    assert!(run(&disk, &Deed::Apply(&two())).unwrap_err().message().contains("cut short 3 times"));
}

#[test]
fn recovery_at_boot_settles_paths_and_leaves_the_trial_for_later() {
    let base = board(SimDisk::new(), &one());
    let after = {
        let d = base.clone();
        apply(&d, &two());
        tree(&d)
    };
    let effects = {
        let d = base.clone();
        apply(&d, &two());
        d.effects()
    };
    let mut pending = 0;
    for k in 0..effects {
        let disk = base.clone();
        disk.cut_after(k);
        let _ = run(&disk, &Deed::Apply(&two()));
        let disk = disk.after_power_cut(Cut::KeepAll);
        let at_boot = run(&disk, &Deed::RecoverBoot).unwrap();
        let waits = disk.meta(Path::new("/var/lib/pikit-update/journal.json")).unwrap().is_some();
        if waits {
            assert_eq!(at_boot, None);
            assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("two"), "cut at {k}");
            pending += 1;
            let report = run(&disk, &Deed::Recover).unwrap().unwrap();
            assert_eq!(report.outcome, Outcome::Confirmed);
            assert_eq!(tree(&disk), after);
        }
        assert_eq!(leftovers(&disk), Vec::<std::path::PathBuf>::new());
    }
    assert!(pending > 5, "{pending}");
}

#[test]
fn what_an_interrupted_run_fetched_is_not_fetched_again() {
    let base = board(SimDisk::new(), &one());
    let whole = {
        let d = base.clone();
        apply(&d, &two()).bytes_fetched
    };
    let effects = {
        let d = base.clone();
        apply(&d, &two());
        d.effects()
    };
    let mut spared = 0;
    for k in 0..effects {
        let disk = base.clone();
        disk.cut_after(k);
        let _ = run(&disk, &Deed::Apply(&two()));
        let disk = disk.after_power_cut(Cut::KeepAll);
        run(&disk, &Deed::Recover).unwrap();
        if read(&disk, "/etc/pikit/version").as_deref() == Some("1.0.0\n") {
            let again = apply(&disk, &two());
            assert!(again.bytes_fetched <= whole);
            spared += u32::from(again.bytes_fetched == 0);
        }
        assert!(disk.meta(Path::new("/var/tmp/pikit-update")).unwrap().is_none(), "cut at {k}: what is not needed any more is gone");
    }
    assert!(spared > 10, "all was on the card already in {spared} cases only");
}

#[test]
fn a_wish_to_stop_before_the_switch_changes_nothing_and_after_it_waits_for_the_verdict() {
    let disk = board(SimDisk::new(), &one());
    let before = tree(&disk);
    let clock = FakeClock::default();
    clock.stops.set(1);
    let error = run_with(&disk, &Deed::Apply(&two()), &clock, CONFIG).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert_eq!((tree(&disk), leftovers(&disk).len()), (before, 0));
    assert_eq!(apply(&disk, &two()).code, 0);
}

#[test]
fn where_an_exchange_is_refused_the_same_update_goes_file_by_file() {
    let disk = board(SimDisk::with_volumes(&[("/srv", false, 1 << 40)]), &one());
    let first = tree(&disk);
    apply(&disk, &two());
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("two"));
    assert_eq!(read(&disk, "/srv/web/mine.txt").as_deref(), Some("mine"));
    assert_eq!(run(&disk, &Deed::Apply(&sick())).unwrap().unwrap().code, 6);
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("two"));
    run(&disk, &Deed::Rollback).unwrap();
    assert_eq!(tree(&disk), first);
}

#[test]
fn a_bundle_that_is_not_what_its_manifest_says_installs_nothing() {
    let good = two();
    let other = made("1.1.0", &[("web/index.html", "evil"), ("web/config.json!", "default 2"), ("web/extra.js", "extra"), ("api.py", "api two")]);
    let extra = made(
        "1.1.0",
        &[("web/index.html", "two"), ("web/evil.js", "evil"), ("web/config.json!", "default 2"), ("web/extra.js", "extra"), ("api.py", "api two")],
    );
    let less = made("1.1.0", &[("web/index.html", "two")]);
    let cut = good.bundle[..good.bundle.len() - 20].to_vec();
    let table = [
        (other.bundle, "is not what the manifest says"),
        (extra.bundle, "does not list"),
        (less.bundle, "lacks"),
        (cut, "damaged"),
        (b"<html>".to_vec(), "damaged"),
    ];
    for (bundle, words) in table {
        let disk = board(SimDisk::new(), &one());
        let before = tree(&disk);
        let error = run(&disk, &Deed::Apply(&Made { manifest: good.manifest.clone(), bundle })).unwrap_err();
        assert_eq!(error.code, Code::Verification, "{error}");
        assert!(error.message().contains(words), "{words}: {error}");
        assert_eq!((tree(&disk), leftovers(&disk).len()), (before, 0));
        assert_eq!(apply(&disk, &good).code, 0);
    }
}

#[test]
fn history_tells_every_transaction_with_its_reason() {
    let disk = board(SimDisk::new(), &one());
    apply(&disk, &two());
    run(&disk, &Deed::Apply(&sick())).unwrap();
    run(&disk, &Deed::Rollback).unwrap();
    let rows: Vec<serde_json::Value> = read(&disk, "/var/lib/pikit-update/history.jsonl").unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: Vec<String> =
        rows.iter().map(|r| format!("{} {} {}", r["action"].as_str().unwrap(), r["to"].as_str().unwrap(), r["outcome"].as_str().unwrap())).collect();
    assert_eq!(told, ["apply 1.0.0 confirmed", "apply 1.1.0 confirmed", "apply 1.2.0 rolled-back", "rollback 1.0.0 confirmed"]);
    assert!(rows[2]["reason"].as_str().unwrap().contains("HTTP 503"));
    let log = read(&disk, &format!("/var/lib/pikit-update/log/{}.log", rows[2]["transaction"].as_str().unwrap())).unwrap();
    assert!(log.contains("switching") && log.contains("rolling-back"), "{log}");
}

#[test]
fn a_repair_puts_back_what_drifted_and_keeps_the_edited_copy_aside() {
    let disk = board(SimDisk::new(), &one());
    apply(&disk, &two());
    let right = tree(&disk);
    let backups = state(&disk)["backups"].clone();
    for damaged in [false, true] {
        write(&disk, "/srv/web/index.html", "edited by hand");
        write(&disk, "/srv/web/config.json", "mine");
        disk.unlink(Path::new("/srv/web/extra.js")).unwrap();
        let mut offered = two();
        if damaged {
            offered.bundle.truncate(20);
        }
        let repaired = run(&disk, &Deed::Repair(&offered));
        if damaged {
            assert_eq!(repaired.unwrap_err().code, Code::Verification);
            assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("edited by hand"));
            continue;
        }
        let report = repaired.unwrap().unwrap();
        assert_eq!((report.outcome, report.counts.changed, report.counts.added), (Outcome::Confirmed, 1, 1));
        let aside = format!("/var/backups/pikit/edited/{}/files/web/index.html", report.transaction.unwrap());
        assert_eq!(read(&disk, &aside).as_deref(), Some("edited by hand"));
        assert_eq!(read(&disk, "/srv/web/config.json").as_deref(), Some("mine"), "an edited config is no drift");
        write(&disk, "/srv/web/config.json", "default 2");
        let now = tree(&disk);
        assert!(right.iter().filter(|(p, _)| !p.ends_with("config.json")).all(|(p, d)| now.get(p) == Some(d)), "{now:?}");
        assert_eq!(state(&disk)["backups"], backups, "it neither makes nor drops a backup");
    }
}
