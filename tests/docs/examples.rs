//! Examples in the pages are what they claim to be: configs that the program takes, recipes that it packs, JSON of the shapes named.

use std::fs;

use pikit_updater::device::{Layout, Settings};
use pikit_updater::event::{Event, Phase};
use pikit_updater::publish::recipe::{Overrides, Recipe};
use pikit_updater::release::manifest::Manifest;
use serde_json::Value;

use crate::support::board::Board;
use crate::support::pages::{blocks, pages, prose, read};

fn examples(language: &str) -> Vec<(String, String)> {
    let of = |name: String| blocks(&read(&name)).into_iter().map(move |(l, text)| (name.clone(), l, text));
    pages().into_iter().flat_map(of).filter(|(_, l, _)| l == language).map(|(name, _, text)| (name, text)).collect()
}

#[test]
fn every_example_in_toml_is_taken() {
    let (mut configs, mut recipes) = (0, 0);
    let mut before = (String::new(), String::new());
    for (name, text) in examples("toml") {
        // a section by itself is one more of the example before it on the page
        let whole = text.contains("product = ");
        let text = if !whole && before.0 == name { format!("{}\n{text}", before.1) } else { text };
        before = (name.clone(), text.clone());
        if text.contains("[[include]]") {
            let dir = std::env::temp_dir().join(format!("pikit-recipe-{}-{recipes}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("release.toml"), &text).unwrap();
            fs::write(dir.join("CHANGELOG.md"), "## 1.1.0 - 2026-10-15\n\nx\n").unwrap();
            let overrides = Overrides { version: Some("1.1.0".parse().unwrap()), source_date: Some(chrono::DateTime::UNIX_EPOCH), ..Overrides::default() };
            let read = Recipe::read(&dir.join("release.toml"), &overrides);
            let _ = fs::remove_dir_all(&dir);
            assert!(read.is_ok(), "{name}:\n{text}\n{}", read.unwrap_err());
            recipes += 1;
        } else {
            let board = Board::new("example");
            fs::create_dir_all(board.path("etc/pikit/keys")).unwrap();
            board.write("etc/pikit/updater.toml", &text);
            let ran = board.run(&["config", "check"]);
            assert_eq!(ran.code, 0, "{name}:\n{text}\n{}", ran.err);
            configs += 1;
        }
    }
    assert!(configs >= 2 && recipes >= 4, "{configs} configs, {recipes} recipes");
}

/// The program's own event of that kind with these values.
fn event(shown: &Value) -> Value {
    let text = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
    let phase = || serde_json::from_value::<Phase>(shown["phase"].clone()).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let event = match text("event").as_str() {
        "begun" => Event::Begun { transaction: text("transaction") },
        "phase" => Event::Phase { phase: phase(), message: text("message") },
        "progress" => {
            Event::Progress { phase: phase(), bytes_done: shown["bytes_done"].as_u64().unwrap(), bytes_total: shown["bytes_total"].as_u64().unwrap() }
        }
        "note" => Event::Note { message: text("message") },
        "warning" => Event::Warning { message: text("message") },
        other => panic!("there is no event {other:?}"),
    };
    serde_json::to_value(event).unwrap()
}

#[test]
fn every_example_in_json_is_of_the_shape_it_claims() {
    let (mut events, mut manifests) = (0, 0);
    for (name, text) in examples("json") {
        // three dots stand for what varies
        let text = text.replace("\"sha256\": \"…\"", &format!("\"sha256\": \"{}\"", "0".repeat(64)));
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            let value = value.unwrap_or_else(|e| panic!("{name}:\n{text}\n{e}"));
            if value.get("event").is_some() {
                assert_eq!(event(&value), value, "{name}");
                events += 1;
            } else if value.get("files").is_some() {
                Manifest::parse(value.to_string().as_bytes()).unwrap_or_else(|e| panic!("{name}: {value}\n{e}"));
                manifests += 1;
            }
        }
    }
    assert!(events >= 4 && manifests >= 1, "{events} events, {manifests} manifests");
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
