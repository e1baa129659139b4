//! A single pass of gunzip, SHA-256 and write over a bundle, and nothing else: no network, no manifest, no plan, no way back. What an
//! install costs beyond this is what we add to it, so it is built of the same crates with the same profile.
//!
//!     cargo build --release --example bare && target/release/examples/bare BUNDLE.tar.gz FOLDER
#![allow(clippy::unwrap_used)] // a yardstick: whatever is wrong ends it

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Bytes of one read.
const CHUNK: usize = 64 << 10;
/// Tar's unit, bytes.
const BLOCK: usize = 512;

fn main() -> io::Result<()> {
    let [bundle, folder] = &std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>()[..] else {
        eprintln!("usage: bare BUNDLE.tar.gz FOLDER");
        std::process::exit(2);
    };
    let mut tar = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(CHUNK, File::open(bundle)?));
    let (mut header, mut buffer, mut made) = ([0; BLOCK], vec![0; CHUNK], PathBuf::new());
    let (mut all, mut long) = (Sha256::new(), None);
    loop {
        tar.read_exact(&mut header)?;
        let size = number(&header[124..136]);
        match header[156] {
            // the end marker; what may still stand behind it is zeros, and the check sum of the last member
            0 if header[0] == 0 => break,
            b'L' => long = Some(extension(&mut tar, size)?),
            b'0' | 0 => {
                let path = folder.join(long.take().unwrap_or_else(|| name(&header)));
                let dir = path.parent().unwrap();
                if made != dir {
                    fs::create_dir_all(dir)?;
                    made = dir.to_owned();
                }
                all.update(content(&mut tar, size, &path, &mut buffer)?);
            }
            _ => drop(extension(&mut tar, size)?),
        }
    }
    io::copy(&mut tar, &mut io::sink())?;
    // that they were hashed must show somewhere, or the compiler leaves it
    println!("{:02x?}", all.finalize());
    Ok(())
}

fn content(tar: &mut impl Read, size: usize, path: &Path, buffer: &mut [u8]) -> io::Result<impl AsRef<[u8]>> {
    let (mut file, mut hasher, mut left) = (File::create(path)?, Sha256::new(), size);
    while left > 0 {
        let most = left.min(buffer.len());
        let n = tar.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&buffer[..n])?;
        hasher.update(&buffer[..n]);
        left -= n;
    }
    skip_padding(tar, size)?;
    Ok(hasher.finalize())
}

fn extension(tar: &mut impl Read, size: usize) -> io::Result<PathBuf> {
    let mut bytes = vec![0; size];
    tar.read_exact(&mut bytes)?;
    skip_padding(tar, size)?;
    Ok(text(&bytes).into())
}

fn skip_padding(tar: &mut impl Read, size: usize) -> io::Result<()> {
    tar.read_exact(&mut [0; BLOCK][..size.next_multiple_of(BLOCK) - size])
}

fn number(octal: &[u8]) -> usize {
    octal.iter().filter(|b| b.is_ascii_digit()).fold(0, |n, b| n * 8 + usize::from(b - b'0'))
}

/// Ustar's name: what stands in front may be in a field of its own.
fn name(header: &[u8; BLOCK]) -> PathBuf {
    Path::new(&text(&header[345..500])).join(text(&header[..100]))
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).unwrap()
}
