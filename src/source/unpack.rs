//! The door through which contents come in: a bundle, entry by entry. Behind it an archive is gunzipped and untarred, here or in a
//! process without privileges.

use std::cell::Cell;
use std::io::{self, BufReader, ErrorKind, Read};
use std::rc::Rc;

use super::{Body, read_error};
use crate::error::{Error, Result, find_inside};
use crate::release::bundle::{self, BundleError, Head};

/// Bytes of one read.
const CHUNK: usize = 64 << 10;

/// What stands before the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Where the compressed bytes really start: what was asked for, or 0 when the source cannot start elsewhere; then they go to the end.
    pub start: u64,
    /// Compressed bytes of the whole bundle, if known.
    pub total: Option<u64>,
    /// What identifies these bytes for a later resume (a strong ETag, or Last-Modified), if there is something.
    pub validator: Option<String>,
}

/// Who takes the contents.
pub trait Unpacked {
    /// The bundle is there. Answers how many decompressed bytes it may have.
    ///
    /// # Errors
    /// It is not wanted any more.
    fn start(&mut self, start: &Start) -> Result<u64>;
    /// So many bytes will be read: it was not known before.
    fn expect(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// One file; its content may be read or left. `used` counts the compressed bytes that were read so far, from the start on, and goes
    /// on while the content is read.
    ///
    /// # Errors
    /// No more is wanted.
    fn entry(&mut self, head: &Head, content: &mut dyn Read, used: &Cell<u64>) -> Result<()>;
}

/// Unpacks a stream right here. Returns the compressed bytes that were read.
///
/// # Errors
/// The stream; an archive that is none; whatever the taker says.
pub fn body(body: Body<'_>, to: &mut dyn Unpacked) -> Result<u64> {
    let Body { reader, start, total, validator, cut } = body;
    let limit = to.start(&Start { start, total, validator })?;
    archive(reader, cut, limit, to)
}

/// Unpacks an archive right here, whose start was told. `cut`: it ends between two files.
///
/// # Errors
/// As for [`body`].
pub fn archive(reader: impl Read, cut: bool, limit: u64, to: &mut dyn Unpacked) -> Result<u64> {
    let used = Rc::new(Cell::new(0u64));
    let reader = BufReader::with_capacity(CHUNK, Counting { inner: reader, count: used.clone() });
    let visit = |head: &Head, content: &mut dyn Read| to.entry(head, &mut Content { inner: content, head }, &used);
    match if cut { bundle::read_run(reader, limit, visit) } else { bundle::read(reader, limit, visit) } {
        Ok(()) => Ok(used.get()),
        Err(BundleError::Visitor(e)) => Err(e),
        Err(BundleError::Bad(words)) => {
            Err(Error::verification(words).hint("nothing of it is installed; try again later, and tell the maintainer if it stays so"))
        }
        Err(BundleError::Read(e)) => Err(read_error(e, || "reading the bundle".into())),
    }
}

/// A content whose errors have their words already: whoever reads it may stand on the other side of a pipe.
struct Content<'c> {
    inner: &'c mut dyn Read,
    head: &'c Head,
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|e| match e.kind() {
            _ if find_inside::<Error>(&e).is_some() => e,
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => io::Error::other(
                Error::verification(format!("the bundle is damaged in {}", self.head.path))
                    .because(e)
                    .hint("try again later, and tell the maintainer if it stays so"),
            ),
            _ => e,
        })
    }
}

/// Counts what is read.
pub(super) struct Counting<R> {
    pub(super) inner: R,
    pub(super) count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}
