//! A download that survives its line: when the connection breaks it asks for the rest and goes on, so that whoever reads sees one
//! stream of bytes. Whether they are the right ones is for the digests to say; here it is made sure that they are from one file.

use std::io::{self, Read};

use ureq::http::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};

use super::address::Address;
use super::answer::{Answer, Head};
use super::fault::Fault;
use super::http::{Failed, Http, rest};
use super::{Body, Span};
use crate::error::Result;

/// Breaks in a row without [`PROGRESS`] after which it gives up.
const BREAKS_MAX: u32 = 5;
/// Bytes that count as progress: a server that gives a handful each time would otherwise keep us for ever.
const PROGRESS: u64 = 16 << 10;

/// Which bytes a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// From here to the end.
    From(u64),
    /// From here to before there.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

/// Opens a file where the span begins; at 0 when the server cannot, or has another file now. `size` is what its owner says it has.
///
/// # Errors
/// The fault in words; a size that is not `size`.
pub fn open<'s>(http: &'s Http<'_>, at: Address, span: Span, size: Option<u64>) -> Result<Body<'s>> {
    let tell = |failed: Failed| failed.tell(http, &at);
    let (wanted, validator, length) = match (span, size) {
        (Span::Rest { from, validator }, _) => (Ask::From(from), validator, None),
        (Span::Run { before_end, length }, Some(size)) => {
            let start = size.saturating_sub(before_end);
            (Ask::Between(start, start.saturating_add(length)), None, Some(length))
        }
        // the size is told with the answer; what comes behind the run is left
        (Span::Run { before_end, length }, None) => (Ask::Last(before_end), None, Some(length)),
    };
    let mut opened = http.persist(|| ask(http, &at, wanted, validator)).map_err(tell)?;
    let mut came = wanted;
    let (start, end) = match place(&opened.head, wanted) {
        Place::Here(start, _) => (start, length.map(|n| start.saturating_add(n))),
        Place::End(total) if wanted == Ask::From(total) && size.is_none_or(|s| s == total) => {
            // all of it was fetched before
            let validator = validator.map(str::to_owned);
            return Ok(Body { reader: Box::new(io::empty()), start: total, total: Some(total), validator, cut: false });
        }
        Place::Whole(_) => (0, None),
        Place::End(_) | Place::Nonsense(_) => {
            came = Ask::From(0);
            opened = http.persist(|| ask(http, &at, Ask::From(0), None)).map_err(tell)?;
            (0, None)
        }
    };
    let total = match place(&opened.head, came) {
        Place::Here(_, total) | Place::Whole(total) => total,
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
    let cut = end.is_some();
    let reader = Resuming { next: start, end: end.or(total), cut, total, validator: validator.clone(), line: Some(opened), drop: 0 };
    Ok(Body { reader: Box::new(Persistent::new(http, at, reader)), start, total, validator, cut })
}

/// The file from a place on, over one connection after the other.
struct Resuming<'a> {
    /// Offset of the next byte handed out.
    next: u64,
    /// Where it ends, if that is known.
    end: Option<u64>,
    /// That is before the file's end.
    cut: bool,
    total: Option<u64>,
    validator: Option<String>,
    line: Option<Answer<'a>>,
    /// Bytes of this connection that were handed out before.
    drop: u64,
}

impl<'a> Stream<'a> for Resuming<'a> {
    fn step(&mut self, http: &Http<'a>, at: &Address, into: &mut [u8]) -> Result<usize, Fault> {
        let left = self.end.map(|end| end.saturating_sub(self.next));
        // a run ends before the file does
        if left == Some(0) && self.cut {
            return Ok(0);
        }
        if self.line.is_none() {
            self.line = Some(self.reopen(http, at)?);
        }
        let Some(line) = &mut self.line else { return Ok(0) };
        while self.drop > 0 {
            let mut waste = [0; 16 << 10];
            let most = self.drop.min(waste.len() as u64) as usize;
            match line.read(&mut waste[..most])? {
                0 => return Err(Fault::Cut("the file became shorter".into())),
                n => self.drop -= n as u64,
            }
        }
        let most = if self.cut { into.len().min(usize::try_from(left.unwrap_or(u64::MAX)).unwrap_or(usize::MAX)) } else { into.len() };
        let n = line.read(&mut into[..most])?;
        match (n as u64, left) {
            (0, Some(1..)) => Err(Fault::Cut(format!("it ended {} bytes early", left.unwrap_or_default()))),
            (n, Some(left)) if n > left => Err(Fault::Wrong(format!("more came than the {} bytes that the file has", self.total.unwrap_or_default()))),
            _ => {
                self.next += n as u64;
                Ok(n)
            }
        }
    }

    fn broken(&mut self) {
        self.line = None;
    }
}

impl<'a> Resuming<'a> {
    /// Asks for the rest, or for all of it if there is no other way.
    fn reopen(&mut self, http: &Http<'a>, at: &Address) -> Result<Answer<'a>, Fault> {
        let changed = || Fault::Wrong("the file changed on the server during the download".into());
        let wanted = match self.end {
            Some(end) if self.cut => Ask::Between(self.next, end),
            _ => Ask::From(self.next),
        };
        let mut answer = ask(http, at, wanted, self.validator.as_deref())?;
        if matches!(place(&answer.head, wanted), Place::End(_) | Place::Nonsense(_)) {
            answer = ask(http, at, Ask::From(0), None)?;
        }
        let (total, drop) = match place(&answer.head, wanted) {
            Place::Here(_, total) => (total, 0),
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

/// Bytes that come over a line that may break.
pub(super) trait Stream<'a> {
    /// Reads some, over a new connection if there is none; 0 at the end.
    fn step(&mut self, http: &Http<'a>, at: &Address, into: &mut [u8]) -> Result<usize, Fault>;
    /// The connection is of no more use.
    fn broken(&mut self);
}

/// The reader that goes on.
pub(super) struct Persistent<'s, 'a, S> {
    http: &'s Http<'a>,
    url: Address,
    stream: S,
    breaks: u32,
    progress: u64,
}

impl<'s, 'a, S> Persistent<'s, 'a, S> {
    pub(super) fn new(http: &'s Http<'a>, url: Address, stream: S) -> Self {
        Persistent { http, url, stream, breaks: 0, progress: 0 }
    }
}

impl<'a, S: Stream<'a>> Read for Persistent<'_, 'a, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let fault = match self.stream.step(self.http, &self.url, into) {
                Ok(n) => {
                    self.progress += n as u64;
                    if self.progress >= PROGRESS {
                        (self.breaks, self.progress) = (0, 0);
                    }
                    return Ok(n);
                }
                Err(fault) => fault,
            };
            self.stream.broken();
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

fn ask<'a>(http: &Http<'a>, at: &Address, wanted: Ask, validator: Option<&str>) -> Result<Answer<'a>, Fault> {
    let range = match wanted {
        Ask::From(0) => None,
        Ask::From(from) => Some(format!("bytes={from}-")),
        Ask::Between(from, end) => Some(format!("bytes={from}-{}", end.saturating_sub(1))),
        Ask::Last(count) => Some(format!("bytes=-{count}")),
    };
    let mut headers = Vec::new();
    if let Some(range) = range {
        headers.push((RANGE, range));
        // without a validator the digests alone say whether both halves are of one file
        headers.extend(validator.map(|v| (IF_RANGE, v.to_owned())));
    }
    let answer = http.ask(at, &headers)?;
    if answer.head.is_page() { Err(Fault::Page) } else { Ok(answer) }
}

/// What strong name the file has: an ETag that is not weak, else its date.
pub(super) fn validator(head: &Head) -> Option<String> {
    let strong = head.get(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| head.get(LAST_MODIFIED)).map(str::to_owned)
}

/// Which part of the file an answer is, with the size of the whole where it is told.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    /// What was asked for: where it starts, and the size of the whole.
    Here(u64, Option<u64>),
    /// From the start.
    Whole(Option<u64>),
    /// There is nothing at or after what was asked for.
    End(u64),
    /// Something else.
    Nonsense(u64),
}

fn place(head: &Head, asked: Ask) -> Place {
    place_of(head.status, head.get(CONTENT_RANGE), head.length(), asked)
}

pub(super) fn place_of(status: u16, range: Option<&str>, length: Option<u64>, asked: Ask) -> Place {
    let range = range.and_then(|r| r.trim().strip_prefix("bytes")).map(|r| r.trim_start_matches([' ', '=']));
    let parts = range.and_then(|r| r.split_once('/'));
    match (status, parts) {
        (200, _) => Place::Whole(length),
        (206, Some((span, total))) => {
            let span = span.split_once('-').and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?.checked_add(1)?)));
            let total = total.parse::<u64>().ok();
            let Some((start, end)) = span.filter(|(a, b)| a < b) else { return Place::Nonsense(0) };
            // to the very end of what was asked for: less would be a cache that cuts, and its body would end in silence
            let to_the_end = total.is_none_or(|t| t == end);
            let here = match asked {
                Ask::From(from) => start == from && to_the_end,
                Ask::Between(from, until) => start == from && (end == until || (end < until && total == Some(end))),
                // where it begins follows from its length only if it is known where it ends
                Ask::Last(count) => total == Some(end) && end - start == count,
            };
            let fits = length.is_none_or(|n| n == end - start);
            // a file whose size is not told is as long as what goes to its end
            let total = total.or(if matches!(asked, Ask::From(_)) { Some(end) } else { None });
            if here && fits { Place::Here(start, total) } else { Place::Nonsense(start) }
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
        let (from, between, last) = (Ask::From, Ask::Between, Ask::Last);
        let table = [
            (200, None, Some(10), from(4), Place::Whole(Some(10))),
            (206, Some("bytes 4-9/10"), Some(6), from(4), Place::Here(4, Some(10))),
            (206, Some("bytes 4-9/10"), None, from(4), Place::Here(4, Some(10))),
            (206, Some("bytes 4-9/*"), Some(6), from(4), Place::Here(4, Some(10))),
            (206, Some("bytes 4-9/10"), Some(7), from(4), Place::Nonsense(4)),
            (206, Some("bytes 4-7/10"), Some(4), from(4), Place::Nonsense(4)),
            (206, Some("bytes 7-9/10"), Some(3), from(4), Place::Nonsense(7)),
            (206, Some("bytes 9-4/10"), None, from(9), Place::Nonsense(0)),
            (206, Some("bytes 0-18446744073709551615/3"), None, from(0), Place::Nonsense(0)),
            (206, None, Some(6), from(4), Place::Nonsense(0)),
            (416, Some("bytes */10"), None, from(10), Place::End(10)),
            (416, None, None, from(10), Place::Nonsense(0)),
            (304, None, None, from(0), Place::Nonsense(0)),
            (200, None, Some(10), between(4, 6), Place::Whole(Some(10))),
            (206, Some("bytes 4-5/10"), Some(2), between(4, 6), Place::Here(4, Some(10))),
            (206, Some("bytes 4-5/*"), Some(2), between(4, 6), Place::Here(4, None)),
            (206, Some("bytes 4-9/10"), Some(6), between(4, 12), Place::Here(4, Some(10))),
            (206, Some("bytes 4-9/10"), Some(6), between(4, 6), Place::Nonsense(4)),
            (206, Some("bytes 4-4/10"), Some(1), between(4, 6), Place::Nonsense(4)),
            (206, Some("bytes 4-4/*"), Some(1), between(4, 6), Place::Nonsense(4)),
            (206, Some("bytes 4-9/10"), Some(6), last(6), Place::Here(4, Some(10))),
            (206, Some("bytes 4-9/*"), Some(6), last(6), Place::Nonsense(4)),
            (206, Some("bytes 0-5/10"), Some(6), last(6), Place::Nonsense(0)),
            (206, Some("bytes 5-9/10"), Some(5), last(6), Place::Nonsense(5)),
        ];
        for (status, range, length, asked, want) in table {
            assert_eq!(place_of(status, range, length, asked), want, "{status} {range:?} {length:?} {asked:?}");
        }
    }
}
