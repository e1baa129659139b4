//! Reading a request's head: pure, strict, and what comes out of it is written anew.
//!
//! Two parsers that read one request differently make two requests of it. So everything on which they might differ is refused here, and
//! the inner server never sees a byte of the client's head: it gets a new one, made of a method we know, a target in visible ASCII, and
//! the few headers that a route may want.

use std::fmt::Write as _;

use super::refusal::{METHODS, Refusal};

/// Headers that are handed on, and whether a second one is refused. Everything else ends here: proxies' hints, upgrades, other people's.
const KNOWN: [(&str, bool); 17] = [
    ("Host", true),
    ("Origin", true),
    ("Authorization", true),
    ("Content-Type", true),
    ("Last-Event-ID", true),
    ("Cookie", false),
    ("Accept", false),
    ("Accept-Encoding", false),
    ("If-None-Match", false),
    ("Range", false),
    ("Referer", false),
    ("User-Agent", false),
    ("Sec-Fetch-Site", false),
    ("Sec-Fetch-Mode", false),
    ("X-Forwarded-For", false),
    ("X-Forwarded-Host", false),
    ("X-Forwarded-Proto", false),
];

const HEADERS_MAX: usize = 64;

/// A head that has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// One of [`METHODS`].
    pub method: &'static str,
    /// Path and query: visible ASCII that begins with a slash.
    pub target: String,
    /// The 0 or 1 of HTTP/1.x.
    pub minor: u8,
    /// Headers that are handed on, their values in visible ASCII, spaces and tabs.
    pub headers: Vec<(&'static str, String)>,
    /// Bytes of body that follow.
    pub length: usize,
    /// Whether the body passes by, instead of being kept until it is whole.
    pub passes: bool,
    /// Whether the client waits for our word before it sends them.
    pub expects: bool,
}

/// Where the head in these bytes ends, if it does. `seen` of them were looked at before.
///
/// # Errors
/// It cannot become a head any more, whatever follows.
pub fn end(bytes: &[u8], seen: usize, max: usize) -> Result<Option<usize>, Refusal> {
    for (at, byte) in bytes.iter().enumerate().take(max).skip(seen) {
        let before = at.checked_sub(1).map(|i| bytes[i]);
        match byte {
            b'\n' if before != Some(b'\r') => return Err(Refusal::new(400, "a line ends with CR LF")),
            _ if *byte != b'\n' && before == Some(b'\r') => return Err(Refusal::new(400, "a line ends with CR LF")),
            b'\n' if at == 1 => return Err(Refusal::new(400, "the request line is empty")),
            b'\n' if at >= 3 && bytes[at - 2] == b'\n' => return Ok(Some(at + 1)),
            b'\n' if !bytes[..at].contains(&b'\n') => line(&bytes[..=at])?,
            0..=8 | 11 | 12 | 14..=31 | 127 => return Err(Refusal::new(400, "a control character in the head")),
            _ => {}
        }
    }
    match bytes.len() >= max {
        true if bytes[..max].contains(&b'\n') => Err(Refusal::new(431, "the headers are too large")),
        true => Err(Refusal::new(414, "the request line is too long")),
        false => Ok(None),
    }
}

/// The first line alone: who speaks something else is told so before it waits for more.
fn line(bytes: &[u8]) -> Result<(), Refusal> {
    httparse::Request::new(&mut [httparse::EMPTY_HEADER; 1]).parse(bytes).map(|_| ()).map_err(wrong)
}

fn wrong(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(431, "too many headers"),
        httparse::Error::Version => Refusal::new(400, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Refusal::new(400, "a malformed header"),
        _ => Refusal::new(400, "not a request in HTTP/1.1"),
    }
}

/// Reads a head whose end was found by [`end`]. `large`: what is posted to this path may be so much, and passes by.
///
/// # Errors
/// It is malformed, ambiguous, too large, or asks for what is not done here.
pub fn parse(bytes: &[u8], body_max: usize, large: (&str, usize)) -> Result<Head, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes).map_err(wrong)? {
        httparse::Status::Complete(length) if length == bytes.len() => {}
        _ => return Err(Refusal::new(400, "not a request in HTTP/1.1")),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::new(400, "not a request in HTTP/1.1"));
    };
    if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(Refusal::new(400, "the target is a path, in ASCII"));
    }
    let headers: &[httparse::Header<'_>] = request.headers;
    let all = |name: &'static str| headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    if all("Transfer-Encoding").next().is_some() {
        return Err(Refusal::new(501, "a body comes with its Content-Length here"));
    }
    if KNOWN.iter().any(|(name, once)| *once && all(name).count() > 1) {
        return Err(Refusal::new(400, "a header that may come once comes twice"));
    }
    match all("Host").next() {
        Some(host) if !plausible(host) => return Err(Refusal::new(400, "the Host is none")),
        None if minor == 1 => return Err(Refusal::new(400, "the Host is missing")),
        _ => {}
    }
    let passes = method == "POST" && target.split('?').next() == Some(large.0);
    let length = length(all("Content-Length").collect::<Vec<_>>().as_slice(), if passes { large.1 } else { body_max })?;
    let expects = match all("Expect").collect::<Vec<_>>().as_slice() {
        [] => false,
        [one] if one.eq_ignore_ascii_case(b"100-continue") => minor == 1,
        _ => return Err(Refusal::new(417, "only 100-continue can be expected")),
    };
    // last, so that what is malformed is called so whatever its method
    let method = METHODS.iter().find(|m| **m == method).ok_or(Refusal::new(405, "this method is not known here"))?;
    let known = |h: &httparse::Header<'_>| KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(h.name)).map(|(name, _)| (*name, plain(h.value)));
    let headers = headers.iter().filter_map(known).filter(|(_, value)| !value.is_empty()).collect();
    Ok(Head { method, target: target.to_owned(), minor, headers, length, passes, expects })
}

fn plausible(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b".-_:[]%".contains(b))
}

fn length(values: &[&[u8]], max: usize) -> Result<usize, Refusal> {
    let text = match values {
        [] => return Ok(0),
        [one] => *one,
        _ => return Err(Refusal::new(400, "more than one Content-Length")),
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::new(400, "the Content-Length is not a number"));
    }
    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    number.filter(|n| *n <= max).ok_or(Refusal::new(413, "the body is too large"))
}

/// The inner server drops a connection over a letter that is not ASCII. A cookie of somebody else's page may well hold one.
fn plain(value: &[u8]) -> String {
    let text: String = value.iter().map(|b| if matches!(b, b'\t' | b' '..=b'~') { char::from(*b) } else { '?' }).collect();
    text.trim().to_owned()
}

impl Head {
    /// The head that the inner server gets, with these headers of ours.
    pub fn hand_on(&self, ours: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.{}\r\n", self.method, self.target, self.minor);
        let theirs = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in theirs.chain(ours.iter().copied()) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        // a body that passes by has a way of its own
        let _ = write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", if self.passes { 0 } else { self.length });
        head.into_bytes()
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
