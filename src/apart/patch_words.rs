//! What the two processes say to each other about patches and chunks: which files are wanted, what is made, and what that is made of.

#![allow(missing_docs)] // each message is packed and unpacked by a pair of functions of its name

use super::frame::{Lie, Pack, Unpack};
use super::words::{bundle, pack_bundle, size};
use crate::release::chunks::{CHUNK_MAX, Id};
use crate::release::index::{self, Fields};
use crate::release::manifest::FILES_MAX;
use crate::release::patch::{STRETCH_MAX, Stretch};
use crate::source::{Bits, BundleRef, Chunked, Loose};

/// Most bytes of the list of chunks that are here; what is beyond is fetched.
pub const LOOSE_MAX: usize = 4 << 20;
/// Most bytes of one of them.
const ONE_LOOSE: usize = 6 + 5 + 5;

pub fn pack_patch(patch: &BundleRef, wanted: &Bits, here: &Bits) -> Vec<u8> {
    pack_bundle(Pack::default(), patch).bytes(&wanted.0).bytes(&here.0).0
}

pub fn patch(payload: &[u8]) -> Result<(BundleRef, Bits, Bits), Lie> {
    let mut p = Unpack(payload);
    let order = (bundle(&mut p)?, Bits(p.bytes(Bits::MAX)?.to_vec()), Bits(p.bytes(Bits::MAX)?.to_vec()));
    p.end()?;
    Ok(order)
}

pub fn pack_chunks(asset: &BundleRef, wanted: &Chunked, files: &Bits, here: &Bits) -> Vec<u8> {
    let (mut loose, mut last) = (Vec::new(), 0);
    for chunk in &wanted.loose {
        if loose.len() > LOOSE_MAX - ONE_LOOSE {
            break;
        }
        index::number(&mut loose, u64::from(chunk.file - last));
        last = chunk.file;
        index::number(&mut loose, chunk.length.into());
        loose.extend(chunk.id.0);
    }
    pack_bundle(Pack::default(), asset)
        .number(wanted.index)
        .text(&wanted.index_sha256.to_string())
        .number(wanted.limit)
        .bytes(&files.0)
        .bytes(&here.0)
        .bytes(&loose)
        .0
}

pub fn chunks(payload: &[u8]) -> Result<(BundleRef, Chunked, Bits, Bits), Lie> {
    let mut p = Unpack(payload);
    let (asset, index) = (bundle(&mut p)?, size(&mut p)?);
    let index_sha256 = p.text(64)?.parse().map_err(|_| Lie("a digest is none"))?;
    let limit = p.number()?;
    let (files, here) = (Bits(p.bytes(Bits::MAX)?.to_vec()), Bits(p.bytes(Bits::MAX)?.to_vec()));
    let mut fields = Fields(p.bytes(LOOSE_MAX)?);
    p.end()?;
    let (mut loose, mut file) = (Vec::new(), 0);
    while !fields.0.is_empty() {
        file = fields.step(file, 2 * FILES_MAX - 1).map_err(|e| Lie(e.0))?;
        loose.push(Loose { file, length: fields.within(CHUNK_MAX).map_err(|e| Lie(e.0))?, id: Id(fields.bytes().map_err(|e| Lie(e.0))?) });
    }
    Ok((asset, Chunked { index, index_sha256, limit, loose }, files, here))
}

/// A file that a patch makes: its index in the manifest, its size, and how many bytes of the patch were used so far.
pub fn pack_made(index: u32, bytes: u64, used: u64) -> Vec<u8> {
    Pack::default().number(index.into()).number(bytes).number(used).0
}

pub fn made(payload: &[u8]) -> Result<(usize, u64, u64), Lie> {
    let mut p = Unpack(payload);
    let made = (number_of_file(&mut p, FILES_MAX)? as usize, size(&mut p)?, size(&mut p)?);
    p.end()?;
    Ok(made)
}

/// A file's number; `most` are possible.
fn number_of_file(p: &mut Unpack, most: usize) -> Result<u32, Lie> {
    u32::try_from(p.number()?).ok().filter(|n| (*n as usize) < most).ok_or(Lie("a file has a number that none can have"))
}

/// A stretch of an earlier content that a patch needs.
pub fn pack_lacks(stretch: &Stretch) -> Vec<u8> {
    Pack::default().number(stretch.file.into()).number(stretch.offset).number(stretch.length.into()).0
}

pub fn lacks(payload: &[u8]) -> Result<Stretch, Lie> {
    let mut p = Unpack(payload);
    let (file, offset, length) = (number_of_file(&mut p, 2 * FILES_MAX)?, size(&mut p)?, p.number()?);
    p.end()?;
    let length = u32::try_from(length).ok().filter(|n| *n as usize <= STRETCH_MAX).ok_or(Lie("more of an earlier content is asked for than may be"))?;
    Ok(Stretch { file, offset, length })
}
