//! The real program, one behaviour a test: what it says, on which stream, and with which exit code.
#![allow(clippy::unwrap_used)] // helpers of tests are no production

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pikit_updater::release::Digest;
use serde_json::Value;

/// A board in a temporary folder, and the folder its releases come from.
struct Board {
    dir: PathBuf,
}

impl Board {
    fn bare(name: &str) -> Board {
        let dir = std::env::temp_dir().join(format!("pikit-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("root/etc/pikit")).unwrap();
        Board { dir: fs::canonicalize(dir).unwrap() }
    }
    fn new(name: &str) -> Board {
        let board = Board::bare(name);
        board.config("");
        fs::create_dir_all(board.root().join("srv")).unwrap();
        fs::create_dir_all(board.root().join("releases")).unwrap();
        board
    }
    fn root(&self) -> PathBuf {
        self.dir.join("root")
    }
    fn config(&self, more: &str) {
        let text = format!(
            "product = \"pikit\"\n[source]\ndir = \"/releases\"\n[trust]\nrequired = false\n[[managed]]\nfrom = \"web/\"\nto = \"/srv/web/\"\n\
             [[managed]]\nfrom = \"api.py\"\nto = \"/srv/api.py\"\n[services]\ncontrol = []\n[backup]\nmin_free = \"1MiB\"\n{more}"
        );
        fs::write(self.root().join("etc/pikit/updater.toml"), text).unwrap();
    }
    /// Puts a release into the folder, in Pi-Kit's minimal form.
    fn release(&self, version: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.root().join("releases").join(version);
        fs::create_dir_all(&dir).unwrap();
        let listed: Vec<Value> = files.iter().map(|(p, c)| serde_json::json!({"path": p, "sha256": Digest::of(c.as_bytes()).to_string()})).collect();
        let manifest = serde_json::json!({"version": version, "changelog": format!("https://example.org/{version}"), "files": listed});
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        let bundle = dir.join(format!("pikit-{version}.tar.gz"));
        let gzip = flate2::write::GzEncoder::new(fs::File::create(&bundle).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let manifest = manifest.to_string();
        for (path, content) in [("manifest.json", manifest.as_str())].iter().chain(files) {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        bundle
    }
    fn run(&self, words: &[&str]) -> Output {
        program().arg("--root").arg(self.root()).args(words).output().unwrap()
    }
    fn json(&self, words: &[&str]) -> (i32, Vec<Value>) {
        let out = self.run(&[&["--json"], words].concat());
        assert!(out.stderr.is_empty(), "with --json nothing goes to stderr: {}", String::from_utf8_lossy(&out.stderr));
        let lines = String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        (out.status.code().unwrap(), lines)
    }
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
    /// Every path below a folder of the board, with the contents of files.
    fn tree(&self, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(dir: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                out.push((entry.path(), fs::read(entry.path()).unwrap_or_default()));
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), out);
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.root().join(below), &mut out);
        out.sort();
        out
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pikit-updater"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR").env("TZ", "UTC");
    command
}

fn code(out: &Output) -> i32 {
    out.status.code().unwrap()
}

fn out(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn err(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}

const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("web/old.js", "old"), ("api.py", "api one")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("web/new.js", "new"), ("api.py", "api one")];

#[test]
fn help_leads_with_examples_and_goes_to_stdout() {
    let help = program().arg("--help").output().unwrap();
    assert_eq!(code(&help), 0);
    let text = out(&help);
    assert!(text.find("Examples:").unwrap() < text.find("Usage:").unwrap(), "{text}");
    for hidden in ["request", "fetcher"] {
        assert!(!text.contains(&format!("\n  {hidden}")), "{hidden} is nothing to be typed");
    }
    assert!(!out(&program().args(["demo", "--help"]).output().unwrap()).contains("control"));
    assert_eq!(out(&program().arg("--version").output().unwrap()), format!("pikit-updater {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_understood_is_exit_2() {
    for words in [&[][..], &["frobnicate"], &["apply", "one"], &["skip"], &["verify", "-y"], &["apply", "--require-manifest", "abc"], &["status", "-q", "-v"]] {
        let said = program().args(words).output().unwrap();
        assert_eq!((code(&said), out(&said).as_str()), (2, ""), "{words:?}");
        assert!(!said.stderr.is_empty());
    }
    let said = program().args(["--json", "frobnicate"]).output().unwrap();
    let object: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((code(&said), &object["ok"], &object["error"]["code"]), (2, &Value::from(false), &Value::from(2)));
}

#[test]
fn a_config_that_is_missing_or_wrong_is_exit_2_with_a_hint() {
    let board = Board::bare("config");
    let said = board.run(&["status"]);
    assert_eq!((code(&said), out(&said).as_str()), (2, ""));
    assert!(err(&said).starts_with("error: there is no config at ") && err(&said).contains("\nhint: "), "{}", err(&said));
    fs::write(board.root().join("etc/pikit/updater.toml"), "product = \"p\"\n[source]\nchanel = \"x\"\n").unwrap();
    let said = board.run(&["check"]);
    assert_eq!(code(&said), 2);
    assert!(err(&said).contains("`chanel`; did you mean `channel`?"), "{}", err(&said));
    let (code, lines) = board.json(&["status"]);
    assert_eq!((code, lines.len()), (2, 1));
    let error = lines[0]["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "hint", "kind", "message", "phase"]);
    assert_eq!((&error["code"], &error["kind"]), (&Value::from(2), &Value::from("usage")));
}

#[test]
fn the_status_of_an_empty_board_has_the_frozen_keys() {
    let board = Board::new("empty");
    let said = board.run(&["status"]);
    assert_eq!((code(&said), err(&said).as_str()), (0, ""));
    assert!(out(&said).contains("no release yet") && out(&said).contains("not required"), "{}", out(&said));
    let (code, lines) = board.json(&["status"]);
    assert_eq!((code, lines.len()), (0, 1));
    let frozen: Value = serde_json::from_str(include_str!("fixtures/state.json")).unwrap();
    for key in frozen.as_object().unwrap().keys() {
        assert!(lines[0].get(key).is_some(), "{key}");
    }
    assert_eq!((&lines[0]["schema"], &lines[0]["ok"]), (&Value::from(1), &Value::from(true)));
    assert_eq!(board.tree("var"), [], "a look leaves nothing behind");
}

#[test]
fn a_state_of_the_first_version_parses_forever() {
    let text = include_str!("fixtures/state.json");
    let state: pikit_updater::state::State = serde_json::from_str(text).unwrap();
    let frozen: Value = serde_json::from_str(text).unwrap();
    let again = serde_json::to_value(&state).unwrap();
    for (key, value) in frozen.as_object().unwrap() {
        assert_eq!(&again[key], value, "{key}");
    }
}

#[test]
fn without_anybody_to_ask_it_refuses_and_changes_nothing() {
    let board = Board::new("nobody");
    board.release("1.0.0", ONE);
    for words in [&["apply"][..], &["apply", "--no-input"]] {
        let said = board.run(words);
        assert_eq!(code(&said), 2, "{}", err(&said));
        assert!(err(&said).contains("hint: -y answers yes"), "{}", err(&said));
    }
    assert!(!board.root().join("srv/web").exists());
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let board = Board::new("dry");
    board.release("1.0.0", ONE);
    let said = board.run(&["apply", "--dry-run"]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    assert!(out(&said).starts_with("Install 1.0.0\n  3 added\n      api.py\n"), "{}", out(&said));
    let (code, lines) = board.json(&["apply", "--dry-run"]);
    let result = lines.last().unwrap();
    assert_eq!((code, &result["event"], &result["counts"]["added"]), (0, &Value::from("result"), &Value::from(3)));
    assert_eq!(board.tree("var"), []);
    assert_eq!(board.tree("srv"), []);
}

#[test]
fn a_release_comes_is_verified_and_goes_again() {
    let board = Board::new("life");
    board.release("1.0.0", ONE);
    assert_eq!(code(&board.run(&["check"])), 0);
    assert_eq!(code(&board.run(&["check", "--exit-code"])), 100);
    let said = board.run(&["apply", "-y"]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    assert!(out(&said).starts_with("done: 1.0.0 is installed\n"), "{}", out(&said));
    assert_eq!(board.read("srv/web/index.html"), "one");
    fs::write(board.root().join("srv/web/mine.txt"), "mine").unwrap();
    let before = board.tree("srv");
    let (code_, lines) = board.json(&["apply", "-y"]);
    assert_eq!((code_, &lines.last().unwrap()["outcome"]), (0, &Value::from("up-to-date")));
    assert_eq!(code(&board.run(&["check", "--exit-code"])), 0);

    board.release("1.1.0", TWO);
    let (code_, lines) = board.json(&["apply", "-y"]);
    assert_eq!(code_, 0);
    let (result, events) = lines.split_last().unwrap();
    assert!(events.iter().all(|e| e["event"].is_string() && e["event"] != "result"));
    assert_eq!((&result["event"], &result["ok"], &result["outcome"], &result["to"]), (&"result".into(), &true.into(), &"confirmed".into(), &"1.1.0".into()));
    let transaction = result["transaction"].as_str().unwrap();
    assert_eq!((board.read("srv/web/index.html"), board.read("srv/web/mine.txt")), ("two".into(), "mine".into()));
    assert!(!board.root().join("srv/web/old.js").exists());
    assert_eq!(board.json(&["status"]).1[0]["current"], "1.1.0");

    let history = board.json(&["history"]).1.remove(0);
    assert_eq!(history["history"][0]["transaction"], transaction);
    assert_eq!(board.json(&["history", &transaction[..6]]).1[0]["to"], "1.1.0");
    assert_eq!(code(&board.run(&["history", "nosuch"])), 2);
    assert!(out(&board.run(&["log", &transaction[..6]])).contains("confirmed: 1.1.0 is installed"));
    assert!(out(&board.run(&["rollback", "--list"])).contains("1.0.0"));

    assert_eq!(code(&board.run(&["verify"])), 0);
    fs::write(board.root().join("srv/web/index.html"), "scribble").unwrap();
    let (code_, lines) = board.json(&["verify"]);
    assert_eq!((code_, &lines[0]["drift"], &lines[0]["edited"][0]), (4, &1.into(), &"web/index.html".into()));
    assert_eq!(board.json(&["status"]).1[0]["drift"], 1);
    let said = board.run(&["verify", "--repair", "-y"]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    assert_eq!(board.read("srv/web/index.html"), "two");

    let said = board.run(&["rollback", "-y"]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    assert!(out(&said).starts_with("done: back at 1.0.0\n"), "{}", out(&said));
    assert_eq!(board.tree("srv"), before);
    assert_eq!(board.json(&["status"]).1[0]["skipped"][0], "1.1.0");
    let said = board.run(&["unskip", "v1.1.0"]);
    assert_eq!((code(&said), out(&said).as_str()), (0, "1.1.0 is no longer passed over\n"));
    assert_eq!(out(&board.run(&["recover"])), "nothing was interrupted\n");
}

#[test]
fn a_bundle_comes_from_a_stick_or_a_pipe() {
    let board = Board::new("stick");
    let bundle = board.release("1.0.0", ONE);
    let stick = board.dir.join("stick.tar.gz");
    fs::rename(&bundle, &stick).unwrap();
    fs::remove_dir_all(board.root().join("releases")).unwrap();
    assert_eq!(code(&board.run(&["check"])), 3);
    let said = board.run(&["apply", "-y", "--from", stick.to_str().unwrap()]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    let piped = program().arg("--root").arg(board.root()).args(["apply", "--dry-run", "--from", "-"]).stdin(fs::File::open(&stick).unwrap()).output().unwrap();
    assert_eq!((code(&piped), out(&piped).contains("1.0.0 is installed, nothing to do")), (0, true), "{}", err(&piped));
}

#[test]
fn a_lower_version_is_exit_4_and_allowed_when_asked_for() {
    let board = Board::new("lower");
    board.release("1.1.0", TWO);
    assert_eq!(code(&board.run(&["apply", "-y"])), 0);
    board.release("1.0.0", ONE);
    let said = board.run(&["apply", "1.0.0", "-y"]);
    assert_eq!(code(&said), 4, "{}", err(&said));
    assert!(err(&said).contains("--allow-downgrade"));
    assert_eq!(code(&board.run(&["apply", "1.0.0", "-y", "--allow-downgrade"])), 0);
    let wrong = "0".repeat(64);
    board.release("1.2.0", TWO);
    assert_eq!(code(&board.run(&["apply", "-y", "--require-manifest", &wrong])), 4);
}

#[test]
fn a_release_that_is_sick_takes_itself_back_with_exit_6() {
    let board = Board::new("sick");
    board.release("1.0.0", ONE);
    assert_eq!(code(&board.run(&["apply", "-y"])), 0);
    let old = board.root().join("srv/web/old.js");
    board.config(&format!("[trial]\ntimeout = \"200ms\"\ninterval = \"20ms\"\nsettle = \"0\"\n[[health]]\nrun = [\"test\", \"-e\", {old:?}]\n"));
    board.release("1.1.0", TWO);
    let before = board.tree("srv");
    let said = board.run(&["apply", "-y", "-q"]);
    assert_eq!((code(&said), out(&said).as_str()), (6, ""));
    assert!(err(&said).starts_with("rolled back: 1.0.0 is as before. "), "{}", err(&said));
    assert_eq!(board.tree("srv"), before);
    assert!(out(&board.run(&["status"])).contains("distrusted 1.1.0"));
    assert_eq!(code(&board.run(&["apply", "-y"])), 4);
}

#[test]
fn while_another_run_holds_the_lock_it_is_exit_8_and_a_look_still_works() {
    let board = Board::new("busy");
    board.release("1.0.0", ONE);
    let held = pikit_updater::world::lock::Locked::take(&board.root().join("var/run/pikit-update.lock"), "boot").unwrap();
    for words in [&["apply", "-y"][..], &["rollback", "-y"], &["recover"], &["check"], &["skip", "1.0.0"]] {
        assert_eq!(code(&board.run(words)), 8, "{words:?}");
    }
    for words in [&["status"][..], &["history"], &["apply", "--dry-run"], &["doctor"]] {
        assert_eq!(code(&board.run(words)), 0, "{words:?}: {}", err(&board.run(words)));
    }
    drop(held);
}

#[test]
fn signatures_are_required_unless_the_config_says_otherwise() {
    let board = Board::new("unsigned");
    board.release("1.0.0", ONE);
    let path = board.root().join("etc/pikit/updater.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("required = false", "required = true")).unwrap();
    assert_eq!(code(&board.run(&["apply", "-y"])), 4);
    assert_eq!(code(&board.run(&["doctor"])), 5);
}

#[test]
fn what_a_release_says_cannot_steer_a_terminal() {
    let board = Board::new("steer");
    let dir = board.release("1.0.0", ONE).parent().unwrap().to_owned();
    let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["notes"] = "\u{1b}[2Jall is well\u{202e}\nreally".into();
    fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    for words in [&["check"][..], &["apply", "--dry-run"]] {
        let said = board.run(words);
        assert!(out(&said).contains("| [2Jall is well\n"), "{}", out(&said));
        assert!(!out(&said).contains('\u{1b}') && !out(&said).contains('\u{202e}'));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let board = Board::new("pipe");
    for words in [&["man"][..], &["completions", "bash"], &["config", "check"], &["status"], &["--help"]] {
        let mut child = program().arg("--root").arg(board.root()).args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = child.wait_with_output().unwrap();
        assert!(said.status.code() == Some(0) && !err(&said).contains("panicked"), "{words:?}: {}", err(&said));
    }
}

#[test]
fn colours_come_when_asked_for_only() {
    let board = Board::new("colour");
    assert!(!out(&board.run(&["status"])).contains('\u{1b}'));
    assert!(out(&board.run(&["status", "--color", "always"])).contains('\u{1b}'));
}

#[test]
fn a_managed_path_that_leads_out_of_the_root_is_refused() {
    let board = Board::new("out");
    fs::remove_dir(board.root().join("srv")).unwrap();
    std::os::unix::fs::symlink("/tmp", board.root().join("srv")).unwrap();
    let said = board.run(&["status"]);
    assert_eq!(code(&said), 2);
    assert!(err(&said).contains("leads out of"), "{}", err(&said));
}

#[test]
fn the_papers_are_made_of_the_command_line() {
    for shell in ["bash", "zsh", "fish"] {
        let text = out(&program().args(["completions", shell]).output().unwrap());
        assert!(text.contains("require-manifest") && !text.contains("dashboard)"), "{shell}");
    }
    let man = out(&program().arg("man").output().unwrap());
    assert!(man.contains(".SH EXIT CODES") && man.contains("\\fBrollback\\fR [\\fIBACKUP\\fR]") && man.contains("\\fBskip\\fR \\fIVERSION\\fR"));
}
