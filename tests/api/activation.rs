//! With a socket that systemd keeps: nothing runs while nobody looks.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Door, Stream};
use crate::support::board::Board;
use crate::support::pulse::Pulse;
use crate::support::wait::until;
use crate::{board, held, release_hold};

/// What systemd does, without systemd: it keeps the socket, and becomes the program with the first connection.
struct Activated {
    child: Child,
    door: Door,
    bearer: String,
}

impl Activated {
    fn new(board: &Board, idle: &str) -> Option<Self> {
        let there = Command::new("systemd-socket-activate").arg("--version").output().is_ok_and(|o| o.status.success());
        if !there {
            assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: systemd-socket-activate is not installed");
            println!("skipped: systemd-socket-activate is not installed");
            return None;
        }
        let token = board.ok(&["token"]).out.trim().to_owned();
        std::fs::create_dir_all(board.path("run/pikit-update")).unwrap();
        let socket = board.path("run/pikit-update/api.sock");
        let mut command = board.command_under(&["systemd-socket-activate", "-l", socket.to_str().unwrap()], &["serve", "--idle", idle]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|l| println!("  {l}")));
        until("the socket", || socket.exists().then_some(()));
        Some(Activated { child, door: Door::Unix(socket), bearer: format!("Bearer {token}") })
    }
    fn state(&self) -> serde_json::Value {
        until("an answer", || self.door.try_ask("GET", "/api/update/status", &[("Authorization", &self.bearer)], "").ok()).json()
    }
    fn listen(&self) -> Stream {
        until("a stream", || self.door.try_listen(&[("Authorization", &self.bearer)]).ok())
    }
    fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
    /// Waits for its end, which must be a good one.
    fn ended(&mut self) -> Duration {
        let begun = Instant::now();
        let status = until("its end", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
        begun.elapsed()
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_ends_when_nobody_asks_and_not_while_somebody_listens() {
    let board = Board::new("idle");
    let Some(mut api) = Activated::new(&board, "1s") else { return };
    let begun = Instant::now();
    // the first question is one that stays: on a slow machine it might end before the second
    let mut stream = api.listen();
    stream.next();
    println!("the first answer came {:?} after the first question, start included", begun.elapsed());
    assert_eq!(api.state()["product"], "pikit");
    // nobody asks for anything for many times as long
    let begun = Instant::now();
    until("some time without a question", || (begun.elapsed() > Duration::from_secs(6)).then_some(()));
    assert!(api.lives());
    let pulse = Pulse::start();
    drop(stream);
    let after = api.ended();
    println!("--idle 1s: ended {after:?} after the last listener left");
    assert!(after < pulse.allows(Duration::from_secs(6)), "{after:?}");
}

#[test]
fn it_does_not_end_while_something_is_being_done() {
    let board = board("idle-work");
    held(&board);
    let Some(mut api) = Activated::new(&board, "1s") else { return };
    let answer = until("an answer", || api.door.try_ask("POST", "/api/update/apply", &[("Authorization", &api.bearer)], "{}").ok());
    assert_eq!(answer.status, 202, "{}", answer.body);
    until("the trial", || board.text("srv/web/index.html").contains("two").then_some(()));
    let begun = Instant::now();
    until("some time without a question", || {
        assert!(api.lives(), "it ended in the middle");
        (begun.elapsed() > Duration::from_secs(5)).then_some(())
    });
    release_hold(&board);
    until("the end of the update", || (board.text("etc/pikit/version") == "1.1.0\n").then_some(()));
    api.ended();
    let last: serde_json::Value = serde_json::from_str(&board.text("var/lib/pikit-update/state.json")).unwrap();
    assert_eq!(last["last_result"]["outcome"], json!("confirmed"));
}
