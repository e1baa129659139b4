//! Archives that lie here, and who opens them. Files are found and opened by whoever may read them; what is inside was made by a
//! stranger, and is read by an [`Opener`].

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use super::fault::Fault;
use super::inside::{self, Inside};
use super::pump::Pump;
use super::steps;
use super::unpack::{self, Unpacked};
use crate::error::{Code, Error, Result};
use crate::release::manifest::SignedStep;
use crate::world::Clock;

/// An archive that nobody has looked into.
pub enum Input {
    /// A file, read from where it stands.
    File(File),
    /// Our own stdin.
    Stdin,
    /// Anything else; only read in this very process.
    Stream(Box<dyn Read + Send>),
}

/// Reads what nobody has vouched for.
pub trait Opener<'a> {
    /// The changes of keys that a manifest carries.
    ///
    /// # Errors
    /// It could not be asked. What is wrong with the manifest is none.
    fn steps(&self, manifest: &[u8]) -> Result<Vec<SignedStep>>;
    /// Takes an archive.
    ///
    /// # Errors
    /// It could not be taken. What is wrong with it comes later.
    fn open(&self, input: Input) -> Result<Box<dyn Archive + 'a>>;
}

/// An archive, read once from its start to its end.
pub trait Archive {
    /// What it says about itself. `first`: its manifest must come before other files, and the archive can still be unpacked afterwards.
    ///
    /// # Errors
    /// It is no archive, or has no manifest where it should be.
    fn inside(&mut self, first: bool, name: &str) -> Result<Inside>;
    /// Unpacks it; with a `length` only so many bytes, which end between two files. Returns the compressed bytes that were read.
    ///
    /// # Errors
    /// As for [`unpack::body`].
    fn unpack(&mut self, limit: u64, length: Option<u64>, to: &mut dyn Unpacked) -> Result<u64>;
}

/// Opens in this very process.
pub struct Here<'a>(pub &'a dyn Clock);

impl<'a> Opener<'a> for Here<'a> {
    fn steps(&self, manifest: &[u8]) -> Result<Vec<SignedStep>> {
        Ok(steps::of(manifest))
    }
    fn open(&self, input: Input) -> Result<Box<dyn Archive + 'a>> {
        let mut stream: Box<dyn Read + Send> = match input {
            Input::File(file) => return Ok(Box::new(Plain::new(Heard { inner: file, clock: self.0 }))),
            Input::Stdin => Box::new(io::stdin()),
            Input::Stream(stream) => stream,
        };
        // no floor: whoever feeds the pipe may be thinking
        let pump = Pump::<()>::start(self.0, 0, 0, move |out| out.drain(&mut stream, |e| Fault::Cut(e.to_string())));
        Ok(Box::new(Plain::new(Tap { pump: pump.map_err(|f| broken(&f))? })))
    }
}

/// An archive that is read right here.
pub struct Plain<'r> {
    reader: Box<dyn Read + 'r>,
    /// What had to be read for the manifest and is to be unpacked as well.
    read: Vec<u8>,
}

impl<'r> Plain<'r> {
    /// Of these bytes.
    pub fn new(reader: impl Read + 'r) -> Self {
        Plain { reader: Box::new(reader), read: Vec::new() }
    }
}

impl Archive for Plain<'_> {
    fn inside(&mut self, first: bool, name: &str) -> Result<Inside> {
        if first {
            return inside::read(Tee { from: &mut self.reader, copy: &mut self.read }, true, name);
        }
        inside::read(BufReader::with_capacity(64 << 10, &mut self.reader), false, name)
    }
    fn unpack(&mut self, limit: u64, length: Option<u64>, to: &mut dyn Unpacked) -> Result<u64> {
        let all = Cursor::new(std::mem::take(&mut self.read)).chain(&mut self.reader);
        unpack::archive(all.take(length.unwrap_or(u64::MAX)), length.is_some(), limit, to)
    }
}

fn broken(fault: &Fault) -> Error {
    match fault {
        Fault::Cancelled => crate::error::stopped(),
        Fault::Cut(why) | Fault::Other(why) => Error::source_failed(format!("reading stdin: {why}")),
        other => Error::new(Code::Source, format!("reading stdin: {other:?}")),
    }
}

/// What comes through a pipe.
struct Tap<'a> {
    pump: Pump<'a, ()>,
}

impl Read for Tap<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.pump.read(into).map_err(|f| io::Error::other(broken(&f)))
    }
}

/// Keeps a copy of what is read.
struct Tee<'t, R> {
    from: &'t mut R,
    copy: &'t mut Vec<u8>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.copy.extend_from_slice(&into[..n]);
        Ok(n)
    }
}

/// A file whose long search can be stopped.
struct Heard<'a> {
    inner: File,
    clock: &'a dyn Clock,
}

impl Read for Heard<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.clock.stops() > 0 {
            return Err(io::Error::other(broken(&Fault::Cancelled)));
        }
        self.inner.read(into)
    }
}
