//! What patches and chunks start from: the contents of the installed release that are on this device.

use std::collections::BTreeSet;
use std::io::{Read, SeekFrom};
use std::path::Path;

use super::at_hand::{AtHand, Place};
use super::fetch::{From, Missing};
use crate::device::Layout;
use crate::error::{Error, Result};
use crate::release::manifest::{File, Patch, SIZE_MAX};
use crate::release::patch::{NEW, Stretch};
use crate::release::{Digest, Manifest};
use crate::source::{self, Bits, Making, Unpacked};
use crate::world::{Disk, durable};

/// Bytes of one read.
const CHUNK: usize = 32 << 10;

/// The installed release, as far as it can be handed to a process that is trusted with nothing: what a release published, and a person may
/// not have edited.
pub struct Earlier<'d> {
    /// Its manifest.
    pub manifest: Manifest,
    pub(super) disk: &'d dyn Disk,
    /// All that is here.
    pub(super) at_hand: &'d AtHand,
    /// Where each file's content is, in the manifest's order.
    places: Vec<Option<Place>>,
}

impl<'d> Earlier<'d> {
    /// The installed release, and what of it is here; none where its manifest is damaged.
    pub fn of(disk: &'d dyn Disk, layout: &Layout, at_hand: &'d AtHand) -> Option<Self> {
        let manifest = Manifest::parse(&durable::read(disk, &layout.installed(), SIZE_MAX).ok()??).ok()?;
        let private = private(&manifest);
        let places = manifest.files.iter().map(|f| at_hand.place(&f.sha256).filter(|_| !private.contains(&f.sha256)).cloned()).collect();
        Some(Earlier { manifest, disk, at_hand, places })
    }
    /// Its files whose contents are here.
    pub fn contents(&self) -> impl Iterator<Item = (&File, &Place)> {
        self.manifest.files.iter().zip(&self.places).filter_map(|(file, place)| Some((file, place.as_ref()?)))
    }
}

/// Contents that files have which a person may edit, and what else is the same: it may be found where such a file lies.
pub fn private(manifest: &Manifest) -> BTreeSet<Digest> {
    manifest.files.iter().filter(|f| f.config).map(|f| f.sha256).collect()
}

/// Hands over a stretch of a file, chunk by chunk.
///
/// # Errors
/// It cannot be read, or is shorter; whatever `to` says.
pub fn hand(disk: &dyn Disk, place: &Path, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // the same content can be fetched
    let unread = |e| Error::source_failed(format!("reading {}", place.display())).because(e);
    let mut content = disk.open(place).map_err(unread)?;
    content.seek(SeekFrom::Start(stretch.offset)).map_err(unread)?;
    let (mut buffer, mut left) = ([0; CHUNK], stretch.length as usize);
    while left > 0 {
        let n = content.read(&mut buffer[..left.min(CHUNK)]).map_err(unread)?;
        if n == 0 {
            return Err(Error::verification(format!("more is needed of {} than there is", place.display())));
        }
        to(&buffer[..n])?;
        left -= n;
    }
    Ok(())
}

/// Files of the new release: where each is, or will be as soon as it is made.
pub struct New {
    /// In the manifest's order.
    pub places: Vec<Option<Place>>,
    /// Which are to be made.
    pub wanted: Bits,
    /// Which are here already.
    pub here: BTreeSet<usize>,
}

impl New {
    /// As things are before anything comes.
    pub fn of(manifest: &Manifest, at_hand: &AtHand, missing: &Missing) -> Self {
        let private = private(manifest);
        let (mut new, mut seen) = (New { places: Vec::new(), wanted: Bits::default(), here: BTreeSet::new() }, BTreeSet::new());
        for (i, file) in manifest.files.iter().enumerate() {
            let needs = missing.get(&file.sha256);
            let place = match needs {
                Some(needs) => Some(Place::At(needs[0].staged.clone())),
                None => at_hand.place(&file.sha256).filter(|_| !private.contains(&file.sha256)).cloned(),
            };
            // a content that goes to several places is made once, in the first
            if needs.is_some() && seen.insert(file.sha256) {
                new.wanted.set(i);
            } else if needs.is_none() && place.is_some() {
                new.here.insert(i);
            }
            new.places.push(place);
        }
        new
    }
}

/// What a patch is undone with.
pub struct Ready<'d> {
    disk: &'d dyn Disk,
    at_hand: &'d AtHand,
    old: Vec<Option<Place>>,
    new: New,
}

impl<'d> Ready<'d> {
    /// Looks at what is here.
    pub fn look(from: From, earlier: &Earlier<'d>, missing: &Missing) -> Self {
        Ready { disk: earlier.disk, at_hand: earlier.at_hand, old: earlier.places.clone(), new: New::of(from.manifest, earlier.at_hand, missing) }
    }

    /// Makes what is missing with a patch. Returns its bytes that were read.
    ///
    /// # Errors
    /// As [`crate::source::Source::patch`].
    pub fn make(&self, from: From, patch: &Patch, to: &mut dyn Unpacked) -> Result<u64> {
        let mut here = Bits::default();
        let old = self.old.iter().enumerate().filter(|(_, place)| place.is_some()).map(|(i, _)| i);
        old.chain(self.new.here.iter().map(|i| NEW as usize + i)).for_each(|i| here.set(i));
        let making = Making { files: &from.manifest.files, wanted: self.new.wanted.clone(), here, earlier: self };
        from.source.patch(&from.bundle.beside(&patch.name, patch.size), &making, to)
    }
}

impl source::Earlier for Ready<'_> {
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let place = match stretch.file.checked_sub(NEW) {
            None => self.old.get(stretch.file as usize),
            Some(file) => self.new.places.get(file as usize),
        };
        let place = place.and_then(Option::as_ref).ok_or_else(|| Error::source_failed("the patch needs what is not here"))?;
        hand(self.disk, &self.at_hand.path(place), stretch, to)
    }
}
