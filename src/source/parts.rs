//! Several parts of a file with one request (RFC 9110, 14: `Range` with a set of ranges, `multipart/byteranges`). Whoever reads sees the
//! parts as one stream, one after the other; when the line breaks, what is left of them is asked for again.

use std::collections::VecDeque;
use std::ops::Range;

use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};

use super::Body;
use super::address::Address;
use super::answer::Answer;
use super::fault::Fault;
use super::http::Http;
use super::resume::{self, Persistent, Stream};
use crate::error::Result;

/// Longest line between two parts, bytes.
const LINE_MAX: usize = 1 << 10;
/// Most lines between two parts.
const LINES_MAX: usize = 32;
/// Bytes of one read between two parts.
const SOME: usize = 2 << 10;

/// Opens these parts of a file, in their order, which is ascending. Nothing is asked before the first read. So many bytes beside them may
/// come, as a server hands out what lies between two parts.
pub fn open<'s>(http: &'s Http<'_>, at: Address, size: Option<u64>, parts: Vec<Range<u64>>, spare: u64) -> Body<'s> {
    let start = parts.first().map_or(0, |p| p.start);
    let reader = Persistent::new(http, at, Parts { left: parts.into(), size, spare, validator: None, line: None });
    Body { reader: Box::new(reader), start, total: size, validator: None, cut: true }
}

/// The parts that have not come.
struct Parts<'a> {
    /// What is left of them.
    left: VecDeque<Range<u64>>,
    size: Option<u64>,
    /// Bytes that may still come beside them.
    spare: u64,
    /// Of which state of the file the first came.
    validator: Option<String>,
    line: Option<Line<'a>>,
}

impl<'a> Stream<'a> for Parts<'a> {
    fn step(&mut self, http: &Http<'a>, at: &Address, into: &mut [u8]) -> Result<usize, Fault> {
        loop {
            while self.left.front().is_some_and(Range::is_empty) {
                self.left.pop_front();
            }
            if self.left.is_empty() {
                return Ok(0);
            }
            let line = match &mut self.line {
                Some(line) => line,
                None => {
                    let (line, validator) = ask(http, at, &self.left, self.size, self.validator.as_deref())?;
                    self.validator = validator;
                    self.line.insert(line)
                }
            };
            let part = &mut self.left[0];
            if line.here.is_empty() {
                line.next_part(self.size)?;
            } else if line.here.start < part.start {
                let waste = &mut [0; SOME];
                let most = (part.start - line.here.start).min(SOME as u64) as usize;
                let n = line.content(&mut waste[..most])?;
                self.spare = self.spare.checked_sub(n as u64).ok_or_else(nonsense)?;
            } else if line.here.start > part.start {
                return Err(nonsense());
            } else {
                let most = usize::try_from(part.end - part.start).map_or(into.len(), |n| n.min(into.len()));
                let n = line.content(&mut into[..most])?;
                part.start += n as u64;
                return Ok(n);
            }
        }
    }

    fn broken(&mut self) {
        self.line = None;
    }
}

fn nonsense() -> Fault {
    Fault::Wrong("the server answers with a part of the file that was not asked for".into())
}

/// Asks for parts. Returns what comes, and of which state of the file it is.
fn ask<'a>(
    http: &Http<'a>,
    at: &Address,
    parts: &VecDeque<Range<u64>>,
    size: Option<u64>,
    validator: Option<&str>,
) -> Result<(Line<'a>, Option<String>), Fault> {
    let set: Vec<String> = parts.iter().map(|p| format!("{}-{}", p.start, p.end - 1)).collect();
    let mut headers = vec![(RANGE, format!("bytes={}", set.join(",")))];
    headers.extend(validator.map(|v| (IF_RANGE, v.to_owned())));
    let answer = http.ask(at, &headers)?;
    if answer.head.status != 206 {
        return Err(Fault::Wrong("the server does not hand out several parts of a file at once".into()));
    }
    let now = resume::validator(&answer.head);
    if validator.is_some() && now.as_deref() != validator {
        return Err(Fault::Wrong("the file changed on the server during the download".into()));
    }
    let mut line = Line { boundary: answer.head.get(CONTENT_TYPE).and_then(boundary), answer, here: 0..0, held: Vec::new(), at: 0 };
    if line.boundary.is_none() {
        // one part, or all of them and what lies between
        let here = line.answer.head.get(CONTENT_RANGE).and_then(|r| place(r, size));
        line.here = here.filter(|here| parts.back().is_some_and(|last| here.end >= last.end)).ok_or_else(nonsense)?;
    }
    Ok((line, now))
}

/// The boundary of an answer in several parts.
fn boundary(kind: &str) -> Option<String> {
    let mut fields = kind.split(';').map(str::trim);
    fields.next().filter(|k| k.eq_ignore_ascii_case("multipart/byteranges"))?;
    let told = fields.find_map(|f| f.split_at_checked("boundary=".len()).filter(|(name, _)| name.eq_ignore_ascii_case("boundary=")))?.1;
    let told = told.trim_matches('"');
    (!told.is_empty() && told.len() <= 200).then(|| told.to_owned())
}

/// Which bytes a part is, of a file of this size.
fn place(range: &str, size: Option<u64>) -> Option<Range<u64>> {
    let (span, total) = range.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']).split_once('/')?;
    let (start, last) = span.split_once('-')?;
    let here = start.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
    let same = match (total.parse::<u64>(), size) {
        (Ok(total), Some(size)) => total == size,
        _ => true,
    };
    (same && here.start < here.end && size.is_none_or(|size| here.end <= size)).then_some(here)
}

/// An answer, and where in the file it is.
struct Line<'a> {
    answer: Answer<'a>,
    /// What stands between its parts; none: it is a single one.
    boundary: Option<String>,
    /// What is left of the part that it is in.
    here: Range<u64>,
    /// Bytes that were read along with lines, and how many of them are used.
    held: Vec<u8>,
    at: usize,
}

impl Line<'_> {
    /// Reads from the part.
    fn content(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        let most = usize::try_from(self.here.end - self.here.start).map_or(into.len(), |n| n.min(into.len()));
        let held = &self.held[self.at..];
        let n = if held.is_empty() {
            self.answer.read(&mut into[..most])?
        } else {
            let n = held.len().min(most);
            into[..n].copy_from_slice(&held[..n]);
            self.at += n;
            n
        };
        if n == 0 {
            return Err(early());
        }
        self.here.start += n as u64;
        Ok(n)
    }

    /// Goes on to the next part.
    fn next_part(&mut self, size: Option<u64>) -> Result<(), Fault> {
        let Some(boundary) = self.boundary.clone() else { return Err(early()) };
        let mut begun = false;
        let mut here = None;
        for _ in 0..LINES_MAX {
            let line = self.line()?;
            if !begun {
                match line.strip_prefix("--").and_then(|l| l.strip_prefix(boundary.as_str())) {
                    Some("") => begun = true,
                    Some("--") => return Err(early()),
                    _ if line.is_empty() => {}
                    _ => return Err(nonsense()),
                }
            } else if line.is_empty() {
                self.here = here.ok_or_else(nonsense)?;
                return Ok(());
            } else if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case(CONTENT_RANGE.as_str())) {
                // one after the other: so they have an end
                here = Some(place(value, size).filter(|here| here.start >= self.here.end).ok_or_else(nonsense)?);
            }
        }
        Err(nonsense())
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.held[self.at..].iter().position(|b| *b == b'\n') {
                let line = &self.held[self.at..self.at + end];
                let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| nonsense())?.to_owned();
                self.at += end + 1;
                return Ok(line);
            }
            if self.held.len() - self.at > LINE_MAX {
                return Err(nonsense());
            }
            self.held.drain(..std::mem::take(&mut self.at));
            let mut some = [0; SOME];
            match self.answer.read(&mut some)? {
                0 => return Err(early()),
                n => self.held.extend_from_slice(&some[..n]),
            }
        }
    }
}

fn early() -> Fault {
    Fault::Cut("not all parts came".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_parts_is_known_by_its_boundary() {
        let table = [
            ("multipart/byteranges; boundary=abc", Some("abc")),
            ("Multipart/ByteRanges;BOUNDARY=\"a b\"; charset=x", Some("a b")),
            ("multipart/byteranges", None),
            ("multipart/byteranges; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/octet-stream", None),
        ];
        for (kind, want) in table {
            assert_eq!(boundary(kind).as_deref(), want, "{kind}");
        }
        assert_eq!(boundary(&format!("multipart/byteranges; boundary={}", "x".repeat(201))), None);
    }

    #[test]
    fn a_part_is_where_it_says_of_the_file_that_is_meant() {
        let table = [
            (" bytes 4-9/10", Some(10), Some(4..10)),
            ("bytes 4-9/*", Some(10), Some(4..10)),
            ("bytes 4-9/10", None, Some(4..10)),
            ("bytes 4-9/11", Some(10), None),
            ("bytes 4-10/*", Some(10), None),
            ("bytes 9-4/10", Some(10), None),
            ("bytes 0-18446744073709551615/3", None, None),
            ("4-9/10", Some(10), None),
            ("bytes */10", Some(10), None),
        ];
        for (text, size, want) in table {
            assert_eq!(place(text, size), want, "{text}");
        }
    }
}
