//! By which way the contents come that a device lacks: a patch, chunks, runs of blocks, or the whole bundle. Pure; the maintainer's table of what
//! a release costs its devices and the device's own plan come from here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use semver::Version;

use super::manifest::{Block, BundleInfo, Chunks, Patch};
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
    /// Chunks. What they cost is known only to who has the contents of the earlier release; if it is not less than so many bytes, which
    /// is what the blocks cost, blocks are taken.
    Chunks(&'m Chunks, u64),
    /// Some blocks of the bundle.
    Runs(Vec<Run>),
    /// The bundle from start to end.
    Whole,
}

impl Way<'_> {
    /// Bytes to fetch, at most; `whole` is the size of the bundle.
    pub fn bytes(&self, whole: Option<u64>) -> Option<u64> {
        match self {
            Way::Patch(patch) => Some(patch.size),
            Way::Chunks(_, most) => Some(*most),
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
    if let (Some(chunks), Some(at)) = (&bundle.chunks, ways.iter().position(|w| matches!(w, Way::Runs(_))).filter(|_| from.is_some())) {
        // for less than an index and a request blocks need not be avoided
        let worth = |most: &u64| *most > chunks.index.saturating_mul(2).saturating_add(GAP) && chunks.is_possible();
        ways[at].bytes(None).filter(worth).into_iter().for_each(|most| ways.insert(at, Way::Chunks(chunks, most)));
    }
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
    let needed: Vec<usize> = needed.into_iter().collect();
    // where a gap is too wide to be fetched along, and of those the widest; of two alike the later
    let gap = |i: &usize| bundle.blocks[needed[*i]].offset - bundle.blocks[needed[i - 1]].offset - bundle.blocks[needed[i - 1]].length;
    let mut cuts: Vec<usize> = (1..needed.len()).filter(|i| gap(i) > GAP).collect();
    cuts.sort_by_key(|i| Reverse((gap(i), *i)));
    cuts.truncate(RUNS_MAX - 1);
    cuts.sort_unstable();
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([needed.len()]);
    let run = |(start, end): (usize, usize)| {
        let blocks = needed[start]..needed[end - 1] + 1;
        let (first, last) = (&bundle.blocks[blocks.start], &bundle.blocks[blocks.end - 1]);
        Run { before_end: bundle.payload_size - first.offset, length: last.offset + last.length - first.offset, blocks }
    };
    Some(starts.zip(ends).map(run).collect())
}

fn end(block: &Block) -> Option<u64> {
    block.offset.checked_add(block.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(n: usize) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    /// A release of one file for each block; a block of each of these lengths.
    fn release(lengths: &[u64], more: &str) -> Manifest {
        let files: Vec<String> = (0..lengths.len()).map(|n| format!(r#"{{"path":"f{n}","sha256":"{}","block":{n}}}"#, content(n))).collect();
        let mut offset = 0;
        let mut block = |length: &u64| {
            offset += length;
            format!(r#"{{"offset":{},"length":{length},"sha256":"{}"}}"#, offset - length, content(0))
        };
        let blocks: Vec<String> = lengths.iter().map(&mut block).collect();
        let text = format!(
            r#"{{"version":"1.0.0","files":[{}],"bundle":{{"name":"b","payload_size":{},"blocks":[{}]{more}}}}}"#,
            files.join(","),
            lengths.iter().sum::<u64>(),
            blocks.join(",")
        );
        Manifest::parse(text.as_bytes()).unwrap()
    }

    fn blocks(lengths: &[u64], missing: &[usize]) -> Vec<(usize, usize)> {
        let missing = missing.iter().map(|n| content(*n)).collect();
        match ways(&release(lengths, ""), &missing, None).swap_remove(0) {
            Way::Runs(runs) => {
                let at = |n: usize| lengths[..n].iter().sum::<u64>();
                for run in &runs {
                    assert_eq!((run.before_end, run.length), (at(lengths.len()) - at(run.blocks.start), at(run.blocks.end) - at(run.blocks.start)));
                }
                runs.into_iter().map(|r| (r.blocks.start, r.blocks.end)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn neighbours_and_what_lies_near_come_together() {
        let wide = GAP + 1;
        assert_eq!(blocks(&[9; 6], &[4, 5]), [(4, 6)]);
        assert_eq!(blocks(&[9, GAP, 9, wide, 9], &[0, 2]), [(0, 3)]);
        assert_eq!(blocks(&[9, GAP, 9, wide, 9], &[0, 2, 4]), [(0, 3), (4, 5)]);
        assert_eq!(blocks(&[9, wide, 9], &[2]), [(2, 3)]);
    }

    #[test]
    fn of_many_gaps_the_widest_are_left_out_and_of_two_alike_the_later() {
        let lengths: Vec<u64> = (0..17).map(|n| if n % 2 == 1 { GAP + 1 + n as u64 } else { 9 }).collect();
        let every_other: Vec<usize> = (0..17).step_by(2).collect();
        assert_eq!(blocks(&lengths, &every_other), [(0, 7), (8, 9), (10, 11), (12, 13), (14, 15), (16, 17)]);
        let alike: Vec<u64> = (0..17).map(|n| if n % 2 == 1 { 2 * GAP } else { 9 }).collect();
        assert_eq!(blocks(&alike, &every_other), [(0, 7), (8, 9), (10, 11), (12, 13), (14, 15), (16, 17)]);
    }

    #[test]
    fn the_cheaper_way_comes_first_and_the_whole_bundle_last() {
        let digest = content(0);
        let patch = |size: u64| format!(r#","patches":[{{"name":"p","from":"0.9.0","size":{size},"sha256":"{digest}"}}]"#);
        let patch_and = |size: u64, more: &str| format!("{}{more}", patch(size));
        let (from, other) = ("0.9.0".parse().unwrap(), "0.8.0".parse().unwrap());
        let missing = BTreeSet::from([content(1)]);
        let kinds = |release: &Manifest, from| -> Vec<&str> {
            let kind = |way: &Way| match way {
                Way::Patch(_) => "patch",
                Way::Chunks(..) => "chunks",
                Way::Runs(_) => "runs",
                Way::Whole => "whole",
            };
            ways(release, &missing, from).iter().map(kind).collect()
        };
        assert_eq!(kinds(&release(&[9, 9], &patch(5)), Some(&from)), ["patch", "runs", "whole"]);
        assert_eq!(kinds(&release(&[9, 9], &patch(50)), Some(&from)), ["runs", "patch", "whole"]);
        assert_eq!(kinds(&release(&[9, 9], &patch(5)), Some(&other)), ["runs", "whole"]);
        // chunks stand before the blocks, whatever a patch costs, if the blocks are worth an index, and if there is something to start from
        let more = |patch, index: u64| {
            patch_and(patch, &format!(r#","chunks":{{"name":"c","size":90000,"index":{index},"index_sha256":"{digest}","sha256":"{digest}"}}"#))
        };
        let large = [GAP, GAP + 200];
        assert_eq!(kinds(&release(&large, &more(5, 99)), Some(&from)), ["patch", "chunks", "runs", "whole"]);
        assert_eq!(kinds(&release(&large, &more(90_000, 99)), Some(&from)), ["chunks", "runs", "patch", "whole"]);
        assert_eq!(kinds(&release(&large, &more(5, 99)), Some(&other)), ["chunks", "runs", "whole"]);
        assert_eq!(kinds(&release(&large, &more(5, 100)), Some(&other)), ["runs", "whole"]);
        assert_eq!(kinds(&release(&large, &more(5, 99)), None), ["runs", "whole"]);
        // a size that cannot be is passed over, as if there were none
        for index in [0, 90_001, u64::MAX] {
            assert_eq!(kinds(&release(&large, &more(5, index)), Some(&other)), ["runs", "whole"]);
        }
        assert_eq!(ways(&release(&large, &more(5, 99)), &missing, Some(&other))[0].bytes(None), Some(GAP + 200));
        // blocks that leave a hole, or do not end where the payload does, tell nothing
        let mut holes = release(&[9, 9], &patch(5));
        if let Some(bundle) = &mut holes.bundle {
            bundle.blocks[1].offset += 1;
        }
        assert_eq!(kinds(&holes, Some(&from)), ["patch", "whole"]);
        assert_eq!(ways(&holes, &BTreeSet::new(), None), [Way::Whole]);
    }
}
