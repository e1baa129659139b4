//! Another user swaps folders and files of a managed folder for symbolic links to a canary, as fast as it can, while root applies and
//! rolls back: the canary stays as it is, every run ends with words, and once the other user is gone an update succeeds.
//!
//! `PIKIT_RACE=10000` asks for more than the usual 300 rounds, over all ways together.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process};
use support::board::Board;
use support::wait::until;
use support::{mounts, release, tree};

const NOBODY: u32 = 65534;
/// Where the other user's process finds the board.
const BOARD: &str = "PIKIT_RACE_BOARD";
/// What it may do there.
const REACH: &str = "PIKIT_RACE_REACH";

const ONE: &[(&str, &str)] = &[
    ("web/index.html", "one"),
    ("web/same.js", "same"),
    ("web/js/app.js", "one"),
    ("web/js/gone.js", "gone"),
    ("web/img/deep/logo.svg", "one"),
    ("api.py", "one"),
];
const TWO: &[(&str, &str)] = &[
    ("web/index.html", "two"),
    ("web/same.js", "same"),
    ("web/js/app.js", "two"),
    ("web/new/new.js", "new"),
    ("web/img/deep/logo.svg", "two"),
    ("api.py", "two"),
];

/// How far the other user reaches, and how the folder is switched.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    /// It owns the managed folder, which is exchanged.
    Inside,
    /// It owns the folder above as well: staged trees and the managed folder itself are its to rename.
    Beside,
    /// It owns the managed folder, which goes file by file because something is mounted in it.
    FileByFile,
}

fn rounds() -> u64 {
    std::env::var("PIKIT_RACE").map_or(300, |v| v.parse().unwrap_or_else(|e| panic!("PIKIT_RACE: {e}")))
}

fn own_all(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { own_all(&path) } else { std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap() }
    }
}

/// What lies in the canary: kind, content, mode, owner, and the times at which anything of that changed.
fn canary(board: &Board) -> BTreeMap<String, (String, (i64, i64), u64)> {
    let look = |path: String, node: tree::Node| {
        let meta = fs::symlink_metadata(board.path(&path)).unwrap();
        (path, (format!("{node:?}"), (meta.ctime(), meta.ctime_nsec()), meta.ino()))
    };
    tree::read(&board.root, "canary").into_iter().map(|(path, node)| look(path, node)).collect()
}

/// A board whose managed folder is the other user's, and beside it a canary with the very names that root writes and removes.
fn prepared(reach: Reach) -> Board {
    let board = Board::new("race");
    if reach == Reach::FileByFile {
        mounts::tmpfs(&board.path("srv/web/data"), "1m");
    }
    for (version, files) in [("1.0.0", ONE), ("1.1.0", TWO)] {
        release::pack_into(&board.path("src"), version, files, "");
    }
    board.ok(&["apply", "1.0.0", "-y"]);
    for path in ["index.html", "same.js", "js/app.js", "js/gone.js", "new/new.js", "img/deep/logo.svg", "deep/logo.svg", "app.js", "new-0", "old-0", "secret"] {
        board.write(&format!("canary/{path}"), "canary");
    }
    own_all(&board.path("srv/web"));
    if reach == Reach::Beside {
        chown(board.path("srv"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    board
}

/// Starts the other user: this very test program, with no rights.
fn other_user(board: &Board, reach: Reach) -> Child {
    let program = board.path("attacker");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["--exact", "the_other_user", "--nocapture", "--test-threads=1"])
        .env(BOARD, &board.root)
        .env(REACH, format!("{reach:?}"))
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: the process of the other user.
#[test]
fn the_other_user() {
    let Some(root) = std::env::var_os(BOARD).map(PathBuf::from) else { return };
    let beside = std::env::var(REACH).unwrap() == format!("{:?}", Reach::Beside);
    let (srv, web, canary) = (root.join("srv"), root.join("srv/web"), root.join("canary"));
    let victims = [("js", ""), ("img", ""), ("img/deep", "deep"), ("index.html", "index.html"), ("js/app.js", "app.js"), ("new", "new"), ("same.js", "secret")];
    let exchange = |a: &Path, b: &Path| renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
    let mut dice = u64::from(std::process::id());
    let mut roll = |n: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % n
    };
    loop {
        let (victim, target) = victims[roll(victims.len())];
        let (victim, link) = (web.join(victim), web.join(format!(".trap{}", roll(4))));
        let _ = symlink(canary.join(target), &link);
        let back = roll(40);
        if exchange(&victim, &link).is_ok() {
            (0..back).for_each(|_| drop(fs::symlink_metadata(&victim)));
            let _ = exchange(&victim, &link);
        } else {
            // in the place of what is about to be made
            let _ = symlink(canary.join(target), &victim);
            (0..back).for_each(|_| drop(fs::symlink_metadata(&victim)));
            let _ = fs::remove_file(&victim);
        }
        // what root works in: beside the managed folder, or in it
        let homes: &[&Path] = if beside { &[&srv, &web] } else { &[&web] };
        for home in homes {
            for entry in fs::read_dir(home).into_iter().flatten().flatten().filter(|e| e.file_name().to_string_lossy().contains(".pikit-")) {
                let trap = home.join("trap");
                let _ = symlink(&canary, &trap);
                if roll(3) == 0 {
                    let _ = exchange(&entry.path(), &trap);
                    (0..back).for_each(|_| drop(fs::symlink_metadata(&trap)));
                    if roll(2) == 0 {
                        let _ = exchange(&entry.path(), &trap);
                    }
                }
            }
        }
        if beside && roll(10) == 0 {
            let trap = srv.join("evil");
            let _ = symlink(&canary, &trap);
            if exchange(&web, &trap).is_ok() {
                (0..back).for_each(|_| drop(fs::symlink_metadata(&web)));
                let _ = exchange(&web, &trap);
            }
        }
    }
}

/// What a person would do afterwards: the folder back in its place, and the links of the other user gone.
fn tidy(board: &Board, reach: Reach) {
    let (web, srv) = (board.path("srv/web"), board.path("srv"));
    if reach == Reach::Beside && fs::symlink_metadata(&web).is_ok_and(|m| m.is_symlink()) {
        // no single file tells it: the other user removes files, too, when a switch comes between two of its steps
        let known = |p: &PathBuf| ["index.html", "same.js", "js", "img", "new"].iter().filter(|n| fs::symlink_metadata(p.join(n)).is_ok()).count();
        let folders = fs::read_dir(&srv).unwrap().map(|e| e.unwrap().path()).filter(|p| !p.is_symlink() && p.is_dir());
        let tree = folders.max_by_key(known).filter(|p| known(p) > 0).unwrap_or_else(|| panic!("the tree is gone: {:#?}", tree::read(&board.root, "srv")));
        fs::remove_file(&web).unwrap();
        fs::rename(tree, &web).unwrap();
    }
    // a file where the release has a folder, or the other way round: moved away, as the hint says
    for (path, is_folder) in [("js", true), ("img", true), ("index.html", false), ("js/app.js", false), ("img/deep", false), ("same.js", false), ("new", false)]
    {
        match fs::symlink_metadata(web.join(path)) {
            Ok(meta) if meta.is_dir() && !is_folder => fs::remove_dir_all(web.join(path)).unwrap(),
            Ok(meta) if !meta.is_dir() && is_folder => fs::remove_file(web.join(path)).unwrap(),
            _ => {}
        }
    }
    let mut folders = vec![web];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // what was kept of the traps, again and again, gets names that no file can have
            let litter = name.starts_with(".trap") || name.contains(".pikit-kept");
            match entry.file_type().unwrap() {
                kind if litter && kind.is_dir() => drop(fs::remove_dir_all(entry.path())),
                _ if litter => drop(fs::remove_file(entry.path())),
                kind if kind.is_symlink() => fs::remove_file(entry.path()).unwrap(),
                kind if kind.is_dir() => folders.push(entry.path()),
                _ => {}
            }
        }
    }
}

/// A number of rounds; how they ended, by exit code.
fn race(reach: Reach, rounds: u64) {
    let board = prepared(reach);
    let before = canary(&board);
    assert!(before.len() > 12);
    let mut other = other_user(&board, reach);
    let pid = Pid::from_child(&other);
    let mut codes: BTreeMap<i32, u64> = BTreeMap::new();
    for round in 0..rounds {
        let words: &[&str] = match round % 3 {
            0 => &["apply", "1.1.0", "-y", "--allow-downgrade", "--force"],
            1 => &["rollback", "-y"],
            _ => &["apply", "1.0.0", "-y", "--allow-downgrade", "--force"],
        };
        let ran = board.run(words);
        *codes.entry(ran.code).or_default() += 1;
        assert!(!ran.err.contains("panicked") && ran.code < 100, "{reach:?}, round {round}, {words:?}: exit {}: {}", ran.code, ran.err);
        assert!(ran.code == 0 || ran.err.len() > 20, "{reach:?}, round {round}: exit {} without words", ran.code);
        let now = canary(&board);
        assert!(now == before, "{reach:?}, round {round}, {words:?}: the canary changed: {now:?}\n{}", ran.err);
        if ran.code == 7 || round % 20 == 19 {
            // what a person would do: stop whoever it is, put the folder back, settle
            kill_process(pid, Signal::STOP).unwrap();
            // the signal is on its way when the call returns, and reaches one thread after the other
            let stopped = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).is_ok_and(|stat| stat.contains(") T "));
            let threads = || fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
            until("the other user stands still", || threads().all(|t| stopped(t.unwrap())).then_some(()));
            tidy(&board, reach);
            settle(&board, &format!("{reach:?}, round {round}, {words:?}: {}", ran.err));
            kill_process(pid, Signal::CONT).unwrap();
        }
        assert!(other.try_wait().unwrap().is_none(), "the other user gave up");
    }
    other.kill().unwrap();
    other.wait().unwrap();
    tidy(&board, reach);
    settle(&board, "at the end");
    // which of the two is installed depends on who won; one of them is an update
    let other_version = if board.text("etc/pikit/version").trim() == "1.1.0" { "1.0.0" } else { "1.1.0" };
    board.ok(&["apply", other_version, "-y", "--allow-downgrade", "--force"]);
    board.ok(&["verify"]);
    assert!(canary(&board) == before);
    let good = codes.get(&0).copied().unwrap_or(0);
    println!("\n{reach:?}: {rounds} rounds against another user: {good} succeeded, {} ended with words (exit codes {codes:?}), canary intact", rounds - good);
}

/// Settles what is left. Whoever owns a folder in which root works can put something else in the place of what a failed run needs to go on; now and
/// then that is held for a person, who does what the hint says: here they give up that transaction. Nothing outside is ever touched.
fn settle(board: &Board, about: &str) {
    let settled = board.run(&["recover"]);
    if settled.code == 7 {
        assert!(settled.err.contains("hint:"), "{about}: {}", settled.err);
        fs::rename(board.path("var/lib/pikit-update/journal.json"), board.path("journal.aside")).unwrap();
        board.ok(&["recover"]);
        return;
    }
    assert_eq!(settled.code, 0, "{about}\nthen {}", settled.err);
}

#[test]
fn another_user_who_swaps_folders_for_links_gains_nothing() {
    or_skip!();
    if mounts::of_my_own("another_user_who_swaps_folders_for_links_gains_nothing") {
        let rounds = rounds();
        race(Reach::Inside, rounds * 4 / 10);
        race(Reach::Beside, rounds * 3 / 10);
        race(Reach::FileByFile, rounds * 3 / 10);
    }
}
