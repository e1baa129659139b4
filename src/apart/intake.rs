//! Contents as they come over the line. What was counted at the other end is counted here again.

use std::cell::Cell;
use std::io::{self, Read};

use super::frame::Lie;
use super::helper::{Helper, lied};
use super::patch_words;
use super::words::{self, Kind};
use crate::error::{Error, Result};
use crate::release::bundle::Head;
use crate::release::manifest::Mode;
use crate::source::{Earlier, Making, Unpacked};

/// What an entry costs beside its content: so that entries without any have an end too. It is what tar spends on one at least.
const HEADER: u64 = 512;

/// Where answers come from; in tests, from a list.
pub trait Answers {
    /// The next answer, of one of these kinds.
    fn next(&mut self, may: &[Kind]) -> Result<Kind>;
    /// What it said.
    fn said(&self) -> &[u8];
    /// Says something in between.
    fn say(&mut self, kind: Kind, payload: &[u8]) -> Result<()>;
}

impl Answers for Helper<'_> {
    fn next(&mut self, may: &[Kind]) -> Result<Kind> {
        self.answer(may)
    }
    fn said(&self) -> &[u8] {
        &self.payload
    }
    fn say(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        self.order(kind, payload)
    }
}

/// Hands over entry after entry, to the end. Returns the compressed bytes that were read.
///
/// # Errors
/// The other side's; more than `limit` bytes; whatever the taker says.
pub fn entries(from: &mut dyn Answers, limit: u64, to: &mut dyn Unpacked) -> Result<u64> {
    let (mut budget, used) = (limit, Cell::new(0));
    loop {
        if from.next(&[Kind::Entry, Kind::End])? == Kind::End {
            return words::end(from.said()).map_err(lied);
        }
        let (head, now) = words::entry(from.said()).map_err(lied)?;
        used.set(used.get().max(now));
        budget = budget.checked_sub(head.size.saturating_add(HEADER)).ok_or_else(|| {
            Error::verification(format!("the bundle unpacks to more than the {} its manifest accounts for", crate::quantity::bytes(limit)))
                .hint("nothing of it is installed; try again later, and tell the maintainer if it stays so")
        })?;
        one(from, &head, None, &used, to)?;
    }
}

/// Hands over one file after the other that a patch makes. Returns the bytes of the patch that were read.
///
/// # Errors
/// The other side's; a file that is not wanted, or has another size than the manifest says; whatever the taker says.
pub fn made(from: &mut dyn Answers, making: &Making, to: &mut dyn Unpacked) -> Result<u64> {
    let used = Cell::new(0);
    let mut may: &[Kind] = &[Kind::Expect, Kind::Made, Kind::End];
    loop {
        let kind = from.next(may)?;
        // it is said once, and first
        may = &[Kind::Made, Kind::End];
        match kind {
            Kind::End => return words::end(from.said()).map_err(lied),
            Kind::Expect => {
                to.expect(words::end(from.said()).map_err(lied)?);
                continue;
            }
            _ => {}
        }
        let (index, size, now) = patch_words::made(from.said()).map_err(lied)?;
        used.set(used.get().max(now));
        let file = making.files.get(index).filter(|_| making.wanted.has(index as u32)).ok_or_else(|| lied(Lie("a file comes that was not asked for")))?;
        if file.size.is_some_and(|told| told != size) {
            return Err(Error::verification(format!("the patch makes {} with another size than the manifest says", file.path)));
        }
        let head = Head { path: file.path.clone(), size, mode: file.mode.map_or(0o644, Mode::bits) & 0o755, member: None };
        one(from, &head, Some(making.earlier), &used, to)?;
    }
}

/// Hands over one file.
fn one(from: &mut dyn Answers, head: &Head, earlier: Option<&dyn Earlier>, used: &Cell<u64>, to: &mut dyn Unpacked) -> Result<()> {
    let mut content = Content { from, earlier, left: head.size, at: 0, ready: 0, used };
    to.entry(head, &mut content, used)?;
    // what was not wanted passes by
    io::copy(&mut content, &mut io::sink()).map_err(|e| crate::source::read_error(e, || "reading the bundle".into()))?;
    Ok(())
}

/// One content.
struct Content<'c> {
    from: &'c mut dyn Answers,
    /// What it may be made of.
    earlier: Option<&'c dyn Earlier>,
    /// Bytes that have not come.
    left: u64,
    /// Of the bytes that came last: the next one, and the end.
    at: usize,
    ready: usize,
    used: &'c Cell<u64>,
}

impl Content<'_> {
    fn more(&mut self) -> Result<()> {
        // one stretch before some bytes, never one after the other: whoever asks without end must at least give something
        let may: &[Kind] = if self.earlier.is_some() { &[Kind::Bytes, Kind::Lacks] } else { &[Kind::Bytes] };
        if let (Kind::Lacks, Some(earlier)) = (self.from.next(may)?, self.earlier) {
            let stretch = patch_words::lacks(self.from.said()).map_err(lied)?;
            earlier.hand(&stretch, &mut |chunk| self.from.say(Kind::Earlier, chunk))?;
            self.from.next(&[Kind::Bytes])?;
        }
        let (now, bytes) = words::content(self.from.said(), self.left).map_err(lied)?;
        let (whole, part) = (self.from.said().len(), bytes.len());
        self.used.set(self.used.get().max(now));
        self.left -= part as u64;
        (self.at, self.ready) = (whole - part, whole);
        Ok(())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready {
            if self.left == 0 || into.is_empty() {
                return Ok(0);
            }
            self.more().map_err(io::Error::other)?;
        }
        let n = into.len().min(self.ready - self.at);
        into[..n].copy_from_slice(&self.from.said()[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
