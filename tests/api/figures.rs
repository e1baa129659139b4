//! What serving takes: memory, threads, time. `cargo build --release`, then
//! `cargo nextest run --test api --no-capture figures` prints it of the program as people have it.

use std::time::{Duration, Instant};

use crate::board;
use crate::events::{Run, delay};
use crate::server::{Server, Stream};
use crate::support::board::{program, release_program};
use crate::support::pulse::Pulse;

#[test]
fn figures_of_a_server_of_a_household() {
    let mut board = board("figures");
    board.program = release_program();
    let released = board.program != program();
    let begun = Instant::now();
    let server = Server::start(&board);
    server.get("/ping");
    println!("{}: the first answer {:?} after it was started", if released { "release" } else { "debug" }, begun.elapsed());
    println!("nobody asks: {}", server.vitals());
    server.post("check", &serde_json::json!({}));

    let time = |path: &str| {
        let mut all: Vec<Duration> = (0..300).map(|_| server.get(path)).map(|a| a.took).collect();
        all.sort();
        println!("GET {path}: median {:?}, of 300 the slowest but three {:?}", all[150], all[296]);
        all[150]
    };
    let pulse = Pulse::start();
    for path in ["/ping", "/api/update/status"] {
        assert!(time(path) < pulse.allows(Duration::from_millis(50)), "{path}");
    }
    time("/api/update/plan");
    time("/api/update/verify");
    let page = || {
        let begun = Instant::now();
        // as a browser does it: the page, its style, the module and what that imports, six at a time
        server.door.ask("GET", "/", &[], "");
        std::thread::scope(|scope| {
            for name in ["page.css", "pikit-update.js", "api.js", "state.js", "view.js", "markdown.js", "style.js"] {
                let door = &server.door;
                scope.spawn(move || assert_eq!(door.ask("GET", &format!("/pikit-update/{name}"), &[], "").status, 200));
            }
        });
        server.get("/api/update/status");
        begun.elapsed()
    };
    let mut pages: Vec<Duration> = (0..20).map(|_| page()).collect();
    pages.sort();
    println!("the whole page and the first state: median {:?}, slowest {:?}", pages[10], pages[19]);
    println!("a browser was there: {}", server.vitals());

    let listen = |count: usize| -> Vec<Stream> { (0..count).map(|_| server.listen(None)).collect() };
    let mut streams = listen(4);
    streams.iter_mut().for_each(|s| assert!(s.next().is_some()));
    let run = Run::begin(&board, &server);
    let (worst, limit) = delay(&run, &mut streams[3]);
    assert!(worst < limit, "{worst:?}");
    println!("4 pages are open: {}", server.vitals());
    let (most, own) = (server.memory(), server.own());
    println!("of {most} kB its own: {own} kB");
    assert!(!released || own < 3 << 10, "serving takes {own} kB of its own");
    let mut more = listen(12);
    let (worst, _) = delay(&run, &mut more[11]);
    println!("16 pages are open: {}; an event takes {worst:?}", server.vitals());
}
