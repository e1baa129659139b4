//! A single bundle: a file, or a stream that is read once. The manifest is the one inside.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::inside::{self, Inside};
use super::pump::Pump;
use super::url::exactly;
use super::{Body, BundleRef, Memory, Offer, Source, Wanted, dir};
use crate::error::{Code, Doing, Error, Result};
use crate::release::Manifest;
use crate::world::Clock;

/// A bundle file.
pub struct BundleFile<'a> {
    path: PathBuf,
    clock: &'a dyn Clock,
}

impl<'a> BundleFile<'a> {
    /// A source that is this file.
    pub fn new(path: &Path, clock: &'a dyn Clock) -> Self {
        BundleFile { path: path.to_owned(), clock }
    }
}

impl Source for BundleFile<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn find(&self, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, _: &mut Memory) -> Result<Option<Offer>> {
        let meta = std::fs::metadata(&self.path).doing(|| format!("reading {}", self.name()))?;
        if !meta.is_file() {
            return Err(Error::source_failed(format!("{} is not a file", self.name())));
        }
        let file = File::open(&self.path).doing(|| format!("opening {}", self.name()))?;
        let inside = inside::read(io::BufReader::with_capacity(64 << 10, Heard { inner: file, clock: self.clock }), false, &self.name())?;
        offer(inside, wanted, may, &self.name(), Some(meta.len()))
    }

    fn bundle(&self, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body<'_>> {
        dir::open(Path::new(&bundle.at), from, validator)
    }
}

/// A bundle that comes as a stream.
pub struct BundleStream<'a> {
    clock: &'a dyn Clock,
    state: RefCell<Stream<'a>>,
}

enum Stream<'a> {
    Fresh(Box<dyn Read + Send>),
    /// The manifest was read; what had to be read for that is kept.
    Begun {
        read: Vec<u8>,
        rest: Tap<'a>,
        inside: Inside,
    },
    Spent,
}

impl<'a> BundleStream<'a> {
    /// A source that is this stream.
    pub fn new(stream: Box<dyn Read + Send>, clock: &'a dyn Clock) -> Self {
        BundleStream { clock, state: RefCell::new(Stream::Fresh(stream)) }
    }
}

impl Source for BundleStream<'_> {
    fn name(&self) -> String {
        "the bundle on stdin".into()
    }

    fn find(&self, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, _: &mut Memory) -> Result<Option<Offer>> {
        let mut state = self.state.borrow_mut();
        if let Stream::Fresh(_) = &*state {
            let Stream::Fresh(mut stream) = std::mem::replace(&mut *state, Stream::Spent) else { return Ok(None) };
            // no floor: whoever feeds the pipe may be thinking
            let pump = Pump::<()>::start(self.clock, 0, 0, move |out| out.drain(&mut stream, |e| Fault::Cut(e.to_string())));
            let mut rest = Tap { pump: pump.map_err(|f| broken(&f))? };
            let mut read = Vec::new();
            let inside = inside::read(Tee { from: &mut rest, copy: &mut read }, true, &self.name())?;
            *state = Stream::Begun { read, rest, inside };
        }
        match &*state {
            Stream::Begun { inside, .. } => {
                offer(Inside { manifest: inside.manifest.clone(), signature: inside.signature.clone() }, wanted, may, &self.name(), None)
            }
            _ => Err(spent()),
        }
    }

    /// Only once, and only from the start.
    fn bundle(&self, _: &BundleRef, _: u64, _: Option<&str>) -> Result<Body<'_>> {
        match std::mem::replace(&mut *self.state.borrow_mut(), Stream::Spent) {
            Stream::Begun { read, rest, .. } => Ok(Body { reader: Box::new(Cursor::new(read).chain(rest)), start: 0, total: None, validator: None }),
            Stream::Fresh(_) | Stream::Spent => Err(spent()),
        }
    }
}

fn spent() -> Error {
    Error::source_failed("the bundle on stdin was read already, and a pipe cannot be read twice").hint("give the bundle as a file: --from FILE")
}

fn offer(inside: Inside, wanted: &Wanted, may: &dyn Fn(&Manifest) -> Result<(), String>, name: &str, size: Option<u64>) -> Result<Option<Offer>> {
    let manifest = Manifest::parse(&inside.manifest).map_err(|e| Error::verification(format!("{name}: {e}")))?;
    match wanted {
        Wanted::Exact(version) => exactly(version, &manifest, name)?,
        // the channel is not asked: a person handed over this very file
        Wanted::Best if may(&manifest).is_err() => return Ok(None),
        Wanted::Best => {}
    }
    let bundle = BundleRef { at: name.to_owned(), size };
    Ok(Some(Offer { manifest_bytes: inside.manifest, signature: inside.signature, manifest, bundle, notes: Vec::new() }))
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
