//! How much work a byte costs, in instructions: callgrind counts them, whatever else the machine is doing. What comes in is decompressed,
//! hashed and written once, while it passes by; a second look at it would show here.
//!
//! The test starts itself under callgrind, because the program hands archives to a process of its own, which callgrind cannot follow.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::process::Command;

use pikit_updater::Result;
use pikit_updater::release::bundle::Head;
use pikit_updater::release::digest::Hashing;
use pikit_updater::source::{Start, Unpacked, unpack};
use support::noise::noise;

/// What to do under callgrind, and with how many bytes.
const DEED: &str = "PIKIT_INSTRUCTIONS";

/// Takes contents as the device does.
struct Taker;

impl Unpacked for Taker {
    fn start(&mut self, _: &Start) -> Result<u64> {
        Ok(u64::MAX)
    }
    fn entry(&mut self, _: &Head, content: &mut dyn Read, _: &Cell<u64>) -> Result<()> {
        let mut hashing = Hashing::new(File::create("/dev/null").unwrap());
        io::copy(content, &mut hashing).unwrap();
        assert_ne!(hashing.finish().1.to_string(), "");
        Ok(())
    }
}

/// A bundle of one file, of which nothing can be compressed.
fn bundle(content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none()));
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, "web/one.bin", content).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// The deed itself: nothing, unless it was asked for.
#[test]
fn the_deed_that_is_counted() {
    let Ok(asked) = std::env::var(DEED) else { return };
    let (deed, size) = asked.split_once(' ').unwrap();
    let content = noise(size.parse().unwrap(), 7);
    let packed = bundle(&content);
    match deed {
        "nothing" => {}
        "hash" => drop(io::copy(&mut &content[..], &mut Hashing::new(io::sink())).unwrap()),
        "take" => drop(unpack::archive(&packed[..], false, u64::MAX, &mut Taker).unwrap()),
        other => panic!("{other}"),
    }
}

fn counted(deed: &str, size: usize) -> u64 {
    let out = support::board::home().join(format!("pikit-callgrind-{}", std::process::id()));
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_deed_that_is_counted", "--test-threads=1"])
        .env(DEED, format!("{deed} {size}"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{deed}: {}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    total.unwrap_or_else(|| panic!("callgrind counted nothing")).trim().parse().unwrap()
}

#[test]
fn what_comes_in_is_looked_at_once() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: valgrind is not installed");
        return println!("skipped: valgrind is not installed");
    }
    const SIZE: usize = 1 << 20;
    let [nothing, hash, take] = ["nothing", "hash", "take"].map(|deed| counted(deed, SIZE));
    let per_byte = |n: u64| (n - nothing) as f64 / SIZE as f64;
    let (hash, take) = (per_byte(hash), per_byte(take));
    println!("instructions for a byte: {take:.1} to take it in, {hash:.1} to hash it");
    assert!(hash > 1.0, "{hash}");
    assert!(take < 1.3 * hash, "{take:.1} instructions for a byte, and hashing it takes {hash:.1}: is it looked at twice?");
}
