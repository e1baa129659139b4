//! One run at a time, and what a signal does before and after the switch.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::board::{Board, Ran, ran};
use support::liar::{Answer, Fault, Liar};
use support::noise::noise;
use support::tree::{self, difference};
use support::wait;

const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("api.py", "one")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("web/new.js", "new"), ("api.py", "two")];

/// A board with 1.0.0 installed; the trial of 1.1.0 does not end before there is a file `go`.
fn held_in_trial(name: &str) -> Board {
    let board = Board::new(name);
    let script = format!("test ! -e {} || test -e {}", board.path("srv/web/new.js").display(), board.path("go").display());
    board.configure("run = [\"/bin/true\"]", &format!("run = [\"/bin/sh\", \"-c\", \"{script}\"]"));
    board.configure("timeout = \"2s\"", "timeout = \"60s\"");
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", TWO);
    board
}

/// Starts an apply and waits until its trial is under way.
fn on_trial(board: &Board) -> Child {
    let child = board.start(&["apply", "-y"]);
    trial_begins(board);
    child
}

fn trial_begins(board: &Board) {
    wait::until("the trial", || fs::read_to_string(board.path("var/lib/pikit-update/journal.json")).ok().filter(|j| j.contains("\"trial\"")));
}

fn finish(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn of_two_runs_one_goes_on_and_the_other_is_told_who_has_the_lock() {
    or_skip!();
    let board = held_in_trial("two");
    let first = on_trial(&board);
    for words in [&["apply", "-y"][..], &["rollback", "-y"], &["recover"], &["verify", "--repair", "-y"]] {
        let second = board.run(words);
        assert_eq!(second.code, 8, "{words:?}: {}", second.err);
        assert!(second.err.contains(&format!("pid {}", first.id())), "{words:?}: {}", second.err);
    }
    assert_eq!(board.run(&["status"]).code, 0, "who only looks needs no lock");
    board.write("go", "");
    let first = finish(first);
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(board.text("srv/web/index.html"), "two");
}

#[test]
fn of_two_that_start_together_exactly_one_updates() {
    or_skip!();
    let board = held_in_trial("together");
    let both = [board.start(&["apply", "-y"]), board.start(&["apply", "-y"])];
    wait::until("the trial", || fs::read_to_string(board.path("var/lib/pikit-update/journal.json")).ok().filter(|j| j.contains("\"trial\"")));
    board.write("go", "");
    let ended = both.map(finish);
    let mut codes = ended.each_ref().map(|r| r.code);
    codes.sort_unstable();
    // the one that came too late for the lock was turned away; one that came after the end had nothing to do
    assert!(codes == [0, 8] || codes == [0, 0], "{ended:?}");
    let rows = board.text("var/lib/pikit-update/history.jsonl");
    assert_eq!(rows.lines().filter(|l| l.contains("1.1.0")).count(), 1, "{rows}");
}

#[test]
fn a_killed_holder_holds_nothing() {
    or_skip!();
    let board = held_in_trial("killed");
    let mut first = on_trial(&board);
    first.kill().unwrap();
    first.wait().unwrap();
    board.write("go", "");
    // a health check that the killed one was just starting holds a copy of the lock until it is another program
    wait::until("the lock to be free", || (board.run(&["recover"]).code != 8).then_some(()));
    board.ok(&["recover"]);
    assert_eq!(board.text("srv/web/index.html"), "two");
    assert_eq!(board.leftovers(), [""; 0]);
    board.ok(&["apply", "-y"]);
}

#[test]
fn a_lock_file_of_an_earlier_boot_locks_nothing() {
    or_skip!();
    let board = held_in_trial("boot");
    board.write("go", "");
    board.write("var/run/pikit-update.lock", "{\"pid\":1,\"boot_id\":\"an earlier one\",\"since\":\"2026-01-01T00:00:00Z\",\"command\":\"apply\"}\n");
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("srv/web/index.html"), "two");
}

fn stopped_before_the_switch(name: &str, with: Signal) {
    let board = Board::new(name);
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.write("srv/web/mine.txt", "mine");
    let before = board.tree();
    let liar = Liar::start();
    board.configure("dir = \"/src\"", &format!("url = \"{}/kit/\"", liar.url));
    let files = [("web/a.bin", noise(400_000, 1)), ("web/b.bin", noise(400_000, 2)), ("api.py", b"two".to_vec())];
    board.release("1.1.0", &files);
    let bundle = fs::read(board.path("src/1.1.0/pikit-1.1.0.tar.gz")).unwrap();
    liar.file("/kit/manifest.json", fs::read(board.path("src/1.1.0/manifest.json")).unwrap());
    // a line that goes dead when most has arrived
    liar.answer("/kit/pikit-1.1.0.tar.gz", Answer::file(bundle.clone()).fault(Fault::Stall(bundle.len() - 200_000)));
    let child = board.start(&["apply", "-y"]);
    let whole = |path: &std::path::Path| fs::metadata(path).is_ok_and(|m| m.len() == 400_000);
    wait::until("the first file", || {
        let staged =
            fs::read_dir(board.path("srv")).unwrap().map(|e| e.unwrap().path()).find(|p| p.file_name().unwrap().to_str().unwrap().starts_with(".web."));
        staged.filter(|s| whole(&s.join("a.bin")) && s.join("b.bin").exists())
    });
    signal(&child, with);
    let stopped = finish(child);
    assert_eq!(stopped.code, 10, "{}", stopped.err);
    assert!(stopped.err.contains("stopped before anything changed"), "{}", stopped.err);
    assert_eq!(difference(&board.tree(), &before), "");
    assert_eq!(board.leftovers(), [""; 0]);
    let kept = tree::read(&board.root, "var/tmp/pikit-update");
    assert!(kept.values().any(|n| n.content == files[0].1), "the first file is kept");

    liar.file("/kit/pikit-1.1.0.tar.gz", bundle);
    liar.take_requests();
    board.ok(&["apply", "-y"]);
    assert_eq!(fs::read(board.path("srv/web/b.bin")).unwrap(), files[1].1);
    let asked: Vec<Option<String>> =
        liar.take_requests().iter().filter(|r| r.path.contains("tar.gz") && r.method == "GET").map(|r| r.header("range").map(str::to_owned)).collect();
    assert!(!asked.is_empty() && asked.iter().all(|r| r.as_deref().is_some_and(|r| r != "bytes=0-")), "it goes on from where it was: {asked:?}");
    assert_eq!(board.leftovers(), [""; 0]);
}

#[test]
fn a_signal_before_the_switch_changes_nothing_and_the_next_run_goes_on() {
    or_skip!();
    stopped_before_the_switch("int", Signal::INT);
    stopped_before_the_switch("term", Signal::TERM);
    stopped_before_the_switch("hup", Signal::HUP);
}

#[test]
fn one_signal_after_the_switch_is_answered_and_the_update_finishes() {
    or_skip!();
    for with in [Signal::INT, Signal::TERM, Signal::HUP] {
        let board = held_in_trial("after");
        let child = on_trial(&board);
        signal(&child, with);
        board.write("go", "");
        let ended = finish(child);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(board.text("srv/web/index.html"), "two");
        assert_eq!(board.leftovers(), [""; 0]);
    }
}

#[test]
fn under_nohup_a_hang_up_is_no_wish_to_stop() {
    or_skip!();
    let board = held_in_trial("nohup");
    let mut command = board.command_under(&["nohup"], &["apply", "-y"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    trial_begins(&board);
    for _ in 0..2 {
        signal(&child, Signal::HUP);
    }
    board.write("go", "");
    let ended = finish(child);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(board.text("srv/web/index.html"), "two");
}

#[test]
fn a_second_signal_after_the_switch_returns_to_the_old_tree_and_says_so() {
    or_skip!();
    let board = held_in_trial("twice");
    let before = board.tree();
    let child = on_trial(&board);
    let log = || {
        let dir = fs::read_dir(board.path("var/lib/pikit-update/log")).unwrap();
        dir.map(|e| fs::read_to_string(e.unwrap().path()).unwrap_or_default()).collect::<String>()
    };
    wait::until("the first look at the new tree", || log().contains("not healthy yet").then_some(()));
    signal(&child, Signal::TERM);
    wait::until("an answer to the first signal", || log().contains("stop again to return to the old tree now").then_some(()));
    signal(&child, Signal::TERM);
    let ended = finish(child);
    assert_eq!(ended.code, 6, "{}", ended.err);
    assert!(ended.err.contains("did not want to wait"), "{}", ended.err);
    assert_eq!(difference(&board.tree(), &before), "");
    assert_eq!(board.leftovers(), [""; 0]);
}
