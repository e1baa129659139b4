//! What the control command says is judged with care: a systemd that does not answer says nothing about a release.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::os::unix::fs::PermissionsExt;

use support::board::Board;

/// A board on which a restart fails so many times in these words before it works.
fn board(name: &str, times: u32, words: &str) -> Board {
    let board = Board::new(name);
    board.release("1.0.0", &[("web/index.html", "one"), ("api.py", "one")]);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", &[("web/index.html", "two"), ("api.py", "two")]);
    let (script, count) = (board.path("control.sh"), board.path("count"));
    board.write("count", "0");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = restart ] || exit 0\nn=$(cat {count})\necho $((n + 1)) > {count}\n[ $n -ge {times} ] && exit 0\necho '{words}' >&2\nexit 1\n",
        count = count.display()
    );
    board.write("control.sh", text);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    board.configure("control = [\"/bin/true\"]", &format!("control = [\"{}\"]", script.display()));
    board
}

#[test]
fn a_systemd_that_does_not_answer_for_a_moment_does_not_condemn_a_release() {
    let board = board("lost", 2, "Failed to restart api.service: Connection reset by peer");
    let ran = board.ok(&["apply", "-y"]);
    assert!(ran.err.contains("systemd did not answer") && ran.err.contains("once more"), "{}", ran.err);
    assert_eq!(board.text("count").trim(), "3");
    assert_eq!(board.text("srv/web/index.html"), "two");
}

#[test]
fn a_service_that_cannot_be_restarted_does_and_so_does_a_systemd_that_never_answers() {
    for (words, tries) in [("Job for api.service failed because the control process exited with error code.", 1), ("Failed to connect to bus: No such file", 4)]
    {
        let board = board("sick", 100, words);
        assert_eq!(board.run(&["apply", "-y"]).code, 6, "{words}");
        assert_eq!(board.text("srv/web/index.html"), "one");
        // as often again when the old one is restarted
        assert_eq!(board.text("count").trim(), (2 * tries).to_string(), "{words}");
    }
}
