//! A web server on loopback that lies on demand: each path has answers, each answer may have a fault. It remembers every request.
//! It also plays a Gitea server from a set of releases; a path given by hand goes before what Gitea would say there.

#![allow(dead_code)] // each test program uses its own part
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::parts::{self, Parts};

/// The server. It ends with the test program.
#[derive(Clone)]
pub struct Liar {
    /// `http://127.0.0.1:PORT`, no slash at the end.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Answers of a path, one a request; the last stays.
    routes: BTreeMap<String, Vec<Answer>>,
    gitea: Option<Gitea>,
    requests: Vec<Request>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One answer: status, headers, body, and what goes wrong with it.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Fault,
    /// Whether it has an ETag and answers to conditions.
    etag: bool,
}

/// What goes wrong. Numbers are bytes of the body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    /// Says how long it is, and ends after so many.
    Cut(usize),
    /// The connection is reset after so many.
    Reset(usize),
    /// Sends so many, then nothing until the other side goes away.
    Stall(usize),
    /// Sends one byte, waits, sends one byte, ….
    Trickle(Duration),
    /// Answers 200 to a request for a part.
    NoRanges,
    /// Answers a request for several parts so.
    Parts(Parts),
    /// Answers 206 with another part.
    WrongRange,
    /// Says to be longer or shorter than its file by so many, and is.
    Resized(i64),
    /// No length; the end of the connection is the end.
    NoLength,
    /// Chunked, and cut after so many.
    ChunkedCut(usize),
    /// Chunked.
    Chunked,
    /// Not HTTP.
    Garbage,
    /// Closes without a word.
    HangUp,
}

impl Answer {
    /// A file: 200, ETag, parts.
    pub fn file(body: impl Into<Vec<u8>>) -> Self {
        Answer { status: 200, headers: vec![("Content-Type".into(), "application/octet-stream".into())], body: body.into(), fault: Fault::None, etag: true }
    }
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Vec::new(), fault: Fault::None, etag: false }
    }
    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
    /// What a Wi-Fi's login page looks like.
    pub fn page() -> Self {
        let body = b"<!DOCTYPE html><html><body>Please log in to the Wi-Fi</body></html>".to_vec();
        Answer { headers: vec![("Content-Type".into(), "text/html; charset=utf-8".into())], etag: false, ..Answer::file(body) }
    }
    /// A redirect.
    pub fn redirect(to: impl Into<String>) -> Self {
        Answer::status(302).header("Location", to)
    }
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
    pub fn without_etag(mut self) -> Self {
        self.etag = false;
        self
    }
}

/// A release of the Gitea that is played.
#[derive(Debug, Clone, Default)]
pub struct Release {
    pub tag: String,
    pub draft: bool,
    pub prerelease: bool,
    pub assets: Vec<(String, Vec<u8>)>,
}

impl Release {
    pub fn new(tag: &str) -> Self {
        Release { tag: tag.into(), ..Release::default() }
    }
    pub fn asset(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.assets.push((name.into(), bytes.into()));
        self
    }
    pub fn draft(mut self) -> Self {
        self.draft = true;
        self
    }
    pub fn prerelease(mut self) -> Self {
        self.prerelease = true;
        self
    }
}

/// A Gitea server with one repository.
#[derive(Debug, Clone, Default)]
pub struct Gitea {
    /// `owner/name`.
    pub repo: String,
    /// Newest first, as the server lists them.
    pub releases: Vec<Release>,
    /// Without this token everything answers 404, with another 401.
    pub token: Option<String>,
    /// What the server believes to be its own URL; `None`: what it is.
    pub root_url: Option<String>,
    /// Most releases on one page; 0: as asked for.
    pub page_max: usize,
}

impl Liar {
    /// Starts a server on a free port.
    pub fn start() -> Self {
        Liar::run(None)
    }

    /// Starts a server that speaks TLS; its URL is `https://localhost:PORT`.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Liar::run(Some(config))
    }

    fn run(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let liar = Liar { url, state: Arc::default() };
        let served = liar.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, tls) = (served.clone(), tls.clone());
                // whatever a client does to its connection is no business of the others
                std::thread::spawn(move || served.connection(stream, tls));
            }
        });
        liar
    }

    /// Sets the answers of a path (without query): one a request, the last for all further ones.
    pub fn answers(&self, path: &str, answers: impl IntoIterator<Item = Answer>) -> &Self {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        self.state.lock().unwrap().routes.insert(path.into(), answers);
        self
    }
    /// Sets the one answer of a path.
    pub fn answer(&self, path: &str, answer: Answer) -> &Self {
        self.answers(path, [answer])
    }
    /// Serves a file without fault.
    pub fn file(&self, path: &str, body: impl Into<Vec<u8>>) -> &Self {
        self.answer(path, Answer::file(body))
    }
    /// Takes a path away.
    pub fn remove(&self, path: &str) -> &Self {
        self.state.lock().unwrap().routes.remove(path);
        self
    }
    /// Plays a Gitea with this repository.
    pub fn gitea(&self, gitea: Gitea) -> &Self {
        self.state.lock().unwrap().gitea = Some(gitea);
        self
    }
    /// Plays a Gitea whose `owner/pi-kit` has these releases, newest first.
    pub fn releases(&self, releases: impl IntoIterator<Item = Release>) -> &Self {
        self.gitea(Gitea { repo: "owner/pi-kit".into(), releases: releases.into_iter().collect(), ..Gitea::default() })
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
    /// All requests since the last time, and forgets them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    fn connection(&self, tcp: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) {
        let raw = tcp.try_clone().unwrap();
        let mut line: Box<dyn Line> = match tls {
            None => Box::new(tcp),
            Some(config) => Box::new(rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), tcp)),
        };
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut line, &mut buffer) {
            let answer = self.choose(&request);
            self.state.lock().unwrap().requests.push(request.clone());
            match answer.send(&request, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => break,
            }
            if let Fault::Reset(_) = answer.fault {
                reset(&raw);
                return;
            }
        }
        drop(line.flush());
        drop(raw.shutdown(std::net::Shutdown::Write));
        // so that the kernel does not answer what the client still sends with a reset, which would swallow the answer
        drop(raw.set_read_timeout(Some(Duration::from_millis(200))));
        drop((&raw).read(&mut [0; 1024]));
    }

    fn choose(&self, request: &Request) -> Answer {
        let mut state = self.state.lock().unwrap();
        let path = request.path.split('?').next().unwrap();
        if let Some(answers) = state.routes.get_mut(path) {
            return if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }.unwrap_or_else(|| Answer::status(404));
        }
        state.gitea.as_ref().and_then(|g| g.answer(request, &self.url)).unwrap_or_else(|| Answer::status(404))
    }
}

impl Gitea {
    fn answer(&self, request: &Request, url: &str) -> Option<Answer> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if let Some(token) = &self.token {
            match request.header("authorization") {
                None => return Some(Answer::status(404)),
                Some(sent) if sent != format!("token {token}") => return Some(Answer::status(401)),
                Some(_) => {}
            }
        }
        let visible = || self.releases.iter().enumerate().map(|(n, r)| (self.releases.len() - n, r)).filter(|(_, r)| self.token.is_some() || !r.draft);
        let json = |text: String| Answer::file(text).header("Content-Type", "application/json;charset=utf-8").without_etag();
        if let Some(below) = path.strip_prefix(&format!("/{}/releases/download/", self.repo)) {
            let (tag, name) = below.split_once('/')?;
            let (_, release) = visible().find(|(_, r)| r.tag == tag)?;
            return release.assets.iter().find(|(n, _)| n == name).map(|(_, bytes)| Answer::file(bytes.clone()));
        }
        let below = path.strip_prefix(&format!("/api/v1/repos/{}", self.repo))?;
        if below.is_empty() {
            return Some(json(format!(r#"{{"id":1,"full_name":"{}","private":{}}}"#, self.repo, self.token.is_some())));
        }
        let one = |found: Option<(usize, &Release)>| found.map(|(id, r)| json(self.json(id, r, url)));
        if let Some(tag) = below.strip_prefix("/releases/tags/") {
            return one(visible().find(|(_, r)| r.tag == tag));
        }
        if below == "/releases/latest" {
            return one(visible().find(|(_, r)| !r.draft && !r.prerelease));
        }
        if below != "/releases" {
            return None;
        }
        let number = |key: &str, or: usize| query.split('&').find_map(|p| p.strip_prefix(key)?.strip_prefix('=')?.parse().ok()).unwrap_or(or);
        let limit = if self.page_max > 0 { number("limit", 30).min(self.page_max) } else { number("limit", 30) };
        let (page, all) = (number("page", 1).max(1), visible().collect::<Vec<_>>());
        let here: Vec<String> = all.iter().skip((page - 1) * limit).take(limit).map(|(id, r)| self.json(*id, r, url)).collect();
        let answer = json(format!("[{}]", here.join(","))).header("X-Total-Count", all.len().to_string());
        let last = all.len().div_ceil(limit);
        Some(if page < last {
            answer.header("Link", format!("<{url}{path}?limit={limit}&page={}>; rel=\"next\",<{url}{path}?page={last}>; rel=\"last\"", page + 1))
        } else {
            answer
        })
    }

    /// A release in the shape that Gitea 1.22 gives it, as far as anybody reads it.
    fn json(&self, id: usize, release: &Release, url: &str) -> String {
        let root = self.root_url.as_deref().unwrap_or(url);
        let day = format!("2026-01-{:02}T10:00:00Z", id % 28 + 1);
        let assets: Vec<String> = release
            .assets
            .iter()
            .map(|(name, bytes)| {
                let mut hasher = DefaultHasher::new();
                (&release.tag, name, bytes).hash(&mut hasher);
                let number = hasher.finish();
                format!(
                    r#"{{"id":{},"name":"{name}","size":{},"download_count":0,"created_at":"{day}","uuid":"{number:016x}","browser_download_url":"{root}/{}/releases/download/{}/{name}"}}"#,
                    number % 1_000_000,
                    bytes.len(),
                    self.repo,
                    release.tag
                )
            })
            .collect();
        format!(
            r#"{{"id":{id},"tag_name":"{}","target_commitish":"main","name":"{}","body":"notes","draft":{},"prerelease":{},"created_at":"{day}","published_at":"{day}","author":{{"login":"owner"}},"assets":[{}]}}"#,
            release.tag,
            release.tag,
            release.draft,
            release.prerelease,
            assets.join(",")
        )
    }
}

/// A connection.
pub trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

/// The head of the next request; what came behind it stays in the buffer.
pub fn read_request(line: &mut Box<dyn Line>, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        let mut more = [0; 4096];
        match line.read(&mut more) {
            // somebody speaks TLS to a server that does not: real ones say so in plain text
            Ok(n) if n > 0 && buffer.is_empty() && more[0] == 0x16 => {
                drop(line.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
                return None;
            }
            Ok(n) if n > 0 => buffer.extend_from_slice(&more[..n]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_lowercase(), v.trim().to_owned())).collect();
    Some(Request { method, path, headers })
}

impl Answer {
    /// Writes the answer; `true`: the connection may go on.
    pub fn send(&self, request: &Request, line: &mut Box<dyn Line>) -> std::io::Result<bool> {
        match self.fault {
            Fault::Garbage => {
                line.write_all(b"\x00\x01SSH-2.0-OpenSSH_9.2\r\n\x7f\x00\r\n\r\n")?;
                return Ok(false);
            }
            Fault::HangUp => return Ok(false),
            _ => {}
        }
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let (mut status, mut body, mut headers) = (self.status, self.body.as_slice(), self.headers.clone());
        let mut bytes;
        if self.etag {
            headers.push(("ETag".into(), etag.clone()));
            if request.header("if-none-match") == Some(&etag) {
                (status, body) = (304, &[]);
            }
        }
        if let Fault::Resized(by) = self.fault {
            bytes = body.to_vec();
            bytes.resize((body.len() as i64 + by).max(0) as usize, b'J');
            body = &bytes;
        }
        let same = request.header("if-range").is_none_or(|v| v == etag);
        let total = body.len();
        let number = |text: &str| text.parse::<usize>().ok();
        let part = request.header("range").and_then(|r| match r.strip_prefix("bytes=")?.split_once('-')? {
            ("", count) => Some((total.saturating_sub(number(count)?), total)),
            (from, "") => Some((number(from)?, total)),
            (from, last) => Some((number(from)?, total.min(number(last)? + 1))),
        });
        let set = request.header("range").and_then(|r| parts::set(r, total)).filter(|_| status == 200 && same && self.fault != Fault::NoRanges);
        if let Some(set) = set {
            let (more, several) = parts::answer(body, set, if let Fault::Parts(how) = self.fault { how } else { Parts::Each });
            headers.retain(|(name, _)| !more.iter().any(|(n, _)| n == name));
            headers.extend(more);
            bytes = several;
            (status, body) = (206, &bytes);
        } else if let (200, Some((from, end)), true, true) = (status, part, same, self.fault != Fault::NoRanges) {
            if from >= total {
                (status, body) = (416, &[]);
                headers.push(("Content-Range".into(), format!("bytes */{total}")));
            } else {
                let shown = if self.fault == Fault::WrongRange { from + 7 } else { from };
                (status, body) = (206, &body[from..end]);
                headers.push(("Content-Range".into(), format!("bytes {shown}-{}/{total}", end - 1)));
            }
        }
        let chunked = matches!(self.fault, Fault::Chunked | Fault::ChunkedCut(_));
        if chunked {
            headers.push(("Transfer-Encoding".into(), "chunked".into()));
        } else if self.fault != Fault::NoLength && status != 304 {
            headers.push(("Content-Length".into(), body.len().to_string()));
        }
        let head: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        line.write_all(format!("HTTP/1.1 {status} Whatever\r\n{head}\r\n").as_bytes())?;
        match self.fault {
            Fault::Cut(n) | Fault::Reset(n) if n < body.len() => {
                line.write_all(&body[..n])?;
                line.flush()?;
                Ok(false)
            }
            Fault::Stall(n) => {
                line.write_all(&body[..n.min(body.len())])?;
                line.flush()?;
                // until the other side goes away
                drop(line.read(&mut [0; 16]));
                Ok(false)
            }
            Fault::Trickle(pause) => {
                for byte in body {
                    line.write_all(&[*byte])?;
                    line.flush()?;
                    std::thread::sleep(pause);
                }
                Ok(true)
            }
            Fault::NoLength => {
                line.write_all(body)?;
                Ok(false)
            }
            Fault::Chunked | Fault::ChunkedCut(_) => {
                let most = if let Fault::ChunkedCut(n) = self.fault { n.min(body.len()) } else { body.len() };
                for chunk in body[..most].chunks(1000) {
                    line.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    line.write_all(chunk)?;
                    line.write_all(b"\r\n")?;
                }
                if self.fault == Fault::Chunked {
                    line.write_all(b"0\r\n\r\n")?;
                }
                Ok(self.fault == Fault::Chunked)
            }
            _ => {
                line.write_all(body)?;
                line.flush()?;
                Ok(true)
            }
        }
    }
}

/// Ends a connection with a reset instead of a farewell, once the other side has had the time to read.
fn reset(tcp: &TcpStream) {
    std::thread::sleep(Duration::from_millis(30));
    rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO)).unwrap();
}
