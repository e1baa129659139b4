//! From an older version, without a patch: of large files come the chunks that are new, with one request, whatever the server makes of it.

use std::fs;
use std::path::PathBuf;

use pikit_updater::publish::{Before, Overrides, pack};
use serde_json::Value;

use super::support::board::Board;
use super::support::liar::{Answer, Fault, Liar, Release};
use super::support::maintainer::{Key, sign};
use super::support::noise::noise;
use super::support::parts::Parts;
use super::{apply, download, module, names};

/// The files of a version: two large ones that are nearly the same, noise, and small ones. Of the large ones a little changes at five
/// places with each version, and moves all that comes behind.
fn files(version: u32) -> Vec<(String, Vec<u8>)> {
    let large = |name: u32| -> Vec<u8> {
        let part = |n: u32| module(n, 0) + &format!("const v{n} = \"{version} and more than before{}\";\n", "!".repeat(version as usize));
        (0..12).map(|n| if n % 2 == 1 { module(n, 0) } else { part(n) }).chain([format!("// {name}\n")]).collect::<String>().into_bytes()
    };
    let mut noise = noise(500_000, 5);
    for _ in 0..version {
        noise.insert(250_000, 7);
    }
    let mut all = vec![("web/app.js".into(), large(0)), ("web/app.legacy.js".into(), large(1)), ("web/data.bin".into(), noise)];
    // a content that is there twice, and one of nothing
    all.extend([("web/copy/app.js".into(), large(0)), ("web/empty".into(), Vec::new())]);
    all.extend((0..10).map(|n| (format!("web/s{n}.svg"), format!("<svg><!-- {n} {} --></svg>", if n < 2 { version } else { 0 }).into_bytes())));
    all
}

/// Three versions, none with a patch from another.
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
        let dist = super::support::board::home().join(format!("pikit-chunks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dist);
        let maintainer = Maintainer { dist, key: Key::new() };
        (0..3).for_each(|version| maintainer.pack(version));
        maintainer
    }
    fn dir(&self, version: u32) -> PathBuf {
        self.dist.join(format!("1.{version}.0"))
    }
    fn pack(&self, version: u32) {
        let work = self.dist.join("work");
        for (path, content) in files(version) {
            let path = work.join("tree").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let recipe = format!("product = \"pikit\"\nversion = \"1.{version}.0\"\nreleased = \"2026-11-20\"\n[[include]]\nfrom = \"tree\"\nto = \"\"\n");
        fs::write(work.join("release.toml"), recipe).unwrap();
        let before = Before { previous: (0..version).map(|v| self.dir(v)).collect(), patch_from: Vec::new() };
        pack(&work.join("release.toml"), &Overrides::default(), &before, Some(&self.dir(version))).unwrap();
        fs::remove_dir_all(work).unwrap();
        sign(&self.dir(version), &[&self.key]);
    }
    fn release(&self, version: u32) -> Release {
        fs::read_dir(self.dir(version)).unwrap().map(|e| e.unwrap().path()).fold(Release::new(&format!("v1.{version}.0")), |release, path| {
            release.asset(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap())
        })
    }
    fn chunks(&self) -> Vec<u8> {
        fs::read(self.dir(2).join(CHUNKS)).unwrap()
    }
}

const CHUNKS: &str = "pikit-1.2.0.chunks.zst";

fn board(maintainer: &Maintainer, liar: &Liar, version: u32) -> Board {
    let board = Board::new("chunks");
    board.configure("dir = \"/src\"", &format!("gitea = \"{}\"\nrepo = \"owner/pi-kit\"", liar.url));
    board.configure("required = false", "required = true");
    board.write("etc/pikit/keys/pikit.pub", maintainer.key.public());
    liar.releases([maintainer.release(version)]);
    assert_eq!(apply(&board)["outcome"], "confirmed");
    liar.releases([maintainer.release(2)]);
    liar.take_requests();
    board
}

fn is_newest(board: &Board, what: &str) {
    for (path, content) in files(2) {
        assert!(fs::read(board.path(&format!("srv/{path}"))).unwrap() == content, "{what}: {path}");
    }
}

fn manifest(maintainer: &Maintainer) -> Value {
    serde_json::from_slice(&fs::read(maintainer.dir(2).join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn from_any_older_version_the_new_chunks_come_with_one_request() {
    let (maintainer, liar) = (Maintainer::new("older"), Liar::start());
    let all: u64 = manifest(&maintainer)["bundle"]["blocks"].as_array().unwrap().iter().map(|b| b["length"].as_u64().unwrap()).sum();
    for old in [0, 1] {
        let board = board(&maintainer, &liar, old);
        let plan: Value = serde_json::from_str(board.ok(&["apply", "--dry-run", "--json"]).out.lines().last().unwrap()).unwrap();
        liar.take_requests();
        let result = apply(&board);
        is_newest(&board, "plain");
        let asked = liar.take_requests();
        assert_eq!(names(&asked), ["releases".into(), format!("pikit-1.{old}.0.manifest.zst"), "manifest.json.minisig".into(), CHUNKS.into(), CHUNKS.into()]);
        assert!(asked[4].header("range").unwrap().matches(',').count() >= 4, "{:?}", asked[4]);
        let fetched = result["bytes_fetched"].as_u64().unwrap();
        // the plan could not know, and said what it costs at most
        assert!(fetched * 6 < all && fetched * 6 < plan["download_bytes"].as_u64().unwrap(), "{fetched} of {all}; {plan}");
    }
}

#[test]
fn whatever_the_server_makes_of_it_the_update_comes() {
    let (maintainer, liar) = (Maintainer::new("faults"), Liar::start());
    let good = maintainer.chunks();
    let changed = |from: usize, to: usize| Answer::file([&good[..from], &good[from..to].iter().map(|b| b ^ 0x55).collect::<Vec<u8>>(), &good[to..]].concat());
    let index = manifest(&maintainer)["bundle"]["chunks"]["index"].as_u64().unwrap() as usize;
    let file = || Answer::file(good.clone());
    // what comes of the asset, how often it is asked for, and whether blocks come in the end
    let table: [(&str, Vec<Answer>, usize, bool); 18] = [
        ("each part", vec![file()], 2, false),
        ("what lies between, too", vec![file().fault(Fault::Parts(Parts::Joined))], 2, false),
        ("broken off", vec![file(), file().fault(Fault::Cut(20_000)), file()], 3, false),
        ("reset in the head of a part", vec![file(), file().fault(Fault::Reset(60)), file()], 3, false),
        ("chunked", vec![file().fault(Fault::Chunked)], 2, false),
        ("the first part only", vec![file().fault(Fault::Parts(Parts::First))], 2, true),
        ("one part fewer, then all", vec![file(), file().fault(Fault::Parts(Parts::Fewer)), file()], 3, false),
        ("no parts at all", vec![file().fault(Fault::NoRanges)], 1, true),
        ("backwards", vec![file().fault(Fault::Parts(Parts::Backwards))], 2, true),
        ("the same part for ever", vec![file().fault(Fault::Parts(Parts::Again))], 2, true),
        ("other parts", vec![file().fault(Fault::Parts(Parts::Moved))], 2, true),
        ("a head without end", vec![file().fault(Fault::Parts(Parts::Endless))], 2, true),
        ("missing", vec![Answer::status(404)], 1, true),
        ("a page", vec![Answer::page()], 1, true),
        ("noise", vec![Answer::file(noise(good.len(), 3))], 1, true),
        ("a damaged index", vec![changed(40, 41)], 1, true),
        ("damaged chunks", vec![changed(index, good.len())], 2, true),
        ("cut short", vec![Answer::file(good[..good.len() / 2].to_vec())], 1, true),
    ];
    for (what, answers, times, blocks) in table {
        let board = board(&maintainer, &liar, 0);
        liar.answers(&download(2, CHUNKS), answers);
        let result = apply(&board);
        assert_eq!(result["outcome"], "confirmed", "{what}: {result}");
        is_newest(&board, what);
        let asked = names(&liar.take_requests());
        assert_eq!(asked.iter().any(|n| n.ends_with(".tar.gz")), blocks, "{what}: {asked:?}");
        assert_eq!(asked.iter().filter(|n| *n == CHUNKS).count(), times, "{what}: {asked:?}");
        liar.remove(&download(2, CHUNKS));
    }
}

#[test]
fn after_a_break_only_the_rest_is_asked_for() {
    let (maintainer, liar) = (Maintainer::new("break"), Liar::start());
    let board = board(&maintainer, &liar, 0);
    let file = || Answer::file(maintainer.chunks());
    liar.answers(&download(2, CHUNKS), [file(), file().fault(Fault::Cut(40_000)), file()]);
    apply(&board);
    is_newest(&board, "after a break");
    let asked: Vec<_> = liar.requests().into_iter().filter(|r| r.path.ends_with(".zst") && r.path.contains("chunks")).collect();
    let count = |i: usize| asked[i].header("range").unwrap().matches('-').count();
    assert_eq!(asked.len(), 3);
    assert!(count(2) < count(1) && asked[2].header("if-range").is_some(), "{asked:?}");
}

#[test]
fn what_somebody_changed_is_not_built_on() {
    let (maintainer, liar) = (Maintainer::new("drift"), Liar::start());
    let board = board(&maintainer, &liar, 0);
    board.write("srv/web/app.js", "somebody was here");
    fs::remove_file(board.path("srv/web/data.bin")).unwrap();
    board.write("srv/web/s5.svg", "here, too");
    assert_eq!(apply(&board)["outcome"], "confirmed");
    is_newest(&board, "drift");
    let asked = names(&liar.take_requests());
    assert!(asked.iter().filter(|n| *n == CHUNKS).count() == 2 && !asked.iter().any(|n| n.ends_with(".tar.gz")), "{asked:?}");
}

#[test]
fn what_is_fetched_for_later_comes_in_chunks_too() {
    let (maintainer, liar) = (Maintainer::new("later"), Liar::start());
    let board = board(&maintainer, &liar, 1);
    board.ok(&["apply", "--download-only", "-y"]);
    let asked = names(&liar.take_requests());
    assert!(asked.iter().filter(|n| *n == CHUNKS).count() == 2 && !asked.iter().any(|n| n.ends_with(".tar.gz")), "{asked:?}");
    assert_eq!(apply(&board)["bytes_fetched"], 0);
    is_newest(&board, "later");
}

#[test]
fn where_chunks_are_not_worth_their_index_blocks_come() {
    let (maintainer, liar) = (Maintainer::new("little"), Liar::start());
    let board = board(&maintainer, &liar, 2);
    board.write("srv/web/s5.svg", "broken");
    board.ok(&["verify", "--repair", "-y"]);
    is_newest(&board, "repaired");
    let asked = names(&liar.take_requests());
    assert!(asked.iter().any(|n| n.ends_with(".tar.gz")) && !asked.iter().any(|n| n == CHUNKS), "{asked:?}");
}
