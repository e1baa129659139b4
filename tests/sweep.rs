//! The promise of old or new, kept by the real program on real files: killed at every call that changes a file, and with every such
//! call failing. What may be found afterwards is the whole old tree or the whole new one, and the next run goes well.
//!
//! `PIKIT_SWEEP=full` also fails every call, rather than an even sample of them.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::board::{Board, Ran};
use support::release;
use support::strace::{self, Call, Fault};
use support::tree::{Tree, difference};

/// Sweeps share the two cores among themselves, one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// How many calls of a sweep are failed with each error, unless all are.
const SAMPLE: usize = 40;

/// How the managed folder is switched.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// With what lies beside it.
    Exchange,
    /// File by file: something is mounted there.
    PerFile,
}

/// A board with 1.1.0 installed over 1.0.0, files of a person beside it, and 1.2.0 offered.
fn board(name: &str, way: Way) -> Board {
    let mut board = Board::new(name);
    if way == Way::PerFile {
        std::fs::create_dir_all(board.path("srv/web")).unwrap();
        let web = board.path("srv/web").display().to_string();
        let script = format!("mount --bind {web} {web} && exec \"$@\"");
        board.before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script.as_str(), "sh"].map(str::to_owned).to_vec();
    }
    let offer = |version: &str, files: &[(&str, &str)]| release::pack_into(&board.path("src"), version, files, "config = [\"web/config.json\"]");
    offer("1.0.0", &[("web/index.html", "zero"), ("web/config.json", "{}"), ("web/app.js", "same"), ("web/lib/a.js", "a"), ("api.py", "zero")]);
    board.ok(&["apply", "-y"]);
    offer("1.1.0", &[("web/index.html", "one"), ("web/config.json", "{}"), ("web/app.js", "same"), ("web/lib/a.js", "a"), ("api.py", "one")]);
    board.ok(&["apply", "-y"]);
    board.write("srv/web/config.json", "{\"edited\": true}");
    board.write("srv/web/mine.txt", "mine");
    board.write("srv/web/mine/deep.txt", "deep");
    offer("1.2.0", &[("web/index.html", "two"), ("web/config.json", "{\"new\": 1}"), ("web/app.js", "same"), ("web/lib/b.js", "b"), ("api.py", "two")]);
    assert_eq!(board.leftovers(), [""; 0]);
    board
}

/// The command that is cut, what was before it, and what it does when nobody cuts it.
struct Sweep {
    title: String,
    board: Board,
    words: Vec<&'static str>,
    /// Runs before the cut command, on a fresh copy: inodes are not copied.
    prepare: Option<(Vec<&'static str>, Call)>,
    old: Tree,
    new: Tree,
    /// What `apply` brings every outcome to, and how it may end.
    newest: Tree,
    ends: &'static [i32],
    calls: Vec<Call>,
}

impl Sweep {
    fn new(title: &str, board: Board, words: &[&'static str], prepare: Option<(Vec<&'static str>, Call)>, ends: &'static [i32]) -> Self {
        let old = board.tree();
        let copy = board.copy("list");
        let mut sweep =
            Sweep { title: title.into(), board, words: words.to_vec(), prepare, old, new: Tree::new(), newest: Tree::new(), ends, calls: Vec::new() };
        sweep.prepared(&copy);
        let (ran, calls) = strace::list(&copy, words);
        assert!(ends.contains(&ran.code), "{title}, undisturbed: exit {}: {}", ran.code, ran.err);
        sweep.new = copy.tree();
        assert_eq!(sweep.old != sweep.new, ran.code == 0, "{title}, undisturbed");
        assert!(calls.len() > 30, "{title}: only {} calls were seen", calls.len());
        let again = copy.run(&["apply", "-y"]);
        assert!(ends.contains(&again.code), "{title}, undisturbed, then again: exit {}: {}", again.code, again.err);
        sweep.newest = copy.tree();
        sweep.calls = calls;
        sweep
    }

    fn prepared(&self, board: &Board) {
        if let Some((words, call)) = &self.prepare {
            let (ran, fired) = strace::fault(board, words, call, Fault::Kill);
            assert!(fired, "{words:?} was not cut: {}", ran.err);
        }
    }

    /// Cuts or fails each of these calls on two threads and prints one line.
    fn run(&self, done: &str, calls: &[Call], fault: impl Fn(&Call) -> Fault + Sync, judge: impl Fn(&Self, &Board, &Ran, Fault) -> Result<(), String> + Sync) {
        let (next, missed, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::<String>::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let board = self.board.copy("point");
                        self.prepared(&board);
                        let fault = fault(call);
                        let (ran, fired) = strace::fault(&board, &self.words, call, fault);
                        if !fired {
                            missed.fetch_add(1, Ordering::Relaxed);
                        }
                        let survived = judge(self, &board, &ran, fault).and_then(|()| self.goes_on(&board));
                        if let Err(why) = survived {
                            failures.lock().unwrap().push(format!("{} ({fault:?}), exit {}: {why}\n    {}", call.text, ran.code, last_line(&ran.err)));
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap();
        let survived = calls.len() - failures.len();
        let verdict = if failures.is_empty() { "all survived".into() } else { format!("{survived} survived") };
        println!("{} {done} at {} of {} calls: {verdict}", self.title, calls.len(), self.calls.len());
        assert!(failures.is_empty(), "{} {done}: {} of {} failed\n  {}", self.title, failures.len(), calls.len(), failures.join("\n  "));
        assert_eq!(missed.into_inner(), 0, "{}: the run under test is not the run that was listed", self.title);
    }

    /// Recovery settles it, and everything works as before.
    fn goes_on(&self, board: &Board) -> Result<(), String> {
        let recovered = board.run(&["recover"]);
        if ![0, 6].contains(&recovered.code) {
            return Err(format!("recover: exit {}: {}", recovered.code, last_line(&recovered.err)));
        }
        let tree = board.tree();
        if tree != self.old && tree != self.new {
            return Err(format!(
                "after recover the tree is neither old nor new; from the new: {}; from the old: {}",
                difference(&tree, &self.new),
                difference(&tree, &self.old)
            ));
        }
        let left = board.leftovers();
        if !left.is_empty() {
            return Err(format!("after recover there are left {left:?}"));
        }
        let again = board.run(&["apply", "-y"]);
        if !self.ends.contains(&again.code) {
            return Err(format!("the next apply: exit {}: {}", again.code, last_line(&again.err)));
        }
        let tree = board.tree();
        if tree != self.newest {
            return Err(format!("the next apply left {}", difference(&tree, &self.newest)));
        }
        match board.leftovers() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("after the next apply there are left {left:?}")),
        }
    }

    /// Killed: nothing is to be judged before recovery.
    fn killed(&self) {
        self.run("killed", &self.calls, |_| Fault::Kill, |_, _, _, _| Ok(()));
    }

    /// The same where the updater, its sentinel and the journal are at stake; what else there is the other sweeps see to, with a release
    /// that is not twenty megabytes.
    fn killed_around_the_updater(&self) {
        let at_stake = |c: &&Call| ["pikit-updater", "self-update", "journal.json"].iter().any(|name| c.text.contains(name));
        let calls: Vec<Call> = self.calls.iter().filter(at_stake).cloned().collect();
        assert!(calls.len() > 10, "only {} calls", calls.len());
        self.run("killed", &calls, |_| Fault::Kill, |_, _, _, _| Ok(()));
    }

    /// Each error at an even sample of the calls, once; and from then on for some of them, and wherever a folder is synced: what was
    /// renamed in it is there, whatever the sync says.
    fn failed(&self) {
        let full = std::env::var("PIKIT_SWEEP").is_ok_and(|v| v == "full");
        let sample = |n: usize, of: usize| -> Vec<Call> {
            if full || self.calls.len() <= n {
                self.calls.clone()
            } else {
                (0..n).map(|i| self.calls[(i * 3 + of) * self.calls.len() / (3 * n)].clone()).collect()
            }
        };
        let syncs_folder = |c: &Call| c.name == "fsync" && !c.text.contains(".pikit-tmp");
        for (of, errno) in ["ENOSPC", "EIO", "EROFS"].into_iter().enumerate() {
            self.run(&format!("failed with {errno}"), &sample(SAMPLE, of), |_| Fault::Error(errno), Self::told_the_truth);
            let mut lasting = sample(SAMPLE / 4, of);
            let more: Vec<Call> = self.calls.iter().filter(|c| syncs_folder(c) && !lasting.contains(c)).cloned().collect();
            lasting.extend(more);
            self.run(&format!("failed with {errno} from then on"), &lasting, |_| Fault::ErrorFromThen(errno), Self::told_the_truth);
        }
    }

    /// What the exit code says is so, before anybody recovers anything.
    fn told_the_truth(&self, board: &Board, ran: &Ran, fault: Fault) -> Result<(), String> {
        let tree = board.tree();
        let (is_old, is_new) = (without_records(&tree) == without_records(&self.old), tree == self.new);
        // of a sick release the sickness is the first fault
        let single = matches!(fault, Fault::Error(_)) && self.ends == [0];
        match ran.code {
            0 if is_new => Ok(()),
            0 => Err(format!("it said it was done: {}", difference(&tree, &self.new))),
            7 if !single => Ok(()),
            7 => Err("one fault is enough to be stuck".into()),
            // recovery finishes it; with every write failing there is nowhere to say so
            1 if without_records(&tree) == without_records(&self.new)
                && (ran.err.contains("is live and healthy, but that could not be recorded") || matches!(fault, Fault::ErrorFromThen(_))) =>
            {
                Ok(())
            }
            1 | 5 | 6 | 9 if is_old => match (fault, ran.code) {
                (_, 6) | (Fault::Error("ENOSPC") | Fault::ErrorFromThen("ENOSPC"), 5) | (Fault::Error("EROFS") | Fault::ErrorFromThen("EROFS"), 9 | 5) => {
                    Ok(())
                }
                (Fault::Error("EIO") | Fault::ErrorFromThen("EIO"), 1) => Ok(()),
                (_, code) => Err(format!("exit {code} is not what it was")),
            },
            code => Err(format!("exit {code} means that nothing changed: {}", difference(&tree, &self.old))),
        }
    }
}

/// The managed paths alone, without working folders that only recovery removes.
fn without_records(tree: &Tree) -> Tree {
    let managed = |p: &str| (p.starts_with("srv/") || p.starts_with("usr/")) && !p.contains("/.pikit-");
    tree.iter().filter(|(p, _)| managed(p)).map(|(p, n)| (p.clone(), n.clone())).collect()
}

fn last_line(text: &str) -> String {
    text.trim().lines().rev().take(3).collect::<Vec<_>>().join(" | ")
}

fn apply(way: Way, title: &str) -> Sweep {
    Sweep::new(title, board("sweep", way), &["apply", "-y"], None, &[0])
}

/// A release that fails its health check: it takes itself back.
fn sick(way: Way, title: &str) -> Sweep {
    let board = board("sweep", way);
    let text = board.text("etc/pikit/updater.toml");
    let probe = format!("run = [\"/usr/bin/test\", \"!\", \"-e\", \"{}\"]", board.path("srv/web/lib/b.js").display());
    assert!(text.contains("run = [\"/bin/true\"]"));
    board.write("etc/pikit/updater.toml", text.replace("run = [\"/bin/true\"]", &probe).replace("timeout = \"2s\"", "timeout = \"60ms\""));
    Sweep::new(title, board, &["apply", "-y"], None, &[6, 4])
}

/// A release that brings the updater too, on a board that is run by the updater on it.
fn itself(way: Way, title: &str) -> Sweep {
    let mut board = board("sweep", way);
    board.configure("[services]", "[[managed]]\nfrom = \"bin/pikit-updater\"\nto = \"/usr/bin/pikit-updater\"\n[services]");
    let small = board.path("small");
    assert!(std::process::Command::new("strip").arg("-o").arg(&small).arg(&board.program).status().unwrap().success());
    let one = std::fs::read(&small).unwrap();
    let offer = |version: &str, updater: &[u8]| {
        let files = [("web/index.html", version.as_bytes()), ("web/config.json", b"{}"), ("api.py", version.as_bytes()), ("bin/pikit-updater", updater)];
        release::pack_into(&board.path("src"), version, &files, "config = [\"web/config.json\"]\n[modes]\n\"bin/pikit-updater\" = \"0755\"");
    };
    offer("1.2.0", &one);
    board.ok(&["apply", "-y"]);
    offer("1.3.0", &[&one[..], b"next"].concat());
    board.program = board.path("usr/bin/pikit-updater");
    Sweep::new(title, board, &["apply", "-y"], None, &[0])
}

fn rollback(way: Way, title: &str) -> Sweep {
    let board = board("sweep", way);
    board.ok(&["apply", "-y"]);
    Sweep::new(title, board, &["rollback", "-y"], None, &[0])
}

/// Recovery of an apply that was killed with one of its managed paths switched and the other not.
fn recover(way: Way, title: &str) -> Sweep {
    let board = board("sweep", way);
    let copy = board.copy("cut");
    let (_, calls) = strace::list(&copy, &["apply", "-y"]);
    let live = |c: &&Call| c.is_rename() && c.text.contains("\"api.py\"");
    let cut = calls.iter().find(live).expect("the file is switched by a rename").clone();
    Sweep::new(title, board, &["recover"], Some((vec!["apply", "-y"], cut)), &[0])
}

macro_rules! sweeps {
    ($($name:ident: $make:ident($way:expr, $title:literal).$what:ident;)*) => { $(
        #[test]
        fn $name() {
            or_skip!();
            let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            $make($way, $title).$what();
        }
    )* };
}
sweeps! {
    an_apply_killed_at_any_call_leaves_old_or_new: apply(Way::Exchange, "apply").killed;
    an_apply_that_brings_the_updater_killed_at_any_call_leaves_one_that_runs: itself(Way::Exchange, "apply with the updater").killed_around_the_updater;
    a_rollback_killed_at_any_call_leaves_old_or_new: rollback(Way::Exchange, "rollback").killed;
    a_recovery_killed_at_any_call_leaves_old_or_new: recover(Way::Exchange, "recover").killed;
    an_apply_file_by_file_killed_at_any_call_leaves_old_or_new: apply(Way::PerFile, "apply file by file").killed;
    a_rollback_file_by_file_killed_at_any_call_leaves_old_or_new: rollback(Way::PerFile, "rollback file by file").killed;
    a_recovery_file_by_file_killed_at_any_call_leaves_old_or_new: recover(Way::PerFile, "recover file by file").killed;
    a_sick_release_killed_at_any_call_leaves_the_old: sick(Way::Exchange, "apply of a sick release").killed;
    a_sick_release_file_by_file_killed_at_any_call_leaves_the_old: sick(Way::PerFile, "apply of a sick release file by file").killed;
    a_sick_release_with_any_call_failing_leaves_the_old_or_says_how_to_go_on: sick(Way::Exchange, "apply of a sick release").failed;
    an_apply_with_any_call_failing_leaves_old_or_new_and_says_which: apply(Way::Exchange, "apply").failed;
    a_rollback_with_any_call_failing_leaves_old_or_new_and_says_which: rollback(Way::Exchange, "rollback").failed;
    an_apply_file_by_file_with_any_call_failing_leaves_old_or_new_and_says_which: apply(Way::PerFile, "apply file by file").failed;
    a_rollback_file_by_file_with_any_call_failing_leaves_old_or_new_and_says_which: rollback(Way::PerFile, "rollback file by file").failed;
}
