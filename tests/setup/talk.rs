//! `setup` with a person in front of it: a real terminal, questions in order, answers that do not do are refused and asked for again. And
//! what a release suggests, with and without somebody who could say no.

use std::process::Command;

use super::support::board::{Ran, ran};
use super::support::terminal::at_terminal;
use super::support::{maintainer, release};
use super::*;

fn talk(fresh: &Fresh, words: &[&str], talk: &[(&str, &str)]) -> Ran {
    let program = fresh.command(words);
    let mut terminal = Command::new("python3");
    let lines: Vec<(&str, String)> = talk.iter().map(|(question, answer)| (*question, format!("{answer}\n"))).collect();
    let lines: Vec<(&str, &str)> = lines.iter().map(|(question, answer)| (*question, answer.as_str())).collect();
    at_terminal(&mut terminal, std::iter::once(program.get_program()).chain(program.get_args()), &lines, false).env("TERM", "dumb").env_remove("CI");
    let ran = ran(terminal.output().unwrap());
    assert!(!ran.out.contains("\nnot asked:"), "{}", ran.out);
    ran
}

/// 1.2.0 suggests these.
fn suggesting(name: &str, health: &str) -> Fresh {
    let fresh = Fresh::new(name);
    let (src, files) = (fresh.path("src"), files("1.2.0"));
    release::pack_into(&src, "1.2.0", &files.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect::<Vec<_>>(), &format!("health = {health}"));
    maintainer::sign(&src.join("1.2.0"), &[&fresh.key]);
    fresh.gitea.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![assets(&src.join("1.2.0"), "1.2.0")], token: None, root_url: None, page_max: 0 });
    fresh
}

#[test]
fn a_person_is_asked_for_everything_once_and_again_only_for_what_does_not_do() {
    let fresh = suggesting("talk", r#"["http://127.0.0.1:9/ping", "unit:api"]"#);
    let (url, line) = (fresh.gitea.url.clone(), fresh.key.line());
    let ran = talk(
        &fresh,
        &["setup"],
        &[
            ("address", "http://127.0.0.1:1"),
            ("Repository", "owner/pi-kit"),
            ("no:", &url),
            ("Repository", "owner/nothing"),
            ("no:", &url),
            ("Repository", "owner/pi-kit"),
            ("public key", "RWnonsense"),
            ("public key", &Key::new().line()),
            ("public key", &line),
            ("Where does api.py go", "usr/bin/api.py"),
            ("Where does api.py go", "/usr/bin/api.py"),
            ("Where does web/ go", "/nowhere/web"),
            ("Where does web/ go", "/srv/web"),
            ("[api.service]", ""),
            ("[http://127.0.0.1:9/ping unit:api.service]", "tcp:127.0.0.1"),
            ("[http://127.0.0.1:9/ping unit:api.service]", ""),
            ("by itself every day", "sometimes"),
            ("by itself every day", "install"),
            ("hour", "25:00"),
            ("hour", "03:10"),
            ("Write this to", "maybe"),
            ("please answer", "y"),
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.out);
    let text = fresh.text(CONFIG);
    for part in
        ["owner/pi-kit", "to = \"/srv/web/\"", "to = \"/usr/bin/api.py\"", "[\"api.service\"]", "http = \"http://127.0.0.1:9/ping\"", "unit = \"api.service\""]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.contains("action = \"install\"") && text.contains("at = \"03:10\""), "{text}");
    // what was typed in vain is nowhere
    assert!(!text.contains("nowhere") && !text.contains("nothing\""), "{text}");
    fresh.ok(&["config", "check"]);
}

#[test]
fn who_ends_the_conversation_or_says_no_has_changed_nothing() {
    let fresh = Fresh::new("talk-no");
    let url = fresh.gitea.url.clone();
    let line = fresh.key.line();
    let words = ["setup", "--gitea", &url, "--repo", "owner/pi-kit", "--key", &line, "--managed", "web/=/srv/web/", "--managed", "api.py=/usr/bin/api.py"];
    let ran = talk(&fresh, &words, &[("Services", "none"), ("is well", "none"), ("every day", ""), ("hour", ""), ("Write this to", "n")]);
    assert_eq!(ran.code, 10, "{}", ran.out);
    assert!(ran.out.contains("nothing was changed"), "{}", ran.out);
    fresh.is_untouched();
    // Ctrl-D, then Ctrl-C, at the first question
    for key in ["\u{4}", "\u{3}"] {
        let ran = talk(&fresh, &words, &[("Services", key)]);
        assert_eq!(ran.code, 10, "{key:?}: {}", ran.out);
        fresh.is_untouched();
    }
}

#[test]
fn what_a_release_suggests_is_watched_unless_somebody_says_otherwise() {
    let fresh = suggesting("hints", r#"["http://127.0.0.1:9/ping", "tcp:127.0.0.1:9"]"#);
    let manifest: Value = serde_json::from_str(&fresh.text("src/1.2.0/manifest.json")).unwrap();
    assert_eq!(manifest["health"], serde_json::json!(["http://127.0.0.1:9/ping", "tcp:127.0.0.1:9"]));
    let preview = |more: &[&str]| json(&fresh.setup(&[], &[&["--json", "--dry-run"], more].concat()))["text"].as_str().unwrap().to_owned();
    let text = preview(&[]);
    assert!(text.contains("\nhttp = \"http://127.0.0.1:9/ping\"") && text.contains("\ntcp = \"127.0.0.1:9\""), "{text}");
    let text = preview(&["--health", "unit:api"]);
    assert!(text.contains("\nunit = \"api.service\"") && !text.contains("9/ping"), "{text}");
    assert!(!preview(&["--no-health"]).contains("\n[[health]]"));

    // run again after another release, it is the same: what a config says goes before what a release suggests
    let ended = json(&fresh.setup(&[], &["--json"]));
    assert!(ended["written"] == true && !ended["notes"].to_string().contains("fails now"), "asked before anybody looked at it: {ended}");
    let dir = fresh.path("src/1.2.0");
    let offer = |health: Value| {
        maintainer::edit(&dir, |m| m["health"] = health);
        maintainer::sign(&dir, &[&fresh.key]);
        fresh.gitea.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![assets(&dir, "1.2.0")], token: None, root_url: None, page_max: 0 });
    };
    let original = manifest["health"].clone();
    offer(serde_json::json!(["unit:other"]));
    assert_eq!(json(&fresh.setup(&[], &["--json"]))["written"], false);
    offer(original);

    // a board that watches nothing hears of it, and one that does is left alone
    let doctor = |fresh: &Fresh| fresh.run(&["doctor", "--offline"]).out;
    fresh.setup(&[], &["--force", "--no-health"]);
    fresh.ok(&["apply", "-y"]);
    let said = doctor(&fresh);
    assert_eq!(said.matches("warn  health").count() + said.matches("no [[health]] check").count(), 1, "told once: {said}");
    assert!(said.contains("nothing is watched") && said.contains("1.2.0 suggests http = \"http://127.0.0.1:9/ping\" and tcp = \"127.0.0.1:9\""), "{said}");
    fresh.setup(&[], &["--force", "--health", "unit:api"]);
    assert!(!doctor(&fresh).contains("nothing is watched"));
}

#[test]
fn a_hint_that_leads_elsewhere_is_not_packed_and_not_followed() {
    let fresh = suggesting("hints-away", r#"["unit:api"]"#);
    let dir = fresh.path("src/1.2.0");
    maintainer::edit(&dir, |m| m["health"] = serde_json::json!(["http://192.0.2.1/", "later:kind", "unit:api", {"a": 1}]));
    maintainer::sign(&dir, &[&fresh.key]);
    fresh.gitea.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![assets(&dir, "1.2.0")], token: None, root_url: None, page_max: 0 });
    let text = json(&fresh.setup(&[], &["--json", "--dry-run"]))["text"].as_str().unwrap().to_owned();
    assert!(text.contains("\nunit = \"api.service\"") && !text.contains("192.0.2.1") && !text.contains("later"), "{text}");
    fresh.write(
        "src/release.toml",
        "product = \"pikit\"\nversion = \"1.0.0\"\nreleased = \"2026-11-20\"\nhealth = [\"http://192.0.2.1/\"]\n[[include]]\nfrom = \"1.0.0\"\nto = \"web/\"\n",
    );
    let ran = fresh.run(&["pack", fresh.path("src/release.toml").to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("health: \"http://192.0.2.1/\"") && ran.err.contains("about the board itself"), "{}", ran.err);
}
