//! What is attacked, how it is asked politely meanwhile, and how it is measured.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pikit_updater::api::caller::Caller;
use pikit_updater::api::gate::{self, Limits, Listener};
use tiny_http::{Header, Request, Response};

use crate::pulse::Pulse;

/// The longest wait for a byte, or for anything. It costs nothing where things work.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a test changes.
#[derive(Debug, Clone)]
pub struct Setup {
    pub head_time: Duration,
    pub body_time: Duration,
    pub unread_time: Duration,
    pub answer_time: Duration,
    pub check_every: Duration,
    pub check_time: Duration,
    pub requests: usize,
    pub tries: usize,
    /// Most open files of the process.
    pub files: Option<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        let l = Limits::default();
        let Limits { head_time, body_time, unread_time, answer_time, check_every, check_time, requests, tries, .. } = l;
        Setup { head_time, body_time, unread_time, answer_time, check_every, check_time, requests, tries, files: None }
    }
}

impl Setup {
    fn to_text(&self) -> String {
        let ms = |d: Duration| d.as_millis();
        let times = [self.head_time, self.body_time, self.unread_time, self.answer_time, self.check_every, self.check_time].map(ms);
        format!("{times:?},{},{},{}", self.requests, self.tries, self.files.unwrap_or(0)).replace(['[', ']', ' '], "")
    }
    fn from_text(text: &str) -> (Limits, u64) {
        let n: Vec<u64> = text.split(',').map(|n| n.parse().unwrap()).collect();
        let [head_time, body_time, unread_time, answer_time, check_every, check_time] = std::array::from_fn(|i| Duration::from_millis(n[i]));
        let (requests, tries) = (n[6] as usize, n[7] as usize);
        (Limits { head_time, body_time, unread_time, answer_time, check_every, check_time, requests, tries, ..Limits::default() }, n[8])
    }
}

/// A running API.
pub struct Target {
    pub child: Child,
    pub address: SocketAddr,
    pub runtime: PathBuf,
    /// What it may take at most, kB.
    pub memory: u64,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// 0: none.
    pub status: u16,
    pub head: String,
    pub body: String,
    pub text: String,
    pub took: Duration,
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The attacker needs more open files than the attacked.
pub fn many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

/// Reads an answer to its end.
pub fn reply(mut stream: impl Read, begun: Instant) -> Reply {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned(), took: begun.elapsed(), text: text.clone() }
}

/// Reads exactly this.
pub fn expect(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

impl Target {
    /// Starts it; everything that is attacked is started here.
    pub fn start(setup: Setup) -> Target {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let runtime = std::env::temp_dir().join(format!("pikit-hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&runtime).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_when_asked_to", "--nocapture"])
            .env("PIKIT_TEST_GATE", setup.to_text())
            .env("RUNTIME_DIRECTORY", &runtime)
            // a backtrace costs more memory than everything that is measured here
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let address = lines.find_map(|l| l.unwrap().strip_prefix("alive at ").map(|a| a.parse().unwrap())).expect("the target starts");
        // the rest of what it says is read, so that it is not stuck
        std::thread::spawn(move || lines.for_each(drop));
        Target { child, address, runtime, memory: 10 << 10 }
    }

    /// The program as people have it, on a board in a folder, with at most so many open files; and its token.
    pub fn real(files: Option<u64>) -> (Target, String) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let root = std::env::temp_dir().join(format!("pikit-hostile-real-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(root.join("etc/pikit")).unwrap();
        let config = "product = \"pikit\"\n[source]\ndir = \"/src\"\n[trust]\nrequired = false\n[[managed]]\nfrom = \"web/\"\nto = \"/srv/web/\"\n\
                      [[health]]\nrun = [\"/bin/true\"]\n[api]\nlisten = \"127.0.0.1:0\"\n";
        std::fs::write(root.join("etc/pikit/updater.toml"), config).unwrap();
        let limit = files.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" --root \"$1\" serve"), env!("CARGO_BIN_EXE_pikit-updater"), root.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap())).map_while(Result::ok);
        let address = lines.find_map(|l| l.strip_prefix("listening on http://").map(|a| a.parse().unwrap())).expect("serve listens");
        std::thread::spawn(move || lines.for_each(drop));
        let token = std::fs::read_to_string(root.join("etc/pikit/api-token")).unwrap().trim().to_owned();
        // built with everything for finding faults, it is 5 MB larger than the one people have
        (Target { child, address, runtime: root, memory: 16 << 10 }, token)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
    /// Sends bytes; the client closes its side then, or waits.
    pub fn send(&self, bytes: &[u8], closes: bool) -> Reply {
        let begun = Instant::now();
        let mut stream = self.connect();
        // refused in the middle of it: the answer is there all the same
        let _ = stream.write_all(bytes);
        if closes {
            let _ = stream.shutdown(Shutdown::Write);
        }
        reply(stream, begun)
    }
    pub fn raw(&self, bytes: &[u8]) -> Reply {
        self.send(bytes, false)
    }
    /// The same over the unix socket.
    pub fn unix(&self, bytes: &[u8]) -> Reply {
        let begun = Instant::now();
        let mut stream = UnixStream::connect(self.runtime.join("api.sock")).unwrap();
        stream.write_all(bytes).unwrap();
        reply(stream, begun)
    }
    /// Asks, and does not wait.
    pub fn begin(&self, path: &str) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    }
    pub fn get(&self, path: &str) -> Reply {
        let begun = Instant::now();
        reply(self.begin(path), begun)
    }
    /// The same, where it may fail.
    pub fn try_get(&self, path: &str) -> Option<Reply> {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        Some(reply(stream, begun))
    }
    /// An open stream, its greeting read.
    pub fn stream(&self) -> TcpStream {
        self.try_stream().unwrap()
    }
    pub fn try_stream(&self) -> Option<TcpStream> {
        let mut stream = self.begin("/events");
        let mut got = Vec::new();
        let mut byte = [0];
        while !got.ends_with(b"retry: 3000\n\n") {
            if stream.read(&mut byte).unwrap() == 0 {
                return None;
            }
            got.push(byte[0]);
        }
        assert!(got.starts_with(b"HTTP/1.1 200 "));
        Some(stream)
    }
    /// Targets that were worked on.
    pub fn seen(&self) -> String {
        self.get("/seen").body
    }
    fn proc(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }
    pub fn threads(&self) -> u64 {
        self.proc("Threads")
    }
    /// Time on a processor.
    pub fn ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
        after_name[11].parse::<u64>().unwrap() + after_name[12].parse::<u64>().unwrap()
    }
    pub fn vitals(&self) -> String {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count();
        format!("{} threads, {} kB RSS (highest {}), {fds} files", self.threads(), self.proc("VmRSS"), self.proc("VmHWM"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.runtime);
    }
}

/// A polite client who asks all the time, and what becomes of the process meanwhile.
pub struct Watch {
    pub pulse: Pulse,
    memory: u64,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Seen>,
}

#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    threads: u64,
    fds: usize,
    rss: u64,
    wrong: Vec<String>,
    /// Asked a second time.
    again: usize,
}

impl Watch {
    pub fn start(target: &Target) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address, pid) = (stop.clone(), target.address, target.child.id());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            // enough to be worth a word, whatever the attack takes
            while !stopped.load(Ordering::Relaxed) || seen.times.len() < 20 {
                let begun = Instant::now();
                let ask = || {
                    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nUser-Agent: polite\r\n\r\n")?;
                    std::io::Result::Ok(reply(stream, begun))
                };
                // whom the scheduler holds up between connect and write may have given way meanwhile: asked again, it must be answered
                let mut asked = ask();
                if asked.as_ref().map_or(true, |r| r.status == 408 || r.text.contains("too many unfinished requests")) {
                    seen.again += 1;
                    asked = ask();
                }
                match asked {
                    Ok(reply) if reply.status == 200 => {}
                    Ok(reply) => seen.wrong.push(reply.text),
                    Err(e) => seen.wrong.push(e.to_string()),
                }
                seen.times.push(begun.elapsed());
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let of = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
                seen.threads = seen.threads.max(of("Threads:"));
                seen.rss = seen.rss.max(of("VmHWM:"));
                seen.fds = seen.fds.max(std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count));
            }
            seen
        });
        Watch { pulse: Pulse::start(), memory: target.memory, stop, thread }
    }

    /// Looks at what was seen.
    pub fn end(self, attack: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = self.thread.join().unwrap();
        seen.times.sort();
        let (middle, worst) = (seen.times[seen.times.len() / 2], *seen.times.last().unwrap());
        println!(
            "{attack}: {} polite requests ({} asked twice), median {middle:?}, slowest {worst:?}; {} threads, {} kB, {} files at most",
            seen.times.len(),
            seen.again,
            seen.threads,
            seen.rss,
            seen.fds
        );
        assert!(seen.wrong.is_empty(), "{attack}: {} polite requests failed: {:?}", seen.wrong.len(), seen.wrong.first());
        // of few, one or two may always be held up
        assert!(seen.again * 50 <= seen.times.len().max(100), "{attack}: {} had to ask twice", seen.again);
        assert!(worst < self.pulse.allows(Duration::from_secs(1)), "{attack}: a polite client waited {worst:?}");
        assert!(seen.threads > 0 && seen.threads < 80, "{attack}: {} threads", seen.threads);
        assert!(seen.rss < self.memory, "{attack}: {} kB", seen.rss);
    }
}

/// The attacked process: a few routes, each good for one attack.
pub fn serve() {
    let Ok(setup) = std::env::var("PIKIT_TEST_GATE") else { return };
    let (limits, files) = Setup::from_text(&setup);
    if files > 0 {
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        (limit.current, limit.maximum) = (Some(files), Some(files));
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(PathBuf::from(std::env::var("RUNTIME_DIRECTORY").unwrap()).join("api.sock")).unwrap();
    let routes = Arc::new(Routes::default());
    let handler = move |request: Request, caller: Caller| {
        routes.working.fetch_add(1, Ordering::SeqCst);
        routes.handle(request, &caller);
        routes.working.fetch_sub(1, Ordering::SeqCst);
    };
    let running = gate::serve(vec![Listener::Tcp(tcp), Listener::Unix(unix)], limits, handler, move || println!("\nalive at {address}")).unwrap();
    // ends with its parent, too
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    if let Err(e) = running.wait() {
        eprintln!("{e}");
        std::process::exit(3);
    }
}

#[derive(Default)]
struct Routes {
    seen: Mutex<Vec<String>>,
    streams: Arc<Mutex<HashMap<u64, Box<dyn Write + Send>>>>,
    next: AtomicU64,
    working: AtomicUsize,
    leaked: Arc<AtomicUsize>,
    sick: AtomicBool,
}

impl Routes {
    fn handle(self: &Arc<Self>, mut request: Request, caller: &Caller) {
        let url = request.url().to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let number = || query.parse::<u64>().unwrap();
        if path != "/ping" {
            self.seen.lock().unwrap().push(url.clone());
        }
        let text = match path {
            "/ping" if self.sick.load(Ordering::SeqCst) => return drop(request),
            "/ping" => r#"{"status":"ok"}"#.to_owned(),
            "/sicken" => {
                self.sick.store(true, Ordering::SeqCst);
                "sick".into()
            }
            "/seen" => self.seen.lock().unwrap().join("\n"),
            "/working" => self.working.load(Ordering::SeqCst).to_string(),
            "/streams" => self.streams.lock().unwrap().len().to_string(),
            "/slow" => {
                std::thread::sleep(Duration::from_millis(number()));
                "slept".into()
            }
            "/big" => {
                let body = std::io::repeat(b'x').take(8 << 20);
                let _ = request.respond(Response::new(200.into(), vec![], body, Some(8 << 20), None).with_chunked_threshold(usize::MAX));
                return;
            }
            // a handler that writes a body to HEAD, and says to keep the connection
            "/raw" => {
                let _ = request.into_writer().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi");
                return;
            }
            "/events" => return self.open(request, caller),
            "/emit" => {
                for stream in self.streams.lock().unwrap().values_mut() {
                    let _ = write!(stream, "data: {query}\n\n").and_then(|()| stream.flush());
                }
                "sent".into()
            }
            "/leak" => {
                self.leak(number());
                "leaked".into()
            }
            "/leaked" => self.leaked.load(Ordering::SeqCst).to_string(),
            "/break" => break_listener(),
            _ => echo(&mut request, caller),
        };
        let _ = request.respond(Response::from_string(text).with_chunked_threshold(usize::MAX));
    }

    fn open(&self, request: Request, caller: &Caller) {
        let mut streams = self.streams.lock().unwrap();
        if streams.len() >= 16 {
            let retry = Header::from_bytes("Retry-After", "3").unwrap();
            let _ = request.respond(Response::empty(503).with_header(retry));
            return;
        }
        let mut writer = request.into_writer();
        let greeting = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 3000\n\n";
        let _ = writer.write_all(greeting.as_bytes()).and_then(|()| writer.flush());
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        streams.insert(id, writer);
        drop(streams);
        let all = self.streams.clone();
        caller.gone.then(move || drop(all.lock().unwrap().remove(&id)));
    }

    /// Uses up all open files but so many, for a second, a moment after this answer.
    fn leak(&self, keep: u64) {
        let leaked = self.leaked.clone();
        leaked.store(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let mut held = Vec::new();
            let end = Instant::now() + Duration::from_millis(900);
            while Instant::now() < end {
                // again and again: what others close is to be used up, too
                held.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                held.truncate(held.len().saturating_sub(keep as usize));
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(held);
            leaked.store(0, Ordering::SeqCst);
        });
    }
}

fn echo(request: &mut Request, caller: &Caller) -> String {
    let mut text = format!("{} {}\n", request.method(), request.url());
    for header in request.headers() {
        text += &format!("{header}\n");
    }
    text += &format!("address {}\n", caller.address.map_or("none".into(), |a| a.to_string()));
    let _ = request.as_reader().read_to_string(&mut text);
    text
}

/// Shuts the listener of tiny_http from behind: its accept loop ends, as it does on any error of accept.
fn break_listener() -> String {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let table = std::fs::read_to_string("/proc/self/net/unix").unwrap();
    // flags 00010000: it listens
    let listening: Vec<&str> =
        table.lines().filter(|l| l.contains(" 00010000 ") && l.contains("/proc/self/fd/")).map(|l| l.split_whitespace().nth(6).unwrap()).collect();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let link = std::fs::read_link(entry.path()).map(|l| l.display().to_string()).unwrap_or_default();
        if !listening.iter().any(|inode| link == format!("socket:[{inode}]")) {
            continue;
        }
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{name}")).unwrap();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap().trim();
        // ours does not block, tiny_http's does
        if u32::from_str_radix(flags, 8).unwrap() & 0o4000 == 0 {
            let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
            let listener = pidfd_getfd(me, name.parse().unwrap(), PidfdGetfdFlags::empty()).unwrap();
            rustix::net::shutdown(listener, rustix::net::Shutdown::Both).unwrap();
            return "broken".into();
        }
    }
    format!("not found among {listening:?}")
}
