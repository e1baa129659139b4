//! The demo with the real program: the story comes out as it should, and nothing is left running.
#![allow(clippy::unwrap_used)] // helpers of tests are no production

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn demo(dir: &PathBuf) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pikit-updater"));
    command.args(["demo", "--tour"]).arg(dir).stdin(Stdio::null()).output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("pikit-demo-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

#[test]
fn the_tour_comes_out_as_told_twice_in_the_same_folder() {
    let dir = folder("tour");
    for _ in 0..2 {
        let ran = demo(&dir);
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
        assert!(said.contains("took itself back") && said.contains("That was the tour"), "{said}");
        // a dashboard that was left running would still have its pid file
        assert!(!dir.join("board/var/run/pikit-api.pid").exists());
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_folder_that_is_no_demo_is_refused() {
    let dir = folder("foreign");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("thesis.odt"), "years of work").unwrap();
    assert_eq!(demo(&dir).status.code(), Some(5));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    fs::remove_dir_all(&dir).unwrap();
}
