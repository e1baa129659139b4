//! Small: memory does not grow with the bundle, bytes written follow bytes changed, and what is right already is not touched.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use support::board::{Board, release_program};
use support::liar::Liar;
use support::{release, rusage, strace};

/// Most memory of any apply, megabytes.
const LIMIT: f64 = 24.0;

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
    assert!(used.megabytes < LIMIT, "{} MB", used.megabytes);
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
