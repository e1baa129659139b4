//! The web UI, tested where it lives: node's own test runner, and a real Chromium against the real program (tests/web).
//! `PIKIT_SHOTS=DIR` asks for pictures, and says where they go.
#![allow(clippy::unwrap_used)] // helpers of tests are no production

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web")
}

/// What is not there to run these tests with.
fn missing(browser: bool) -> Option<&'static str> {
    let runs = |program: &str| Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok_and(|o| o.status.success());
    if !runs("node") {
        return Some("node is not installed");
    }
    let chromium = std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
    if browser && !Path::new(&chromium).exists() {
        return Some("chromium is not installed");
    }
    if browser && !folder().join("node_modules/playwright-core").is_dir() {
        return Some("what drives the browser is not installed: `npm ci --prefix tests/web`");
    }
    None
}

fn node(file: &str, browser: bool) {
    if let Some(why) = missing(browser) {
        println!("skipped: {why}");
        return;
    }
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec", "--test-timeout=3600000", "--test-force-exit"]).arg(folder().join(file));
    command.env("PIKIT_UPDATER", env!("CARGO_BIN_EXE_pikit-updater")).stdin(Stdio::null());
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}");
    assert!(ran.status.success(), "node --test tests/web/{file}: {}\n{said}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_the_page_says_follows_from_what_the_board_said() {
    node("state.test.mjs", false);
}

#[test]
fn every_state_is_readable_in_a_real_browser() {
    node("states.mjs", true);
}

#[test]
fn people_reach_the_truth_whatever_happens_on_the_way() {
    node("journeys.mjs", true);
}
