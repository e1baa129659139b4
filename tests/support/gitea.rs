//! A stand-in for a Gitea server: one repository, its releases through the API and their files through the web, in memory. It follows
//! Gitea's description of the API, holds every request and each of its own answers against that, and misbehaves when it is told to.
//! After each change it looks at what everybody sees: half a release is written down as wrong.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pikit_updater::release::{Digest, Manifest};
use serde_json::{Value, json};

use super::liar::{Answer, Line, Request, read_request};
use super::openapi::{Asked, Description};

pub const REPO: &str = "owner/pi-kit";
/// May write, may only read.
pub const TOKEN: &str = "7c1e5a0f4b2d9e8c3a6f1b5d0e9c8a7f6b4d3e21";
pub const READER: &str = "0000000000000000000000000000000000000000";

/// The server. It ends with the test program.
#[derive(Clone)]
pub struct Gitea {
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// What goes wrong once.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Answers so, and does nothing.
    Refuse(u16),
    /// Does it, and answers 500.
    DoAndFail,
    /// Closes the connection when so many bytes of the body have come.
    Cut(usize),
    /// Keeps only so many bytes, and says that all is well.
    Keep(usize),
    /// Keeps other bytes, as many as were sent.
    Spoil,
    /// Reads so many bytes of the body and then no more, until the other side is gone.
    Stall(usize),
    /// Reads a little at a time.
    Slow,
}

/// How the server is set.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Anonymous people see nothing.
    pub private: bool,
    /// Nothing was ever pushed.
    pub empty: bool,
    /// Largest file, bytes.
    pub max_size: usize,
    /// Ends of names that are taken.
    pub allowed: Vec<String>,
    /// Most releases on one page.
    pub page_max: usize,
    /// Everything of the API is somewhere else.
    pub moved_to: Option<String>,
    /// Something in front of it hands out other bytes of such files to those without a token.
    pub stale: Option<String>,
}

impl Default for Setting {
    fn default() -> Self {
        Setting { private: false, empty: false, max_size: 100 << 20, allowed: Vec::new(), page_max: 50, moved_to: None, stale: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    pub id: u64,
    pub tag: String,
    pub title: String,
    pub body: String,
    pub draft: bool,
    pub prerelease: bool,
    pub assets: Vec<Asset>,
}

#[derive(Clone, PartialEq)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub bytes: Vec<u8>,
}

/// In a failed test nobody wants to read the bytes.
impl std::fmt::Debug for Asset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} bytes, sha256 {})", self.id, self.name, self.bytes.len(), Digest::of(&self.bytes))
    }
}

#[derive(Default)]
struct State {
    setting: Setting,
    releases: Vec<Release>,
    next: u64,
    /// Method, end of the path, what goes wrong.
    faults: VecDeque<(&'static str, String, Fault)>,
    /// Method and path of every request, and the name of an uploaded file.
    log: Vec<(String, String)>,
    wrong: Vec<String>,
    stalled: bool,
}

impl Release {
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|a| a.name == name)
    }
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.assets.iter().map(|a| a.name.as_str()).collect();
        names.sort();
        names
    }
    /// What somebody would miss who sees it.
    fn half(&self) -> Option<String> {
        let manifest = self.asset("manifest.json").map(|a| Manifest::parse(&a.bytes));
        let Some(Ok(manifest)) = manifest else { return Some("no manifest".into()) };
        let bundle = manifest.bundle.as_ref()?;
        let there = |name: &str, sha256: Option<Digest>| self.asset(name).is_some_and(|a| sha256.is_none_or(|d| Digest::of(&a.bytes) == d));
        let head = self.asset(&bundle.name).map(|a| a.bytes.len() as u64 > bundle.payload_size);
        if head != Some(true) || !there("manifest.json.minisig", None) {
            return Some("no whole bundle, or no signature".into());
        }
        let lacking = bundle.patches.iter().find(|p| !there(&p.name, Some(p.sha256)));
        lacking.map(|p| format!("no {}", p.name))
    }
}

impl Gitea {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let gitea = Gitea { url, state: Arc::default() };
        gitea.also_at(listener);
        gitea
    }
    /// Answers there, too.
    pub fn also_at(&self, listener: TcpListener) {
        let served = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || served.connection(stream));
            }
        });
    }
    pub fn set(&self, change: impl FnOnce(&mut Setting)) {
        change(&mut self.state.lock().unwrap().setting);
    }
    /// Lets the next request with this method and end of the path (or name of the file) go wrong.
    pub fn fault(&self, method: &'static str, end: &str, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((method, end.to_owned(), fault));
    }
    /// All faults happened.
    pub fn faults_left(&self) -> usize {
        self.state.lock().unwrap().faults.len()
    }
    pub fn releases(&self) -> Vec<Release> {
        self.state.lock().unwrap().releases.clone()
    }
    pub fn release(&self, tag: &str) -> Option<Release> {
        self.releases().into_iter().find(|r| r.tag == tag)
    }
    /// Changes what is stored, behind everybody's back.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Release>)) {
        change(&mut self.state.lock().unwrap().releases);
    }
    pub fn take_log(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
    /// A fault holds a request up.
    pub fn stalled(&self) -> bool {
        self.state.lock().unwrap().stalled
    }
    /// Every request and answer was as Gitea describes it, and nobody ever saw half a release.
    pub fn conforms(&self) {
        let wrong = self.state.lock().unwrap().wrong.clone();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn connection(&self, tcp: TcpStream) {
        let raw = tcp.try_clone().unwrap();
        let mut line: Box<dyn Line> = Box::new(tcp);
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut line, &mut buffer) {
            match self.exchange(&request, &mut line, &mut buffer) {
                Ok(true) => {}
                _ => break,
            }
        }
        drop(line.flush());
        drop(raw.shutdown(std::net::Shutdown::Write));
        drop(raw.set_read_timeout(Some(Duration::from_millis(200))));
        drop((&raw).read(&mut [0; 1024]));
    }

    fn exchange(&self, request: &Request, line: &mut Box<dyn Line>, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let uploaded = query.split('&').find_map(|p| p.strip_prefix("name=")).unwrap_or_default().replace("%2B", "+");
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.log.push((request.method.clone(), if uploaded.is_empty() { path.to_owned() } else { format!("{path} {uploaded}") }));
            let at = state
                .faults
                .iter()
                .position(|(method, end, _)| *method == request.method && (path.ends_with(end) || (!uploaded.is_empty() && uploaded == *end)));
            at.and_then(|at| state.faults.remove(at)).map(|(_, _, fault)| fault)
        };
        let length: usize = request.header("content-length").map_or(0, |l| l.parse().unwrap());
        let api = path.strip_prefix("/api/v1");
        // a file that is too large is refused before it comes, if the client asks
        let limit = self.state.lock().unwrap().setting.max_size;
        if length > limit + 1000 && request.header("expect").is_some() {
            return self.tell(api, request, said(413, "the file is larger than the server allows"), line).map(|_| false);
        }
        if request.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
            line.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = std::mem::take(buffer);
        while body.len() < length {
            let stop = match &fault {
                Some(Fault::Cut(n) | Fault::Stall(n)) => *n,
                _ => usize::MAX,
            };
            if body.len() >= stop {
                if matches!(fault, Some(Fault::Stall(_))) {
                    self.state.lock().unwrap().stalled = true;
                    // the other side is gone when nothing more comes
                    while line.read(&mut [0; 4096])? > 0 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                return Ok(false);
            }
            let some = if fault == Some(Fault::Slow) { 1000 } else { 64 << 10 };
            let mut more = vec![0; (length - body.len()).min(some).min(stop - body.len())];
            match line.read(&mut more)? {
                0 => return Ok(false),
                n => body.extend_from_slice(&more[..n]),
            }
        }
        buffer.extend_from_slice(&body[length..]);
        body.truncate(length);
        let Some(below) = api else {
            return self.web(request, path).send(request, line);
        };
        if let Some(to) = self.state.lock().unwrap().setting.moved_to.clone() {
            return Answer::redirect(format!("{to}{path}")).send(request, line);
        }
        let kind = request.header("content-type");
        let form = kind.and_then(|k| k.strip_prefix("multipart/form-data; boundary=")).map(|boundary| fields(&body, boundary));
        let asked = Asked {
            method: &request.method,
            path: below,
            query,
            authorization: request.header("authorization"),
            content_type: kind,
            body: form.is_none().then_some(body.as_slice()),
            fields: form.iter().flatten().map(|(name, ..)| name.clone()).collect(),
        };
        let wrong = Description::read().request(&asked);
        self.state.lock().unwrap().wrong.extend(wrong);
        if let Some(Fault::Refuse(status)) = fault {
            return self.tell(api, request, said(status, "it does not feel well"), line);
        }
        let answer = self.api(request, below, query, &body, form, &fault);
        let answer = if fault == Some(Fault::DoAndFail) { said(500, "something broke afterwards") } else { answer };
        self.tell(api, request, answer, line)
    }

    fn tell(&self, api: Option<&str>, request: &Request, (status, body): (u16, Vec<u8>), line: &mut Box<dyn Line>) -> std::io::Result<bool> {
        if let Some(below) = api {
            let wrong = Description::read().answer(&request.method, below, status, &body);
            self.state.lock().unwrap().wrong.extend(wrong);
        }
        let answer = Answer::file(body).with_status(status).header("Content-Type", "application/json;charset=utf-8").without_etag();
        let total = self.state.lock().unwrap().releases.iter().filter(|r| !r.draft || self.writes(request)).count();
        answer.header("X-Total-Count", total.to_string()).send(request, line)
    }

    fn writes(&self, request: &Request) -> bool {
        request.header("authorization") == Some(&format!("token {TOKEN}"))
    }

    fn api(&self, request: &Request, below: &str, query: &str, body: &[u8], form: Option<Vec<Field>>, fault: &Option<Fault>) -> (u16, Vec<u8>) {
        let sent = request.header("authorization");
        let known = sent.is_some_and(|s| s == format!("token {TOKEN}") || s == format!("token {READER}"));
        let mut state = self.state.lock().unwrap();
        if sent.is_some() && !known {
            return said(401, "invalid username, password or token");
        }
        let Some(rest) = below.strip_prefix(&format!("/repos/{REPO}")).filter(|_| known || !state.setting.private) else {
            return said(404, "The target couldn't be found.");
        };
        let writes = self.writes(request);
        let parts: Vec<&str> = rest.trim_start_matches('/').split('/').filter(|p| !p.is_empty()).collect();
        if request.method != "GET" && !writes {
            return if known { said(403, "token does not have at least one of required scope(s): [write:repository]") } else { said(401, "token is required") };
        }
        let visible = |r: &&Release| !r.draft || writes;
        let number = |key: &str, or: usize| query.split('&').find_map(|p| p.strip_prefix(key)?.strip_prefix('=')?.parse().ok()).unwrap_or(or);
        let answer = match (request.method.as_str(), parts.as_slice()) {
            ("GET", []) => {
                let Setting { private, empty, .. } = state.setting;
                (
                    200,
                    json!({"id": 1, "full_name": REPO, "html_url": format!("{}/{REPO}", self.url), "private": private, "empty": empty, "default_branch": "main"}),
                )
            }
            ("GET", ["releases"]) => {
                let limit = number("limit", 30).min(state.setting.page_max);
                let all: Vec<Value> = state.releases.iter().rev().filter(visible).map(|r| self.json(r)).collect();
                (200, all.into_iter().skip((number("page", 1).max(1) - 1) * limit).take(limit).collect())
            }
            ("GET", ["releases", "latest"]) => one(state.releases.iter().rev().find(|r| !r.draft && !r.prerelease).map(|r| self.json(r))),
            // drafts, too: so do many versions of the real one
            ("GET", ["releases", "tags", tag]) => one(state.releases.iter().find(|r| r.tag == *tag).map(|r| self.json(r))),
            ("GET", ["releases", id]) => one(state.releases.iter().filter(visible).find(|r| r.id.to_string() == *id).map(|r| self.json(r))),
            ("POST", ["releases"]) if state.setting.empty => return said(422, "repo is empty"),
            ("POST", ["releases"]) => {
                let Ok(new) = serde_json::from_slice::<Value>(body) else { return said(422, "no JSON") };
                let text = |key: &str| new[key].as_str().unwrap_or_default().to_owned();
                if text("tag_name").is_empty() {
                    return said(422, "[TagName]: Required");
                }
                if state.releases.iter().any(|r| r.tag == text("tag_name")) {
                    return said(409, "Release is has no Tag");
                }
                state.next += 1;
                let (draft, prerelease) = (new["draft"] == true, new["prerelease"] == true);
                let made = Release { id: state.next, tag: text("tag_name"), title: text("name"), body: text("body"), draft, prerelease, assets: Vec::new() };
                state.releases.push(made.clone());
                (201, self.json(&made))
            }
            ("PATCH", ["releases", id]) => {
                let change: Value = serde_json::from_slice(body).unwrap_or_default();
                let Some(release) = state.releases.iter_mut().find(|r| r.id.to_string() == *id) else { return said(404, "") };
                release.draft = change["draft"].as_bool().unwrap_or(release.draft);
                release.prerelease = change["prerelease"].as_bool().unwrap_or(release.prerelease);
                if let Some(text) = change["body"].as_str().filter(|t| !t.is_empty()) {
                    release.body = text.into();
                }
                let made = release.clone();
                (200, self.json(&made))
            }
            ("POST", ["releases", id, "assets"]) => {
                let Some((_, filename, mut bytes)) = form.into_iter().flatten().find(|(name, ..)| name == "attachment") else {
                    return said(400, "no attachment");
                };
                let named = query.split('&').find_map(|p| p.strip_prefix("name=")).map(|n| n.replace("%2B", "+"));
                let name = named.filter(|n| !n.is_empty()).unwrap_or(filename);
                if bytes.len() > state.setting.max_size {
                    return said(413, "the file is larger than the server allows");
                }
                if !state.setting.allowed.is_empty() && !state.setting.allowed.iter().any(|end| name.ends_with(end)) {
                    return said(400, "This file cannot be uploaded or modified due to a forbidden file extension or type.");
                }
                match fault {
                    Some(Fault::Keep(n)) => bytes.truncate(*n),
                    Some(Fault::Spoil) => bytes.iter_mut().for_each(|b| *b ^= 1),
                    _ => {}
                }
                state.next += 1;
                let asset = Asset { id: state.next, name, bytes };
                let Some(release) = state.releases.iter_mut().find(|r| r.id.to_string() == *id) else { return said(404, "") };
                // like the real one it takes a second file of the same name
                release.assets.push(asset.clone());
                let made = self.attachment(&release.tag.clone(), &asset);
                (201, made)
            }
            ("DELETE", ["releases", id, "assets", asset]) => {
                let Some(release) = state.releases.iter_mut().find(|r| r.id.to_string() == *id) else { return said(404, "") };
                let before = release.assets.len();
                release.assets.retain(|a| a.id.to_string() != *asset);
                if release.assets.len() == before {
                    return said(404, "");
                }
                (204, Value::Null)
            }
            _ => return said(404, "The target couldn't be found."),
        };
        if request.method != "GET" {
            let half: Vec<String> =
                state.releases.iter().filter(|r| !r.draft).filter_map(|r| Some(format!("everybody sees half of {}: {}", r.tag, r.half()?))).collect();
            state.wrong.extend(half);
        }
        (answer.0, if answer.1.is_null() { Vec::new() } else { answer.1.to_string().into_bytes() })
    }

    /// A file of a release.
    fn web(&self, request: &Request, path: &str) -> Answer {
        let state = self.state.lock().unwrap();
        let sent = request.header("authorization").is_some();
        let found = path.strip_prefix(&format!("/{REPO}/releases/download/")).and_then(|rest| rest.split_once('/')).and_then(|(tag, name)| {
            let release = state.releases.iter().find(|r| r.tag == tag.replace("%2B", "+") && (!r.draft || self.writes(request)))?;
            release.asset(&name.replace("%2B", "+")).filter(|_| sent || !state.setting.private)
        });
        let Some(asset) = found else { return Answer::status(404) };
        let mut bytes = asset.bytes.clone();
        if !sent && state.setting.stale.as_ref().is_some_and(|end| asset.name.ends_with(end)) {
            bytes.reverse();
        }
        Answer::file(bytes)
    }

    fn attachment(&self, tag: &str, asset: &Asset) -> Value {
        json!({
            "id": asset.id, "name": asset.name, "size": asset.bytes.len(), "download_count": 0, "created_at": "2026-11-20T10:00:00Z",
            "uuid": format!("00000000-0000-4000-8000-{:012}", asset.id),
            "browser_download_url": format!("{}/{REPO}/releases/download/{tag}/{}", self.url, asset.name),
        })
    }

    fn json(&self, release: &Release) -> Value {
        let Release { id, tag, title, body, draft, prerelease, assets } = release;
        let api = format!("{}/api/v1/repos/{REPO}/releases/{id}", self.url);
        json!({
            "id": id, "tag_name": tag, "target_commitish": "main", "name": title, "body": body, "url": api,
            "html_url": format!("{}/{REPO}/releases/tag/{tag}", self.url),
            "tarball_url": format!("{}/{REPO}/archive/{tag}.tar.gz", self.url), "zipball_url": format!("{}/{REPO}/archive/{tag}.zip", self.url),
            "upload_url": format!("{api}/assets"), "draft": draft, "prerelease": prerelease,
            "created_at": "2026-11-20T10:00:00Z", "published_at": "2026-11-20T10:00:00Z",
            "author": {"id": 1, "login": "owner", "full_name": ""},
            "assets": assets.iter().map(|a| self.attachment(tag, a)).collect::<Vec<_>>(),
        })
    }
}

/// A field of a form: name, name of the file, content.
type Field = (String, String, Vec<u8>);

fn fields(body: &[u8], boundary: &str) -> Vec<Field> {
    let mark = format!("--{boundary}").into_bytes();
    let find = |from: usize, what: &[u8]| body[from..].windows(what.len()).position(|w| w == what).map(|at| from + at);
    let mut found = Vec::new();
    let mut at = find(0, &mark).unwrap_or(body.len());
    while let Some(end) = find((at + mark.len()).min(body.len()), &mark) {
        let part = &body[at + mark.len() + 2..end - 2];
        let head = part.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let text = String::from_utf8_lossy(&part[..head]).into_owned();
        let value = |key: &str| text.split(key).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        found.push((value(" name=\""), value("filename=\""), part[head + 4..].to_vec()));
        at = end;
    }
    found
}

fn one(found: Option<Value>) -> (u16, Value) {
    found.map_or((404, json!({"message": "The target couldn't be found.", "url": ""})), |v| (200, v))
}

/// An error as Gitea tells it.
fn said(status: u16, message: &str) -> (u16, Vec<u8>) {
    (status, json!({"message": message, "url": "https://example.org/api/swagger"}).to_string().into_bytes())
}
