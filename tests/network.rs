//! The real program against a server that speaks Gitea's release API, and lies.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/parts.rs"]
mod parts;
#[path = "support/liar.rs"]
mod liar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use liar::{Answer, Fault, Gitea, Liar, Release};
use pikit_updater::publish::{Before, Overrides, pack};

const MANIFEST: &str = "manifest.json";

/// A board below a folder whose source is the liar.
struct Board(PathBuf);

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Board {
    fn new(url: &str, more_source: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = std::env::temp_dir().join(format!("pikit-network-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_dir_all(&root);
        for dir in ["etc/pikit", "srv"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let config = format!(
            "product = \"pikit\"\n[source]\ngitea = \"{url}\"\nrepo = \"owner/pi-kit\"\n{more_source}\n[trust]\nrequired = false\n[[managed]]\nfrom = \"web/\"\nto = \"/srv/web/\"\n\
             [services]\ncontrol = []\n[backup]\nmin_free = \"0\"\n[download]\ntimeout = \"60s\"\n"
        );
        fs::write(root.join("etc/pikit/updater.toml"), config).unwrap();
        Board(root)
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pikit-updater"));
        command.arg("--root").arg(&self.0).args(words).stdin(Stdio::null()).env_clear();
        command
    }
    /// Silence is soon too long for it. The others wait longer than a busy machine is silent.
    fn impatient(&self) {
        let config = self.0.join("etc/pikit/updater.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("timeout = \"60s\"", "timeout = \"1s\"")).unwrap();
    }
    /// Exit code, stdout and stderr.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let ran = self.command(words).output().unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr))
    }
    fn apply(&self) -> serde_json::Value {
        let (code, out, err) = self.run(&["apply", "-y", "--json"]);
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }
    fn live(&self, path: &str) -> Vec<u8> {
        fs::read(self.0.join("srv/web").join(path)).unwrap_or_default()
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut x = seed | 1;
    let step = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..length).map(step).collect()
}

struct Made {
    manifest: Vec<u8>,
    bundle: Vec<u8>,
}

/// A release with a page and `count` files of `size` bytes of noise.
fn made(version: &str, count: u64, size: usize) -> Made {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let work = std::env::temp_dir().join(format!("pikit-packed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(work.join("tree/web")).unwrap();
    fs::write(work.join("tree/web/index.html"), format!("this is {version}")).unwrap();
    for n in 0..count {
        fs::write(work.join(format!("tree/web/blob-{n}.bin")), noise(n * 7919 + 1, size)).unwrap();
    }
    let recipe = format!("product = \"pikit\"\nversion = \"{version}\"\nreleased = \"2026-11-20\"\n[[include]]\nfrom = \"tree\"\nto = \"\"\n");
    fs::write(work.join("release.toml"), recipe).unwrap();
    let out = work.join("out");
    pack(&work.join("release.toml"), &Overrides::default(), &Before::default(), Some(&out)).unwrap();
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    let made = Made { manifest: read(MANIFEST), bundle: read(&format!("pikit-{version}.tar.gz")) };
    let _ = fs::remove_dir_all(&work);
    made
}

fn name(version: &str) -> String {
    format!("pikit-{version}.tar.gz")
}

fn offered(version: &str, made: &Made) -> Release {
    Release::new(&format!("v{version}")).asset(MANIFEST, made.manifest.clone()).asset(&name(version), made.bundle.clone())
}

fn download(version: &str, file: &str) -> String {
    format!("/owner/pi-kit/releases/download/v{version}/{file}")
}

#[test]
fn an_update_comes_through_whatever_breaks_once_on_the_way() {
    let release = made("1.1.0", 6, 300_000);
    let bundle = || Answer::file(release.bundle.clone());
    let half = release.bundle.len() / 2;
    let faults: Vec<(&str, Vec<Answer>)> = vec![
        ("cut", vec![bundle().fault(Fault::Cut(half)), bundle()]),
        ("cut early and late", vec![bundle().fault(Fault::Cut(10)), bundle().fault(Fault::Cut(half)), bundle()]),
        ("reset", vec![bundle().fault(Fault::Reset(half)), bundle()]),
        ("stall", vec![bundle().fault(Fault::Stall(half)), bundle()]),
        ("cut, then 200 for a part", vec![bundle().fault(Fault::Cut(half)), bundle().fault(Fault::NoRanges)]),
        ("503 with Retry-After, then good", vec![Answer::status(503).header("Retry-After", "1"), bundle()]),
        ("429, then good", vec![Answer::status(429).header("Retry-After", "0"), bundle()]),
        ("no length", vec![bundle().fault(Fault::NoLength)]),
        ("chunked and cut, then good", vec![bundle().fault(Fault::ChunkedCut(half)), bundle()]),
    ];
    for (words, answers) in faults {
        let liar = Liar::start();
        liar.releases([offered("1.1.0", &release)]);
        liar.answers(&download("1.1.0", &name("1.1.0")), answers);
        let board = Board::new(&liar.url, "");
        if words == "stall" {
            board.impatient();
        }
        let result = board.apply();
        assert_eq!(result["outcome"], "confirmed", "{words}");
        assert_eq!(board.live("index.html"), b"this is 1.1.0", "{words}");
        assert_eq!(board.live("blob-5.bin"), noise(5 * 7919 + 1, 300_000), "{words}");
        let asked: Vec<_> = liar.requests().into_iter().filter(|r| r.path.ends_with(".tar.gz")).collect();
        if words == "cut" {
            let span = |n: usize| asked[n].header("range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-')).unwrap();
            let ((first, last), (again, end)) = (span(0), span(1));
            assert_eq!(again.parse(), first.parse::<usize>().map(|n| n + half), "it goes on where it stopped");
            assert_eq!(last, end, "and to the same end");
            assert!(asked[1].header("if-range").is_some());
        }
    }
}

#[test]
fn what_cannot_be_had_has_its_own_words_and_changes_nothing() {
    let release = made("1.1.0", 1, 1000);
    let mut wrong = release.bundle.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    let list = "/api/v1/repos/owner/pi-kit/releases";
    let bundle = download("1.1.0", &name("1.1.0"));
    let table: Vec<(&str, Answer, i32, &str)> = vec![
        (list, Answer::page(), 3, "a web page came"),
        (list, Answer::status(404), 3, "404"),
        (list, Answer::status(401), 3, "token"),
        (list, Answer::file("x").fault(Fault::Garbage), 3, "HTTP"),
        (&bundle, Answer::status(404), 3, "404"),
        (&bundle, Answer::page(), 3, "a web page came"),
        (&bundle, Answer::file(wrong), 4, ""),
        (&bundle, Answer::file(release.bundle.clone()).header("Content-Encoding", "gzip"), 3, "compressed for the transport"),
        (&bundle, Answer::redirect(bundle.clone()), 3, "redirect"),
    ];
    for (path, answer, code, words) in table {
        let liar = Liar::start();
        liar.releases([offered("1.1.0", &release)]);
        liar.answer(path, answer);
        let board = Board::new(&liar.url, "");
        let (got, out, err) = board.run(&["apply", "-y"]);
        assert_eq!(got, code, "{path}: {out}{err}");
        assert!(err.to_lowercase().contains(&words.to_lowercase()) && err.contains("hint: "), "{path} {words:?}: {err}");
        assert!(board.live("index.html").is_empty(), "{path}");
        assert!(!board.0.join("var/lib/pikit-update/journal.json").exists());
        assert_eq!(fs::read_dir(board.0.join("srv")).unwrap().count(), 0, "{path}: nothing is left beside the managed path");
    }
    let board = Board::new("http://127.0.0.1:9", "");
    let (code, _, err) = board.run(&["check"]);
    assert_eq!(code, 3);
    assert!(err.contains("refused"), "{err}");
}

#[test]
fn the_token_stays_with_the_host_it_is_for() {
    let release = made("1.1.0", 0, 0);
    let elsewhere = Liar::start();
    elsewhere.file("/store/bundle", release.bundle.clone());
    let liar = Liar::start();
    liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![offered("1.1.0", &release)], token: Some("s3cret".into()), ..Gitea::default() });
    liar.answer(&download("1.1.0", &name("1.1.0")), Answer::redirect(format!("{}/store/bundle", elsewhere.url)));
    let board = Board::new(&liar.url, "token_file = \"/etc/pikit/token\"");
    fs::write(board.0.join("etc/pikit/token"), "s3cret\n").unwrap();
    board.apply();
    assert!(liar.requests().iter().any(|r| r.header("authorization") == Some("token s3cret")));
    let moved = elsewhere.requests();
    assert!(!moved.is_empty() && moved.iter().all(|r| r.header("authorization").is_none()), "{moved:?}");
    let everything = board.run(&["-v", "log"]).1 + &board.run(&["config", "check"]).1;
    assert!(!everything.contains("s3cret"));
}

#[test]
fn a_killed_download_goes_on_where_it_stopped() {
    let release = made("1.1.0", 40, 1 << 20);
    let liar = Liar::start();
    liar.releases([offered("1.1.0", &release)]);
    let path = download("1.1.0", &name("1.1.0"));
    let stop_at = release.bundle.len() * 9 / 10;
    liar.answers(&path, [Answer::file(release.bundle.clone()).fault(Fault::Stall(stop_at)), Answer::file(release.bundle.clone())]);
    let board = Board::new(&liar.url, "");
    let mut child = board.command(&["apply", "-y"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // until nearly all that will come is staged
    let staged = |root: &Path| -> u64 {
        let trees = fs::read_dir(root.join("srv")).unwrap().flatten().flat_map(|d| fs::read_dir(d.path()).into_iter().flatten().flatten());
        trees.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while staged(&board.0) < stop_at as u64 * 9 / 10 {
        assert!(Instant::now() < deadline, "the download never came so far");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let result = board.apply();
    assert_eq!(board.live("blob-39.bin"), noise(39 * 7919 + 1, 1 << 20));
    let fetched = result["bytes_fetched"].as_u64().unwrap();
    assert!(fetched < release.bundle.len() as u64 / 2, "{fetched} of {} bytes were fetched again", release.bundle.len());
    let last = liar.requests().into_iter().rfind(|r| r.path == path).unwrap();
    assert!(last.header("range").is_some(), "{last:?}");
}

#[test]
fn what_was_downloaded_is_installed_without_a_network() {
    let release = made("1.1.0", 2, 100_000);
    let liar = Liar::start();
    liar.releases([offered("1.1.0", &release)]);
    let board = Board::new(&liar.url, "");
    let (code, out, err) = board.run(&["apply", "--download-only", "-y"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(board.live("index.html").is_empty());
    drop(liar);
    let result = board.apply();
    assert_eq!((result["outcome"].as_str(), result["bytes_fetched"].as_u64()), (Some("confirmed"), Some(0)));
    assert_eq!(board.live("index.html"), b"this is 1.1.0");
    assert!(!board.0.join("var/tmp/pikit-update").exists(), "what was used is gone");
}

#[test]
fn a_daily_check_with_nothing_new_is_one_request() {
    let release = made("1.1.0", 0, 0);
    let liar = Liar::start();
    liar.releases([offered("1.1.0", &release)]);
    let board = Board::new(&liar.url, "");
    board.apply();
    liar.take_requests();
    let (code, out, _) = board.run(&["check", "--json", "--exit-code"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(liar.take_requests().len(), 1);
    let state: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((state["current"].as_str(), state["update_available"].as_bool()), (Some("1.1.0"), Some(false)));
}

#[test]
fn a_bundle_comes_from_a_pipe_as_well() {
    let release = made("1.1.0", 2, 50_000);
    let board = Board::new("http://127.0.0.1:9", "");
    let file = board.0.join("bundle.tar.gz");
    fs::write(&file, &release.bundle).unwrap();
    let piped = board.command(&["apply", "--from", "-", "-y"]).stdin(fs::File::open(&file).unwrap()).output().unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    assert_eq!(board.live("index.html"), b"this is 1.1.0");
    let next = made("1.2.0", 2, 50_000);
    fs::write(&file, &next.bundle).unwrap();
    let (code, out, err) = board.run(&["apply", "--from", file.to_str().unwrap(), "-y"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(board.live("index.html"), b"this is 1.2.0");
}
