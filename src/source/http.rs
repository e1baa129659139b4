//! One client for all sources on the network: it says who it is, keeps the token at home, follows few redirects and none into the
//! open, waits with bounds, and tries again what may pass.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName};
use ureq::http::{Request, header};
use ureq::tls::TlsConfig;

use super::access::{Access, Token};
use super::address::Address;
use super::answer::{Answer, Head, plain, read_whole};
use super::fault::Fault;
use super::proxy::Proxies;
use super::pump::{Part, Pump};
use super::{Tally, retry, roots};
use crate::device::settings::Download;
use crate::error::{Error, Result};
use crate::world::Clock;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// How long all small files of one question may take together: list, manifests, signatures. Each of them alone may be as slow as the
/// floor allows, and a server could go on with that for hours.
const SMALL_FILES: Duration = Duration::from_secs(15 * 60);

/// The client of one source.
pub struct Http<'a> {
    clock: &'a dyn Clock,
    pub(super) agent: Agent,
    proxies: Proxies,
    home: Address,
    allow_http: bool,
    token: Option<Token>,
    limits: Download,
    /// Whether the server has ever answered: then a refused connection is worth another try.
    pub(super) met: Cell<bool>,
    /// Until when small files may be asked for.
    pub(super) until: Cell<Option<Duration>>,
    /// What was asked so far.
    count: Rc<Cell<Tally>>,
}

/// Headers of a request beyond those that all have.
pub type Headers = [(HeaderName, String)];

impl<'a> Http<'a> {
    /// A client for the server at `base`.
    ///
    /// # Errors
    /// The address, the authorities or a proxy variable cannot be used.
    pub fn new(base: &str, access: Access, limits: Download, clock: &'a dyn Clock) -> Result<Self> {
        let home = Address::parse(base).map_err(|e| Error::usage(format!("the address of the source, {base}: {e}")))?;
        let tls = TlsConfig::builder().root_certs(roots::with(access.authorities.as_ref())?).build();
        let wait = Some(limits.timeout);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0) // by hand: ureq's own rule for who gets the token ignores the port
            .max_redirects_will_error(false)
            .user_agent(concat!("pikit-updater/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .proxy(None) // chosen for each address
            .timeout_resolve(wait)
            .timeout_connect(wait)
            .timeout_send_request(wait)
            .timeout_recv_response(wait)
            .timeout_per_read(wait)
            .input_buffer_size(32 << 10)
            .output_buffer_size(8 << 10)
            .build();
        let proxies = Proxies::new(|name| std::env::var(name).ok())?;
        Ok(Http {
            clock,
            agent: config.new_agent(),
            proxies,
            home,
            allow_http: access.allow_http,
            token: access.token,
            limits,
            met: Cell::new(false),
            until: Cell::new(None),
            count: Rc::default(),
        })
    }

    /// The configured address.
    pub fn home(&self) -> &Address {
        &self.home
    }
    /// Time, for those who wait between tries of their own.
    pub fn clock(&self) -> &'a dyn Clock {
        self.clock
    }
    /// Whether there is a token to send.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
    /// What was asked so far.
    pub fn tally(&self) -> Tally {
        self.count.get()
    }
    /// Whether a fault may pass by itself.
    pub fn passing(&self, fault: &Fault) -> bool {
        fault.passing(self.met.get())
    }

    /// A new question begins, and with it the time that its small files may take.
    pub fn small_files_begin(&self) {
        self.until.set(Some(self.clock.monotonic() + SMALL_FILES));
    }
    /// Whether they may still take some.
    fn in_time(&self) -> Result<(), Fault> {
        match self.until.get() {
            Some(until) if self.clock.monotonic() >= until => Err(Fault::Late(SMALL_FILES)),
            _ => Ok(()),
        }
    }

    /// Asks, and reads the body whole, at most `limit` bytes of it. Tries again what may pass. `None`: not modified.
    ///
    /// # Errors
    /// The last try's fault, in words.
    pub fn fetch(&self, at: &Address, headers: &Headers, limit: u64) -> Result<Option<(Head, Vec<u8>)>, Failed> {
        self.persist(|| {
            self.in_time()?;
            let answer = self.ask(at, headers)?;
            match answer.head.status {
                304 => Ok(None),
                200 => read_whole(answer, limit, || self.in_time()).map(Some),
                other => Err(Fault::Status(other, None)),
            }
        })
    }

    /// Does something until it succeeds, fails for good, or has failed [`retry::TRIES`] times.
    pub fn persist<T>(&self, mut what: impl FnMut() -> Result<T, Fault>) -> Result<T, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let fault = match what() {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            if tries == retry::TRIES || !self.passing(&fault) {
                return Err(Failed { fault, tries });
            }
            if self.clock.sleep(retry::pause(tries, fault.asked_pause(), retry::chance())) {
                return Err(Failed { fault: Fault::Cancelled, tries: 1 });
            }
        }
    }

    /// Asks once, following redirects.
    pub fn ask(&self, at: &Address, headers: &Headers) -> Result<Answer<'a>, Fault> {
        let mut at = at.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.ask_one(&at, headers)?;
            let location = match answer.head.status {
                200 | 206 | 304 | 416 => {
                    plain(&answer.head)?;
                    return Ok(answer);
                }
                301 | 302 | 303 | 307 | 308 => answer.head.get(header::LOCATION).unwrap_or_default(),
                code => {
                    let date = answer.head.get(header::DATE);
                    let wait = answer.head.get(header::RETRY_AFTER).and_then(|v| retry::retry_after(v, date, self.clock.now()));
                    return Err(Fault::Status(code, wait));
                }
            };
            if location.is_empty() {
                return Err(Fault::Redirect("without saying where to".into()));
            }
            let next = at.join(location).map_err(|e| Fault::Redirect(format!("to an address that cannot be used: {e}")))?;
            if at.is_https() && !next.is_https() {
                return Err(Fault::Redirect(format!("from https to plain http ({next})")));
            }
            at = next;
        }
        Err(Fault::Redirect(format!("more than {REDIRECTS_MAX} times, last to {at}")))
    }

    fn ask_one(&self, at: &Address, headers: &Headers) -> Result<Answer<'a>, Fault> {
        if !(at.is_https() || self.allow_http || at.is_loopback()) {
            return Err(Fault::Redirect(format!("to plain http ({at}), which allow_http does not allow")));
        }
        let mut request = Request::get(at.full()).header(ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| at.same_origin(&self.home)) {
            request = request.header(AUTHORIZATION, format!("token {}", token.secret()));
        }
        let request = request.body(()).map_err(|e| Fault::Other(e.to_string()))?;
        let proxy = self.proxies.of(at);
        let proxied = proxy.is_some();
        let request = if proxied { self.agent.configure_request(request).proxy(proxy).build() } else { request };
        let agent = self.agent.clone();
        self.count.set(self.count.get().plus(1, 0));
        let mut body = Pump::start(self.clock, self.limits.min_speed, self.limits.limit_rate, move |out| {
            let (parts, body) = match agent.run(request) {
                Ok(response) => response.into_parts(),
                Err(e) => {
                    out.send(Part::Broken(Fault::of(e)));
                    return;
                }
            };
            if out.send(Part::Head(Head::new(parts.status.as_u16(), parts.headers))) {
                out.drain(body.into_reader(), |e| Fault::of(ureq::Error::from(e)));
            }
        })?;
        let head = body.head().map_err(|f| if proxied { f.by_proxy() } else { f })?;
        self.met.set(true);
        Ok(Answer { head, body, count: self.count.clone() })
    }
}

/// A request that failed, and after how many tries.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong last.
    pub fault: Fault,
    /// How often it was tried.
    pub tries: u32,
}

impl Failed {
    /// The server has no such thing.
    pub fn is_missing(&self) -> bool {
        matches!(self.fault, Fault::Status(404 | 410, _))
    }
    /// In words.
    pub fn tell(&self, http: &Http<'_>, at: &Address) -> Error {
        self.fault.tell(at, self.tries, http.has_token(), http.clock.now())
    }
}

/// Waits between two tries of a download; `true`: asked to stop.
pub fn rest(clock: &dyn Clock, failed: u32, asked: Option<Duration>) -> bool {
    clock.sleep(retry::pause(failed, asked, retry::chance())) || clock.stops() > 0
}
