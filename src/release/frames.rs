//! The frames of a patch, undone (zstd, RFC 8878).
//!
//! What a frame was compressed against is told to the decoder as what came before, in blocks that are not compressed: so it is held once,
//! in the window. As a dictionary it would be held twice while it is handed over, and beside the window.

use std::io::{self, Read, Take, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::index::Broken;
use super::patch::{STRETCH_MAX, WINDOW_LOG};

/// Magic number of a frame.
const MAGIC: u32 = 0xFD2F_B528;
/// Most bytes of a block.
const BLOCK_MAX: usize = 128 << 10;
/// Nobody needs to know more: the content is fetched in another way.
const DAMAGED: Broken = Broken("a frame of it is damaged");

/// Unpacks frames. Its memory is used again from one to the next.
pub struct Unpacker {
    decoder: FrameDecoder,
    /// Window of a frame that was compressed against something, as a power of two.
    window_log: u32,
    /// Bytes before the next frame.
    known: usize,
    /// Whether the decoder has its memory.
    begun: bool,
}

impl Default for Unpacker {
    fn default() -> Self {
        Unpacker::with_window(WINDOW_LOG)
    }
}

impl Unpacker {
    /// For frames with a window of this power of two.
    pub fn with_window(window_log: u32) -> Self {
        Unpacker { decoder: FrameDecoder::default(), window_log, known: 0, begun: false }
    }

    /// Unpacks one frame to exactly `plain` bytes. `stretch` is what it was compressed against, empty if nothing.
    ///
    /// # Errors
    /// It is no such frame.
    pub fn unpack(&mut self, frame: &[u8], stretch: &[u8], plain: usize) -> Result<Vec<u8>, Broken> {
        self.know(stretch)?;
        let mut out = Vec::with_capacity(plain);
        self.unpack_to(&mut frame.take(frame.len() as u64), plain, &mut out)?;
        Ok(out)
    }

    /// Takes what the next frame was compressed against, or the next bytes of it.
    ///
    /// # Errors
    /// It is more than may be.
    pub fn know(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.known + bytes.len() > STRETCH_MAX {
            return Err(Broken("it needs more of an earlier content than may be"));
        }
        if self.known == 0 && !bytes.is_empty() {
            self.begin(self.window_log)?;
        }
        for block in bytes.chunks(BLOCK_MAX) {
            // not the last, raw, its length (RFC 8878, 3.1.1.2)
            let head = (block.len() as u32) << 3;
            self.decoder.decode_blocks(head.to_le_bytes()[..3].chain(block), BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| DAMAGED)?;
            self.known += block.len();
        }
        Ok(())
    }

    /// Unpacks one frame to exactly `plain` bytes, while it comes; what is written there counts for nothing if there is an error.
    ///
    /// # Errors
    /// It is no such frame, or writing failed.
    pub fn unpack_to(&mut self, frame: &mut Take<impl Read>, plain: usize, out: &mut dyn Write) -> Result<(), Broken> {
        let known = std::mem::take(&mut self.known);
        if plain == 0 && frame.limit() == 0 {
            return Ok(());
        }
        if known == 0 {
            self.begin(self.window_log.max(plain.next_power_of_two().ilog2()))?;
        }
        let tail = head(frame).map_err(|_| DAMAGED)?.ok_or(DAMAGED)?;
        let (mut out, mut written) = (Beyond { skip: known, out }, 0);
        while !self.decoder.is_finished() {
            self.decoder.decode_blocks(&mut *frame, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| DAMAGED)?;
            if self.decoder.can_collect() + written > known + plain {
                return Err(Broken("a frame of it holds more than its index says"));
            }
            written += self.decoder.collect_to_writer(&mut out).map_err(|_| DAMAGED)?;
        }
        written += self.decoder.collect_to_writer(&mut out).map_err(|_| DAMAGED)?;
        if written != known + plain || frame.limit() != tail {
            return Err(Broken("a frame of it has another length than its index says"));
        }
        io::copy(frame, &mut io::sink()).map(drop).map_err(|_| DAMAGED)
    }

    /// Begins a frame with a window of its own.
    fn begin(&mut self, window_log: u32) -> Result<(), Broken> {
        // no content size, no checksum, no dictionary; then the window's exponent
        let head = [&MAGIC.to_le_bytes()[..], &[0, ((window_log - 10) << 3) as u8]].concat();
        self.decoder.set_max_window_size(1 << window_log);
        // the first time it would take its memory by and by, and hold two copies while it grows; the second time it takes all at once
        for _ in 0..if self.begun { 1 } else { 2 } {
            self.decoder.reset(&head[..]).map_err(|_| DAMAGED)?;
            self.begun = true;
        }
        Ok(())
    }
}

/// Reads the head of a frame, and tells how many bytes come behind its last block (RFC 8878, 3.1.1.1). None: it is no frame.
fn head(frame: &mut impl Read) -> io::Result<Option<u64>> {
    let mut start = [0; 5];
    frame.read_exact(&mut start)?;
    let [magic @ .., descriptor] = start;
    let single = descriptor & 0x20 != 0;
    let window = usize::from(!single);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
    // at most as many as these, and of no use: the index tells the sizes
    frame.read_exact(&mut [0; 13][..window + dictionary + content])?;
    Ok((magic == MAGIC.to_le_bytes()).then_some(if descriptor & 4 == 0 { 0 } else { 4 }))
}

/// Passes on what comes behind the first bytes.
struct Beyond<'o> {
    skip: usize,
    out: &'o mut dyn Write,
}

impl Write for Beyond<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.skip == 0 {
            return self.out.write(bytes);
        }
        let n = self.skip.min(bytes.len());
        self.skip -= n;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
