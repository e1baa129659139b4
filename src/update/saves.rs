//! What people and services save while an update or a rollback runs: not one save is lost.

use std::cell::Cell;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

use super::rig::{Deed, Made, board, made, run, write};
use crate::world::sim::{Cut, SimDisk};
use crate::world::{Disk, durable};

fn old() -> Made {
    made("1.0.0", &[("web/index.html", "old"), ("web/gone/away.js", "gone"), ("web/config.json!", "{}"), ("api.py", "old api")])
}

fn new() -> Made {
    made("1.1.0", &[("web/index.html", "new!"), ("web/js/app.js", "app"), ("web/config.json!", "{}"), ("api.py", "new api")])
}

fn sick() -> Made {
    made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes")])
}

fn read(disk: &SimDisk, path: &str) -> Option<String> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap())
}

/// A person's whole day in one moment: a new file, a changed one, a new folder, a renamed and a deleted file.
fn work(disk: &SimDisk) {
    write(disk, "/srv/web/mine.txt", "saved meanwhile");
    write(disk, "/srv/web/mine-too.txt", "new meanwhile");
    write(disk, "/srv/web/mine/a/b.txt", "deep meanwhile");
    disk.rename(Path::new("/srv/web/before.txt"), Path::new("/srv/web/after.txt"), false).unwrap();
    disk.unlink(Path::new("/srv/web/unwanted.txt")).unwrap();
}

fn worked(disk: &SimDisk, words: &str) {
    assert_eq!(read(disk, "/srv/web/mine.txt").as_deref(), Some("saved meanwhile"), "{words}");
    assert_eq!(read(disk, "/srv/web/mine-too.txt").as_deref(), Some("new meanwhile"), "{words}");
    assert_eq!(read(disk, "/srv/web/mine/a/b.txt").as_deref(), Some("deep meanwhile"), "{words}");
    assert_eq!(read(disk, "/srv/web/mine/deep.txt").as_deref(), Some("deep"), "{words}");
    assert_eq!(read(disk, "/srv/web/after.txt").as_deref(), Some("moved"), "{words}");
    assert_eq!(read(disk, "/srv/web/before.txt"), None, "{words}");
    assert_eq!(read(disk, "/srv/web/unwanted.txt"), None, "{words}: a deleted file came back");
}

fn base(disk: SimDisk) -> SimDisk {
    let disk = board(disk, &old());
    write(&disk, "/srv/web/before.txt", "moved");
    write(&disk, "/srv/web/unwanted.txt", "unwanted");
    disk.clone()
}

fn at_every_effect(base: &SimDisk, deed: &Deed) {
    let dry = base.clone();
    let ended = run(&dry, deed).unwrap().unwrap();
    for k in 0..dry.effects() {
        let disk = base.clone();
        disk.meanwhile(k, work);
        let report = run(&disk, deed).unwrap().unwrap();
        assert_eq!(report.outcome, ended.outcome, "saved at effect {k}");
        worked(&disk, &format!("saved at effect {k}"));
    }
}

#[test]
fn what_is_saved_at_any_moment_of_an_update_is_there_afterwards() {
    at_every_effect(&base(SimDisk::new()), &Deed::Apply(&new()));
}

#[test]
fn what_is_saved_at_any_moment_of_a_sick_update_is_there_after_the_return() {
    at_every_effect(&base(SimDisk::new()), &Deed::Apply(&sick()));
}

#[test]
fn what_is_saved_at_any_moment_of_a_rollback_is_there_afterwards() {
    let disk = base(SimDisk::new());
    run(&disk, &Deed::Apply(&new())).unwrap();
    at_every_effect(&disk.clone(), &Deed::Rollback);
}

#[test]
fn what_is_saved_while_a_tree_goes_file_by_file_is_there_afterwards() {
    at_every_effect(&base(SimDisk::with_volumes(&[("/srv", false, 1 << 40)])), &Deed::Apply(&new()));
}

#[test]
fn an_edit_of_a_listed_file_at_any_moment_is_live_or_kept() {
    let base = base(SimDisk::new());
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    for k in 0..dry.effects() {
        let disk = base.clone();
        disk.meanwhile(k, |disk| write(disk, "/srv/web/index.html", "edited by hand"));
        let ended = run(&disk, &Deed::Apply(&new()));
        let everywhere: Vec<String> = ["/srv", "/var/backups/pikit"]
            .iter()
            .filter(|top| disk.meta(Path::new(top)).unwrap().is_some())
            .flat_map(|top| disk.dump(Path::new(top)))
            .filter(|(_, d)| d.content == b"edited by hand")
            .map(|(p, _)| p.display().to_string())
            .collect();
        assert!(!everywhere.is_empty(), "edited at effect {k}, and lost: {ended:?}");
    }
}

/// Writes into a listed file, in place, if the old one lies there; afterwards `true`: that was done after all was looked at and before the
/// journal said that the switch begins.
fn by_hand(disk: &SimDisk, k: u64) -> Rc<Cell<Option<bool>>> {
    let done = Rc::new(Cell::new(None));
    let told = done.clone();
    disk.meanwhile(k, move |disk| {
        if read(disk, "/srv/web/index.html").as_deref() == Some("old") {
            told.set(Some(read(disk, "/var/lib/pikit-update/journal.json").is_some_and(|journal| journal.contains("preparing"))));
            disk.append(Path::new("/srv/web/index.html")).unwrap().write_all(b" by hand").unwrap();
        }
    });
    done
}

/// A backup is a second name of what it keeps: what is written into a file after it was looked at changes both.
#[test]
fn an_edit_in_place_before_the_switch_ends_the_update_or_comes_back_with_the_backup() {
    let base = base(SimDisk::new());
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    let (mut ended_it, mut too_late, mut came_back) = (0, Vec::new(), 0);
    for k in 0..dry.effects() {
        let disk = base.clone();
        let done = by_hand(&disk, k);
        let ended = run(&disk, &Deed::Apply(&new()));
        let edited = || read(&disk, "/srv/web/index.html").as_deref() == Some("old by hand");
        match (ended, done.get()) {
            (Err(e), _) => {
                assert!(e.message().contains("was changed while the update was being prepared") && edited(), "edited at effect {k}: {}", e.message());
                ended_it += 1;
            }
            (Ok(_), Some(prepared)) => {
                run(&disk, &Deed::Rollback).unwrap_or_else(|e| panic!("edited at effect {k}, and the way back is refused: {}", e.message()));
                assert!(edited(), "edited at effect {k}, and not there again");
                came_back += 1;
                too_late.extend(prepared.then_some(k));
            }
            (Ok(_), None) => {}
        }
    }
    assert!(ended_it > 50 && came_back > 1, "{ended_it} {came_back}");
    // after the last look nothing is left to do but to tell that the switch begins, and to write it into the journal
    assert!(!too_late.is_empty() && too_late.len() < 8, "{too_late:?}");

    // neither a power cut nor a card that fails makes of it a release that cannot be confirmed, or a way back that is refused
    for k in too_late.iter().step_by(3) {
        for then in *k..dry.effects() + 20 {
            for cut in [Some(Cut::LoseAll), Some(Cut::Torn(then)), None] {
                let disk = base.clone();
                by_hand(&disk, *k);
                if cut.is_some() {
                    disk.cut_after(then)
                } else {
                    disk.fail_after(then, rustix::io::Errno::IO)
                }
                let _ = run(&disk, &Deed::Apply(&new()));
                let disk = cut.map_or_else(|| disk.clone(), |cut| disk.after_power_cut(cut));
                let words = format!("edited at effect {k}, {cut:?} at {then}");
                run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("{words}: {}", e.message()));
                // a card that failed just there is told of; the way back then looks at digests
                if cut.is_some() && read(&disk, "/srv/web/index.html").as_deref() == Some("new!") {
                    run(&disk, &Deed::Rollback).unwrap_or_else(|e| panic!("{words}, and the way back is refused: {}", e.message()));
                }
            }
        }
    }
}

/// Services come back to a tree that already has what they saved while it was being prepared.
#[test]
fn what_was_saved_before_the_switch_is_live_before_services_are_restarted() {
    let base = base(SimDisk::new());
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    let (effects, mut waiting) = (dry.effects(), 0);
    for k in 0..effects {
        for cut in [k + 5, k + 20] {
            let disk = base.clone();
            disk.meanwhile(k, work);
            disk.cut_after(cut);
            let _ = run(&disk, &Deed::Apply(&new()));
            if read(&disk.after_power_cut(Cut::KeepAll), "/srv/web/mine-too.txt").is_none() {
                continue;
            }
            let disk = disk.after_power_cut(Cut::KeepAll);
            run(&disk, &Deed::RecoverBoot).unwrap();
            if disk.meta(Path::new("/var/lib/pikit-update/journal.json")).unwrap().is_some() {
                worked(&disk, &format!("saved at {k}, cut at {cut}"));
                waiting += 1;
            }
        }
    }
    assert!(waiting > 5, "{waiting}");
}
