//! Automatic mode and notices, through the real program on a board in a folder, with a server of the test's own that is told.
#![allow(clippy::unwrap_used)] // helpers of tests are no production

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::board::Board;

const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("api.py", "api")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("api.py", "api")];

/// A server that takes every letter and keeps it.
struct Hook {
    url: String,
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    fn new(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook/secret", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let keeping = got.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(&stream);
                let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
                let length = head.iter().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                keeping.lock().unwrap().push((head.join("\n"), String::from_utf8(body).unwrap()));
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        Hook { url, got }
    }
    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }
    fn events(&self) -> Vec<String> {
        self.bodies().iter().map(|b| b["event"].as_str().unwrap().to_owned()).collect()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn configure(board: &Board, more: &str) {
    let text = board.text("etc/pikit/updater.toml");
    board.write("etc/pikit/updater.toml", text + more);
}

fn json(ran: &support::board::Ran) -> Value {
    serde_json::from_str(ran.out.lines().last().unwrap()).unwrap()
}

#[test]
fn auto_changes_the_config_and_nothing_else_and_says_that_nobody_starts_it_here() {
    let board = Board::new("auto-set");
    configure(&board, "# my own words\n[schedule] # at night\nat = '03:00' # not before\n");
    let before = board.text("etc/pikit/updater.toml");
    assert_eq!(json(&board.ok(&["auto", "--json"]))["mode"], "check");
    let set = board.ok(&["auto", "install"]);
    assert!(set.out.starts_with("install at 03:00, up to 30 min later"), "{}", set.out);
    assert!(set.err.contains("nothing starts it by itself") && set.err.contains("auto run"), "{}", set.err);
    assert_eq!(board.text("etc/pikit/updater.toml"), before.replace("at = '03:00'", "action = \"install\"\nat = '03:00'"));
    let shown = json(&board.ok(&["auto", "off", "--at", "05:30", "--json"]));
    assert_eq!((&shown["mode"], &shown["at"], &shown["timer"], &shown["next"]), (&"off".into(), &"05:30".into(), &false.into(), &Value::Null));
    assert_eq!(board.ok(&["auto"]).out, "off\n");
    let status = json(&board.ok(&["status", "--json"]));
    assert_eq!((&status["auto"]["mode"], &status["auto"]["at"]), (&"off".into(), &"05:30".into()));
    for words in [&["auto", "--at", "5:30"][..], &["auto", "always"], &["auto", "run", "--at", "05:30"]] {
        assert_eq!(board.run(words).code, 2, "{words:?}");
    }
    assert!(!board.has("etc/systemd"));
}

#[test]
fn auto_run_does_what_is_set_and_its_exit_code_is_that_of_the_update() {
    let board = Board::new("auto-run");
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", TWO);
    board.ok(&["auto", "off"]);
    assert_eq!(board.ok(&["auto", "run"]).out, "automatic mode is off\n");
    board.ok(&["auto", "check"]);
    assert_eq!(json(&board.ok(&["auto", "run", "--json"]))["available"], "1.1.0");
    assert_eq!(board.text("srv/web/index.html"), "one");
    board.ok(&["auto", "install"]);
    let ran = board.ok(&["auto", "run", "--json"]);
    assert_eq!((&json(&ran)["event"], &json(&ran)["auto"], &json(&ran)["outcome"]), (&"result".into(), &"installed".into(), &"confirmed".into()));
    assert_eq!(board.text("srv/web/index.html"), "two");

    board.ok(&["rollback", "-y"]);
    let passed = board.ok(&["auto", "run"]);
    assert!(passed.out.contains("1.1.0 is offered, and is passed over"), "{}", passed.out);
    board.release("1.2.0", TWO);
    board.ok(&["auto", "run"]);
    assert_eq!(board.text("etc/pikit/version"), "1.2.0\n");
    // back and forth again by hand: what was gone to is not passed over
    board.ok(&["rollback", "-y"]);
    board.ok(&["rollback", "-y"]);
    assert_eq!(json(&board.ok(&["status", "--json"]))["skipped"], serde_json::json!(["1.1.0"]));

    // sick, then known to be sick
    board.configure("run = [\"/bin/true\"]", &format!("run = [\"test\", \"!\", \"-e\", {:?}]", board.path("srv/web/sick")));
    board.release("1.3.0", &[("web/index.html", "three"), ("web/sick", "")]);
    assert_eq!(board.run(&["auto", "run"]).code, 6);
    let known = board.ok(&["auto", "run"]);
    assert!(known.out.contains("failed here before"), "{}", known.out);
    // blocked
    board.release("1.4.0", &[("elsewhere/file", "x")]);
    assert_eq!(board.run(&["auto", "run"]).code, 5);
    // not there
    fs::rename(board.path("src"), board.path("gone")).unwrap();
    assert_eq!(board.run(&["auto", "run"]).code, 3);
}

#[test]
fn a_timer_is_not_red_because_somebody_updates_by_hand() {
    let board = Board::new("auto-busy");
    let held = pikit_updater::world::lock::Locked::take(&board.path("var/run/pikit-update.lock"), "boot").unwrap();
    let ran = board.ok(&["auto", "run"]);
    assert!(ran.out.contains("another run holds the lock") && ran.out.contains("nothing is done today"), "{}", ran.out);
    assert_eq!(json(&board.ok(&["auto", "run", "--json"]))["auto"], "busy");
    assert_eq!(board.run(&["auto", "off"]).code, 8);
    drop(held);
}

#[test]
fn what_happens_is_told_once_and_a_board_that_could_not_tell_it_tells_it_later() {
    let (board, hook) = (Board::new("notices"), Hook::new(OK));
    configure(&board, &format!("[notify]\nwebhook = \"{}\"\n", hook.url));
    board.release("1.0.0", ONE);
    board.ok(&["check"]);
    board.ok(&["check"]);
    assert_eq!(hook.events(), ["available"]);
    board.ok(&["apply", "-y"]);
    board.ok(&["apply", "-y"]);
    assert_eq!(hook.events(), ["available", "confirmed"]);
    let body = &hook.bodies()[1];
    let last = json(&board.ok(&["status", "--json"]))["last_result"].clone();
    assert_eq!((&body["version"], &body["product"], &body["transaction"]), (&"1.0.0".into(), &"pikit".into(), &last["transaction"]));
    assert!(body["text"].as_str().unwrap().starts_with("pikit 1.0.0 is installed\n"));

    // nobody listens
    board.configure(&hook.url, "http://127.0.0.1:1/hook/secret");
    board.release("1.1.0", TWO);
    let ran = board.ok(&["apply", "-y"]);
    assert!(ran.err.contains("a notice was not sent: 127.0.0.1:1: connection refused") && !ran.err.contains("secret"), "{}", ran.err);
    assert!(json(&board.ok(&["rollback", "-y", "--json"]))["outcome"] == "confirmed");
    board.configure("http://127.0.0.1:1/hook/secret", &hook.url);
    board.ok(&["recover", "--boot"]);
    assert_eq!(hook.events().len(), 2, "at boot there is no network yet");
    board.ok(&["recover"]);
    assert_eq!(hook.events()[2..], ["confirmed", "confirmed"]);
    assert!(hook.bodies()[3]["title"].as_str().unwrap().contains("back at 1.0.0"));
}

#[test]
fn notify_test_says_what_the_server_answered() {
    let board = Board::new("notify-test");
    assert_eq!(board.run(&["notify", "test"]).code, 2);
    let hook = Hook::new(OK);
    configure(&board, &format!("[notify]\nwebhook = \"{}\"\nformat = \"ntfy\"\n", hook.url));
    assert!(board.ok(&["notify", "test"]).out.contains("took it (200)"));
    let (head, body) = hook.got.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /hook/secret HTTP/1.1") && head.to_lowercase().contains("\ntitle: pikit: notices arrive\n"), "{head}");
    assert!(body.contains("Nothing has happened"));
    for (answer, want) in [
        ("HTTP/1.1 404 No\r\nContent-Length: 12\r\n\r\nno such hook", "answered 404: no such hook"),
        ("HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\nContent-Length: 0\r\n\r\n", "answered 302 and sends elsewhere"),
    ] {
        let cold = Hook::new(answer);
        let text = board.text("etc/pikit/updater.toml");
        let line = text.lines().find(|l| l.starts_with("webhook")).unwrap().to_owned();
        board.configure(&line, &format!("webhook = \"{}\"", cold.url));
        let ran = board.run(&["notify", "test"]);
        assert_eq!((ran.code, ran.err.contains(want), ran.err.contains("secret")), (3, true, false), "{}", ran.err);
    }
}

#[test]
fn who_skipped_releases_reads_the_notes_of_all_of_them() {
    let board = Board::new("earlier");
    let pack = |version: &str, changelog: &str| {
        let work = board.path(&format!("work-{version}"));
        fs::create_dir_all(work.join("tree/web")).unwrap();
        fs::write(work.join("tree/web/index.html"), version).unwrap();
        fs::write(work.join("CHANGELOG.md"), changelog).unwrap();
        support::release::pack_tree(&work, &board.path(&format!("src/{version}")), version, "notes = \"CHANGELOG.md\"");
    };
    pack("1.0.0", "## 1.0.0\nfirst\n");
    board.ok(&["apply", "-y"]);
    pack("1.3.0", "## 1.3.0\nthird\n\n## 1.2.0 - 2026-11-01\nsecond\n\n## 1.1.0\n- a\n- b\n\n## 1.0.0\nfirst\n");
    let available = json(&board.ok(&["check", "--json"]))["available"].clone();
    let said: Vec<(&str, &str)> =
        available["earlier"].as_array().unwrap().iter().map(|e| (e["version"].as_str().unwrap(), e["notes"].as_str().unwrap())).collect();
    assert_eq!((said, available["notes"].as_str()), (vec![("1.2.0", "second"), ("1.1.0", "- a\n- b")], Some("third")));
    assert!(available["earlier"][0]["released"].as_str().unwrap().starts_with("2026-11-01"));
    // a folder of web pages was switched before, and services were away while it was
    assert!(available["expected_offline_seconds"].is_number(), "{available}");
}

#[test]
fn of_a_fleet_only_those_whose_wave_has_come_update_by_themselves() {
    use support::liar::{Gitea, Liar, Release};
    let version = "1.1.0";
    let waves = |start: &str| format!("[rollout]\nstart = \"{start}\"\nwaves = [{{ after = \"0h\", percent = 40 }}, {{ after = \"3000d\", percent = 100 }}]\n");
    let server = Liar::start();
    let maker = Board::new("fleet-maker");
    let publish = |version: &str, files: &[(&str, &str)], more: &str| {
        let _ = fs::remove_dir_all(maker.path("src"));
        support::release::pack_into(&maker.path("src"), version, files, more);
        let assets = fs::read_dir(maker.path("src").join(version)).unwrap().map(|e| e.unwrap());
        let release = assets.fold(Release::new(&format!("v{version}")), |all, e| all.asset(e.file_name().to_str().unwrap(), fs::read(e.path()).unwrap()));
        server.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![release], token: None, root_url: None, page_max: 0 });
    };
    publish("1.0.0", ONE, "");
    let fleet: Vec<(String, Board)> = (0..12)
        .map(|n| {
            let board = Board::new("fleet");
            board.configure("dir = \"/src\"", &format!("gitea = \"{}\"\nrepo = \"owner/pi-kit\"", server.url));
            let id = format!("{:032x}", n * 3 + 100);
            board.write("etc/machine-id", format!("{id}\n"));
            board.ok(&["apply", "-y"]);
            board.ok(&["auto", "install"]);
            (id, board)
        })
        .collect();
    let installed = || fleet.iter().filter(|(_, b)| b.text("etc/pikit/version").trim() == version).map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let is_early = |id: &str| pikit_updater::release::rollout::place(id, "pikit", &version.parse().unwrap()) < 40;
    let early: Vec<String> = fleet.iter().map(|(id, _)| id.clone()).filter(|id| is_early(id)).collect();
    assert!((2..11).contains(&early.len()), "{}", early.len());

    // before the first wave nobody
    publish(version, TWO, &waves("2100-01-01"));
    for (_, board) in &fleet {
        let said = board.ok(&["auto", "run"]).out;
        assert!(said.contains("comes to boards in waves, to this one on 2"), "{said}");
    }
    assert!(installed().is_empty());
    publish(version, TWO, &waves("2026-01-01"));
    for (id, board) in &fleet {
        let said = board.ok(&["auto", "run"]).out;
        assert!(is_early(id) || said.contains("comes to boards in waves, to this one on 2034-"), "{said}");
    }
    assert_eq!(installed(), early);
    // whoever asks for it need not wait; the next run of the timer changes nothing
    let (_, late) = fleet.iter().find(|(id, _)| !is_early(id)).unwrap();
    late.ok(&["apply", "-y"]);
    assert_eq!(late.text("etc/pikit/version").trim(), version);
    for (_, board) in &fleet {
        board.ok(&["auto", "run"]);
    }
    assert_eq!(installed().len(), early.len() + 1);
}
