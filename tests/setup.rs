//! First contact with the real program: the source, the key and the board are asked at once, the config is written whole or not at all, and
//! a dashboard that is there already is taken for the release that it is.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

#[path = "setup/talk.rs"]
mod talk;
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::board::{Board, Ran};
use support::liar::{Gitea, Liar, Release};
use support::maintainer::{self, Key};
use support::{strace, tree};

const CONFIG: &str = "etc/pikit/updater.toml";
const INSTALLED: &str = "var/lib/pikit-update/installed.json";

/// A board nobody has set up, and a Gitea with 1.0.0 and 1.1.0.
struct Fresh {
    board: Board,
    key: Key,
    gitea: Liar,
}

impl std::ops::Deref for Fresh {
    type Target = Board;
    fn deref(&self) -> &Board {
        &self.board
    }
}

fn files(version: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = (0..6).map(|i| (format!("web/page-{i}.html"), format!("page {i} of all versions"))).collect();
    files.push(("web/index.html".into(), format!("index of {version}")));
    files.push(("api.py".into(), format!("api of {version}")));
    files
}

/// A release of these files as a Gitea holds it; its folder lies in `src`.
fn release(board: &Board, version: &str, key: Option<&Key>) -> Release {
    let files = files(version);
    let files: Vec<(&str, &str)> = files.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    board.release(version, &files);
    let dir = board.path("src").join(version);
    if let Some(key) = key {
        maintainer::sign(&dir, &[key]);
    }
    assets(&dir, version)
}

/// What lies in a release's folder.
fn assets(dir: &Path, version: &str) -> Release {
    fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap())
        .fold(Release::new(&format!("v{version}")), |all, e| all.asset(e.file_name().to_str().unwrap(), fs::read(e.path()).unwrap()))
}

impl Fresh {
    fn new(name: &str) -> Self {
        let (board, key, gitea) = (Board::new(name), Key::new(), Liar::start());
        fs::remove_dir_all(board.path("etc")).unwrap();
        let releases = ["1.0.0", "1.1.0"].map(|v| release(&board, v, Some(&key))).to_vec();
        gitea.gitea(Gitea { repo: "owner/pi-kit".into(), releases, token: None, root_url: None, page_max: 0 });
        Fresh { board, key, gitea }
    }
    /// The dashboard as 1.0.0 has it, put there by somebody else.
    fn has_dashboard(&self) {
        fs::create_dir_all(self.path("srv/web")).unwrap();
        for (path, content) in files("1.0.0") {
            let at = if path == "api.py" { "usr/bin/api.py".to_owned() } else { format!("srv/{path}") };
            self.write(&at, content);
        }
        use std::os::unix::fs::PermissionsExt as _;
        // as the release has it
        let manifest: Value = serde_json::from_str(&self.text("src/1.0.0/manifest.json")).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let path = file["path"].as_str().unwrap();
            let at = if path == "api.py" { "usr/bin/api.py".to_owned() } else { format!("srv/{path}") };
            let mode = u32::from_str_radix(file["mode"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(self.path(&at), fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    /// The words of a whole setup, one of them exchanged or left out.
    fn words(&self, change: &[(&str, Option<&str>)], more: &[&str]) -> Vec<String> {
        let usual: Vec<(&str, String)> = vec![
            ("--gitea", self.gitea.url.clone()),
            ("--repo", "owner/pi-kit".into()),
            ("--key", self.key.line()),
            ("--managed", "web/=/srv/web/".into()),
            ("--managed", "api.py=/usr/bin/api.py".into()),
            ("--restart", "api".into()),
            ("--auto", "install".into()),
            ("--at", "03:10".into()),
        ];
        let mut words = vec!["setup".to_owned(), "-y".into()];
        for (flag, value) in usual {
            match change.iter().find(|(f, _)| *f == flag) {
                Some((_, None)) => {}
                Some((_, Some(other))) => words.extend([flag.to_owned(), (*other).to_owned()]),
                None => words.extend([flag.to_owned(), value]),
            }
        }
        words.extend(more.iter().map(|w| (*w).to_owned()));
        words
    }
    fn setup(&self, change: &[(&str, Option<&str>)], more: &[&str]) -> Ran {
        let words = self.words(change, more);
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
    /// What a setup that does not fit must not have made.
    fn is_untouched(&self) {
        for path in [CONFIG, "etc/pikit/keys", "etc/pikit/version", INSTALLED] {
            assert!(!self.has(path), "{path} was made");
        }
    }
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out))
}

#[test]
fn an_unattended_setup_writes_a_config_that_works_and_twice_is_once() {
    let fresh = Fresh::new("setup");
    let ended = json(&fresh.setup(&[], &["--json"]));
    assert_eq!((&ended["written"], &ended["installed"], &ended["offered"]), (&true.into(), &Value::Null, &"1.1.0".into()), "{ended}");
    assert_eq!(ended["key"]["id"], fresh.key.id());
    let text = fresh.text(CONFIG);
    for line in
        ["repo = \"owner/pi-kit\"", "from = \"web/\"", "to = \"/srv/web/\"", "restart = [\"api\"]", "action = \"install\"", "at = \"03:10\"", "required = true"]
    {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    fresh.ok(&["config", "check"]);
    let keys: Vec<_> = fs::read_dir(fresh.path("etc/pikit/keys")).unwrap().collect();
    assert_eq!(keys.len(), 1);

    let before = tree::read(&fresh.root, "etc");
    let again = json(&fresh.setup(&[], &["--json"]));
    assert_eq!((&again["written"], &again["kept"], &again["key"]["file"]), (&false.into(), &Value::Null, &Value::Null), "{again}");
    assert_eq!(tree::read(&fresh.root, "etc"), before, "the second one changed something");
    fresh.ok(&["apply", "-y"]);
    assert_eq!(fresh.text("srv/web/index.html"), "index of 1.1.0");
    // and with the dashboard installed it is harmless, too
    assert_eq!(json(&fresh.setup(&[], &["--json"]))["installed"]["recorded"], true);
}

#[test]
fn each_answer_is_checked_at_once_and_nothing_is_written_when_one_does_not_fit() {
    let fresh = Fresh::new("setup-wrong");
    let stranger = Key::new();
    let nowhere = "http://127.0.0.1:9";
    let file = fresh.path("not-a-key.pub");
    fs::write(&file, "untrusted comment: nothing\nRWQnothing\n").unwrap();
    let (other_key, file) = (stranger.line(), file.to_str().unwrap().to_owned());
    type Case<'a> = (&'a [(&'a str, Option<&'a str>)], &'a [&'a str], i32, &'a [&'a str]);
    let table: &[Case] = &[
        (&[("--gitea", Some(nowhere))], &[], 3, &["127.0.0.1:9"]),
        (&[("--repo", Some("owner/other"))], &[], 3, &["no such repository"]),
        (&[("--repo", Some("other"))], &[], 2, &["owner/name"]),
        (&[("--gitea", Some("git.example.org"))], &[], 2, &["source.gitea"]),
        (&[("--gitea", None), ("--repo", None)], &[], 2, &["--gitea", "--url", "--dir"]),
        (&[("--gitea", None), ("--repo", None)], &["--dir", "/nothing"], 3, &["/nothing"]),
        (&[("--key", None)], &[], 2, &["--key", "--unsigned"]),
        (&[("--key", Some("RWQshort"))], &[], 2, &["--key", "not a minisign public key"]),
        (&[("--key", Some(&file))], &[], 2, &["--key", "not a minisign public key"]),
        (&[("--key", Some("/nothing.pub"))], &[], 2, &["no such file"]),
        (&[("--key", Some(&other_key))], &[], 4, &["is not signed by whom this device trusts"]),
        (&[("--key", None)], &["--key-fingerprint", "12345678"], 2, &["64 hex digits"]),
        (&[("--managed", None)], &[], 2, &["--managed", "web/", "api.py"]),
        (&[("--managed", Some("web/=/srv/web/"))], &[], 2, &["overlap"]),
        (&[("--managed", None)], &["--managed", "web/=/srv/web/"], 5, &["api.py", "--managed api.py="]),
        (&[("--managed", None)], &["--managed", "web/=/srv/none/web/", "--managed", "api.py=/usr/bin/api.py"], 5, &["srv/none is not there", "mkdir -p"]),
        (&[("--managed", None)], &["--managed", "web/=/srv/web", "--managed", "api.py=/usr/bin/api.py"], 2, &["both a folder"]),
        (&[("--managed", None)], &["--managed", "web=srv"], 2, &["FROM=TO"]),
        (&[], &["--control", "/bin/false-that-is-none"], 5, &["--restart api.service", "--control"]),
        (&[], &["--channel", "stable", "--product", "other"], 3, &["no release for this board", "--product"]),
        (&[], &["--health", "ping"], 2, &["--health"]),
        (&[("--auto", Some("always"))], &[], 2, &["--auto"]),
        (&[("--at", Some("4:20"))], &[], 2, &["--at"]),
    ];
    for (change, more, code, says) in table {
        let ran = fresh.setup(change, more);
        assert_eq!(ran.code, *code, "{change:?} {more:?}: {}{}", ran.out, ran.err);
        for word in *says {
            assert!(ran.err.contains(word), "{change:?} {more:?}: {word:?} is not in: {}", ran.err);
        }
        fresh.is_untouched();
    }
    // exit 4 of `is-active`: there is no such unit
    let script = fresh.path("control.sh");
    fs::write(&script, "#!/bin/sh\nexit 4\n").unwrap();
    support::mounts::run("chmod", &["+x", script.to_str().unwrap()]);
    let ran = fresh.setup(&[], &["--control", script.to_str().unwrap()]);
    assert!(ran.code == 5 && ran.err.contains("there is no such unit"), "{}", ran.err);
    fresh.is_untouched();
}

#[test]
fn a_dashboard_that_is_there_is_known_for_the_release_it_is_and_stays_as_it_is() {
    let fresh = Fresh::new("setup-adopt");
    fresh.has_dashboard();
    fresh.write("srv/web/page-2.html", "edited by the owner");
    fresh.write("usr/bin/api.py", "edited too");
    fresh.write("srv/web/own.txt", "listed by nobody");
    let before = (tree::read(&fresh.root, "srv"), tree::read(&fresh.root, "usr"), fresh.inodes("srv"));
    let dry = json(&fresh.setup(&[], &["--json", "--dry-run"]));
    assert_eq!((&dry["installed"]["version"], &dry["installed"]["recorded"]), (&"1.0.0".into(), &false.into()), "{dry}");
    fresh.is_untouched();

    let ran = fresh.setup(&[], &[]);
    assert!(ran.code == 0 && ran.out.contains("this is 1.0.0, 2 files edited (api.py, web/page-2.html)"), "{}{}", ran.out, ran.err);
    assert_eq!((tree::read(&fresh.root, "srv"), tree::read(&fresh.root, "usr"), fresh.inodes("srv")), before, "a managed file was touched");
    assert_eq!(fresh.text("etc/pikit/version"), "1.0.0\n");
    assert_eq!(fs::read(fresh.path(INSTALLED)).unwrap(), fs::read(fresh.path("src/1.0.0/manifest.json")).unwrap());
    let state: Value = serde_json::from_str(&fresh.ok(&["status", "--json"]).out).unwrap();
    assert_eq!((&state["current"], &state["drift"], &state["available"]["version"]), (&"1.0.0".into(), &2.into(), &"1.1.0".into()), "{state}");
    let seen: Value = serde_json::from_str(&fresh.run(&["verify", "--json"]).out).unwrap();
    assert_eq!(seen["drift"], 2, "{seen}");
    let back = fresh.run(&["rollback", "-y"]);
    assert!(back.code == 5 && back.err.contains("no backup"), "{}", back.err);

    // the next update is as small as any other, and what was edited goes into the backup
    let done: Value = serde_json::from_str(fresh.ok(&["apply", "-y", "--json"]).out.lines().last().unwrap()).unwrap();
    assert_eq!((&done["from"], &done["counts"]["changed"]), (&"1.0.0".into(), &3.into()), "{done}");
    assert_eq!(fresh.text("srv/web/own.txt"), "listed by nobody");
    fresh.ok(&["rollback", "-y"]);
    assert_eq!((tree::read(&fresh.root, "srv"), tree::read(&fresh.root, "usr")), (before.0, before.1));
}

#[test]
fn a_dashboard_that_is_no_release_is_said_to_be_none() {
    let fresh = Fresh::new("setup-unknown");
    fresh.has_dashboard();
    for i in 0..5 {
        fresh.write(&format!("srv/web/page-{i}.html"), "something else");
    }
    let ran = fresh.setup(&[], &[]);
    assert!(ran.code == 0 && ran.out.contains("the first update takes a backup of what is there"), "{}{}", ran.out, ran.err);
    assert!(!fresh.has(INSTALLED) && !fresh.has("etc/pikit/version"));
}

#[test]
fn a_config_that_is_there_is_shown_beside_the_new_one_and_kept() {
    let fresh = Fresh::new("setup-there");
    let mine = "product = \"pikit\"\n[source]\ndir = \"/src\"\n# mine\n";
    fresh.write(CONFIG, mine);
    let ran = fresh.setup(&[], &[]);
    assert!(ran.code == 5 && ran.err.contains("- # mine") && ran.err.contains("+ repo = \"owner/pi-kit\"") && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fresh.text(CONFIG), mine);
    let ended = json(&fresh.setup(&[], &["--force", "--json"]));
    let kept = ended["kept"].as_str().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), mine);
    assert!(Path::new(kept).parent() == fresh.path(CONFIG).parent() && fresh.text(CONFIG).contains("owner/pi-kit"));

    // an example in which nothing is set is none
    let example = Fresh::new("setup-example");
    example.write(CONFIG, "# product = \"pikit\"\n# [source]\n");
    assert_eq!(json(&example.setup(&[], &["--json"]))["written"], true);
}

#[test]
fn an_interrupted_update_keeps_the_config_that_it_began_with() {
    let fresh = Fresh::new("setup-interrupted");
    json(&fresh.setup(&[], &["--json"]));
    fresh.write("var/lib/pikit-update/journal.json", "{}");
    let ran = fresh.setup(&[("--at", Some("05:00"))], &["--force"]);
    assert!(ran.code == 5 && ran.err.contains("recover"), "{}", ran.err);
    assert!(fresh.text(CONFIG).contains("03:10"));
}

#[test]
fn a_key_is_found_by_its_fingerprint_and_by_nothing_less() {
    let fresh = Fresh::new("setup-fingerprint");
    let print = pikit_updater::release::PublicKey::parse(&fresh.key.line()).unwrap().fingerprint().to_string();
    // nothing in the releases says which key it is
    let ran = fresh.setup(&[("--key", None)], &["--key-fingerprint", &print]);
    assert!(ran.code == 4 && ran.err.contains("has this fingerprint"), "{}", ran.err);
    maintainer::edit(&fresh.path("src/1.1.0"), |m| m["trust"] = maintainer::trust(1, &[&fresh.key], 1, &[]));
    maintainer::sign(&fresh.path("src/1.1.0"), &[&fresh.key]);
    let folder = [("--gitea", None), ("--repo", None), ("--key", None)];
    let ran = fresh.setup(&folder, &["--dir", "/src/1.1.0", "--key-fingerprint", &print, "--json"]);
    assert_eq!(json(&ran)["key"]["fingerprint"], print);
    // a folder that has the key needs no answer
    let again = fresh.setup(&folder, &["--dir", "/src/1.1.0", "--json"]);
    assert_eq!(json(&again)["written"], false);
}

/// Killed at each call that changes a file: afterwards the config is the old one or the new one, whole, and the same command does the rest.
#[test]
fn killed_anywhere_it_leaves_the_old_or_the_new_and_is_run_again() {
    or_skip!();
    let fresh = Fresh::new("setup-kill");
    fresh.has_dashboard();
    let mine = "product = \"pikit\"\n[source]\ndir = \"/src\"\n# mine\n";
    fresh.write(CONFIG, mine);
    let words = fresh.words(&[], &["--force"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (ran, calls) = strace::list(&fresh.copy("setup-list"), &words);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let whole = {
        let board = fresh.copy("setup-whole");
        board.ok(&words);
        (board.text(CONFIG), board.text(INSTALLED))
    };
    assert!(calls.len() > 20, "{}", calls.len());
    let mut fired = 0;
    for call in &calls {
        let board = fresh.copy("setup-kill");
        let (_, killed) = strace::fault(&board, &words, call, strace::Fault::Kill);
        fired += usize::from(killed);
        let text = board.text(CONFIG);
        assert!(text == mine || text == whole.0, "{}: the config is neither:\n{text}", call.text);
        let installed = fs::read_to_string(board.path(INSTALLED)).ok();
        assert!(installed.as_ref().is_none_or(|text| *text == whole.1), "{}", call.text);
        assert!(installed.is_none() || board.has("etc/pikit/version"), "{}: installed, and no version", call.text);
        board.ok(&words);
        assert_eq!((board.text(CONFIG), board.text(INSTALLED)), whole, "{}", call.text);
        assert!(
            fs::read_dir(board.path("etc/pikit")).unwrap().any(|e| fs::read_to_string(e.unwrap().path()).is_ok_and(|t| t == mine)),
            "{}: the old config is lost",
            call.text
        );
    }
    assert!(fired * 10 > calls.len() * 9, "{fired} of {}", calls.len());
    println!("killed at {fired} calls");
}

#[test]
fn a_copied_card_forgets_what_is_anothers_and_nothing_else() {
    let fresh = Fresh::new("setup-identity");
    json(&fresh.setup(&[], &["--json"]));
    fresh.ok(&["apply", "1.0.0", "--allow-downgrade", "-y"]);
    fresh.ok(&["apply", "-y"]);
    let token = fresh.ok(&["token"]).out;
    let kept = [
        "etc/pikit/updater.toml",
        "etc/pikit/keys",
        "etc/pikit/version",
        "var/lib/pikit-update/installed.json",
        "var/lib/pikit-update/trust.json",
        "var/backups",
        "srv",
        "usr",
    ];
    let before = kept.map(|path| tree::read(&fresh.root, path));
    let ran = fresh.run(&["setup", "--reset-identity", "--no-input"]);
    assert!(ran.code == 2 && ran.err.contains("nobody to ask"), "{}", ran.err);
    let done = json(&fresh.run(&["setup", "--reset-identity", "-y", "--json"]));
    let removed = done["removed"].to_string();
    assert!(removed.contains("api-token") && removed.contains("history.jsonl") && done["kept"].to_string().contains("trust.json"), "{done}");
    assert_eq!(kept.map(|path| tree::read(&fresh.root, path)), before);
    let history: Value = serde_json::from_str(&fresh.ok(&["history", "--json"]).out).unwrap();
    assert_eq!(history["history"], Value::Array(vec![]), "{history}");
    let state: Value = serde_json::from_str(&fresh.ok(&["status", "--json"]).out).unwrap();
    assert_eq!((&state["current"], &state["last_result"], &state["last_check"]), (&"1.1.0".into(), &Value::Null, &Value::Null));
    assert_ne!(fresh.ok(&["token"]).out, token);
    assert_eq!(json(&fresh.run(&["setup", "--reset-identity", "-y", "--json"]))["kept"], done["kept"], "twice is once");
    fresh.ok(&["rollback", "-y"]);
}
