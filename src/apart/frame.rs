//! The line between the two processes: frames of a kind, a length and that many bytes, and within them fields. Whoever sits at the other
//! end may have been taken over: nothing is read beyond its bound, no memory is taken for bytes that have not come, and what does not fit
//! ends the conversation. There is nothing clever here to be attacked.

use std::io::{self, IoSlice, Read, Write};

/// Kind and length.
const HEAD: usize = 5;
/// Bytes before a field of bytes: how many there are.
const LENGTH: usize = 4;
/// Memory that is taken for a payload before its bytes are there, at the least.
const STEP: usize = 64 << 10;

/// What is wrong with what came.
#[derive(Debug, PartialEq, Eq)]
pub struct Lie(pub &'static str);

impl std::fmt::Display for Lie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Lie {}

/// Why no frame came.
#[derive(Debug)]
pub enum NoFrame {
    /// The other end is gone.
    Gone,
    /// Reading failed.
    Read(io::Error),
    /// What came is no frame that may come now.
    Lie(Lie),
}

/// Writes one frame, in one go.
///
/// # Errors
/// The other end is gone.
pub fn write(to: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    write_two(to, kind, payload, &[])
}

/// The same with a payload in two pieces, which nobody has to put together first: most of what is said is contents.
///
/// # Errors
/// The other end is gone.
pub fn write_two(to: &mut impl Write, kind: u8, first: &[u8], second: &[u8]) -> io::Result<()> {
    let length = u32::try_from(first.len() + second.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame of 4 GiB"))?;
    let [a, b, c, d] = length.to_le_bytes();
    let head = [kind, a, b, c, d];
    let mut parts = &mut [&head[..], first, second].map(IoSlice::new)[..];
    while !parts.is_empty() {
        match to.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut parts, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads one frame into `payload`, whose memory is used again. `most` says how long a frame of a kind may be, if it may come at all.
///
/// # Errors
/// See [`NoFrame`].
pub fn read(from: &mut impl Read, payload: &mut Vec<u8>, most: impl Fn(u8) -> Option<usize>) -> Result<u8, NoFrame> {
    let mut head = [0; HEAD];
    fill(from, &mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    match most(kind) {
        None => return Err(NoFrame::Lie(Lie("something came that was not its turn"))),
        Some(most) if length > most => return Err(NoFrame::Lie(Lie("more came at once than may"))),
        Some(_) => {}
    }
    payload.clear();
    // memory is taken as the bytes come, not as they are announced, and no more than there are: half as much again each time
    while payload.len() < length {
        let next = (length - payload.len()).min((payload.len() / 2).max(STEP));
        payload.reserve_exact(next);
        match Read::take(&mut *from, next as u64).read_to_end(payload) {
            Ok(n) if n == next => {}
            Ok(_) => return Err(NoFrame::Gone),
            Err(e) => return Err(broken(e)),
        }
    }
    Ok(kind)
}

fn broken(e: io::Error) -> NoFrame {
    if e.kind() == io::ErrorKind::ConnectionReset { NoFrame::Gone } else { NoFrame::Read(e) }
}

fn fill(from: &mut impl Read, into: &mut [u8]) -> Result<(), NoFrame> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => return Err(NoFrame::Gone),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(broken(e)),
        }
    }
    Ok(())
}

/// Puts fields together.
#[derive(Debug, Default)]
pub struct Pack(pub Vec<u8>);

impl Pack {
    /// A number.
    pub fn number(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }
    /// Yes or no.
    pub fn flag(mut self, yes: bool) -> Self {
        self.0.push(yes.into());
        self
    }
    /// Bytes. More than 4 GiB never come here: all that is packed was bounded when it was read.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        if bytes.len() > STEP {
            self.0.reserve_exact(LENGTH + bytes.len());
        }
        self.0.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend(bytes);
        self
    }
    /// Long bytes at the end: they make room for what stands before them, and are not held twice.
    pub fn last(self, mut bytes: Vec<u8>) -> Self {
        let before = self.bytes(&[]).0;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        bytes.reserve_exact(before.len());
        bytes.splice(0..0, before[..before.len() - LENGTH].iter().copied().chain(length));
        Pack(bytes)
    }
    /// Text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }
    /// A field that may be missing.
    pub fn maybe<T>(self, value: Option<T>, pack: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => pack(self.flag(true), value),
            None => self.flag(false),
        }
    }
}

/// Takes fields apart, in the same order.
#[derive(Debug)]
pub struct Unpack<'p>(pub &'p [u8]);

impl<'p> Unpack<'p> {
    fn take(&mut self, n: usize) -> Result<&'p [u8], Lie> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Lie("a field is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Lie> {
        self.take(N)?.try_into().map_err(|_| Lie("a field is cut off"))
    }
    /// A number.
    pub fn number(&mut self) -> Result<u64, Lie> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    /// Yes or no.
    pub fn flag(&mut self) -> Result<bool, Lie> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Lie("a field is neither yes nor no")),
        }
    }
    /// Bytes, at most so many.
    pub fn bytes(&mut self, most: usize) -> Result<&'p [u8], Lie> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        if length > most {
            return Err(Lie("a field is longer than it may be"));
        }
        self.take(length)
    }
    /// Text, at most so many bytes.
    pub fn text(&mut self, most: usize) -> Result<&'p str, Lie> {
        std::str::from_utf8(self.bytes(most)?).map_err(|_| Lie("a text is not UTF-8"))
    }
    /// A field that may be missing.
    pub fn maybe<T>(&mut self, unpack: impl FnOnce(&mut Self) -> Result<T, Lie>) -> Result<Option<T>, Lie> {
        if self.flag()? { unpack(self).map(Some) } else { Ok(None) }
    }
    /// Nothing may be left.
    pub fn end(self) -> Result<(), Lie> {
        if self.0.is_empty() { Ok(()) } else { Err(Lie("something is left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(kind: u8) -> Option<usize> {
        match kind {
            1 => Some(4),
            2 => Some(1 << 20),
            _ => None,
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, payload).unwrap();
        bytes
    }

    fn get(bytes: &[u8]) -> Result<(u8, Vec<u8>), NoFrame> {
        let mut payload = Vec::new();
        read(&mut &*bytes, &mut payload, most).map(|kind| (kind, payload))
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(get(&frame(1, b"abcd")).unwrap(), (1, b"abcd".to_vec()));
        assert_eq!(get(&frame(1, b"")).unwrap(), (1, Vec::new()));
        let big = vec![7; 200_000];
        assert_eq!(get(&frame(2, &big)).unwrap(), (2, big.clone()));
        // what is long has the memory that it needs and no more, however it is put together or read
        assert_eq!(get(&frame(2, &big)).unwrap().1.capacity(), big.len());
        let (bytes, last) = (Pack::default().number(1).bytes(&big).0, Pack::default().number(1).last(big).0);
        assert_eq!((bytes.capacity(), last.capacity()), (bytes.len(), bytes.len()));
        assert_eq!(bytes, last);
        let packed = Pack::default().number(u64::MAX).flag(true).text("ü").maybe(Some(3), Pack::number).maybe(None, Pack::number).bytes(&[0xff]);
        let mut un = Unpack(&packed.0);
        assert_eq!((un.number(), un.flag(), un.text(2)), (Ok(u64::MAX), Ok(true), Ok("ü")));
        assert_eq!((un.maybe(Unpack::number), un.maybe(Unpack::number), un.bytes(1)), (Ok(Some(3)), Ok(None), Ok(&[0xff][..])));
        assert_eq!(un.end(), Ok(()));
    }

    #[test]
    fn frames_that_lie_are_refused_and_cost_no_memory() {
        assert!(matches!(get(&frame(3, b"")), Err(NoFrame::Lie(Lie("something came that was not its turn")))));
        assert!(matches!(get(&frame(1, b"abcde")), Err(NoFrame::Lie(Lie("more came at once than may")))));
        assert!(matches!(get(b""), Err(NoFrame::Gone)));
        let whole = frame(2, b"abc");
        for cut in 1..whole.len() {
            assert!(matches!(get(&whole[..cut]), Err(NoFrame::Gone)), "{cut}");
        }
        let mut payload = Vec::new();
        let announced = [&[2][..], &(1u32 << 20).to_le_bytes(), b"few"].concat();
        assert!(matches!(read(&mut &*announced, &mut payload, most), Err(NoFrame::Gone)));
        assert!(payload.capacity() < 200_000, "{}", payload.capacity());
        assert!(matches!(get(&[&[2][..], &u32::MAX.to_le_bytes()].concat()), Err(NoFrame::Lie(_))));
    }

    #[test]
    fn fields_that_lie_are_refused() {
        assert_eq!(Unpack(b"1234567").number(), Err(Lie("a field is cut off")));
        assert_eq!(Unpack(&[2]).flag(), Err(Lie("a field is neither yes nor no")));
        assert_eq!(Unpack(&[5, 0, 0, 0, b'a']).bytes(10), Err(Lie("a field is cut off")));
        assert_eq!(Unpack(&u32::MAX.to_le_bytes()).bytes(10), Err(Lie("a field is longer than it may be")));
        assert_eq!(Unpack(&[1, 0, 0, 0, 0xff]).text(10), Err(Lie("a text is not UTF-8")));
        assert_eq!(Unpack(&[0]).end(), Err(Lie("something is left over")));
    }
}
