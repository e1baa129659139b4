//! Writes the chunks of a release (see [`crate::release::chunks`]): each content once, each chunk against what a device has by then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::earlier::Earlier;
use super::patch::Contents;
use super::place;
use super::similar::Anchors;
use super::squeeze;
use super::tree::Entry;
use crate::error::{Doing, Result};
use crate::release::chunks::{self, CHUNKS_MAX, Chunk, Id, OTHER, SUFFIX, UNIT, WINDOW_LOG};
use crate::release::frames::Unpacker;
use crate::release::manifest::Chunks;
use crate::release::patch::Stretch;
use crate::release::{Digest, Manifest};
use crate::source::{Bits, Loose, chunked};

/// Bytes of contents in files large enough to be cut from which on the asset is written: below, blocks are as good.
const WORTH: u64 = 512 << 10;
/// Such a file.
const LARGE: u64 = 64 << 10;

/// Writes the asset, if it pays.
///
/// # Errors
/// A file cannot be read; a disk that does not take it.
pub fn write(new: &Manifest, entries: &[Entry], dir: &Path) -> Result<Option<Chunks>> {
    let from: BTreeMap<Digest, &Entry> = entries.iter().map(|e| (e.sha256, e)).collect();
    let mut seen = BTreeSet::new();
    let firsts: Vec<usize> = (0..new.files.len()).filter(|i| seen.insert(new.files[*i].sha256)).collect();
    let large: u64 = firsts.iter().map(|i| from[&new.files[*i].sha256].size).filter(|size| *size >= LARGE).sum();
    if large < WORTH {
        return Ok(None);
    }
    let mut contents = Vec::new();
    for i in firsts {
        let file = &new.files[i];
        let entry = from[&file.sha256];
        let bytes = std::fs::read(&entry.from).doing(|| format!("reading {}", entry.from.display()))?;
        // what not every device has, or a person may edit, is nothing to build on
        contents.push(Content { file: i as u32, common: file.arch.is_none() && !file.config, bytes });
    }
    let making = || "making chunks".to_owned();
    let (list, mut bytes) = make(&contents).doing(making)?;
    drop(contents);
    if list.len() > CHUNKS_MAX {
        return Ok(None);
    }
    let index = chunks::write_index(&list, |plain| squeeze::frame(plain, b"")).doing(making)?;
    // the door of the devices
    chunks::read_index(&mut &index[..]).doing(making)?;
    let name = format!("{}-{}{SUFFIX}", new.product.as_deref().unwrap_or_default(), new.version);
    // in place: the frames are a good part of the release
    bytes.splice(..0, index.iter().copied());
    place::put(&dir.join(&name), &bytes)?;
    Ok(Some(Chunks { name, size: bytes.len() as u64, index: index.len() as u64, index_sha256: Digest::of(&index), sha256: Digest::of(&bytes) }))
}

/// Bytes of the chunks in this folder that a device on an earlier release fetches, if that release's contents are there to tell, and if there
/// is no patch for it, which comes first.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub fn bytes(new: &Manifest, dir: &Path, old: &Earlier) -> Result<Option<u64>> {
    let named = new.bundle.as_ref().filter(|b| b.patches.iter().all(|p| p.from != old.manifest.version)).and_then(|b| b.chunks.as_ref());
    let Some(named) = named.filter(|_| old.release.bundle(&old.manifest).is_some()) else { return Ok(None) };
    let before = Contents::of(&old.release, &old.manifest)?;
    let reading = || format!("reading {}", named.name);
    let index = chunks::read_index(&mut std::fs::File::open(dir.join(&named.name)).doing(reading)?).doing(reading)?;
    let mut gone = old.manifest.beyond(new);
    let mut loose = Vec::new();
    for (n, (file, content)) in before.all.iter().enumerate() {
        if gone.remove(&old.manifest.files[*file as usize].sha256) {
            let file = (new.files.len() + n) as u32;
            let tell = |chunk: &[u8]| {
                loose.push(Loose { file, length: chunk.len() as u32, id: Id::of(chunk) });
                true
            };
            chunks::each(&content[..], tell).doing(reading)?;
        }
    }
    let (mut wanted, mut here, missing) = (Bits::default(), Bits::default(), new.beyond(&old.manifest));
    new.files.iter().enumerate().for_each(|(i, file)| if missing.contains(&file.sha256) { wanted.set(i) } else { here.set(i) });
    Ok(Some(chunked::bytes(&index, named.index, &wanted, &here, &loose)))
}

/// A content of the release.
struct Content {
    /// Index in the manifest's list.
    file: u32,
    /// Whether others may be compressed against it.
    common: bool,
    bytes: Vec<u8>,
}

/// The chunks, and their frames.
fn make(contents: &[Content]) -> std::io::Result<(Vec<Chunk>, Vec<u8>)> {
    let anchors = Anchors::of(contents.iter().map(|c| if c.common { &c.bytes[..] } else { &[] }).collect());
    squeeze::all(contents.len(), |i| one(contents, i, &anchors))
}

/// One content, chunk by chunk.
fn one(contents: &[Content], i: usize, anchors: &Anchors) -> std::io::Result<Vec<(Chunk, Vec<u8>)>> {
    let Content { file, bytes, .. } = &contents[i];
    let mut unpacker = Unpacker::with_window(WINDOW_LOG);
    let (mut made, mut at) = (Vec::new(), 0);
    while at < bytes.len() || made.is_empty() {
        let plain = &bytes[at..at + chunks::end(&bytes[at..])];
        let id = (plain.len() < bytes.len()).then(|| Id::of(plain));
        let mut chunk = Chunk { file: *file, at: at as u64, against: None, plain: plain.len() as u32, packed: 0, id };
        let own = &bytes[at - chunk.own()..at];
        let other = anchors.nearest_among(plain, 0..i, OTHER).map_or(&[][..], |like| {
            let offset = like.offset - like.offset % UNIT as usize;
            let other = &contents[like.content].bytes[offset..];
            let other = &other[..other.len().min(OTHER)];
            chunk.against = Some(Stretch { file: contents[like.content].file, offset: offset as u64, length: other.len() as u32 });
            other
        });
        let before = [other, own].concat();
        let frame = if plain.is_empty() { Vec::new() } else { squeeze::chunk(plain, &before)? };
        chunk.packed = frame.len() as u32;
        // what a device could not undo must not be published
        let same = unpacker.unpack(&frame, &before, plain.len()).is_ok_and(|out| out == plain);
        if !same {
            return Err(std::io::Error::other("what was compressed does not unpack to the same bytes"));
        }
        made.push((chunk, frame));
        at += plain.len();
    }
    Ok(made)
}
