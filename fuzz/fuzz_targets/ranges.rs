//! A server by anybody. Its words about ranges, sizes, pauses and addresses are judged one by one, and then it is downloaded from:
//! nothing it says makes a download that is neither whole nor an error, and an honest server on a bad line gives the file it has.
#![no_main]

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;
use pikit_updater::source::Span;
use pikit_updater::source::fuzzing::{Client, join, pause, place};
use pikit_updater::world::Clock;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

const BASE: &str = "http://127.0.0.1/";
const AT: &str = "http://127.0.0.1/pikit.tar.gz";

/// Words, in lines: a server's, and what was asked for.
struct Words<'a> {
    status: u16,
    from: u64,
    length: Option<u64>,
    range: &'a str,
    retry: &'a str,
    date: &'a str,
    location: &'a str,
}

/// What may go wrong with one answer.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Fault {
    None,
    /// The line breaks after so many bytes of the body.
    Cut(u8),
    /// The whole file though a part was asked for.
    Whole,
    /// A part that ends early, and says so.
    Short(u8),
    /// Not now.
    Busy,
    /// In chunks, so without a length.
    Chunked,
    /// Another name for the same bytes.
    NoTag,
}

/// Ends an answer of the liar's.
const END: u8 = 0xff;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 3 {
        0 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            let mut lines = text.split('\n');
            let mut next = || lines.next().unwrap_or_default();
            let (status, from, length) = (next(), next(), next());
            judge(&Words {
                status: status.parse().unwrap_or(206),
                from: from.parse().unwrap_or(0),
                length: length.parse().ok(),
                range: next(),
                retry: next(),
                date: next(),
                location: next(),
            });
        }
        1 => {
            let [from, size, known, answers @ ..] = rest else { return };
            let validator = [None, Some("\"one\""), Some("Sat, 21 Nov 2026 10:00:30 GMT")][usize::from(known / 2 % 3)];
            lie(u64::from(*from), (known % 2 == 1).then_some(u64::from(*size)), validator, answers);
        }
        _ => {
            let [from, size, known, faults @ ..] = rest else { return };
            let faults = Vec::<Fault>::arbitrary_take_rest(Unstructured::new(faults)).unwrap_or_default();
            serve(u64::from(*from), *size, known % 2 == 1, faults);
        }
    }
});

/// Each connection is answered with the next of these answers, whatever was asked; then there is nobody.
fn lie(from: u64, size: Option<u64>, validator: Option<&str>, answers: &[u8]) {
    let answers: Vec<Vec<u8>> = answers.split(|b| *b == END).map(<[u8]>::to_vec).collect();
    let client = connect(move |n, _| answers.get(n).cloned());
    if let Ok(mut body) = client.open(AT, Span::Rest { from, validator }, size) {
        assert!(body.start == from || body.start == 0);
        assert!(body.total.is_none() || size.is_none() || body.total == size);
        let mut got = Vec::new();
        let read = body.reader.read_to_end(&mut got);
        let end = body.start + got.len() as u64;
        assert!(body.total.is_none_or(|total| end <= total.max(body.start)), "more was handed out than there is");
        assert!(read.is_err() || body.total.is_none_or(|total| end == total), "it ended early, and nobody said so");
    }
    // a run of blocks, counted from the end: never more than that, unless all of it comes
    if let Ok(mut body) = client.open(AT, Span::Run { before_end: from, length: from / 2 + 1 }, size) {
        let mut got = Vec::new();
        let read = body.reader.read_to_end(&mut got);
        let most = from / 2 + 1;
        assert!(!body.cut || got.len() as u64 <= most, "more than the run was handed out");
        assert!(!body.cut || read.is_err() || got.len() as u64 == most, "the run ended early, and nobody said so");
    }
    // several parts: as many bytes as were asked for, or an error
    if let Ok(mut body) = client.parts(AT, vec![from..from + 3, from + 9..from + 10], size) {
        let mut got = Vec::new();
        let read = body.reader.read_to_end(&mut got);
        assert!(got.len() <= 4 && (read.is_err() || got.len() == 4), "other bytes came than were asked for");
    }
    if let Ok(Some(small)) = client.fetch(AT, 100) {
        assert!(small.len() <= 100);
    }
    let asked = LINE.lock().asked;
    assert!(asked < 200, "{asked} requests: it does not give up");
}

/// Each connection is answered by the rules, but for one fault.
fn serve(from: u64, size: u8, knows_size: bool, faults: Vec<Fault>) {
    let file: Vec<u8> = (0..size).collect();
    let (served, known) = (file.clone(), knows_size.then_some(file.len() as u64));
    let client = connect(move |n, request| Some(answer(&served, request, faults.get(n).copied().unwrap_or(Fault::None))));
    let Ok(mut body) = client.open(AT, Span::Rest { from, validator: Some("\"one\"") }, known) else { return };
    let mut got = Vec::new();
    if body.reader.read_to_end(&mut got).is_ok() {
        assert_eq!(got, file[(body.start as usize).min(file.len())..], "the bytes are not those of the file");
    }
    drop(body);
    let before_end = from.clamp(1, file.len().max(1) as u64);
    let length = before_end.div_ceil(2);
    let Ok(mut body) = client.open(AT, Span::Run { before_end, length }, known) else { return };
    let (start, mut got) = (body.start as usize, Vec::new());
    if body.reader.read_to_end(&mut got).is_ok() && start <= file.len() {
        let end = if body.cut { start + length as usize } else { file.len() };
        assert_eq!(got, file[start..end], "the bytes are not those of the run");
    }
}

fn judge(words: &Words<'_>) {
    let Words { status, range, length, from, .. } = *words;
    match place(status, Some(range), length, from, None) {
        ("here", total) => {
            assert_eq!(status, 206);
            assert!(total.is_some_and(|total| total > from), "a part of a file of {total:?} bytes from {from} on");
            assert!(length.is_none_or(|n| n > 0 && total == from.checked_add(n)));
        }
        ("whole", total) => assert!(status == 200 && total == length),
        ("end", _) => assert_eq!(status, 416),
        _ => {}
    }
    let wait = pause(words.from as u32, words.retry, Some(words.date), DateTime::UNIX_EPOCH);
    assert!((Duration::from_millis(500)..=Duration::from_secs(60)).contains(&wait), "{wait:?} is no pause");
    for base in ["https://git.example.org:8443/a/b?c=d", "http://[::1]/x"] {
        if let Some((https, host, full, ours)) = join(base, words.location) {
            assert!(full.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "{full:?} would not fit into a request line");
            assert!(full.starts_with(if https { "https://" } else { "http://" }));
            // whoever reads the URL again is led to the same host, and the token goes home only
            let uri: Uri = full.parse().expect("it is a URL");
            assert_eq!(uri.host().map(str::to_ascii_lowercase), Some(host.clone()));
            assert!(!ours || base.contains(&format!("://{host}")));
        }
    }
}

/// A server that does what RFC 9110 says, but for the fault.
fn answer(file: &[u8], request: &str, fault: Fault) -> Vec<u8> {
    let header =
        |name: &str| request.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()));
    let number = |text: &str| text.parse::<usize>().ok();
    let asked = header("range").and_then(|r| match r.strip_prefix("bytes=")?.split_once('-')? {
        ("", count) => Some((file.len().saturating_sub(number(count)?), file.len())),
        (from, "") => Some((number(from)?, file.len())),
        (from, last) => Some((number(from)?, file.len().min(number(last)? + 1))),
    });
    let asked = asked.filter(|_| !matches!(fault, Fault::Whole) && header("if-range").is_none_or(|tag| tag == "\"one\""));
    let tag = if matches!(fault, Fault::NoTag) { "" } else { "ETag: \"one\"\r\n" };
    let (head, mut body) = match (fault, asked) {
        (Fault::Busy, _) => return b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n".to_vec(),
        (_, Some((from, _))) if from >= file.len() => (format!("HTTP/1.1 416 No\r\nContent-Range: bytes */{}\r\n{tag}", file.len()), Vec::new()),
        (_, Some((from, end))) => {
            let cut = if let Fault::Short(n) = fault { usize::from(n) } else { 0 };
            let end = end.saturating_sub(cut).max(from + 1);
            (format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {from}-{}/{}\r\n{tag}", end - 1, file.len()), file[from..end].to_vec())
        }
        (_, None) => (format!("HTTP/1.1 200 OK\r\n{tag}"), file.to_vec()),
    };
    if matches!(fault, Fault::Chunked) {
        let mut chunked: Vec<u8> = body.chunks(7).flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat()).collect();
        chunked.extend_from_slice(b"0\r\n\r\n");
        return [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunked].concat();
    }
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    if let Fault::Cut(n) = fault {
        body.truncate(n.into());
    }
    [head.as_bytes(), &body].concat()
}

/// The client, for whom these answers lie ready.
fn connect(answers: impl FnMut(usize, &str) -> Option<Vec<u8>> + Send + 'static) -> &'static Client<'static> {
    thread_local! {
        static CLIENT: &'static Client<'static> =
            Box::leak(Box::new(Client::new(BASE, &CLOCK, &LINE, Nowhere).expect("nothing can be wrong with it")));
    }
    *LINE.lock() = Answers { asked: 0, next: Box::new(answers) };
    CLIENT.with(|client| {
        client.forget();
        *client
    })
}

static CLOCK: Still = Still(AtomicU64::new(0));

/// No time passes but in sleep, which takes none.
struct Still(AtomicU64);

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn sleep(&self, time: Duration) -> bool {
        assert!(time <= Duration::from_secs(60), "{time:?} is too long to wait");
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
        false
    }
    fn stops(&self) -> u32 {
        0
    }
    fn boot_id(&self) -> String {
        String::new()
    }
    fn new_id(&self) -> String {
        "0".repeat(26)
    }
}

/// What is answered to the next connection, by its number and its request.
struct Answers {
    asked: usize,
    next: Box<dyn FnMut(usize, &str) -> Option<Vec<u8>> + Send>,
}

/// Connections that live in memory. A thread that was left alone by its reader may still ask while the next input is under way; what it
/// is told reaches nobody. No request is made by such a thread: it makes one, and then only reads.
#[derive(Debug)]
struct Line(LazyLock<Mutex<Answers>>);

static LINE: Line = Line(LazyLock::new(|| Mutex::new(Answers { asked: 0, next: Box::new(|_, _| None) })));

impl Line {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answers({})", self.asked)
    }
}

impl Connector for &'static Line {
    type Out = Wire;
    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Wire { buffers, request: Vec::new(), answer: None, given: 0 }))
    }
}

#[derive(Debug)]
struct Wire {
    buffers: LazyBuffers,
    request: Vec<u8>,
    answer: Option<Vec<u8>>,
    given: usize,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }
    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.request.extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }
    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        if self.answer.is_none() {
            let mut line = LINE.lock();
            let n = line.asked;
            line.asked += 1;
            let request = String::from_utf8_lossy(&self.request).into_owned();
            let answer = (line.next)(n, &request);
            self.answer = Some(answer.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?);
        }
        let answer = self.answer.as_deref().unwrap_or_default();
        let into = self.buffers.input_append_buf();
        let n = into.len().min(answer.len() - self.given);
        into[..n].copy_from_slice(&answer[self.given..self.given + n]);
        self.buffers.input_appended(n);
        self.given += n;
        Ok(n > 0)
    }
    fn is_open(&mut self) -> bool {
        false
    }
}

/// Every name is one address; nobody is asked.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut all = self.empty();
        all.push(([127, 0, 0, 1], 80).into());
        Ok(all)
    }
}
