//! What chunks are put together from: files of the installed release, files of the new one that are here already, and those that were made
//! just before.

use std::path::PathBuf;

use super::fetch::{From, Missing};
use super::patching::{Earlier, hand};
use crate::error::{Error, Result};
use crate::release::chunks::{self, CHUNK_MIN, Id};
use crate::release::manifest;
use crate::release::patch::Stretch;
use crate::source::{self, Bits, Chunked, Loose, Making, Unpacked};
use crate::world::Disk;

/// Contents by number: those of the new release's list, then those that only the installed one has.
struct Places<'d> {
    disk: &'d dyn Disk,
    all: Vec<Option<PathBuf>>,
}

impl source::Earlier for Places<'_> {
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let place = self.all.get(stretch.file as usize).and_then(Option::as_ref);
        hand(self.disk, place.ok_or_else(|| Error::source_failed("a chunk needs what is not here"))?, stretch, to)
    }
}

/// Makes what is missing with chunks, if they cost less than `limit` bytes. Returns the bytes that were read.
///
/// # Errors
/// As [`crate::source::Source::chunks`].
pub fn make(from: From, asset: &manifest::Chunks, limit: u64, earlier: &Earlier, missing: &Missing, to: &mut dyn Unpacked) -> Result<u64> {
    let files = &from.manifest.files;
    let mut places = Places { disk: earlier.disk, all: Vec::with_capacity(files.len()) };
    let (mut wanted, mut here, mut seen) = (Bits::default(), Bits::default(), std::collections::BTreeSet::new());
    for (i, file) in files.iter().enumerate() {
        let needs = missing.get(&file.sha256);
        places.all.push(match needs {
            // each content is made once, as the file that comes first; there it lies as soon as it was made
            Some(needs) => Some(needs[0].staged.clone()),
            None => earlier.at_hand.place(&file.sha256).cloned(),
        });
        if needs.is_some() && seen.insert(file.sha256) {
            wanted.set(i);
        } else if needs.is_none() && places.all[i].is_some() {
            here.set(i);
        }
    }
    let loose = loose(from, earlier, &mut places);
    let making = Making { files, wanted, here, earlier: &places };
    from.source.chunks(&from.bundle.beside(&asset.name, asset.size), &Chunked { index: asset.index, limit, loose }, &making, to)
}

/// Cuts what only the installed release has. What cannot be read is fetched.
fn loose(from: From, earlier: &Earlier, places: &mut Places) -> Vec<Loose> {
    let mut found = Vec::new();
    let mut gone = earlier.manifest.beyond(from.manifest);
    for (file, place) in earlier.contents() {
        if file.size.is_some_and(|size| size < CHUNK_MIN as u64) || !gone.remove(&file.sha256) {
            continue;
        }
        let (number, begun) = (places.all.len() as u32, found.len());
        let tell = |chunk: &[u8]| found.push(Loose { file: number, length: chunk.len() as u32, id: Id::of(chunk) });
        match places.disk.open(place).and_then(|content| chunks::each(content, tell)) {
            Ok(()) => places.all.push(Some(place.clone())),
            Err(_) => found.truncate(begun),
        }
    }
    found
}
