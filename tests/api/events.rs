//! The stream of events: the whole state first, then all that happens, each once, at once.

use std::time::{Duration, Instant};

use chrono::Utc;
use pikit_updater::world::lock::Locked;
use serde_json::{Value, json};

use crate::board;
use crate::server::{Event, Server, Stream};
use crate::support::board::Board;
use crate::support::pulse::Pulse;
use crate::support::wait::until;

/// The longest that an event may take from its cause to who listens, on a machine that has nothing else to do.
const DELAY: Duration = Duration::from_millis(200);

/// Number of an event, less the name of the process.
pub fn number(event: &Event) -> u64 {
    event.id.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// A run that goes on for as long as a test wants: the lock is held, and its progress is told as the real one tells it.
pub struct Run<'b> {
    board: &'b Board,
    _held: Locked,
}

impl<'b> Run<'b> {
    pub fn begin(board: &'b Board, server: &Server) -> Self {
        let boot = server.get("/ping").json()["boot_id"].as_str().unwrap().to_owned();
        Run { board, _held: Locked::take(&board.path("var/run/pikit-update.lock"), &boot).unwrap() }
    }
    /// Writes how far it is; returns when that was.
    pub fn tell(&self, bytes: u64) -> Instant {
        let progress = json!({"transaction": "r".repeat(26), "phase": "downloading", "percent": 5, "bytes_done": bytes, "bytes_total": 1000,
            "message": "fetching", "started": Utc::now()});
        self.board.write("run/pikit-update/progress.new", progress.to_string());
        let cause = Instant::now();
        std::fs::rename(self.board.path("run/pikit-update/progress.new"), self.board.path("run/pikit-update/progress.json")).unwrap();
        cause
    }
}

/// The longest of 20 ways from the cause to the reader, and the limit for it here and now. Others use this machine too: the best of a few
/// rounds counts.
pub fn delay(run: &Run, stream: &mut Stream) -> (Duration, Duration) {
    let (pulse, mut rounds) = (Pulse::start(), Vec::new());
    for round in 0..5 {
        let mut worst = Duration::ZERO;
        for n in 0..20 {
            let bytes = round * 20 + n + 1;
            let cause = run.tell(bytes);
            let came = stream.until("the progress", |e| e.name == "progress" && e.data["bytes_done"] == bytes).pop().unwrap().came;
            worst = worst.max(came - cause);
        }
        rounds.push(worst);
        if worst < DELAY {
            break;
        }
    }
    println!("slowest of 20 events, by rounds: {rounds:?}; slowest beat of this machine: {:?}", pulse.slowest());
    (*rounds.iter().min().unwrap(), pulse.allows(DELAY))
}

#[test]
fn a_whole_update_is_told_in_order_and_every_event_once() {
    let board = board("told");
    let server = Server::start(&board);
    let mut stream = server.listen(None);
    let first = stream.next().unwrap();
    assert_eq!((first.name.as_str(), &first.data["current"], stream.retry), ("state", &json!("1.0.0"), Some(3000)));
    let id = server.begin("apply", &json!({}));
    let mut all = vec![first];
    all.extend(stream.until("the end", |e| e.name == "state" && e.data["last_request"]["transaction"] == id.as_str() && e.data["busy"].is_null()));
    let numbers: Vec<u64> = all.iter().map(number).collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    let of = |name: &str| all.iter().filter(|e| e.name == name).collect::<Vec<_>>();
    assert_eq!(of("begun").iter().map(|e| &e.data).collect::<Vec<_>>(), [&json!({"transaction": id})]);
    assert!(!of("phase").is_empty() && of("phase").iter().all(|e| e.data["transaction"] == id.as_str() && e.data["message"].is_string()));
    let order = ["checking", "planning", "downloading", "verifying", "staging", "switching", "restarting", "trial", "confirming"];
    let phases: Vec<_> = of("phase").iter().map(|e| order.iter().position(|p| e.data["phase"] == *p).unwrap()).collect();
    assert!(phases.is_sorted(), "{phases:?}");
    let progress = of("progress");
    assert!(progress.windows(2).all(|w| w[0].data["percent"].as_u64() <= w[1].data["percent"].as_u64()));
    assert!(progress.iter().all(|e| e.data["transaction"] == id.as_str() && e.data["bytes_total"].is_u64() && e.data["started"].is_string()));
    let result: Vec<_> = of("result");
    assert_eq!((result.len(), &result[0].data["outcome"], &result[0].data["transaction"]), (1, &json!("confirmed"), &json!(id)));
    assert_eq!(all.last().unwrap().data["current"], "1.1.0");
    let begun = all.iter().position(|e| e.name == "begun").unwrap();
    let ended = all.iter().position(|e| e.name == "result").unwrap();
    assert!(all[1..begun].iter().all(|e| e.name == "state") && all[ended + 1..].iter().all(|e| e.name == "state"), "{:?}", names(&all));
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|e| e.name.as_str()).collect()
}

#[test]
fn who_lost_the_line_is_told_what_it_missed_and_nothing_twice() {
    let board = Board::new("missed");
    let server = Server::start(&board);
    let run = Run::begin(&board, &server);
    let (mut stays, mut leaves) = (server.listen(None), server.listen(None));
    let first = leaves.next().unwrap();
    stays.next();
    for n in 1..=3 {
        run.tell(n);
        stays.until("progress", |e| e.data["bytes_done"] == n);
    }
    let last = leaves.until("the second", |e| e.data["bytes_done"] == 2).pop().unwrap();
    drop(leaves);
    for n in 4..=6 {
        run.tell(n);
        stays.until("progress", |e| e.data["bytes_done"] == n);
    }
    let mut back = server.listen(Some(&last.id));
    let state = back.next().unwrap();
    assert_eq!((state.name.as_str(), &state.data["progress"]["bytes_done"], &state.id), ("state", &json!(6), &last.id), "the whole state first");
    run.tell(7);
    let missed = back.until("the newest", |e| e.data["bytes_done"] == 7);
    assert_eq!(missed.iter().map(|e| e.data["bytes_done"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!(missed.iter().map(number).collect::<Vec<_>>(), (number(&last) + 1..).take(5).collect::<Vec<_>>());
    // who comes anew, with the number of another life, or with rubbish, is told nothing of the past
    for id in [None, Some("abcdefgh-3"), Some("-1"), Some("x"), Some("99999999999999999999")] {
        let mut new = server.listen(id);
        assert_eq!(new.next().unwrap().data["progress"]["bytes_done"], 7, "{id:?}");
        drop(new);
    }
    let mut new = server.listen(None);
    new.next();
    run.tell(8);
    assert_eq!(new.next().unwrap().data["bytes_done"], 8);
    // also when nobody else listened meanwhile, and from before the first event on
    drop((new, back, stays));
    run.tell(9);
    let mut alone = server.listen(Some(&first.id));
    alone.next();
    let told = alone.until("what nobody saw", |e| e.data["bytes_done"] == 9);
    assert_eq!(told.iter().filter(|e| e.name == "begun").count(), 1, "{:?}", names(&told));
    // more than is kept: the state says it all
    for n in 0..300 {
        run.tell(1000 + n);
        alone.until("progress", |e| e.data["bytes_done"] == 1000 + n);
    }
    let mut late = server.listen(Some(&first.id));
    assert_eq!(late.next().unwrap().data["progress"]["bytes_done"], 1299);
    run.tell(2000);
    assert_eq!(late.next().unwrap().data["bytes_done"], 2000);
}

#[test]
fn sixteen_listen_and_whoever_leaves_makes_room_at_once() {
    let board = Board::new("sixteen");
    let server = Server::start(&board);
    let mut streams: Vec<Stream> = (0..16).map(|_| server.listen(None)).collect();
    streams.iter_mut().for_each(|s| assert_eq!(s.next().unwrap().name, "state"));
    let more = server.get("/api/update/events");
    assert!(more.header("Retry-After").is_some(), "{}", more.head);
    more.problem(503);
    let pulse = Pulse::start();
    let answer = server.get("/api/update/status");
    assert!(answer.status == 200 && answer.took < pulse.allows(Duration::from_secs(1)), "{:?}", answer.took);
    println!("16 streams: {}", server.vitals());
    let run = Run::begin(&board, &server);
    let mut worst = Duration::ZERO;
    for n in 1..=5 {
        let cause = run.tell(n);
        for stream in &mut streams {
            worst = worst.max(stream.until("it", |e| e.data["bytes_done"] == n).pop().unwrap().came - cause);
        }
    }
    println!("an event reaches all 16 within {worst:?}");
    for _ in 0..5 {
        drop(streams.pop());
        let begun = Instant::now();
        let bearer = server.bearer();
        let stream = until("a free place", || server.door.try_listen(&[("Authorization", &bearer)]).ok().filter(|s| s.status == 200));
        let took = begun.elapsed();
        assert!(took < pulse.allows(Duration::from_secs(1)), "{took:?}");
        streams.push(stream);
    }
}

#[test]
fn an_event_comes_at_once() {
    let board = Board::new("at-once");
    let server = Server::start(&board);
    let run = Run::begin(&board, &server);
    let mut stream = server.listen(None);
    stream.next();
    let (worst, limit) = delay(&run, &mut stream);
    assert!(worst < limit, "{worst:?}");
}

#[test]
fn a_silent_stream_shows_that_it_lives_and_ends_with_its_server() {
    let board = Board::new("silent");
    let server = Server::start(&board);
    let mut stream = server.listen(None);
    stream.next();
    let (pulse, begun) = (Pulse::start(), Instant::now());
    assert!(stream.heartbeat());
    let took = begun.elapsed();
    assert!(took.as_secs() >= 10 && took < pulse.allows(Duration::from_secs(17)), "{took:?}");
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let begun = Instant::now();
    let (end, took) = (stream.next(), begun.elapsed());
    assert!(end.is_none() && took < pulse.allows(Duration::from_secs(2)), "{took:?}");
}

#[test]
fn what_changes_without_a_run_is_told_as_well() {
    let board = board("changes");
    let server = Server::start(&board);
    let mut stream = server.listen(None);
    stream.next();
    let mut told = |what: &str, is: &dyn Fn(&Value) -> bool| {
        stream.until(what, |e| e.name == "state" && is(&e.data) && e.data["busy"].is_null());
    };
    board.ok(&["skip", "1.1.0"]);
    told("the skip", &|s| s["skipped"] == json!(["1.1.0"]));
    board.ok(&["unskip", "1.1.0"]);
    told("the unskip", &|s| s["skipped"] == json!([]));
    board.ok(&["check"]);
    told("the check of a terminal", &|s| s["latest"] == "1.1.0");
    board.ok(&["apply", "-y"]);
    told("the update of a terminal", &|s| s["current"] == "1.1.0");
}
