//! What patches and chunks start from: the contents of the installed release that are on this device.

use std::collections::BTreeSet;
use std::io::{Read, SeekFrom};
use std::path::{Path, PathBuf};

use super::at_hand::AtHand;
use super::fetch::From;
use crate::error::{Error, Result};
use crate::release::manifest::{File, Patch};
use crate::release::patch::Stretch;
use crate::release::{Digest, Manifest};
use crate::source::{self, Bits, Making, Unpacked};
use crate::world::Disk;

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
    places: Vec<Option<PathBuf>>,
}

impl<'d> Earlier<'d> {
    /// The release of these bytes, and what of it is here.
    pub fn of(disk: &'d dyn Disk, manifest: Option<&[u8]>, at_hand: &'d AtHand) -> Option<Self> {
        let manifest = Manifest::parse(manifest?).ok()?;
        let private = private(&manifest);
        let places = manifest.files.iter().map(|f| at_hand.place(&f.sha256).filter(|_| !private.contains(&f.sha256)).cloned()).collect();
        Some(Earlier { manifest, disk, at_hand, places })
    }
    /// Its files whose contents are here.
    pub fn contents(&self) -> impl Iterator<Item = (&File, &PathBuf)> {
        self.manifest.files.iter().zip(&self.places).filter_map(|(file, place)| Some((file, place.as_ref()?)))
    }
}

impl source::Earlier for Earlier<'_> {
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let place = self.places.get(stretch.file as usize).and_then(Option::as_ref);
        hand(self.disk, place.ok_or_else(|| Error::source_failed("the patch needs what is not here"))?, stretch, to)
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

/// Makes what is missing with a patch. Returns its bytes that were read.
///
/// # Errors
/// As [`crate::source::Source::patch`].
pub fn patch(from: From, patch: &Patch, earlier: &Earlier, missing: &BTreeSet<Digest>, to: &mut dyn Unpacked) -> Result<u64> {
    let (mut wanted, mut here, mut seen) = (Bits::default(), Bits::default(), BTreeSet::new());
    for (i, file) in from.manifest.files.iter().enumerate() {
        // a content that goes to several places is made once, in the first
        if missing.contains(&file.sha256) && seen.insert(file.sha256) {
            wanted.set(i);
        }
    }
    for (i, place) in earlier.places.iter().enumerate() {
        if place.is_some() {
            here.set(i);
        }
    }
    let making = Making { files: &from.manifest.files, wanted, here, earlier };
    from.source.patch(&from.bundle.beside(&patch.name, patch.size), &making, to)
}
