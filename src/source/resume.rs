//! A download that survives its line: when the connection breaks it asks for the rest and goes on, so that whoever reads sees one
//! stream of bytes. Whether they are the right ones is for the digests to say; here it is made sure that they are from one file.

use std::io::{self, Read};

use ureq::http::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};

use super::Body;
use super::address::Address;
use super::answer::{Answer, Head};
use super::fault::Fault;
use super::http::{Failed, Http, rest};
use crate::error::Result;

/// Breaks in a row without [`PROGRESS`] after which it gives up.
const BREAKS_MAX: u32 = 5;
/// Bytes that count as progress: a server that gives a handful each time would otherwise keep us for ever.
const PROGRESS: u64 = 16 << 10;

/// Opens a file at an offset; at 0 when the server cannot, or has another file now. `size` is what its owner says it has.
///
/// # Errors
/// The fault in words; a size that is not `size`.
pub fn open<'s>(http: &'s Http<'_>, at: Address, from: u64, validator: Option<&str>, size: Option<u64>) -> Result<Body<'s>> {
    let tell = |failed: Failed| failed.tell(http, &at);
    let mut opened = http.persist(|| ask(http, &at, from, validator)).map_err(tell)?;
    let start = match place(&opened.head, from) {
        Place::Here(_) => from,
        Place::End(total) if total == from && size.is_none_or(|s| s == total) => {
            // all of it was fetched before
            return Ok(Body { reader: Box::new(io::empty()), start: from, total: Some(total), validator: validator.map(str::to_owned) });
        }
        Place::Whole(_) => 0,
        Place::End(_) | Place::Nonsense(_) => {
            opened = http.persist(|| ask(http, &at, 0, None)).map_err(tell)?;
            0
        }
    };
    let total = match place(&opened.head, start) {
        Place::Here(total) | Place::Whole(total) => total,
        Place::End(_) | Place::Nonsense(_) => {
            return Err(tell(Failed { fault: Fault::Wrong("the server answers with a part of the file that was not asked for".into()), tries: 1 }));
        }
    };
    if let (Some(told), Some(known)) = (total, size)
        && told != known
    {
        return Err(tell(Failed { fault: Fault::Wrong(format!("the server has {told} bytes there, the release says {known}")), tries: 1 }));
    }
    let (total, validator) = (total.or(size), self::validator(&opened.head));
    let reader = Resuming { http, url: at, next: start, total, validator: validator.clone(), line: Some(opened), drop: 0, breaks: 0, progress: 0 };
    Ok(Body { reader: Box::new(reader), start, total, validator })
}

/// The reader that goes on.
struct Resuming<'s, 'a> {
    http: &'s Http<'a>,
    url: Address,
    /// Offset of the next byte handed out.
    next: u64,
    total: Option<u64>,
    validator: Option<String>,
    line: Option<Answer<'a>>,
    /// Bytes of this connection that were handed out before.
    drop: u64,
    breaks: u32,
    progress: u64,
}

impl<'a> Resuming<'_, 'a> {
    fn step(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        if self.line.is_none() {
            self.line = Some(self.reopen()?);
        }
        let Some(line) = &mut self.line else { return Ok(0) };
        while self.drop > 0 {
            let mut waste = [0; 16 << 10];
            let most = self.drop.min(waste.len() as u64) as usize;
            match line.body.read(&mut waste[..most])? {
                0 => return Err(Fault::Cut("the file became shorter".into())),
                n => self.drop -= n as u64,
            }
        }
        let n = line.body.read(into)?;
        let left = self.total.map(|t| t.saturating_sub(self.next));
        match (n as u64, left) {
            (0, Some(1..)) => Err(Fault::Cut(format!("it ended {} bytes early", left.unwrap_or_default()))),
            (n, Some(left)) if n > left => Err(Fault::Wrong(format!("more came than the {} bytes that the file has", self.total.unwrap_or_default()))),
            _ => Ok(n),
        }
    }

    /// Asks for the rest, or for all of it if there is no other way.
    fn reopen(&mut self) -> Result<Answer<'a>, Fault> {
        let changed = || Fault::Wrong("the file changed on the server during the download".into());
        let mut answer = ask(self.http, &self.url, self.next, self.validator.as_deref())?;
        if matches!(place(&answer.head, self.next), Place::End(_) | Place::Nonsense(_)) {
            answer = ask(self.http, &self.url, 0, None)?;
        }
        let (total, drop) = match place(&answer.head, self.next) {
            Place::Here(total) => (total, 0),
            Place::Whole(total) => (total, self.next),
            Place::End(_) | Place::Nonsense(_) => return Err(Fault::Wrong("the server answers with a part of the file that was not asked for".into())),
        };
        let other = |now: Option<String>| self.validator.is_some() && now.is_some() && now != self.validator;
        if other(validator(&answer.head)) || (total.is_some() && self.total.is_some() && total != self.total) {
            return Err(changed());
        }
        self.drop = drop;
        Ok(answer)
    }
}

impl Read for Resuming<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let fault = match self.step(into) {
                Ok(n) => {
                    self.next += n as u64;
                    self.progress += n as u64;
                    if self.progress >= PROGRESS {
                        (self.breaks, self.progress) = (0, 0);
                    }
                    return Ok(n);
                }
                Err(fault) => fault,
            };
            self.line = None;
            self.breaks += 1;
            let tell = |fault: &Fault, tries| io::Error::other(fault.tell(&self.url, tries, self.http.has_token(), self.http.clock().now()));
            if self.breaks > BREAKS_MAX || !self.http.passing(&fault) {
                return Err(tell(&fault, self.breaks));
            }
            if rest(self.http.clock(), self.breaks, fault.asked_pause()) {
                return Err(tell(&Fault::Cancelled, 1));
            }
        }
    }
}

fn ask<'a>(http: &Http<'a>, at: &Address, from: u64, validator: Option<&str>) -> Result<Answer<'a>, Fault> {
    let mut headers = Vec::new();
    if from > 0 {
        headers.push((RANGE, format!("bytes={from}-")));
        // without a validator the digests alone say whether both halves are of one file
        headers.extend(validator.map(|v| (IF_RANGE, v.to_owned())));
    }
    let answer = http.ask(at, &headers)?;
    if answer.head.is_page() { Err(Fault::Page) } else { Ok(answer) }
}

/// What strong name the file has: an ETag that is not weak, else its date.
fn validator(head: &Head) -> Option<String> {
    let strong = head.get(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| head.get(LAST_MODIFIED)).map(str::to_owned)
}

/// Which part of the file an answer is, with the size of the whole where it is told.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    /// From where it was asked for.
    Here(Option<u64>),
    /// From the start.
    Whole(Option<u64>),
    /// There is nothing at or after what was asked for.
    End(u64),
    /// Something else.
    Nonsense(u64),
}

fn place(head: &Head, from: u64) -> Place {
    place_of(head.status, head.get(CONTENT_RANGE), head.length(), from)
}

pub(super) fn place_of(status: u16, range: Option<&str>, length: Option<u64>, from: u64) -> Place {
    let range = range.and_then(|r| r.trim().strip_prefix("bytes")).map(|r| r.trim_start_matches([' ', '=']));
    let parts = range.and_then(|r| r.split_once('/'));
    match (status, parts) {
        (200, _) => Place::Whole(length),
        (206, Some((span, total))) => {
            let span = span.split_once('-').and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
            let total = total.parse::<u64>().ok();
            match span {
                // to the very end: less would be a cache that cuts, and its body would end in silence
                Some((start, last)) if start == from && start <= last && total.is_none_or(|t| last.checked_add(1) == Some(t)) => {
                    let fits = length.is_none_or(|n| last - start < n && n - 1 == last - start);
                    if fits { Place::Here(total.or(last.checked_add(1))) } else { Place::Nonsense(start) }
                }
                Some((start, _)) => Place::Nonsense(start),
                None => Place::Nonsense(0),
            }
        }
        (416, Some((_, total))) => total.parse().map_or(Place::Nonsense(0), Place::End),
        _ => Place::Nonsense(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_placed_by_its_own_words() {
        let table = [
            (200, None, Some(10), 4, Place::Whole(Some(10))),
            (206, Some("bytes 4-9/10"), Some(6), 4, Place::Here(Some(10))),
            (206, Some("bytes 4-9/10"), None, 4, Place::Here(Some(10))),
            (206, Some("bytes 4-9/*"), Some(6), 4, Place::Here(Some(10))),
            (206, Some("bytes 4-9/10"), Some(7), 4, Place::Nonsense(4)),
            (206, Some("bytes 4-7/10"), Some(4), 4, Place::Nonsense(4)),
            (206, Some("bytes 7-9/10"), Some(3), 4, Place::Nonsense(7)),
            (206, Some("bytes 9-4/10"), None, 9, Place::Nonsense(9)),
            (206, Some("bytes 0-18446744073709551615/3"), None, 0, Place::Nonsense(0)),
            (206, None, Some(6), 4, Place::Nonsense(0)),
            (416, Some("bytes */10"), None, 10, Place::End(10)),
            (416, None, None, 10, Place::Nonsense(0)),
            (304, None, None, 0, Place::Nonsense(0)),
        ];
        for (status, range, length, from, want) in table {
            assert_eq!(place_of(status, range, length, from), want, "{status} {range:?} {length:?}");
        }
    }
}
