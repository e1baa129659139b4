//! Reading a bundle: gunzip, untar, entry by entry, in one pass and with fixed memory. Whatever the archive claims, no more is read
//! than the limits allow, and nothing but regular files comes out ([`super::archive`] says what is refused).
//!
//! A bundle is a chain of gzip members (RFC 1952) around one ustar archive. The reader knows where members start: an entry at the
//! start of a member is a place where an interrupted download can be taken up again.

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

use super::archive::{Archive, Fault, Plain};
use super::{ReleasePath, manifest};
use crate::error::find_inside;

/// Most bytes of headers and extensions between the contents of two entries, and of padding at the end.
const BETWEEN_ENTRIES: u64 = 64 << 10;
/// Most gzip members in a row with nothing in them: a bundle could consist of them, and a download would not end.
const EMPTY_MEMBERS: u32 = 16;

/// A regular file in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its path in the release.
    pub path: ReleasePath,
    /// Bytes of its content.
    pub size: u64,
    /// Permission bits of the entry, at most 0755: nobody but the owner writes.
    pub mode: u32,
    /// Offset in the compressed stream, counted from where the reader began, when the entry starts a gzip member.
    pub member: Option<u64>,
}

/// Why a bundle was not read to its end.
#[derive(Debug)]
pub enum BundleError<E> {
    /// The archive is not what a bundle must be; the sentence says what.
    Bad(String),
    /// Reading the stream failed.
    Read(io::Error),
    /// The visitor wants no more.
    Visitor(E),
}

/// Reads a bundle to its end and hands each regular file to `visit`, which may read the content or leave it.
///
/// `limit` bounds the decompressed bytes.
///
/// # Errors
/// See [`BundleError`]. Wrong CRC, cut stream, links, devices, bad paths, setuid bits, pax overrides and sizes beyond the limit are
/// [`BundleError::Bad`].
pub fn read<E>(stream: impl BufRead, limit: u64, visit: impl FnMut(&Head, &mut dyn Read) -> Result<(), E>) -> Result<(), BundleError<E>> {
    entries(stream, false, limit, visit)
}

/// Reads a run of a bundle's blocks: as [`read`], but what comes ends behind any block.
///
/// # Errors
/// As [`read`].
pub fn read_run<E>(stream: impl BufRead, limit: u64, visit: impl FnMut(&Head, &mut dyn Read) -> Result<(), E>) -> Result<(), BundleError<E>> {
    entries(stream, true, limit, visit)
}

fn entries<E>(stream: impl BufRead, cut: bool, limit: u64, mut visit: impl FnMut(&Head, &mut dyn Read) -> Result<(), E>) -> Result<(), BundleError<E>> {
    let budget = Rc::new(RefCell::new(Budget { total: limit, between: BETWEEN_ENTRIES, member: (0, 0) }));
    let mut archive = Archive::new(Members::new(stream, budget.clone()), cut);
    let mut seen = [false; 2];
    while let Some(Plain { path, size, mode, at }) = archive.next().map_err(fault)? {
        // what fetching passes over must be there once all the same: another program would take the last
        if let Some(known) = [manifest::NAME, manifest::SIGNATURE_NAME].iter().position(|name| *name == path.as_str())
            && std::mem::replace(&mut seen[known], true)
        {
            return Err(BundleError::Bad(format!("the bundle holds {path} twice")));
        }
        {
            let mut budget = budget.borrow_mut();
            if size > budget.total {
                return Err(BundleError::Bad(too_much(limit)));
            }
            // the content and its padding, then headers up to the next entry
            budget.between = size.saturating_add(BETWEEN_ENTRIES);
        }
        let member = {
            let (compressed, plain) = budget.borrow().member;
            (plain == at).then_some(compressed)
        };
        let mut content = Whole { content: &mut archive, left: size };
        visit(&Head { path, size, mode: mode & 0o755, member }, &mut content).map_err(BundleError::Visitor)?;
        io::copy(&mut content, &mut io::sink()).map_err(classify)?;
        budget.borrow_mut().between = BETWEEN_ENTRIES;
    }
    Ok(())
}

fn fault<E>(fault: Fault) -> BundleError<E> {
    match fault {
        Fault::Bad(words) => BundleError::Bad(words),
        Fault::Read(e) => classify(e),
    }
}

fn too_much(limit: u64) -> String {
    format!("the bundle unpacks to more than the {} its manifest accounts for", crate::quantity::bytes(limit))
}

/// Errors that the decoder and the tar library found in the data are the bundle's fault; all others are the stream's.
fn classify<E>(e: io::Error) -> BundleError<E> {
    use io::ErrorKind as K;
    if let Some(OverBudget(words)) = find_inside(&e) {
        return BundleError::Bad(words.clone());
    }
    let from_data = matches!(e.kind(), K::InvalidData | K::InvalidInput | K::UnexpectedEof | K::Other);
    if from_data && find_inside::<crate::error::Error>(&e).is_none() && e.raw_os_error().is_none() {
        return BundleError::Bad(format!("the bundle is damaged: {e}"));
    }
    BundleError::Read(e)
}

/// The content of a file, to its last byte: the tar library takes the end of the archive for the end of the file.
struct Whole<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buf)?;
        if n == 0 && self.left > 0 && !buf.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a file"));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

struct Budget {
    total: u64,
    between: u64,
    /// Where the current member starts: compressed, decompressed.
    member: (u64, u64),
}

#[derive(Debug)]
struct OverBudget(String);

impl std::fmt::Display for OverBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OverBudget {}

/// The members of a gzip chain, decompressed one after the other.
struct Members<R: BufRead> {
    state: State<R>,
    plain: u64,
    /// Empty members in a row.
    empty: u32,
    budget: Rc<RefCell<Budget>>,
}

enum State<R: BufRead> {
    Inside(Box<GzDecoder<Counted<R>>>),
    Between(Counted<R>),
    Taken,
}

impl<R: BufRead> Members<R> {
    fn new(stream: R, budget: Rc<RefCell<Budget>>) -> Self {
        Members { state: State::Between(Counted { inner: stream, count: 0 }), plain: 0, empty: 0, budget }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Taken) {
                State::Between(mut stream) => {
                    if stream.fill_buf()?.is_empty() {
                        self.state = State::Between(stream);
                        return Ok(0);
                    }
                    self.budget.borrow_mut().member = (stream.count, self.plain);
                    self.state = State::Inside(Box::new(GzDecoder::new(stream)));
                }
                State::Inside(mut decoder) => {
                    let read = decoder.read(buf);
                    if matches!(read, Ok(0)) {
                        self.empty += 1;
                        if self.empty > EMPTY_MEMBERS {
                            return Err(io::Error::other(OverBudget("the bundle holds gzip members without end that have nothing in them".into())));
                        }
                        self.state = State::Between((*decoder).into_inner());
                        continue;
                    }
                    self.state = State::Inside(decoder);
                    let n = read? as u64;
                    self.plain += n;
                    self.empty = 0;
                    let mut budget = self.budget.borrow_mut();
                    let over = |words: String| Err(io::Error::other(OverBudget(words)));
                    if n > budget.total {
                        return over("the bundle unpacks to more than its manifest accounts for".into());
                    }
                    if n > budget.between {
                        return over("the bundle holds a file name or header of more than 64 KiB".into());
                    }
                    budget.total -= n;
                    budget.between -= n;
                    return Ok(n as usize);
                }
                State::Taken => return Err(io::Error::other("the stream failed before")),
            }
        }
    }
}

/// Counts the compressed bytes used up.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, n: usize) {
        self.count += n as u64;
        self.inner.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    fn entry(name: &str, content: &[u8], kind: tar::EntryType) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if !content.is_empty() && kind != tar::EntryType::Regular {
            header.set_size(0);
        }
        header.set_cksum();
        let mut out = header.as_bytes().to_vec();
        if kind == tar::EntryType::Regular {
            out.extend(content);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out
    }

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        entry(name, content, tar::EntryType::Regular)
    }

    type Seen = Vec<(String, Vec<u8>, Option<u64>)>;

    fn all(bytes: &[u8], limit: u64) -> Result<Seen, String> {
        let mut seen = Vec::new();
        let r = read::<io::Error>(bytes, limit, |head, content| {
            let mut v = Vec::new();
            content.read_to_end(&mut v)?;
            seen.push((head.path.to_string(), v, head.member));
            Ok(())
        });
        r.map(|()| seen).map_err(|e| format!("{e:?}"))
    }

    fn chain() -> (Vec<u8>, u64) {
        let first = member(&file("a", b"one"));
        let second = member(&[file("d/b", b"two"), file("d/c", &[7; 2000]), vec![0; 1024]].concat());
        let at = first.len() as u64;
        ([first, second].concat(), at)
    }

    #[test]
    fn reads_a_chain_of_members_and_knows_where_they_start() {
        let (bytes, at) = chain();
        let seen = all(&bytes, 1 << 20).unwrap();
        assert_eq!(seen.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), ["a", "d/b", "d/c"]);
        assert_eq!(seen.iter().map(|s| s.2).collect::<Vec<_>>(), [Some(0), Some(at), None]);
        let tail = all(&bytes[at as usize..], 1 << 20).unwrap();
        assert_eq!(tail.len(), 2);
    }

    #[test]
    fn a_cut_or_flipped_stream_is_never_taken_for_a_whole_one() {
        let (bytes, at) = chain();
        for cut in 1..bytes.len() {
            let cut_at_a_boundary = cut as u64 == at; // looks like a shorter archive: the manifest notices what is missing
            assert!(cut_at_a_boundary || all(&bytes[..cut], 1 << 20).is_err(), "cut at {cut}");
        }
        for i in 20..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            if let Ok(seen) = all(&bad, 1 << 20) {
                // a flip in a gzip header's unused fields changes nothing
                assert_eq!(seen.len(), 3, "flip at {i}");
            }
        }
    }

    #[test]
    fn an_archive_that_ends_within_a_file_hands_out_an_error_and_no_shorter_file() {
        // the gzip member is whole, so that nothing but the size in the header tells
        let cut = &file("a", &[7; 600])[..900];
        let mut got = None;
        let read = read::<io::Error>(&member(cut)[..], 1 << 20, |_, content| {
            got = Some(content.read_to_end(&mut Vec::new()).map_err(|e| e.kind()));
            Ok(())
        });
        assert_eq!(got, Some(Err(io::ErrorKind::UnexpectedEof)));
        assert!(matches!(read, Err(BundleError::Bad(why)) if why.contains("damaged")));
    }

    #[test]
    fn only_plain_files_with_harmless_names_come_out() {
        for (name, kind) in [("x", tar::EntryType::Symlink), ("x", tar::EntryType::Link), ("x", tar::EntryType::Char), ("x", tar::EntryType::Fifo)] {
            let error = all(&member(&entry(name, b"", kind)), 1 << 20).unwrap_err();
            assert!(error.contains("only plain files"), "{error}");
        }
        for name in ["../x", "/etc/passwd", "a/../../x"] {
            assert!(all(&member(&file(name, b"x")), 1 << 20).is_err(), "{name}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = member(&file("big", &vec![0; 3 << 20]));
        assert!(all(&bomb, 1 << 20).unwrap_err().contains("accounts for"));
        let long_name = entry("././@LongLink", b"", tar::EntryType::GNULongName);
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&long_name[..512]);
        header.set_size(2 << 20);
        header.set_cksum();
        let bytes = member(&[header.as_bytes().to_vec(), vec![b'n'; 2 << 20]].concat());
        assert!(all(&bytes, 1 << 30).unwrap_err().contains("a file name of 2.1 MB"));
        let folders: Vec<u8> = (0..200).flat_map(|i| entry(&format!("d{i}"), b"", tar::EntryType::Directory)).collect();
        assert!(all(&member(&folders), 1 << 30).unwrap_err().contains("64 KiB"));
        let nothing = member(b"").repeat(1000);
        assert!(all(&nothing, 1 << 30).unwrap_err().contains("nothing in them"));
    }
}
