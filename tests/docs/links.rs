//! Links lead somewhere: in the repository, and on the site that `tests/site` makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pages::{anchors, links, pages, read, root};

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
fn every_page_is_in_the_contents_of_the_site() {
    let contents = links(&read("docs/SUMMARY.md"));
    for name in pages().iter().filter(|n| *n != "docs/SUMMARY.md") {
        let link = name.strip_prefix("docs/").map_or_else(|| format!("../{name}"), str::to_owned);
        assert!(contents.contains(&link), "docs/SUMMARY.md does not list {name}");
    }
}

/// What `name="…"` says, for each time it is there.
fn values<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!(" {name}=\"");
    html.match_indices(&opening).filter_map(|(at, _)| html[at + opening.len()..].split('"').next()).collect()
}

fn ids(page: &Path) -> BTreeSet<String> {
    values(&fs::read_to_string(page).unwrap(), "id").into_iter().map(str::to_owned).collect()
}

#[test]
fn the_site_is_made_and_its_links_lead_somewhere() {
    let made = Command::new(root().join("tests/site")).output().unwrap();
    if made.status.code() == Some(69) {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: mdbook is not installed");
        println!("skipped: mdbook is not installed (tests/run installs it)");
        return;
    }
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let site = root().join("target/site");
    let html =
        |dir: &Path| -> Vec<PathBuf> { fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|x| x == "html")).collect() };
    let all: Vec<PathBuf> = html(&site).into_iter().chain(html(&site.join("docs"))).filter(|p| !p.ends_with("404.html") && !p.ends_with("toc.html")).collect();
    assert!(all.len() >= pages().len() - 1, "{all:?}");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in &all {
        let text = fs::read_to_string(page).unwrap();
        for target in values(&text, "href").into_iter().chain(values(&text, "src")) {
            // what begins with a slash stands in an example of HTML: no page links so
            if ["http", "data:", "/"].iter().any(|start| target.starts_with(start)) {
                continue;
            }
            seen += 1;
            let (file, place) = target.split_once('#').map_or((target, None), |(f, p)| (f, Some(p)));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let path = if path.is_dir() { path.join("index.html") } else { path };
            let there = path.is_file() && place.is_none_or(|p| ids(&path).contains(p));
            if !there {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "only {seen} links were found");
}
