//! A patch: what turns the contents of an earlier release into those of a newer one, as one asset beside the bundle.
//!
//! ```text
//! skippable frame (RFC 8878, 3.1.2)        frame   frame   frame   …
//! └ "pikit1", and a frame: the index       └ one piece each, in the index's order
//! ```
//!
//! The index lists the pieces: which file of the new manifest's list, how many bytes, and which stretch of which file of the earlier
//! manifest's list its frame was compressed against. Files larger than [`PIECE_MAX`] come in several pieces, one after the other, so that
//! a small board holds no more than a piece and the stretch before it. Numbers are LEB128. A piece may need nothing of the earlier
//! release; then its frame stands for itself.
//!
//! Nothing here is believed: a file counts as arrived when its digest is the manifest's, as with everything else.

use std::io::Read;

use super::frames::Unpacker;
use super::manifest::FILES_MAX;

/// Most bytes of a file that one piece makes.
pub const PIECE_MAX: usize = 1 << 20;
/// Most bytes of an earlier file that one piece is compressed against.
pub const STRETCH_MAX: usize = 2 << 20;
/// Most bytes of a compressed piece: what does not compress grows a little.
pub const PACKED_MAX: usize = PIECE_MAX + (16 << 10);
/// Window of every frame, as a power of two: a piece and its stretch.
pub const WINDOW_LOG: u32 = 22;
/// Most pieces of a patch.
const PIECES_MAX: usize = 4 * FILES_MAX;
/// Most bytes of the index, as it is written and compressed.
const INDEX_MAX: usize = 8 << 20;
/// Magic number of a skippable frame.
const SKIPPABLE: u32 = 0x184D_2A50;
/// What the skippable frame begins with.
const MAGIC: &[u8; 6] = b"pikit1";
/// How the name of a patch ends.
pub const SUFFIX: &str = ".patch.zst";
/// How the name of a patch of the manifest ends.
pub const MANIFEST_SUFFIX: &str = ".manifest.zst";

/// What the asset is called that makes a release's manifest out of that of an earlier one: both are then the only file of their list.
/// The name does not tell the newer release, so that a device can ask for it before it knows which that is.
pub fn manifest_name(product: &str, from: &semver::Version) -> String {
    format!("{product}-{from}{MANIFEST_SUFFIX}")
}

/// A stretch of a file of the earlier release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Index in the earlier manifest's list of files.
    pub file: u32,
    /// Where it starts, bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

/// One piece of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Index in the new manifest's list of files.
    pub file: u32,
    /// What it is compressed against.
    pub against: Option<Stretch>,
    /// Bytes of it.
    pub plain: u32,
    /// Bytes of its frame.
    pub packed: u32,
}

/// The pieces, as they stand before their frames.
///
/// # Errors
/// Compressing.
pub fn write_index(pieces: &[Piece], compress: impl FnOnce(&[u8]) -> std::io::Result<Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    number(&mut plain, pieces.len() as u64);
    let mut last = 0;
    for piece in pieces {
        number(&mut plain, u64::from(piece.file - last));
        last = piece.file;
        number(&mut plain, piece.plain.into());
        number(&mut plain, piece.packed.into());
        number(&mut plain, piece.against.map_or(0, |a| u64::from(a.file) + 1));
        if let Some(against) = piece.against {
            number(&mut plain, against.offset);
            number(&mut plain, against.length.into());
        }
    }
    let packed = compress(&plain)?;
    let content = MAGIC.len() + 4 + packed.len();
    let mut out = Vec::with_capacity(content + 8);
    for word in [SKIPPABLE, content as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(MAGIC);
    out.extend((plain.len() as u32).to_le_bytes());
    out.extend(packed);
    Ok(out)
}

fn number(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// What is wrong with a patch.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// Reads the index from the start of a patch; the frames come next.
///
/// # Errors
/// Reading; or a [`Broken`] inside: it is no patch, or says what cannot be.
pub fn read_index(from: &mut impl Read) -> std::io::Result<Vec<Piece>> {
    let broken = |words| std::io::Error::new(std::io::ErrorKind::InvalidData, Broken(words));
    let mut head = [0; 18];
    from.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (content, plain) = (word(4) as usize, word(14) as usize);
    if word(0) != SKIPPABLE || &head[8..14] != MAGIC {
        return Err(broken("it does not begin as a patch does"));
    }
    let packed = content.checked_sub(MAGIC.len() + 4).filter(|n| *n <= INDEX_MAX && plain <= INDEX_MAX);
    let packed = packed.ok_or_else(|| broken("its index is too long"))?;
    let mut bytes = Vec::new();
    from.take(packed as u64).read_to_end(&mut bytes)?;
    let plain = Unpacker::default().unpack(&bytes, &[], plain).map_err(|e| broken(e.0))?;
    pieces(&plain).map_err(|e| broken(e.0))
}

fn pieces(mut rest: &[u8]) -> Result<Vec<Piece>, Broken> {
    let mut next = || -> Result<u64, Broken> {
        let mut n = 0u64;
        for shift in (0..63).step_by(7) {
            let (first, after) = rest.split_first().ok_or(Broken("its index is cut off"))?;
            rest = after;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Broken("its index holds a number that is too large"))
    };
    let within = |n: u64, most: usize| u32::try_from(n).ok().filter(|n| *n as usize <= most).ok_or(Broken("its index holds a number that is too large"));
    let count = within(next()?, PIECES_MAX)?;
    let mut pieces = Vec::new();
    let mut file = 0;
    for _ in 0..count {
        file = within(next()?.saturating_add(file), FILES_MAX)?.into();
        let (plain, packed) = (within(next()?, PIECE_MAX)?, within(next()?, PACKED_MAX)?);
        let against = match within(next()?, FILES_MAX)? {
            0 => None,
            file => Some(Stretch { file: file - 1, offset: next()?, length: within(next()?, STRETCH_MAX)? }),
        };
        pieces.push(Piece { file: file as u32, against, plain, packed });
    }
    if rest.is_empty() { Ok(pieces) } else { Err(Broken("its index goes on behind its end")) }
}
