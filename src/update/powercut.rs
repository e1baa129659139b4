//! Power lost at every effect, then again at every effect of the recovery, on a disk that keeps only what was synced; and every
//! effect failing once or from there on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::io::Errno;

use super::rig::{Deed, Made, board, leftovers, made, run, tree};
use crate::error::Code;
use crate::event::Outcome;
use crate::world::sim::{Cut, Dumped, SimDisk};

type Tree = BTreeMap<PathBuf, Dumped>;

const CUTS: [Cut; 4] = [Cut::LoseAll, Cut::KeepMetadata, Cut::KeepAll, Cut::Torn(7)];

fn old() -> Made {
    made("1.0.0", &[("web/index.html", "old"), ("web/gone/away.js", "gone"), ("web/same.css", "same"), ("web/config.json!", "{}"), ("api.py", "old api")])
}

fn new() -> Made {
    made("1.1.0", &[("web/index.html", "new!"), ("web/js/app.js", "app"), ("web/same.css", "same"), ("web/config.json!", "{}"), ("api.py", "new api")])
}

fn sick() -> Made {
    made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes"), ("api.py", "sick api")])
}

/// Effects of a deed on a board, and the tree it ends with.
fn undisturbed(disk: &SimDisk, deed: &Deed) -> (u64, Tree) {
    let disk = disk.clone();
    run(&disk, deed).unwrap();
    assert_eq!(leftovers(&disk), Vec::<PathBuf>::new());
    (disk.effects(), tree(&disk))
}

/// After recovery: wholly one of the two trees, nothing left over.
fn settled(disk: &SimDisk, either: [&Tree; 2], words: &dyn Fn() -> String) {
    let now = tree(disk);
    if !either.contains(&&now) {
        let differs = |t: &Tree| {
            now.iter()
                .filter(|(p, d)| t.get(*p) != Some(d))
                .map(|(p, _)| p.clone())
                .chain(t.keys().filter(|p| !now.contains_key(*p)).cloned())
                .collect::<Vec<_>>()
        };
        panic!("{}: neither old ({:?}) nor new ({:?})", words(), differs(either[0]), differs(either[1]));
    }
    assert_eq!(leftovers(disk), Vec::<PathBuf>::new(), "{}", words());
}

/// All pairs: power lost at effect k of the deed, then at effect j of the recovery. Returns how many.
fn all_pairs(base: &SimDisk, deed: &Deed, either: [&Tree; 2], then: Option<(&Made, &Tree)>) -> u64 {
    let (effects, _) = undisturbed(base, deed);
    let mut pairs = 0;
    for k in 0..effects {
        for cut in CUTS {
            let disk = base.clone();
            disk.cut_after(k);
            assert!(run(&disk, deed).is_err(), "effect {k} of {effects} was cut and not noticed");
            let booted = disk.after_power_cut(cut);
            let once = booted.clone();
            let words = || format!("cut at {k} of {effects} with {cut:?}");
            run(&once, &Deed::Recover).unwrap_or_else(|e| panic!("{}: {e}", words()));
            settled(&once, either, &words);
            // recovering a recovered device does nothing
            let again = once.clone();
            run(&again, &Deed::Recover).unwrap();
            assert_eq!(again.effects(), 0, "{}: a second recovery did something", words());
            if let Some((release, end)) = then {
                run(&again, &Deed::Apply(release)).unwrap_or_else(|e| panic!("{}: a fresh apply: {e}", words()));
                settled(&again, [end; 2], &|| format!("{}: after a fresh apply", words()));
            }
            for j in 0..once.effects() {
                let second = booted.clone();
                second.cut_after(j);
                let _ = run(&second, &Deed::Recover);
                let second = second.after_power_cut(if (k + j) % 2 == 0 { cut } else { Cut::Torn(k * 1000 + j) });
                let words = || format!("cut at {k} of {effects} with {cut:?}, then at {j} of the recovery");
                run(&second, &Deed::Recover).unwrap_or_else(|e| panic!("{}: {e}", words()));
                settled(&second, either, &words);
                pairs += 1;
            }
        }
    }
    pairs
}

#[test]
fn power_lost_at_any_two_effects_of_an_update_leaves_the_old_tree_or_the_new_one() {
    let base = board(SimDisk::new(), &old());
    let before = tree(&base);
    let (effects, after) = undisturbed(&base, &Deed::Apply(&new()));
    let pairs = all_pairs(&base, &Deed::Apply(&new()), [&before, &after], Some((&new(), &after)));
    println!("update by exchange: {effects} effects, {pairs} pairs of cuts survived");
}

/// What orders the journal before the deed when each file system has a journal of its own is our syncing and nothing else.
#[test]
fn power_lost_with_records_and_managed_paths_on_different_file_systems_leaves_one_tree() {
    let base = board(SimDisk::with_volumes(&[("/var", true, 1 << 40), ("/usr", true, 1 << 40)]), &old());
    let before = tree(&base);
    let (effects, after) = undisturbed(&base, &Deed::Apply(&new()));
    let pairs = all_pairs(&base, &Deed::Apply(&new()), [&before, &after], Some((&new(), &after)));
    println!("update over three file systems: {effects} effects, {pairs} pairs of cuts survived");
}

#[test]
fn power_lost_at_any_two_effects_of_a_rollback_leaves_one_tree() {
    let base = board(SimDisk::new(), &old());
    let before = tree(&base);
    run(&base, &Deed::Apply(&new())).unwrap();
    let base = base.clone();
    let after = tree(&base);
    let (effects, end) = undisturbed(&base, &Deed::Rollback);
    assert_eq!(end, before);
    let pairs = all_pairs(&base, &Deed::Rollback, [&after, &before], None);
    println!("rollback: {effects} effects, {pairs} pairs of cuts survived");
}

#[test]
fn power_lost_at_any_two_effects_of_a_sick_update_leads_back() {
    let base = board(SimDisk::new(), &old());
    let before = tree(&base);
    let (effects, end) = undisturbed(&base, &Deed::Apply(&sick()));
    assert_eq!(end, before);
    let pairs = all_pairs(&base, &Deed::Apply(&sick()), [&before, &before], None);
    println!("sick update: {effects} effects, {pairs} pairs of cuts survived");
}

#[test]
fn power_lost_at_any_two_effects_of_a_first_install_leaves_nothing_or_all() {
    let disk = SimDisk::new();
    for dir in ["/usr/bin", "/srv"] {
        crate::world::durable::make_dirs(&disk, std::path::Path::new(dir), 0o755).unwrap();
    }
    let base = disk.clone();
    let before = tree(&base);
    let (_, after) = undisturbed(&base, &Deed::Apply(&old()));
    let pairs = all_pairs(&base, &Deed::Apply(&old()), [&before, &after], Some((&old(), &after)));
    println!("first install: {pairs} pairs of cuts survived");
}

#[test]
fn power_lost_where_a_tree_goes_file_by_file_leaves_one_tree() {
    let base = board(SimDisk::with_volumes(&[("/srv", false, 1 << 40)]), &old());
    let before = tree(&base);
    let (effects, after) = undisturbed(&base, &Deed::Apply(&new()));
    let pairs = all_pairs(&base, &Deed::Apply(&new()), [&before, &after], Some((&new(), &after)));
    println!("update file by file: {effects} effects, {pairs} pairs of cuts survived");
}

/// Every effect fails, once or from there on; then the card is well again and the same command is run again.
fn all_faults(base: &SimDisk, deed: &Deed, either: [&Tree; 2], end: &Tree) -> u64 {
    let (effects, _) = undisturbed(base, deed);
    let mut points = 0;
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS] {
        for sticky in [false, true] {
            for k in 0..effects {
                let disk = base.clone();
                if sticky {
                    disk.fail_from(k, errno)
                } else {
                    disk.fail_after(k, errno)
                }
                let said = run(&disk, deed);
                let words = || format!("{errno:?} at {k} of {effects}{}", if sticky { " and from there on" } else { "" });
                let well = disk.clone();
                if let Ok(Some(report)) = &said {
                    let said = || format!("{}: it said {:?}", words(), report.outcome);
                    match (report.outcome, report.code) {
                        (Outcome::Confirmed, 0) => settled(&well, [either[1]; 2], &said),
                        (Outcome::RolledBack, 6) => settled(&well, [either[0]; 2], &said),
                        other => panic!("{}: it said {other:?}", words()),
                    }
                }
                // a single fault is never too much; with a card that stays broken a person may be needed
                if let (Err(e), false) = (&said, sticky) {
                    assert_ne!(e.code, Code::Stuck, "{}: {e}", words());
                }
                run(&well, &Deed::Recover).unwrap_or_else(|e| panic!("{}: recovery: {e}", words()));
                settled(&well, either, &words);
                run(&well, deed).unwrap_or_else(|e| panic!("{}: once more: {e}", words()));
                settled(&well, [end; 2], &|| format!("{}: once more", words()));
                points += 1;
            }
        }
    }
    points
}

#[test]
fn every_effect_of_an_update_may_fail_and_the_next_run_succeeds() {
    for (name, disk) in [("exchange", SimDisk::new()), ("file by file", SimDisk::with_volumes(&[("/srv", false, 1 << 40)]))] {
        let base = board(disk, &old());
        let before = tree(&base);
        let (_, after) = undisturbed(&base, &Deed::Apply(&new()));
        let points = all_faults(&base, &Deed::Apply(&new()), [&before, &after], &after);
        println!("update by {name}: {points} faults survived");
    }
}
