//! The pages that people read: README.md, the changelog, everything in docs/, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// All pages, by their path in the project.
pub fn pages() -> Vec<String> {
    let mut names: Vec<String> = ["README.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned).to_vec();
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                names.push(name);
            }
        }
    }
    names.sort();
    names
}

/// A fenced block: its language, and its text.
pub type Block = (String, String);

/// The fenced blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
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
pub fn prose(page: &str) -> String {
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

/// What stands under each heading up to the next one of any level, in the page's order.
pub fn sections(page: &str) -> Vec<(String, String)> {
    let mut found = vec![(String::new(), String::new())];
    let mut inside = false;
    for line in page.lines() {
        inside ^= line.trim_start().starts_with("```");
        if line.starts_with('#') && !inside {
            found.push((line.trim_start_matches('#').trim().to_owned(), String::new()));
        } else {
            let last = &mut found.last_mut().unwrap().1;
            *last += line;
            last.push('\n');
        }
    }
    found
}

/// The blocks of one language under a heading.
pub fn under(page: &str, heading: &str, language: &str) -> Vec<String> {
    let sections = sections(page);
    let (_, text) = sections.iter().find(|(h, _)| h == heading).unwrap_or_else(|| panic!("there is no heading {heading:?}"));
    let all: Vec<String> = blocks(text).into_iter().filter(|(l, _)| l == language).map(|(_, text)| text).collect();
    assert!(!all.is_empty(), "nothing in {language} stands under {heading:?}");
    all
}

/// How a server names the places of a page's headings; a name that is taken gets a number.
pub fn anchors(page: &str) -> BTreeSet<String> {
    let mut taken = BTreeMap::<String, usize>::new();
    let headings = prose(page);
    let names = headings.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches('#')));
    let number = |name: String| {
        let times = taken.entry(name.clone()).and_modify(|n| *n += 1).or_insert(0);
        if *times == 0 { name } else { format!("{name}-{times}") }
    };
    names.map(number).collect()
}

fn anchor(heading: &str) -> String {
    let plain = heading.trim().to_lowercase();
    plain.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of `[text](target)`.
pub fn links(page: &str) -> Vec<String> {
    let text = prose(page);
    text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')').map(|(target, _)| target.to_owned())).collect()
}
