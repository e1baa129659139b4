//! The README keeps what it says: its two commands are the ones that everybody and the CI run, and it leads to every page.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use support::pages::{blocks, links, pages, read, root};

/// The only two commands of the README, each for itself.
const TRY_IT: [&str; 2] = ["cargo run --release -- demo", "tests/run"];

#[test]
fn the_readme_has_exactly_two_commands() {
    let shown: Vec<String> = blocks(&read("README.md")).into_iter().filter(|(language, _)| language == "sh").map(|(_, text)| text.trim().to_owned()).collect();
    assert_eq!(shown, TRY_IT);
    for script in ["tests/run", ".ci/run"] {
        let mode = fs::metadata(root().join(script)).unwrap().permissions().mode();
        assert!(mode & 0o111 == 0o111, "{script} is to be executable");
        assert!(Command::new("bash").arg("-n").arg(root().join(script)).status().unwrap().success(), "{script}");
    }
    assert!(read(".ci/run").contains("exec tests/run </dev/null"));
}

#[test]
fn the_demo_of_the_readme_comes_out_as_told() {
    let dir = std::env::temp_dir().join(format!("pikit-readme-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let mut words = TRY_IT[0].rsplit(" -- ").next().unwrap().split(' ').collect::<Vec<_>>();
    words.push("--tour");
    let ran = Command::new(env!("CARGO_BIN_EXE_pikit-updater")).args(&words).current_dir(&dir).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("That was the tour"), "{said}");
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["pikit-demo"], "it stays in the folder that the README names");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn every_page_can_be_found_from_the_readme() {
    let readme = links(&read("README.md"));
    for name in pages().iter().filter(|n| *n != "README.md" && *n != "docs/SUMMARY.md" && *n != "SECURITY.md") {
        assert!(readme.contains(name), "README.md does not lead to {name}");
    }
}
