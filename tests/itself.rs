//! The updater among what is updated, and what it does with records that a newer one wrote: the real program on real files.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use pikit_updater::record::seal_record;
use serde_json::{Value, json};
use support::board::{Board, program};
use support::release;

const LIVE: &str = "usr/bin/pikit-updater";
const SENTINEL: &str = "var/lib/pikit-update/self-update";

/// The program under test without what is for debuggers, made once.
fn stripped() -> Vec<u8> {
    static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let make = || {
        let to = support::board::home().join(format!("pikit-stripped-{}", std::process::id()));
        assert!(Command::new("strip").arg("-o").arg(&to).arg(program()).status().unwrap().success());
        let bytes = fs::read(&to).unwrap();
        fs::remove_file(to).unwrap();
        bytes
    };
    MADE.get_or_init(make).clone()
}

/// A board that is run by the updater on it, which its releases bring.
fn board(name: &str) -> Board {
    let mut board = Board::new(name);
    board.configure("[services]", "[[managed]]\nfrom = \"bin/pikit-updater\"\nto = \"/usr/bin/pikit-updater\"\n[services]");
    offer(&board, "1.0.0", &stripped());
    board.ok(&["apply", "-y"]);
    board.program = board.path(LIVE);
    board
}

fn offer(board: &Board, version: &str, updater: &[u8]) {
    let files = [("web/index.html", version.as_bytes()), ("api.py", version.as_bytes()), ("bin/pikit-updater", updater)];
    release::pack_into(&board.path("src"), version, &files, "[modes]\n\"bin/pikit-updater\" = \"0755\"");
}

fn live(board: &Board) -> Vec<u8> {
    fs::read(board.path(LIVE)).unwrap()
}

#[test]
fn it_replaces_itself_proves_itself_and_is_returned_from() {
    let board = board("itself");
    let (one, two) = (stripped(), [&stripped()[..], b"two"].concat());
    offer(&board, "1.1.0", &two);
    let ran = board.ok(&["apply", "-y"]);
    assert!(ran.err.contains("1.1.0 is installed") || ran.out.contains("1.1.0"), "{ran:?}");
    assert!(live(&board) == two && fs::read(board.path("usr/bin/pikit-updater.previous")).unwrap() == one);
    let mode = |path: &str| fs::metadata(board.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(LIVE), mode("usr/bin/pikit-updater.previous")), (0o755, 0o755));
    assert!(board.text(SENTINEL).starts_with("path=/usr/bin/pikit-updater\nold="));
    assert!(board.ok(&["doctor", "--offline"]).out.contains("until it has completed a `recover`"));
    // whoever else recovers this card proves nothing about it
    let mut elsewhere = board.copy("elsewhere");
    elsewhere.program = program();
    elsewhere.ok(&["recover"]);
    assert!(elsewhere.has(SENTINEL));
    board.ok(&["recover"]);
    assert!(!board.has(SENTINEL) && live(&board) == two);
    board.ok(&["rollback", "-y"]);
    assert!(live(&board) == one && fs::read(board.path("usr/bin/pikit-updater.previous")).unwrap() == two);
    board.ok(&["recover", "--boot"]);
    assert!(!board.has(SENTINEL));
}

#[test]
fn one_that_does_not_start_or_cannot_read_is_refused_and_nothing_is_touched() {
    let board = board("refused");
    let before = (board.tree(), board.inodes(LIVE));
    let mut foreign = stripped();
    foreign[18] = if foreign[18] == 183 { 62 } else { 183 };
    let cut = stripped()[..200_000].to_vec();
    let cases = [
        (b"#!/bin/sh\necho pikit-updater 9\n".to_vec(), "is to be the updater itself, and it is no program for this board"),
        (foreign, "is a program for"),
        (fs::read("/bin/true").unwrap(), "it does not say that it is pikit-updater"),
        (cut, "it "),
    ];
    for (n, (updater, why)) in cases.into_iter().enumerate() {
        offer(&board, &format!("1.{}.0", n + 1), &updater);
        let ran = board.run(&["apply", "-y"]);
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.err.contains(why), "{why}: {ran:?}");
        assert_eq!((board.tree(), board.leftovers(), board.has(SENTINEL)), (before.0.clone(), vec![], false), "{why}");
        assert_eq!(board.inodes(LIVE), before.1, "{why}");
        assert!(board.ok(&["history"]).out.contains("refused"));
    }
}

#[test]
fn the_self_test_needs_no_rights_takes_no_time_and_changes_nothing() {
    let board = board("self-test");
    let before = board.inodes("var/lib/pikit-update");
    let begun = std::time::Instant::now();
    let ran = board.ok(&["doctor", "--self-test"]);
    println!("self-test: {} ms", begun.elapsed().as_millis());
    assert_eq!(
        ran.out,
        format!("pikit-updater {}\nreads state format 1\nreads journal format 1\nreads trust format 1\nreads backup format 1\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(board.inodes("var/lib/pikit-update"), before);
    let json: Value = serde_json::from_str(&board.ok(&["doctor", "--self-test", "--json"]).out).unwrap();
    assert_eq!((&json["ok"], &json["reads"]["state"]), (&json!(true), &json!(1)));
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let ran = |board: &Board| {
            let root = board.root.display().to_string();
            let words =
                ["--reuid", "65534", "--regid", "65534", "--clear-groups", &board.program.display().to_string(), "--root", &root, "doctor", "--self-test"];
            Command::new("setpriv").args(words).output().unwrap()
        };
        assert!(ran(&board).status.success(), "{:?}", ran(&board));
        // what it may not see it cannot vouch for
        fs::set_permissions(board.path("etc/pikit/updater.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(ran(&board).status.code(), Some(9));
        board.ok(&["doctor", "--self-test"]);
    }
    assert_eq!(board.run(&["doctor", "--self-test", "--offline"]).code, 2);
}

#[test]
fn a_package_that_brings_the_updater_too_is_noticed() {
    let board = board("package");
    assert!(!board.ok(&["doctor", "--offline"]).out.contains("belongs to the package"));
    board.write("var/lib/dpkg/info/pikit-updater.list", "/.\n/usr\n/usr/bin\n/usr/bin/pikit-updater\n/usr/share/man/man1/pikit-updater.1.gz\n");
    let said = board.ok(&["doctor", "--offline"]).out;
    assert!(said.contains("/usr/bin/pikit-updater belongs to the package pikit-updater, and [[managed]] brings it too"), "{said}");
}

/// A board with two releases behind it, a backup, and one quarantined.
fn busy(name: &str) -> Board {
    let board = Board::new(name);
    for version in ["1.0.0", "1.1.0"] {
        board.release(version, &[("web/index.html", version), ("api.py", version)]);
        board.ok(&["apply", "-y"]);
    }
    board.configure("/bin/true\"]\n[trial]", "/bin/true\"]\n[[health]]\nrun = [\"/usr/bin/test\", \"!\", \"-e\", \"/sick\"]\n[trial]");
    let text = board.text("etc/pikit/updater.toml").replace("\"/sick\"", &format!("\"{}\"", board.path("srv/web/sick").display()));
    board.write("etc/pikit/updater.toml", text);
    board.release("1.2.0", &[("web/index.html", "1.2.0"), ("web/sick", ""), ("api.py", "1.2.0")]);
    assert_eq!(board.run(&["apply", "-y"]).code, 6);
    board.release("1.3.0", &[("web/index.html", "1.3.0"), ("api.py", "1.3.0")]);
    board
}

/// Changes a record that carries its own checksum.
fn reseal(board: &Board, path: &str, schema: u32, change: impl Fn(&mut Value)) {
    let whole: Value = serde_json::from_str(&board.text(path)).unwrap();
    let mut body = whole["body"].clone();
    change(&mut body);
    board.write(path, seal_record(schema, &body));
}

fn with(board: &Board, path: &str, key: &str, value: Value) {
    let mut whole: Value = serde_json::from_str(&board.text(path)).unwrap();
    whole[key] = value;
    board.write(path, serde_json::to_vec(&whole).unwrap());
}

/// A board whose apply was killed in its trial.
fn interrupted(name: &str) -> Option<Board> {
    if support::skipped().is_some() {
        return None;
    }
    let board = busy(name);
    let listed = board.copy("list");
    let (_, calls) = support::strace::list(&listed, &["apply", "-y"]);
    let cut = calls.iter().rfind(|c| c.is_rename() && c.text.contains("journal.json")).unwrap().clone();
    support::strace::fault(&board, &["apply", "-y"], &cut, support::strace::Fault::Kill);
    assert!(board.has("var/lib/pikit-update/journal.json"));
    Some(board)
}

#[test]
fn what_a_newer_updater_wrote_is_held_never_guessed_and_never_written_over() {
    let state = "var/lib/pikit-update/state.json";
    let journal = "var/lib/pikit-update/journal.json";
    let trust = "var/lib/pikit-update/trust.json";
    let installed = "var/lib/pikit-update/installed.json";
    type Case = (&'static str, &'static [&'static [&'static str]], &'static [&'static [&'static str]]);
    let cases: [Case; 4] = [
        (
            state,
            &[&["apply", "-y"], &["check"], &["recover"], &["recover", "--boot"], &["rollback", "-y"], &["skip", "1.3.0"], &["auto", "run"]],
            &[&["status"], &["history"]],
        ),
        (journal, &[&["apply", "-y"], &["recover"], &["recover", "--boot"], &["rollback", "-y"], &["auto", "run"]], &[&["status"], &["history"]]),
        // the way back needs none of these
        (trust, &[&["apply", "-y"], &["check"]], &[&["status"], &["rollback", "-y"]]),
        (installed, &[&["apply", "-y"], &["verify"]], &[&["status"], &["recover"]]),
    ];
    for (path, held, fine) in cases {
        let board = if path == journal { interrupted("newer") } else { Some(busy("newer")) };
        let Some(board) = board else { continue };
        match path {
            _ if path == state || path == installed => with(&board, path, "schema", json!(2)),
            _ => reseal(&board, path, 2, |body| *body = json!({"quite": ["different"]})),
        }
        let (bytes, tree) = (fs::read(board.path(path)).unwrap(), board.tree());
        for words in held {
            let ran = board.run(words);
            assert_eq!(ran.code, 7, "{path}: {words:?}: {ran:?}");
            assert!(ran.err.contains("newer updater") && ran.err.contains("nothing was touched"), "{path}: {words:?}: {ran:?}");
            assert_eq!((fs::read(board.path(path)).unwrap(), board.tree()), (bytes.clone(), tree.clone()), "{path}: {words:?}");
        }
        let probed = board.run(&["doctor", "--self-test"]);
        assert!(probed.code == 5 && probed.err.contains("newer updater"), "{path}: {probed:?}");
        for words in fine {
            let ran = board.ok(words);
            if *words == ["status"] {
                assert!(ran.out.contains("1.1.0") || path == journal, "{path}: {ran:?}");
            }
        }
        if path != installed {
            assert_eq!(fs::read(board.path(path)).unwrap(), bytes, "{path} was written over");
        }
    }
    // of a backup that it cannot read nobody is told to return to it
    let board = busy("newer-backup");
    let backup: PathBuf = fs::read_dir(board.path("var/backups/pikit")).unwrap().map(|e| e.unwrap().path()).find(|p| p.join("backup.json").exists()).unwrap();
    let record = backup.join("backup.json").strip_prefix(&board.root).unwrap().to_str().unwrap().to_owned();
    reseal(&board, &record, 2, |body| *body = json!({}));
    let bytes = board.text(&record);
    assert_eq!(board.run(&["rollback", "-y"]).code, 5);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text(&record), bytes);
}

#[test]
fn fields_that_are_not_known_are_no_trouble_and_rows_of_history_stay_as_they_are() {
    let board = busy("more");
    with(&board, "var/lib/pikit-update/state.json", "later", json!({"a": 1}));
    with(&board, "var/lib/pikit-update/installed.json", "later", json!({"a": 1}));
    reseal(&board, "var/lib/pikit-update/trust.json", 1, |body| body["later"] = json!([1]));
    let history = board.text("var/lib/pikit-update/history.jsonl");
    let more = history.replacen("{\"transaction\"", "{\"later\":7,\"transaction\"", 1);
    assert_ne!(more, history);
    // and a row that only a newer one understands
    let more = more + "{\"transaction\":\"zzzzzzzzzzzzzzzzzzzzzzzzzz\",\"action\":\"dance\"}\n";
    board.write("var/lib/pikit-update/history.jsonl", &more);
    board.ok(&["doctor", "--self-test"]);
    board.ok(&["apply", "-y"]);
    assert!(board.text("var/lib/pikit-update/history.jsonl").starts_with(&more), "{}", board.text("var/lib/pikit-update/history.jsonl"));
    assert!(board.text("var/lib/pikit-update/trust.json").contains("later") || board.text("var/lib/pikit-update/trust.previous.json").contains("later"));
    if let Some(board) = interrupted("more-journal") {
        reseal(&board, "var/lib/pikit-update/journal.json", 1, |body| body["later"] = json!(true));
        board.ok(&["recover"]);
        assert_eq!(board.leftovers(), [""; 0]);
    }
}
