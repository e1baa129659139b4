//! Making contents out of chunks ([`crate::release::chunks`]): those that stand in files of an earlier release are handed over by somebody
//! else, the others are fetched, all with one request. What is held at a time is one chunk and what is before it.

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::rc::Rc;

use super::patched::{Bits, Made};
use super::unpack::Counting;
use super::{BundleRef, Network, Span, read_error};
use crate::error::{Error, Result};
use crate::release::Digest;
use crate::release::chunks::{self, Chunk, Id, OWN_MAX, WINDOW_LOG};
use crate::release::frames::Unpacker;
use crate::release::patch::Stretch;

/// Bytes that one more part costs in question and answer; gaps that are smaller are fetched along.
const PART: u64 = 150;
/// Bytes that are handed on together.
const TOLD: usize = 56 << 10;
/// Most parts of one request: Apache refuses more than 200, and the head of a question may have 8 KB.
const PARTS_MAX: usize = 160;

/// What is wanted of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// Bytes of the index, with which the asset begins.
    pub index: u64,
    /// Its digest.
    pub index_sha256: Digest,
    /// Bytes that another way costs.
    pub limit: u64,
    /// Chunks of the earlier release's files that are not in this one, one after the other from each file's start.
    pub loose: Vec<Loose>,
}

/// A chunk that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loose {
    /// Which file: those that are in this release as well come first, by the numbers of its list, then the others.
    pub file: u32,
    /// Bytes.
    pub length: u32,
    /// By which it is known.
    pub id: Id,
}

/// What becomes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Its file is not wanted, or cannot be made.
    Not,
    /// It is here.
    Here(Stretch),
    /// It is fetched.
    Fetched,
}

/// Makes the files that are `wanted`. Returns the bytes that were read.
///
/// # Errors
/// The line; chunks that are none; whatever the taker says.
pub fn make(from: &dyn Network, asset: &BundleRef, order: &Chunked, wanted: &Bits, here: &Bits, to: &mut dyn Made) -> Result<u64> {
    let broken = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::verification("the chunks are damaged").because(e),
        _ => read_error(e, || "reading chunks".into()),
    };
    let whole = asset.size.unwrap_or_default();
    let body = from.open(asset, Span::Run { before_end: whole, length: order.index })?;
    if !body.cut {
        return Err(Error::source_failed("the server hands out no parts of files"));
    }
    let mut index = Vec::new();
    body.reader.take(order.index.min(chunks::INDEX_MAX)).read_to_end(&mut index).map_err(broken)?;
    if Digest::of(&index) != order.index_sha256 {
        return Err(Error::verification("the index of the chunks is not the one that the manifest means"));
    }
    let chunks = chunks::read_index(&mut &index[..]).map_err(broken)?;
    drop(index);
    let how = decide(&chunks, wanted, here, &order.loose);
    let parts = join(needed(&chunks, &how, order.index), PARTS_MAX);
    let cost = cost(order.index, &parts);
    if cost >= order.limit || parts.last().is_some_and(|p| p.end > whole) {
        return Ok(order.index);
    }
    to.expect(cost)?;
    let used = Rc::new(Cell::new(order.index));
    let body = if parts.is_empty() { None } else { Some(from.parts(asset, parts.clone(), order.limit - cost)?.reader) };
    let reader = body.unwrap_or_else(|| Box::new(io::empty()));
    let mut fetched =
        Fetched { at: parts.first().map_or(0, |p| p.start), parts: parts.into(), reader: BufReader::new(Counting { inner: reader, count: used.clone() }) };
    let mut unpacker = Unpacker::with_window(WINDOW_LOG);
    let (mut own, mut told, mut frame) = (Vec::new(), 0, Vec::new());
    let mut place = order.index;
    for (i, chunk) in chunks.iter().enumerate() {
        let start = place;
        place += u64::from(chunk.packed);
        if how[i] == How::Not {
            continue;
        }
        if chunk.at == 0 {
            let size = chunks[i..].iter().take_while(|c| c.file == chunk.file).map(|c| u64::from(c.plain)).sum();
            to.file(chunk.file, size, used.get())?;
            own.clear();
            told = 0;
        }
        if chunk.plain == 0 {
            continue;
        }
        // not chunk by chunk, which costs more than it carries; but between two questions something must be told
        let asks = matches!(how[i], How::Here(_)) || chunk.against.is_some();
        if own.len() > told && (asks || own.len() - told >= TOLD) {
            to.bytes(&own[told..], used.get())?;
            told = own.len();
        }
        if own.len() > 2 * OWN_MAX && told == own.len() {
            own.drain(..own.len() - OWN_MAX);
            told = own.len();
        }
        let before = own.len();
        if let How::Here(stretch) = how[i] {
            to.earlier(&stretch, &mut |bytes| {
                own.extend_from_slice(bytes);
                Ok(())
            })?;
        } else {
            fetched.read(start, chunk.packed, &mut frame).map_err(broken)?;
            let damaged = |e| Error::verification("the chunks are damaged").because(e);
            if let Some(stretch) = &chunk.against {
                to.earlier(stretch, &mut |bytes| unpacker.know(bytes).map_err(damaged))?;
            }
            unpacker.know(&own[before - chunk.own()..]).map_err(damaged)?;
            unpacker.unpack_to(&mut frame.take(frame.len() as u64), chunk.plain as usize, &mut own).map_err(damaged)?;
        }
        if own.len() - before != chunk.plain as usize {
            return Err(Error::verification("what a chunk is made of has another length than its index says"));
        }
        if chunks.get(i + 1).is_none_or(|next| next.file != chunk.file) {
            to.bytes(&own[told..], used.get())?;
            told = own.len();
        }
    }
    Ok(used.get())
}

fn cost(index: u64, parts: &[Range<u64>]) -> u64 {
    index + parts.iter().map(|p| p.end - p.start + PART).sum::<u64>()
}

/// Bytes that a device fetches which wants these files, and has these and `loose`; the index among them.
pub fn bytes(chunks: &[Chunk], index: u64, wanted: &Bits, here: &Bits, loose: &[Loose]) -> u64 {
    cost(index, &join(needed(chunks, &decide(chunks, wanted, here, loose), index), PARTS_MAX))
}

/// What becomes of each chunk. A file is made if each of its chunks can be had.
fn decide(chunks: &[Chunk], wanted: &Bits, here: &Bits, loose: &[Loose]) -> Vec<How> {
    let mut known: HashMap<Id, Stretch> = HashMap::new();
    let mut offset = 0;
    for (i, chunk) in loose.iter().enumerate() {
        offset = if i > 0 && loose[i - 1].file == chunk.file { offset + u64::from(loose[i - 1].length) } else { 0 };
        known.insert(chunk.id, Stretch { file: chunk.file, offset, length: chunk.length });
    }
    let mut made = HashSet::new();
    let mut all = Vec::with_capacity(chunks.len());
    for file in chunks.chunk_by(|a, b| a.file == b.file) {
        let begun = all.len();
        let number = file[0].file;
        if wanted.has(number) {
            for chunk in file {
                let is_here = chunk.id.and_then(|id| known.get(&id)).filter(|s| s.length == chunk.plain);
                all.push(match (is_here, chunk.against) {
                    (Some(stretch), _) => How::Here(*stretch),
                    (None, Some(other)) if !here.has(other.file) && !made.contains(&other.file) => How::Not,
                    (None, _) => How::Fetched,
                });
            }
        }
        if all.len() > begun && !all[begun..].contains(&How::Not) {
            made.insert(number);
        } else {
            all.truncate(begun);
            all.resize(begun + file.len(), How::Not);
        }
    }
    all
}

/// Where in the asset the frames stand that are fetched.
fn needed(chunks: &[Chunk], how: &[How], index: u64) -> Vec<Range<u64>> {
    let (mut place, mut needed) = (index, Vec::new());
    for (chunk, how) in chunks.iter().zip(how) {
        let start = place;
        place += u64::from(chunk.packed);
        if *how == How::Fetched && place > start {
            needed.push(start..place);
        }
    }
    needed
}

/// Neighbours and near neighbours together; the smallest gaps are fetched along until there are no more than so many.
fn join(needed: Vec<Range<u64>>, most: usize) -> Vec<Range<u64>> {
    let mut gaps: Vec<u64> = needed.windows(2).map(|pair| pair[1].start - pair[0].end).filter(|gap| *gap > PART).collect();
    gaps.sort_unstable();
    let widest = gaps.len().checked_sub(most).map_or(PART, |n| gaps[n]);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in needed {
        match joined.last_mut() {
            Some(last) if part.start - last.end <= widest => last.end = part.end,
            _ => joined.push(part),
        }
    }
    joined
}

/// The parts as they come, one after the other.
struct Fetched<R> {
    reader: R,
    parts: VecDeque<Range<u64>>,
    /// Where in the asset the next byte of the reader stands.
    at: u64,
}

impl<R: Read> Fetched<R> {
    /// Reads so many bytes that stand there.
    fn read(&mut self, start: u64, length: u32, into: &mut Vec<u8>) -> io::Result<()> {
        while let Some(part) = self.parts.front() {
            let to = start.min(part.end);
            let before = to.checked_sub(self.at).ok_or(io::ErrorKind::InvalidData)?;
            io::copy(&mut (&mut self.reader).take(before), &mut io::sink())?;
            self.at = to;
            if start < part.end {
                break;
            }
            self.parts.pop_front();
            self.at = self.parts.front().map_or(self.at, |next| next.start);
        }
        into.clear();
        (&mut self.reader).take(length.into()).read_to_end(into)?;
        self.at += u64::from(length);
        if into.len() == length as usize { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(files: &[usize]) -> Bits {
        let mut bits = Bits::default();
        files.iter().for_each(|f| bits.set(*f));
        bits
    }

    fn id(n: u8) -> Id {
        Id([n; 6])
    }

    fn chunk(file: u32, at: u64, against: Option<u32>, n: u8) -> Chunk {
        let against = against.map(|file| Stretch { file, offset: 0, length: 10 });
        Chunk { file, at, against, plain: 100, packed: 50, id: (n > 0).then(|| id(n)) }
    }

    #[test]
    fn a_file_is_made_if_each_of_its_chunks_can_be_had() {
        let chunks = [chunk(0, 0, None, 1), chunk(0, 100, None, 2), chunk(1, 0, Some(0), 0), chunk(2, 0, Some(1), 3), chunk(2, 100, Some(7), 4)];
        let loose = |ids: &[u8]| -> Vec<Loose> { ids.iter().map(|n| Loose { file: 9, length: 100, id: id(*n) }).collect() };
        let told = |wanted: &[usize], here: &[usize], known: &[u8]| -> String {
            let how = decide(&chunks, &bits(wanted), &bits(here), &loose(known));
            let letter = |h: &How| match h {
                How::Not => '-',
                How::Here(stretch) => char::from_digit(stretch.offset as u32 / 100, 10).unwrap(),
                How::Fetched => 'f',
            };
            how.iter().map(letter).collect()
        };
        assert_eq!(told(&[0, 1, 2], &[7], &[]), "fffff");
        assert_eq!(told(&[1], &[0], &[]), "--f--");
        // what is built on is not there, and what is built on that
        assert_eq!(told(&[1], &[], &[]), "-----");
        assert_eq!(told(&[1, 2], &[7], &[]), "-----");
        assert_eq!(told(&[0, 1, 2], &[], &[]), "fff--");
        // a chunk that is here needs nothing
        assert_eq!(told(&[0, 2], &[], &[5, 3, 4, 1]), "3f-12");
        assert_eq!(told(&[], &[0], &[1, 2]), "-----");
        // of another length it is another one
        assert_eq!(decide(&chunks[..1], &bits(&[0]), &bits(&[]), &[Loose { file: 9, length: 99, id: id(1) }]), [How::Fetched]);
        assert_eq!(needed(&chunks, &decide(&chunks, &bits(&[0, 1]), &bits(&[]), &loose(&[1])), 1000), [1050..1100, 1100..1150]);
    }

    #[test]
    fn near_parts_are_joined_and_of_too_many_the_nearest() {
        assert_eq!(join(vec![0..10, 10..20, 20 + PART..30 + PART, 500..600], 9), [0..30 + PART, 500..600]);
        let spread: Vec<Range<u64>> = [0, 1000, 1700, 5000, 9000].iter().map(|n| *n..n + 10).collect();
        assert_eq!(join(spread.clone(), 9), spread);
        assert_eq!(join(spread.clone(), 3), [0..1710, 5000..5010, 9000..9010]);
        assert_eq!(join(spread, 1), vec![Range { start: 0, end: 9010 }]);
        assert_eq!(join(Vec::new(), 3), []);
        let many: Vec<Range<u64>> = (0..1000).map(|n| n * 1000..n * 1000 + 10).collect();
        assert!(join(many, PARTS_MAX).len() <= PARTS_MAX);
    }
}
