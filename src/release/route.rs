//! By which way the contents come that a device lacks: a patch, runs of blocks, or the whole bundle. Pure; the maintainer's table of what
//! a release costs its devices and the device's own plan come from here.

use std::collections::BTreeSet;
use std::ops::Range;

use semver::Version;

use super::manifest::{Block, BundleInfo, Patch};
use super::{Digest, Manifest};

/// Bytes between two runs that are fetched along with them: asking once more costs as much on a usual line, by a round trip of 30 ms at
/// 8 Mbit/s and the heads of question and answer.
pub const GAP: u64 = 32 << 10;
/// Most runs of one way; the smallest gaps are fetched along until there are no more.
const RUNS_MAX: usize = 6;

/// Neighbouring blocks, fetched with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where it starts, counted back from the end of the bundle: the head before the payload may have grown with another signature.
    pub before_end: u64,
    /// Bytes.
    pub length: u64,
    /// The blocks.
    pub blocks: Range<usize>,
}

/// A way for contents to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way<'m> {
    /// What turns the installed release's contents into these.
    Patch(&'m Patch),
    /// Some blocks of the bundle.
    Runs(Vec<Run>),
    /// The bundle from start to end.
    Whole,
}

impl Way<'_> {
    /// Bytes to fetch; `whole` is the size of the bundle.
    pub fn bytes(&self, whole: Option<u64>) -> Option<u64> {
        match self {
            Way::Patch(patch) => Some(patch.size),
            Way::Runs(runs) => Some(runs.iter().map(|r| r.length).sum()),
            Way::Whole => whole,
        }
    }
}

/// Every way for these contents, the one with the fewest bytes first. `from` is the installed release, if its contents are here.
pub fn ways<'m>(manifest: &'m Manifest, missing: &BTreeSet<Digest>, from: Option<&Version>) -> Vec<Way<'m>> {
    let Some(bundle) = manifest.bundle.as_ref().filter(|_| !missing.is_empty()) else { return vec![Way::Whole] };
    let patch = bundle.patches.iter().filter(|p| Some(&p.from) == from).min_by_key(|p| p.size).map(Way::Patch);
    let mut ways: Vec<Way> = patch.into_iter().chain(runs(manifest, bundle, missing).map(Way::Runs)).collect();
    ways.sort_by_key(|way| way.bytes(None));
    ways.push(Way::Whole);
    ways
}

/// The blocks that hold these contents, neighbours and near neighbours together. None: the manifest does not tell where they are.
fn runs(manifest: &Manifest, bundle: &BundleInfo, missing: &BTreeSet<Digest>) -> Option<Vec<Run>> {
    let whole = bundle.blocks.last().is_some_and(|b| end(b) == Some(bundle.payload_size));
    let in_order = bundle.blocks.windows(2).all(|pair| end(&pair[0]) == Some(pair[1].offset));
    if !whole || !in_order || bundle.blocks[0].offset != 0 {
        return None;
    }
    // newest last: a content that is there twice comes with what is new
    let (mut open, mut needed) = (missing.clone(), BTreeSet::new());
    for file in manifest.files.iter().rev() {
        if open.remove(&file.sha256) {
            needed.insert(file.block.map(|b| b as usize).filter(|b| *b < bundle.blocks.len())?);
        }
    }
    if !open.is_empty() {
        return None;
    }
    let mut groups: Vec<Range<usize>> = needed.into_iter().map(|b| b..b + 1).collect();
    let gap = |groups: &[Range<usize>], i: usize| {
        bundle.blocks[groups[i + 1].start].offset - bundle.blocks[groups[i].end - 1].offset - bundle.blocks[groups[i].end - 1].length
    };
    while let Some(i) = (0..groups.len() - 1).min_by_key(|i| gap(&groups, *i)) {
        if gap(&groups, i) > GAP && groups.len() <= RUNS_MAX {
            break;
        }
        let next = groups.remove(i + 1);
        groups[i].end = next.end;
    }
    let run = |blocks: Range<usize>| {
        let (first, last) = (&bundle.blocks[blocks.start], &bundle.blocks[blocks.end - 1]);
        Run { before_end: bundle.payload_size - first.offset, length: last.offset + last.length - first.offset, blocks }
    };
    Some(groups.into_iter().map(run).collect())
}

fn end(block: &Block) -> Option<u64> {
    block.offset.checked_add(block.length)
}
