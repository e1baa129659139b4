//! Writes the bundle: an ordinary tar.gz made for seeking. The first gzip member holds the manifest; then comes the payload, each block
//! of it a gzip member of its own with the whole tar entries of one or several files.
//!
//! The payload knows nothing of the manifest before it, so the manifest can describe the payload, and signing again rewrites
//! only the first member. All bytes follow from paths, contents, modes and one time: no owner, no clock, no host name.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::tree::Entry;
use crate::error::{Doing, Error, Result};
use crate::release::digest::Hashing;
use crate::release::manifest::{self, Block, Manifest};

/// Tar's unit, bytes.
const RECORD: usize = 512;
/// Tar's end marker: two empty records.
const END: [u8; 2 * RECORD] = [0; 2 * RECORD];
/// "Unknown" of RFC 1952: the same whatever machine packs.
const GZIP_OS: u8 = 255;

/// What was written, in the words of the manifest.
#[derive(Debug)]
pub struct Payload {
    /// The files, with where their contents lie.
    pub files: Vec<manifest::File>,
    /// The gzip members.
    pub blocks: Vec<Block>,
    /// Bytes in all.
    pub size: u64,
}

/// Writes the payload. Memory stays the same however large the files are.
///
/// # Errors
/// A file that cannot be read or that changed since it was found; an output that cannot be written.
pub fn payload(entries: &[Entry], block_size: u64, mtime: u64, out: impl Write) -> Result<Payload> {
    let mut out = BufWriter::new(out);
    let mut payload = Payload { files: Vec::with_capacity(entries.len()), blocks: Vec::new(), size: 0 };
    let mut groups = groups(entries, block_size).peekable();
    while let Some(group) = groups.next() {
        let block = payload.blocks.len() as u32;
        let writing = || format!("writing block {block} of the bundle");
        let mut tar = member(Counted { inner: Hashing::new(&mut out), bytes: 0 });
        let mut inside = 0;
        for entry in group {
            let header = header(entry.path.as_str(), entry.size, entry.mode.bits(), mtime);
            tar.write_all(&header).doing(writing)?;
            inside += header.len() as u64;
            let sha256 = content(entry, &mut tar)?;
            payload.files.push(manifest::File {
                path: entry.path.clone(),
                sha256,
                size: Some(entry.size),
                mode: Some(entry.mode),
                arch: None,
                config: entry.config,
                block: Some(block),
                offset: Some(inside),
            });
            let padding = padding(entry.size);
            tar.write_all(&END[..padding]).doing(writing)?;
            inside += entry.size + padding as u64;
        }
        if groups.peek().is_none() {
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
    let mut tar = member(Vec::new());
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

/// Files in path order, as many to a block as its size takes; one that fills a block has it alone.
fn groups(entries: &[Entry], block_size: u64) -> impl Iterator<Item = &[Entry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let mut size = first.size;
        let more = rest[1..].iter().take_while(|e| {
            size = size.saturating_add(e.size);
            size <= block_size
        });
        let group;
        (group, rest) = rest.split_at(1 + more.count());
        Some(group)
    })
}

/// Copies a file's content and hashes it on the way.
fn content(entry: &Entry, tar: &mut impl Write) -> Result<crate::release::Digest> {
    let packing = || format!("packing {}", entry.from.display());
    let file = File::open(&entry.from).doing(packing)?;
    let mut hashing = Hashing::new(tar);
    // one byte more than it had: a file that grew is noticed without reading on for ever
    let copied = io::copy(&mut file.take(entry.size + 1), &mut hashing).doing(packing)?;
    if copied != entry.size {
        return Err(Error::refused(format!("{} changed while it was packed", entry.from.display())).hint("pack again when the build is done"));
    }
    Ok(hashing.finish().1)
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

fn member<W: Write>(out: W) -> Even<W> {
    let gzip = GzBuilder::new().mtime(0).operating_system(GZIP_OS).write(out, Compression::best());
    Even { gzip, buffer: Vec::with_capacity(EVEN) }
}

/// How much the compressor is handed at a time, bytes.
const EVEN: usize = 64 << 10;

/// Hands the compressor pieces of one size. What a compressor writes may depend on how its input was cut, and that
/// would otherwise depend on how the machine's `read` cuts a file.
struct Even<W: Write> {
    gzip: GzEncoder<W>,
    buffer: Vec<u8>,
}

impl<W: Write> Even<W> {
    fn finish(mut self) -> io::Result<W> {
        self.gzip.write_all(&self.buffer)?;
        self.gzip.finish()
    }
}

impl<W: Write> Write for Even<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(EVEN - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        if self.buffer.len() == EVEN {
            self.gzip.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(n)
    }
    // a flush would end a deflate block wherever it came from
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
