//! What is answered to what. Every request is checked in the same order: a name of this board, a page of ours, a route, its method,
//! the token, the kind and the shape of its body.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use tiny_http::{Method, Request};

use super::access::{self, Token};
use super::attempts::Attempts;
use super::board::Board;
use super::caller::Caller;
use super::events::Hub;
use super::mock::Mock;
use super::reply::{Reply, header};
use super::route::Route;
use super::watch::Watch;
use super::{asked, stream, ui};
use crate::request;
use crate::{Code, Result};

/// How long an answer that needs the other side is waited for. Less than the minute after which proxies give up.
const PATIENCE: Duration = Duration::from_secs(45);

/// The API.
pub struct Api {
    /// What it shows.
    pub board: Arc<dyn Board>,
    /// Where its events go.
    pub hub: Arc<Hub>,
    /// The file with the token; none: everybody may do everything (made-up states).
    pub token_file: Option<PathBuf>,
    /// Names of this board.
    pub names: Vec<String>,
    /// When this process began.
    pub started: DateTime<Utc>,
    /// Tells this process from those before it.
    pub process: String,
    /// Who has guessed how often.
    pub attempts: Mutex<Attempts>,
    /// One comparison of all files at a time.
    pub comparing: Mutex<()>,
    /// Largest upload, bytes.
    pub upload_limit: u64,
    /// One upload at a time.
    pub receiving: Mutex<()>,
    /// Made-up states, if that is what is shown.
    pub mock: Option<Arc<Mock>>,
}

impl Api {
    /// Answers a request. Streams are written until they end.
    pub fn answer(&self, mut request: Request, caller: Caller) {
        let reply = match self.route(&mut request) {
            Ok(Route::Events) => match self.stream(request, &caller) {
                Ok(()) => return,
                Err(instead) => {
                    let (request, reply) = *instead;
                    return self.send(request, reply);
                }
            },
            Ok(Route::Upload) => self.upload(&caller).unwrap_or_else(|e| Reply::error(&e)),
            Ok(route) => self.reply(route, &mut request).unwrap_or_else(|e| Reply::error(&e)),
            Err(reply) => reply,
        };
        self.send(request, reply);
    }

    fn send(&self, request: Request, reply: Reply) {
        let reply = reply
            .with("Content-Security-Policy", ui::POLICY)
            .with("X-Content-Type-Options", "nosniff")
            .with("X-Frame-Options", "SAMEORIGIN")
            .with("Referrer-Policy", "no-referrer")
            .with("Cross-Origin-Resource-Policy", "same-origin");
        let page = matches!(Route::of(path(&request)), Some(Route::Page)) && reply.status() < 400;
        let reply = if page { reply } else { reply.with("Cache-Control", "no-store") };
        // a reader that went away is its own affair
        let _ = reply.send(request);
    }

    /// Which route, if whoever asks may ask for it.
    fn route(&self, request: &mut Request) -> Result<Route, Reply> {
        let host = header(request, "Host").unwrap_or_default();
        if !access::host_is_ours(host, &self.names) {
            let words = "this is no name of this board; if it should be, add it to [api] hosts in updater.toml";
            return Err(Reply::problem(403, words));
        }
        let foreign_page = match header(request, "Origin") {
            Some(origin) => !access::origin_is_ours(origin, host),
            None => header(request, "Sec-Fetch-Site").is_some_and(|site| site == "cross-site") && *request.method() == Method::Post,
        };
        if foreign_page {
            return Err(Reply::problem(403, "a page of another site may not ask this"));
        }
        if let (Some(mock), Some(name)) = (&self.mock, path(request).strip_prefix("/mock/")) {
            let shown = name.is_empty() || mock.show(name);
            return Err(if shown { Reply::json(200, &json!({"states": mock.names()})) } else { Reply::problem(404, "there is no such state") });
        }
        let Some(route) = Route::of(path(request)) else { return Err(Reply::problem(404, "there is nothing here")) };
        let (allowed, names): (&[Method], _) = if route.is_post() { (&[Method::Post], "POST") } else { (&[Method::Get, Method::Head], "GET, HEAD") };
        if !allowed.contains(request.method()) {
            return Err(Reply::problem(405, format!("this route knows {names}")).with("Allow", names));
        }
        if !route.is_open() {
            self.may_ask(request)?;
        }
        if route.is_post() {
            let kind = header(request, "Content-Type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case(route.kind()) {
                return Err(Reply::problem(415, format!("the body is to be {}", route.kind())));
            }
        }
        Ok(route)
    }

    fn token(&self) -> Result<Option<Token>, Reply> {
        let Some(path) = &self.token_file else { return Ok(None) };
        // read each time: another token ends every session at once
        match Token::load(path) {
            Ok(Some(token)) => Ok(Some(token)),
            Ok(None) => Err(Reply::trouble(503, 9, None, "there is no token yet", Some("`sudo pikit-updater token` makes one and shows it"))),
            Err(error) => Err(Reply::trouble(503, 9, None, &error.message(), error.hint.as_deref())),
        }
    }

    fn may_ask(&self, request: &Request) -> Result<(), Reply> {
        let Some(token) = self.token()? else { return Ok(()) };
        if let Some(given) = header(request, "Authorization").and_then(access::bearer) {
            if token.is(given) {
                return Ok(());
            }
            let address = address(request);
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = attempts.wait(&address, Instant::now());
            attempts.wrong(&address, Instant::now());
            return Err(wait.map_or_else(unknown, too_often));
        }
        let session = header(request, "Cookie").and_then(access::cookie);
        match session {
            Some(session) if token.opens(session, Utc::now().timestamp()) => Ok(()),
            _ => Err(unknown()),
        }
    }

    /// What lets a stream go on: the token or the session that it began with, as long as that is good.
    fn may_stay<'a>(&'a self, request: &Request) -> impl Fn() -> bool + use<'a> {
        let bearer = header(request, "Authorization").and_then(access::bearer).map(str::to_owned);
        let session = header(request, "Cookie").and_then(access::cookie).map(str::to_owned);
        move || match self.token() {
            Ok(None) => true,
            Ok(Some(token)) => bearer.as_ref().is_some_and(|b| token.is(b)) || session.as_ref().is_some_and(|s| token.opens(s, Utc::now().timestamp())),
            Err(_) => false,
        }
    }

    fn reply(&self, route: Route, request: &mut Request) -> Result<Reply> {
        Ok(match route {
            Route::Page => {
                let name = path(request).strip_prefix("/pikit-update/").filter(|n| !n.is_empty()).unwrap_or("index.html");
                ui::file(name, header(request, "If-None-Match")).unwrap_or_else(|| Reply::problem(404, "there is nothing here"))
            }
            Route::Ping => {
                let mut ping = self.board.ping();
                ping["started"] = json!(self.started.to_rfc3339_opts(SecondsFormat::Secs, true));
                Reply::json(200, &ping)
            }
            Route::Status => Reply::json(200, &self.board.state()?),
            Route::Plan => match self.board.plan()? {
                Some(plan) => Reply::json(200, &plan),
                None => Reply::problem(404, "there is no plan: nothing is offered, or it was not looked at since the board started"),
            },
            Route::History => Reply::json(200, &self.board.history()?),
            Route::Log => self.log(request)?,
            Route::Verify => match self.comparing.try_lock() {
                Ok(_one) => Reply::json(200, &self.board.verify()?),
                Err(_) => Reply::problem(503, "the files are being compared already").with("Retry-After", "5"),
            },
            Route::Openapi => Reply::text(200, "application/json", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).to_owned()),
            Route::Metrics => Reply::text(200, "text/plain; version=0.0.4; charset=utf-8", self.board.metrics()?),
            Route::Events => unreachable!("streams have their own way"),
            Route::Login => self.login(request),
            Route::Logout => asked::nothing(request).map_or_else(|e| e, |_| Reply::empty().with("Set-Cookie", cookie(request, "", 0))),
            _ => return self.act(route, request),
        })
    }

    fn log(&self, request: &Request) -> Result<Reply> {
        let query = request.url().split_once('?').map_or("", |(_, query)| query);
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("transaction="));
        if wanted.is_some_and(|id| !request::is_id(id)) {
            return Ok(Reply::problem(422, "transaction: not 26 characters of 0-9a-z"));
        }
        Ok(match self.board.log(wanted)? {
            Some(log) => Reply::json(200, &log),
            None => Reply::problem(404, "there is no such log"),
        })
    }

    fn login(&self, request: &mut Request) -> Reply {
        let given = match asked::login(request) {
            Ok(given) => given,
            Err(reply) => return reply,
        };
        let token = match self.token() {
            Ok(Some(token)) => token,
            Ok(None) => return Reply::empty(),
            Err(reply) => return reply,
        };
        let address = address(request);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = attempts.wait(&address, Instant::now()) {
            return too_often(wait);
        }
        if !token.is(&given) {
            attempts.wrong(&address, Instant::now());
            return Reply::problem(401, "this is not the token");
        }
        attempts.right(&address);
        let session = token.session(Utc::now().timestamp() + access::SESSION);
        Reply::empty().with("Set-Cookie", cookie(request, &session, access::SESSION))
    }

    /// Takes a bundle in while it comes, and says what it is.
    fn upload(&self, caller: &Caller) -> Result<Reply> {
        let Some(body) = caller.body.as_ref().filter(|b| b.length > 0) else { return Ok(Reply::problem(422, "there is no file in it")) };
        if body.length > self.upload_limit {
            let most = crate::quantity::bytes(self.upload_limit);
            return Ok(Reply::problem(413, format!("the file is too large: {most} is the most that may be sent (upload_limit in updater.toml)")));
        }
        let Ok(_one) = self.receiving.try_lock() else { return Ok(Reply::problem(409, "another file is being sent just now")) };
        Ok(match self.board.receive(&mut body.bytes.as_ref(), body.length) {
            Ok(found) => Reply::json(200, &found),
            Err(e) if matches!(e.io_kind(), Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) => {
                Reply::trouble(507, e.code as u8, None, &e.message(), e.hint.as_deref())
            }
            // here the file is the source
            Err(e) if e.code == Code::Source => Reply::trouble(422, e.code as u8, None, &e.message(), e.hint.as_deref()),
            Err(e) => Reply::error(&e),
        })
    }

    /// Has something done by the side that may.
    fn act(&self, route: Route, request: &mut Request) -> Result<Reply> {
        let asked = asked::of(route, request, &self.board.new_id());
        let asked = match asked {
            Ok(asked) => asked,
            Err(reply) => return Ok(reply),
        };
        let mut watch = Watch::default();
        self.board.ask(&asked)?;
        if matches!(route, Route::Apply | Route::Rollback | Route::Repair) {
            return Ok(Reply::json(202, &json!({"transaction": asked.transaction})));
        }
        let begun = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            if let Some(answer) = self.board.answer().filter(|a| a.transaction == asked.transaction) {
                return Ok(match answer.error {
                    None => Reply::json(200, &self.board.state()?),
                    Some(e) => Reply::trouble(status_of(e.code), e.code, e.phase.map(|p| p.name()), &e.message, e.hint.as_deref()),
                });
            }
            self.board.wait(&mut watch, left.min(Duration::from_secs(1)));
        }
        let hint = "the state tells how it ends; `systemctl status pikit-update-apply.path` tells whether somebody takes requests";
        Ok(Reply::trouble(503, 1, None, "it is not done yet", Some(hint)))
    }

    /// A stream, written until it ends; or why there is none.
    fn stream(&self, request: Request, caller: &Caller) -> Result<(), Box<(Request, Reply)>> {
        let after = header(&request, "Last-Event-ID").and_then(|id| stream::last_event(id, &self.process));
        if *request.method() == Method::Head {
            return Err(Box::new((request, Reply::text(200, "text/event-stream", String::new()))));
        }
        let Some(listener) = self.hub.listen(after) else {
            return Err(Box::new((request, Reply::problem(503, "there are enough streams open").with("Retry-After", "10"))));
        };
        // a tab that was closed makes room at once
        let leaving = listener.leaving();
        caller.gone.then(move || leaving.leave());
        let may_stay = self.may_stay(&request);
        let _ = stream::run(request, listener, self.board.as_ref(), &self.process, &may_stay);
        Ok(())
    }
}

/// The exit code of the other side as a status.
fn status_of(code: u8) -> u16 {
    match code {
        2 | 4 | 5 => 422,
        3 => 503,
        8 => 409,
        _ => 500,
    }
}

fn path(request: &Request) -> &str {
    request.url().split('?').next().unwrap_or_default()
}

fn unknown() -> Reply {
    Reply::problem(401, "the token is missing, wrong, or no longer the one").with("WWW-Authenticate", "Bearer realm=\"pikit-updater\"")
}

fn too_often(wait: Duration) -> Reply {
    Reply::problem(429, "too many wrong tokens: wait a moment").with("Retry-After", (wait.as_secs() + 1).to_string())
}

/// Whom to slow down: the address that the proxy in front saw. Nobody but a proxy and this board's own programs reaches us.
fn address(request: &Request) -> String {
    let forwarded = header(request, "X-Forwarded-For").and_then(|list| list.rsplit(',').next());
    forwarded.map_or_else(|| "this board".to_owned(), |address| address.trim().chars().take(64).collect())
}

fn cookie(request: &Request, session: &str, age: i64) -> String {
    let secure = if header(request, "X-Forwarded-Proto").is_some_and(|p| p.eq_ignore_ascii_case("https")) { "; Secure" } else { "" };
    format!("{}={session}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}", access::COOKIE)
}
