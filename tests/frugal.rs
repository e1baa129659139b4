//! What an update fetches: the real program against a Gitea server that counts. Only what changed comes, in few requests, whatever was
//! installed before and whatever breaks; and each way that fails leaves the next one less to do.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

#[path = "frugal/chunks.rs"]
mod chunks;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use pikit_updater::publish::{Before, Overrides, Packed, pack};
use pikit_updater::release::patch;
use serde_json::Value;
use support::board::Board;
use support::liar::{Answer, Fault, Liar, Release, Request};
use support::maintainer::{Key, sign};
use support::tree;

/// A file as builders make them: text that compresses, of which a part changes with `edit`.
fn module(name: u32, edit: u32) -> String {
    let line = |n: u32| {
        let id = n.wrapping_mul(2_654_435_761).wrapping_add(name.wrapping_mul(40_503)).rotate_left(n % 31);
        format!("export function f{id:x}(a) {{ return a.get({}) ?? \"{:08x}\"; }}\n", id % 977, id.wrapping_mul(69_069))
    };
    (0..900).map(|n| if edit > 0 && n == 300 + edit { format!("// changed {edit}\n") } else { line(n) }).collect()
}

/// The files of each version: thirty modules, of which some change, one is renamed with every build and one comes new.
fn files(version: u32) -> Vec<(String, String)> {
    let edit = |n: u32| match n {
        3 | 17 => version,
        5 if version >= 2 => 2,
        _ => 0,
    };
    let mut all: Vec<_> = (0..30).map(|n| (format!("web/m{n:02}.js"), module(n, edit(n)))).collect();
    all.push((format!("web/app.{:08x}.js", 0x1234_abcd_u32.wrapping_mul(version + 1)), module(99, version)));
    all.push(("web/moved-".to_owned() + &version.to_string(), module(77, 0)));
    if version >= 2 {
        all.push(("web/new.js".into(), module(200, 0)));
    }
    all
}

/// Versions 1.0.0, 1.1.0, 1.2.0 and 1.3.0, each packed with those before it, and patches from the one just before.
struct Maintainer {
    dist: PathBuf,
    key: Key,
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dist);
    }
}

impl Maintainer {
    fn new(name: &str) -> Self {
        let dist = support::board::home().join(format!("pikit-dist-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dist);
        let maintainer = Maintainer { dist, key: Key::new() };
        for version in 0..4 {
            maintainer.pack(version, if version == 0 { &[] } else { std::slice::from_ref(&version) });
        }
        maintainer
    }
    fn dir(&self, version: u32) -> PathBuf {
        self.dist.join(format!("1.{version}.0"))
    }
    fn pack(&self, version: u32, patch: &[u32]) -> Packed {
        let work = self.dist.join("work");
        let _ = fs::remove_dir_all(&work);
        for (path, content) in files(version) {
            let path = work.join("tree").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::write(work.join("tree/api.py"), "print('the same')\n").unwrap();
        let recipe = format!("product = \"pikit\"\nversion = \"1.{version}.0\"\nreleased = \"2026-11-20\"\n[[include]]\nfrom = \"tree\"\nto = \"\"\n");
        fs::write(work.join("release.toml"), recipe).unwrap();
        let before = Before { previous: (0..version).map(|v| self.dir(v)).collect(), patch_from: patch.iter().map(|v| self.dir(v - 1)).collect() };
        let packed = pack(&work.join("release.toml"), &Overrides::default(), &before, Some(&self.dir(version))).unwrap();
        fs::remove_dir_all(work).unwrap();
        sign(&self.dir(version), &[&self.key]);
        packed
    }
    /// A release as Gitea has it.
    fn release(&self, version: u32) -> Release {
        let names = fs::read_dir(self.dir(version)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.fold(Release::new(&format!("v1.{version}.0")), |r, name| {
            let bytes = fs::read(self.dir(version).join(&name)).unwrap();
            r.asset(&name, bytes)
        })
    }
    fn size(&self, version: u32, name: &str) -> u64 {
        fs::metadata(self.dir(version).join(name)).unwrap().len()
    }
    fn bundle(&self, version: u32) -> u64 {
        self.size(version, &format!("pikit-1.{version}.0.tar.gz"))
    }
}

/// A board that takes its releases from the server, with a version installed from there.
fn board(maintainer: &Maintainer, liar: &Liar, version: u32) -> Board {
    let board = Board::new("frugal");
    board.configure("dir = \"/src\"", &format!("gitea = \"{}\"\nrepo = \"owner/pi-kit\"", liar.url));
    board.configure("required = false", "required = true");
    board.write("etc/pikit/keys/pikit.pub", maintainer.key.public());
    liar.releases([maintainer.release(version)]);
    assert_eq!(apply(&board)["outcome"], "confirmed");
    liar.take_requests();
    board
}

fn apply(board: &Board) -> Value {
    let ran = board.ok(&["apply", "-y", "--json"]);
    serde_json::from_str(ran.out.lines().last().unwrap()).unwrap()
}

/// The board has this version's files and no others.
fn is(board: &Board, version: u32) {
    let mut wanted: Vec<_> = files(version).into_iter().map(|(path, content)| (format!("srv/{path}"), content.into_bytes())).collect();
    wanted.sort();
    let found = tree::read(&board.root, "srv/web").into_iter().filter(|(_, node)| node.kind == 'f').map(|(path, node)| (path, node.content));
    assert!(found.eq(wanted), "the files of 1.{version}.0 are not all there");
}

fn names(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|r| r.path.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()).collect()
}

fn download(version: u32, name: &str) -> String {
    format!("/owner/pi-kit/releases/download/v1.{version}.0/{name}")
}

#[test]
fn neighbours_come_by_a_patch_in_four_requests() {
    let (maintainer, liar) = (Maintainer::new("patch"), Liar::start());
    let board = board(&maintainer, &liar, 2);
    liar.releases([maintainer.release(3), maintainer.release(2)]);
    // what it will cost is known before
    let plan: Value = serde_json::from_str(board.ok(&["apply", "--dry-run", "--json"]).out.lines().last().unwrap()).unwrap();
    assert_eq!(plan["download_bytes"], maintainer.size(3, "pikit-1.2.0-1.3.0.patch.zst"), "{plan}");
    liar.take_requests();
    let result = apply(&board);
    is(&board, 3);
    let asked = liar.requests();
    let expected = ["releases", "pikit-1.2.0.manifest.zst", "manifest.json.minisig", "pikit-1.2.0-1.3.0.patch.zst"];
    assert_eq!(names(&asked), expected);
    assert_eq!((result["requests"].as_u64(), result["bytes_fetched"].as_u64()), (Some(4), plan["download_bytes"].as_u64()), "{result}");
    assert_eq!(result["bytes_spared"], maintainer.bundle(3) - plan["download_bytes"].as_u64().unwrap());
    let whole = maintainer.bundle(3) + maintainer.size(3, "manifest.json");
    let patched = maintainer.size(3, "pikit-1.2.0-1.3.0.patch.zst") + maintainer.size(3, "pikit-1.2.0.manifest.zst");
    assert!(patched * 50 < whole, "{patched} of {whole} bytes");
    // the same again asks once
    liar.take_requests();
    assert_eq!(apply(&board)["outcome"], "up-to-date");
    assert_eq!(names(&liar.requests()), ["releases"]);
}

#[test]
fn from_any_older_version_one_request_brings_what_is_missing() {
    let (maintainer, liar) = (Maintainer::new("older"), Liar::start());
    for old in [0, 1] {
        let board = board(&maintainer, &liar, old);
        liar.releases([maintainer.release(3)]);
        let result = apply(&board);
        is(&board, 3);
        let ranges: Vec<_> = liar.requests().iter().filter(|r| r.path.ends_with(".tar.gz")).map(|r| r.header("range").unwrap().to_owned()).collect();
        assert_eq!(ranges.len(), 1, "from 1.{old}.0: {ranges:?}");
        // four of thirty-three files changed, and one is new
        let fetched = result["bytes_fetched"].as_u64().unwrap();
        assert!(fetched * 4 < maintainer.bundle(3), "{fetched} of {}", maintainer.bundle(3));
        liar.take_requests();
    }
}

#[test]
fn what_changed_on_the_board_costs_its_blocks_and_nothing_else() {
    let (maintainer, liar) = (Maintainer::new("drift"), Liar::start());
    // the patch starts from a file that is not as it was
    let other = board(&maintainer, &liar, 2);
    other.write("srv/web/m17.js", "somebody was here");
    fs::remove_file(other.path("srv/web/m03.js")).unwrap();
    liar.releases([maintainer.release(3)]);
    let result = apply(&other);
    is(&other, 3);
    assert!(result["bytes_fetched"].as_u64().unwrap() * 4 < maintainer.bundle(3), "{result}");
    let asked = names(&liar.take_requests());
    assert!(asked.iter().any(|n| n.ends_with(".patch.zst")) && asked.iter().any(|n| n.ends_with(".tar.gz")), "{asked:?}");

    // repair fetches the blocks of what is broken
    other.write("srv/web/m20.js", "broken");
    let repaired = other.ok(&["verify", "--repair", "-y", "--json"]);
    let repaired: Value = serde_json::from_str(repaired.out.lines().last().unwrap()).unwrap();
    is(&other, 3);
    assert!(repaired["bytes_fetched"].as_u64().unwrap() * 5 < maintainer.bundle(3), "{repaired}");
}

#[test]
fn a_patch_of_no_use_is_passed_over_and_costs_no_update() {
    let (maintainer, liar) = (Maintainer::new("useless"), Liar::start());
    let name = "pikit-1.2.0-1.3.0.patch.zst";
    let good = fs::read(maintainer.dir(3).join(name)).unwrap();
    let other = fs::read(maintainer.dir(2).join("pikit-1.1.0-1.2.0.patch.zst")).unwrap();
    let flipped: Vec<u8> = good.iter().enumerate().map(|(i, b)| if i == good.len() - 30 { b ^ 0x55 } else { *b }).collect();
    let cut = good[..good.len() / 2].to_vec();
    let answers = [
        ("missing", Answer::status(404)),
        ("a page", Answer::page()),
        ("of another release", Answer::file(other)),
        ("damaged", Answer::file(flipped)),
        ("cut short", Answer::file(cut)),
        ("noise", Answer::file(support::noise::noise(3000, 7))),
        ("empty", Answer::file(Vec::new())),
    ];
    for (what, answer) in answers {
        let board = board(&maintainer, &liar, 2);
        liar.releases([maintainer.release(3)]);
        liar.answer(&download(3, name), answer);
        let result = apply(&board);
        assert_eq!(result["outcome"], "confirmed", "{what}: {result}");
        is(&board, 3);
        let ranges = liar.take_requests().into_iter().filter(|r| r.path.ends_with(".tar.gz")).count();
        assert_eq!(ranges, 1, "{what}");
        liar.remove(&download(3, name));
    }
}

#[test]
fn a_manifest_that_was_patched_wrongly_is_fetched_whole() {
    let (maintainer, liar) = (Maintainer::new("manifest"), Liar::start());
    let name = "pikit-1.2.0.manifest.zst";
    // of the same releases, before they were packed once more: what it makes has another signature
    let stale = fs::read(maintainer.dir(3).join(name)).unwrap();
    let path = maintainer.dir(3).join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    fs::write(&path, text).unwrap();
    sign(&maintainer.dir(3), &[&maintainer.key]);
    for answer in [Answer::file(stale), Answer::file(support::noise::noise(500, 1)), Answer::status(404)] {
        let board = board(&maintainer, &liar, 2);
        liar.releases([maintainer.release(3)]);
        liar.answer(&download(3, name), answer);
        apply(&board);
        is(&board, 3);
        let asked = names(&liar.take_requests());
        assert!(asked.contains(&"manifest.json".to_owned()) && asked.contains(&name.to_owned()), "{asked:?}");
        liar.remove(&download(3, name));
    }
}

#[test]
fn signatures_that_come_with_the_manifest_save_a_request() {
    let (maintainer, liar) = (Maintainer::new("signed"), Liar::start());
    let name = "pikit-1.2.0.manifest.zst";
    let bare = fs::read(maintainer.dir(3).join(name)).unwrap();
    let right = fs::read(maintainer.dir(3).join("manifest.json.minisig")).unwrap();
    let wrong = fs::read(maintainer.dir(2).join("manifest.json.minisig")).unwrap();
    let behind = |text: &[u8]| patch::with_signatures(&bare, text).unwrap();
    // put there again, they stand there once
    assert_eq!(patch::with_signatures(&behind(&wrong), &right).unwrap(), behind(&right));
    let cut = behind(&right)[..bare.len() + 100].to_vec();
    let asked_for = |signed: Vec<u8>| {
        fs::write(maintainer.dir(3).join(name), signed).unwrap();
        let board = board(&maintainer, &liar, 2);
        liar.releases([maintainer.release(3)]);
        apply(&board);
        is(&board, 3);
        names(&liar.take_requests())
    };
    let patch = "pikit-1.2.0-1.3.0.patch.zst";
    assert_eq!(asked_for(behind(&right)), ["releases", name, patch]);
    // what is not of this manifest, or no signature, is looked for where it has always been
    assert_eq!(asked_for(cut), ["releases", name, "manifest.json.minisig", patch]);
    for other in [wrong, b"and so on".to_vec(), vec![0xff; 300]] {
        let asked = asked_for(behind(&other));
        assert!(asked.contains(&"manifest.json.minisig".to_owned()), "{asked:?}");
    }
}

#[test]
fn a_server_that_knows_no_parts_sends_everything_once() {
    let (maintainer, liar) = (Maintainer::new("parts"), Liar::start());
    let board = board(&maintainer, &liar, 0);
    liar.releases([maintainer.release(3)]);
    let bundle = fs::read(maintainer.dir(3).join("pikit-1.3.0.tar.gz")).unwrap();
    liar.answer(&download(3, "pikit-1.3.0.tar.gz"), Answer::file(bundle).fault(Fault::NoRanges));
    let result = apply(&board);
    is(&board, 3);
    assert_eq!(result["bytes_fetched"], maintainer.bundle(3));
    assert_eq!(names(&liar.requests()).iter().filter(|n| n.ends_with(".tar.gz")).count(), 1);
}

#[test]
fn a_static_server_costs_as_little_and_needs_no_sizes() {
    let (maintainer, liar) = (Maintainer::new("static"), Liar::start());
    let offer = |version: u32| {
        for entry in fs::read_dir(maintainer.dir(version)).unwrap() {
            let path = entry.unwrap().path();
            liar.file(&format!("/kit/{}", path.file_name().unwrap().to_str().unwrap()), fs::read(&path).unwrap());
        }
    };
    for (old, expected) in [(2, "pikit-1.2.0-1.3.0.patch.zst"), (1, "pikit-1.3.0.tar.gz")] {
        let board = Board::new("frugal");
        board.configure("dir = \"/src\"", &format!("url = \"{}/kit/\"", liar.url));
        board.configure("required = false", "required = true");
        board.write("etc/pikit/keys/pikit.pub", maintainer.key.public());
        offer(old);
        apply(&board);
        liar.take_requests();
        offer(3);
        let result = apply(&board);
        is(&board, 3);
        let asked = liar.take_requests();
        assert_eq!(names(&asked), ["manifest.json.minisig".to_owned(), format!("pikit-1.{old}.0.manifest.zst"), expected.to_owned()]);
        assert!(result["bytes_fetched"].as_u64().unwrap() * 4 < maintainer.bundle(3), "{result}");
    }
}

#[test]
fn a_stick_is_read_where_it_has_to_be() {
    let (maintainer, liar) = (Maintainer::new("stick"), Liar::start());
    let board = board(&maintainer, &liar, 1);
    let ran = board.ok(&["apply", "-y", "--json", "--from", maintainer.dir(3).to_str().unwrap()]);
    let result: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    is(&board, 3);
    assert!(result["bytes_fetched"].as_u64().unwrap() * 4 < maintainer.bundle(3), "{result}");
    assert!(liar.requests().is_empty());
}

#[test]
fn the_maintainer_sees_what_devices_will_fetch() {
    let maintainer = Maintainer::new("table");
    let packed = maintainer.pack(3, &[3, 2]);
    let rows: Vec<_> = packed.reaches.iter().map(|r| (r.from.to_string(), r.way, r.requests)).collect();
    assert_eq!(rows, [("1.0.0".to_owned(), "blocks", 1), ("1.1.0".to_owned(), "patch", 1), ("1.2.0".to_owned(), "patch", 1)]);
    let reach = packed.reaches.last().unwrap();
    assert!(reach.bytes * 10 < reach.blocks_bytes && reach.manifest_bytes < 3000, "{reach:?}");
    // the same files and the same releases before them give the same bytes
    let all = |dir: &Path| -> Vec<_> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| !p.ends_with("manifest.json.minisig"))
            .map(|p| (p.clone(), fs::read(p).unwrap()))
            .collect();
        all.sort();
        all
    };
    let first = all(&maintainer.dir(3));
    maintainer.pack(3, &[2, 3]);
    assert!(first == all(&maintainer.dir(3)));
}
