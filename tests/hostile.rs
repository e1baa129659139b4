//! Attacks on the API's gate, through its door: a process of its own serves, clients on the same address attack it and, at the same time,
//! ask politely. Whoever asks politely is answered within a second, and the process neither dies nor grows.
//! `cargo nextest run --test hostile --no-capture` prints the figures.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

#[path = "hostile/target.rs"]
mod target;
#[path = "support/pulse.rs"]
mod pulse;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use pulse::Pulse;
use target::{Setup, Target, Watch, until};

/// Not a test: the process that is attacked.
#[test]
fn serve_when_asked_to() {
    target::serve();
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Keeps a thousand connections open for a while and opens others for those that are closed, up to 4,000 a second; each says a word now
/// and then.
fn slowloris(target: &Target, time: Duration, word: &[u8], every: Duration) -> u32 {
    target::many_files();
    let (end, mut opened) = (Instant::now() + time, 0);
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut next_word = Instant::now() + every;
    while Instant::now() < end {
        let most = if opened < 1000 { 1000 } else { 20 };
        for _ in streams.len()..1000.min(streams.len() + most) {
            let Ok(stream) = TcpStream::connect(target.address) else { break };
            stream.set_nonblocking(true).unwrap();
            streams.push(stream);
            opened += 1;
        }
        let talks = Instant::now() >= next_word;
        if talks {
            next_word += every;
        }
        // a closed one gives the end, or an answer before it
        streams.retain_mut(|s| s.read(&mut [0; 512]).is_err() && (!talks || s.write(word).is_ok()));
        std::thread::sleep(Duration::from_millis(5));
    }
    opened
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out() {
    let target = Target::start(Setup::default());
    let watch = Watch::start(&target);
    let opened = slowloris(&target, seconds(7), b"", seconds(100));
    watch.end(&format!("1,000 silent connections, {opened} opened"));
}

#[test]
fn a_thousand_dripping_connections_keep_nobody_out() {
    let target = Target::start(Setup::default());
    let watch = Watch::start(&target);
    let opened = slowloris(&target, seconds(7), b"G", seconds(2));
    watch.end(&format!("1,000 dripping connections, {opened} opened"));
}

#[test]
fn a_dripper_is_told_and_cut_at_the_deadline_however_it_drips() {
    let target = Target::start(Setup { head_time: seconds(1), ..Setup::default() });
    let mut slow = target.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let (pulse, begun) = (Pulse::start(), Instant::now());
    slow.set_nonblocking(true).unwrap();
    let answer = until("the end of a dripper", || {
        let _ = slow.write(b"a");
        let mut text = [0; 512];
        slow.read(&mut text).ok().map(|n| String::from_utf8_lossy(&text[..n]).into_owned())
    });
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let took = begun.elapsed();
    assert!(took < pulse.allows(seconds(3)), "{took:?}");
    // who said nothing is not spoken to: browsers connect before they know what to ask
    assert_eq!(target.raw(b"").text, "");
}

#[test]
fn hundreds_of_large_unfinished_bodies_take_little_memory() {
    let target = Target::start(Setup::default());
    let watch = Watch::start(&target);
    let part = [b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n".as_slice(), &[b'x'; 60_000]].concat();
    let mut held = Vec::new();
    for _ in 0..400 {
        let mut stream = target.connect();
        let _ = stream.write_all(&part);
        held.push(stream);
    }
    watch.end("400 unfinished bodies of 60 kB");
}

#[test]
fn an_endless_head_is_refused_early() {
    let target = Target::start(Setup::default());
    let watch = Watch::start(&target);
    for (start, piece, status) in [("GET /", "a", 414), ("GET / HTTP/1.1\r\nX: ", "a", 431), ("GET / HTTP/1.1\r\n", "X: y\r\n", 431)] {
        let mut stream = target.connect();
        stream.write_all(start.as_bytes()).unwrap();
        let block = piece.repeat(60_000 / piece.len());
        // 60 MB, or as much as it takes
        let taken = (0..1000).take_while(|_| stream.write_all(block.as_bytes()).is_ok()).count();
        assert!(taken < 1000, "{start:?}: nobody objects");
        let reply = target.raw(format!("{start}{}", piece.repeat(9000 / piece.len())).as_bytes());
        assert_eq!(reply.status, status, "{}", reply.text);
    }
    watch.end("endless heads");
}

/// What no server may take for a request, and how it is refused.
fn malformed() -> Vec<(Vec<u8>, u16)> {
    let post = |headers: &str, body: &str| format!("POST /smuggled HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}");
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    [
        (post("Content-Length: 68719476736", "abc"), 413),
        (post("Content-Length: 9223372036854775808", "abc"), 413),
        (post("Content-Length: 18446744073709551617", "abc"), 413),
        (post("Content-Length: 65537", "abc"), 413),
        (post("Content-Length: -1", "abc"), 400),
        (post("Content-Length: +5", "abcde"), 400),
        (post("Content-Length: 5, 5", "abcde"), 400),
        (post("Content-Length: 40x", inner), 400),
        (post("Content-Length: 0x5", "abcde"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5", "abcde"), 400),
        (post("Content-Length: 0\r\nContent-Length: 37", inner), 400),
        (post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), 501),
        (post("Transfer-Encoding: chunked", "zz\r\nabc"), 501),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 4", inner), 501),
        (post("Content-Length: 4\r\nTransfer-Encoding: chunked", inner), 501),
        (post("Transfer-Encoding: xchunked", inner), 501),
        (post("Transfer-Encoding : chunked", inner), 400),
        (post("Transfer-Encoding:\x0bchunked", inner), 400),
        (post("X: y\nTransfer-Encoding: chunked", inner), 400),
        (post("X: y\r\n folded: chunked", inner), 400),
        (post("X: y\0z", inner), 400),
        (post("X : y", inner), 400),
        (post("Host: b", inner), 400),
        (post("Expect: everything", ""), 417),
        ("GET / HTTP/1.1\n\n".into(), 400),
        ("GET /\r\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".into(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".into(), 400),
        ("GET http://a/smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("TRACE /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        ("GET /smuggled HTTP/1.1\r\nHost: a".into(), 400),
    ]
    .into_iter()
    .map(|(text, status)| (text.into_bytes(), status))
    .collect()
}

#[test]
fn what_is_malformed_is_refused_in_words_and_nobody_works_on_it() {
    let target = Target::start(Setup { head_time: seconds(2), ..Setup::default() });
    let watch = Watch::start(&target);
    let cases = malformed();
    for (bytes, status) in &cases {
        // the client closes its side, or leaves it open and waits
        for closes in [true, false] {
            if !closes && bytes.ends_with(b"Host: a") {
                continue;
            }
            let reply = target.send(bytes, closes);
            assert_eq!(reply.status, *status, "{:?}: {}", String::from_utf8_lossy(bytes), reply.text);
            assert!(reply.head.contains("application/problem+json") && reply.head.contains("Connection: close"), "{}", reply.text);
            let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(problem["status"], *status, "{}", reply.text);
            assert!(reply.took < watch.pulse.allows(seconds(1)), "{:?}: {:?}", String::from_utf8_lossy(bytes), reply.took);
        }
    }
    assert!(!target.seen().contains("/smuggled"), "{}", target.seen());
    watch.end(&format!("{} malformed requests", 2 * cases.len()));
}

#[test]
fn strange_paths_arrive_as_they_are() {
    let target = Target::start(Setup::default());
    for path in ["//evil/x", "/..", "/../../etc/passwd", "/%00", "/%2e%2e/x", "/a;b?c=d&e", "/|\\^`{}"] {
        let reply = target.get(&format!("/echo{path}"));
        assert!(reply.status == 200 && reply.body.starts_with(&format!("GET /echo{path}\n")), "{path}: {}", reply.text);
    }
}

#[test]
fn a_second_request_on_a_connection_is_nobodys() {
    let target = Target::start(Setup::default());
    let reply = target.raw("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100).as_bytes());
    assert_eq!((reply.status, reply.text.matches("HTTP/1.1 ").count()), (200, 1), "{}", reply.text);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = target.raw(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc{hidden}").as_bytes());
    assert!(reply.status == 200 && reply.body.ends_with("\nabc"), "{}", reply.text);
    assert_eq!(target.seen().matches("/echo").count(), 2);
    assert!(!target.seen().contains("/smuggled"));
}

#[test]
fn nothing_of_a_client_pretends_to_be_the_gates() {
    let target = Target::start(Setup::default());
    let request = "GET /echo HTTP/1.1\r\nHost: a\r\nX-Gate-Peer: unix\r\nX-Gate-Id: 77\r\nx-gate-id: 77\r\nCookie: n=\u{e9}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let reply = target.raw(request.as_bytes());
    assert_eq!(reply.body.to_lowercase().matches("x-gate-peer: tcp\n").count(), 1, "{}", reply.text);
    assert!(!reply.body.contains(": 77") && !reply.body.contains("Upgrade") && reply.body.contains("Cookie: n=??\n"), "{}", reply.text);
    assert!(reply.body.contains("address 127.0.0.1"), "{}", reply.text);
    let reply = target.unix(request.as_bytes());
    assert!(reply.body.contains("X-Gate-Peer: unix\n") && reply.body.contains("address none"), "{}", reply.text);
}

#[test]
fn a_thousand_resets_are_harmless() {
    let target = Target::start(Setup::default());
    let watch = Watch::start(&target);
    let words: [&[u8]; 4] = [b"", b"GET /ec", b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"];
    for i in 0..1000 {
        let mut stream = target.connect();
        let _ = stream.write_all(words[i % words.len()]);
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    watch.end("1,000 resets");
    until("handlers to be free again", || (target.get("/working").body == "1").then_some(()));
}

#[test]
fn few_open_files_are_enough() {
    let target = Target::start(Setup { files: Some(64), ..Setup::default() });
    let watch = Watch::start(&target);
    let opened = slowloris(&target, seconds(3), b"G", seconds(1));
    watch.end(&format!("64 open files, {opened} connections opened"));
}

#[test]
fn it_comes_back_when_open_files_were_used_up_by_others() {
    let target = Target::start(Setup { files: Some(256), check_every: Duration::from_millis(200), tries: 100, ..Setup::default() });
    for keep in [0, 1, 2, 3, 4, 6] {
        // held for a second; what happens meanwhile is not promised, what happens after it is
        let reply = target.get(&format!("/leak?{keep}"));
        assert_eq!(reply.status, 200, "{}", reply.text);
        let (mut refused, end) = (0, Instant::now() + seconds(1));
        while Instant::now() < end {
            refused += u32::from(target.try_get("/ping").is_none_or(|r| r.status != 200));
        }
        let back = Instant::now();
        until("an answer after it", || target.try_get("/ping").filter(|r| r.status == 200));
        println!("all files but {keep} used up for 1 s: {refused} polite requests failed meanwhile, an answer {:?} after it", back.elapsed());
        until("the files", || (target.get("/leaked").body == "0").then_some(()));
    }
    until("the threads of the servers given up to end", || (target.threads() < 40).then_some(()));
    Watch::start(&target).end("after open files were used up");
}

#[test]
fn six_connections_of_a_browser_are_all_answered() {
    let target = Target::start(Setup::default());
    let (pulse, mut longest) = (Pulse::start(), Duration::ZERO);
    for _ in 0..20 {
        let begun = Instant::now();
        let mut six: Vec<_> = (0..6).map(|_| target.connect()).collect();
        for stream in &mut six {
            stream.write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap();
        }
        for stream in six {
            assert_eq!(target::reply(stream, begun).status, 200);
        }
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < pulse.allows(seconds(1)), "{longest:?}");
    println!("six connections at once, 20 times: all answered, the slowest round {longest:?}");
}

/// How long so many take when each waits for the one before: what this machine needs for the work itself.
fn one_after_the_other(target: &Target, count: usize, words: &[u8]) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        let mut stream = target.connect();
        stream.write_all(words).unwrap();
        assert_eq!(target::reply(stream, begun).status, 200);
    }
    let alone = begun.elapsed();
    assert!(alone < seconds(10), "{count} requests, one after the other: {alone:?}");
    alone
}

#[test]
fn a_hundred_requests_at_once_are_all_answered() {
    let target = Target::start(Setup::default());
    let words = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let alone = one_after_the_other(&target, 100, words);
    let (pulse, begun) = (Pulse::start(), Instant::now());
    let mut all: Vec<_> = (0..100).map(|_| target.connect()).collect();
    for stream in &mut all {
        stream.write_all(words).unwrap();
    }
    for stream in all {
        let reply = target::reply(stream, begun);
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(reply.took < pulse.allows(seconds(1).max(2 * alone)), "{:?}", reply.took);
    }
    println!("100 requests at once: answered within {:?}; {}", begun.elapsed(), target.vitals());
    let slow: Vec<_> = (0..30).map(|_| target.begin("/slow?4000")).collect();
    let busy = Instant::now();
    let reply = target.get("/ping");
    assert_eq!(reply.status, 503, "{}", reply.text);
    let took = busy.elapsed();
    assert!(reply.head.contains("Retry-After:") && took < pulse.allows(seconds(2)), "{took:?}: {}", reply.text);
    for stream in slow {
        assert!([200, 503].contains(&target::reply(stream, begun).status));
    }
}

#[test]
fn sixteen_streams_get_each_event_at_once_and_a_closed_one_is_free_at_once() {
    let target = Target::start(Setup::default());
    let mut streams: Vec<_> = (0..16).map(|_| target.stream()).collect();
    let seventeenth = target.get("/events");
    assert_eq!(seventeenth.status, 503, "{}", seventeenth.text);
    let (pulse, mut worst) = (Pulse::start(), Duration::ZERO);
    for n in 0..20 {
        let begun = Instant::now();
        let emit = target.begin(&format!("/emit?{n}"));
        for stream in &mut streams {
            target::expect(stream, &format!("data: {n}\n\n"));
            worst = worst.max(begun.elapsed());
        }
        target::reply(emit, begun);
    }
    assert!(worst < pulse.allows(Duration::from_millis(100)), "{worst:?}");
    Watch::start(&target).end(&format!("16 streams, an event reaches all within {worst:?}"));
    // closed, half-closed, reset: each is noticed without an event
    drop(streams.pop());
    streams.pop().unwrap().shutdown(std::net::Shutdown::Write).unwrap();
    rustix::net::sockopt::set_socket_linger(streams.pop().unwrap(), Some(Duration::ZERO)).unwrap();
    let begun = Instant::now();
    until("three streams to be free", || (target.get("/streams").body == "13").then_some(()));
    let took = begun.elapsed();
    println!("closed streams are free after {took:?}");
    assert!(took < pulse.allows(seconds(1)), "{took:?}");
    streams.extend((0..3).map(|_| target.stream()));
    // a page that is reloaded again and again
    for _ in 0..40 {
        drop(streams.pop());
        until("a place for a reloaded page", || target.try_stream().map(|s| streams.push(s)));
    }
}

#[test]
fn who_does_not_read_is_dropped() {
    let target = Target::start(Setup { unread_time: seconds(2), ..Setup::default() });
    let watch = Watch::start(&target);
    let unread: Vec<_> = (0..60).map(|_| target.begin("/big")).collect();
    until("the last handler to be free", || (target.get("/working").body == "1").then_some(()));
    watch.end("60 clients that never read 8 MB");
    drop(unread);
    // and who reads slowly, but reads, gets it all
    let mut slow = target.begin("/big");
    let (mut got, mut piece) = (0, vec![0; 300_000]);
    loop {
        match slow.read(&mut piece).unwrap() {
            0 => break,
            n => got += n,
        }
        std::thread::yield_now();
    }
    assert!(got > 8 << 20, "{got}");
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let target = Target::start(Setup::default());
    let reply = target.send(b"GET /slow?300 HTTP/1.0\r\n\r\n", true);
    assert_eq!((reply.status, reply.body.as_str()), (200, "slept"), "{}", reply.text);
}

#[test]
fn head_and_100_continue_are_done_right() {
    let target = Target::start(Setup::default());
    for (request, status) in [("HEAD /echo HTTP/1.1\r\nHost: a", 200), ("HEAD /raw HTTP/1.1\r\nHost: a", 200), ("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b", 400)] {
        let reply = target.raw(format!("{request}\r\n\r\n").as_bytes());
        assert!(reply.status == status && reply.body.is_empty() && reply.head.contains("Content-Length: "), "{}", reply.text);
    }
    let mut stream = target.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").unwrap();
    target::expect(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    let reply = target::reply(stream, Instant::now());
    assert!(reply.status == 200 && reply.body.ends_with("\nabc"), "{}", reply.text);
    let reply = target.raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(reply.status, 413, "the client hears no before it sends: {}", reply.text);
}

#[test]
fn a_body_may_have_64_kib_and_not_a_byte_more_and_must_arrive_in_time() {
    let target = Target::start(Setup { body_time: seconds(1), ..Setup::default() });
    for (length, status) in [(65536, 200), (65537, 413), (2_000_000, 413)] {
        let body = "x".repeat(length);
        let reply = target.raw(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        assert_eq!(reply.status, status, "{}", &reply.text[..200.min(reply.text.len())]);
        assert!(status != 200 || reply.body.ends_with(&format!("\n{body}")));
    }
    let mut slow = target.connect();
    slow.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").unwrap();
    let pulse = Pulse::start();
    let reply = target::reply(slow, Instant::now());
    assert!(reply.status == 408 && reply.took < pulse.allows(seconds(3)), "{} {:?}", reply.text, reply.took);
}

#[test]
fn who_is_refused_may_finish_its_sentence_and_reads_why() {
    let target = Target::start(Setup::default());
    let mut stream = target.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n").unwrap();
    target::expect(&mut stream, "HTTP/1.1 413 ");
    // a closed connection would answer the first of these with a reset, and some systems throw away what was not read yet then
    for _ in 0..20 {
        stream.write_all(&[b'x'; 10_000]).unwrap();
    }
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with('}'), "{rest}");
}

#[test]
fn rubbish_is_answered_or_closed_and_never_waited_for() {
    let target = Target::start(Setup { head_time: Duration::from_millis(300), body_time: Duration::from_millis(300), ..Setup::default() });
    let piece = prop_oneof![
        Just("GET /echo HTTP/1.1\r\nHost: a\r\n".to_owned().into_bytes()),
        Just(b"POST /echo HTTP/1.1\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(32..127u8, 0..60),
    ];
    let watch = Watch::start(&target);
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(pieces in proptest::collection::vec(piece, 0..6), closes in any::<bool>())| {
        let reply = target.send(&pieces.concat(), closes);
        prop_assert!(reply.took < watch.pulse.allows(seconds(3)), "{:?}", reply.took);
        prop_assert!(reply.text.is_empty() || (200..510).contains(&reply.status), "{}", reply.text);
    });
    watch.end("300 times rubbish");
}

#[test]
fn a_broken_inner_server_is_replaced_before_anybody_notices_much() {
    let target = Target::start(Setup::default());
    for _ in 0..3 {
        let stream = target.get("/break");
        assert_eq!(stream.body, "broken", "{}", stream.text);
        let (pulse, begun) = (Pulse::start(), Instant::now());
        let reply = target.get("/ping");
        assert_eq!(reply.status, 200, "{}", reply.text);
        println!("tiny_http's accept loop ended: next answer after {:?}", begun.elapsed());
        assert!(reply.took < pulse.allows(seconds(1)), "{:?}", reply.took);
    }
    // the old ones are gone, their threads too
    until("few threads", || (target.threads() < 25).then_some(()));
}

#[test]
fn handlers_that_hang_are_given_up_one_by_one_and_then_all_together() {
    let (check_every, answer_time) = (Duration::from_millis(100), Duration::from_millis(300));
    let target = Target::start(Setup { check_every, check_time: seconds(1), answer_time, requests: 3, ..Setup::default() });
    // three at a time, each for 0.3 s, until all threads that there are hang
    let begun = Instant::now();
    let hung: Vec<_> = (0..30).map(|_| target.begin("/slow?3600000")).collect();
    let all: Vec<_> = hung.into_iter().map(|s| target::reply(s, begun).status).collect();
    assert!(all.iter().all(|s| [503, 504].contains(s)) && all.contains(&504), "{all:?}");
    for _ in 0..10 {
        let _ = target::reply(target.begin("/slow?3600000"), begun);
    }
    until("an answer", || target.try_get("/ping").filter(|r| r.status == 200));
    println!("40 handlers that hang: an answer after {:?}", begun.elapsed());
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let target = Target::start(Setup { head_time: seconds(60), check_every: seconds(60), ..Setup::default() });
    let half = |mut stream: TcpStream, text: &str| {
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream
    };
    let slow = "GET /slow?60000 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut unix = std::os::unix::net::UnixStream::connect(target.runtime.join("api.sock")).unwrap();
    unix.write_all(slow.as_bytes()).unwrap();
    unix.shutdown(std::net::Shutdown::Write).unwrap();
    let mut more = target.begin("/slow?60000");
    more.write_all(&[b'x'; 5000]).unwrap();
    let unread = target.begin("/big");
    let _open = (target.connect(), target.stream(), half(target.connect(), slow), target.begin("/slow?60000"), unix, more, unread);
    until("all of them to be worked on", || (target.get("/working").body == "6").then_some(()));
    let nothing = || {
        let (begun, before) = (Instant::now(), target.ticks());
        std::thread::sleep(seconds(2));
        let used = target.ticks() - before;
        println!("nothing happened for {:?}: {used} ticks of 10 ms", begun.elapsed());
        used
    };
    // a slow machine may still be at work on what was asked of it before
    assert!((0..5).any(|_| nothing() <= 5), "it does not come to rest");
}

#[test]
fn an_api_that_cannot_be_helped_ends_with_an_error() {
    let mut target = Target::start(Setup { check_every: Duration::from_millis(100), ..Setup::default() });
    assert_eq!(target.get("/sicken").status, 200);
    let status = until("its end", || target.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(3));
}

#[test]
fn it_ends_at_once_and_leaves_nothing_behind() {
    let mut target = Target::start(Setup::default());
    let _open = (target.stream(), target.connect(), target.begin("/slow?3600000"));
    assert_eq!(std::fs::read_dir(&target.runtime).unwrap().count(), 1, "only the socket that we made");
    rustix::process::kill_process(rustix::process::Pid::from_child(&target.child), rustix::process::Signal::TERM).unwrap();
    let (pulse, begun) = (Pulse::start(), Instant::now());
    target.child.wait().unwrap();
    let took = begun.elapsed();
    assert!(took < pulse.allows(seconds(1)), "{took:?}");
}

#[test]
fn it_knows_how_long_nothing_was_asked_of_it() {
    use pikit_updater::api::gate::{Limits, Listener, serve};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (enter, entered) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let left = std::sync::Mutex::new(left);
    let handler = move |request: tiny_http::Request, caller: pikit_updater::api::caller::Caller| {
        if caller.address.is_some() {
            let _ = enter.send(());
            let _ = left.lock().unwrap().recv();
        }
        let _ = request.respond(tiny_http::Response::from_string("ok"));
    };
    let (beat, beats) = std::sync::mpsc::channel();
    let limits = Limits { check_every: Duration::from_millis(20), ..Limits::default() };
    let running = serve(vec![Listener::Tcp(listener)], limits, handler, move || {
        let _ = beat.send(());
    })
    .unwrap();
    // self-checks are no work
    (0..5).for_each(|_| beats.recv().unwrap());
    until("some idle time", || running.idle_for().filter(|t| *t > Duration::from_millis(100)));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    entered.recv().unwrap();
    assert_eq!((running.idle_for(), running.busy()), (None, 1));
    leave.send(()).unwrap();
    assert_eq!(target::reply(stream, Instant::now()).status, 200);
    until("it to be idle again", || running.idle_for());
    running.stop();
    running.wait().unwrap();
}

#[test]
fn the_program_itself_stands_it_all() {
    let (mut target, token) = Target::real(None);
    println!("at rest: {}", target.vitals());
    for (word, name) in [(b"".as_slice(), "silent"), (b"G", "dripping")] {
        let watch = Watch::start(&target);
        let opened = slowloris(&target, seconds(3), word, seconds(1));
        watch.end(&format!("serve, 1,000 {name} connections, {opened} opened"));
    }
    let watch = Watch::start(&target);
    let open = format!("GET /api/update/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    let words = ["", "GET /pi", "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &open];
    for i in 0..1000 {
        let mut stream = target.connect();
        let _ = stream.write_all(words[i % words.len()].as_bytes());
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    watch.end("serve, 1,000 resets");

    let watch = Watch::start(&target);
    let cases = malformed();
    for (bytes, status) in &cases {
        let reply = target.send(bytes, bytes.ends_with(b"Host: a"));
        assert_eq!(reply.status, *status, "{:?}: {}", String::from_utf8_lossy(bytes), reply.text);
        assert!(reply.took < watch.pulse.allows(seconds(1)), "{:?}", reply.took);
    }
    watch.end(&format!("serve, {} bombs, lies and smuggled requests", cases.len()));
    let reply = target.raw("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100).as_bytes());
    assert_eq!((reply.status, reply.text.matches("HTTP/1.1 ").count()), (200, 1), "{}", reply.text);

    let page = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
    let status = format!("GET /api/update/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    for (count, words) in [(6, page), (100, page), (100, &status)] {
        let alone = one_after_the_other(&target, count, words.as_bytes());
        let (pulse, begun) = (Pulse::start(), Instant::now());
        let mut all: Vec<_> = (0..count).map(|_| target.connect()).collect();
        for stream in &mut all {
            stream.write_all(words.as_bytes()).unwrap();
        }
        let replies: Vec<_> = all.into_iter().map(|stream| target::reply(stream, begun)).collect();
        assert!(replies.iter().all(|r| r.status == 200), "{:?}", replies.iter().find(|r| r.status != 200));
        let took = begun.elapsed();
        println!("serve, {count} at once: all answered within {took:?}; {}", target.vitals());
        assert!(took < pulse.allows(seconds(1).max(2 * alone)), "{took:?}");
    }

    let watch = Watch::start(&target);
    let end = Instant::now() + seconds(2);
    let guesses: u32 = std::thread::scope(|scope| {
        let guess = || {
            let mut n = 0;
            while Instant::now() < end {
                let body = "{\"token\":\"abcdefghijkmnpqrstuvwxyz23456789\"}";
                let head =
                    format!("POST /api/update/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
                let reply = target.raw((head + body).as_bytes());
                assert!([401, 429].contains(&reply.status), "{}", reply.text);
                n += 1;
            }
            n
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(guess)).collect();
        all.into_iter().map(|t| t.join().unwrap()).sum()
    });
    watch.end(&format!("serve, {guesses} wrong tokens"));
    println!("after all of it: {}", target.vitals());
    assert!(target.child.try_wait().unwrap().is_none(), "it lives");

    let (few, _) = Target::real(Some(64));
    let watch = Watch::start(&few);
    let opened = slowloris(&few, seconds(2), b"G", seconds(1));
    watch.end(&format!("serve with 64 open files, {opened} connections opened"));
}
