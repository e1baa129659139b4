//! A release is taken back by its maintainer.

use super::*;

/// A board with 1.1.0, which is bad, and the good 1.0.0 signed anew with a recall.
fn recalled(name: &str, released: i64) -> Signed {
    let board = Signed::new(name);
    board.release_signed("1.1.0", |m| m["released"] = json!(day(-5)));
    board.ok(&["apply", "-y"]);
    board.release_signed("1.0.0", |m| {
        m["released"] = json!(day(released));
        m["recall"] = json!({"max_version": "1.0.0"});
    });
    board
}

#[test]
fn boards_above_it_return_without_any_flag_although_the_bad_release_is_still_there() {
    let board = recalled("recall-down", -1);
    let ran = board.ok(&["check"]);
    assert!(ran.out.contains("1.1.0 was taken back by its maintainer"), "{}", ran.out);
    let state = board.status();
    assert_eq!(
        (&state["update_available"], &state["available"]["version"], &state["available"]["takes_back"]),
        (&json!(true), &json!("1.0.0"), &json!("1.1.0"))
    );
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.0.0");
    // and stay there
    let ran = board.run(&["apply", "1.1.0", "-y"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("taken back by its maintainer"), "{}", ran.err);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.0.0");
    // until something newer comes
    board.release_signed("1.2.0", |m| m["released"] = json!(day(0)));
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.2.0");
    assert!(board.ok(&["check"]).out.contains("up to date"));
}

#[test]
fn automatic_mode_returns_too() {
    let board = recalled("recall-auto", -1);
    let text = board.text("etc/pikit/updater.toml") + "[schedule]\naction = \"install\"\n";
    board.write("etc/pikit/updater.toml", text);
    board.ok(&["auto", "run"]);
    assert_eq!(board.installed(), "1.0.0");
}

#[test]
fn a_recall_that_was_said_before_the_release_does_nothing() {
    let board = recalled("recall-replay", -6);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.1.0");
    board.withdraw("1.1.0");
    board.refuses(&["apply", "-y"], 4, &["an old release is passed off as new"]);
}

#[test]
fn a_board_below_it_is_not_concerned() {
    let board = Signed::new("recall-below");
    board.release_signed("1.1.0", |m| m["released"] = json!(day(-5)));
    board.release_signed("1.2.0", |m| {
        m["released"] = json!(day(-1));
        m["recall"] = json!({"max_version": "1.2.0"});
    });
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.2.0");
}
