//! Who speaks with the network: a process that is nobody. It is looked at from outside, through /proc, while it works.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use support::board::{Board, ran};
use support::liar::{Answer, Fault, Liar};
use support::noise::noise;
use support::tree::difference;
use support::wait;

const TOKEN: &str = "s3cret-t0ken-of-the-test";
const BUNDLE: &str = "/kit/pikit-1.1.0.tar.gz";

/// A board with 1.0.0, and a server whose bundle of 1.1.0 stops in the middle and leaves the line open.
fn stalled(name: &str) -> (Board, Liar, Vec<u8>) {
    let board = Board::new(name);
    board.release("1.0.0", &[("web/index.html", "one"), ("api.py", "one")]);
    board.ok(&["apply", "-y"]);
    let liar = Liar::start();
    board.write("etc/pikit/token", TOKEN);
    let source = format!("url = \"{}/kit/\"\ntoken_file = \"/etc/pikit/token\"\n[download]\ntimeout = \"50s\"", liar.url);
    board.configure("dir = \"/src\"", &source);
    let files = [("web/a.bin", noise(400_000, 1)), ("web/b.bin", noise(400_000, 2)), ("api.py", b"two".to_vec())];
    board.release("1.1.0", &files);
    let bundle = fs::read(board.path("src/1.1.0/pikit-1.1.0.tar.gz")).unwrap();
    liar.file("/kit/manifest.json", fs::read(board.path("src/1.1.0/manifest.json")).unwrap());
    liar.answer(BUNDLE, Answer::file(bundle.clone()).fault(Fault::Stall(bundle.len() - 200_000)));
    (board, liar, bundle)
}

/// Starts an apply and waits until a part of the bundle has arrived.
fn in_the_middle(board: &Board) -> Child {
    let child = board.start(&["apply", "-y"]);
    wait::until("the first file", || {
        let trees = fs::read_dir(board.path("srv")).unwrap().flatten().map(|e| e.path());
        trees.into_iter().find(|p| fs::metadata(p.join("a.bin")).is_ok_and(|m| m.len() == 400_000))
    });
    child
}

/// The process without privileges of this one.
fn fetcher(of: u32) -> u32 {
    wait::until("the fetcher", || {
        let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        all.into_iter().find(|pid| field(*pid, "PPid:") == of.to_string() && proc(*pid, "cmdline").contains("fetcher"))
    })
}

fn proc(pid: u32, what: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn field(pid: u32, name: &str) -> String {
    let status = proc(pid, "status");
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sockets(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().filter_map(|e| fs::read_link(e.path()).ok());
    links.filter_map(|l| l.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)).collect()
}

/// Whether one of its sockets is a connection to this port.
fn holds(pid: u32, port: &str) -> bool {
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let inodes: Vec<String> =
        table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).filter(|f| f.len() > 9 && f[2].ends_with(&port)).map(|f| f[9].to_owned()).collect();
    sockets(pid).iter().any(|s| inodes.contains(s))
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn alive(pid: u32) -> bool {
    !["", "Z (zombie)", "X (dead)"].contains(&field(pid, "State:").as_str())
}

#[test]
fn who_holds_the_connection_is_nobody_and_the_token_stands_in_no_table() {
    or_skip!();
    let (board, liar, bundle) = stalled("nobody");
    let mut child = in_the_middle(&board);
    let (root, nobody) = (child.id(), fetcher(child.id()));
    let port = liar.url.rsplit(':').next().unwrap();
    assert!(holds(nobody, port), "{:?}", sockets(nobody));
    assert!(!holds(root, port), "the root side has no connection");
    let uid = field(nobody, "Uid:");
    assert!(uid.split(' ').all(|u| u != "0") && field(nobody, "Gid:").split(' ').all(|g| g != "0"), "{uid}");
    assert!(["", "65534"].contains(&field(nobody, "Groups:").as_str()), "{}", field(nobody, "Groups:"));
    assert_eq!(field(nobody, "NoNewPrivs:"), "1");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(nobody, set), "0000000000000000", "{set}");
    }
    let limits = proc(nobody, "limits");
    let limit = |name: &str| limits.lines().find(|l| l.starts_with(name)).unwrap().trim_start_matches(name).split_whitespace().next().unwrap().to_owned();
    assert_eq!((limit("Max file size"), limit("Max core file size"), limit("Max open files")), ("0".into(), "0".into(), "64".into()));
    assert_eq!(fs::read_link(format!("/proc/{nobody}/cwd")).unwrap(), PathBuf::from("/"));
    // the same user, with the same nothing, at the door of what only root may read
    let token = board.path("etc/pikit/token");
    support::mounts::run("chmod", &["600", token.to_str().unwrap()]);
    let (uid, gid) = (uid.split(' ').next().unwrap().to_owned(), field(nobody, "Gid:").split(' ').next().unwrap().to_owned());
    let tried =
        std::process::Command::new("setpriv").args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "--no-new-privs", "cat"]).arg(&token).output().unwrap();
    assert!(!tried.status.success() && tried.stdout.is_empty(), "{tried:?}");

    for pid in [root, nobody] {
        for what in ["cmdline", "environ", "comm"] {
            assert!(!proc(pid, what).contains(TOKEN), "{pid} {what}");
        }
    }
    assert!(liar.requests().iter().all(|r| r.header("authorization") == Some(&format!("token {TOKEN}"))));
    let environ = proc(nobody, "environ");
    let names: Vec<&str> = environ.split_whitespace().filter_map(|v| v.split_once('=').map(|(n, _)| n)).collect();
    assert!(names.iter().all(|n| ["PATH", "LANG"].contains(n) || n.to_lowercase().ends_with("_proxy") || n.starts_with("SSL_CERT_")), "{names:?}");

    liar.file(BUNDLE, bundle);
    kill(root, Signal::TERM);
    child.wait().unwrap();
    wait::until("the fetcher's end", || (!alive(nobody)).then_some(()));
    let said = board.ok(&["-v", "apply", "-y"]);
    let everything = said.out + &said.err + &board.run(&["-v", "log"]).out + &board.run(&["doctor"]).out;
    assert!(!everything.contains(TOKEN), "{everything}");
}

#[test]
fn a_fetcher_that_is_killed_is_an_error_with_words_and_the_next_run_goes_on() {
    or_skip!();
    let (board, liar, bundle) = stalled("killed-fetcher");
    let before = board.tree();
    let child = in_the_middle(&board);
    kill(fetcher(child.id()), Signal::KILL);
    let ended = ran(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.err.contains("was killed (signal 9)") && ended.err.contains("hint: "), "{}", ended.err);
    assert_eq!(difference(&board.tree(), &before), "");
    assert_eq!(board.leftovers(), [""; 0]);
    liar.file(BUNDLE, bundle);
    board.ok(&["apply", "-y"]);
    assert_eq!(fs::read(board.path("srv/web/b.bin")).unwrap(), noise(400_000, 2));
}

#[test]
fn a_fetcher_never_outlives_the_one_it_works_for() {
    or_skip!();
    let (board, _liar, _) = stalled("killed-parent");
    let mut child = in_the_middle(&board);
    let nobody = fetcher(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    wait::until("the fetcher's end", || (!alive(nobody)).then_some(()));
}

#[test]
fn what_only_root_may_read_is_handed_over_and_a_person_can_do_nothing_with_the_fetcher() {
    or_skip!();
    let board = Board::new("handed");
    board.release("1.0.0", &[("web/index.html", "one"), ("api.py", "one")]);
    let bundle = board.path("src/1.0.0/pikit-1.0.0.tar.gz");
    // nobody but root gets as far as to the file
    support::mounts::run("chmod", &["700", board.root.to_str().unwrap()]);
    board.ok(&["apply", "--from", bundle.to_str().unwrap(), "-y"]);
    assert_eq!(board.text("srv/web/index.html"), "one");
    let typed = board.run(&["fetcher"]);
    assert_eq!(typed.code, 2, "{}", typed.err);
    assert!(typed.err.contains("started by the program itself"), "{}", typed.err);
}
