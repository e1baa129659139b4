//! A patch: what turns the contents of an earlier release into those of a newer one, as one asset beside the bundle.
//!
//! ```text
//! skippable frame (RFC 8878, 3.1.2)        frame   frame   frame   …
//! └ "pikit1", and a frame: the index       └ one piece each, in the index's order
//! ```
//!
//! The index lists the pieces: which file of the new manifest's list, how many bytes, and which stretch of which file its frame was
//! compressed against: one of the earlier manifest's list, or one of the new that comes before. Files larger than [`PIECE_MAX`] come in several pieces, one after the other, so that
//! a small board holds no more than a piece and the stretch before it. Numbers are LEB128. A piece may need nothing of the earlier
//! release; then its frame stands for itself.
//!
//! Nothing here is believed: a file counts as arrived when its digest is the manifest's, as with everything else.

use std::io::Read;

use super::index::{self, Broken, Fields, number};
use super::manifest::FILES_MAX;

/// From this number on files are those of the new manifest's list, in the order of which they are made.
pub const NEW: u32 = FILES_MAX as u32;
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
/// What kind of index it has.
const KIND: &[u8; 6] = b"pikit1";
/// How the name of a patch ends.
pub const SUFFIX: &str = ".patch.zst";
/// How the name of a patch of the manifest ends.
pub const MANIFEST_SUFFIX: &str = ".manifest.zst";

/// What the asset is called that makes a release's manifest out of that of an earlier one: both are then the only file of their list.
/// The name does not tell the newer release, so that a device can ask for it before it knows which that is.
pub fn manifest_name(product: &str, from: &semver::Version) -> String {
    format!("{product}-{from}{MANIFEST_SUFFIX}")
}

/// Magic number of the frame, skipped by others, in which signatures stand behind a patch of the manifest: with them a device has all that
/// it judges a release by.
const SIGNATURES: u32 = 0x184D_2A51;

/// The signatures behind a patch of the manifest, if there are any.
pub fn signatures(asset: &[u8]) -> Option<&[u8]> {
    let (head, text) = asset.get(end(asset)?..)?.split_first_chunk::<8>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    (word(0) == SIGNATURES && word(4) as usize == text.len()).then_some(text)
}

/// A patch of the manifest with these signatures behind it, and no others. None: it is no patch.
pub fn with_signatures(asset: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let frame = [SIGNATURES.to_le_bytes(), u32::try_from(text.len()).ok()?.to_le_bytes()];
    Some([asset.get(..end(asset)?)?, &frame.concat(), text].concat())
}

/// Where the last frame of a patch ends.
fn end(asset: &[u8]) -> Option<usize> {
    let mut rest = asset;
    let pieces = read_index(&mut rest).ok()?;
    let packed = pieces.iter().try_fold(0usize, |sum, p| sum.checked_add(p.packed as usize))?;
    (asset.len() - rest.len()).checked_add(packed)
}

/// A stretch of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Index in the earlier manifest's list of files; from [`NEW`] on in that of the new one.
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
    index::write(KIND, &plain, compress)
}

/// Reads the index from the start of a patch; the frames come next.
///
/// # Errors
/// Reading; or a [`Broken`] inside: it is no patch, or says what cannot be.
pub fn read_index(from: &mut impl Read) -> std::io::Result<Vec<Piece>> {
    let plain = index::read(KIND, from)?;
    pieces(Fields(&plain)).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
}

fn pieces(mut fields: Fields) -> Result<Vec<Piece>, Broken> {
    let count = fields.within(PIECES_MAX)?;
    let mut pieces = Vec::new();
    let mut file = 0;
    for _ in 0..count {
        file = fields.step(file, FILES_MAX)?;
        let (plain, packed) = (fields.within(PIECE_MAX)?, fields.within(PACKED_MAX)?);
        let against = match fields.within(2 * FILES_MAX)? {
            0 => None,
            other if other > NEW && other - 1 - NEW >= file => return Err(Broken("it is made of a file that comes later")),
            file => Some(Stretch { file: file - 1, offset: fields.number()?, length: fields.within(STRETCH_MAX)? }),
        };
        pieces.push(Piece { file, against, plain, packed });
    }
    fields.end()?;
    Ok(pieces)
}
