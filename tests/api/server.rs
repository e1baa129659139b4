//! The real `serve` on a board in a folder, and whoever asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::board::Board;
use crate::support::wait::until;

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `serve`.
pub struct Server {
    pub child: Child,
    pub door: Door,
    pub token: String,
    said: Arc<Mutex<String>>,
}

/// The way to a server.
#[derive(Debug, Clone)]
pub enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub took: Duration,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.head, self.body))
    }
    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
    /// The problem that it must be: this status, told in the way of RFC 9457, with an exit code.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!((self.status, self.header("Content-Type")), (status, Some("application/problem+json")), "{}\n{}", self.head, self.body);
        let problem = self.json();
        assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)), "{problem}");
        assert!(problem["title"].is_string() && !problem["detail"].as_str().unwrap().is_empty() && problem["code"].is_u64(), "{problem}");
        problem
    }
}

pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()))
}

impl Door {
    /// Sends these bytes.
    pub fn send(&self, bytes: &[u8]) -> std::io::Result<Box<dyn Read + Send>> {
        match self {
            Door::Tcp(address) => {
                let mut stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(bytes)?;
                Ok(Box::new(stream))
            }
            Door::Unix(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(bytes)?;
                Ok(Box::new(stream))
            }
        }
    }
    /// Asks with these headers (`Host` is added if there is none) and this body.
    pub fn try_ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<Answer> {
        let begun = Instant::now();
        let mut text = Vec::new();
        self.send(&request(method, path, headers, body))?.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body = if header(head, "Transfer-Encoding").is_some() { unchunked(body.as_bytes()) } else { body.to_owned() };
        Ok(Answer { status, head: head.to_owned(), body, took: begun.elapsed() })
    }
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_ask(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }
    /// Opens the stream of events.
    pub fn try_listen(&self, headers: &[(&str, &str)]) -> std::io::Result<Stream> {
        let mut reader = BufReader::new(self.send(&request("GET", "/api/update/events", headers, ""))?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let chunked = header(&head, "Transfer-Encoding").is_some();
        let reader: Box<dyn BufRead + Send> = if chunked { Box::new(BufReader::new(Chunks { inner: reader, left: 0 })) } else { Box::new(reader) };
        Ok(Stream { reader, status: head[9..12].parse().unwrap(), head, heartbeats: 0, retry: None })
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !has("Host") {
        text += "Host: localhost\r\n";
    }
    if !body.is_empty() && !has("Content-Type") {
        text += "Content-Type: application/json\r\n";
    }
    if method == "POST" {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "Connection: close\r\n\r\n" + body).into_bytes()
}

fn unchunked(body: &[u8]) -> String {
    let mut text = String::new();
    Chunks { inner: BufReader::new(body), left: 0 }.read_to_string(&mut text).unwrap();
    text
}

/// A body in chunks, as a proxy may send it.
struct Chunks<R> {
    inner: BufReader<R>,
    left: usize,
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            while line.trim().is_empty() {
                line.clear();
                if self.inner.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            self.left = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let room = into.len().min(self.left);
        let n = self.inner.read(&mut into[..room])?;
        self.left -= n;
        Ok(n)
    }
}

/// An event, and when it came.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
    pub came: Instant,
}

/// An open stream.
pub struct Stream {
    reader: Box<dyn BufRead + Send>,
    pub status: u16,
    pub head: String,
    pub heartbeats: u32,
    pub retry: Option<u32>,
}

impl Stream {
    /// The next event, heartbeats aside; none: the stream has ended.
    pub fn next(&mut self) -> Option<Event> {
        let (mut id, mut name, mut data) = (String::new(), String::new(), None);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("", _)) => self.heartbeats += 1,
                Some(("retry", ms)) => self.retry = ms.trim().parse().ok(),
                Some(("id", text)) => id = text.trim().to_owned(),
                Some(("event", text)) => name = text.trim().to_owned(),
                Some(("data", text)) => data = Some(serde_json::from_str(text.trim()).unwrap()),
                Some(_) => panic!("no field of an event: {line}"),
                None => {
                    if let Some(data) = data.take() {
                        return Some(Event { id, name, data, came: Instant::now() });
                    }
                }
            }
        }
    }
    /// All up to the first that is it.
    pub fn until(&mut self, what: &str, is: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before {what}: {seen:?}"));
            seen.push(event.clone());
            if is(&event) {
                return seen;
            }
        }
    }
    /// Waits for a heartbeat.
    pub fn heartbeat(&mut self) -> bool {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            if line.starts_with(':') {
                return true;
            }
        }
    }
}

impl Server {
    /// Starts one on a free port.
    pub fn start(board: &Board) -> Server {
        Server::with(board, &[])
    }
    /// The same with more words.
    pub fn with(board: &Board, words: &[&str]) -> Server {
        let config = board.text("etc/pikit/updater.toml");
        if !config.contains("[api]") {
            board.write("etc/pikit/updater.toml", config + "\n[api]\nlisten = \"127.0.0.1:0\"\n");
        }
        Server::run(board, board.command(&[&["serve"], words].concat()))
    }
    /// On the unix socket that units and proxies use.
    pub fn unix(board: &Board) -> Server {
        std::fs::create_dir_all(board.path("run/pikit-update")).unwrap();
        let config = board.text("etc/pikit/updater.toml");
        if !config.contains("[api]") {
            board.write("etc/pikit/updater.toml", config + "\n[api]\nlisten = \"unix:/run/pikit-update/api.sock\"\n");
        }
        Server::run(board, board.command(&["serve"]))
    }
    fn run(board: &Board, mut command: Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (hears, stderr) = (said.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(place) = line.strip_prefix("listening on ") {
                    let _ = ready.send(place.to_owned());
                }
                *hears.lock().unwrap() += &(line + "\n");
            }
        });
        let place = is_ready.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("serve does not listen: {}", said.lock().unwrap()));
        let door = match place.strip_prefix("http://") {
            Some(address) => Door::Tcp(address.parse().unwrap()),
            None => Door::Unix(place.strip_prefix("unix:").unwrap().into()),
        };
        let token = board.text("etc/pikit/api-token").trim().to_owned();
        Server { child, door, token, said }
    }
    /// What it has said on stderr.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
    /// Asks with the token.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.door.ask(method, path, &[("Authorization", &self.bearer())], body)
    }
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", &format!("/api/update/{path}"), &body.to_string())
    }
    /// Asks for something that takes its time; its transaction.
    pub fn begin(&self, path: &str, body: &Value) -> String {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["transaction"].as_str().unwrap().to_owned()
    }
    pub fn state(&self) -> Value {
        self.get("/api/update/status").json()
    }
    /// Waits until this transaction has ended and nobody is at work any more; how.
    pub fn ended(&self, transaction: &str) -> Value {
        until(&format!("the end of {transaction}"), || {
            let state = self.state();
            (state["last_request"]["transaction"] == transaction && state["busy"].is_null()).then_some(state)
        })
    }
    pub fn listen(&self, last: Option<&str>) -> Stream {
        let bearer = self.bearer();
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(last.map(|id| ("Last-Event-ID", id)));
        let stream = self.door.try_listen(&headers).unwrap();
        assert_eq!(stream.status, 200, "{}", stream.head);
        stream
    }
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
    pub fn vitals(&self) -> String {
        vitals(self.child.id())
    }
    /// The most memory it ever had, kB.
    pub fn memory(&self) -> u64 {
        self.status("VmHWM:")
    }
    /// Of what it takes now, what is its own: without the pages of the program's file, of which the kernel maps as many at once as it
    /// likes, and drops them when it needs the room, kB.
    pub fn own(&self) -> u64 {
        self.status("RssAnon:")
    }
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|l| l.strip_prefix(field)?.split_whitespace().next()?.parse().ok()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("serve said: {}", self.said());
        }
    }
}

/// What a process takes, in words.
pub fn vitals(pid: u32) -> String {
    let proc = Path::new("/proc").join(pid.to_string());
    let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
    let of = |name: &str| status.lines().find_map(|l| Some(l.strip_prefix(name)?.trim().to_owned())).unwrap_or_default();
    let files = std::fs::read_dir(proc.join("fd")).map_or(0, Iterator::count);
    format!("{} threads, {} RSS (highest {}), {files} files", of("Threads:"), of("VmRSS:"), of("VmHWM:"))
}
