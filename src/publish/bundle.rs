//! Writes the bundle: an ordinary tar.gz made for seeking. The first gzip member holds the manifest; then comes the payload, each block
//! of it a gzip member of its own with the whole tar entries of one or several files.
//!
//! The payload knows nothing of the manifest before it, so the manifest can describe the payload, and signing again rewrites
//! only the first member. All bytes follow from paths, contents, modes and what lay together before: no owner, no clock, no host name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use semver::Version;
use tar::{EntryType, Header};

use super::age::Ages;
use super::member::Member;
use super::tree::Entry;
use crate::error::{Doing, Error, Result};
use crate::release::digest::Hashing;
use crate::release::manifest::{self, Block, Generation, Manifest};

/// Tar's unit, bytes.
const RECORD: usize = 512;
/// The time of every file, 2000-01-01: were it the release's, no block would be the same in the next one. Devices do not look at it.
const MTIME: u64 = 946_684_800;
/// Tar's end marker: two empty records.
const END: [u8; 2 * RECORD] = [0; 2 * RECORD];
/// A run of files that is smaller than this part of a block shares a block with the next ones.
const SMALL: u64 = 8;

/// What was written, in the words of the manifest.
#[derive(Debug)]
pub struct Payload {
    /// The files, with where their contents lie.
    pub files: Vec<manifest::File>,
    /// The gzip members.
    pub blocks: Vec<Block>,
    /// How old the files are.
    pub generations: Vec<Generation>,
    /// Bytes in all.
    pub size: u64,
}

/// Files that have been as they are since the same release.
#[derive(Debug)]
pub struct Aged<'e> {
    /// That release.
    pub since: &'e Version,
    /// The files, each with the block of the last release that it lay in.
    pub entries: Vec<(&'e Entry, Option<u32>)>,
}

/// The files oldest first, and within an age by path.
pub fn by_age<'e>(entries: &'e [Entry], ages: &'e Ages, now: &'e Version) -> Vec<Aged<'e>> {
    let mut all: BTreeMap<&Version, Vec<_>> = BTreeMap::new();
    for entry in entries {
        all.entry(ages.of(&entry.sha256, now)).or_default().push((entry, ages.block(&entry.sha256)));
    }
    all.into_iter().map(|(since, entries)| Aged { since, entries }).collect()
}

/// Writes the payload. Memory follows the blocks, not the release.
///
/// # Errors
/// A file that cannot be read or that changed since it was found; an output that cannot be written.
pub fn payload(generations: &[Aged], block_size: u64, out: impl Write) -> Result<Payload> {
    let mut out = BufWriter::new(out);
    let mut payload = Payload { files: Vec::new(), blocks: Vec::new(), generations: Vec::new(), size: 0 };
    let told = |g: &Aged| Generation { since: g.since.clone(), files: g.entries.len() };
    payload.generations.extend(generations.iter().map(told));
    let groups = groups(generations, block_size);
    for (block, group) in groups.iter().enumerate() {
        let writing = || format!("writing block {block} of the bundle");
        let told = group.iter().map(|e| e.size + 2 * RECORD as u64).fold(0, u64::saturating_add);
        let mut tar = Member::new(Counted { inner: Hashing::new(&mut out), bytes: 0 }, told);
        let mut inside = 0;
        for entry in group {
            let header = header(entry.path.as_str(), entry.size, entry.mode.bits(), MTIME);
            tar.write_all(&header).doing(writing)?;
            inside += header.len() as u64;
            content(entry, &mut tar)?;
            payload.files.push(manifest::File {
                path: entry.path.clone(),
                sha256: entry.sha256,
                size: Some(entry.size),
                mode: Some(entry.mode),
                arch: None,
                config: entry.config,
                block: Some(block as u32),
                offset: Some(inside),
            });
            let padding = padding(entry.size);
            tar.write_all(&END[..padding]).doing(writing)?;
            inside += entry.size + padding as u64;
        }
        if block + 1 == groups.len() {
            tar.write_all(&END).doing(writing)?;
        }
        let done = tar.finish().doing(writing)?;
        payload.blocks.push(Block { offset: payload.size, length: done.bytes, sha256: done.inner.finish().1 });
        payload.size += done.bytes;
    }
    out.flush().doing(|| "writing the bundle's payload".into())?;
    Ok(payload)
}

/// The first member of a bundle: the manifest and, once there is one, its signature, byte for byte.
pub fn head(manifest: &[u8], signature: Option<&[u8]>, mtime: u64) -> io::Result<Vec<u8>> {
    let mut tar = Member::new(Vec::new(), manifest.len() as u64);
    for (name, bytes) in [(manifest::NAME, Some(manifest)), (manifest::SIGNATURE_NAME, signature)] {
        let Some(bytes) = bytes else { continue };
        tar.write_all(&header(name, bytes.len() as u64, 0o644, mtime))?;
        tar.write_all(bytes)?;
        tar.write_all(&END[..padding(bytes.len() as u64)])?;
    }
    tar.finish()
}

/// Puts another first member before the payload of a packed bundle, as signing does. The bundle is replaced whole or not at all.
///
/// # Errors
/// The manifest does not tell where the payload starts; a file cannot be read or written.
pub fn replace_head(bundle: &Path, manifest: &[u8], signature: Option<&[u8]>) -> Result<()> {
    let rewriting = || format!("rewriting the head of {}", bundle.display());
    let described = Manifest::parse(manifest).map_err(|e| Error::verification(rewriting()).because(e))?;
    let payload_size = described.bundle.as_ref().map_or(0, |b| b.payload_size);
    let mut old = File::open(bundle).doing(rewriting)?;
    let start = old.metadata().doing(rewriting)?.len().checked_sub(payload_size).filter(|_| payload_size > 0);
    let start = start.ok_or_else(|| Error::verification(format!("{} is not the bundle that this manifest describes", bundle.display())))?;
    old.seek(SeekFrom::Start(start)).doing(rewriting)?;

    let mtime = described.released.map_or(0, |t| t.timestamp().max(0) as u64);
    let temp = bundle.with_extension("gz.new");
    let mut write = || -> io::Result<()> {
        let mut new = File::create(&temp)?;
        new.write_all(&head(manifest, signature, mtime)?)?;
        io::copy(&mut old, &mut new)?;
        new.sync_all()?;
        std::fs::rename(&temp, bundle)
    };
    write().doing(rewriting).inspect_err(|_| drop(std::fs::remove_file(&temp)))
}

/// The files of each block: as many as its size takes; one that fills a block has it alone. A block does not reach from one age or one
/// block of the last release into the next, unless it is small; and what is new begins a block in any case: nobody who has the rest
/// fetches more than that.
fn groups<'e>(generations: &[Aged<'e>], block_size: u64) -> Vec<Vec<&'e Entry>> {
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    let (mut size, mut lay) = (0, None);
    for (i, generation) in generations.iter().enumerate() {
        let mut apart = size >= block_size / SMALL || i + 1 == generations.len();
        for (entry, block) in &generation.entries {
            apart |= *block != lay && size >= block_size / SMALL;
            size = entry.size.saturating_add(size);
            match groups.last_mut() {
                Some(group) if !apart && size <= block_size => group.push(entry),
                _ => {
                    groups.push(vec![entry]);
                    size = entry.size;
                }
            }
            (apart, lay) = (false, *block);
        }
    }
    groups
}

/// Copies a file's content.
fn content(entry: &Entry, tar: &mut impl Write) -> Result<()> {
    let packing = || format!("packing {}", entry.from.display());
    let file = File::open(&entry.from).doing(packing)?;
    let mut hashing = Hashing::new(tar);
    // one byte more than it had: a file that grew is noticed without reading on for ever
    let copied = io::copy(&mut file.take(entry.size + 1), &mut hashing).doing(packing)?;
    if copied != entry.size || hashing.finish().1 != entry.sha256 {
        return Err(Error::refused(format!("{} changed while it was packed", entry.from.display())).hint("pack again when the build is done"));
    }
    Ok(())
}

/// A ustar header; before it, if the name does not fit, the entry with GNU's long name.
fn header(path: &str, size: u64, mode: u32, mtime: u64) -> Vec<u8> {
    let fill = |h: &mut Header, kind: EntryType, size: u64, mode: u32| {
        h.set_entry_type(kind);
        h.set_size(size);
        h.set_mode(mode);
        h.set_mtime(mtime);
        h.set_uid(0);
        h.set_gid(0);
        h.set_cksum();
    };
    let mut bytes = Vec::new();
    let mut header = Header::new_ustar();
    if header.set_path(path).is_err() {
        let mut long = Header::new_gnu();
        let name = b"././@LongLink";
        long.as_old_mut().name[..name.len()].copy_from_slice(name);
        fill(&mut long, EntryType::GNULongName, path.len() as u64 + 1, 0o644);
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(path.as_bytes());
        bytes.resize(bytes.len() + 1 + padding(path.len() as u64 + 1), 0);
        header = Header::new_gnu();
        let field = &mut header.as_old_mut().name;
        let short = path.len().min(field.len());
        field[..short].copy_from_slice(&path.as_bytes()[..short]);
    }
    fill(&mut header, EntryType::Regular, size, mode);
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// Bytes from the end of a content to the next record.
fn padding(size: u64) -> usize {
    (RECORD - (size % RECORD as u64) as usize) % RECORD
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
