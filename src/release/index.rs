//! What stands before the frames of an asset: a list that says what each frame makes, compressed, in a frame that others skip
//! (RFC 8878, 3.1.2). Numbers are LEB128.

use std::io::{self, Read};

use super::frames::Unpacker;

/// Most bytes of an index, as it is written and compressed.
pub const INDEX_MAX: usize = 8 << 20;
/// Magic number of a skippable frame.
const SKIPPABLE: u32 = 0x184D_2A50;
/// Bytes before the compressed list: magic number and length of the frame, what kind of list it is, and its length.
pub const HEAD: usize = 18;
/// Bytes that tell what kind of list it is.
const KIND: usize = 6;

/// What is wrong with an asset of frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// A list as it stands before the frames.
///
/// # Errors
/// Compressing.
pub fn write(kind: &[u8; KIND], plain: &[u8], compress: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let packed = compress(plain)?;
    let content = KIND + 4 + packed.len();
    let mut out = Vec::with_capacity(content + 8);
    for word in [SKIPPABLE, content as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(kind);
    out.extend((plain.len() as u32).to_le_bytes());
    out.extend(packed);
    Ok(out)
}

/// Reads a list from the start of an asset; the frames come next.
///
/// # Errors
/// Reading; or a [`Broken`] inside: it is none of this kind.
pub fn read(kind: &[u8; KIND], from: &mut impl Read) -> io::Result<Vec<u8>> {
    let broken = |words| io::Error::new(io::ErrorKind::InvalidData, Broken(words));
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (content, plain) = (word(4) as usize, word(14) as usize);
    if word(0) != SKIPPABLE || &head[8..14] != kind {
        return Err(broken("it does not begin as it should"));
    }
    let packed = content.checked_sub(KIND + 4).filter(|n| *n <= INDEX_MAX && plain <= INDEX_MAX);
    let packed = packed.ok_or_else(|| broken("its index is too long"))?;
    let mut bytes = Vec::new();
    from.take(packed as u64).read_to_end(&mut bytes)?;
    Unpacker::default().unpack(&bytes, &[], plain).map_err(|e| broken(e.0))
}

/// Writes a number.
pub fn number(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// Reads numbers and bytes one after the other.
pub struct Fields<'f>(pub &'f [u8]);

impl<'f> Fields<'f> {
    /// The next number.
    ///
    /// # Errors
    /// There is none, or it is too large.
    pub fn number(&mut self) -> Result<u64, Broken> {
        let mut n = 0u64;
        for shift in (0..63).step_by(7) {
            let (first, after) = self.0.split_first().ok_or(Broken("its index is cut off"))?;
            self.0 = after;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Broken("its index holds a number that is too large"))
    }

    /// The next number, at most so large.
    ///
    /// # Errors
    /// As for [`Fields::number`].
    pub fn within(&mut self, most: usize) -> Result<u32, Broken> {
        let n = self.number()?;
        u32::try_from(n).ok().filter(|n| *n as usize <= most).ok_or(Broken("its index holds a number that is too large"))
    }

    /// What comes so many after this one, at most so large.
    ///
    /// # Errors
    /// As for [`Fields::number`].
    pub fn step(&mut self, from: u32, most: usize) -> Result<u32, Broken> {
        let n = self.number()?.saturating_add(from.into());
        u32::try_from(n).ok().filter(|n| *n as usize <= most).ok_or(Broken("its index holds a number that is too large"))
    }

    /// The next bytes.
    ///
    /// # Errors
    /// There are none.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, after) = self.0.split_first_chunk().ok_or(Broken("its index is cut off"))?;
        self.0 = after;
        Ok(*taken)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken("its index goes on behind its end")) }
    }
}
