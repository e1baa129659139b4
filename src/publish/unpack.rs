//! Looking into a bundle: its head, its blocks by their places, and all of it as a device streams it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::{GzDecoder, MultiGzDecoder};

use super::examine::Examined;
use crate::error::{Doing, Result};
use crate::quantity::{bytes as human, count};
use crate::release::bundle::{self, BundleError};
use crate::release::manifest::{self, Manifest};
use crate::release::{Digest, ReleasePath, signature};

/// Decompressed bytes that a bundle may have if its manifest tells no sizes.
const UNTOLD: u64 = 4 << 30;
/// Bytes for the header of an entry, its long name and its padding.
const ENTRY: u64 = 8 << 10;

/// What stands at the start of a bundle.
pub struct Head {
    /// The manifest's exact bytes.
    pub manifest: Vec<u8>,
    /// Its signatures.
    pub signatures: Option<Vec<u8>>,
}

/// Reads the head; `length`: of the head alone, if that is known. What is wrong with it is told in words.
///
/// # Errors
/// The bundle cannot be read.
pub fn head(bundle: &Path, length: Option<u64>) -> Result<Result<Head, String>> {
    let reading = || format!("reading {}", bundle.display());
    let file = File::open(bundle).doing(reading)?.take(length.unwrap_or(u64::MAX));
    // the manifest, its signature, and their headers: no more is ever unpacked here
    let most = manifest::SIZE_MAX + signature::SIZE_MAX + 2 * ENTRY;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)).take(most));
    let mut all = || -> io::Result<Option<Head>> {
        let mut head = None;
        for (i, entry) in archive.entries()?.enumerate() {
            let mut entry = match entry {
                Ok(entry) => entry,
                // after the head there is no end marker when nothing else is looked at
                Err(_) if i > 0 => break,
                Err(e) => return Err(e),
            };
            let name = entry.path_bytes().into_owned();
            let mut bytes = Vec::new();
            match (name.as_slice(), &mut head) {
                (b"manifest.json", none @ None) if i == 0 => {
                    entry.read_to_end(&mut bytes)?;
                    *none = Some(Head { manifest: bytes, signatures: None });
                }
                (b"manifest.json.minisig", Some(head)) if i == 1 => {
                    entry.read_to_end(&mut bytes)?;
                    head.signatures = Some(bytes);
                }
                _ if length.is_some() => return Err(io::Error::other("its first member holds something besides the manifest and its signature")),
                _ => break,
            }
        }
        Ok(head)
    };
    Ok(match all() {
        Ok(Some(head)) => Ok(head),
        Ok(None) => Err(format!("{} does not begin with a manifest", bundle.display())),
        Err(e) => Err(format!("the head of {} cannot be read: {e}", bundle.display())),
    })
}

/// Looks at the whole bundle. `beside`: the manifest and signature that lie beside it.
///
/// # Errors
/// It cannot be read.
pub(super) fn look(found: &mut Examined, path: &Path, manifest: &Manifest, beside: Option<(&[u8], Option<&[u8]>)>) -> Result<()> {
    let reading = || format!("reading {}", path.display());
    let size = std::fs::metadata(path).doing(reading)?.len();
    let payload = manifest.bundle.as_ref().map_or(0, |b| b.payload_size);
    if payload == 0 {
        found.note("blocks", "the manifest does not tell them: devices stream the whole bundle");
    } else if payload >= size {
        found.fail("bundle", format!("it has {}, and its payload alone should have {}", human(size), human(payload)));
        return Ok(());
    } else {
        let start = size - payload;
        same_head(found, path, start, beside)?;
        let mut file = File::open(path).doing(reading)?;
        match blocks(&mut file, start, manifest).doing(reading)? {
            Ok(n) => found.ok("blocks", format!("{}, each where the manifest says and with its digest", count(n, "block"))),
            Err(why) => found.fail("blocks", why),
        }
    }
    let file = File::open(path).doing(reading)?;
    match stream(file, manifest) {
        Ok(n) => found.ok("files", format!("{}, each with its digest, and nothing besides", count(n, "file"))),
        Err(BundleError::Read(e)) => return Err(e).doing(reading),
        Err(BundleError::Bad(why) | BundleError::Visitor(why)) => found.fail("files", why),
    }
    Ok(())
}

fn same_head(found: &mut Examined, path: &Path, length: u64, beside: Option<(&[u8], Option<&[u8]>)>) -> Result<()> {
    match (head(path, Some(length))?, beside) {
        (Err(why), _) => found.fail("bundle", why),
        (Ok(_), None) => found.ok("bundle", "its head holds the manifest and nothing else"),
        (Ok(head), Some((manifest, signatures))) => match (head.manifest == manifest, head.signatures.as_deref() == signatures) {
            (true, true) => found.ok("bundle", "its head holds what lies beside it, byte for byte"),
            (false, _) => found.fail("bundle", "the manifest in its head is not the one beside it: `sign` again writes both"),
            (true, false) => found.fail("bundle", "the signature in its head is not the one beside it: `sign` again writes both"),
        },
    }
    Ok(())
}

/// Checks each block by its place, and each file by its place in its block. The number of blocks; or what is wrong.
fn blocks(file: &mut File, start: u64, manifest: &Manifest) -> io::Result<Result<usize, String>> {
    let Some(info) = &manifest.bundle else { return Ok(Ok(0)) };
    let mut of_block: BTreeMap<u32, Vec<&manifest::File>> = BTreeMap::new();
    for file in &manifest.files {
        if let Some(block) = file.block {
            of_block.entry(block).or_default().push(file);
        }
    }
    let mut at = 0;
    let mut placed = 0;
    for (i, block) in info.blocks.iter().enumerate() {
        if block.offset != at {
            return Ok(Err(format!("block {i} begins at {} and not where the one before it ends, {at}", block.offset)));
        }
        at = at.saturating_add(block.length);
        if at > info.payload_size {
            return Ok(Err(format!("block {i} goes beyond the payload")));
        }
        file.seek(SeekFrom::Start(start + block.offset))?;
        let (sha256, _) = Digest::of_reader(&mut (&mut *file).take(block.length))?;
        if sha256 != block.sha256 {
            return Ok(Err(format!("block {i} has another digest")));
        }
        let mut inside = of_block.remove(&(i as u32)).unwrap_or_default();
        inside.sort_by_key(|f| f.offset);
        placed += inside.len();
        file.seek(SeekFrom::Start(start + block.offset))?;
        let mut plain = GzDecoder::new(BufReader::new((&mut *file).take(block.length)));
        let mut read = 0;
        for listed in inside {
            let (Some(offset), Some(size)) = (listed.offset, listed.size) else {
                return Ok(Err(format!("{} has a block, and no offset or size", listed.path)));
            };
            let Some(skip) = offset.checked_sub(read) else { return Ok(Err(format!("{} lies within another file", listed.path))) };
            let skipped = io::copy(&mut (&mut plain).take(skip), &mut io::sink());
            let hashed = skipped.and_then(|_| Digest::of_reader((&mut plain).take(size)));
            match hashed {
                Ok((sha256, length)) if sha256 == listed.sha256 && length == size => read = offset + size,
                Ok(_) => return Ok(Err(format!("{} does not lie in block {i} where the manifest says", listed.path))),
                Err(e) => return Ok(Err(format!("block {i} cannot be unpacked: {e}"))),
            }
        }
    }
    Ok(if at != info.payload_size {
        Err(format!("the blocks have {at} bytes, and the payload {}", info.payload_size))
    } else if placed != manifest.files.len() {
        Err(format!("{} in no block", count(manifest.files.len() - placed, "file")))
    } else {
        Ok(info.blocks.len())
    })
}

/// Reads the bundle as a device does. The number of files; or what is wrong.
fn stream(file: File, manifest: &Manifest) -> std::result::Result<usize, BundleError<String>> {
    let told: Option<u64> = manifest.files.iter().map(|f| f.size.map(|s| s.saturating_add(ENTRY))).sum();
    let limit = told.map_or(UNTOLD, |told| told + manifest::SIZE_MAX + signature::SIZE_MAX + 4 * ENTRY);
    let mut listed: BTreeMap<&ReleasePath, Vec<Digest>> = BTreeMap::new();
    for file in &manifest.files {
        listed.entry(&file.path).or_default().push(file.sha256);
    }
    let mut seen = BTreeSet::new();
    bundle::read(BufReader::with_capacity(1 << 16, file), limit, |head, content| {
        let path = head.path.as_str();
        if [manifest::NAME, manifest::SIGNATURE_NAME].contains(&path) {
            return Ok(());
        }
        let Some(listed) = listed.get(&head.path) else {
            return Err(format!("it holds {path}, which the manifest does not list"));
        };
        let (sha256, _) = Digest::of_reader(content).map_err(|e| format!("{path} cannot be unpacked: {e}"))?;
        if !listed.contains(&sha256) {
            return Err(format!("{path} has another digest"));
        }
        if !seen.insert((head.path.clone(), sha256)) {
            return Err(format!("it holds {path} twice"));
        }
        Ok(())
    })?;
    let missing = manifest.files.iter().find(|f| !seen.contains(&(f.path.clone(), f.sha256)));
    missing.map_or(Ok(seen.len()), |f| Err(BundleError::Visitor(format!("it does not hold {}", f.path))))
}
