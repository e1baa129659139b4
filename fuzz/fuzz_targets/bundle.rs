//! An archive from anybody. Never more comes out of it than the limit, and nothing but plain files with paths of a release.
//!
//! The first byte says what the rest is: the stream itself; a tar archive that is compressed here; or a description of entries. Mutated
//! at random, an archive would hardly ever get past its checksums, so those are made to fit.
#![no_main]

use std::io::{self, BufRead, BufReader};

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use pikit_updater::release::ReleasePath;
use pikit_updater::release::bundle::{self, BundleError};

const BLOCK: usize = 512;

fuzz_target!(|input: &[u8]| {
    let [mode, small, rest @ ..] = input else { return };
    // from a few bytes to 64 KiB; what is not enough for a header must be refused too
    let limit = 1u64 << (small % 17);
    let stream = match mode % 4 {
        0 => rest.to_vec(),
        1 => member(&with_checksums(rest.to_vec())),
        2 => chain(&with_checksums(rest.to_vec()), usize::from(*mode) * 8 + 1),
        _ => chain(&described(rest), usize::from(*mode) * 8 + 1),
    };
    let (whole, ended) = unpack(&stream[..], limit);
    // how the bytes arrive does not change the verdict, nor what comes out of a good archive
    let (pieces, ended_in_pieces) = unpack(BufReader::with_capacity(61, &stream[..]), limit);
    assert_eq!(ended, ended_in_pieces);
    assert!(!ended || whole == pieces, "the archive was read in two ways");
    // a download is taken up again at a member: the rest of the archive then comes from an attacker's offset too
    for at in whole.iter().filter_map(|file| file.member) {
        assert!(at as usize <= stream.len());
        unpack(&stream[at as usize..], limit);
    }
});

#[derive(Debug, PartialEq)]
struct Unpacked {
    path: ReleasePath,
    content: Vec<u8>,
    member: Option<u64>,
}

fn unpack(stream: impl BufRead, limit: u64) -> (Vec<Unpacked>, bool) {
    let (mut files, mut handed) = (Vec::new(), 0);
    let read = bundle::read::<io::Error>(stream, limit, |head, content| {
        assert_eq!(ReleasePath::new(head.path.as_str()).as_ref(), Ok(&head.path));
        assert!(head.mode <= 0o755 && head.size <= limit);
        let mut bytes = Vec::new();
        let read = content.read_to_end(&mut bytes);
        handed += bytes.len() as u64;
        assert!(handed <= limit, "{handed} bytes were handed out, {limit} is the limit");
        read?;
        assert_eq!(bytes.len() as u64, head.size, "a file is shorter than it says, and nobody noticed");
        files.push(Unpacked { path: head.path.clone(), content: bytes, member: head.member });
        Ok(())
    });
    match read {
        Ok(()) => (files, true),
        Err(BundleError::Bad(why)) => {
            assert!(!why.is_empty());
            (files, false)
        }
        Err(BundleError::Read(_) | BundleError::Visitor(_)) => (files, false),
    }
}

/// A gzip member (RFC 1952) of stored blocks: compressing would take most of the time.
fn member(bytes: &[u8]) -> Vec<u8> {
    let mut gz = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(0xffff).collect() };
    for (i, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).expect("a block is at most so long");
        gz.push((i + 1 == blocks.len()).into());
        gz.extend(length.to_le_bytes());
        gz.extend((!length).to_le_bytes());
        gz.extend_from_slice(block);
    }
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    gz.extend(crc.sum().to_le_bytes());
    gz.extend(crc.amount().to_le_bytes());
    gz
}

/// Members of so many blocks each.
fn chain(bytes: &[u8], blocks: usize) -> Vec<u8> {
    bytes.chunks(blocks % 5 * BLOCK + BLOCK).flat_map(member).collect()
}

/// The archive with the checksum of each header made to fit, wherever its sizes lead.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        let zero = block.iter().all(|b| *b == 0);
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        if !zero {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let content = header.entry_size().unwrap_or(0).min(1 << 20) as usize;
        at += BLOCK + content.next_multiple_of(BLOCK);
    }
    bytes
}

/// An entry as somebody might make it up.
#[derive(Debug, Arbitrary)]
struct Made<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    mode: u32,
    /// What the header says, if not the truth.
    lie: Option<u64>,
    gnu: bool,
    content: &'a [u8],
}

fn described(bytes: &[u8]) -> Vec<u8> {
    let mut made = Unstructured::new(bytes);
    let mut archive = Vec::new();
    while !made.is_empty() && archive.len() < 1 << 18 {
        let Ok(entry) = Made::arbitrary(&mut made) else { break };
        let mut header = if entry.gnu { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
        let old = header.as_old_mut();
        let n = entry.name.len().min(old.name.len());
        old.name[..n].copy_from_slice(&entry.name[..n]);
        let n = entry.link.len().min(old.linkname.len());
        old.linkname[..n].copy_from_slice(&entry.link[..n]);
        // the kinds that a library treats in a way of its own come up often enough
        old.linkflag = [[b'0', b'1', b'2', b'5', b'7', b'L', b'K', b'x', b'g', b'S', 0, entry.kind][usize::from(entry.kind % 12)]];
        header.set_mode(entry.mode);
        header.set_size(entry.lie.unwrap_or(entry.content.len() as u64));
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(entry.content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}
