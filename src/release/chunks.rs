//! Chunks: the contents of a release cut where the content itself says, so that what an earlier release has in common with it is found
//! again, whatever stood before it. One asset for devices on *any* earlier release; a patch is smaller and good for one.
//!
//! ```text
//! skippable frame (RFC 8878, 3.1.2)        frame   frame   frame   …
//! └ "pikit2", and a frame: the index       └ one chunk each, in the index's order
//! ```
//!
//! Each content stands once, in the order of the manifest's list, which is that of the bundle. A chunk's frame was compressed against up to
//! [`OWN_MAX`] bytes that stand before it in its own file and, before these, a stretch of a file that comes earlier in the list: what a
//! device has either had all the time, or made just before.
//!
//! A chunk of a file that has several carries an [`Id`], by which a device knows what it has of it in files of the earlier release. An id
//! is short and may be wrong: a file counts as arrived when its digest is the manifest's, as with everything else.

use std::collections::HashMap;
use std::io::{self, Read};

use super::digest::Digest;
use super::gear;
use super::index::{self, Broken, Fields, number};
use super::manifest::FILES_MAX;
use super::patch::Stretch;

/// How the name of the asset ends.
pub const SUFFIX: &str = ".chunks.zst";
/// Fewest bytes of a chunk that is not the last of its file.
pub const CHUNK_MIN: usize = 2 << 10;
/// Most bytes of a chunk.
pub const CHUNK_MAX: usize = 64 << 10;
/// One place in so many is an end, as a power of two.
const ENDS: u32 = 13;
/// Most bytes of its own file that a chunk is compressed against.
pub const OWN_MAX: usize = 256 << 10;
/// Bytes of another file that a chunk is compressed against, if there are so many.
pub const OTHER: usize = 128 << 10;
/// Where such a stretch may begin: at multiples of this.
pub const UNIT: u64 = 8 << 10;
/// Most bytes of the index.
pub const INDEX_MAX: u64 = (index::INDEX_MAX + index::HEAD) as u64;
/// Window of every frame, as a power of two: a chunk and what is before it.
pub const WINDOW_LOG: u32 = 19;
const _: () = assert!(OTHER + OWN_MAX + CHUNK_MAX <= 1 << WINDOW_LOG);
/// Most bytes of a compressed chunk: what does not compress grows a little.
const PACKED_MAX: usize = CHUNK_MAX + (4 << 10);
/// Most chunks of a release: about 4 GB of contents.
pub const CHUNKS_MAX: usize = 500_000;
/// What kind of index it has.
const KIND: &[u8; 6] = b"pikit2";

/// By which a chunk is known again: the first bytes of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 6]);

impl Id {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Id(Digest::of(bytes).start())
    }
}

/// One chunk of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Index in the manifest's list of files.
    pub file: u32,
    /// Where in the file it starts, bytes.
    pub at: u64,
    /// The other file it is compressed against, before what stands before it in its own.
    pub against: Option<Stretch>,
    /// Bytes of it.
    pub plain: u32,
    /// Bytes of its frame.
    pub packed: u32,
    /// By which it is known again; none if it is all of its file.
    pub id: Option<Id>,
}

impl Chunk {
    /// Bytes before it in its own file that it is compressed against.
    pub fn own(&self) -> usize {
        self.at.min(OWN_MAX as u64) as usize
    }
}

/// Where the chunk at the start of `bytes` ends; they are at least [`CHUNK_MAX`], or all that is left.
pub fn end(bytes: &[u8]) -> usize {
    let most = bytes.len().min(CHUNK_MAX);
    let mut hash = 0;
    // what counts is the last 64 bytes: before the first possible end no more are looked at
    for (at, byte) in bytes[..most].iter().enumerate().skip(CHUNK_MIN - 64) {
        hash = gear::roll(hash, *byte);
        if at + 1 >= CHUNK_MIN && gear::is_special(hash, ENDS) {
            return at + 1;
        }
    }
    most
}

/// Tells each chunk of a content, until that answers that no more is wanted.
///
/// # Errors
/// Reading.
pub fn each(mut content: impl Read, mut tell: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut held = Vec::with_capacity(2 * CHUNK_MAX);
    loop {
        (&mut content).take((2 * CHUNK_MAX - held.len()) as u64).read_to_end(&mut held)?;
        if held.is_empty() {
            return Ok(());
        }
        let mut at = 0;
        let last = held.len() < 2 * CHUNK_MAX;
        while at < held.len() && (last || held.len() - at >= CHUNK_MAX) {
            let length = end(&held[at..]);
            if !tell(&held[at..at + length]) {
                return Ok(());
            }
            at += length;
        }
        held.drain(..at);
    }
}

/// The chunks, as they stand before their frames.
///
/// # Errors
/// Compressing.
pub fn write_index(chunks: &[Chunk], compress: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    number(&mut plain, chunks.len() as u64);
    let mut last = 0;
    for chunk in chunks {
        number(&mut plain, u64::from(chunk.file - last));
        last = chunk.file;
        number(&mut plain, chunk.against.map_or(0, |a| u64::from(chunk.file - a.file)));
        if let Some(against) = chunk.against {
            // relative to its own place: what resembles another file does so all along
            let away = (against.offset / UNIT) as i64 - (chunk.at / UNIT) as i64;
            number(&mut plain, ((away << 1) ^ (away >> 63)) as u64);
        }
    }
    for chunk in chunks {
        number(&mut plain, chunk.plain.into());
    }
    for chunk in chunks {
        number(&mut plain, chunk.packed.into());
    }
    for id in chunks.iter().filter_map(|c| c.id) {
        plain.extend(id.0);
    }
    index::write(KIND, &plain, compress)
}

/// Reads the index from the start of the asset.
///
/// # Errors
/// Reading; or a [`Broken`] inside: it is none, or says what cannot be.
pub fn read_index(from: &mut impl Read) -> io::Result<Vec<Chunk>> {
    let plain = index::read(KIND, from)?;
    chunks(Fields(&plain)).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

fn chunks(mut fields: Fields) -> Result<Vec<Chunk>, Broken> {
    let count = fields.within(CHUNKS_MAX)?;
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut file = 0;
    let mut away = Vec::new();
    for _ in 0..count {
        file = fields.step(file, FILES_MAX)?;
        let back = fields.within(FILES_MAX)?;
        let other = if back == 0 { None } else { Some(file.checked_sub(back).ok_or(Broken("it is made of a file before the first"))?) };
        away.push(if other.is_some() { fields.number()? } else { 0 });
        chunks.push(Chunk { file, at: 0, against: other.map(|file| Stretch { file, offset: 0, length: 0 }), plain: 0, packed: 0, id: None });
    }
    let mut at = 0u64;
    for i in 0..chunks.len() {
        at = if i > 0 && chunks[i - 1].file == chunks[i].file { at + u64::from(chunks[i - 1].plain) } else { 0 };
        (chunks[i].at, chunks[i].plain) = (at, fields.within(CHUNK_MAX)?);
    }
    for chunk in &mut chunks {
        chunk.packed = fields.within(PACKED_MAX)?;
    }
    // how long files are, to say where a stretch of one ends
    let of_file = chunks.chunk_by(|a, b| a.file == b.file);
    let sizes: HashMap<u32, u64> = of_file.map(|of| (of[0].file, of.iter().map(|c| u64::from(c.plain)).sum())).collect();
    for i in 0..chunks.len() {
        let several = chunks[i].at > 0 || chunks.get(i + 1).is_some_and(|next| next.file == chunks[i].file);
        if several {
            chunks[i].id = Some(Id(fields.bytes()?));
        }
        // a content of many small chunks would cost more than it brings, and one of none has no end
        let last = chunks.get(i + 1).is_none_or(|next| next.file != chunks[i].file);
        let Chunk { plain, packed, .. } = chunks[i];
        if (!last && (plain as usize) < CHUNK_MIN) || (several && plain == 0) || (plain == 0) != (packed == 0) {
            return Err(Broken("it has a chunk that is too small"));
        }
        let units = (chunks[i].at / UNIT) as i64;
        if let Some(against) = &mut chunks[i].against {
            let away = ((away[i] >> 1) as i64) ^ -((away[i] & 1) as i64);
            let place = units.checked_add(away).and_then(|n| u64::try_from(n).ok()).and_then(|n| n.checked_mul(UNIT));
            let left = place.and_then(|at| sizes.get(&against.file)?.checked_sub(at)).filter(|n| *n > 0);
            let (Some(offset), Some(left)) = (place, left) else { return Err(Broken("it is made of what its index has not")) };
            (against.offset, against.length) = (offset, left.min(OTHER as u64) as u32);
        }
    }
    fields.end()?;
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not repeat.
    fn noise(n: usize, seed: u64) -> Vec<u8> {
        let mut x = seed | 1;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        };
        (0..n).map(|_| next()).collect()
    }

    fn cut(content: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        each(content, |chunk| {
            all.push(chunk.to_vec());
            true
        })
        .unwrap();
        all
    }

    #[test]
    fn what_stands_before_moves_no_later_end() {
        let content = noise(2_000_000, 1);
        let chunks = cut(&content);
        assert!(chunks.concat() == content);
        assert!((100..400).contains(&chunks.len()), "{}", chunks.len());
        assert!(chunks[..chunks.len() - 1].iter().all(|c| (CHUNK_MIN..=CHUNK_MAX).contains(&c.len())));
        let ids: std::collections::HashSet<Id> = chunks.iter().map(|c| Id::of(c)).collect();
        let edited = [&noise(5, 2), &content[..900_000], &noise(1000, 3), &content[900_010..]].concat();
        let new = cut(&edited).iter().filter(|c| !ids.contains(&Id::of(c))).count();
        assert!((1..=6).contains(&new), "{new} of {}", chunks.len());
        // read in other portions it is the same, and what has no end gets one
        let mut at = 0;
        for chunk in &chunks {
            assert_eq!(end(&content[at..(at + CHUNK_MAX).min(content.len())]), chunk.len());
            at += chunk.len();
        }
        assert!(cut(&vec![0; 3 * CHUNK_MAX + 7]).iter().map(Vec::len).eq([CHUNK_MAX, CHUNK_MAX, CHUNK_MAX, 7]));
        assert!(cut(b"").is_empty());
        assert_eq!(cut(b"small"), [b"small"]);
        // the cut belongs to the format: chunks of one release are looked for by devices that run another version
        let ends: Vec<usize> = cut(&noise(60_000, 7)).iter().map(Vec::len).collect();
        assert_eq!(ends, [8491, 8396, 16556, 14820, 4529, 7208], "devices would not find chunks any more");
    }

    /// A frame of one block that is not compressed (RFC 8878, 3.1.1).
    fn frame(plain: &[u8]) -> io::Result<Vec<u8>> {
        let head = (plain.len() as u32) << 3 | 1;
        Ok([&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x50], &head.to_le_bytes()[..3], plain].concat())
    }

    fn written(chunks: &[Chunk]) -> Vec<u8> {
        write_index(chunks, frame).unwrap()
    }

    fn chunk(file: u32, at: u64, plain: u32, against: Option<(u32, u64, u32)>, id: Option<u8>) -> Chunk {
        let against = against.map(|(file, offset, length)| Stretch { file, offset, length });
        Chunk { file, at, against, plain, packed: plain / 2, id: id.map(|n| Id([n; 6])) }
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let mut long: Vec<Chunk> = (0..9).map(|n| chunk(2, n * 60_000, 60_000, None, Some(n as u8))).collect();
        long.extend((0..9).map(|n| chunk(5, n * 50_000, 50_000, Some((2, UNIT * (n / 2), OTHER as u32)), Some(n as u8 + 9))));
        // the end of the other file, and one that is behind its own place
        long.push(chunk(9, 0, 7, Some((2, 532_480, 7_520)), None));
        long.push(chunk(10, 0, 0, None, None));
        let bytes = written(&long);
        assert_eq!(read_index(&mut &bytes[..]).unwrap(), long);
        assert_eq!(read_index(&mut &written(&[])[..]).unwrap(), []);
        for cut in 0..bytes.len() {
            assert!(read_index(&mut &bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn an_index_that_says_what_cannot_be_is_refused() {
        let one = |bytes: &[u8]| {
            let bytes = index::write(KIND, bytes, frame).unwrap();
            read_index(&mut &bytes[..]).unwrap_err().to_string()
        };
        let table: [(&[u8], &str); 13] = [
            (&[], "cut off"),
            (&[1, 0, 0], "cut off"),
            (&[1, 0, 0, 9], "cut off"),
            (&[1, 0, 0, 9, 9, 9], "behind its end"),
            // a small one that is not the last, an empty one beside another, one without a frame, a frame of nothing
            (&[2, 0, 0, 0, 0, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1], "too small"),
            (&[2, 0, 0, 0, 0, 0x80, 0x10, 0, 9, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], "too small"),
            (&[1, 0, 0, 9, 0], "too small"),
            (&[1, 0, 0, 0, 9], "too small"),
            (&[1, 0, 0, 0xff, 0xff, 0x7f, 9], "too large"),
            (&[1, 0, 0, 9, 0xff, 0xff, 0x7f], "too large"),
            (&[1, 3, 4, 0, 9, 9], "before the first"),
            // against a file that the index has not, and against one behind its end
            (&[1, 3, 1, 0, 9, 9], "has not"),
            (&[2, 3, 0, 1, 1, 2, 9, 9, 9, 9], "has not"),
        ];
        for (bytes, words) in table {
            assert!(one(bytes).contains(words), "{bytes:?}: {}", one(bytes));
        }
        assert!(read_index(&mut &b"pikit1 and so on and on and on"[..]).is_err());
    }
}
