//! One gzip member (RFC 1952), compressed as well as deflate can be. What it holds is collected and compressed at once; what is too large
//! for that goes through as a stream.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use libdeflater::{CompressionLvl, Compressor};

/// The largest member that is collected, bytes.
const WHOLE_MAX: u64 = 32 << 20;
/// "Unknown" of RFC 1952: the same whatever machine packs.
const GZIP_OS: u8 = 255;
/// How much the streaming compressor is handed at a time, bytes.
const EVEN: usize = 64 << 10;

/// A member being written.
pub enum Member<W: Write> {
    /// Collected, and where it goes.
    Whole(Vec<u8>, W),
    /// Compressed piece by piece. What a compressor writes may depend on how its input was cut, and that would otherwise depend on how
    /// the machine's `read` cuts a file: so all pieces have one size.
    Stream(Vec<u8>, Box<GzEncoder<W>>),
}

impl<W: Write> Member<W> {
    /// A member of about so many bytes.
    pub fn new(out: W, about: u64) -> Self {
        if about <= WHOLE_MAX {
            return Member::Whole(Vec::with_capacity(about as usize), out);
        }
        let gzip = GzBuilder::new().mtime(0).operating_system(GZIP_OS).write(out, Compression::best());
        Member::Stream(Vec::with_capacity(EVEN), Box::new(gzip))
    }

    /// Writes what is left, and gives back where it went.
    ///
    /// # Errors
    /// Writing.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Member::Whole(plain, mut out) => {
                let mut compressor = Compressor::new(CompressionLvl::best());
                let mut packed = vec![0; compressor.gzip_compress_bound(plain.len())];
                let n = compressor.gzip_compress(&plain, &mut packed).expect("the bound holds for every content");
                out.write_all(&packed[..n])?;
                Ok(out)
            }
            Member::Stream(rest, mut gzip) => {
                gzip.write_all(&rest)?;
                gzip.finish()
            }
        }
    }
}

impl<W: Write> Write for Member<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Member::Whole(plain, _) => plain.write(bytes),
            Member::Stream(piece, gzip) => {
                let n = bytes.len().min(EVEN - piece.len());
                piece.extend_from_slice(&bytes[..n]);
                if piece.len() == EVEN {
                    gzip.write_all(piece)?;
                    piece.clear();
                }
                Ok(n)
            }
        }
    }
    // a flush would end a deflate block wherever it came from
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
