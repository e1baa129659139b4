//! The updater replaced by a release that holds it: power lost anywhere, a new one that proves itself, and one that cannot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::rig::{CONFIG, Deed, FakeClock, Made, leftovers, made, run_with, tree, write};
use crate::device::Layout;
use crate::error::{Code, Result};
use crate::event::Outcome;
use crate::state::{Ledger, Sentinel, State, history};
use crate::update::Report;
use crate::world::sim::{Cut, Dumped, SimDisk};
use crate::world::{Disk, durable};

const LIVE: &str = "/usr/bin/pikit-updater";
const PREVIOUS: &str = "/usr/bin/pikit-updater.previous";
const CUTS: [Cut; 4] = [Cut::LoseAll, Cut::KeepMetadata, Cut::KeepAll, Cut::Torn(7)];

/// A program of this machine, that does what its text says.
fn program(text: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.truncate(64);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn release(version: &str, updater: &[u8]) -> Made {
    let page = format!("page {version}");
    made(version, &[("web/index.html", page.as_bytes()), ("api.py", version.as_bytes()), ("bin/pikit-updater*", updater)])
}

/// The updater as a managed file, or in a managed folder; by exchange or file by file.
fn boards() -> Vec<(&'static str, SimDisk, String)> {
    let file = CONFIG.replace("[services]", "[[managed]]\nfrom = \"bin/pikit-updater\"\nto = \"/usr/bin/pikit-updater\"\n[services]");
    let folder = CONFIG.replace("/usr/bin/api.py", "/srv/api.py").replace("[services]", "[[managed]]\nfrom = \"bin/\"\nto = \"/usr/bin/\"\n[services]");
    let slow = || SimDisk::with_volumes(&[("/srv", false, 1 << 40), ("/usr", false, 1 << 40)]);
    vec![
        ("a file", SimDisk::new(), file.clone()),
        ("in a folder", SimDisk::new(), folder.clone()),
        ("a file, file by file", slow(), file),
        ("in a folder, file by file", slow(), folder),
    ]
}

fn go(disk: &SimDisk, deed: &Deed, config: &str) -> Result<Option<Report>> {
    run_with(disk, deed, &FakeClock::default(), config)
}

fn board(disk: SimDisk, config: &str) -> SimDisk {
    for dir in ["/usr/bin", "/srv"] {
        durable::make_dirs(&disk, Path::new(dir), 0o755).unwrap();
    }
    let report = go(&disk, &Deed::Apply(&release("1.0.0", &program("one"))), config).unwrap().unwrap();
    assert_eq!(report.code, 0, "{report:?}");
    write(&disk, "/srv/web/mine.txt", "mine");
    for volume in ["/", "/usr", "/srv"] {
        disk.sync_fs(Path::new(volume)).unwrap();
    }
    disk.clone()
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap()
}

/// The managed paths without the old updater beside the new one.
fn releases(disk: &SimDisk) -> BTreeMap<PathBuf, Dumped> {
    tree(disk).into_iter().filter(|(p, _)| p != Path::new(PREVIOUS)).collect()
}

fn sentinel(disk: &SimDisk) -> bool {
    Sentinel::load(disk, &Layout::new("/")).unwrap().there
}

/// What `pikit-update-previous.service` does when it is called for; power may go after its first step.
fn put_back(disk: &SimDisk, steps: u32) -> bool {
    let layout = Layout::new("/");
    if disk.meta(&layout.self_update()).unwrap().is_none() || disk.meta(Path::new(PREVIOUS)).unwrap().is_none() {
        return false;
    }
    disk.rename(Path::new(PREVIOUS), Path::new(LIVE), false).unwrap();
    if steps > 1 {
        disk.rename(&layout.self_update(), &layout.self_update_returned(), false).unwrap();
    }
    for volume in ["/", "/usr"] {
        disk.sync_fs(Path::new(volume)).unwrap();
    }
    true
}

/// At any instant, before anybody recovers anything, a whole updater lies at the path; and the old one beside it as soon as it is replaced.
fn can_start(disk: &SimDisk, either: [&[u8]; 2], words: &str) -> bool {
    let live = content(disk, LIVE).unwrap_or_else(|| panic!("{words}: there is no updater"));
    assert!(either.contains(&live.as_slice()), "{words}: the updater is neither of the two");
    let mode = disk.meta(Path::new(LIVE)).unwrap().unwrap().mode;
    assert_eq!(mode, 0o755, "{words}");
    let new = live == either[1];
    let journal = disk.meta(&Layout::new("/").journal()).unwrap().is_some();
    if new && (journal || sentinel(disk)) {
        assert_eq!(content(disk, PREVIOUS).as_deref(), Some(either[0]), "{words}: the old updater is not beside the new one");
        assert!(sentinel(disk), "{words}: nobody watches over the new updater");
    }
    new
}

#[test]
fn power_lost_at_any_effect_leaves_an_updater_that_starts_and_one_whole_release() {
    let (one, two) = (program("one"), program("two"));
    for (name, disk, config) in boards() {
        let base = board(disk, &config);
        let before = releases(&base);
        let next = release("1.1.0", &two);
        let dry = base.clone();
        assert_eq!(go(&dry, &Deed::Apply(&next), &config).unwrap().unwrap().outcome, Outcome::Confirmed);
        let (effects, after) = (dry.effects(), releases(&dry));
        assert!(sentinel(&dry), "it stands until the new one has proven itself");
        let (mut points, mut returns) = (0, 0);
        for k in 0..effects {
            for cut in CUTS {
                let disk = base.clone();
                disk.cut_after(k);
                let _ = go(&disk, &Deed::Apply(&next), &config);
                let booted = disk.after_power_cut(cut);
                let words = format!("{name}, cut at {k} of {effects} with {cut:?}");
                can_start(&booted, [&one, &two], &words);
                // whoever lies there starts, and can complete recovery
                let well = booted.clone();
                go(&well, &Deed::Recover, &config).unwrap_or_else(|e| panic!("{words}: {e}"));
                let now = releases(&well);
                let differs = |t: &BTreeMap<PathBuf, Dumped>| now.iter().filter(|(p, d)| t.get(*p) != Some(*d)).map(|(p, _)| p.clone()).collect::<Vec<_>>();
                assert!(now == before || now == after, "{words}: neither old ({:?}) nor new ({:?})", differs(&before), differs(&after));
                assert!(!sentinel(&well) && leftovers(&well).is_empty(), "{words}: {:?}", leftovers(&well));
                let again = well.clone();
                go(&again, &Deed::Recover, &config).unwrap();
                assert_eq!(again.effects(), 0, "{words}: a second recovery did something");
                for j in (k % 7..well.effects()).step_by(7).filter(|_| cut == Cut::KeepAll) {
                    let second = booted.clone();
                    second.cut_after(j);
                    let _ = go(&second, &Deed::Recover, &config);
                    let second = second.after_power_cut(cut);
                    can_start(&second, [&one, &two], &format!("{words}, then at {j} of the recovery"));
                }
                // the new one lies there and cannot; its attempts may be cut too, in every way
                for steps in [1, 2] {
                    let sick = booted.clone();
                    if content(&sick, LIVE).as_deref() != Some(&two[..]) || !put_back(&sick, steps) {
                        continue;
                    }
                    let open = sick.meta(&Layout::new("/").journal()).unwrap().is_some();
                    let words = format!("{words}, put back in {steps} steps");
                    go(&sick, &Deed::Recover, &config).unwrap_or_else(|e| panic!("{words}: {e}"));
                    assert_eq!(content(&sick, LIVE).as_deref(), Some(&one[..]), "{words}");
                    assert!(!sentinel(&sick) && leftovers(&sick).is_empty(), "{words}: {:?}", leftovers(&sick));
                    let now = releases(&sick);
                    let without = |t: &BTreeMap<PathBuf, Dumped>| {
                        t.iter().filter(|(p, _)| *p != Path::new(LIVE)).map(|(p, d)| (p.clone(), d.clone())).collect::<Vec<_>>()
                    };
                    assert!(now == before || without(&now) == without(&after), "{words}: neither old nor new");
                    let rows = history::load(&sick, &Layout::new("/")).unwrap();
                    let last = rows.last().unwrap();
                    if now == before {
                        assert!(open && last.result.outcome == Outcome::RolledBack, "{words}: {last:?}");
                    } else {
                        assert_eq!(last.result.outcome, Outcome::Failed, "{words}");
                        assert!(last.result.reason.as_ref().unwrap().contains("could not complete `recover`"), "{words}: {last:?}");
                        assert!(!Ledger::load(&sick, &Layout::new("/")).unwrap().quarantine.is_empty(), "{words}");
                    }
                    returns += 1;
                }
                points += 1;
            }
        }
        println!("{name}: {points} cuts survived, {returns} times the old updater came back");
        assert!(returns > 0);
    }
}

#[test]
fn a_new_updater_proves_itself_with_its_first_recovery_and_the_old_one_stays_beside_it() {
    for (name, disk, config) in boards() {
        let disk = board(disk, &config);
        go(&disk, &Deed::Apply(&release("1.1.0", &program("two"))), &config).unwrap();
        assert!(can_start(&disk, [&program("one"), &program("two")], name) && sentinel(&disk), "{name}");
        go(&disk, &Deed::RecoverBoot, &config).unwrap();
        assert!(!sentinel(&disk), "{name}");
        assert_eq!(content(&disk, PREVIOUS), Some(program("one")), "{name}");
        assert_eq!(content(&disk, LIVE), Some(program("two")), "{name}");
        // and back, with the backup's
        let report = go(&disk, &Deed::Rollback, &config).unwrap().unwrap();
        assert_eq!(
            (report.outcome, content(&disk, LIVE), content(&disk, PREVIOUS)),
            (Outcome::Confirmed, Some(program("one")), Some(program("two"))),
            "{name}"
        );
        assert!(sentinel(&disk), "{name}: who was returned to has to prove itself too");
        go(&disk, &Deed::Recover, &config).unwrap();
        assert!(!sentinel(&disk), "{name}");
    }
}

#[test]
fn one_that_cannot_run_here_or_cannot_read_this_memory_is_refused_before_any_change() {
    let (_, disk, config) = boards().remove(0);
    let base = board(disk, &config);
    let mut foreign = program("two");
    foreign[18] ^= 0x40;
    let cases = [
        (b"#!/bin/sh\nexec true\n".to_vec(), "no program for this board"),
        (foreign, ""),
        (program("no start"), "cannot be started"),
        (program("cannot read"), "newer updater"),
        (program("hangs"), "not done within"),
        (program("reads less"), "does not say that it reads the state"),
        (program("too old"), "self-test"),
    ];
    for (updater, why) in cases {
        let disk = base.clone();
        let before = releases(&disk);
        let error = go(&disk, &Deed::Apply(&release("1.1.0", &updater)), &config).unwrap_err();
        assert_eq!(error.code, Code::Refused, "{error}");
        assert!(error.message().contains(why) && error.hint.as_ref().unwrap().contains("nothing was changed"), "{why}: {error}");
        assert_eq!(releases(&disk), before, "{why}");
        assert!(!sentinel(&disk) && leftovers(&disk).is_empty());
        assert_eq!(State::load(&disk, &Layout::new("/")).unwrap().state.last_result.unwrap().outcome, Outcome::Refused);
    }
    // a mode that nobody can execute, and a release that has none
    let page: &[u8] = b"page";
    for files in [vec![("web/index.html", page), ("bin/pikit-updater", &program("two")[..])], vec![("web/index.html", page)]] {
        let disk = base.clone();
        let error = go(&disk, &Deed::Apply(&made("1.1.0", &files)), &config).unwrap_err();
        assert_eq!(error.code, Code::Refused, "{error}");
        assert_eq!(content(&disk, LIVE), Some(program("one")));
    }
}

#[test]
fn a_rollback_takes_one_that_cannot_be_asked_and_refuses_one_that_cannot_read() {
    let (_, disk, config) = boards().remove(0);
    for dir in ["/usr/bin", "/srv"] {
        durable::make_dirs(&disk, Path::new(dir), 0o755).unwrap();
    }
    for (first, refused) in [("too old", false), ("cannot read", true)] {
        let disk = disk.clone();
        // it was there before anybody asked
        write(&disk, LIVE, "");
        durable::remove(&disk, Path::new(LIVE)).unwrap();
        let mut file = disk.create(Path::new(LIVE), 0o755).unwrap();
        std::io::Write::write_all(&mut file, &program(first)).unwrap();
        file.own(0, 0, 0o755).unwrap();
        drop(file);
        write(&disk, "/srv/web/index.html", "before");
        disk.sync_fs(Path::new("/")).unwrap();
        go(&disk, &Deed::Apply(&release("1.0.0", &program("one"))), &config).unwrap().unwrap();
        let back = go(&disk, &Deed::Rollback, &config);
        if refused {
            assert_eq!(back.unwrap_err().code, Code::Refused);
            assert_eq!(content(&disk, LIVE), Some(program("one")));
        } else {
            assert_eq!(back.unwrap().unwrap().outcome, Outcome::Confirmed);
            assert_eq!(content(&disk, LIVE), Some(program(first)));
        }
    }
}

#[test]
fn what_a_person_put_in_its_place_is_nobody_elses_to_replace() {
    let (_, disk, config) = boards().remove(0);
    let disk = board(disk, &config);
    go(&disk, &Deed::Apply(&release("1.1.0", &program("two"))), &config).unwrap();
    write(&disk, LIVE, "a person's");
    go(&disk, &Deed::Recover, &config).unwrap();
    assert!(!sentinel(&disk));
    assert_eq!(content(&disk, LIVE).as_deref(), Some(&b"a person's"[..]));
    assert!(Ledger::load(&disk, &Layout::new("/")).unwrap().quarantine.is_empty());
}
