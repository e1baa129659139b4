//! What a signed release may run, where its owner allows it.

use super::*;
use support::release;
use support::wait::until;

/// A board that allows commands, and a release whose `web/migrate` is this script.
fn offering(name: &str, script: &str) -> Signed {
    let board = Signed::new(name);
    let allowed = board.text("etc/pikit/updater.toml").replace("[services]", "[services]\nallow_commands = true");
    board.write("etc/pikit/updater.toml", allowed);
    offer(&board, "1.1.0", script);
    board
}

fn offer(board: &Signed, version: &str, script: &str) {
    let script = format!("#!/bin/sh\n{script}\n");
    let files = [("web/index.html", version.to_owned()), ("web/migrate", script), ("api.py", "api".to_owned())];
    release::pack_into(&board.path("src"), version, &files, "[modes]\n\"web/migrate\" = \"0755\"\n");
    maintainer::edit(&board.dir(version), |m| m["post_install"] = json!([{"run": ["web/migrate", "--to", "4"], "timeout": "30s"}]));
    sign(&board.dir(version), &[&board.key]);
}

const NOTE: &str = "echo \"$PIKIT_FROM $PIKIT_TO $1 $2\" >> $PIKIT_ROOT/srv/ran";

#[test]
fn it_runs_once_between_switch_and_restarts_and_the_plan_says_so() {
    let board = offering("run-good", &format!("{NOTE}; grep -q 1.1.0 $PIKIT_ROOT/srv/web/index.html"));
    let plan = board.ok(&["apply", "--dry-run"]).out;
    assert!(plan.contains("web/migrate --to 4 as root; what it does to data a rollback cannot undo"), "{plan}");
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("srv/ran"), "1.0.0 1.1.0 --to 4\n");
    board.ok(&["rollback", "-y"]);
    assert_eq!(board.text("srv/ran"), "1.0.0 1.1.0 --to 4\n", "a rollback runs nothing");
}

#[test]
fn it_is_refused_where_the_owner_does_not_allow_it_and_where_it_is_no_file_of_the_release() {
    let board = offering("run-refused", NOTE);
    board.configure("allow_commands = true", "allow_commands = false");
    board.ok(&["check"]);
    board.refuses(&["apply", "-y"], 5, &["wants to run \"web/migrate --to 4\"", "does not allow"]);
    board.configure("allow_commands = false", "allow_commands = true");
    maintainer::edit(&board.dir("1.1.0"), |m| m["post_install"] = json!([{"run": ["/bin/sh", "-c", "id"]}]));
    sign(&board.dir("1.1.0"), &[&board.key]);
    let ran = board.run(&["apply", "-y"]);
    assert!(ran.code == 4, "{}", ran.err);
    assert!(ran.err.contains("not the release that was offered under this version before"), "{}", ran.err);
    offer(&board, "1.2.0", NOTE);
    maintainer::edit(&board.dir("1.2.0"), |m| m["post_install"] = json!([{"run": ["/bin/sh", "-c", "id"]}]));
    sign(&board.dir("1.2.0"), &[&board.key]);
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("does not begin with one of its files"), "{}", ran.err);
    assert!(!board.has("srv/ran"));
}

#[test]
fn one_that_fails_takes_the_release_back() {
    let board = offering("run-fails", "echo 'the data is odd' >&2; exit 3");
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(ran.err.contains("web/migrate --to 4 failed: exit 3: the data is odd"), "{}", ran.err);
    assert_eq!(board.installed(), "1.0.0");
    assert_eq!(board.status()["quarantined"][0]["version"], "1.1.0");
}

#[test]
fn one_that_was_interrupted_is_never_run_again() {
    let board = offering("run-killed", &format!("echo $$ > $PIKIT_ROOT/srv/pid; {NOTE}; exec sleep 1000"));
    let mut apply = board.start(&["apply", "-y"]);
    until("the command runs", || board.has("srv/ran").then_some(()));
    apply.kill().unwrap();
    apply.wait().unwrap();
    board.ok(&["recover"]);
    assert_eq!(board.installed(), "1.0.0");
    assert!(!board.has("srv/web/migrate"));
    assert_eq!(board.text("srv/ran").lines().count(), 1);
    assert_eq!(board.status()["quarantined"], json!([]), "the cut was not the release's fault");
    let why = board.status()["last_result"]["reason"].as_str().unwrap().to_owned();
    assert!(why.contains("none is run twice"), "{why}");
    support::mounts::run("kill", &[board.text("srv/pid").trim()]);
}
