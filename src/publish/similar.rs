//! Which stretch of an earlier release a new content resembles most, whatever it was called there: bundlers rename with every build.
//!
//! Anchors are places where a rolling hash of the last 64 bytes happens to be special. What was moved, renamed or changed in part has most
//! of its anchors still.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::release::gear;
use crate::release::patch::STRETCH_MAX;

/// One place in so many is an anchor, as a power of two.
const ONE_IN: u32 = 7;
/// Places that are remembered of one anchor: what stands everywhere tells nothing.
const PLACES_MAX: usize = 16;
/// How much before the first common anchor is taken along, bytes.
const MARGIN: u64 = 4 << 10;

/// The anchors of a set of contents.
pub struct Anchors<'c> {
    contents: Vec<&'c [u8]>,
    places: HashMap<u64, Vec<(u32, u32)>>,
}

/// A stretch of one of the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Likeness {
    /// Index of the content.
    pub content: usize,
    /// Where, bytes.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
    /// Whether most of the new content's anchors are there.
    pub close: bool,
}

impl<'c> Anchors<'c> {
    /// Of these contents.
    pub fn of(contents: Vec<&'c [u8]>) -> Self {
        let mut places: HashMap<u64, Vec<(u32, u32)>> = HashMap::new();
        for (i, content) in contents.iter().enumerate() {
            anchors(content, |hash, at| {
                let known = places.entry(hash).or_default();
                if known.len() < PLACES_MAX {
                    known.push((i as u32, at as u32));
                }
            });
        }
        Anchors { contents, places }
    }

    /// All of a content, or the begin of one that is too long.
    pub fn start_of(&self, content: usize) -> Likeness {
        Likeness { content, offset: 0, length: self.contents[content].len().min(STRETCH_MAX), close: false }
    }

    /// The bytes.
    pub fn bytes(&self, like: &Likeness) -> &'c [u8] {
        &self.contents[like.content][like.offset..][..like.length]
    }

    /// The stretch that has most in common with `new`; none when nothing has.
    pub fn nearest(&self, new: &[u8]) -> Option<Likeness> {
        self.nearest_among(new, 0..self.contents.len(), STRETCH_MAX)
    }

    /// The same, of at most so many bytes and in one of these contents.
    pub fn nearest_among(&self, new: &[u8], these: Range<usize>, most: usize) -> Option<Likeness> {
        self.nearest_few(new, these, most, 1).pop()
    }

    /// So many of them, the nearest first, each in another content.
    pub fn nearest_few(&self, new: &[u8], these: Range<usize>, most: usize, few: usize) -> Vec<Likeness> {
        let (mut all, mut votes) = (0usize, BTreeMap::<u32, Vec<u32>>::new());
        anchors(new, |hash, _| {
            all += 1;
            for (content, at) in self.places.get(&hash).into_iter().flatten().filter(|(content, _)| these.contains(&(*content as usize))) {
                votes.entry(*content).or_default().push(*at);
            }
        });
        let mut best: Vec<_> = votes.into_iter().map(|(content, places)| (window(places, most), content)).collect();
        best.sort_by_key(|((count, _), content)| (Reverse(*count), *content));
        best.truncate(few);
        let like = |((count, first), content): ((usize, u32), u32)| {
            let size = self.contents[content as usize].len();
            // of what fits whole all is taken; otherwise from a little before the first common place on
            let offset = if size <= most { 0 } else { (u64::from(first).saturating_sub(MARGIN) as usize).min(size - most) };
            Likeness { content: content as usize, offset, length: size.min(most), close: 2 * count > all }
        };
        best.into_iter().map(like).collect()
    }
}

/// The largest number of places that one stretch of so many bytes can hold, and the first of them.
fn window(mut places: Vec<u32>, most: usize) -> (usize, u32) {
    places.sort_unstable();
    let (mut best, mut from) = ((0, 0), 0);
    for (to, at) in places.iter().enumerate() {
        while u64::from(at - places[from]) + MARGIN > most as u64 {
            from += 1;
        }
        if to + 1 - from > best.0 {
            best = (to + 1 - from, places[from]);
        }
    }
    best
}

/// Tells each anchor's hash and place.
fn anchors(content: &[u8], mut tell: impl FnMut(u64, usize)) {
    let mut hash = 0u64;
    for (at, byte) in content.iter().enumerate() {
        hash = gear::roll(hash, *byte);
        if gear::is_special(hash, ONE_IN) {
            tell(hash, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64, bytes: usize) -> Vec<u8> {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn the_likeness_is_found_whatever_it_was_called_and_wherever_it_stood() {
        let (a, b, long) = (text(1, 50_000), text(2, 60_000), text(3, 5 << 20));
        let anchors = Anchors::of(vec![&a, &b, &long]);
        let changed = [&text(4, 3000), &b[10_000..40_000], &text(5, 10)].concat();
        assert_eq!(anchors.nearest(&changed), Some(Likeness { content: 1, offset: 0, length: b.len(), close: true }));
        // a stretch of what is too long, around what is common
        let part = &long[3 << 20..4 << 20];
        let like = anchors.nearest(part).unwrap();
        assert!(like.content == 2 && like.length == STRETCH_MAX && like.close);
        assert!((2 << 20..=3 << 20).contains(&like.offset), "{like:?}");
        assert_eq!(anchors.nearest(&text(9, 100_000)), None);
        assert_eq!(anchors.nearest(b""), None);
    }
}
