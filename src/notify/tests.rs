//! What is told, when, how often, and in which words.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::notice::{Due, Moves, due};
use super::*;
use crate::device::Layout;
use crate::event::Outcome;
use crate::plan::Action;
use crate::state::Row;
use crate::state::status::LastResult;
use crate::update::rig::{CONFIG, FakeClock};
use crate::world::outside::Ran;
use crate::world::sim::SimDisk;
use crate::world::{Clock, Outside};

type Headers = Vec<(&'static str, String)>;

/// A server that takes letters, or does not.
struct Server {
    got: RefCell<Vec<(Headers, String)>>,
    answer: RefCell<std::result::Result<(u16, String), String>>,
}

impl Server {
    fn new() -> Self {
        Server { got: RefCell::default(), answer: RefCell::new(Ok((200, "ok".into()))) }
    }
    fn events(&self) -> Vec<String> {
        self.got.borrow().iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["event"].as_str().unwrap().to_owned()).collect()
    }
}

impl Outside for Server {
    fn run(&self, _: &[String], _: Duration) -> io::Result<Ran> {
        unreachable!("nothing is run")
    }
    fn try_content(&self, _: &[u8], _: &str, _: &[String], _: Duration) -> io::Result<Ran> {
        unreachable!("no program is tried here")
    }
    fn program(&self) -> Option<std::path::PathBuf> {
        None
    }
    fn run_content(&self, _: &[u8], _: &str, _: &[String], _: &[(&str, String)], _: Duration) -> io::Result<Ran> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn http(&self, _: &str, _: Duration) -> std::result::Result<(u16, String), String> {
        unreachable!("nobody is asked")
    }
    fn post(&self, letter: &Letter, _: Duration) -> std::result::Result<(u16, String), String> {
        assert_eq!(letter.url, "http://127.0.0.1:9/secret-hook");
        self.got.borrow_mut().push((letter.headers.to_vec(), String::from_utf8(letter.body.to_vec()).unwrap()));
        self.answer.borrow().clone()
    }
    fn tcp(&self, _: &str, _: Duration) -> std::result::Result<(), String> {
        unreachable!("nobody is asked")
    }
}

fn settings(more: &str) -> Settings {
    Settings::parse(&format!("{CONFIG}[notify]\nwebhook = \"http://127.0.0.1:9/secret-hook\"\n{more}"), &Layout::new("/")).unwrap()
}

fn row(id: &str, outcome: Outcome, at: chrono::DateTime<chrono::Utc>) -> Row {
    let result = LastResult {
        transaction: id.into(),
        action: Action::Apply,
        outcome,
        from: "1.0.0".parse().ok(),
        to: "1.1.0".parse().ok(),
        at,
        seconds: 12.0,
        offline_seconds: 1.5,
        code: 0,
        reason: (outcome != Outcome::Confirmed).then(|| "HTTP 503".into()),
    };
    Row { result, bytes_fetched: 0, bytes_written: 0 }
}

/// A board with one transaction in its history, told by `after` as often as asked.
struct Rig {
    disk: SimDisk,
    server: Server,
    clock: FakeClock,
    warnings: Cell<usize>,
}

impl Rig {
    fn new() -> Self {
        let disk = SimDisk::new();
        durable::make_dirs(&disk, Path::new("/var/lib/pikit-update"), 0o755).unwrap();
        let rig = Rig { disk, server: Server::new(), clock: FakeClock::default(), warnings: Cell::new(0) };
        rig.state(&State { current: "1.0.0".parse().ok(), ..State::default() });
        rig
    }
    fn state(&self, state: &State) {
        state.save(&self.disk, &Layout::new("/")).unwrap();
    }
    fn ends(&self, id: &str, outcome: Outcome) {
        history::add(&self.disk, &Layout::new("/"), &row(id, outcome, self.clock.now())).unwrap();
    }
    fn world(&self) -> World<'_> {
        World { disk: &self.disk, outside: &self.server, clock: &self.clock }
    }
    fn after_with(&self, trouble: Option<&Error>, more: &str) {
        let mut count = |event: &Event| {
            let Event::Warning { message } = event else { panic!("{event:?}") };
            assert!(message.contains("127.0.0.1:9") && !message.contains("secret"), "{message}");
            self.warnings.set(self.warnings.get() + 1);
        };
        after(self.world(), &settings(more), trouble, &mut count);
    }
    fn after(&self) {
        self.after_with(None, "");
    }
    fn told(&self) -> Option<Told> {
        let bytes = durable::read(&self.disk, Path::new("/var/lib/pikit-update/notified.json"), 1 << 20).unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }
}

#[test]
fn each_end_is_told_once() {
    let rig = Rig::new();
    rig.after();
    assert_eq!((rig.server.events().len(), rig.told()), (0, None), "nothing has happened, nothing is written");
    rig.ends("a", Outcome::Confirmed);
    rig.after();
    rig.after();
    assert_eq!(rig.server.events(), ["confirmed"]);
    // two ends between two looks: a recovery, and what came after it
    rig.ends("b", Outcome::RolledBack);
    rig.ends("c", Outcome::Failed);
    rig.ends("d", Outcome::Cancelled);
    rig.after();
    rig.after();
    assert_eq!(rig.server.events(), ["confirmed", "rolled-back", "failed"]);
    assert_eq!((rig.told().unwrap().transaction.as_deref(), rig.warnings.get()), (Some("d"), 0));
}

#[test]
fn who_could_not_be_told_is_told_by_the_next_command_and_let_go_after_a_week() {
    let rig = Rig::new();
    *rig.server.answer.borrow_mut() = Err("connection refused".into());
    rig.ends("a", Outcome::Confirmed);
    rig.ends("b", Outcome::RolledBack);
    rig.after();
    assert_eq!((rig.server.events().len(), rig.warnings.get()), (1, 1), "who fails is not asked twice");
    rig.clock.sleep(Duration::from_secs(86400));
    *rig.server.answer.borrow_mut() = Ok((500, "out of order\nmore".into()));
    rig.after();
    assert_eq!((rig.warnings.get(), rig.told().unwrap().transaction), (2, None));
    *rig.server.answer.borrow_mut() = Ok((204, String::new()));
    rig.after();
    assert_eq!(rig.server.events()[2..], ["rolled-back"], "without a record only the last end is news");
    assert_eq!(rig.told().unwrap(), Told { transaction: Some("b".into()), ..Told::default() });

    *rig.server.answer.borrow_mut() = Err("no such host".into());
    rig.ends("c", Outcome::Confirmed);
    for _ in 0..10 {
        rig.ends("c", Outcome::Confirmed);
        rig.after();
        rig.clock.sleep(Duration::from_secs(86400));
    }
    let told = rig.told().unwrap();
    assert_eq!((told.transaction.as_deref(), told.failing_since), (Some("c"), None));
    assert!(rig.server.got.borrow().len() < 13, "{}", rig.server.got.borrow().len());
}

#[test]
fn only_the_events_that_were_asked_for_are_told_and_without_the_section_none() {
    let rig = Rig::new();
    rig.ends("a", Outcome::Confirmed);
    rig.after_with(None, "events = [\"failed\"]\n");
    assert_eq!((rig.server.events().len(), rig.told().unwrap().transaction.as_deref()), (0, Some("a")));
    rig.ends("b", Outcome::Failed);
    rig.after_with(None, "events = [\"failed\"]\n");
    assert_eq!(rig.server.events(), ["failed"]);
    let silent = Settings::parse(CONFIG, &Layout::new("/")).unwrap();
    rig.ends("c", Outcome::Failed);
    after(rig.world(), &silent, None, &mut |_: &Event| panic!());
    assert_eq!(rig.told().unwrap().transaction.as_deref(), Some("b"));
    assert_eq!(test(rig.world(), &silent).unwrap_err().code, Code::Usage);
}

#[test]
fn what_waits_for_a_person_is_told_once_with_what_to_do() {
    let rig = Rig::new();
    let error = Error::stuck("could not return to the old tree").hint("free some space");
    rig.after_with(Some(&Error::refused("no")), "");
    rig.after_with(Some(&error), "");
    rig.after_with(Some(&error), "");
    assert_eq!(rig.server.events(), ["failed"]);
    assert!(rig.server.got.borrow()[0].1.contains("What to do: free some space"));
}

#[test]
fn a_refusal_that_comes_every_night_is_told_once() {
    let rig = Rig::new();
    for id in ["a", "b", "c"] {
        rig.ends(id, Outcome::Refused);
        rig.after();
    }
    assert_eq!(rig.server.events(), ["failed"]);
    rig.ends("d", Outcome::Confirmed);
    rig.ends("e", Outcome::Refused);
    rig.after();
    assert_eq!(rig.server.events(), ["failed", "confirmed", "failed"]);
}

fn offered(version: &str) -> State {
    let mut frozen: Value = serde_json::from_str(include_str!("../../tests/fixtures/state.json")).unwrap();
    frozen["available"]["version"] = json!(version);
    State { update_available: true, skipped: vec![], last_result: None, ..serde_json::from_value(frozen).unwrap() }
}

#[test]
fn a_version_is_told_to_be_available_once_and_not_when_it_is_passed_over() {
    let rig = Rig::new();
    for version in ["1.4.0", "1.4.0", "1.5.0"] {
        rig.state(&offered(version));
        rig.after();
    }
    assert_eq!(rig.server.events(), ["available", "available"]);
    rig.state(&State { skipped: vec!["1.6.0".parse().unwrap()], ..offered("1.6.0") });
    rig.after();
    rig.state(&State { update_available: false, ..offered("1.7.0") });
    rig.after();
    assert_eq!(rig.server.events().len(), 2);
}

#[test]
fn the_words_say_what_is_what_and_where() {
    let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let mut schedule = settings("").schedule;
    let said = |state: &State, rows: &[Row], schedule: &crate::device::Schedule| {
        let facts = Facts { product: "pikit", host: "kitchen", schedule, state, rows, stuck: None, now };
        let mut all = due(&facts, &Told::default());
        assert_eq!(all.len(), 1);
        let notice = all.remove(0).notice.unwrap();
        (notice.title, notice.message)
    };
    let (title, message) = said(&offered("1.4.0"), &[], &schedule);
    assert_eq!(title, "pikit 1.4.0 is available");
    assert_eq!(message, "kitchen has 1.3.0, 3.2 MB to fetch. The dashboard or `pikit-updater apply` installs it.\nhttps://example.org/1.4.0");
    schedule.action = "install".into();
    assert!(said(&offered("1.4.0"), &[], &schedule).1.contains("It is installed at 04:20."));

    let state = State::default();
    let one = |outcome, action| {
        let mut row = row("a", outcome, now);
        row.result.action = action;
        said(&state, &[row], &schedule)
    };
    let table = [
        (Outcome::Confirmed, Action::Apply, "pikit 1.1.0 is installed", "kitchen went from 1.0.0 to 1.1.0 in 12 s, of which services were away for 1.5 s."),
        (Outcome::Confirmed, Action::Rollback, "pikit is back at 1.1.0", "kitchen went from 1.0.0 to 1.1.0 in 12 s, of which services were away for 1.5 s."),
        (Outcome::RolledBack, Action::Apply, "pikit 1.1.0 was taken back", "kitchen is at 1.0.0 as before: HTTP 503."),
        (Outcome::Refused, Action::Apply, "pikit: apply of 1.1.0 was refused", "kitchen is at 1.0.0 as before: HTTP 503."),
    ];
    for (outcome, action, title, message) in table {
        assert_eq!(one(outcome, action), (title.into(), message.into()));
    }
    // no news any more
    let old = [row("a", Outcome::Confirmed, now - TimeDelta::days(8))];
    let facts = Facts { product: "pikit", host: "kitchen", schedule: &schedule, state: &state, rows: &old, stuck: None, now };
    assert_eq!(due(&facts, &Told::default()), [Due { notice: None, moves: Moves::Ended("a".into(), None) }]);
}

#[test]
fn chat_servers_and_ntfy_find_what_they_show() {
    let rig = Rig::new();
    test(rig.world(), &settings("")).unwrap();
    test(rig.world(), &settings("format = \"ntfy\"\n")).unwrap();
    let got = rig.server.got.borrow();
    let body: Value = serde_json::from_str(&got[0].1).unwrap();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["content", "event", "from", "host", "message", "product", "text", "title", "transaction", "version"]);
    assert_eq!((&body["text"], &body["product"]), (&body["content"], &json!("pikit")));
    assert_eq!(got[0].0, [("content-type", "application/json".to_owned())]);
    let names: Vec<&str> = got[1].0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["content-type", "title", "priority", "tags"]);
    assert!(got[1].1.contains("Nothing has happened"));
    let long = Notice { message: "ü".repeat(5000), title: "ü\n\u{1b}x".into(), ..notice::test("p", "h") };
    assert_eq!(long.json("p", "h")["content"].as_str().unwrap().chars().count(), 1900);
    assert_eq!(long.ntfy()[1].1, "???x");
}

#[test]
fn a_webhook_that_is_none_is_not_repeated() {
    for wrong in ["htps://chat.example.org/secret-hook", "https:///secret-hook", "https://u@chat.example.org/secret-hook"] {
        let error = Settings::parse(&format!("{CONFIG}[notify]\nwebhook = {wrong:?}\n"), &Layout::new("/")).unwrap_err();
        assert!(error.contains("notify.webhook") && !error.contains("secret-hook"), "{error}");
    }
}
