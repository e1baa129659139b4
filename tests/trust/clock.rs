//! A board without a clock of its own.

use super::*;

const DONE: &str = "run/systemd/timesync/synchronized";

/// A board whose clock no time server has confirmed, and a release that expires.
fn waiting(name: &str, expires: i64) -> Signed {
    let board = Signed::new(name);
    fs::create_dir_all(board.path("run/systemd/timesync")).unwrap();
    board.release_signed("1.1.0", |m| {
        m["released"] = json!(day(-3));
        m["expires"] = json!(day(expires));
    });
    board
}

#[test]
fn automatic_installs_wait_for_the_clock_and_a_person_is_asked() {
    let board = waiting("clock-waits", 30);
    let text = board.text("etc/pikit/updater.toml") + "[schedule]\naction = \"install\"\n";
    board.write("etc/pikit/updater.toml", text);
    let ran = board.ok(&["auto", "run"]);
    assert!(format!("{}{}", ran.out, ran.err).contains("waits: the clock of this board is not set"), "{}{}", ran.out, ran.err);
    assert_eq!(board.installed(), "1.0.0");
    assert!(board.ok(&["status"]).out.contains("clock"));
    assert_eq!(board.status()["trust"]["clock_set"], false);
    // nobody is there to be asked; the plan says what the question is about
    let ran = board.run(&["apply"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(board.ok(&["apply", "--dry-run"]).out.contains("cannot be told"));
    board.write(DONE, "");
    board.ok(&["auto", "run"]);
    assert_eq!(board.installed(), "1.1.0");
}

#[test]
fn a_person_may_install_without_a_clock() {
    let board = waiting("clock-person", 30);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.1.0");
}

#[test]
fn what_is_certainly_over_is_refused_without_a_clock_too() {
    let board = waiting("clock-over", 30);
    board.ok(&["apply", "-y"]);
    // a later release says what time it is at least
    board.release_signed("1.2.0", |m| m["released"] = json!(day(60)));
    board.ok(&["check"]);
    board.withdraw("1.2.0");
    board.release_signed("1.3.0", |m| m["expires"] = json!(day(40)));
    board.refuses(&["apply", "-y"], 4, &["1.3.0 expired on"]);
}

#[test]
fn one_boot_in_2038_does_not_freeze_a_board() {
    let board = waiting("clock-2038", 30);
    board.ok(&["check"]);
    // as a time server that was far ahead would have left it: a signed release from the future does the same
    board.release_signed("1.2.0", |m| m["released"] = json!("2038-01-19T03:14:07Z"));
    board.ok(&["check"]);
    board.release_signed("1.3.0", |m| m["expires"] = json!(day(30)));
    board.only("1.3.0");
    board.refuses(&["apply", "-y"], 4, &["expired on"]);
    let doctor = board.run(&["doctor", "--offline"]);
    assert!(doctor.out.contains("clock"), "{}", doctor.out);
    // a confirmed clock corrects it, and so does a person
    let other = board.copy("clock-2038-person");
    board.write(DONE, "");
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.3.0");
    let learned: DateTime<Utc> = memory(&board)["learned"]["time"].as_str().unwrap().parse().unwrap();
    assert!(learned < day(1));
    other.run(&["doctor", "--offline", "--reset-time"]);
    other.ok(&["apply", "-y"]);
    assert_eq!(other.text("etc/pikit/version").trim(), "1.3.0");
}
