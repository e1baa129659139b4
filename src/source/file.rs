//! A single bundle: a file, or a stream that is read once. The manifest is the one inside.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::archive::{Archive, Input, Opener};
use super::inside::Inside;
use super::judge::{Candidate, Judge, Verdict};
use super::url::another;
use super::{BundleRef, Memory, Offer, Source, Span, Start, Unpacked, Wanted, dir};
use crate::error::{Doing, Error, Result};

/// A bundle file.
pub struct BundleFile<'a> {
    path: PathBuf,
    opener: Box<dyn Opener<'a> + 'a>,
}

impl<'a> BundleFile<'a> {
    /// A source that is this file.
    pub fn new(path: &Path, opener: Box<dyn Opener<'a> + 'a>) -> Self {
        BundleFile { path: path.to_owned(), opener }
    }
}

impl Source for BundleFile<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, _: &mut Memory) -> Result<Option<Offer>> {
        let meta = std::fs::metadata(&self.path).doing(|| format!("reading {}", self.name()))?;
        if !meta.is_file() {
            return Err(Error::source_failed(format!("{} is not a file", self.name())));
        }
        let file = File::open(&self.path).doing(|| format!("opening {}", self.name()))?;
        let inside = self.opener.open(Input::File(file))?.inside(false, &self.name())?;
        offer(&inside, wanted, judge, &self.name(), Some(meta.len()))
    }

    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        dir::unpack(self.opener.as_ref(), bundle, span, to)
    }
}

/// A bundle that comes as a stream.
pub struct BundleStream<'a> {
    opener: Box<dyn Opener<'a> + 'a>,
    state: RefCell<Stream<'a>>,
}

enum Stream<'a> {
    Fresh(Input),
    /// The manifest was read.
    Begun(Box<dyn Archive + 'a>, Inside),
    Spent,
}

impl<'a> BundleStream<'a> {
    /// A source that is this stream.
    pub fn new(stream: Input, opener: Box<dyn Opener<'a> + 'a>) -> Self {
        BundleStream { opener, state: RefCell::new(Stream::Fresh(stream)) }
    }
}

impl Source for BundleStream<'_> {
    fn name(&self) -> String {
        "the bundle on stdin".into()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, _: &mut Memory) -> Result<Option<Offer>> {
        let mut state = self.state.borrow_mut();
        if let Stream::Fresh(_) = &*state {
            let Stream::Fresh(stream) = std::mem::replace(&mut *state, Stream::Spent) else { return Ok(None) };
            let mut archive = self.opener.open(stream)?;
            let inside = archive.inside(true, &self.name())?;
            *state = Stream::Begun(archive, inside);
        }
        match &*state {
            Stream::Begun(_, inside) => offer(inside, wanted, judge, &self.name(), None),
            _ => Err(spent()),
        }
    }

    /// Only once, and all of it whatever was asked for.
    fn unpack(&self, _: &BundleRef, _: Span, to: &mut dyn Unpacked) -> Result<u64> {
        match std::mem::replace(&mut *self.state.borrow_mut(), Stream::Spent) {
            Stream::Begun(mut archive, _) => {
                let limit = to.start(&Start { start: 0, total: None, validator: None })?;
                archive.unpack(limit, None, to)
            }
            Stream::Fresh(_) | Stream::Spent => Err(spent()),
        }
    }
}

fn spent() -> Error {
    Error::source_failed("the bundle on stdin was read already, and a pipe cannot be read twice").hint("give the bundle as a file: --from FILE")
}

fn offer(inside: &Inside, wanted: &Wanted, judge: &mut dyn Judge, name: &str, size: Option<u64>) -> Result<Option<Offer>> {
    let signature = inside.signature.as_deref();
    let candidate = Candidate { name, manifest: &inside.manifest, signature, tag: None, flagged: false, handed: true, look_only: false, steps: &inside.steps };
    let manifest = match judge.judge(&candidate)? {
        Verdict::Take(manifest) => *manifest,
        Verdict::NotForUs(version) => return another(wanted, &version, name),
        Verdict::Wrong(error) => return Err(error),
    };
    let bundle = BundleRef { at: name.to_owned(), size };
    Ok(Some(Offer { manifest_bytes: inside.manifest.clone(), signature: inside.signature.clone(), manifest, bundle, notes: Vec::new() }))
}
