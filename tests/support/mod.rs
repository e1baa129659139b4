//! What the tests of the whole program share. Each file is one idea; a test program uses its own part.

#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

pub mod liar;
pub mod authority;
pub mod board;
pub mod gitea;
pub mod maintainer;
pub mod mounts;
pub mod noise;
pub mod openapi;
pub mod pages;
pub mod parts;
pub mod pulse;
pub mod release;
pub mod rusage;
pub mod strace;
pub mod terminal;
pub mod tree;
pub mod wait;

/// Why the tests of the whole program cannot run here, if they cannot. In CI they must.
pub fn skipped() -> Option<&'static str> {
    let why = if !rustix::process::getuid().is_root() {
        "needs root"
    } else if !strace::is_here() {
        "strace is not installed"
    } else {
        return None;
    };
    assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: {why}");
    Some(why)
}

/// Leaves the test with a plain word when it cannot run here.
#[macro_export]
macro_rules! or_skip {
    () => {
        if let Some(why) = $crate::support::skipped() {
            println!("skipped: {why}");
            return;
        }
    };
}
