//! What docs/design.md says about the shape of the source, kept true: modules use only what stands above them in `src/lib.rs`,
//! effects live in few places, files stay small, nothing is `unsafe`, and little comes along that others compile from C.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Uses of a module that stands below: file, module, why. Empty is how it should be.
const UPHILL: &[(&str, &str, &str)] = &[];

/// Where effects may be: the doors to the board, the sources, the API, and the commands that are programs of their own.
const EFFECTS: [&str; 7] = ["world", "source", "apart", "publish", "api", "demo", "cli"];

/// Reaching past the doors. `std::net`'s addresses and `std::process::ExitCode` are plain values.
const REACHING: [&str; 7] = ["std::fs", "std::process", "std::net", "SystemTime", "Utc::now", "Local::now", "Instant::now"];
const VALUES: [&str; 6] =
    ["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::net::SocketAddr", "std::process::ExitCode", "std::process::id"];

const LINES_MAX: usize = 400;
/// Files that are longer, tests included, and why they are not two.
const LONG: &[(&str, &str)] = &[("src/world/contract.rs", "one suite of tests, a function for each promise of the disk")];

struct Source {
    /// From the root of the repository, with `/`.
    name: String,
    /// The module of `src/lib.rs` it belongs to; none: `lib.rs` and `main.rs`.
    module: Option<String>,
    text: String,
}

impl Source {
    /// The code without comments, and without the tests at its foot.
    fn production(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.map(|line| line.split(" // ").next().unwrap()).collect::<Vec<_>>().join("\n")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let first = inside.split('/').nth(1).unwrap().trim_end_matches(".rs").to_owned();
        let module = Some(first).filter(|m| !["lib", "main"].contains(&m.as_str()));
        Source { name: inside, module, text: fs::read_to_string(path).unwrap() }
    };
    paths.into_iter().map(read).collect()
}

/// Files that are compiled for tests only: `#[cfg(test)]` before `mod name;`.
fn tests_only(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let above = source.name.trim_end_matches("mod.rs").trim_end_matches(".rs").trim_end_matches('/').to_owned();
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some(name) = pair[1].strip_suffix(';').and_then(|l| l.rsplit_once("mod ")).map(|(_, name)| name) {
                let prefix = format!("{above}/{name}");
                found.extend(sources.iter().map(|s| &s.name).filter(|n| **n == format!("{prefix}.rs") || n.starts_with(&format!("{prefix}/"))).cloned());
            }
        }
    }
    found
}

/// The modules in the order of `src/lib.rs`.
fn order() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let names = text.lines().filter_map(|l| l.trim().strip_suffix(';')).filter_map(|l| l.strip_prefix("pub mod ").or(l.strip_prefix("mod ")));
    names.map(str::to_owned).collect()
}

/// The first part of every path after `crate::`, those in braces too.
fn used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(word(&std::mem::take(&mut item))),
                _ => {}
            }
            item.push(c);
        }
        found.push(word(&item));
    }
    found
}

fn word(text: &str) -> String {
    text.trim_start_matches([',', ' ', '\n', '\t']).chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_module_uses_only_what_stands_above_it() {
    let (sources, order) = (sources(), order());
    let (only_tests, place) = (tests_only(&sources), |m: &str| order.iter().position(|o| o == m));
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    for source in sources.iter().filter(|s| !only_tests.contains(&s.name)) {
        let Some(here) = &source.module else { continue };
        let mine = place(here).unwrap_or_else(|| panic!("{} belongs to no module of src/lib.rs", source.name));
        let code = source.production();
        assert!(!code.contains("super::super::"), "{} reaches two up: name the module from `crate`", source.name);
        for other in used(&code) {
            if place(&other).is_some_and(|p| p > mine) {
                match UPHILL.iter().find(|(file, module, _)| *file == source.name && *module == other) {
                    Some((file, module, _)) => drop(excused.insert((*file, *module))),
                    None => wrong.push(format!("{} uses {other}, which stands below {here}", source.name)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(excused.len(), UPHILL.len(), "an excuse that nobody needs: take it out");
}

#[test]
fn effects_live_in_few_places() {
    let sources = sources();
    let only_tests = tests_only(&sources);
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|s| !only_tests.contains(&s.name)) {
        if source.module.as_deref().is_some_and(|m| EFFECTS.contains(&m)) {
            continue;
        }
        let mut code = source.production();
        for value in VALUES {
            code = code.replace(value, "");
        }
        wrong.extend(REACHING.iter().filter(|r| code.contains(**r)).map(|r| format!("{} reaches for {r}", source.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut excused = 0;
    for source in sources() {
        let lines = source.text.lines().count();
        let known = LONG.iter().any(|(name, _)| *name == source.name);
        assert!(lines <= LINES_MAX || known, "{} has {lines} lines: is it one idea?", source.name);
        excused += usize::from(lines > LINES_MAX && known);
    }
    assert_eq!(excused, LONG.len(), "a file is short again: take it out of the list");
}

#[test]
fn nothing_is_unsafe() {
    let cargo = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(cargo.contains("unsafe_code = \"forbid\""), "Cargo.toml is to forbid unsafe code");
    for source in sources() {
        let code = source.production();
        assert!(!code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe"), "{} is unsafe", source.name);
    }
}

/// Packages of a Cargo.lock: name, version, names of what they need.
fn locked(file: &str) -> Vec<(String, String, Vec<String>)> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let value = |line: &str| line.split('"').nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let package = |block: &str| {
        let line = |key: &str| value(block.lines().find(|l| l.starts_with(key)).unwrap());
        let needs = block.lines().filter(|l| l.starts_with(" \"")).map(value).collect();
        (line("name = "), line("version = "), needs)
    };
    text.split("[[package]]").skip(1).map(package).collect()
}

#[test]
fn what_a_board_lets_in_meets_no_c_but_the_cryptography() {
    // cc runs the C compiler; iana-time-zone-haiku is for an operating system that no board has
    let from_c: Vec<String> = locked("Cargo.lock").into_iter().filter(|(_, _, needs)| needs.iter().any(|n| n == "cc")).map(|(name, ..)| name).collect();
    let known = ["iana-time-zone-haiku", "libdeflate-sys", "ring", "zstd-sys"];
    assert_eq!(from_c, known, "a C compiler for every board, and memory that Rust does not watch: is there another way?");
    // two of them compress on the maintainer's side; what strangers send is decompressed in Rust
    let publish = ["src/publish/member.rs", "src/publish/squeeze.rs"];
    for source in sources().iter().filter(|s| !publish.contains(&s.name.as_str())) {
        let code = source.production();
        assert!(!code.contains("zstd_safe::") && !code.contains("libdeflater::"), "{}: a decompressor from C", source.name);
    }
    let code: String = sources().iter().filter(|s| publish.contains(&s.name.as_str())).map(Source::production).collect();
    assert!(!code.contains("DCtx") && !code.contains("Decompressor"));
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let shipped: Vec<_> = locked("Cargo.lock").into_iter().filter(|(name, ..)| name != env!("CARGO_PKG_NAME")).collect();
    let names: BTreeSet<&str> = shipped.iter().map(|(name, ..)| name.as_str()).collect();
    let other: Vec<String> = locked("fuzz/Cargo.lock")
        .into_iter()
        .filter(|(name, version, _)| names.contains(name.as_str()) && !shipped.iter().any(|(n, v, _)| n == name && v == version))
        .map(|(name, version, _)| format!("{name} {version}"))
        .collect();
    assert!(other.is_empty(), "fuzz/Cargo.lock has other versions, copy Cargo.lock there and run `cargo update -w` in fuzz/: {}", other.join(", "));
}

#[test]
fn this_test_sees_what_it_looks_for() {
    assert_eq!(used("use crate::a;\nuse crate::{b, c::{x, y}, d};\nlet z = crate::e::f();"), ["a", "b", "c", "d", "e"]);
    assert!(order().len() >= 10 && order().first().is_some_and(|m| m == "quantity"));
    let sources = sources();
    let only_tests = tests_only(&sources);
    assert!(locked("Cargo.lock").iter().any(|(name, version, needs)| name == "ring" && version.contains('.') && needs.iter().any(|n| n == "cc")));
    assert!(only_tests.contains("src/update/rig.rs") && only_tests.iter().any(|n| n.starts_with("src/world/sim/")), "{only_tests:?}");
}
