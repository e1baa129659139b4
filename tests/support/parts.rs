//! Several parts of a file in one answer (RFC 9110, 14.6), as servers give them.

#![allow(dead_code)] // each test program uses its own part

use std::ops::Range;

/// How a server gives several parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parts {
    /// Each on its own.
    Each,
    /// One that spans them all.
    Joined,
    /// The first only.
    First,
    /// In the wrong order.
    Backwards,
    /// With other places than asked for.
    Moved,
    /// Without the last.
    Fewer,
    /// The first, again and again.
    Again,
    /// The first without an end of its head.
    Endless,
}

/// What is asked for by a set of ranges; none: it is no set.
pub fn set(range: &str, total: usize) -> Option<Vec<Range<usize>>> {
    let set = range.strip_prefix("bytes=").filter(|set| set.contains(','))?;
    let one = |r: &str| r.split_once('-').and_then(|(from, last)| Some(from.trim().parse().ok()?..total.min(last.parse::<usize>().ok()? + 1)));
    set.split(',').map(one).collect()
}

/// Headers and body of a 206.
pub fn answer(body: &[u8], mut set: Vec<Range<usize>>, how: Parts) -> (Vec<(String, String)>, Vec<u8>) {
    const BOUNDARY: &str = "00000000000000000007";
    let total = body.len();
    match how {
        Parts::Joined => set = std::iter::once(set[0].start..set[set.len() - 1].end).collect(),
        Parts::First => set.truncate(1),
        Parts::Backwards => set.reverse(),
        Parts::Fewer => drop(set.pop()),
        Parts::Again => set = vec![set[0].clone(); 3000],
        Parts::Each | Parts::Moved | Parts::Endless => {}
    }
    if let [one] = &set[..] {
        return (vec![("Content-Range".into(), format!("bytes {}-{}/{total}", one.start, one.end - 1))], body[one.clone()].to_vec());
    }
    let mut out = Vec::new();
    for part in set {
        let shown = if how == Parts::Moved { part.start + 7 } else { part.start };
        let more = if how == Parts::Endless { "X-Padding: and on it goes\r\n".repeat(100) } else { String::new() };
        let head = format!("\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n{more}Content-Range: bytes {shown}-{}/{total}\r\n\r\n", part.end - 1);
        out.extend(head.bytes());
        out.extend(&body[part]);
    }
    out.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    (vec![("Content-Type".into(), format!("multipart/byteranges; boundary={BOUNDARY}"))], out)
}
