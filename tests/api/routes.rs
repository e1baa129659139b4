//! Every route: what it answers, in which shape and with which headers.

use serde_json::{Value, json};

use crate::board;
use crate::server::{Answer, Server};
use crate::support::board::Board;

const GETS: [&str; 9] = ["status", "plan", "history", "log", "verify", "events", "openapi.json", "ping", "/metrics"];
const POSTS: [&str; 9] = ["login", "logout", "check", "apply", "rollback", "repair", "auto", "skip", "unskip"];

fn path(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/api/update/{name}") }
}

/// What every answer has: nothing is guessed, kept or framed elsewhere.
fn wrapped(answer: &Answer, page: bool) {
    let policy = answer.header("Content-Security-Policy").unwrap_or_else(|| panic!("{}", answer.head));
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{}", answer.head);
    assert_eq!(answer.header("Cache-Control"), Some(if page { "no-cache" } else { "no-store" }), "{}", answer.head);
    assert_eq!((answer.header("Referrer-Policy"), answer.header("X-Frame-Options")), (Some("no-referrer"), Some("SAMEORIGIN")), "{}", answer.head);
    assert_eq!((answer.header("Connection"), answer.header("Server")), (Some("close"), None), "{}", answer.head);
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn what_is_asked_is_answered_in_its_shape() {
    let board = board("routes");
    let server = Server::start(&board);
    for path in ["/ping", "/api/update/ping"] {
        let ping = server.door.ask("GET", path, &[], "");
        wrapped(&ping, false);
        let ping = ping.json();
        assert_eq!((&ping["status"], &ping["version"]), (&json!("ok"), &json!("1.0.0")));
        assert!(ping["boot_id"].as_str().unwrap().len() > 8 && ping["started"].as_str().unwrap().ends_with('Z'), "{ping}");
    }
    server.get("/api/update/log").json();
    let checked = server.post("check", &json!({}));
    assert_eq!((checked.status, &checked.json()["latest"]), (200, &json!("1.1.0")), "{}", checked.body);

    let status = server.get("/api/update/status");
    wrapped(&status, false);
    assert_eq!((status.status, status.header("Content-Type")), (200, Some("application/json")));
    let state = status.json();
    let known: Value = serde_json::from_str(include_str!("../fixtures/state.json")).unwrap();
    for key in keys(&known).into_iter().chain(["now", "product", "interrupted", "pending", "busy", "last_request", "api", "rollback_to"]) {
        assert!(state.get(key).is_some(), "the state has no {key}");
    }
    assert_eq!((&state["product"], &state["current"], &state["update_available"]), (&json!("pikit"), &json!("1.0.0"), &json!(true)));
    assert_eq!((&state["api"]["version"], &state["auto"]["timer"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(false)));
    assert_eq!((&state["busy"], &state["pending"], &state["progress"], &state["interrupted"]), (&Value::Null, &Value::Null, &Value::Null, &Value::Null));

    let plan = server.get("/api/update/plan").json();
    assert_eq!(plan["manifest_sha256"], state["available"]["manifest_sha256"]);
    let history = server.get("/api/update/history").json();
    assert_eq!((&history["history"][0]["to"], history["history"].as_array().unwrap().len()), (&json!("1.0.0"), 1));
    let log = server.get("/api/update/log").json();
    assert_eq!(log["transaction"], history["history"][0]["transaction"]);
    let same = server.get(&format!("/api/update/log?transaction={}", log["transaction"].as_str().unwrap())).json();
    assert_eq!(same["lines"], log["lines"]);
    assert!(log["lines"].as_array().unwrap().iter().any(|l| l.as_str().unwrap().contains("switching:")), "{log}");
    let verified = server.get("/api/update/verify").json();
    assert_eq!((&verified["listed"], &verified["drift"], &verified["version"]), (&json!(3), &json!(0), &json!("1.0.0")));
    assert_eq!(server.get("/api/update/openapi.json").body, include_str!("../../docs/openapi.json"));
    let metrics = server.get("/metrics");
    assert_eq!(metrics.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("pikit_updater_current_info{version=\"1.0.0\"} 1\n") && metrics.body.contains("pikit_updater_update_available 1\n"));

    let stream = server.listen(None);
    let of = |name| crate::server::header(&stream.head, name);
    assert_eq!((of("Content-Type"), of("Cache-Control"), of("X-Accel-Buffering")), (Some("text/event-stream"), Some("no-store"), Some("no")));
    for name in GETS.iter().filter(|n| **n != "events") {
        let head = server.ask("HEAD", &path(name), "");
        assert!(head.status == 200 && head.body.is_empty(), "{name}: {}", head.head);
        wrapped(&head, false);
    }
}

#[test]
fn the_page_is_sent_once_and_asked_for_each_time() {
    let board = Board::new("page");
    let server = Server::start(&board);
    let page = server.door.ask("GET", "/", &[], "");
    wrapped(&page, true);
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = server.door.ask("GET", &format!("/pikit-update/{name}"), &[], "");
        wrapped(&file, true);
        assert_eq!(file.status, 200, "{name}");
        let tag = file.header("ETag").unwrap();
        let again = server.door.ask("GET", &format!("/pikit-update/{name}"), &[("If-None-Match", tag)], "");
        assert_eq!((again.status, again.body.as_str(), again.header("ETag")), (304, "", Some(tag)), "{name}");
        assert_eq!(server.door.ask("GET", &format!("/pikit-update/{name}"), &[("If-None-Match", "\"other\"")], "").status, 200);
    }
    for path in ["/pikit-update/../index.html", "/pikit-update/%2e%2e/updater.toml", "/pikit-update/none.js", "/pikit-update//etc/passwd"] {
        let answer = server.door.ask("GET", path, &[], "");
        answer.problem(404);
        wrapped(&answer, false);
    }
}

#[test]
fn what_is_not_there_or_not_meant_so_is_said_with_its_number() {
    let board = Board::new("no-such");
    let server = Server::start(&board);
    for path in ["/nothing", "/api/update", "/api/update/", "/api/update/none", "/api/update/status/", "/api//update/status", "/../ping", "/PING"] {
        let answer = server.get(path);
        answer.problem(404);
        wrapped(&answer, false);
    }
    server.get("/api/update/plan").problem(404);
    server.get("/api/update/log").problem(404);
    server.get(&format!("/api/update/log?transaction={}", "0".repeat(26))).problem(404);
    server.get("/api/update/log?transaction=../../state.json").problem(422);
    assert_eq!(server.get("/api/update/verify").problem(422)["code"], 5, "nothing is installed");
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for name in GETS {
            let answer = server.ask(method, &path(name), "{}");
            answer.problem(405);
            assert_eq!(answer.header("Allow"), Some("GET, HEAD"), "{method} {name}");
        }
    }
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for name in POSTS {
            let answer = server.ask(method, &path(name), "");
            assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")), "{method} {name}");
        }
    }
    server.get("/api/update/status?with=a&query").json();
    let other = |kind: &str, body: &str| server.door.ask("POST", "/api/update/apply", &[("Authorization", &server.bearer()), ("Content-Type", kind)], body);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""] {
        wrapped(&other(kind, "{}"), false);
        other(kind, "{}").problem(415);
    }
    other("application/json", &format!("{{\"version\":\"{}\"}}", "1".repeat(70_000))).problem(413);
    other("application/json", "{").problem(400);
    other("application/json; charset=utf-8", "[]").problem(422);
    for (name, body) in [
        ("apply", json!({"version": "1.2"})),
        ("apply", json!({"version": "1.2.0; reboot"})),
        ("apply", json!({"require_manifest": "00"})),
        ("apply", json!({"from": "/dev/sda"})),
        ("apply", json!({"force": "yes"})),
        ("rollback", json!({"backup": "../../etc"})),
        ("rollback", json!({"backup": "a/b"})),
        ("repair", json!({"all": true})),
        ("auto", json!({"mode": "always"})),
        ("auto", json!({"mode": "install", "at": "25:00"})),
        ("auto", json!({})),
        ("skip", json!({})),
        ("unskip", json!({"version": 1})),
        ("check", json!({"version": "1.0.0"})),
        ("login", json!({})),
        ("logout", json!({"token": "x"})),
    ] {
        let answer = server.post(name, &body);
        wrapped(&answer, false);
        assert_eq!(answer.problem(422)["code"], 2, "{name} {body}");
    }
    assert!(!board.has("var/lib/pikit-update/state.json"), "nothing of it was begun");
}

#[test]
fn who_is_busy_says_so() {
    let board = board("busy");
    let server = Server::start(&board);
    let held = pikit_updater::world::lock::Locked::take(&board.path("var/run/pikit-update.lock"), &server.state_boot()).unwrap();
    assert!(server.state()["busy"]["pid"].is_u64());
    for (name, body) in [("check", json!({})), ("apply", json!({})), ("rollback", json!({})), ("repair", json!({})), ("skip", json!({"version": "1.1.0"}))] {
        let problem = server.post(name, &body).problem(409);
        assert!(problem["code"] == 8 && problem["detail"].as_str().unwrap().starts_with("another run is at work (since "), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("wait"));
    }
    drop(held);
    assert!(server.state()["busy"].is_null(), "seen at once, although the process that held it lives on");
    assert_eq!(server.post("check", &json!({})).status, 200);
    // one after the other, as fast as it goes: whoever was answered is not busy any more
    for _ in 0..3 {
        for name in ["skip", "unskip"] {
            let answer = server.post(name, &json!({"version": "1.1.0"}));
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.json()["skipped"], if name == "skip" { json!(["1.1.0"]) } else { json!([]) });
        }
    }
}

impl Server {
    fn state_boot(&self) -> String {
        self.get("/ping").json()["boot_id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn what_is_on_the_socket_is_what_is_on_the_port() {
    use std::os::unix::fs::PermissionsExt;
    let board = board("unix");
    let server = Server::unix(&board);
    let socket = board.path("run/pikit-update/api.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(server.state()["current"], "1.0.0");
    assert_eq!(server.door.ask("GET", "/api/update/status", &[], "").status, 401);
    let second = board.run(&["serve"]);
    assert!(second.code != 0 && second.err.contains("listening on unix:"), "{}", second.err);
    // left behind by one that was killed
    server.kill();
    assert!(socket.exists());
    assert_eq!(Server::unix(&board).state()["current"], "1.0.0");
}
