//! Small: memory does not grow with the bundle, bytes written follow bytes changed, and what is right already is not touched.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use pikit_updater::publish::{Before, Overrides, pack};
use support::authority::Authority;
use support::board::{Board, program, release_program};
use support::liar::Liar;
use support::maintainer::{Key, sign};
use support::noise::noise;
use support::{release, rusage, strace};

/// Most memory of any process of an apply, megabytes: without TLS and with it; and of a program that was built for tests.
const PLAIN: f64 = 12.0;
const TLS: f64 = 16.0;
const DEBUG: f64 = 24.0;
/// Undoing a patch holds a piece of 1 MiB, what is before it, 2 MiB, and what came of the patch: each once.
const PATCHING: f64 = 4.6;
/// Chunks are 64 KiB at most, and made of 384 KiB.
const CHUNKING: f64 = 2.6;
const PATCH: &str = "pikit-1.0.0-1.1.0.patch.zst";
const CHUNKS: &str = "pikit-1.1.0.chunks.zst";

/// A gigabyte at a time is enough.
static TURN: Mutex<()> = Mutex::new(());

/// A release whose bundle unpacks to 1 GiB: four big files, all but empty, so that it is made in seconds.
fn gibibyte(board: &Board) {
    let work = board.path("src/.big");
    fs::create_dir_all(work.join("tree/web")).unwrap();
    for n in 0..4u8 {
        let file = fs::File::create(work.join(format!("tree/web/{n}.bin"))).unwrap();
        file.set_len(256 << 20).unwrap();
        file.write_all_at(&[n + 1; 4096], 77 << 20).unwrap();
    }
    release::pack_tree(&work, &board.path("src/1.0.0"), "1.0.0", "");
    fs::remove_dir_all(work).unwrap();
}

fn installs_a_gibibyte(board: &Board, from: &str) {
    let used = rusage::measure(board, &["apply", "-y"]);
    println!("1 GiB {from}: {:.1} MB of memory, {:.1} s", used.megabytes, used.wall);
    assert_eq!(fs::metadata(board.path("srv/web/3.bin")).unwrap().len(), 256 << 20);
    assert!(used.megabytes < limit(board, PLAIN), "{} MB", used.megabytes);
}

fn limit(board: &Board, most: f64) -> f64 {
    if board.program == program() { DEBUG } else { most }
}

/// Two releases, the second with a patch from the first: large files that do not compress, a little of each changed.
fn neighbours(dist: &Path, key: &Key) {
    for version in 0..2u8 {
        let work = dist.join("work");
        fs::create_dir_all(work.join("tree/web")).unwrap();
        for n in 0..2 {
            let mut content = noise(3 << 20, n);
            content.chunks_mut(300_000).for_each(|chunk| chunk[1000..1100].fill(version));
            fs::write(work.join(format!("tree/web/{n}.bin")), content).unwrap();
        }
        let recipe = format!("product = \"pikit\"\nversion = \"1.{version}.0\"\nreleased = \"2026-11-20\"\n[[include]]\nfrom = \"tree\"\nto = \"\"\n");
        fs::write(work.join("release.toml"), recipe).unwrap();
        let before: Vec<_> = (0..version).map(|v| dist.join(v.to_string())).collect();
        let before = Before { previous: before.clone(), patch_from: before };
        pack(&work.join("release.toml"), &Overrides::default(), &before, Some(&dist.join(version.to_string()))).unwrap();
        sign(&dist.join(version.to_string()), &[key]);
        fs::remove_dir_all(work).unwrap();
    }
}

/// Installs the first and brings it to the second, by one of its files.
fn takes(by: &str, dist: &Path, key: &Key, liar: &Liar, ca: Option<&str>, (most, more): (f64, f64)) {
    let mut board = Board::new("patched");
    board.program = release_program();
    board.write("etc/pikit/keys/pikit.pub", key.public());
    board.write("etc/pikit/ca.pem", ca.unwrap_or_default());
    let ca_file = ca.map_or("", |_| "\nca_file = \"/etc/pikit/ca.pem\"");
    board.configure("dir = \"/src\"", &format!("url = \"{}/kit/\"{ca_file}", liar.url));
    board.configure("required = false", "required = true");
    let offer = |version: u8| {
        let assets = fs::read_dir(dist.join(version.to_string())).unwrap().flatten();
        for entry in assets.filter(|e| by == PATCH || e.file_name() != PATCH) {
            liar.file(&format!("/kit/{}", entry.file_name().to_str().unwrap()), fs::read(entry.path()).unwrap());
        }
    };
    offer(0);
    board.ok(&["apply", "-y"]);
    let idle = rusage::measure(&board, &["check"]);
    offer(1);
    liar.take_requests();
    let used = rusage::measure(&board, &["apply", "-y"]);
    assert!(liar.requests().iter().any(|r| r.path.ends_with(by)), "{:?}", liar.requests());
    assert_eq!(fs::read(board.path("srv/web/1.bin")).unwrap()[1000], 1);
    println!("{by} of large files over {}: {:.1} MB of memory, a check {:.1} MB", liar.url, used.megabytes, idle.megabytes);
    assert!(used.megabytes < limit(&board, most), "{} MB", used.megabytes);
    assert!(used.megabytes - idle.megabytes < more, "{} MB, and {} MB for a check", used.megabytes, idle.megabytes);
}

#[test]
fn patches_and_chunks_of_large_files_hold_what_they_need_once() {
    or_skip!();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dist = support::board::home().join(format!("pikit-dist-memory-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dist);
    let (key, authority) = (Key::new(), Authority::new());
    neighbours(&dist, &key);
    for (by, more) in [(PATCH, PATCHING), (CHUNKS, CHUNKING)] {
        takes(by, &dist, &key, &Liar::start(), None, (PLAIN, more));
        takes(by, &dist, &key, &authority.server("localhost", (2020, 2090)), Some(&authority.pem), (TLS, more));
    }
    fs::remove_dir_all(dist).unwrap();
}

#[test]
fn memory_does_not_grow_with_the_bundle() {
    or_skip!();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut board = Board::new("big");
    board.program = release_program();
    gibibyte(&board);
    let other = board.copy("big-http");
    installs_a_gibibyte(&board, "from a folder");
    drop(board);
    let liar = Liar::start();
    for name in ["manifest.json", "pikit-1.0.0.tar.gz"] {
        liar.file(&format!("/kit/{name}"), fs::read(other.path("src/1.0.0").join(name)).unwrap());
    }
    other.configure("dir = \"/src\"", &format!("url = \"{}/kit/\"", liar.url));
    installs_a_gibibyte(&other, "over HTTP");
}

/// `count` files of about 29 kB that do not compress; of the first `changed` there is a new version.
fn files(count: usize, changed: usize) -> Vec<(String, Vec<u8>)> {
    let content = |seed: u64| -> Vec<u8> {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        };
        (0..28_900).map(|_| next()).collect()
    };
    (0..count).map(|i| (format!("web/{:02}/{i}.js", i % 20), content(i as u64 + if i < changed { 100_000 } else { 0 }))).collect()
}

fn offer(board: &Board, version: &str, files: &[(String, Vec<u8>)]) {
    board.release(version, &files.iter().map(|(p, c)| (p.as_str(), c)).collect::<Vec<_>>());
}

#[test]
fn an_update_writes_what_changed_and_syncs_a_few_times_whatever_the_number_of_files() {
    or_skip!();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut syncs = Vec::new();
    for count in [45, 450] {
        let board = Board::new("changed");
        offer(&board, "1.0.0", &files(count, 0));
        board.ok(&["apply", "-y"]);
        let before = board.inodes("srv/web");
        let new = files(count, 4);
        offer(&board, "1.1.0", &new);
        let (ran, calls) = strace::list(&board, &["apply", "-y"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let after = board.inodes("srv/web");
        let is_file = |p: &String| p.ends_with(".js");
        let same = before.iter().filter(|(p, seen)| is_file(p) && after.get(*p) == Some(seen)).count();
        assert_eq!(same, count - 4, "the others keep inode and time");
        let writes = calls.iter().filter(|c| ["write", "pwrite64", "writev", "copy_file_range"].contains(&c.name.as_str()) && c.is_below("/srv/"));
        let written: i64 = writes.map(|c| c.result).sum();
        assert_eq!(written, new[..4].iter().map(|(_, c)| c.len() as i64).sum::<i64>(), "bytes written under managed paths");
        syncs.push(calls.iter().filter(|c| c.is_sync()).count());
        println!("4 of {count} files changed: {written} bytes written under managed paths, {} syncs", syncs.last().unwrap());
    }
    assert_eq!(syncs[0], syncs[1], "their number does not grow with the files");
    assert!(syncs[0] < 40, "{} syncs", syncs[0]);
}

/// Seconds in which the trees changed sides, by the program's own account.
fn switched(board: &Board, words: &[&str]) -> f64 {
    let ran = board.ok(words);
    let result: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    let (switch, offline) = (result["switch_seconds"].as_f64().unwrap(), result["offline_seconds"].as_f64().unwrap());
    assert!(switch > 0.0 && switch <= offline + 0.005, "{switch} s of {offline} s");
    switch
}

#[test]
fn the_switch_of_450_files_takes_milliseconds_whatever_was_downloaded() {
    or_skip!();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut board = Board::new("switch");
    board.program = release_program();
    offer(&board, "1.0.0", &files(450, 0));
    board.ok(&["apply", "-y"]);
    offer(&board, "1.1.0", &files(450, 450));
    // a machine may be busy with something else for a while
    let mut times: Vec<f64> = Vec::new();
    while times.iter().all(|t| *t >= 0.02) && times.len() < 40 {
        times.push(switched(&board, &["apply", "1.1.0", "-y", "--json"]));
        times.push(switched(&board, &["rollback", "-y", "--json"]));
    }
    println!("450 of 450 files changed: switched in {times:?} s");
    assert!(times.iter().any(|t| *t < 0.02), "{times:?}");
    let nothing: serde_json::Value = serde_json::from_str(board.ok(&["apply", "1.0.0", "-y", "--json"]).out.lines().last().unwrap()).unwrap();
    assert_eq!(nothing["switch_seconds"], 0.0);
}

#[test]
fn an_apply_with_nothing_to_do_touches_no_managed_path() {
    or_skip!();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let board = Board::new("nothing");
    offer(&board, "1.0.0", &files(45, 0));
    board.ok(&["apply", "-y"]);
    let before = board.inodes("srv");
    let (ran, calls) = strace::list(&board, &["apply", "-y"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let touched: Vec<_> = calls.iter().filter(|c| c.is_below("/srv") || c.is_below("/usr")).collect();
    assert!(touched.is_empty(), "{touched:?}");
    assert_eq!(board.inodes("srv"), before);
    println!("nothing to do: {} calls that change a file, {} syncs, none at a managed path", calls.len(), calls.iter().filter(|c| c.is_sync()).count());
    let _ = std::io::stdout().flush();
}
