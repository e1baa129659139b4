//! Doors for `fuzz/`: what is private here, in plain types, and a download over a line that it makes up.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ureq::Agent;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::Connector;

use super::access::Access;
use super::address::Address;
use super::http::Http;
use super::resume::{self, Ask, Place};
use super::{Body, Span, parts, retry};
use crate::device::settings::Download;
use crate::error::{Error, Result};
use crate::world::Clock;

/// Which part of a file an answer claims to be, when it was asked for from `from` on, to before `until` if that is given, and the number
/// it names.
pub fn place(status: u16, range: Option<&str>, length: Option<u64>, from: u64, until: Option<u64>) -> (&'static str, Option<u64>) {
    match resume::place_of(status, range, length, until.map_or(Ask::From(from), |until| Ask::Between(from, until))) {
        Place::Here(_, total) => ("here", total),
        Place::Whole(total) => ("whole", total),
        Place::End(total) => ("end", Some(total)),
        Place::Nonsense(start) => ("nonsense", Some(start)),
    }
}

/// The pause that a `Retry-After` leads to, after so many failures.
pub fn pause(failed: u32, value: &str, server_now: Option<&str>, our_now: DateTime<Utc>) -> Duration {
    retry::pause(failed, retry::retry_after(value, server_now, our_now), 1.0)
}

/// Where a `Location` leads: whether it is encrypted, the host, the whole URL, and whether a token would be sent along.
pub fn join(base: &str, location: &str) -> Option<(bool, String, String, bool)> {
    let base = Address::parse(base).ok()?;
    let to = base.join(location).ok()?;
    Some((to.is_https(), to.host().to_owned(), to.full(), to.same_origin(&base)))
}

/// A client whose lines are made by `connector`.
pub struct Client<'a>(Http<'a>);

impl<'a> Client<'a> {
    /// A client of the server at `base`.
    ///
    /// # Errors
    /// As for a client in earnest.
    pub fn new(base: &str, clock: &'a dyn Clock, connector: impl Connector, resolver: impl Resolver) -> Result<Self> {
        let access = Access { allow_http: true, ..Access::default() };
        let limits = Download { timeout: Duration::from_secs(5), min_speed: 0, limit_rate: 0 };
        let mut http = Http::new(base, access, limits, clock)?;
        http.agent = Agent::with_parts(http.agent.config().clone(), connector, resolver);
        Ok(Client(http))
    }
    /// Forgets that the server ever answered: each input begins with the same client, and a client takes long to make.
    pub fn forget(&self) {
        self.0.met.set(false);
    }
    /// Opens a file, as a bundle is opened.
    ///
    /// # Errors
    /// As for a bundle.
    pub fn open(&self, at: &str, span: Span, size: Option<u64>) -> Result<Body<'_>> {
        let at = Address::parse(at).map_err(Error::usage)?;
        resume::open(&self.0, at, span, size)
    }
    /// Opens several parts of a file, as chunks are.
    ///
    /// # Errors
    /// The address.
    pub fn parts(&self, at: &str, parts: Vec<Range<u64>>, size: Option<u64>) -> Result<Body<'_>> {
        Ok(parts::open(&self.0, Address::parse(at).map_err(Error::usage)?, size, parts, 100))
    }
    /// Reads a small file whole.
    ///
    /// # Errors
    /// The fault in words.
    pub fn fetch(&self, at: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let at = Address::parse(at).map_err(Error::usage)?;
        let fetched = self.0.fetch(&at, &[], limit).map_err(|failed| failed.tell(&self.0, &at))?;
        Ok(fetched.map(|(_, bytes)| bytes))
    }
}
