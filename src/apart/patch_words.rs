//! What the two processes say to each other about patches: which files are wanted, what is made, and what that is made of.

#![allow(missing_docs)] // each message is packed and unpacked by a pair of functions of its name

use super::frame::{Lie, Pack, Unpack};
use super::words::{bundle, pack_bundle, size};
use crate::release::manifest;
use crate::release::patch::{STRETCH_MAX, Stretch};
use crate::source::{Bits, BundleRef};

pub fn pack_patch(patch: &BundleRef, wanted: &Bits, here: &Bits) -> Vec<u8> {
    pack_bundle(Pack::default(), patch).bytes(&wanted.0).bytes(&here.0).0
}

pub fn patch(payload: &[u8]) -> Result<(BundleRef, Bits, Bits), Lie> {
    let mut p = Unpack(payload);
    let order = (bundle(&mut p)?, Bits(p.bytes(Bits::MAX)?.to_vec()), Bits(p.bytes(Bits::MAX)?.to_vec()));
    p.end()?;
    Ok(order)
}

/// A file that a patch makes: its index in the manifest, its size, and how many bytes of the patch were used so far.
pub fn pack_made(index: u32, bytes: u64, used: u64) -> Vec<u8> {
    Pack::default().number(index.into()).number(bytes).number(used).0
}

pub fn made(payload: &[u8]) -> Result<(usize, u64, u64), Lie> {
    let mut p = Unpack(payload);
    let made = (number_of_file(&mut p)? as usize, size(&mut p)?, size(&mut p)?);
    p.end()?;
    Ok(made)
}

fn number_of_file(p: &mut Unpack) -> Result<u32, Lie> {
    u32::try_from(p.number()?).ok().filter(|n| (*n as usize) < manifest::FILES_MAX).ok_or(Lie("a file has a number that none can have"))
}

/// A stretch of an earlier content that a patch needs.
pub fn pack_lacks(stretch: &Stretch) -> Vec<u8> {
    Pack::default().number(stretch.file.into()).number(stretch.offset).number(stretch.length.into()).0
}

pub fn lacks(payload: &[u8]) -> Result<Stretch, Lie> {
    let mut p = Unpack(payload);
    let (file, offset, length) = (number_of_file(&mut p)?, size(&mut p)?, p.number()?);
    p.end()?;
    let length = u32::try_from(length).ok().filter(|n| *n as usize <= STRETCH_MAX).ok_or(Lie("more of an earlier content is asked for than may be"))?;
    Ok(Stretch { file, offset, length })
}
