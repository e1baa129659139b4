//! An answer: its head, and what of it is believed. Nothing that is compressed on the way, no web page where data should be.

use std::cell::Cell;
use std::rc::Rc;

use ureq::http::header::{self, HeaderMap, HeaderName};

use super::Tally;
use super::fault::Fault;
use super::pump::Pump;

/// What stands before the bytes of an answer.
pub struct Head {
    /// 200, 206, 304 or 416; anything else is a [`Fault`].
    pub status: u16,
    headers: HeaderMap,
}

impl Head {
    /// Of a status and its headers.
    pub fn new(status: u16, headers: HeaderMap) -> Self {
        Head { status, headers }
    }
    /// A header's text.
    pub fn get(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// A header's text, for those that have no constant.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// Bytes of the body, if told.
    pub fn length(&self) -> Option<u64> {
        self.get(header::CONTENT_LENGTH)?.parse().ok()
    }
    /// Whether it says to be a web page.
    pub fn is_page(&self) -> bool {
        self.get(header::CONTENT_TYPE).is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }
}

/// An answer whose body is still to be read.
pub struct Answer<'a> {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Pump<'a, Head>,
    /// Where its bytes are counted.
    pub count: Rc<Cell<Tally>>,
}

impl Answer<'_> {
    /// Reads some of the body; 0 at its end.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        let n = self.body.read(into)?;
        self.count.set(self.count.get().plus(0, n as u64));
        Ok(n)
    }
}

/// Refuses what would not be the bytes that were published.
pub fn plain(head: &Head) -> Result<(), Fault> {
    if let Some(coding) = head.get(header::CONTENT_ENCODING).filter(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(Fault::Wrong(format!("the answer is compressed for the transport ({coding}), though that was ruled out")));
    }
    if let Some(coding) = head.get(header::TRANSFER_ENCODING).filter(|c| !c.trim().eq_ignore_ascii_case("chunked")) {
        return Err(Fault::Wrong(format!("the answer comes in a transfer coding that was not asked for ({coding})")));
    }
    Ok(())
}

/// Reads a small body whole, at most `limit` bytes, and only as long as `in_time`.
pub fn read_whole(mut answer: Answer<'_>, limit: u64, in_time: impl Fn() -> Result<(), Fault>) -> Result<(Head, Vec<u8>), Fault> {
    if answer.head.is_page() {
        return Err(Fault::Page);
    }
    if answer.head.length().is_some_and(|n| n > limit) {
        return Err(Fault::TooBig(limit));
    }
    let mut whole = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match answer.read(&mut buffer)? {
            0 => break,
            n => whole.extend_from_slice(&buffer[..n]),
        }
        in_time()?;
        if whole.len() as u64 > limit {
            return Err(Fault::TooBig(limit));
        }
    }
    // a page that does not say so; none of the files asked for begins like this
    if whole.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<') {
        return Err(Fault::Page);
    }
    Ok((answer.head, whole))
}
