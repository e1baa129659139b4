//! The client of a Gitea or Forgejo server's API v1: few and narrow verbs. It asks one server and follows no redirect, so the token goes
//! nowhere else. What may pass is told apart from what will not; whether to try again is for the story to say.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, SendBody};

use super::far::Watched;
use super::held::{Held, HeldAsset, Repository};
use super::multipart;
use super::target::Target;
use crate::device::Settings;
use crate::error::{Doing, Error, Result};
use crate::quantity::bytes;
use crate::source::{self, Address, Fault, Token};
use crate::world::Clock;

/// Releases on one page, and pages that are read.
const PAGE: usize = 50;
const PAGES_MAX: usize = 100;
/// Largest answer that is read, bytes; largest refusal whose words are shown.
const ANSWER_MAX: u64 = 32 << 20;
const WORDS_MAX: u64 = 16 << 10;
/// How long a line may be silent, and how long a server may think: it may have to store a large file somewhere else.
const SILENCE: Duration = Duration::from_secs(60);
const THINKING: Duration = Duration::from_secs(300);

/// Why something was not done.
#[derive(Debug)]
pub struct Trouble {
    /// In words.
    pub error: Error,
    /// The same may do better in a moment.
    pub passing: bool,
    /// The server's answer, if there was one.
    pub status: Option<u16>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble { error, passing: false, status: None }
    }
}

/// The client.
pub struct Client<'a> {
    clock: &'a dyn Clock,
    agent: Agent,
    home: Address,
    owner: String,
    name: String,
    token: Token,
    /// Whether the server has ever answered: then a refused connection is worth another try.
    met: Cell<bool>,
}

impl<'a> Client<'a> {
    /// A client for this server; asks nobody yet.
    ///
    /// # Errors
    /// The address, the authorities or a proxy variable cannot be used.
    pub fn new(target: &Target, settings: &Settings, token: Token, clock: &'a dyn Clock) -> Result<Self> {
        let home = Address::parse(&target.gitea).map_err(|e| Error::usage(format!("publish.gitea, {}: {e}", target.gitea)))?;
        let way = source::way(&target.gitea, settings)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("pikit-updater/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(way.roots).build())
            .proxy(way.proxy)
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .timeout_recv_response(Some(THINKING))
            .timeout_per_read(Some(SILENCE))
            .build();
        let (owner, name) = target.owner_and_name();
        Ok(Client { clock, agent: config.new_agent(), home, owner: owner.into(), name: name.into(), token, met: Cell::new(false) })
    }

    /// The repository.
    ///
    /// # Errors
    /// There is none, as far as the token can see.
    pub fn repository(&self) -> Result<Repository, Trouble> {
        let at = self.api(&[]);
        self.json(&at, "GET", None).map_err(|t| self.missing(t, &at))
    }

    /// All releases, drafts included.
    ///
    /// # Errors
    /// The server does not answer with a list.
    pub fn releases(&self) -> Result<Vec<Held>, Trouble> {
        let mut all: Vec<Held> = Vec::new();
        for page in 1..=PAGES_MAX {
            let here: Vec<Held> = self.json(&self.api(&["releases"]).query(&format!("limit={PAGE}&page={page}")), "GET", None)?;
            let before = all.len();
            // a server may give fewer on a page than it was asked for, so only an empty page, or one without anything new, is the last
            let known = |held: &Held| all.iter().any(|a: &Held| a.id == held.id);
            let new: Vec<Held> = here.into_iter().filter(|held| !known(held)).collect();
            all.extend(new);
            if all.len() == before {
                break;
            }
        }
        Ok(all)
    }

    /// A release as it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn release(&self, id: u64) -> Result<Held, Trouble> {
        self.json(&self.api(&["releases", &id.to_string()]), "GET", None)
    }

    /// Makes a draft.
    ///
    /// # Errors
    /// The server does not make it.
    pub fn create(&self, tag: &str, branch: Option<&str>, title: &str, body: &str, prerelease: bool) -> Result<Held, Trouble> {
        let mut new = json!({"tag_name": tag, "name": title, "body": body, "draft": true, "prerelease": prerelease});
        if let Some(branch) = branch {
            new["target_commitish"] = branch.into();
        }
        self.json(&self.api(&["releases"]), "POST", Some(&new))
    }

    /// Changes what a release is to others.
    ///
    /// # Errors
    /// The server does not change it.
    pub fn edit(&self, id: u64, change: &Value) -> Result<Held, Trouble> {
        self.json(&self.api(&["releases", &id.to_string()]), "PATCH", Some(change))
    }

    /// Removes a file of a release; one that is gone already is gone.
    ///
    /// # Errors
    /// The server does not remove it.
    pub fn delete(&self, release: u64, asset: u64) -> Result<(), Trouble> {
        let at = self.api(&["releases", &release.to_string(), "assets", &asset.to_string()]);
        let answer = self.send(self.request("DELETE", &at), SendBody::none(), &at)?;
        match answer.status().as_u16() {
            204 | 200 | 404 => Ok(()),
            _ => Err(self.refused(answer, &at, None)),
        }
    }

    /// Uploads a file, reading it from the disk while it is sent; `told` hears of the bytes as they go.
    ///
    /// # Errors
    /// The file cannot be read; the server does not take it.
    pub fn upload(&self, release: u64, name: &str, from: &Path, told: impl FnMut(u64)) -> Result<HeldAsset, Trouble> {
        let reading = || format!("reading {}", from.display());
        let file = File::open(from).doing(reading)?;
        let size = file.metadata().doing(reading)?.len();
        let at = self.api(&["releases", &release.to_string(), "assets"]);
        let named = self.home.below(&[name]);
        let encoded = named.path().rsplit('/').next().unwrap_or_default();
        let at = at.query(&format!("name={encoded}"));
        let mut body = multipart::file("attachment", name, &self.clock.new_id(), size, Watched { inner: file, told });
        // a server that will not take so much says so before it is sent
        let request = self.request("POST", &at).header(CONTENT_TYPE, &body.kind).header(CONTENT_LENGTH, body.length).header(EXPECT, "100-continue");
        let answer = self.send(request, SendBody::from_reader(&mut body.bytes), &at)?;
        self.read(answer, &at, 201, Some((name, size)))
    }

    fn api(&self, more: &[&str]) -> Address {
        self.home.below(&[&["api", "v1", "repos", &self.owner, &self.name], more].concat())
    }

    fn request(&self, method: &str, at: &Address) -> ureq::http::request::Builder {
        let authorization = format!("token {}", self.token.secret());
        Request::builder().method(method).uri(at.full()).header(ACCEPT, "application/json").header(AUTHORIZATION, authorization)
    }

    fn json<T: DeserializeOwned>(&self, at: &Address, method: &str, body: Option<&Value>) -> Result<T, Trouble> {
        let request = self.request(method, at);
        let text = body.map(Value::to_string);
        let answer = match &text {
            None => self.send(request, SendBody::none(), at)?,
            Some(text) => {
                let request = request.header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, text.len());
                self.send(request, SendBody::from_reader(&mut text.as_bytes()), at)?
            }
        };
        self.read(answer, at, if method == "POST" { 201 } else { 200 }, None)
    }

    fn send(&self, request: ureq::http::request::Builder, body: SendBody<'_>, at: &Address) -> Result<Response<Body>, Trouble> {
        let request = request.body(body).map_err(|e| Error::unexpected(format!("asking {at}")).because(e.to_string()))?;
        let answer = self.agent.run(request).map_err(|e| self.fault(Fault::of(e), at))?;
        self.met.set(true);
        Ok(answer)
    }

    /// An answer of the status that was hoped for.
    fn read<T: DeserializeOwned>(&self, mut answer: Response<Body>, at: &Address, good: u16, sent: Option<(&str, u64)>) -> Result<T, Trouble> {
        if answer.status().as_u16() != good {
            return Err(self.refused(answer, at, sent));
        }
        let mut text = Vec::new();
        let read = answer.body_mut().as_reader().take(ANSWER_MAX).read_to_end(&mut text);
        read.map_err(|e| self.fault(Fault::of(ureq::Error::from(e)), at))?;
        serde_json::from_slice(&text).map_err(|e| {
            Error::source_failed(format!("{at}: the answer is not what Gitea answers there"))
                .because(e)
                .hint("is publish.gitea the address of a Gitea or Forgejo server?")
                .into()
        })
    }

    /// A failure of the line. Its words are those of a board, whose file has another name.
    fn fault(&self, fault: Fault, at: &Address) -> Trouble {
        let passing = fault.passing(self.met.get());
        let mut error = fault.tell(at, 1, true, self.clock.now());
        error.hint = error.hint.map(|hint| hint.replace("updater.toml", "release.toml").replace("source.", "publish."));
        Trouble { error, passing, status: None }
    }

    /// What the server says when it does not do what it was asked; `sent`: a file with so many bytes.
    fn refused(&self, mut answer: Response<Body>, at: &Address, sent: Option<(&str, u64)>) -> Trouble {
        let status = answer.status().as_u16();
        let mut text = Vec::new();
        // what it says is a help, not a need
        let _ = answer.body_mut().as_reader().take(WORDS_MAX).read_to_end(&mut text);
        let said = serde_json::from_slice::<Value>(&text).ok().and_then(|v| v["message"].as_str().map(str::to_owned)).filter(|m| !m.is_empty());
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        let what = sent.map_or_else(|| at.to_string(), |(name, size)| format!("{name}, {}", bytes(size)));
        let settings = format!("{}/user/settings/applications", self.home);
        let (words, hint) = match status {
            301 | 302 | 303 | 307 | 308 => {
                ("the server sends elsewhere, and the token does not go along".into(), "write the address where it really is into publish.gitea".into())
            }
            401 => ("the server does not accept the token".into(), format!("it is wrong or has expired: make another one at {settings}")),
            403 => (
                "the token may not do this".into(),
                format!("give it write permission for repository at {settings}, and its owner write access to {}/{}", self.owner, self.name),
            ),
            400 if sent.is_some() => (
                "the server does not take this file".into(),
                "are .gz, .json, .minisig and .zst among ALLOWED_TYPES of [repository.release] in its app.ini?".into(),
            ),
            413 => (
                "it is larger than the server takes".into(),
                "raise MAX_SIZE of [attachment] in its app.ini, or what limits requests in front of it (client_max_body_size of nginx)".into(),
            ),
            409 => ("the server has something of this name already".into(), "run it again: what is there is looked at anew".into()),
            422 => ("the server does not accept this".into(), "a protected tag, or a branch that is not there?".into()),
            429 => ("the server says there were too many requests".into(), "try again later".into()),
            500.. => (
                format!("the server failed (status {status})"),
                "that is the server's fault: its log knows more; run it again later, it goes on from there".into(),
            ),
            _ => (format!("the server answered with status {status}"), String::new()),
        };
        let error = Error::source_failed(format!("{what}: {words}{said}"));
        let error = if hint.is_empty() { error } else { error.hint(hint) };
        Trouble { error, passing: status == 429 || status >= 500, status: Some(status) }
    }

    /// Of a repository that is not there.
    fn missing(&self, trouble: Trouble, at: &Address) -> Trouble {
        if trouble.status != Some(404) {
            return trouble;
        }
        let error = Error::source_failed(format!("{at}: there is no such repository, or the token may not see it"));
        error.hint("check publish.gitea and publish.repo, and that the token's owner has access to it").into()
    }
}
