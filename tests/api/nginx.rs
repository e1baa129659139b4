//! Through nginx, as most boards have it: its own configuration, ours included as it is.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::events::{Run, delay, number};
use crate::server::{Door, Server};
use crate::support::board::Board;
use crate::support::noise::noise;
use crate::support::pulse::Pulse;
use crate::support::release;
use crate::support::wait::until;
use crate::upload::{head, send_to};

struct Nginx {
    child: Child,
    dir: PathBuf,
    door: Door,
}

fn program() -> Option<PathBuf> {
    let here = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].iter().map(PathBuf::from).find(|p| p.exists());
    if here.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: nginx is not installed");
        println!("skipped: nginx is not installed");
    }
    here
}

impl Nginx {
    fn start(board: &Board) -> Option<Nginx> {
        let program = program()?;
        let dir = board.path("nginx");
        fs::create_dir_all(&dir).unwrap();
        let socket = board.path("run/pikit-update/api.sock");
        let ours = include_str!("../../units/nginx.conf");
        assert!(ours.contains("unix:/run/pikit-update/api.sock;"));
        fs::write(dir.join("ours.conf"), ours.replace("/run/pikit-update/api.sock", socket.to_str().unwrap())).unwrap();
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|n| format!("{n}_temp_path {0}/{n};", dir.display())).concat();
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let config = format!(
                "daemon off; {user} worker_processes 1; pid {0}/pid; error_log stderr warn;\nevents {{}}\nhttp {{ access_log {0}/access.log; {temp}\n\
                 server {{ listen {port}; server_name localhost; location / {{ return 200 'the dashboard'; }} include {0}/ours.conf; }} }}",
                dir.display()
            );
            fs::write(dir.join("nginx.conf"), config).unwrap();
            let _ = fs::remove_file(dir.join("error.log")); // of the try before
            let mut nginx = Nginx { child: Nginx::spawn(&program, &dir), dir: dir.clone(), door: Door::Tcp(port) };
            if nginx.is_ready() {
                return Some(nginx);
            }
        }
    }
    fn spawn(program: &PathBuf, dir: &PathBuf) -> Child {
        let log = fs::File::options().create(true).append(true).open(dir.join("error.log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }
    /// Waits until it answers; `false`: somebody else has taken its port meanwhile.
    fn is_ready(&mut self) -> bool {
        until("nginx", || {
            if self.child.try_wait().unwrap().is_some() {
                let said = fs::read_to_string(self.dir.join("error.log")).unwrap_or_default();
                assert!(said.contains("Address already in use"), "{said}");
                return Some(false);
            }
            self.door.try_ask("GET", "/", &[], "").ok().filter(|a| a.status == 200).map(|_| true)
        })
    }
    /// As systemd does it: it may end what it has begun for a moment.
    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
    fn restart(&mut self) {
        self.child = Nginx::spawn(&program().unwrap(), &self.dir);
        assert!(self.is_ready(), "its port was taken while it was away");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("nginx said: {}", fs::read_to_string(self.dir.join("error.log")).unwrap_or_default());
        }
    }
}

#[test]
fn through_nginx_people_log_in_and_events_come_without_delay_and_a_restart_of_it_loses_none() {
    let board = crate::board("nginx");
    let server = Server::unix(&board);
    let Some(mut nginx) = Nginx::start(&board) else { return };
    let Door::Tcp(address) = nginx.door else { unreachable!() };
    let (host, origin) = (format!("{address}"), format!("http://{address}"));
    let page = [("Host", host.as_str()), ("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(nginx.door.ask("GET", "/", &page, "").body, "the dashboard");
    assert_eq!(nginx.door.ask("GET", "/api/update/ping", &page, "").json()["status"], "ok");
    assert_eq!(nginx.door.ask("GET", "/ping", &page, "").body, "the dashboard", "its own ping stays its own");
    let module = nginx.door.ask("GET", "/pikit-update/pikit-update.js", &page, "");
    assert_eq!((module.status, module.body.as_str()), (200, include_str!("../../web/pikit-update.js")));
    assert_eq!(nginx.door.ask("GET", "/metrics", &page, "").body, "the dashboard", "not everything is passed on");

    nginx.door.ask("GET", "/api/update/status", &page, "").problem(401);
    nginx.door.ask("POST", "/api/update/login", &page, &json!({"token": "a guess"}).to_string()).problem(401);
    nginx.door.ask("POST", "/api/update/login", &[("Origin", "http://evil.example")], &json!({"token": server.token}).to_string()).problem(403);
    nginx.door.ask("GET", "/api/update/ping", &[("Host", "evil.example")], "").problem(403);
    let welcome = nginx.door.ask("POST", "/api/update/login", &page, &json!({"token": server.token}).to_string());
    assert_eq!(welcome.status, 204, "{}\n{}", welcome.head, welcome.body);
    let cookie = welcome.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let person = [&page[..], &[("Cookie", cookie.as_str())]].concat();
    assert_eq!(nginx.door.ask("GET", "/api/update/status", &person, "").json()["current"], "1.0.0");
    let answer = nginx.door.ask("POST", "/api/update/check", &person, "{}");
    assert_eq!((answer.status, &answer.json()["latest"]), (200, &json!("1.1.0")));
    // guesses are counted for each address that nginx saw, whatever a client claims
    for n in 0..14 {
        let claims = format!("10.0.0.{n}");
        let claims = [&page[..], &[("X-Forwarded-For", claims.as_str())]].concat();
        let status = nginx.door.ask("POST", "/api/update/login", &claims, "{\"token\":\"a guess\"}").status;
        assert_eq!(status, if n < 10 { 401 } else { 429 }, "guess {n}");
    }
    assert_eq!(nginx.door.ask("GET", "/api/update/status", &person, "").status, 200, "who has a session is not in it");

    let run = Run::begin(&board, &server);
    let mut stream = nginx.door.try_listen(&person).unwrap();
    assert_eq!((stream.status, crate::server::header(&stream.head, "Content-Type")), (200, Some("text/event-stream")), "{}", stream.head);
    stream.next();
    let (worst, limit) = delay(&run, &mut stream);
    assert!(worst < limit, "{worst:?}");
    run.tell(5001);
    let last = stream.until("the last before", |e| e.data["bytes_done"] == 5001).pop().unwrap();

    nginx.stop();
    assert!(stream.next().is_none(), "the stream ends, it does not hang");
    for n in 5002..=5004 {
        run.tell(n);
    }
    nginx.restart();
    // as a browser comes back
    let again = [&person[..], &[("Last-Event-ID", last.id.as_str())]].concat();
    let mut stream = nginx.door.try_listen(&again).unwrap();
    assert_eq!(stream.next().unwrap().data["progress"]["bytes_done"], 5004);
    run.tell(5005);
    let missed = stream.until("the newest", |e| e.data["bytes_done"] == 5005);
    assert_eq!(number(&missed[0]), number(&last) + 1);
    assert!(missed.iter().any(|e| e.name == "progress" && e.data["bytes_done"] == 5004), "{missed:?}");
    // the update itself through nginx
    drop(run);
    let id = nginx.door.ask("POST", "/api/update/apply", &person, "{}").json()["transaction"].as_str().unwrap().to_owned();
    let result = stream.until("its result", |e| e.name == "result").pop().unwrap();
    assert_eq!((&result.data["transaction"], &result.data["outcome"]), (&json!(id), &json!("confirmed")));
    // no socket behind it: a word of nginx, at once
    drop(server);
    let pulse = Pulse::start();
    let answer = nginx.door.ask("GET", "/api/update/status", &person, "");
    assert!([502, 503, 504].contains(&answer.status) && answer.took < pulse.allows(Duration::from_secs(2)), "{:?}: {}", answer.took, answer.head);
}

#[test]
fn through_nginx_a_file_goes_to_the_board_as_it_comes_and_nothing_else_is_large() {
    let board = crate::board("nginx-upload");
    let server = Server::unix(&board);
    let Some(nginx) = Nginx::start(&board) else { return };
    // more than nginx lets through by itself, and more than it would hold in memory
    let large = noise(3 << 20, 9);
    let files = [("web/index.html", &b"three"[..]), ("web/large.bin", &large), ("api.py", b"api three")];
    release::pack_into(&board.path("stick"), "1.2.0", &files, "");
    let bytes = fs::read(board.path("stick/1.2.0/pikit-1.2.0.tar.gz")).unwrap();
    assert!(bytes.len() > 2 << 20);
    let head = head(&server, bytes.len(), &[("Connection", "close")]);
    let found = send_to(&nginx.door, &head, &bytes);
    assert_eq!(found.status, 200, "{}", found.body);
    let found = found.json();
    assert_eq!((&found["version"], &found["bytes"]), (&json!("1.2.0"), &json!(bytes.len())), "{found}");
    // it was never laid down on the way: the card is not written twice
    let said = fs::read_to_string(nginx.dir.join("error.log")).unwrap();
    assert!(!said.contains("buffered to a temporary file"), "{said}");

    let bearer = server.bearer();
    let person = [("Host", "localhost"), ("Authorization", bearer.as_str())];
    let apply = json!({"upload": true, "require_manifest": found["plan"]["manifest_sha256"]}).to_string();
    assert_eq!(nginx.door.ask("POST", "/api/update/apply", &person, &apply).status, 202);
    until("the release", || (board.text("etc/pikit/version") == "1.2.0\n").then_some(()));
    assert_eq!(fs::read(board.path("srv/web/large.bin")).unwrap(), large);
    // everything else stays as small as it is
    let answer = nginx.door.ask("POST", "/api/update/check", &person, &"x".repeat(100 << 10));
    assert_eq!(answer.status, 413);
}
