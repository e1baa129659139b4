//! Writes patches (see [`crate::release::patch`]): for each content that an earlier release lacks, the pieces that make it, each against
//! what resembles it most there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use super::place::Release;
use super::similar::{Anchors, Likeness};
use super::squeeze;
use super::tree::Entry;
use crate::error::{Doing, Error, Result};
use crate::release::frames::Unpacker;
use crate::release::patch::{self, NEW, PIECE_MAX, Piece, STRETCH_MAX, Stretch};
use crate::release::{Digest, Manifest, bundle};

/// What resembles a piece most is not always what it compresses best against: so many of each side are tried.
const FEW: usize = 2;

/// Something to be made: its index in the new list, and its content.
pub struct Target {
    /// Index in the list of files.
    pub file: u32,
    /// What earlier contents may be compared with, whatever their bytes say: indices of those.
    pub hints: Vec<usize>,
    /// Whether what comes after it may be compressed against it: every device has it, as it is here.
    pub common: bool,
    /// The content.
    pub content: Vec<u8>,
}

/// Earlier contents, each with its index in the earlier list.
pub struct Contents {
    /// Index in the list of files, and content.
    pub all: Vec<(u32, Vec<u8>)>,
}

impl Contents {
    /// What an earlier release holds.
    ///
    /// # Errors
    /// Its bundle is not there, or not what its manifest says.
    pub fn of(release: &Release, manifest: &Manifest) -> Result<Self> {
        let at = release.bundle(manifest).ok_or_else(|| {
            Error::usage(format!("there is no bundle beside {}, and a patch needs the contents", release.manifest.display()))
                .hint("give --patch-from the folder of a whole release")
        })?;
        let reading = || format!("reading {}", at.display());
        let mut index: BTreeMap<Digest, u32> = BTreeMap::new();
        for (i, file) in manifest.files.iter().enumerate() {
            index.entry(file.sha256).or_insert(i as u32);
        }
        let stream = BufReader::with_capacity(1 << 16, File::open(&at).doing(reading)?);
        let mut contents = Vec::new();
        let read = bundle::read(stream, u64::MAX, |_, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            if let Some(file) = index.remove(&Digest::of(&bytes)) {
                contents.push((file, bytes));
            }
            Ok::<(), std::io::Error>(())
        });
        read.map_err(|e| Error::verification(reading()).because(format!("{e:?}")))?;
        Ok(Contents { all: contents })
    }
}

/// Of a release that is being packed, what an earlier one lacks: each content once.
///
/// # Errors
/// A file cannot be read.
pub fn targets(new: &Manifest, entries: &[Entry], old: &Manifest, before: &Contents) -> Result<Vec<Target>> {
    let mut lacking = new.beyond(old);
    let place: BTreeMap<u32, usize> = before.all.iter().enumerate().map(|(i, (file, _))| (*file, i)).collect();
    let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, file) in old.files.iter().enumerate() {
        if let Some(at) = place.get(&(i as u32)) {
            names.entry(plain_name(file.path.as_str())).or_default().push(*at);
        }
    }
    let from: BTreeMap<Digest, &Entry> = entries.iter().map(|e| (e.sha256, e)).collect();
    let mut targets = Vec::new();
    for (i, file) in new.files.iter().enumerate().filter(|(_, f)| lacking.remove(&f.sha256)) {
        let entry = from[&file.sha256];
        let content = std::fs::read(&entry.from).doing(|| format!("reading {}", entry.from.display()))?;
        let hints = names.get(&plain_name(file.path.as_str())).cloned().unwrap_or_default();
        targets.push(Target { file: i as u32, hints, common: file.arch.is_none() && !file.config, content });
    }
    Ok(targets)
}

/// A path without what builders put into names: the parts that look like a digest.
fn plain_name(path: &str) -> String {
    let part = |p: &str| {
        let random = p.len() >= 6 && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && p.bytes().any(|b| b.is_ascii_digit());
        if random { String::new() } else { p.to_owned() }
    };
    path.split(['.', '-']).map(part).collect::<Vec<_>>().join(".")
}

/// Makes the patch. It is the same whatever the number of processors.
///
/// # Errors
/// The compressor.
pub fn make(targets: &[Target], before: &Contents) -> Result<Vec<u8>> {
    let making = || "making a patch".to_owned();
    let old = before.all.iter().map(|(_, bytes)| bytes.as_slice());
    let anchors = Anchors::of(old.chain(targets.iter().map(|t| if t.common { t.content.as_slice() } else { &[] })).collect());
    let (index, frames) = squeeze::all(targets.len(), |i| pieces(targets, i, before, &anchors)).doing(making)?;
    let mut bytes = patch::write_index(&index, |plain| squeeze::frame(plain, b"")).doing(making)?;
    bytes.extend(frames);
    Ok(bytes)
}

/// One content, piece by piece.
fn pieces(targets: &[Target], i: usize, before: &Contents, anchors: &Anchors) -> std::io::Result<Vec<(Piece, Vec<u8>)>> {
    let (target, old) = (&targets[i], before.all.len());
    let mut unpacker = Unpacker::default();
    let mut made = Vec::new();
    let empty = [&target.content[..]];
    let chunks: Box<dyn Iterator<Item = &[u8]>> =
        if target.content.is_empty() { Box::new(empty.into_iter()) } else { Box::new(target.content.chunks(PIECE_MAX)) };
    for plain in chunks {
        let (against, frame) = smallest(plain, &target.hints, anchors, old, i)?;
        let stretch = against.map_or(&[][..], |like| anchors.bytes(&like));
        // what a device could not undo must not be published
        let same = unpacker.unpack(&frame, stretch, plain.len()).is_ok_and(|out| out == plain);
        if !same {
            return Err(std::io::Error::other("what was compressed does not unpack to the same bytes"));
        }
        let file = |n: usize| if n < old { before.all[n].0 } else { NEW + targets[n - old].file };
        let stretch = |like: Likeness| Stretch { file: file(like.content), offset: like.offset as u64, length: like.length as u32 };
        let piece = Piece { file: target.file, against: against.map(stretch), plain: plain.len() as u32, packed: frame.len() as u32 };
        made.push((piece, frame));
    }
    Ok(made)
}

/// The smallest frame, and what it was compressed against: an earlier content, or one of so many that were made before.
fn smallest(plain: &[u8], hints: &[usize], anchors: &Anchors, old: usize, made: usize) -> std::io::Result<(Option<Likeness>, Vec<u8>)> {
    if plain.is_empty() {
        return Ok((None, Vec::new()));
    }
    let nearest = anchors.nearest_few(plain, 0..old, STRETCH_MAX, FEW);
    let twins = anchors.nearest_few(plain, old..old + made, STRETCH_MAX, FEW);
    let sure = nearest.first().is_some_and(|n| n.close);
    let named = hints.iter().filter(|h| !sure && nearest.iter().all(|n| n.content != **h)).take(2).map(|h| anchors.start_of(*h));
    let mut best: Option<(Option<Likeness>, Vec<u8>)> = None;
    let alone = (!sure).then_some(None);
    for like in nearest.iter().copied().chain(twins).chain(named).map(Some).chain(alone) {
        let frame = squeeze::frame(plain, like.map_or(&[], |l| anchors.bytes(&l)))?;
        if best.as_ref().is_none_or(|(_, b)| frame.len() < b.len()) {
            best = Some((like, frame));
        }
    }
    Ok(best.expect("alone or against something, it was compressed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], old: &[(u32, Vec<u8>)]) -> BTreeMap<u32, Vec<u8>> {
        let mut rest = bytes;
        let index = patch::read_index(&mut rest).unwrap();
        let (mut unpacker, mut files) = (Unpacker::default(), BTreeMap::<u32, Vec<u8>>::new());
        for piece in index {
            let (frame, after) = rest.split_at(piece.packed as usize);
            rest = after;
            let stretch = piece.against.map_or(Vec::new(), |a| {
                let content = if a.file >= NEW { &files[&(a.file - NEW)] } else { &old.iter().find(|(file, _)| *file == a.file).unwrap().1 };
                content[a.offset as usize..][..a.length as usize].to_vec()
            });
            files.entry(piece.file).or_default().extend(unpacker.unpack(frame, &stretch, piece.plain as usize).unwrap());
        }
        assert!(rest.is_empty());
        files
    }

    #[test]
    fn a_patch_gives_back_every_content_and_is_small_where_something_resembles_it() {
        let line = |n: usize| format!("export const value{n} = {{ id: {}, name: 'entry number {n}' }};\n", n * 7919);
        let text = |from: usize, to: usize| (from..to).map(line).collect::<String>().into_bytes();
        let before = Contents { all: vec![(0, text(0, 500)), (4, text(500, 60_000)), (9, b"tiny".to_vec())] };
        let changed = [b"// new\n".to_vec(), text(500, 30_000), b"changed\n".to_vec(), text(30_000, 60_000)].concat();
        assert!(changed.len() > 3 * PIECE_MAX);
        let targets = [
            Target { file: 1, hints: vec![], common: true, content: changed.clone() },
            Target { file: 3, hints: vec![], common: true, content: Vec::new() },
            Target { file: 7, hints: vec![2], common: true, content: b"tiny!".to_vec() },
            Target { file: 8, hints: vec![], common: true, content: text(70_000, 70_010) },
        ];
        let patch = make(&targets, &before).unwrap();
        assert!(patch.len() < 1500, "{}", patch.len());
        assert_eq!(patch, make(&targets, &before).unwrap());
        let files = whole(&patch, &before.all);
        assert_eq!(files.len(), 4);
        assert!(targets.iter().all(|t| files[&t.file] == t.content));
        // an empty patch is one, too
        assert!(whole(&make(&[], &before).unwrap(), &[]).is_empty());
    }

    #[test]
    fn what_is_new_twice_comes_once() {
        let noise = |n: u64, seed: u64| -> Vec<u8> { (0..n).map(|i| (i * i * 31 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect() };
        let before = Contents { all: vec![(0, noise(50_000, 1)), (1, noise(50_000, 1))] };
        let change = noise(20_000, 2);
        let new = |tail: &[u8]| [&before.all[0].1[..30_000], &change, tail].concat();
        let target = |file, common, tail: &[u8]| Target { file, hints: vec![], common, content: new(tail) };
        let alone = make(&[target(2, true, b"one")], &before).unwrap().len();
        let patch = make(&[target(2, true, b"one"), target(5, true, b"two")], &before).unwrap();
        assert!(alone > 10_000 && patch.len() < alone + 200, "{} with {alone}", patch.len());
        let files = whole(&patch, &before.all);
        assert!(files[&2] == new(b"one") && files[&5] == new(b"two"));
        let index = patch::read_index(&mut &patch[..]).unwrap();
        assert_eq!(index[1].against.unwrap().file, NEW + 2);
        // what not every device has is nothing to build on
        let patch = make(&[target(2, false, b"one"), target(5, true, b"two")], &before).unwrap();
        assert!(patch.len() > 2 * alone - 200, "{} with {alone}", patch.len());
    }

    #[test]
    fn a_patch_that_somebody_changed_ends_in_an_error_or_in_other_bytes_and_never_in_a_panic() {
        let before = Contents { all: vec![(0, (0..40_000u32).map(|n| (n * n / 128) as u8).collect())] };
        let target = Target { file: 0, hints: vec![0], common: true, content: (0..50_000u32).map(|n| (n * n / 64) as u8).collect() };
        let good = make(&[target], &before).unwrap();
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..3000 {
            let mut bad = good.clone();
            for _ in 0..=random(4) {
                let at = random(bad.len());
                bad[at] = random(256) as u8;
            }
            bad.truncate(bad.len() - if random(3) == 0 { random(bad.len()) } else { 0 });
            let mut rest = &bad[..];
            let Ok(index) = patch::read_index(&mut rest) else { continue };
            let mut unpacker = Unpacker::default();
            for piece in index {
                let Some((frame, after)) = rest.split_at_checked(piece.packed as usize) else { break };
                rest = after;
                let stretch: Option<Vec<u8>> = piece.against.map(|a| before.all[0].1.iter().skip(a.offset as usize).take(a.length as usize).copied().collect());
                if let Ok(plain) = unpacker.unpack(frame, &stretch.unwrap_or_default(), piece.plain as usize) {
                    assert_eq!(plain.len(), piece.plain as usize);
                }
            }
        }
    }
}
