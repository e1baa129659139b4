//! A bundle sent through the page: streamed to one place, looked at, and installed only as it was seen.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::board;
use crate::server::{Answer, Door, Server, header};
use crate::support::board::Board;
use crate::support::maintainer::{self, Key};
use crate::support::noise::noise;
use crate::support::release;
use crate::support::wait::until;

const PATH: &str = "/api/update/upload";
const THREE: &[(&str, &str)] = &[("web/index.html", "three"), ("web/same.js", "same"), ("api.py", "api three")];
const FOLDER: &str = "var/tmp/pikit-update/upload";

/// A release that lies on somebody's computer; signed, if there is a key.
fn bundle(board: &Board, version: &str, key: Option<&Key>) -> Vec<u8> {
    let stick = board.path("stick");
    release::pack_into(&stick, version, THREE, "");
    let dir = stick.join(version);
    if let Some(key) = key {
        let secret = dir.join("signature");
        fs::write(&secret, maintainer::signatures(&fs::read(dir.join("manifest.json")).unwrap(), &[key])).unwrap();
        fs::rename(secret, dir.join("manifest.json.minisig")).unwrap();
    }
    match key {
        // the bundle carries the signature, too
        Some(_) => with_signature(&dir),
        None => fs::read(dir.join(format!("pikit-{version}.tar.gz"))).unwrap(),
    }
}

/// The same bundle with the signature in its first member, as `sign` makes it.
fn with_signature(dir: &std::path::Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut add = |name: &str, bytes: &[u8]| {
        let mut head = tar::Header::new_ustar();
        head.set_size(bytes.len() as u64);
        head.set_mode(0o644);
        head.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut head, name, bytes).unwrap();
    };
    add("manifest.json", &fs::read(dir.join("manifest.json")).unwrap());
    add("manifest.json.minisig", &fs::read(dir.join("manifest.json.minisig")).unwrap());
    THREE.iter().for_each(|(path, content)| add(path, content.as_bytes()));
    tar.into_inner().unwrap().finish().unwrap()
}

pub fn head(server: &Server, length: usize, headers: &[(&str, &str)]) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut head = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n");
    if !has("Content-Type") {
        head += "Content-Type: application/octet-stream\r\n";
    }
    if !has("Authorization") {
        head += &format!("Authorization: {}\r\n", server.bearer());
    }
    headers.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    (head + "\r\n").into_bytes()
}

fn stream(door: &Door) -> TcpStream {
    let Door::Tcp(address) = door else { panic!("it listens on a port") };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    assert!(header(head, "Content-Length").is_some(), "{text}");
    Answer { status, head: head.to_owned(), body: body.to_owned(), took: std::time::Duration::ZERO }
}

fn send(server: &Server, bytes: &[u8], headers: &[(&str, &str)]) -> Answer {
    send_to(&server.door, &head(server, bytes.len(), headers), bytes)
}

/// Sends all of it, whatever is said meanwhile, as a browser does; then reads.
pub fn send_to(door: &Door, head: &[u8], bytes: &[u8]) -> Answer {
    let mut stream = stream(door);
    stream.write_all(head).unwrap();
    stream.write_all(bytes).unwrap_or_else(|e| panic!("sending {} bytes: {e}", bytes.len()));
    answer(stream)
}

/// What lies where uploads lie, whole or half.
fn left(board: &Board) -> Vec<PathBuf> {
    let list = |dir: &str| fs::read_dir(board.path(dir)).into_iter().flatten().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let taken = list("var/tmp/pikit-update").into_iter().filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("uploaded-"));
    list(FOLDER).into_iter().chain(taken).collect()
}

#[test]
fn a_file_is_sent_looked_at_and_installed_as_it_was_seen() {
    let board = board("upload");
    let server = Server::start(&board);
    let bytes = bundle(&board, "1.2.0", None);
    let found = send(&server, &bytes, &[]);
    assert_eq!(found.status, 200, "{}", found.body);
    let found = found.json();
    assert_eq!((&found["version"], &found["bytes"], &found["plan"]["from"]), (&json!("1.2.0"), &json!(bytes.len()), &json!("1.0.0")), "{found}");
    assert_eq!((&found["plan"]["counts"]["changed"], &found["plan"]["signed"]), (&json!(2), &json!([])), "{found}");
    assert_eq!(left(&board).len(), 1);
    assert_eq!(board.text("etc/pikit/version"), "1.0.0\n", "looking changes nothing");

    let manifest = &found["plan"]["manifest_sha256"];
    server.post("apply", &json!({"upload": true})).problem(422);
    // another one than was seen is not installed
    let transaction = server.begin("apply", &json!({"upload": true, "require_manifest": "0".repeat(64)}));
    assert_eq!(server.ended(&transaction)["last_request"]["ok"], false);
    assert_eq!((board.text("etc/pikit/version").as_str(), left(&board).len()), ("1.0.0\n", 0));
    // used up: it has to be sent again
    let transaction = server.begin("apply", &json!({"upload": true, "require_manifest": manifest}));
    let ended = server.ended(&transaction);
    assert!(ended["last_request"]["error"]["message"].as_str().unwrap().contains("no uploaded file"), "{ended}");

    assert_eq!(send(&server, &bytes, &[]).status, 200);
    let transaction = server.begin("apply", &json!({"upload": true, "require_manifest": manifest}));
    let ended = server.ended(&transaction);
    assert_eq!((&ended["last_request"]["ok"], &ended["current"]), (&json!(true), &json!("1.2.0")), "{ended}");
    assert_eq!((board.text("srv/web/index.html").as_str(), left(&board)), ("three", Vec::new()));
    assert!(board.has(FOLDER), "the folder is another's, and stays");
    let again = send(&server, &bytes, &[]).problem(422);
    assert!(again["detail"].as_str().unwrap().contains("installed already"), "{again}");
    assert!(left(&board).is_empty());
}

#[test]
fn what_may_not_be_sent_is_refused_and_leaves_nothing() {
    let board = board("upload-refused");
    board.write("etc/pikit/updater.toml", board.text("etc/pikit/updater.toml") + "\n[api]\nlisten = \"127.0.0.1:0\"\nupload_limit = \"4MiB\"\n");
    let server = Server::start(&board);
    let large = noise(3 << 20, 1);
    let refused = |status: u16, bytes: &[u8], headers: &[(&str, &str)]| {
        let problem = send(&server, bytes, headers).problem(status);
        assert!(left(&board).is_empty(), "{status}: {:?}", left(&board));
        problem
    };
    refused(401, &large, &[("Authorization", "")]);
    refused(401, &large, &[("Authorization", "Bearer wrong")]);
    refused(403, &large, &[("Origin", "http://evil.example")]);
    refused(415, &large, &[("Content-Type", "application/json")]);
    refused(415, &large, &[("Content-Type", "multipart/form-data; boundary=x")]);
    refused(413, &noise(5 << 20, 1), &[]);
    refused(422, b"", &[]);
    // no bundle at all; and one whose manifest names a place outside
    assert!(refused(422, &large, &[])["detail"].as_str().unwrap().contains("the file"));
    let stick = board.path("stick");
    release::pack_into(&stick, "1.3.0", THREE, "");
    maintainer::edit(&stick.join("1.3.0"), |m| m["files"][0]["path"] = json!("../../etc/passwd"));
    fs::write(stick.join("1.3.0/manifest.json.minisig"), "none").unwrap();
    let problem = refused(422, &with_signature(&stick.join("1.3.0")), &[]);
    assert!(problem["detail"].as_str().unwrap().contains(". or .."), "{problem}");

    for method in ["GET", "PUT", "DELETE"] {
        server.ask(method, PATH, "").problem(405);
    }
    let chunked = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let mut stream = stream(&server.door);
    stream.write_all(chunked.as_bytes()).unwrap();
    answer(stream).problem(501);
    // a larger body is for this route alone
    let other = "POST /api/update/apply HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 70000\r\n\r\n";
    let mut stream = self::stream(&server.door);
    stream.write_all(other.as_bytes()).unwrap();
    answer(stream).problem(413);

    board.configure("min_free = \"0\"", "min_free = \"1000000GiB\"");
    let full = refused(507, &large, &[]);
    assert!(full["detail"].as_str().unwrap().contains("no room") && full["hint"].as_str().unwrap().contains("free some space"), "{full}");
    assert_eq!(server.get("/api/update/status").status, 200);
}

#[test]
fn a_bundle_that_a_stranger_signed_is_refused_in_clear_words() {
    let (board, key, stranger) = (board("upload-stranger"), Key::new(), Key::new());
    board.configure("required = false", "required = true");
    board.write("etc/pikit/keys/maintainer.pub", key.public());
    let server = Server::start(&board);
    for (bytes, says) in [(bundle(&board, "1.2.0", Some(&stranger)), "not signed by whom this device trusts"), (bundle(&board, "1.3.0", None), "is not signed")]
    {
        let problem = send(&server, &bytes, &[]).problem(422);
        assert!(problem["detail"].as_str().unwrap().contains(says) && problem["code"] == 4, "{problem}");
        assert!(left(&board).is_empty());
    }
    let found = send(&server, &bundle(&board, "1.4.0", Some(&key)), &[]);
    assert_eq!(found.status, 200, "{}", found.body);
    assert_eq!(found.json()["plan"]["signed"][0]["key"], key.id());
}

#[test]
fn what_breaks_off_leaves_nothing_and_keeps_nobody_out() {
    let board = board("upload-cut");
    let server = Server::start(&board);
    let bytes = bundle(&board, "1.2.0", None);
    let mut cut = stream(&server.door);
    cut.write_all(&head(&server, 8 << 20, &[])).unwrap();
    cut.write_all(&noise(1 << 20, 2)).unwrap();
    until("it to come in", || (!left(&board).is_empty()).then_some(()));
    // one at a time
    send(&server, &bytes, &[]).problem(409);
    drop(cut);
    until("it to be gone", || left(&board).is_empty().then_some(()));
    until("the next", || (send(&server, &bytes, &[]).status == 200).then_some(()));

    // a server that is killed in the middle tidies up when it is started again
    let mut cut = stream(&server.door);
    cut.write_all(&head(&server, 8 << 20, &[])).unwrap();
    cut.write_all(&noise(1 << 20, 2)).unwrap();
    until("it to come in", || left(&board).iter().any(|p| p.file_name().unwrap().to_str().unwrap().starts_with('.')).then_some(()));
    server.kill();
    assert!(!left(&board).is_empty());
    let _server = Server::start(&board);
    assert!(left(&board).is_empty(), "{:?}", left(&board));
}

#[test]
fn nothing_is_taken_in_while_something_is_being_done() {
    let board = board("upload-busy");
    crate::held(&board);
    let server = Server::start(&board);
    let transaction = server.begin("apply", &json!({}));
    until("the trial", || (server.state()["progress"]["phase"] == "trial").then_some(()));
    let problem = send(&server, &noise(1 << 20, 3), &[]).problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("at work") || problem["detail"].as_str().unwrap().contains("about to begin"), "{problem}");
    crate::release_hold(&board);
    server.ended(&transaction);
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let board = board("upload-memory");
    let server = Server::start(&board);
    send(&server, &bundle(&board, "1.2.0", None), &[]);
    let before = server.memory();
    let problem: Value = send(&server, &noise(96 << 20, 4), &[]).problem(422);
    let after = server.memory();
    println!("highest: {before} kB before, {after} kB after 96 MiB ({})", problem["detail"]);
    assert!(after < before + 4096, "{before} kB before, {after} kB after");
}
