//! The attacks of docs/security.md, each against the real program: refused with exit 4 or 5 and words that name it, and nothing of it kept.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

#[path = "trust/attacks.rs"]
mod attacks;
#[path = "trust/clock.rs"]
mod clock;
#[path = "trust/commands.rs"]
mod commands;
#[path = "trust/keys.rs"]
mod keys;
#[path = "trust/recall.rs"]
mod recall;
#[path = "trust/rotations.rs"]
mod rotations;

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use support::board::{Board, Ran};
use support::maintainer::{self, Key};

/// A board that believes one key, with 1.0.0 installed and signed by it.
struct Signed {
    board: Board,
    key: Key,
}

impl std::ops::Deref for Signed {
    type Target = Board;
    fn deref(&self) -> &Board {
        &self.board
    }
}

fn files(word: &str) -> [(&'static str, String); 2] {
    [("web/index.html", word.to_owned()), ("api.py", format!("api of {word}"))]
}

fn day(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() + TimeDelta::days(days)
}

impl Signed {
    fn new(name: &str) -> Self {
        let board = Signed::empty(name);
        board.release_signed("1.0.0", |_| {});
        board.ok(&["apply", "-y"]);
        board
    }
    fn empty(name: &str) -> Self {
        let (board, key) = (Board::new(name), Key::new());
        board.configure("required = false", "required = true");
        board.write("etc/pikit/keys/maintainer.pub", key.public());
        Signed { board, key }
    }
    fn dir(&self, version: &str) -> PathBuf {
        self.path("src").join(version)
    }
    /// Offers a release, edited and signed.
    fn release_signed(&self, version: &str, change: impl FnOnce(&mut Value)) {
        self.release_by(version, &[&self.key], change);
    }
    fn release_by(&self, version: &str, keys: &[&Key], change: impl FnOnce(&mut Value)) {
        self.release(version, &files(version));
        maintainer::edit(&self.dir(version), change);
        maintainer::sign(&self.dir(version), keys);
    }
    /// Does not offer it any more.
    fn withdraw(&self, version: &str) {
        fs::remove_dir_all(self.dir(version)).unwrap();
    }
    /// Offers nothing but this one from now on: beside a release that is believed, another is passed over with a word.
    fn only(&self, version: &str) {
        for entry in fs::read_dir(self.path("src")).unwrap().map(|e| e.unwrap()).filter(|e| *e.file_name() != *version) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"]).out).unwrap()
    }
    fn installed(&self) -> String {
        self.text("etc/pikit/version").trim().to_owned()
    }
    /// What is kept beyond a view: everything the updater could act on later.
    fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        let mut look = vec![self.path("var/lib/pikit-update"), self.path("var/tmp/pikit-update"), self.path("srv"), self.path("usr/bin")];
        while let Some(at) = look.pop() {
            let Ok(entries) = fs::read_dir(&at) else { continue };
            for entry in entries.map(|e| e.unwrap().path()) {
                match entry.is_dir() {
                    true => look.push(entry),
                    false => all.push((entry.clone(), fs::read(entry).unwrap())),
                }
            }
        }
        // views of what happened: the state, the history and its logs
        all.retain(|(path, _)| !["state.json", "history.jsonl", "reserve"].iter().any(|v| path.ends_with(v)) && path.extension().is_none_or(|e| e != "log"));
        all.sort();
        all
    }
    /// An apply that is refused with this exit code and these words, and after which nothing is kept.
    #[track_caller]
    fn refuses(&self, words: &[&str], code: i32, says: &[&str]) -> Ran {
        let (tree, kept) = (self.tree(), self.kept());
        let ran = self.run(words);
        assert_eq!(ran.code, code, "{words:?}: {}{}", ran.out, ran.err);
        for word in says {
            assert!(ran.err.contains(word), "{word:?} is not in: {}", ran.err);
        }
        assert!(ran.err.contains("hint:"), "what to do next is not said: {}", ran.err);
        assert_eq!(self.tree(), tree, "{words:?} changed something");
        let names = |all: &[(PathBuf, Vec<u8>)]| all.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>();
        let now = self.kept();
        assert_eq!(names(&now), names(&kept));
        assert!(now == kept, "{words:?}: something of what was refused is kept");
        assert!(self.leftovers().is_empty(), "{:?}", self.leftovers());
        ran
    }
}

fn sign(dir: &Path, keys: &[&Key]) {
    maintainer::sign(dir, keys);
}

/// What a file of the updater's own memory holds; it carries a checksum around its body.
fn memory(board: &Board) -> Value {
    serde_json::from_str::<Value>(&board.text("var/lib/pikit-update/trust.json")).unwrap()["body"].clone()
}

#[test]
fn a_manifest_of_450_files_is_verified_within_five_milliseconds() {
    let board = Signed::empty("trust-quick");
    let many: Vec<(String, String)> = (0..450).map(|n| (format!("web/assets/module-{n}.js"), format!("export default {n}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    board.release("1.0.0", &many);
    let bytes = fs::read(board.dir("1.0.0").join("manifest.json")).unwrap();
    let signature = board.key.sign(&bytes);
    let keys = [pikit_updater::release::PublicKey::parse(&board.key.line()).unwrap()];
    // the best of many: the machine does other things meanwhile
    let best = |work: &dyn Fn()| {
        let once = || {
            let began = std::time::Instant::now();
            work();
            began.elapsed()
        };
        (0..50).map(|_| once()).min().unwrap()
    };
    let ours = best(&|| {
        assert_eq!(pikit_updater::release::signature::verify(&bytes, signature.as_bytes(), &keys).unwrap().len(), 1);
        assert_eq!(pikit_updater::release::Manifest::parse(&bytes).unwrap().files.len(), 450);
    });
    // how slow this machine is: others sign these bytes and read them
    let theirs = best(&|| {
        board.key.sign(&bytes);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["files"].as_array().unwrap().len(), 450);
    });
    println!("{} bytes of manifest: signature and parsing {ours:?}; for others to sign and parse them {theirs:?}", bytes.len());
    assert!(ours < (3 * theirs).max(std::time::Duration::from_millis(5)), "{ours:?}, {theirs:?}");
}

#[test]
fn a_release_that_the_right_key_signed_is_installed_and_says_who_signed_it() {
    let board = Signed::new("trust-good");
    assert_eq!(board.installed(), "1.0.0");
    board.release_signed("1.1.0", |_| {});
    let checked = board.ok(&["check"]).out;
    assert!(checked.contains(&format!("signed by {}: signed by a test", board.key.id())), "{checked}");
    let state = board.status();
    assert_eq!(state["available"]["signed"], json!([{"key": board.key.id(), "comment": "signed by a test"}]));
    assert_eq!(state["trust"]["keys"], json!([board.key.id()]));
    assert_eq!(state["trust"]["highest"], "1.1.0");
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.1.0");
}
