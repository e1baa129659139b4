//! Other people's bad moments: saves, removals and failures at the worst time, and what must still hold.

use std::path::Path;

use rustix::io::Errno;

use super::rig::{Deed, Made, board, leftovers, made, run, tree, write};
use crate::event::Outcome;
use crate::world::sim::{Cut, SimDisk};
use crate::world::{Disk, durable};

fn old() -> Made {
    made("1.0.0", &[("web/index.html", "old"), ("web/gone/away.js", "gone"), ("web/config.json!", "{}"), ("api.py", "old api")])
}

fn new() -> Made {
    made("1.1.0", &[("web/index.html", "new!"), ("web/js/app.js", "app"), ("web/config.json!", "{}"), ("api.py", "new api")])
}

fn sick() -> Made {
    made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes"), ("web/config.json!", "{}"), ("api.py", "sick api")])
}

fn read(disk: &SimDisk, path: &str) -> Option<String> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap())
}

/// Where a content lies, managed paths and backups.
fn places(disk: &SimDisk, content: &str) -> Vec<String> {
    let tops = ["/srv", "/usr/bin", "/var/backups/pikit"].into_iter().filter(|top| disk.meta(Path::new(top)).unwrap().is_some());
    let all = tops.flat_map(|top| disk.dump(Path::new(top)).into_iter().map(move |(p, d)| (Path::new(top).join(p), d)));
    all.filter(|(_, d)| d.content == content.as_bytes()).map(|(p, _)| p.display().to_string()).collect()
}

/// Somebody does this before each effect of the deed in turn.
fn at_every_effect(base: &SimDisk, deed: &Deed, by: fn(&SimDisk), then: impl Fn(&SimDisk, Option<Outcome>, &str)) {
    let dry = base.clone();
    let _ = run(&dry, deed);
    for k in 0..dry.effects() {
        let disk = base.clone();
        disk.meanwhile(k, by);
        let ended = run(&disk, deed);
        let words = format!("at effect {k} of {}: {:?}", dry.effects(), ended.as_ref().map(|r| r.as_ref().map(|r| (r.outcome, r.reason.clone()))));
        run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("{words}: recovery: {e}"));
        let ours: Vec<_> = leftovers(&disk).into_iter().filter(|p| !p.to_string_lossy().contains(".pikit-kept")).collect();
        assert_eq!(ours, Vec::<std::path::PathBuf>::new(), "{words}");
        then(&disk, ended.ok().flatten().map(|r| r.outcome), &words);
    }
}

/// An editor saves by rename: the managed file has another inode from then on.
#[test]
fn a_managed_file_that_is_saved_meanwhile_does_not_keep_the_others_company() {
    let base = board(SimDisk::new(), &old());
    at_every_effect(
        &base,
        &Deed::Apply(&new()),
        |d| write(d, "/usr/bin/api.py", "by hand"),
        |disk, outcome, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
            assert!(places(disk, "new api").iter().all(|p| p == "/usr/bin/api.py"), "{words}: the new one was put aside: {:?}", places(disk, "new api"));
            if outcome == Some(Outcome::Confirmed) && read(disk, "/usr/bin/api.py").as_deref() == Some("by hand") {
                assert_eq!(places(disk, "new api"), [""; 0], "{words}");
            }
        },
    );
    at_every_effect(
        &base,
        &Deed::Apply(&sick()),
        |d| write(d, "/usr/bin/api.py", "by hand"),
        |disk, outcome, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
            if outcome == Some(Outcome::RolledBack) {
                let aside = places(disk, "old api");
                assert!(aside.iter().all(|p| p == "/usr/bin/api.py"), "{words}: the old one was put aside: {aside:?}");
                assert_eq!(read(disk, "/srv/web/index.html").as_deref(), Some("old"), "{words}");
            }
        },
    );
}

#[test]
fn a_managed_file_that_goes_and_is_made_anew_meanwhile_loses_neither() {
    let base = board(SimDisk::new(), &old());
    let without = made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes")]);
    let was_aside = std::cell::Cell::new(0);
    at_every_effect(
        &base,
        &Deed::Apply(&without),
        |d| write(d, "/usr/bin/api.py", "by hand"),
        |disk, outcome, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
            if outcome == Some(Outcome::RolledBack) {
                // what was put aside made room for the old one
                let aside = places(disk, "by hand").iter().any(|p| p.contains("pikit-kept"));
                assert_eq!(read(disk, "/usr/bin/api.py").as_deref(), Some(if aside { "old api" } else { "by hand" }), "{words}");
                was_aside.set(was_aside.get() + u32::from(aside));
            }
        },
    );
    assert!(was_aside.get() > 10, "{}", was_aside.get());
}

#[test]
fn a_file_saved_by_rename_in_the_trial_survives_a_power_cut_there() {
    let base = board(SimDisk::new(), &old());
    let dry = base.clone();
    run(&dry, &Deed::Apply(&sick())).unwrap();
    for k in 0..dry.effects() {
        for after in [1, 3, 8] {
            let disk = base.clone();
            disk.meanwhile(k, |d| write(d, "/usr/bin/api.py", "by hand"));
            disk.cut_after(k + after);
            let _ = run(&disk, &Deed::Apply(&sick()));
            let disk = disk.after_power_cut(Cut::KeepAll);
            run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("saved at {k}, cut {after} later: {e}"));
            if read(&disk, "/usr/bin/api.py").is_some() {
                assert!(places(&disk, "old api").iter().all(|p| p == "/usr/bin/api.py"), "saved at {k}, cut {after} later");
            }
        }
    }
}

#[test]
fn what_is_saved_into_a_first_install_that_fails_stays() {
    let disk = SimDisk::new();
    for dir in ["/usr/bin", "/srv"] {
        durable::make_dirs(&disk, Path::new(dir), 0o755).unwrap();
    }
    let base = disk.clone();
    let save = |d: &SimDisk| {
        if d.meta(Path::new("/srv/web")).unwrap().is_some() {
            write(d, "/srv/web/mine.txt", "by hand");
            write(d, "/srv/web/a/b.txt", "deep");
        }
    };
    let dry = base.clone();
    run(&dry, &Deed::Apply(&sick())).unwrap();
    let mut saved = 0;
    for k in 0..dry.effects() {
        for cut in [None, Some(k + 2), Some(k + 6), Some(k + 12)] {
            let disk = base.clone();
            let was = std::rc::Rc::new(std::cell::Cell::new(false));
            let seen = was.clone();
            disk.meanwhile(k, move |d| {
                seen.set(d.meta(Path::new("/srv/web")).unwrap().is_some());
                save(d);
            });
            if let Some(cut) = cut {
                disk.cut_after(cut);
            }
            let _ = run(&disk, &Deed::Apply(&sick()));
            let disk = if cut.is_some() { disk.after_power_cut(Cut::KeepAll) } else { disk };
            run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("saved at {k}, cut at {cut:?}: {e}"));
            if was.get() {
                saved += 1;
                assert_eq!(read(&disk, "/srv/web/mine.txt").as_deref(), Some("by hand"), "saved at {k}, cut at {cut:?}");
                assert_eq!(read(&disk, "/srv/web/a/b.txt").as_deref(), Some("deep"), "saved at {k}, cut at {cut:?}");
            }
        }
    }
    assert!(saved > 10, "{saved}");
}

/// The second path refuses the exchange after the first was made; power goes while all is put back.
#[test]
fn power_lost_while_a_refused_exchange_is_put_back_deletes_nothing() {
    let base = board(SimDisk::new(), &old());
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    for k in 0..dry.effects() {
        let refused = base.clone();
        refused.fail_after(k, Errno::XDEV);
        let Ok(Some(_)) = run(&refused, &Deed::Apply(&new())) else { continue };
        for j in k..k + 60 {
            let disk = base.clone();
            disk.fail_after(k, Errno::XDEV);
            disk.cut_after(j);
            let _ = run(&disk, &Deed::Apply(&new()));
            let disk = disk.after_power_cut(Cut::KeepAll);
            run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("refused at {k}, cut at {j}: {e}"));
            assert_eq!(read(&disk, "/srv/web/mine.txt").as_deref(), Some("mine"), "refused at {k}, cut at {j}");
            assert_eq!(read(&disk, "/srv/web/mine/deep.txt").as_deref(), Some("deep"), "refused at {k}, cut at {j}");
        }
    }
}

/// A record that was written although its sync failed is believed after a power cut: nothing it counts on may be gone by then.
#[test]
fn one_failed_sync_and_then_a_power_cut_leave_one_tree() {
    let base = board(SimDisk::new(), &old());
    let before = tree(&base);
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    let after = tree(&dry);
    for k in 0..dry.effects() {
        for j in k + 1..(k + 40).min(dry.effects() + 20) {
            let disk = base.clone();
            disk.fail_after(k, Errno::IO);
            disk.cut_after(j);
            let _ = run(&disk, &Deed::Apply(&new()));
            let disk = disk.after_power_cut(Cut::KeepAll);
            run(&disk, &Deed::Recover).unwrap_or_else(|e| panic!("failed at {k}, cut at {j}: {e}"));
            let now = tree(&disk);
            assert!(now == before || now == after, "failed at {k}, cut at {j}: neither old nor new");
        }
    }
}

fn file_by_file() -> SimDisk {
    board(SimDisk::with_volumes(&[("/srv", false, 1 << 40)]), &old())
}

#[test]
fn file_by_file_an_edit_of_a_file_that_is_replaced_is_live_or_kept() {
    at_every_effect(
        &file_by_file(),
        &Deed::Apply(&new()),
        |d| write(d, "/srv/web/index.html", "by hand"),
        |disk, _, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
        },
    );
}

#[test]
fn file_by_file_an_edit_of_a_file_that_goes_is_live_or_kept() {
    at_every_effect(
        &file_by_file(),
        &Deed::Apply(&new()),
        |d| write(d, "/srv/web/gone/away.js", "by hand"),
        |disk, _, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
        },
    );
}

#[test]
fn file_by_file_a_file_made_where_a_new_one_comes_is_live_or_kept() {
    at_every_effect(
        &file_by_file(),
        &Deed::Apply(&new()),
        |d| write(d, "/srv/web/js/app.js", "by hand"),
        |disk, _, words| {
            assert!(!places(disk, "by hand").is_empty(), "{words}: lost");
        },
    );
}

#[test]
fn file_by_file_what_is_edited_in_a_trial_survives_the_return() {
    for path in ["/srv/web/index.html", "/srv/web/gone/away.js", "/srv/web/sick.txt"] {
        let sick = made("1.2.0", &[("web/index.html", "sick"), ("web/sick", "yes"), ("web/sick.txt", "x"), ("web/config.json!", "{}"), ("api.py", "sick api")]);
        let dry = file_by_file();
        run(&dry, &Deed::Apply(&sick)).unwrap();
        for k in 0..dry.effects() {
            let disk = file_by_file();
            disk.meanwhile(k, move |d| write(d, path, "by hand"));
            let ended = run(&disk, &Deed::Apply(&sick));
            assert!(!places(&disk, "by hand").is_empty(), "{path} at {k}: lost; {ended:?}");
        }
    }
}

#[test]
fn names_as_long_as_names_can_be_are_no_obstacle() {
    let disk = board(SimDisk::new(), &old());
    let long = format!("/srv/web/{}", "n".repeat(255));
    write_plain(&disk, &long, "a long name");
    let report = run(&disk, &Deed::Apply(&new())).unwrap().unwrap();
    assert_eq!(report.code, 0, "{report:?}");
    assert_eq!(run(&disk, &Deed::Apply(&sick())).unwrap().unwrap().code, 6);
    assert_eq!(read(&disk, &long).as_deref(), Some("a long name"));
    assert_eq!(leftovers(&disk), Vec::<std::path::PathBuf>::new());
}

/// Without the temporary name of [`write`].
fn write_plain(disk: &SimDisk, path: &str, content: &str) {
    let mut file = disk.create(Path::new(path), 0o600).unwrap();
    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
}

/// A deletion is made in two steps; power goes between them.
#[test]
fn a_deletion_that_is_carried_over_leaves_nothing_behind() {
    let base = board(SimDisk::new(), &old());
    write(&base, "/srv/web/unwanted.txt", "unwanted");
    let base = base.clone();
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    for k in 0..dry.effects() {
        for after in 1..30 {
            let disk = base.clone();
            disk.meanwhile(k, |d| d.unlink(Path::new("/srv/web/unwanted.txt")).unwrap());
            disk.cut_after(k + after);
            let _ = run(&disk, &Deed::Apply(&new()));
            let disk = disk.after_power_cut(Cut::KeepAll);
            run(&disk, &Deed::Recover).unwrap();
            assert_eq!(leftovers(&disk), Vec::<std::path::PathBuf>::new(), "deleted at {k}, cut {after} later");
        }
    }
}

#[test]
fn names_that_are_no_text_are_carried_over_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let odd = |bytes: &[u8]| Path::new("/srv/web").join(std::ffi::OsStr::from_bytes(bytes));
    let base = board(SimDisk::new(), &old());
    for name in [b"caf\xe9.txt".as_slice(), b"caf\xe8.txt"] {
        durable::save(&base, &odd(name), name, 0o600).unwrap();
    }
    let base = base.clone();
    let dry = base.clone();
    run(&dry, &Deed::Apply(&new())).unwrap();
    let names = |disk: &SimDisk| disk.list(Path::new("/srv/web")).unwrap();
    assert_eq!(names(&dry).len(), 7, "{:?}", names(&dry));
    for k in 0..dry.effects() {
        let disk = base.clone();
        disk.meanwhile(k, move |d| {
            durable::save(d, &odd(b"caf\xe9.txt"), b"saved meanwhile", 0o600).unwrap();
            d.unlink(&odd(b"caf\xe8.txt")).unwrap();
        });
        run(&disk, &Deed::Apply(&new())).unwrap();
        let content = durable::read(&disk, &odd(b"caf\xe9.txt"), 100).unwrap();
        assert_eq!(content.as_deref(), Some(b"saved meanwhile".as_slice()), "saved at {k}: {:?}", names(&disk));
        assert_eq!(disk.meta(&odd(b"caf\xe8.txt")).unwrap(), None, "deleted at {k}");
        assert_eq!(names(&disk).len(), 6, "saved at {k}: {:?}", names(&disk));
    }
}
