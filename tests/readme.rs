//! What README.md and docs/ show is what the program does: the two commands, every command line, every link, the example config.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pikit_updater::device::{Layout, Settings};

/// The only two commands of the README, each for itself.
const TRY_IT: [&str; 2] = ["cargo run --release -- demo", "tests/run"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// README, changelog and everything in docs/.
fn pages() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().into_string().ok())
        .filter(|n| n.ends_with(".md"))
        .map(|n| format!("docs/{n}"))
        .collect();
    names.extend(["README.md".to_owned(), "CHANGELOG.md".to_owned()]);
    names.sort();
    names
}

/// The fenced blocks of a page: language, text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((language, text))) => open = Some((language, text + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    found
}

/// Everything outside of fenced blocks.
fn prose(page: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            text += line;
            text.push('\n');
        }
    }
    text
}

fn updater(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pikit-updater")).args(words).stdin(Stdio::null()).output().unwrap()
}

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

/// The words after `pikit-updater` of every command line shown, up to where a shell would end it.
fn command_lines(page: &str) -> Vec<Vec<String>> {
    let shown = blocks(page).into_iter().filter(|(language, _)| ["sh", "console"].contains(&language.as_str()));
    let lines: Vec<String> = shown.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let command = |line: &String| {
        let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
        let rest = line.strip_prefix("pikit-updater ")?;
        Some(rest.split_whitespace().take_while(|w| !["|", "||", "&&", ">", "<", "#"].contains(w)).map(str::to_owned).collect())
    };
    lines.iter().filter_map(command).collect()
}

#[test]
fn every_command_line_that_is_shown_is_understood() {
    let mut seen = 0;
    for name in pages() {
        for words in command_lines(&read(&name)) {
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words.push("--help");
            let ran = updater(&words);
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("Usage"), "{name}: {}\n{said}{}", words.join(" "), String::from_utf8_lossy(&ran.stderr));
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} command lines were found");
}

#[test]
fn every_command_is_in_the_table_of_commands() {
    let (page, help) = (read("docs/commands.md"), updater(&["--help"]));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let listed = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> = listed.filter(|l| l.starts_with("  ") && !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.len() > 10, "{help}");
    for name in names {
        assert!(page.contains(&format!("`{name}")), "docs/commands.md does not tell of {name}");
    }
}

/// How a server names the place of a heading.
fn anchor(heading: &str) -> String {
    let plain = heading.trim().to_lowercase();
    plain.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    prose(page).lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches('#'))).collect()
}

/// The targets of `[text](target)`.
fn links(page: &str) -> Vec<String> {
    let text = prose(page);
    text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')').map(|(target, _)| target.to_owned())).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for name in pages() {
        let page = read(&name);
        for target in links(&page).into_iter().filter(|t| !t.starts_with("https://")) {
            let (file, place) = target.split_once('#').map_or((target.as_str(), None), |(f, p)| (f, Some(p)));
            let path: PathBuf = if file.is_empty() { root().join(&name) } else { root().join(&name).parent().unwrap().join(file) };
            let there = path.exists() && place.is_none_or(|p| anchors(&fs::read_to_string(&path).unwrap()).contains(p));
            if !there {
                wrong.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_can_be_found_from_the_readme() {
    let readme = links(&read("README.md"));
    for name in pages().iter().filter(|n| *n != "README.md") {
        assert!(readme.contains(name), "README.md does not lead to {name}");
    }
}

#[test]
fn the_example_config_is_the_one_that_the_tests_read() {
    let example = blocks(&read("docs/configure.md")).into_iter().find(|(language, _)| language == "toml").map(|(_, text)| text).unwrap();
    assert_eq!(example, read("tests/fixtures/updater.toml"), "docs/configure.md and tests/fixtures/updater.toml are to be the same");
    let settings = Settings::parse(&example, &Layout::new("/")).unwrap();
    assert_eq!(settings.product, "pikit");
}

#[test]
fn every_key_of_the_example_is_explained() {
    let page = prose(&read("docs/configure.md"));
    let mut section = String::new();
    for line in read("tests/fixtures/updater.toml").lines() {
        let line = line.trim_start_matches("# ");
        if line.starts_with('[') {
            section = line.split(']').next().unwrap().trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let known = page.contains(&format!("| `{key}` |")) || page.contains(&format!("| `{section}.{key}` |"));
            assert!(known, "docs/configure.md does not explain {section}.{key}");
        }
    }
}
