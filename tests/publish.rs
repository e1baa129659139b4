//! Publishing: the real program against a server that follows Gitea's own description of its API. Whatever breaks on the way, nobody ever
//! sees half a release, and a run after it finishes the work; and what was published, a board installs.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::board::{Board, Ran, home, program, ran};
use support::gitea::{Fault, Gitea, READER, REPO, TOKEN};
use support::liar::Liar;
use support::noise::noise;
use support::openapi::{Asked, Description};
use support::wait;

/// A file as builders make them: text that compresses, of which a line changes with `edit`.
fn module(name: u32, edit: u32) -> String {
    let line = |n: u32| {
        let id = n.wrapping_mul(2_654_435_761).wrapping_add(name.wrapping_mul(40_503)).rotate_left(n % 31);
        format!("export function f{id:x}(a) {{ return a.get({}) ?? \"{:08x}\"; }}\n", id % 977, id.wrapping_mul(69_069))
    };
    (0..600).map(|n| if edit > 0 && n == 300 { format!("// changed {edit}\n") } else { line(n) }).collect()
}

/// A maintainer's folder: a recipe, a changelog, a key, and the files of the version that is next.
struct Maintainer {
    dir: PathBuf,
    gitea: Gitea,
    id: String,
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Maintainer {
    fn new(name: &str) -> Self {
        let dir = home().join(format!("pikit-publish-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let gitea = Gitea::start();
        let mut maintainer = Maintainer { dir, gitea, id: String::new() };
        maintainer.write(
            "CHANGELOG.md",
            "# Changes\n## 1.2.0 - 2026-11-22\nThird.\n## 1.1.0 - 2026-11-21\nA new tile.\n\nAnd more.\n## 1.0.0 - 2026-11-20\nFirst.\n",
        );
        maintainer.recipe("");
        maintainer.files(0);
        let made = maintainer.run(&["keygen", "pikit", "--no-passphrase", "--json"]);
        assert_eq!(made.code, 0, "{}", made.err);
        maintainer.id = serde_json::from_str::<Value>(&made.out).unwrap()["id"].as_str().unwrap().to_owned();
        maintainer
    }
    fn recipe(&self, more: &str) {
        let url = &self.gitea.url;
        self.write(
            "release.toml",
            &format!("product = \"pikit\"\nnotes = \"CHANGELOG.md\"\n{more}\n[[include]]\nfrom = \"tree\"\nto = \"\"\n[publish]\ngitea = \"{url}\"\nrepo = \"{REPO}\"\npatches = 1\n"),
        );
    }
    /// The files as they are at an edit.
    fn files(&self, edit: u32) {
        for n in 0..12 {
            self.write(&format!("tree/web/m{n:02}.js"), &module(n, if n == 3 { edit } else { 0 }));
        }
        self.write("tree/api.py", "print('the same')\n");
    }
    fn write(&self, path: &str, content: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).current_dir(&self.dir).stdin(Stdio::null()).env_remove("CI").env("PIKIT_GITEA_TOKEN", TOKEN);
        command.env_remove("PIKIT_SECRET_KEY").env_remove("SOURCE_DATE_EPOCH");
        command
    }
    fn run(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }
    /// `publish` of a version, with the key.
    fn publish(&self, version: &str, more: &[&str]) -> Ran {
        self.run(&[&["publish", "--version", version, "--key", "pikit.key"], more].concat())
    }
    fn published(&self, version: &str) -> Ran {
        let ran = self.publish(version, &[]);
        assert_eq!(ran.code, 0, "{}\n{}", ran.err, ran.out);
        self.gitea.conforms();
        ran
    }
    /// How many files of this name were uploaded since the log was taken.
    fn uploads(&self, log: &[(String, String)], name: &str) -> usize {
        log.iter().filter(|(method, path)| method == "POST" && path.ends_with(&format!("/assets {name}"))).count()
    }
    /// A board that takes its releases from there.
    fn board(&self) -> Board {
        let board = Board::new("published");
        board.configure("dir = \"/src\"", &format!("gitea = \"{}\"\nrepo = \"{REPO}\"", self.gitea.url));
        board.configure("required = false", "required = true");
        board.write("etc/pikit/keys/pikit.pub", fs::read(self.dir.join("pikit.pub")).unwrap());
        board
    }
    /// The release on the server is visible, and byte for byte what lies here.
    fn is_there(&self, version: &str) {
        let release = self.gitea.release(&format!("v{version}")).unwrap();
        assert!(!release.draft);
        let here = self.dir.join(format!("dist/pikit-{version}"));
        let mut names: Vec<String> = fs::read_dir(&here).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(release.names(), names);
        for asset in &release.assets {
            assert!(fs::read(here.join(&asset.name)).unwrap() == asset.bytes, "{} is another one", asset.name);
        }
    }
}

fn writes(log: &[(String, String)]) -> Vec<String> {
    log.iter().filter(|(method, _)| method != "GET").map(|(method, path)| format!("{method} {path}")).collect()
}

#[test]
fn what_is_published_a_board_installs_and_the_next_one_comes_as_a_patch() {
    let maintainer = Maintainer::new("story");
    let first = maintainer.published("1.0.0");
    maintainer.is_there("1.0.0");
    for told in ["published pikit 1.0.0 (stable) as v1.0.0", "a device on stable is offered 1.0.0", "| First.", "manifest.json.minisig", "/releases/tag/v1.0.0"]
    {
        assert!(first.out.contains(told), "{told}: {}", first.out);
    }
    let release = maintainer.gitea.release("v1.0.0").unwrap();
    assert_eq!((release.title.as_str(), release.body.as_str(), release.prerelease), ("pikit 1.0.0", "First.", false));
    let board = maintainer.board();
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("etc/pikit/version").trim(), "1.0.0");

    // the next one: what came before is known from the server alone
    fs::remove_dir_all(maintainer.dir.join("dist")).unwrap();
    maintainer.files(1);
    let second = maintainer.published("1.1.0");
    maintainer.is_there("1.1.0");
    let names = maintainer.gitea.release("v1.1.0").unwrap().assets.iter().map(|a| a.name.clone()).collect::<Vec<_>>();
    assert!(names.contains(&"pikit-1.0.0-1.1.0.patch.zst".to_owned()) && names.contains(&"pikit-1.0.0.manifest.zst".to_owned()), "{names:?}");
    assert!(second.out.contains("| A new tile.") && second.out.contains("as a patch"), "{}", second.out);
    maintainer.gitea.take_log();
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("etc/pikit/version").trim(), "1.1.0");
    assert_eq!(board.text("srv/web/m03.js"), module(3, 1));
    let log = maintainer.gitea.take_log();
    assert!(log.iter().any(|(_, path)| path.ends_with(".patch.zst")) && !log.iter().any(|(_, path)| path.ends_with(".tar.gz")), "{log:?}");
    // the list, the patch of the manifest with its signature, and the patch of the contents
    assert_eq!(log.len(), 3, "{log:?}");

    // a board that asks for one by its name, and for one that is not there
    let other = maintainer.board();
    other.ok(&["apply", "1.0.0", "-y"]);
    assert_eq!(other.text("srv/web/m03.js"), module(3, 0));
    assert_eq!(other.run(&["apply", "7.0.0", "-y"]).code, 3);
    maintainer.gitea.take_log();

    // once more changes nothing and writes nothing, though a signature is never the same twice
    let again = maintainer.published("1.1.0");
    assert!(again.out.contains("nothing was left to do"), "{}", again.out);
    assert_eq!(writes(&maintainer.gitea.take_log()), Vec::<String>::new());
    maintainer.gitea.conforms();
}

#[test]
fn a_run_that_was_killed_while_it_uploaded_is_run_again() {
    for (stop, end) in [("the bundle", "pikit-1.0.0.tar.gz"), ("the manifest", "manifest.json")] {
        let maintainer = Maintainer::new(&format!("killed-{}", end.len()));
        maintainer.gitea.fault("POST", end, Fault::Stall(100));
        let mut child =
            maintainer.command(&["publish", "--version", "1.0.0", "--key", "pikit.key"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait::until(stop, || maintainer.gitea.stalled().then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        let draft = maintainer.gitea.release("v1.0.0").unwrap();
        assert!(draft.draft && draft.asset("manifest.json").is_none(), "{stop}: {:?}", draft.names());
        // what is not there is not offered
        let board = maintainer.board();
        board.run(&["apply", "-y"]);
        assert!(!board.has("srv/web/m03.js"), "{stop}");
        let log = maintainer.gitea.take_log();
        assert_eq!(maintainer.uploads(&log, "manifest.json.minisig"), 1);

        // on another machine: what a CI has after a break
        fs::remove_dir_all(maintainer.dir.join("dist")).unwrap();
        maintainer.published("1.0.0");
        maintainer.is_there("1.0.0");
        let log = maintainer.gitea.take_log();
        assert_eq!(maintainer.uploads(&log, "manifest.json.minisig"), 0, "{stop}: it was there");
        assert_eq!(maintainer.uploads(&log, "pikit-1.0.0.tar.gz"), usize::from(end == "pikit-1.0.0.tar.gz"), "{stop}: {:?}", writes(&log));
        board.ok(&["apply", "-y"]);
    }
}

#[test]
fn whatever_breaks_once_the_release_arrives_whole() {
    let bundle = "pikit-1.0.0.tar.gz";
    let table: &[(&'static str, &str, Fault)] = &[
        ("GET", "/releases", Fault::Refuse(502)),
        ("GET", "owner/pi-kit", Fault::Refuse(503)),
        ("POST", "/releases", Fault::Refuse(500)),
        ("POST", "/releases", Fault::DoAndFail),
        ("POST", bundle, Fault::Refuse(500)),
        ("POST", bundle, Fault::Refuse(429)),
        ("POST", bundle, Fault::DoAndFail),
        ("POST", bundle, Fault::Cut(5000)),
        ("POST", bundle, Fault::Keep(5000)),
        ("POST", bundle, Fault::Spoil),
        ("POST", bundle, Fault::Slow),
        ("POST", "manifest.json", Fault::Keep(0)),
        ("PATCH", "", Fault::Refuse(500)),
        ("PATCH", "", Fault::DoAndFail),
    ];
    let maintainer = Maintainer::new("faults");
    for (method, end, fault) in table {
        maintainer.gitea.change(Vec::clear);
        maintainer.gitea.fault(method, end, fault.clone());
        let ran = maintainer.publish("1.0.0", &[]);
        assert_eq!((ran.code, maintainer.gitea.faults_left()), (0, 0), "{method} {end} {fault:?}: {}", ran.err);
        maintainer.is_there("1.0.0");
        maintainer.gitea.conforms();
    }
}

#[test]
fn a_server_that_never_keeps_what_it_is_sent_is_given_up() {
    let maintainer = Maintainer::new("hopeless");
    (0..5).for_each(|_| maintainer.gitea.fault("POST", "pikit-1.0.0.tar.gz", Fault::Spoil));
    let ran = maintainer.publish("1.0.0", &[]);
    assert!(ran.code == 3 && ran.err.contains("uploaded 3 times") && ran.err.contains("nothing is visible"), "{} {}", ran.code, ran.err);
    assert!(maintainer.gitea.release("v1.0.0").unwrap().draft);
    maintainer.gitea.conforms();
}

#[test]
fn what_is_visible_is_not_changed_unless_it_is_asked_for() {
    let maintainer = Maintainer::new("visible");
    maintainer.published("1.0.0");
    let before = maintainer.gitea.releases();
    maintainer.files(7);
    maintainer.gitea.take_log();
    let ran = maintainer.publish("1.0.0", &[]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    for told in ["v1.0.0 is visible", "manifest.json:", "manifest.json.minisig:", "pikit-1.0.0.tar.gz:", "--replace"] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    assert_eq!((maintainer.gitea.releases(), writes(&maintainer.gitea.take_log())), (before, Vec::new()));

    // it is hidden first, and shown last; what others attached stays
    maintainer.gitea.change(|all| all[0].assets.push(support::gitea::Asset { id: 99, name: "manual.pdf".into(), bytes: b"%PDF".to_vec() }));
    let ran = maintainer.publish("1.0.0", &["--replace"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    maintainer.gitea.conforms();
    let done = writes(&maintainer.gitea.take_log());
    assert!(done.first().unwrap().starts_with("PATCH") && done.last().unwrap().starts_with("PATCH"), "{done:?}");
    assert_eq!(maintainer.gitea.release("v1.0.0").unwrap().names(), ["manifest.json", "manifest.json.minisig", "manual.pdf", "pikit-1.0.0.tar.gz"]);
}

#[test]
fn a_release_that_takes_a_later_one_back_is_published_again() {
    let maintainer = Maintainer::new("recall");
    maintainer.published("1.0.0");
    maintainer.files(1);
    maintainer.published("1.1.0");
    let board = maintainer.board();
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("etc/pikit/version").trim(), "1.1.0");
    // as docs/publish.md tells
    assert_eq!(maintainer.run(&["sign", "dist/pikit-1.0.0", "--recall", "--key", "pikit.key"]).code, 0);
    maintainer.gitea.change(|all| all.iter_mut().find(|r| r.tag == "v1.1.0").unwrap().draft = true);
    let again = maintainer.run(&["publish", "--release", "dist/pikit-1.0.0", "--replace"]);
    assert_eq!(again.code, 0, "{}", again.err);
    maintainer.is_there("1.0.0");
    board.ok(&["apply", "-y"]);
    assert_eq!((board.text("etc/pikit/version").trim(), board.text("srv/web/m03.js")), ("1.0.0", module(3, 0)));
    maintainer.gitea.conforms();
}

#[test]
fn a_dry_run_does_all_but_write_to_the_server() {
    let maintainer = Maintainer::new("dry");
    maintainer.published("1.0.0");
    maintainer.files(1);
    let before = maintainer.gitea.releases();
    maintainer.gitea.take_log();
    let ran = maintainer.publish("1.1.0", &["--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for told in [
        "would be published as v1.1.0",
        "would make a draft",
        "would upload pikit-1.1.0.tar.gz",
        "would upload pikit-1.0.0-1.1.0.patch.zst",
        "would make it visible",
        "as a patch",
    ] {
        assert!(ran.out.contains(told), "{told}: {}", ran.out);
    }
    assert_eq!((maintainer.gitea.releases(), writes(&maintainer.gitea.take_log())), (before, Vec::new()));
    let json: Value = serde_json::from_str(maintainer.publish("1.1.0", &["--dry-run", "--json"]).out.lines().last().unwrap()).unwrap();
    assert_eq!((&json["ok"], &json["dry_run"], &json["actions"][0]["do"], &json["offered"]), (&true.into(), &true.into(), &"create".into(), &Value::Null));
    assert_eq!(json["signed"][0], maintainer.id.as_str());
    maintainer.gitea.conforms();
}

#[test]
fn what_stands_in_the_way_is_said_with_what_to_do() {
    /// Token, more words, what is wrong with the server; how it ends, what is said.
    type Row<'r> = (&'r str, &'r [&'r str], fn(&Gitea), i32, &'r [&'r str]);
    let table: &[Row] = &[
        ("no-such-token", &[], |_| {}, 3, &["does not accept the token", "/user/settings/applications"]),
        (READER, &[], |_| {}, 3, &["may not do this", "write permission"]),
        ("", &[], |_| {}, 2, &["no token", "--token-file"]),
        (TOKEN, &["--repo", "owner/other"], |_| {}, 3, &["no such repository", "publish.repo"]),
        (TOKEN, &["--repo", "other"], |_| {}, 2, &["not owner/name"]),
        (TOKEN, &["--gitea", "http://git.example.org"], |_| {}, 2, &["publish.gitea", "plain http"]),
        (TOKEN, &["--gitea", "http://127.0.0.1:9"], |_| {}, 3, &["refused the connection"]),
        (TOKEN, &[], |g| g.set(|s| s.empty = true), 5, &["is empty", "push"]),
        (TOKEN, &[], |g| g.set(|s| s.max_size = 20_000), 3, &["pikit-1.0.0.tar.gz", "larger than the server", "MAX_SIZE"]),
        (TOKEN, &[], |g| g.set(|s| s.allowed = vec![".json".into(), ".minisig".into()]), 3, &["does not take this file", "ALLOWED_TYPES"]),
        (TOKEN, &[], |g| (0..9).for_each(|_| g.fault("POST", "/releases", Fault::Refuse(422))), 3, &["does not accept this"]),
        (TOKEN, &[], |g| (0..9).for_each(|_| g.fault("POST", "/releases", Fault::Refuse(409))), 3, &["run it again"]),
    ];
    for (i, (token, words, change, code, told)) in table.iter().enumerate() {
        let maintainer = Maintainer::new(&format!("way-{i}"));
        change(&maintainer.gitea);
        let mut command = maintainer.command(&[&["publish", "--version", "1.0.0", "--key", "pikit.key"], *words].concat());
        let ran = ran(command.env("PIKIT_GITEA_TOKEN", token).output().unwrap());
        assert_eq!(ran.code, *code, "{told:?}: {}", ran.err);
        told.iter().for_each(|t| assert!(ran.err.contains(t), "{t}: {}", ran.err));
        assert!(token.is_empty() || !format!("{}{}", ran.out, ran.err).contains(token), "the token was shown");
        // and nobody sees anything of it
        assert!(maintainer.gitea.releases().iter().all(|r| r.draft));
        maintainer.gitea.conforms();
    }
}

#[test]
fn the_token_goes_nowhere_else() {
    let (maintainer, other) = (Maintainer::new("elsewhere"), Liar::start());
    maintainer.gitea.set(|s| s.moved_to = Some(other.url.clone()));
    let ran = maintainer.publish("1.0.0", &[]);
    assert!(ran.code == 3 && ran.err.contains("sends elsewhere"), "{} {}", ran.code, ran.err);
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn the_token_comes_from_a_file_a_variable_or_the_recipe() {
    let maintainer = Maintainer::new("token");
    maintainer.write("token", &format!("{TOKEN}\n"));
    maintainer.write("wrong", "nothing\n");
    let run = |words: &[&str], env: Option<(&str, &str)>| {
        let mut command = maintainer.command(&[&["publish", "--version", "1.0.0", "--key", "pikit.key", "--dry-run"], words].concat());
        command.env_remove("PIKIT_GITEA_TOKEN").envs(env);
        ran(command.output().unwrap()).code
    };
    assert_eq!(run(&[], None), 2);
    assert_eq!(run(&["--token-file", "token"], None), 0);
    assert_eq!(run(&["--token-file", "env:MINE"], Some(("MINE", TOKEN))), 0);
    assert_eq!(run(&["--token-file", "wrong"], Some(("PIKIT_GITEA_TOKEN", TOKEN))), 3);
    let recipe = fs::read_to_string(maintainer.dir.join("release.toml")).unwrap();
    maintainer.write("release.toml", &recipe.replace("patches = 1", "token_file = \"token\""));
    assert_eq!(run(&[], None), 0);
    assert_eq!(run(&[], Some(("PIKIT_GITEA_TOKEN", "nothing"))), 3);
}

#[test]
fn a_release_that_was_signed_elsewhere_is_published_as_it_is() {
    let maintainer = Maintainer::new("folder");
    assert_eq!(maintainer.run(&["pack", "--version", "1.0.0"]).code, 0);
    let publish = || maintainer.run(&["publish", "--release", "dist/pikit-1.0.0"]);
    let unsigned = publish();
    assert!(unsigned.code == 2 && unsigned.err.contains("not signed"), "{}", unsigned.err);
    assert_eq!(maintainer.run(&["sign", "dist/pikit-1.0.0", "--key", "pikit.key"]).code, 0);
    // the keys of devices are named, and this is not one of them
    let recipe = fs::read_to_string(maintainer.dir.join("release.toml")).unwrap();
    assert_eq!(maintainer.run(&["keygen", "other", "--no-passphrase"]).code, 0);
    maintainer.write("release.toml", &format!("{recipe}keys = [\"other.pub\"]\n"));
    let foreign = publish();
    assert!(foreign.code == 4 && foreign.err.contains("signature"), "{} {}", foreign.code, foreign.err);
    assert!(maintainer.gitea.releases().is_empty());
    maintainer.write("release.toml", &format!("{recipe}keys = [\"pikit.pub\"]\n"));
    let published = publish();
    assert_eq!(published.code, 0, "{}", published.err);
    maintainer.is_there("1.0.0");
    maintainer.gitea.conforms();
}

/// The description is only worth something if what is not in it is found.
#[test]
fn what_gitea_does_not_describe_is_found() {
    let description = Description::read();
    let asked = |method, path, query, body: Option<&'static str>| {
        let content_type = body.map(|_| "application/json");
        description.request(&Asked { method, path, query, content_type, body: body.map(str::as_bytes), ..Asked::default() })
    };
    let releases = "/repos/owner/kit/releases";
    assert_eq!(asked("GET", releases, "limit=5&page=2", None), Vec::<String>::new());
    assert_eq!(asked("POST", releases, "", Some(r#"{"tag_name":"v1","draft":true}"#)), Vec::<String>::new());
    let table = [
        ("GET", releases, "sort=new", None, "query parameter sort"),
        ("GET", releases, "limit=many", None, "limit is \"many\""),
        ("GET", "/repos/owner/kit/releases/one", "", None, "id is \"one\""),
        ("PUT", releases, "", None, "not in the description"),
        ("POST", releases, "", Some(r#"{"draft":true}"#), "tag_name is missing"),
        ("POST", releases, "", Some(r#"{"tag_name":"v1","draft":"yes"}"#), "is no \"boolean\""),
        ("POST", releases, "", Some(r#"{"tag_name":"v1","colour":"red"}"#), "there is no colour"),
        ("POST", releases, "", None, "wants a body"),
    ];
    for (method, path, query, body, told) in table {
        let wrong = asked(method, path, query, body);
        assert!(wrong.iter().any(|w| w.contains(told)), "{told}: {wrong:?}");
    }
    for (status, body, told) in [(200, r#"[{"id":1}]"#, "tag_name is missing"), (200, "{}", "is no \"array\""), (418, "", "never answers 418")] {
        let wrong = description.answer("GET", releases, status, body.as_bytes());
        assert!(wrong.iter().any(|w| w.contains(told)), "{told}: {wrong:?}");
    }
}

/// Most memory of an upload, megabytes; the program of the tests, not optimised for size, has about half of it by itself.
const LIMIT: f64 = 40.0;

#[test]
fn memory_does_not_grow_with_what_is_uploaded() {
    let maintainer = Maintainer::new("memory");
    for n in 0..3 {
        fs::write(maintainer.dir.join(format!("tree/web/{n}.bin")), noise(24 << 20, n)).unwrap();
    }
    assert_eq!(maintainer.run(&["pack", "--version", "1.0.0"]).code, 0);
    assert_eq!(maintainer.run(&["sign", "dist/pikit-1.0.0", "--key", "pikit.key"]).code, 0);
    let time = maintainer.dir.join("time");
    let mut timed = Command::new("time");
    timed.args(["-f", "%M %e", "-o"]).arg(&time).arg(program()).args(["publish", "--release", "dist/pikit-1.0.0"]);
    timed.current_dir(&maintainer.dir).env("PIKIT_GITEA_TOKEN", TOKEN).stdin(Stdio::null());
    let ran = ran(timed.output().expect("GNU time is installed"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = fs::read_to_string(time).unwrap();
    let (kilobytes, seconds) = text.trim().split_once(' ').unwrap();
    let megabytes = kilobytes.parse::<f64>().unwrap() * 1024.0 / 1e6;
    println!("a bundle of 75 MB published with {megabytes:.1} MB of memory in {seconds} s");
    assert!(megabytes < LIMIT, "{megabytes} MB");
    maintainer.is_there("1.0.0");
}

#[test]
fn a_prerelease_is_for_those_who_follow_it() {
    let maintainer = Maintainer::new("beta");
    maintainer.gitea.set(|s| s.page_max = 1);
    maintainer.published("1.0.0");
    maintainer.write("CHANGELOG.md", "# Changes\n## 1.1.0-beta.1 - 2026-11-21\nTry.\n## 1.0.0 - 2026-11-20\nFirst.\n");
    maintainer.files(2);
    let ran = maintainer.published("1.1.0-beta.1");
    assert!(ran.out.contains("a device on beta is offered 1.1.0-beta.1"), "{}", ran.out);
    assert!(maintainer.gitea.release("v1.1.0-beta.1").unwrap().prerelease);
    let board = maintainer.board();
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("etc/pikit/version").trim(), "1.0.0");
    // and what is not above the last one hurts nobody but whoever waits for it
    let lower = maintainer.publish("1.1.0-beta.1", &["--channel", "beta", "--replace"]);
    assert_eq!(lower.code, 0, "{}", lower.err);
    maintainer.write("CHANGELOG.md", "# Changes\n## 0.9.0 - 2026-11-21\nOld.\n");
    let lower = maintainer.publish("0.9.0", &[]);
    assert!(lower.code == 5 && lower.err.contains("not above 1.0.0"), "{} {}", lower.code, lower.err);
}

#[test]
fn what_everybody_gets_is_looked_at_and_not_only_what_the_token_shows() {
    let maintainer = Maintainer::new("stale");
    for (end, told) in [(".tar.gz", "is not what was uploaded"), (".minisig", ""), ("manifest.json", "broken manifest")] {
        maintainer.gitea.change(Vec::clear);
        maintainer.gitea.set(|s| s.stale = Some(end.to_owned()));
        let ran = maintainer.publish("1.0.0", &[]);
        assert!(ran.code == 4 && ran.err.contains(told), "{end}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn a_private_repository_is_looked_at_with_the_token() {
    let maintainer = Maintainer::new("private");
    maintainer.gitea.set(|s| s.private = true);
    maintainer.published("1.0.0");
    let board = maintainer.board();
    assert_eq!(board.run(&["apply", "-y"]).code, 3);
    board.write("etc/pikit/token", READER);
    board.configure("[trust]", "token_file = \"/etc/pikit/token\"\n[trust]");
    board.ok(&["apply", "-y"]);
    maintainer.gitea.conforms();
}

#[test]
fn lint_finds_what_would_hurt() {
    let maintainer = Maintainer::new("lint");
    let well = maintainer.run(&["lint", "--version", "1.0.0"]);
    assert_eq!(well.code, 0, "{}{}", well.out, well.err);
    assert!(well.out.contains("note: web/: devices need") && well.out.contains("0 errors, 0 warnings"), "{}", well.out);

    maintainer.write("tree/web/.env", "PASSWORD=1\n");
    maintainer.write("tree/web/run.sh", "#!/bin/sh\n");
    let found = maintainer.run(&["lint", "--version", "1.0.0", "--json"]);
    let json: Value = serde_json::from_str(&found.out).unwrap();
    let rules: Vec<&str> = json["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect();
    assert_eq!((found.code, &json["ok"], rules), (5, &false.into(), vec!["secret", "mode", "place", "place"]));
    // nothing is packed or published that would hurt
    let packed = maintainer.run(&["pack", "--version", "1.0.0"]);
    assert!(packed.code == 5 && packed.err.contains("web/.env") && packed.err.contains("web/run.sh"), "{}", packed.err);
    assert_eq!(maintainer.publish("1.0.0", &[]).code, 5);
    assert!(maintainer.gitea.releases().is_empty() && !maintainer.dir.join("dist").exists());
    // unless a person says that it is all right
    maintainer.recipe("[lint]\nallow = [\"web/.env\"]");
    let allowed = maintainer.run(&["lint", "--version", "1.0.0"]);
    assert!(allowed.code == 0 && allowed.out.contains("warning: web/run.sh"), "{}", allowed.out);
    assert_eq!(maintainer.run(&["pack", "--version", "1.0.0"]).code, 0);
    assert_eq!(maintainer.run(&["lint", "dist/pikit-1.0.0"]).code, 5, "a folder has no recipe that allows it");

    // and with the config of a device it is known whether there is a place for everything
    let board = Board::new("lint");
    let config = board.path("etc/pikit/updater.toml");
    assert_eq!(maintainer.run(&["lint", "--version", "1.0.0", "--config", config.to_str().unwrap()]).code, 0);
    maintainer.write("tree/extra/x", "x");
    let homeless = maintainer.run(&["lint", "--version", "1.0.0", "--config", config.to_str().unwrap()]);
    assert!(homeless.code == 5 && homeless.out.contains("extra/x: no [[managed]] entry"), "{}", homeless.out);
    let lower = maintainer.run(&["lint", "--version", "1.0.0", "--published", "1.0.0"]);
    assert!(lower.code == 5 && lower.out.contains("not above"), "{}", lower.out);
}

/// The shell of each `run` of a workflow, with its own environment: name in the environment, and what stands there.
fn steps(workflow: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let (mut in_run, mut in_env) = (false, false);
    for line in workflow.lines() {
        let (text, deep) = (line.trim(), line.len() - line.trim_start().len());
        match text.split_once(": ") {
            Some(("run", script)) => {
                found.push((if script == "|" { String::new() } else { script.to_owned() }, Vec::new()));
                (in_run, in_env) = (script == "|", false);
            }
            _ if text == "env:" => (in_run, in_env) = (false, true),
            _ if in_run && deep > 8 => found.last_mut().unwrap().0 += &format!("{text}\n"),
            Some((name, value)) if in_env && deep > 8 => found.last_mut().unwrap().1.push((name.to_owned(), value.to_owned())),
            _ => (in_run, in_env) = (false, false),
        }
    }
    found
}

#[test]
fn the_workflow_that_the_docs_hand_out_publishes() {
    let workflow = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gitea-workflow.yml")).unwrap();
    let steps = steps(&workflow);
    assert_eq!(steps.len(), 2, "{steps:?}");
    let maintainer = Maintainer::new("workflow");
    // as the runner has it: what was checked out, the tag, and what the server keeps for the job
    let sha256 = pikit_updater::release::Digest::of_reader(fs::File::open(program()).unwrap()).unwrap().0;
    let kept = |value: &str| match value {
        "${{ vars.PIKIT_UPDATER_URL }}" => format!("file://{}", program().display()),
        "${{ vars.PIKIT_UPDATER_SHA256 }}" => sha256.to_string(),
        "${{ secrets.PIKIT_SECRET_KEY }}" => fs::read_to_string(maintainer.dir.join("pikit.key")).unwrap(),
        "${{ secrets.PIKIT_GITEA_TOKEN }}" => TOKEN.to_owned(),
        other => panic!("{other} is none of what the page says is needed"),
    };
    for (script, env) in &steps {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", script]).current_dir(&maintainer.dir).env("GITHUB_REF_NAME", "v1.0.0").env_remove("PIKIT_GITEA_TOKEN");
        shell.envs(env.iter().map(|(name, value)| (name, kept(value))));
        let ran = ran(shell.output().unwrap());
        assert_eq!(ran.code, 0, "{script}: {}", ran.err);
        assert!(!ran.out.contains(TOKEN) && !ran.err.contains(TOKEN));
    }
    maintainer.is_there("1.0.0");
    maintainer.gitea.conforms();
}
