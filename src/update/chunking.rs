//! What chunks are put together from: files of the installed release, files of the new one that are here already, and those that were made
//! just before.

use super::Trip;
use super::at_hand::{AtHand, Place};
use super::fetch::{From, Missing};
use super::patching::{Earlier, New, hand};
use crate::error::{Error, Result};
use crate::release::chunks::{self, CHUNK_MIN, Id};
use crate::release::manifest;
use crate::release::patch::Stretch;
use crate::source::{self, Bits, Chunked, Loose, Making, Unpacked};
use crate::world::Disk;

/// Contents by number: those of the new release's list, then those that only the installed one has.
struct Places<'d> {
    disk: &'d dyn Disk,
    at_hand: &'d AtHand,
    all: Vec<Option<Place>>,
}

impl source::Earlier for Places<'_> {
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let place = self.all.get(stretch.file as usize).and_then(Option::as_ref).ok_or_else(|| Error::source_failed("a chunk needs what is not here"))?;
        hand(self.disk, &self.at_hand.path(place), stretch, to)
    }
}

/// What chunks are put together from here.
pub struct Ready<'d> {
    places: Places<'d>,
    wanted: Bits,
    here: Bits,
    loose: Vec<Loose>,
}

impl<'d> Ready<'d> {
    /// Looks at what is here, and cuts what only the installed release has. What cannot be read is fetched.
    ///
    /// # Errors
    /// Somebody asked to stop.
    pub fn look(trip: &mut Trip, from: From, earlier: &Earlier<'d>, missing: &Missing) -> Result<Self> {
        let New { places, wanted, here: known } = New::of(from.manifest, earlier.at_hand, missing);
        let mut here = Bits::default();
        known.into_iter().for_each(|i| here.set(i));
        let mut ready = Ready { places: Places { disk: earlier.disk, at_hand: earlier.at_hand, all: places }, wanted, here, loose: Vec::new() };
        let mut gone = earlier.manifest.beyond(from.manifest);
        for (file, place) in earlier.contents() {
            if file.size.is_none_or(|size| size >= CHUNK_MIN as u64) && gone.remove(&file.sha256) {
                ready.cut(trip, place)?;
            }
        }
        Ok(ready)
    }

    fn cut(&mut self, trip: &mut Trip, place: &Place) -> Result<()> {
        let (number, begun) = (self.places.all.len() as u32, self.loose.len());
        let Ok(content) = self.places.disk.open(&self.places.at_hand.path(place)) else { return Ok(()) };
        let mut stopped = None;
        let cut = chunks::each(content, |chunk| {
            self.loose.push(Loose { file: number, length: chunk.len() as u32, id: Id::of(chunk) });
            trip.go_on().map_err(|e| stopped = Some(e)).is_ok()
        });
        match (stopped, cut) {
            (Some(e), _) => return Err(e),
            (None, Ok(())) => self.places.all.push(Some(place.clone())),
            (None, Err(_)) => self.loose.truncate(begun),
        }
        Ok(())
    }

    /// Makes what is missing with chunks, if they cost less than `limit` bytes. Returns the bytes that were read.
    ///
    /// # Errors
    /// As [`crate::source::Source::chunks`].
    pub fn make(self, from: From, asset: &manifest::Chunks, limit: u64, to: &mut dyn Unpacked) -> Result<u64> {
        let order = Chunked { index: asset.index, index_sha256: asset.index_sha256, limit, loose: self.loose };
        let making = Making { files: &from.manifest.files, wanted: self.wanted, here: self.here, earlier: &self.places };
        from.source.chunks(&from.bundle.beside(&asset.name, asset.size), &order, &making, to)
    }
}
