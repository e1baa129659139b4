//! docs/openapi.json against the running server: schemathesis asks what the document allows and what it does not, and compares.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::board;
use crate::server::{Door, Server};

fn schemathesis() -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/schemathesis");
    let found = [ours, "schemathesis".into()].into_iter().find(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: schemathesis is not installed");
        println!("skipped: schemathesis is not installed (tests/run installs it)");
    }
    found
}

/// All checks, but for two. Wrong tokens are looked at elsewhere: after ten of them the answer is 429. And what a document of this kind can say of an upload is that it is bytes, of
/// its installation that the digest may be there: most bytes are no bundle, and without the digest it is refused.
const CHECKS: &str = r#"
[checks]
ignored_auth = { enabled = false }
[[operations]]
include-path = ["/api/update/upload", "/api/update/apply"]
checks = { positive_data_acceptance = { enabled = false } }
"#;

#[test]
fn the_document_and_the_server_say_the_same() {
    let board = board("document");
    let server = Server::start(&board);
    // states, a plan, a history and a backup to be looked at
    server.post("check", &json!({}));
    let id = server.begin("apply", &json!({}));
    server.ended(&id);
    board.release("1.2.0", crate::ONE);
    server.post("check", &json!({}));
    let Some(program) = schemathesis() else { return };
    let Door::Tcp(address) = server.door else { unreachable!() };
    board.write("src/schemathesis.toml", CHECKS);
    let begun = Instant::now();
    let out = Command::new(program)
        .args(["run", concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")])
        .args(["--url", &format!("http://{address}"), "--header", &format!("Authorization: {}", server.bearer())])
        // a stream without an end is looked at elsewhere
        .args(["--exclude-path", "/api/update/events"])
        .args(["--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--workers", "2"])
        .args(["--request-timeout", "30", "--generation-database", "none", "--seed", "1", "--no-color"])
        .current_dir(board.path("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    println!("{text}\nschemathesis took {:?}; {}", begun.elapsed(), server.vitals());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(server.get("/ping").status, 200);
}

#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let mut listed: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    listed.sort_unstable();
    let names = [
        "apply",
        "auto",
        "check",
        "events",
        "history",
        "log",
        "login",
        "logout",
        "openapi.json",
        "ping",
        "plan",
        "repair",
        "rollback",
        "skip",
        "status",
        "unskip",
        "upload",
        "verify",
    ];
    let mut known: Vec<String> = names.iter().map(|n| format!("/api/update/{n}")).chain(["/metrics".into(), "/ping".into()]).collect();
    known.sort_unstable();
    assert_eq!(listed, known);
}
