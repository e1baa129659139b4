//! The tar archive within a bundle, entry by entry. Nothing but plain files comes out, each with the name and the size that every other
//! program sees as well: whatever lets two programs disagree (pax overrides, holes, several names, a second archive behind the first)
//! is refused with words that name the entry and the trick.
//!
//! Deliberately not done: nothing is unpacked, linked or skipped in silence but folders, which follow from the names of the files.

use std::io::{self, Read};

use super::ReleasePath;
use super::header::{BLOCK, Header, Kind};

/// Longest name that GNU's extension may hold, its final NUL included: a path and "./".
const NAME_MAX: u64 = 4096 + 3;
/// Most bytes of one pax header. Three times and a comment are some hundred.
const PAX_MAX: u64 = 16 << 10;
/// What a pax header may say: times mean nothing here, and a comment nothing anywhere.
const HARMLESS: [&str; 4] = ["mtime", "atime", "ctime", "comment"];

/// Why reading ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// The archive is not what it must be; the sentence says what.
    Bad(String),
    /// Reading failed.
    Read(io::Error),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Fault::Read(e)
    }
}

fn bad<T>(words: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Bad(words.into()))
}

/// A plain file: its content comes next.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) path: ReleasePath,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Where its first header begins, extensions included.
    pub(super) at: u64,
}

/// An archive being read.
pub(super) struct Archive<R> {
    inner: R,
    /// Bytes read.
    at: u64,
    /// Bytes of the current content still to come.
    left: u64,
    /// Bytes from the end of the current content to the next header.
    padding: u64,
    /// It may end between two files.
    cut: bool,
}

impl<R: Read> Archive<R> {
    /// `cut`: it is a part of an archive, and ends between two files.
    pub(super) fn new(inner: R, cut: bool) -> Self {
        Archive { inner, at: 0, left: 0, padding: 0, cut }
    }

    /// Goes on to the next plain file; `None`: all was read, to the last byte.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn next(&mut self) -> Result<Option<Plain>, Fault> {
        self.skip()?;
        let mut first = None;
        let (mut long, mut pax) = (None, false);
        loop {
            let at = self.at;
            let Some(block) = self.block(self.cut && first.is_none())? else { return Ok(None) };
            if block.iter().all(|b| *b == 0) {
                if first.is_some() {
                    return bad("the bundle ends after a header that describes the next entry");
                }
                return self.rest().map(|()| None);
            }
            let header = Header::new(&block).map_err(Fault::Bad)?;
            let shown = header.shown();
            let Some(size) = header.size() else {
                return bad(format!("the bundle holds {shown}, whose size is not written in octal digits: it may be negative or more than there can be"));
            };
            match header.kind() {
                Kind::LongName if long.is_some() => return bad(format!("the bundle holds an entry with two long names, the second after {shown}")),
                Kind::LongName => long = Some(self.long_name(size)?),
                Kind::Pax if pax => return bad(format!("the bundle holds an entry with two pax headers, the second is {shown}")),
                Kind::Pax => {
                    self.pax(size, &shown)?;
                    pax = true;
                }
                Kind::Other(what) => return bad(format!("the bundle holds {shown}, which is {what}: only plain files are taken")),
                kind @ (Kind::File | Kind::Folder) => {
                    if long.is_some() && pax {
                        return bad(format!("the bundle holds {shown} with GNU's long name and a pax header: programs choose differently between them"));
                    }
                    let name = match long.take() {
                        Some(name) => name,
                        None => header.name().map_err(Fault::Bad)?,
                    };
                    if kind == Kind::Folder {
                        folder(&name, size)?;
                        (first, pax) = (None, false);
                        continue;
                    }
                    let (path, mode) = file(&name, &header)?;
                    (self.left, self.padding) = (size, padding(size));
                    return Ok(Some(Plain { path, size, mode, at: first.unwrap_or(at) }));
                }
            }
            first.get_or_insert(at);
        }
    }

    /// Leaves what was not read of the current content.
    fn skip(&mut self) -> Result<(), Fault> {
        io::copy(self, &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        self.bytes(padding).map(drop)
    }

    /// The next header; none if it `may_end` here, and does.
    fn block(&mut self, may_end: bool) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 && may_end => return Ok(None),
                Ok(0) if filled == 0 => return bad("the bundle is damaged: it is cut off, tar's end marker is missing"),
                Ok(0) => return bad("the bundle is damaged: it is cut off within a header"),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    /// A few bytes: whoever calls has bounded them.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        (&mut self.inner).take(count).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() as u64 != count {
            return bad("the bundle is damaged: it is cut off");
        }
        Ok(bytes)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = self.bytes(size + padding(size))?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > NAME_MAX {
            return bad(format!("the bundle holds a file name of {}: the longest path has 4096 bytes", crate::quantity::bytes(size)));
        }
        let mut name = self.extension(size)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        if name.is_empty() || name.contains(&0) {
            return bad("the bundle holds a long file name that is empty or goes on behind its end");
        }
        Ok(name)
    }

    /// Records of `length key=value` and a newline; what they say is checked and forgotten.
    fn pax(&mut self, size: u64, shown: &str) -> Result<(), Fault> {
        if size > PAX_MAX {
            return bad(format!("the bundle holds {shown}, a pax header of {}", crate::quantity::bytes(size)));
        }
        let bytes = self.extension(size)?;
        let damaged = || Fault::Bad(format!("the bundle holds {shown}, a pax header that is damaged"));
        let mut rest = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let (length, _) = rest.split_once(' ').ok_or_else(damaged)?;
            let end: usize = length.parse().map_err(|_| damaged())?;
            // only the one way to write a number: "+9" and "09" are read by some
            if end.to_string() != length {
                return Err(damaged());
            }
            let (record, after) = rest.split_at_checked(end).ok_or_else(damaged)?;
            let record = record.get(length.len() + 1..).and_then(|r| r.strip_suffix('\n')).ok_or_else(damaged)?;
            let (key, value) = record.split_once('=').ok_or_else(damaged)?;
            if !HARMLESS.contains(&key) {
                return bad(format!("the bundle holds {shown}, a pax header that overrides {key:?} of the next entry: programs read that differently"));
            }
            if keys.contains(&key) || value.contains('\0') {
                return Err(damaged());
            }
            keys.push(key);
            rest = after;
        }
        Ok(())
    }

    /// The other half of the end marker, and nothing but zeros to the end: tar pads to whole records.
    fn rest(&mut self) -> Result<(), Fault> {
        let more = || Fault::Bad("the bundle goes on behind its end marker: what stands there is read by some programs and not by others".into());
        if self.block(false)?.is_none_or(|block| block.iter().any(|b| *b != 0)) {
            return Err(more());
        }
        let mut chunk = [0; 4096];
        loop {
            match self.inner.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) if chunk[..n].iter().all(|b| *b == 0) => {}
                Ok(_) => return Err(more()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// The content of the current file.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buf[..most])?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off"));
        }
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn text(name: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(name);
    let text = text.map_err(|_| Fault::Bad(format!("the bundle holds a name that is not UTF-8: {:?}", String::from_utf8_lossy(name))))?;
    Ok(text.strip_prefix("./").unwrap_or(text))
}

fn checked(path: &str) -> Result<ReleasePath, Fault> {
    ReleasePath::new(path).map_err(|e| Fault::Bad(format!("the bundle: {e}")))
}

/// Folders follow from the names of files; one is looked at only so that nobody else makes something else of it.
fn folder(name: &[u8], size: u64) -> Result<(), Fault> {
    let name = text(name)?;
    if size != 0 {
        return bad(format!("the bundle holds {name:?}, a folder with {} of content: programs read that differently", crate::quantity::bytes(size)));
    }
    match name.strip_suffix('/').unwrap_or(name) {
        "" | "." => Ok(()),
        path => checked(path).map(drop),
    }
}

fn file(name: &[u8], header: &Header) -> Result<(ReleasePath, u32), Fault> {
    let name = text(name)?;
    if name.ends_with('/') {
        return bad(format!("the bundle holds {name:?}, a plain file with the name of a folder: programs read that differently"));
    }
    if header.has_link_target() {
        return bad(format!("the bundle holds {name:?}, a plain file with the target of a link: programs read that differently"));
    }
    let Some(mode) = header.mode() else { return bad(format!("the bundle holds {name:?}, whose mode is not written in octal digits")) };
    if let Some((_, bit)) = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")].into_iter().find(|(bit, _)| mode & bit != 0) {
        return bad(format!("the bundle holds {name:?}, whose mode {mode:04o} has the {bit} bit: no release needs it"));
    }
    Ok((checked(name)?, mode))
}

#[cfg(test)]
mod tests;
