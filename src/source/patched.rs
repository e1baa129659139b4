//! Reading a patch: piece after piece, each against a stretch of an earlier content that somebody else has and hands over. What is held
//! at a time is one piece and one stretch ([`crate::release::patch`] bounds them).

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use super::unpack::Counting;
use super::{Body, read_error};
use crate::error::{Error, Result};
use crate::release::frames::Unpacker;
use crate::release::manifest::{self, FILES_MAX};
use crate::release::patch::{self, Piece, Stretch};

/// Bytes of one read.
const CHUNK: usize = 64 << 10;

/// One bit for each file of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits(pub Vec<u8>);

impl Bits {
    /// Most bytes: of an earlier list and a new one.
    pub const MAX: usize = 2 * FILES_MAX / 8 + 1;

    /// Sets one.
    pub fn set(&mut self, file: usize) {
        if self.0.len() <= file / 8 {
            self.0.resize(file / 8 + 1, 0);
        }
        self.0[file / 8] |= 1 << (file % 8);
    }
    /// Whether one is set.
    pub fn has(&self, file: u32) -> bool {
        self.0.get(file as usize / 8).is_some_and(|byte| byte & (1 << (file % 8)) != 0)
    }
}

/// What a patch is used for, as the root side knows it.
pub struct Making<'m> {
    /// Files of the new release, in the manifest's order.
    pub files: &'m [manifest::File],
    /// Which of them are wanted.
    pub wanted: Bits,
    /// Which files can be handed over, those of the new release from [`patch::NEW`] on.
    pub here: Bits,
    /// Who hands those over.
    pub earlier: &'m dyn Earlier,
}

/// Who has an earlier release's contents.
pub trait Earlier {
    /// Hands over a stretch of one of them, chunk by chunk.
    ///
    /// # Errors
    /// It is not here; whatever `to` says.
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

/// Who takes what a patch makes.
pub trait Made {
    /// Hands over the stretch of an earlier content, chunk by chunk.
    ///
    /// # Errors
    /// It cannot be had; whatever `to` says.
    fn earlier(&mut self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
    /// So many bytes will be read in all.
    ///
    /// # Errors
    /// No more is wanted.
    fn expect(&mut self, bytes: u64) -> Result<()>;
    /// A file begins: its index and size.
    ///
    /// # Errors
    /// No more is wanted.
    fn file(&mut self, index: u32, size: u64, used: u64) -> Result<()>;
    /// The next bytes of it.
    ///
    /// # Errors
    /// No more is wanted.
    fn bytes(&mut self, bytes: &[u8], used: u64) -> Result<()>;
}

/// Makes the files that are `wanted` and can be made from what is `here`. Returns the bytes of the patch that were read.
///
/// # Errors
/// The line; a patch that is none; whatever the taker says.
pub fn make(body: Body<'_>, wanted: &Bits, here: &Bits, to: &mut dyn Made) -> Result<u64> {
    let used = Rc::new(Cell::new(0u64));
    let mut patch = BufReader::with_capacity(CHUNK, Counting { inner: body.reader, count: used.clone() });
    let broken = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::verification("the patch is damaged").because(e),
        _ => read_error(e, || "reading the patch".into()),
    };
    let index = patch::read_index(&mut patch).map_err(broken)?;
    let mut unpacker = Unpacker::default();
    let mut made = HashSet::new();
    for file in index.chunk_by(|a, b| a.file == b.file) {
        let possible = |p: &Piece| p.against.is_none_or(|a| here.has(a.file) || made.contains(&a.file));
        let makes = wanted.has(file[0].file) && file.iter().all(possible);
        if makes {
            made.insert(patch::NEW + file[0].file);
            to.file(file[0].file, file.iter().map(|p| u64::from(p.plain)).sum(), used.get())?;
        }
        for piece in file {
            if !makes {
                io::copy(&mut (&mut patch).take(piece.packed.into()), &mut io::sink()).map_err(broken)?;
                continue;
            }
            if let Some(stretch) = &piece.against {
                to.earlier(stretch, &mut |bytes| unpacker.know(bytes).map_err(|e| Error::verification("the patch is damaged").because(e)))?;
            }
            let (mut out, mut line) = (Out { to: &mut *to, used: &used, failed: None }, Line { inner: &mut patch, failed: None });
            let unpacked = unpacker.unpack_to(&mut (&mut line).take(piece.packed.into()), piece.plain as usize, &mut out);
            match (out.failed, line.failed, unpacked) {
                (Some(e), ..) => return Err(e),
                (None, Some(e), _) => return Err(broken(e)),
                (None, None, Err(e)) => return Err(Error::verification("the patch is damaged").because(e)),
                (None, None, Ok(())) => {}
            }
        }
    }
    Ok(used.get())
}

/// Where a piece comes from: what fails there is not the patch's fault.
struct Line<R> {
    inner: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Line<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).map_err(|e| {
            let kind = e.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(e);
            }
            kind.into()
        })
    }
}

/// Where a piece goes.
struct Out<'o> {
    to: &'o mut dyn Made,
    used: &'o Cell<u64>,
    failed: Option<Error>,
}

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.bytes(bytes, self.used.get()) {
            Ok(()) => Ok(bytes.len()),
            Err(e) => {
                self.failed = Some(e);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the one content of a patch that makes one out of one: a manifest.
///
/// # Errors
/// The patch is none, or not for this.
pub fn single(patch: &[u8], earlier: &[u8], most: u64) -> Result<Vec<u8>> {
    struct One<'e>(&'e [u8], Vec<u8>, u64);
    impl Made for One<'_> {
        fn earlier(&mut self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
            let from = usize::try_from(stretch.offset).ok().and_then(|o| self.0.get(o..)?.get(..stretch.length as usize));
            to(from.ok_or_else(|| Error::verification("the patch is for something else"))?)
        }
        fn expect(&mut self, _: u64) -> Result<()> {
            Ok(())
        }
        fn file(&mut self, _: u32, size: u64, _: u64) -> Result<()> {
            if size > self.2 || !self.1.is_empty() { Err(Error::verification("the patch makes more than it may")) } else { Ok(()) }
        }
        fn bytes(&mut self, bytes: &[u8], _: u64) -> Result<()> {
            self.1.extend_from_slice(bytes);
            Ok(())
        }
    }
    let mut one = One(earlier, Vec::new(), most);
    let mut all = Bits::default();
    all.set(0);
    let body = Body { reader: Box::new(patch), start: 0, total: Some(patch.len() as u64), validator: None, cut: false };
    make(body, &all, &all, &mut one)?;
    Ok(one.1)
}
