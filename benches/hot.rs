//! The loops that run once for every byte or every file: `cargo bench`, or `cargo bench -- plan` for those with a word in their name.
#![allow(clippy::unwrap_used)] // a bench that cannot be set up has nothing to measure

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use pikit_updater::Result;
use pikit_updater::device::Managed;
use pikit_updater::plan::decide::{Decision, Installed, Policy, decide};
use pikit_updater::plan::facts::{Found, UnitFacts, VolumeFacts, Way};
use pikit_updater::plan::target::Target;
use pikit_updater::plan::{Action, Facts};
use pikit_updater::release::bundle::{self, Head};
use pikit_updater::release::digest::{Digest, Hashing};
use pikit_updater::release::frames::Unpacker;
use pikit_updater::release::manifest::Manifest;
use pikit_updater::release::route;
use pikit_updater::source::{Start, Unpacked, unpack};

#[path = "../tests/support/noise.rs"]
mod noise;

/// Files of the releases below.
const FILES: usize = 10_000;

fn main() {
    divan::main();
}

/// Bytes that compress about as a bundler's output does.
fn text(n: usize) -> Vec<u8> {
    let words: Vec<String> = noise::noise(4000, 3).chunks(4).map(|c| format!("n{:x}.{} = ", c[0], c[1] as u32 * 7919)).collect();
    let picks = noise::noise(n, 4);
    picks.iter().flat_map(|p| words[usize::from(*p) * 3 % words.len()].bytes()).take(n).collect()
}

/// A bundle of these files.
fn bundle_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut header, path, &content[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Takes contents as the device does.
struct Taker(File);

impl Unpacked for Taker {
    fn start(&mut self, _: &Start) -> Result<u64> {
        Ok(u64::MAX)
    }
    fn entry(&mut self, _: &Head, content: &mut dyn Read, _: &Cell<u64>) -> Result<()> {
        let mut hashing = Hashing::new(&self.0);
        io::copy(content, &mut hashing).unwrap();
        black_box(hashing.finish().1);
        Ok(())
    }
}

/// Decompressing, hashing and writing a block of the usual size.
#[divan::bench]
fn a_block_is_taken_in(bencher: Bencher) {
    let content = text(256 << 10);
    let packed = bundle_of(&[("web/one.js".into(), content.clone())]);
    let mut taker = Taker(File::create("/dev/null").unwrap());
    bencher.counter(BytesCount::new(content.len())).bench_local(|| unpack::archive(&packed[..], false, u64::MAX, &mut taker).unwrap());
}

/// Headers of an archive whose files are all but empty.
#[divan::bench]
fn entries_of_an_archive_are_read(bencher: Bencher) {
    let files: Vec<_> = (0..1000).map(|n| (format!("web/static/js/{n:04}.js"), vec![b'x'; 10])).collect();
    let packed = bundle_of(&files);
    let bytes = Cell::new(0);
    let read = || {
        let visit = |head: &Head, _: &mut dyn Read| -> std::result::Result<(), ()> {
            bytes.set(head.size);
            Ok(())
        };
        bundle::read(&packed[..], u64::MAX, visit).unwrap();
    };
    bencher.counter(ItemsCount::new(files.len())).bench_local(read);
}

/// A manifest with a block for every ten files; `edit` makes other contents of every hundredth file.
fn manifest(edit: &str) -> Vec<u8> {
    let content = |n: usize| Digest::of(format!("{n}{}", if n.is_multiple_of(100) { edit } else { "" }).as_bytes());
    let file =
        |n: usize| format!(r#"{{"path":"web/{:02}/{n}.js","sha256":"{}","size":1024,"mode":"0644","block":{},"offset":512}}"#, n % 100, content(n), n / 10);
    let block = |n: usize| format!(r#"{{"offset":{},"length":5000,"sha256":"{}"}}"#, n * 5000, content(n));
    let files: Vec<_> = (0..FILES).map(file).collect();
    let blocks: Vec<_> = (0..FILES / 10).map(block).collect();
    let (files, blocks, size) = (files.join(","), blocks.join(","), FILES / 10 * 5000);
    format!(r#"{{"version":"1.0.0","files":[{files}],"bundle":{{"name":"b","payload_size":{size},"blocks":[{blocks}]}}}}"#).into_bytes()
}

#[divan::bench]
fn a_manifest_is_parsed(bencher: Bencher) {
    let bytes = manifest("");
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| Manifest::parse(black_box(&bytes)).unwrap());
}

/// What an update of every hundredth file would do.
#[divan::bench]
fn a_plan_is_made(bencher: Bencher) {
    let target = |edit: &str| Target::of_release(&Manifest::parse(&manifest(edit)).unwrap(), Digest::of(edit.as_bytes()));
    let (old, new) = (target(""), target("edited"));
    let found = |sha256| Found { sha256, size: 1024, mtime: 0, ino: 1, mode: 0o644, uid: 0, gid: 0 };
    let facts = Facts {
        units: vec![UnitFacts { to: "/srv/web".into(), way: Way::Exchange, exists: true, owner: (0, 0), volume: 0, has_modes: true }],
        volumes: vec![VolumeFacts { dev: 1, at: "/srv".into(), free: 1 << 40, block: 4096, read_only: false }],
        files: old.files.iter().map(|(path, want)| (path.clone(), found(want.sha256).into())).collect(),
        ..Facts::default()
    };
    let installed =
        Installed { version: old.version.clone(), manifest_sha256: old.manifest_sha256, content: old.content, released: None, files: old.files.clone() };
    let managed = [Managed { from: "web/".into(), to: "/srv/web".into() }];
    let policy = Policy {
        action: Action::Apply,
        managed: &managed,
        product: "pikit",
        channel: "stable",
        restart: &[],
        reload: &[],
        commands: false,
        min_free: 0,
        updater: semver::Version::new(9, 0, 0),
        allow_downgrade: true,
        force: true,
        require_manifest: None,
        takes_back: None,
    };
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| {
        let decision = decide(&policy, &installed, &new, &facts);
        assert!(matches!(decision, Decision::Go(_)), "{decision:?}");
        decision
    });
}

/// Which way costs least when every hundredth file is missing.
#[divan::bench]
fn a_route_is_chosen(bencher: Bencher) {
    let (old, new) = (Manifest::parse(&manifest("")).unwrap(), Manifest::parse(&manifest("edited")).unwrap());
    let missing: BTreeSet<Digest> = new.beyond(&old);
    assert_eq!(missing.len(), FILES / 100);
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| route::ways(&new, &missing, None).len());
}

/// The largest piece of a patch, a little changed, against what it was before.
#[divan::bench]
fn a_piece_of_a_patch_is_undone(bencher: Bencher) {
    let old = text(1 << 20);
    let new = old.chunks(50_000).fold(Vec::new(), |new, part| [new, b"// changed\n".to_vec(), part.to_vec()].concat());
    let new = &new[..1 << 20];
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::WindowLog(22)).unwrap();
    context.ref_prefix(&old).unwrap();
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(new.len()));
    context.compress2(&mut frame, new).unwrap();
    let mut unpacker = Unpacker::default();
    assert!(unpacker.unpack(&frame, &old, new.len()).unwrap() == new);
    bencher.counter(BytesCount::new(new.len())).bench_local(|| {
        unpacker.know(&old).unwrap();
        unpacker.unpack_to(&mut frame.take(frame.len() as u64), new.len(), &mut io::sink()).unwrap();
    });
}
