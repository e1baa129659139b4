//! Who may ask and who may not: tokens, sessions, pages and names of others, and what must never be seen.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::board;
use crate::server::Server;
use crate::support::board::Board;
use crate::support::pulse::Pulse;
use crate::support::wait::until;

const CLOSED: [(&str, &str); 16] = [
    ("GET", "/api/update/status"),
    ("GET", "/api/update/plan"),
    ("GET", "/api/update/history"),
    ("GET", "/api/update/log"),
    ("GET", "/api/update/verify"),
    ("GET", "/api/update/events"),
    ("GET", "/api/update/openapi.json"),
    ("GET", "/metrics"),
    ("HEAD", "/api/update/status"),
    ("POST", "/api/update/check"),
    ("POST", "/api/update/apply"),
    ("POST", "/api/update/rollback"),
    ("POST", "/api/update/repair"),
    ("POST", "/api/update/auto"),
    ("POST", "/api/update/skip"),
    ("POST", "/api/update/unskip"),
];

#[test]
fn without_the_token_nothing_is_told_and_nothing_begins() {
    let board = board("closed");
    let server = Server::start(&board);
    let short = format!("Bearer {}", &server.token[1..]);
    let (long, basic) = (format!("Bearer {}x", server.token), format!("Basic {}", server.token));
    let cookie = format!("pikit_update_session={}", server.token);
    for (i, (method, path)) in CLOSED.iter().enumerate() {
        // another address each time: this is not about who guesses often
        let address = format!("10.0.0.{i}");
        let tries: [&[(&str, &str)]; 6] = [
            &[],
            &[("Authorization", "Bearer ")],
            &[("Authorization", &short)],
            &[("Authorization", &long)],
            &[("Authorization", &basic)],
            &[("Cookie", &cookie)],
        ];
        for headers in tries {
            let headers = [headers, &[("X-Forwarded-For", address.as_str())]].concat();
            let answer = server.door.ask(method, path, &headers, if *method == "POST" { "{}" } else { "" });
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
            assert!(answer.header("WWW-Authenticate").unwrap().starts_with("Bearer"), "{}", answer.head);
            if *method != "HEAD" {
                assert_eq!(answer.problem(401)["code"], 9);
            }
        }
    }
    assert!(!board.has("run/pikit-update/answer.json") && !board.has("run/pikit-update/requests/request.json"));
}

#[test]
fn names_and_pages_of_others_are_turned_away_whatever_they_know() {
    let board = board("foreign");
    let server = Server::start(&board);
    let bearer = server.bearer();
    let ask = |method: &str, path: &str, more: &[(&str, &str)]| {
        let headers = [more, &[("Authorization", bearer.as_str())]].concat();
        server.door.ask(method, path, &headers, if method == "POST" { "{}" } else { "" })
    };
    for host in ["evil.example", "evil.example:8686", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3.4.5", "evil.localhost"] {
        for (method, path) in [("GET", "/"), ("GET", "/ping"), ("GET", "/api/update/status"), ("POST", "/api/update/apply"), ("GET", "/nothing")] {
            ask(method, path, &[("Host", host)]).problem(403);
        }
    }
    for host in ["", "a@localhost", "local host", "localhost/", "[evil]"] {
        let answer = ask("GET", "/ping", &[("Host", host)]);
        answer.problem(if answer.status == 400 { 400 } else { 403 });
    }
    let foreign = ["http://evil.example", "null", "https://localhost:80", "http://localhost:81", "file://localhost", "http://localhost.evil.example"];
    for origin in foreign {
        for (method, path) in [("GET", "/ping"), ("GET", "/api/update/status"), ("POST", "/api/update/apply"), ("POST", "/api/update/login")] {
            ask(method, path, &[("Origin", origin)]).problem(403);
        }
    }
    ask("POST", "/api/update/apply", &[("Sec-Fetch-Site", "cross-site")]).problem(403);
    assert_eq!(server.state()["last_request"], json!(null), "none of it was begun");
    for (host, origin) in [("localhost", "http://localhost"), ("127.0.0.1:8686", "http://127.0.0.1:8686"), ("localhost:443", "https://localhost")] {
        let answer = ask("GET", "/api/update/status", &[("Host", host), ("Origin", origin), ("Sec-Fetch-Site", "same-origin")]);
        assert_eq!(answer.status, 200, "{host} {origin}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "nobody else is ever let in");
    }
    // a name that the config knows is ours
    drop(server);
    let config = board.text("etc/pikit/updater.toml");
    board.write("etc/pikit/updater.toml", config + "hosts = [\"Pi.Example.org\"]\n");
    let server = Server::start(&board);
    assert_eq!(server.door.ask("GET", "/ping", &[("Host", "pi.example.org")], "").status, 200);
}

#[test]
fn a_login_makes_a_session_and_another_token_ends_it() {
    let board = board("login");
    let server = Server::start(&board);
    let login = |token: &str, more: &[(&str, &str)]| server.door.ask("POST", "/api/update/login", more, &json!({"token": token}).to_string());
    let welcome = login(&format!(" {} ", server.token), &[]);
    assert_eq!((welcome.status, welcome.body.as_str()), (204, ""), "{}", welcome.head);
    let cookie = welcome.header("Set-Cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
    assert!(pair.starts_with("pikit_update_session=") && !pair.contains(&server.token), "{pair}");
    assert!(login(&server.token, &[("X-Forwarded-Proto", "https")]).header("Set-Cookie").unwrap().ends_with("; Secure"));
    let with = |cookie: &str| server.door.ask("GET", "/api/update/status", &[("Cookie", &format!("theme=dark; {cookie}; x=y"))], "").status;
    assert_eq!(with(pair), 200);
    let longer = format!("{}{}", "pikit_update_session=9", &pair["pikit_update_session=".len()..]);
    assert_eq!(with(&longer), 401, "its end is signed");
    // a session outlives the API
    let old = server.token.clone();
    drop(server);
    let server = Server::start(&board);
    let with = |cookie: &str| server.door.ask("GET", "/api/update/status", &[("Cookie", cookie)], "").status;
    assert_eq!((server.token.as_str(), with(pair)), (old.as_str(), 200));
    let out = server.door.ask("POST", "/api/update/logout", &[("Cookie", pair)], "{}");
    assert_eq!((out.status, out.header("Set-Cookie").unwrap().starts_with("pikit_update_session=; Path=/; Max-Age=0; ")), (204, true));
    // another token: everybody out, at once
    let new = board.ok(&["token", "--new"]).out.trim().to_owned();
    assert_ne!(new, old);
    assert_eq!((with(pair), server.get("/api/update/status").status), (401, 401));
    let answer = server.door.ask("GET", "/api/update/status", &[("Authorization", &format!("bearer {new}"))], "");
    assert_eq!(answer.status, 200);
    // no token at all: said, and nobody gets in
    std::fs::remove_file(board.path("etc/pikit/api-token")).unwrap();
    let problem = server.get("/api/update/status").problem(503);
    assert!(problem["hint"].as_str().unwrap().contains("pikit-updater token") && with(pair) == 503, "{problem}");
    board.write("etc/pikit/api-token", "\n");
    assert_eq!(server.door.ask("GET", "/api/update/status", &[("Authorization", "Bearer ")], "").status, 503, "an empty file opens nothing");
}

#[test]
fn the_token_is_made_once_and_seen_by_nobody() {
    let board = board("secret");
    assert!(!board.has("etc/pikit/api-token"));
    crate::held(&board);
    let server = Server::start(&board);
    let path = board.path("etc/pikit/api-token");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert!([0o600, 0o640].contains(&mode()), "{:o}", mode());
    assert_eq!(board.ok(&["token"]).out.trim(), server.token);
    let session = server.door.ask("POST", "/api/update/login", &[], &json!({"token": server.token}).to_string());
    let session = session.header("Set-Cookie").unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    server.post("check", &json!({}));
    let id = server.begin("apply", &json!({}));
    // while it runs: what everybody on the board may read of the processes
    let mut listing = String::new();
    let mut listed = || {
        for entry in std::fs::read_dir("/proc").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())) {
            for name in ["cmdline", "environ"] {
                listing += &String::from_utf8_lossy(&std::fs::read(entry.path().join(name)).unwrap_or_default());
            }
        }
        // a word of its command line, and of nobody's environment
        listing.contains("\0request\0")
    };
    until("the other side to be seen", || listed().then_some(()));
    crate::release_hold(&board);
    until("its end", || (listed() && server.state()["last_request"]["transaction"] == id.as_str()).then_some(()));
    let mut told: Vec<String> = vec![listing, server.said()];
    for (method, path) in CLOSED.iter().filter(|(m, p)| *m == "GET" && !p.ends_with("events")) {
        let answer = server.ask(method, path, "");
        told.push(answer.head + &answer.body);
    }
    told.push(serde_json::to_string(&server.listen(None).next().unwrap().data).unwrap());
    for wrong in [format!("Bearer {}x", server.token), "Bearer none".into()] {
        let answer = server.door.ask("GET", "/api/update/status", &[("Authorization", &wrong)], "");
        told.push(answer.head + &answer.body);
    }
    for dir in ["var", "run", "srv", "usr"] {
        for (name, node) in crate::support::tree::read(&board.root, dir) {
            told.push(name + &String::from_utf8_lossy(&node.content));
        }
    }
    for text in told {
        assert!(!text.contains(&server.token) && !text.contains(&session), "{text}");
    }
    board.ok(&["token", "--new"]);
    assert!([0o600, 0o640].contains(&mode()), "{:o}", mode());
}

#[test]
fn who_guesses_is_slowed_down_and_nobody_else_is() {
    let board = Board::new("guess");
    let server = Server::start(&board);
    let pair = server.door.ask("POST", "/api/update/login", &[], &json!({"token": server.token}).to_string());
    let pair = pair.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let (stop, refused) = (AtomicBool::new(false), AtomicU32::new(0));
    let (pulse, mut slowest, mut asked) = (Pulse::start(), Duration::ZERO, 0);
    std::thread::scope(|scope| {
        for i in 0..6 {
            let (door, stop, refused) = (server.door.clone(), &stop, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = match i % 2 {
                        0 => door.try_ask("POST", "/api/update/login", &[("X-Forwarded-For", "10.0.0.9")], "{\"token\":\"a guess\"}"),
                        _ => door.try_ask("GET", "/api/update/status", &[("X-Forwarded-For", "10.0.0.9"), ("Authorization", "Bearer a guess")], ""),
                    };
                    let Ok(answer) = answer else { continue };
                    assert!([401, 429, 503].contains(&answer.status), "{}", answer.head);
                    if answer.status == 429 {
                        assert!((1..=4).contains(&answer.header("Retry-After").unwrap().parse().unwrap()));
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let bearer = server.bearer();
            for (method, path, header, body, status) in [
                ("GET", "/api/update/status", ("Authorization", bearer.as_str()), "", 200),
                ("GET", "/api/update/status", ("Cookie", pair.as_str()), "", 200),
                ("GET", "/ping", ("X-Forwarded-For", "10.0.0.9"), "", 200),
                ("POST", "/api/update/login", ("X-Forwarded-For", "10.0.0.1"), "{\"token\":\"TOKEN\"}", 204),
            ] {
                let answer = server.door.ask(method, path, &[header], &body.replace("TOKEN", &server.token));
                assert_eq!(answer.status, status, "{method} {path}: {}", answer.head);
                slowest = slowest.max(answer.took);
                asked += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "wrong tokens in a loop: {} were put off; {asked} good requests, the slowest took {slowest:?}; {}",
        refused.load(Ordering::Relaxed),
        server.vitals()
    );
    assert!(slowest < pulse.allows(Duration::from_secs(1)), "{slowest:?}");
    assert!(refused.load(Ordering::Relaxed) > 0);
    // whoever guessed may try again as soon as they were told, and is in with the right one
    let begun = Instant::now();
    until("the guesser's own right token", || {
        let answer = server.door.ask("POST", "/api/update/login", &[("X-Forwarded-For", "10.0.0.9")], &json!({"token": server.token}).to_string());
        (answer.status == 204).then_some(())
    });
    let took = begun.elapsed();
    assert!(took < pulse.allows(Duration::from_secs(5)), "{took:?}");
}
