//! The work outlives its page: whatever happens to browser and API, what was begun is ended, and is found out afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::Server;
use crate::support::board::Board;
use crate::support::wait::until;
use crate::{TWO, board, held, release_hold};

#[test]
fn an_api_that_is_killed_at_once_changes_nothing_of_what_it_began() {
    let board = board("killed");
    held(&board);
    let server = Server::start(&board);
    let id = server.begin("apply", &json!({}));
    server.kill();
    until("the trial", || board.text("srv/web/index.html").contains("two").then_some(()));
    // an API that comes in the middle sees it running
    let server = Server::start(&board);
    until("its progress", || (server.state()["progress"]["transaction"] == id.as_str()).then_some(()));
    let mut stream = server.listen(None);
    assert_eq!(stream.next().unwrap().data["progress"]["transaction"], id.as_str());
    server.kill();
    release_hold(&board);
    until("its end", || (!board.has("var/lib/pikit-update/journal.json") && board.text("etc/pikit/version") == "1.1.0\n").then_some(()));
    let server = Server::start(&board);
    let state = server.ended(&id);
    let last = &state["last_result"];
    assert_eq!((&last["transaction"], &last["outcome"], &last["to"]), (&json!(id), &json!("confirmed"), &json!("1.1.0")));
    assert_eq!((&state["last_request"]["ok"], &state["last_request"]["action"]), (&json!(true), &json!("apply")));
    assert_eq!(server.get("/api/update/history").json()["history"][0]["transaction"], id.as_str());
    let log = server.get(&format!("/api/update/log?transaction={id}")).json();
    assert!(log["lines"].as_array().unwrap().iter().any(|l| l.as_str().unwrap().ends_with(&format!("transaction {id}"))), "{log}");
    assert_eq!(board.leftovers(), Vec::<String>::new());
}

#[test]
fn a_sick_release_a_refused_one_and_a_source_that_is_gone_are_told_to_whoever_asked() {
    let board = board("failures");
    board.configure("run = [\"/bin/true\"]", &format!("run = [\"test\", \"!\", \"-e\", {:?}]", board.path("srv/web/sick")));
    board.configure("timeout = \"2s\"", "timeout = \"300ms\"");
    board.release("1.2.0", &[("web/index.html", "sick"), ("web/sick", "")]);
    let server = Server::start(&board);
    let mut stream = server.listen(None);
    let id = server.begin("apply", &json!({"version": "1.2.0"}));
    let result = stream.until("the result", |e| e.name == "result").pop().unwrap().data;
    assert_eq!((&result["transaction"], &result["outcome"], &result["code"]), (&json!(id), &json!("rolled-back"), &json!(6)));
    let state = server.ended(&id);
    let asked = &state["last_request"];
    assert_eq!((&asked["ok"], &asked["error"]["code"], &state["current"]), (&json!(false), &json!(6), &json!("1.0.0")));
    assert_eq!(asked["error"]["message"], state["last_result"]["reason"]);
    assert_eq!(state["quarantined"][0]["version"], "1.2.0");

    // known to be sick: refused before anything begins, and a person may insist
    let id = server.begin("apply", &json!({"version": "1.2.0"}));
    let result = stream.until("the refusal", |e| e.name == "result").pop().unwrap().data;
    assert_eq!((&result["transaction"], &result["outcome"], &result["code"]), (&json!(id), &json!("refused"), &json!(4)), "{result}");
    assert!(result["reason"].as_str().unwrap().contains("failed on this board before"), "{result}");
    assert!(server.ended(&id)["last_request"]["error"]["hint"].is_string());
    let id = server.begin("apply", &json!({"version": "1.2.0", "force": true}));
    assert_eq!(server.ended(&id)["last_request"]["action"], "apply-anyway");

    // another manifest than the one that was looked at
    let id = server.begin("apply", &json!({"version": "1.1.0", "require_manifest": "0".repeat(64)}));
    assert_eq!(server.ended(&id)["last_request"]["error"]["code"], 4);
    // what the device does not allow
    board.release("1.3.0", &[("elsewhere/file", "x")]);
    let id = server.begin("apply", &json!({"version": "1.3.0"}));
    let error = server.ended(&id)["last_request"]["error"].clone();
    assert!(error["code"] == 5 && error["message"].as_str().unwrap().contains("elsewhere/file"), "{error}");

    fs::rename(board.path("src"), board.path("gone")).unwrap();
    let problem = server.post("check", &json!({}));
    assert!(problem.header("Retry-After").is_some());
    assert_eq!(problem.problem(503)["code"], 3);
    let begun = stream.until("the failed check", |e| e.name == "result" && e.data["action"] == "check").pop().unwrap();
    assert_eq!(begun.data["code"], 3);
    let state = server.state();
    assert!(state["last_check_error"].is_string() && state["last_request"]["action"] == "check", "{state}");
    let id = server.begin("apply", &json!({"version": "1.1.0"}));
    assert_eq!(server.ended(&id)["last_request"]["error"]["code"], 3);
    assert_eq!(board.text("etc/pikit/version"), "1.0.0\n");
}

#[test]
fn everything_else_that_can_be_asked_for_is_done() {
    let board = board("all");
    let server = Server::start(&board);
    let checked = server.post("check", &json!({})).json();
    let digest = checked["available"]["manifest_sha256"].clone();
    let id = server.begin("apply", &json!({"version": "1.1.0", "require_manifest": digest}));
    let state = server.ended(&id);
    assert_eq!((&state["current"], &state["rollback_to"]["version"]), (&json!("1.1.0"), &json!("1.0.0")));

    board.write("srv/web/same.js", "edited");
    assert_eq!(server.get("/api/update/verify").json()["edited"], json!(["web/same.js"]));
    let id = server.begin("repair", &json!({}));
    assert_eq!((server.ended(&id)["last_result"]["action"].clone(), board.text("srv/web/same.js")), (json!("repair"), "same".into()));

    let backup = server.state()["rollback_to"]["backup"].clone();
    let id = server.begin("rollback", &json!({"backup": backup}));
    let state = server.ended(&id);
    assert_eq!((&state["current"], &state["last_result"]["action"], &state["skipped"]), (&json!("1.0.0"), &json!("rollback"), &json!(["1.1.0"])));
    let id = server.begin("rollback", &json!({"backup": "0099-20261101T042030Z-9.9.9"}));
    assert_eq!(server.ended(&id)["last_request"]["ok"], false);

    assert_eq!(server.post("unskip", &json!({"version": "1.1.0"})).json()["skipped"], json!([]));
    assert_eq!(server.post("skip", &json!({"version": "1.1.0"})).json()["skipped"], json!(["1.1.0"]));
    let set = server.post("auto", &json!({"mode": "install", "at": "03:15"})).json();
    assert_eq!((&set["auto"]["mode"], &set["auto"]["at"]), (&json!("install"), &json!("03:15")));
    assert!(board.text("etc/pikit/updater.toml").contains("03:15"));
    assert_eq!(server.post("auto", &json!({"mode": "off"})).json()["auto"]["mode"], "off");
}

#[test]
fn of_many_who_ask_at_once_exactly_one_is_granted() {
    let board = board("at-once");
    held(&board);
    let server = Server::start(&board);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(|| server.post("apply", &json!({})))).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let granted: Vec<_> = answers.iter().filter(|a| a.status == 202).collect();
    assert_eq!(granted.len(), 1, "{answers:?}");
    answers.iter().filter(|a| a.status != 202).for_each(|a| assert_eq!(a.problem(409)["code"], 8));
    let id = granted[0].json()["transaction"].as_str().unwrap().to_owned();
    until("its progress", || (server.state()["progress"]["transaction"] == id.as_str()).then_some(()));
    server.post("rollback", &json!({})).problem(409);
    release_hold(&board);
    assert_eq!(server.ended(&id)["last_result"]["outcome"], "confirmed");
}

#[test]
fn a_request_that_nobody_takes_is_given_up_in_words_and_keeps_nobody_out() {
    let board = board("nobody");
    let server = Server::with(&board, &["--leave-requests"]);
    let mut stream = server.listen(None);
    let begun = Instant::now();
    let id = server.begin("apply", &json!({}));
    assert_eq!(server.state()["pending"], json!({"transaction": id, "action": "apply"}));
    let problem = server.post("check", &json!({})).problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("apply"), "{problem}");
    let request: Value = serde_json::from_str(&board.text("run/pikit-update/requests/request.json")).unwrap();
    assert_eq!(request, json!({"transaction": id, "action": "apply"}));
    let told = stream.until("its end", |e| e.name == "result").pop().unwrap().data;
    println!("a request that nobody takes is given up after {:?}", begun.elapsed());
    assert!((29..120).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!((&told["transaction"], &told["reason"]), (&json!(id), &json!("nobody took the request")));
    assert!(told["hint"].as_str().unwrap().contains("pikit-update-apply.path"), "{told}");
    let state = server.state();
    assert!(state["pending"].is_null() && !board.has("run/pikit-update/requests/request.json"), "{state}");
    assert_eq!(state["last_request"], server.state()["last_request"], "told once, and the same each time");
    // the next one waits again, and whoever takes requests comes back in time
    let id = server.begin("apply", &json!({}));
    board.ok(&["request"]);
    let state = server.ended(&id);
    assert_eq!((&state["last_result"]["outcome"], &state["last_result"]["transaction"]), (&json!("confirmed"), &json!(id)));
    // no events of what was told before
    let after = stream.until("the second result", |e| e.name == "result").pop().unwrap().data;
    assert_eq!(after["outcome"], "confirmed");
}

#[test]
fn a_run_that_is_killed_is_told_as_interrupted_and_keeps_nobody_out() {
    let board = board("run-killed");
    held(&board);
    let server = Server::start(&board);
    let id = server.begin("apply", &json!({}));
    let pid = until("its trial", || {
        let state = server.state();
        (state["progress"]["phase"] == "trial").then(|| state["busy"]["pid"].as_u64().unwrap())
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let state = until("its being interrupted", || Some(server.state()).filter(|s| s["busy"].is_null()));
    assert_eq!((&state["interrupted"], &state["progress"], &state["pending"]), (&json!(id), &Value::Null, &Value::Null));
    release_hold(&board);
    // the next that is asked for settles it first
    let again = server.begin("rollback", &json!({}));
    let state = server.ended(&again);
    assert_eq!((&state["current"], &state["interrupted"]), (&json!("1.0.0"), &Value::Null), "{state}");
    assert!(server.get("/api/update/history").json()["history"].as_array().unwrap().iter().any(|row| row["transaction"] == id.as_str()));
}

#[test]
fn nothing_that_is_planted_as_a_request_does_harm_or_stays() {
    let board = board("planted");
    fs::create_dir_all(board.path("run/pikit-update/requests")).unwrap();
    let at = board.path("run/pikit-update/requests/request.json");
    let good = |id: &str| format!("{{\"transaction\":\"{id}\",\"action\":\"apply\"}}");
    let id = |n: u32| format!("{n:026}");
    let secret = board.path("etc/secret");
    fs::write(&secret, good(&id(1))).unwrap();
    let used = {
        let rows = board.ok(&["history", "--json"]).out;
        let at = rows.find("\"transaction\":\"").unwrap() + "\"transaction\":\"".len();
        rows[at..at + 26].to_owned()
    };
    let before = board.tree();
    type Plant<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let text = |text: String| -> Box<dyn Fn()> {
        let at = at.clone();
        Box::new(move || fs::write(&at, &text).unwrap())
    };
    let mut plants: Vec<Plant> = vec![
        ("a folder", Box::new(|| fs::create_dir_all(at.join("with/more")).unwrap())),
        ("a pipe", Box::new(|| rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap())),
        ("a symlink", Box::new(|| std::os::unix::fs::symlink(&secret, &at).unwrap())),
        ("a dangling symlink", Box::new(|| std::os::unix::fs::symlink("/nowhere", &at).unwrap())),
        ("a hard link", Box::new(|| fs::hard_link(&secret, &at).unwrap())),
        ("a socket", Box::new(|| drop(std::os::unix::net::UnixListener::bind(&at).unwrap()))),
        ("4 MB", text(format!("{}{}", good(&id(2)), " ".repeat(4 << 20)))),
        ("rubbish", text("\0\u{1b}[31m{".into())),
        ("nothing", text(String::new())),
        ("a way out", text(format!("{{\"transaction\":\"{}\",\"action\":\"rollback\",\"backup\":\"../../../etc\"}}", id(3)))),
        ("a hidden name", text(format!("{{\"transaction\":\"{}\",\"action\":\"rollback\",\"backup\":\".hidden\"}}", id(4)))),
        ("a word too many", text(format!("{{\"transaction\":\"{}\",\"action\":\"apply\",\"from\":\"/dev/sda\"}}", id(5)))),
        ("an unknown action", text(format!("{{\"transaction\":\"{}\",\"action\":\"run\"}}", id(6)))),
        ("an id that is a path", text("{\"transaction\":\"../../../../../../../tmp/xx\",\"action\":\"apply\"}".into())),
        ("an id that was used", text(good(&used))),
    ];
    if rustix::process::getuid().is_root() {
        plants.push((
            "somebody else's",
            Box::new(|| {
                fs::write(&at, good(&id(7))).unwrap();
                std::os::unix::fs::chown(&at, Some(4711), Some(4711)).unwrap();
            }),
        ));
        plants.push((
            "a device",
            Box::new(|| {
                let _ = rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::CharacterDevice, 0o666.into(), rustix::fs::makedev(1, 5))
                    .map_err(|_| fs::write(&at, "no devices here").unwrap());
            }),
        ));
    }
    for (what, plant) in &plants {
        plant();
        let begun = Instant::now();
        let ran = board.run(&["request"]);
        assert_eq!(ran.code, 2, "{what}: {}", ran.err);
        assert!(ran.err.contains("a request was dropped") && !ran.err.contains('\u{1b}'), "{what}: {}", ran.err);
        // a pipe and a device would be waited for without an end
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
        assert!(fs::symlink_metadata(&at).is_err(), "{what} is still there: a path unit would start us for ever");
        let answer: Value = serde_json::from_str(&board.text("run/pikit-update/answer.json")).unwrap();
        assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!(2)), "{what}");
        // nothing else of it lies in the folder that only we write to
        let mut left: Vec<_> = fs::read_dir(board.path("run/pikit-update")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["answer.json", "requests"], "{what}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), good(&id(1)), "who was linked in is as before");
    assert_eq!(board.tree(), before);
    assert_eq!(board.ok(&["request"]).err.trim(), "no request waits");
    // and a good one is still taken
    fs::write(&at, good(&id(8))).unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(0o640)).unwrap();
    board.ok(&["request"]);
    assert_eq!(board.text("srv/web/index.html"), TWO[0].1);
    // once
    fs::write(&at, good(&id(8))).unwrap();
    assert_eq!(board.run(&["request"]).code, 2);
}

#[test]
fn a_folder_of_requests_that_is_none_is_left_alone() {
    let board = Board::new("no-folder");
    fs::create_dir_all(board.path("run/pikit-update")).unwrap();
    fs::create_dir_all(board.path("elsewhere")).unwrap();
    board.write("elsewhere/request.json", "precious");
    std::os::unix::fs::symlink(board.path("elsewhere"), board.path("run/pikit-update/requests")).unwrap();
    let _ = board.run(&["request"]);
    assert_eq!(board.text("elsewhere/request.json"), "precious");
}
