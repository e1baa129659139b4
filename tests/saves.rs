//! A service that never stops saving in a managed folder while update follows rollback follows update: what it was told is saved, is.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use support::board::Board;

/// Updates, and as many rollbacks.
const ROUNDS: usize = 20;

/// Numbered files a service makes: each update clones all of them, so that without an end a slow machine would have ever more to do.
const NUMBERED: usize = 4000;

/// How the service names its files.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// By their whole path, each time.
    Absolute,
    /// From the folder it works in, which it opens again only when that is gone.
    Relative,
}

/// What the service was told is saved.
#[derive(Default)]
struct Acknowledged {
    numbered: Vec<usize>,
    counter: usize,
}

struct Saver {
    folder: PathBuf,
    working: Option<OwnedFd>,
}

impl Saver {
    /// Saves as programs do: a new file, then its name. `Ok`: it is saved.
    fn save(&mut self, name: &str, content: &str) -> rustix::io::Result<()> {
        let temp = format!("{name}.tmp");
        let (flags, mode) = (OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC, Mode::from_raw_mode(0o644));
        let write = |fd: OwnedFd| fs::File::from(fd).write_all(content.as_bytes()).unwrap();
        let Some(dir) = &self.working else {
            let (temp, name) = (self.folder.join(temp), self.folder.join(name));
            write(openat(CWD, &temp, flags, mode)?);
            return renameat(CWD, &temp, CWD, &name);
        };
        write(openat(dir, &temp, flags, mode)?);
        renameat(dir, &temp, dir, name)
    }
    fn reopen(&mut self) {
        if self.working.is_some() {
            self.working = Some(open(&self.folder));
        }
    }
}

fn open(folder: &Path) -> OwnedFd {
    openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn keeps_saving(folder: &Path, names: Names, stop: &AtomicBool) -> Acknowledged {
    let working = (names == Names::Relative).then(|| open(folder));
    let mut saver = Saver { folder: folder.to_owned(), working };
    let mut told = Acknowledged::default();
    for n in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if told.numbered.len() < NUMBERED {
            match saver.save(&format!("save-{n}"), &n.to_string()) {
                Ok(()) => told.numbered.push(n),
                Err(_) => saver.reopen(),
            }
        }
        for value in n * 20..(n + 1) * 20 {
            match saver.save("counter", &value.to_string()) {
                Ok(()) => told.counter = value,
                Err(_) => saver.reopen(),
            }
        }
        // numbered files are cloned with each update: their number, not the pace, is what is kept in bounds
        std::thread::sleep(Duration::from_millis(1));
    }
    told
}

/// The contents under a name and under those given to it in a collision.
fn kept(folder: &Path, name: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    let same = entries.filter(|e| e.file_name().to_str().is_some_and(|n| n == name || n.starts_with(&format!("{name}.pikit-kept"))));
    same.map(|e| fs::read_to_string(e.path()).unwrap()).collect()
}

fn nothing_is_lost(name: &str, names: Names) {
    let board = Board::new(name);
    board.release("1.0.0", &[("web/index.html", "one"), ("web/lib/a.js", "a"), ("api.py", "one")]);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", &[("web/index.html", "two"), ("web/lib/b.js", "b"), ("api.py", "two")]);
    fs::create_dir_all(board.path("srv/web/data")).unwrap();
    let (stop, top, deep) = (AtomicBool::new(false), board.path("srv/web"), board.path("srv/web/data"));
    let (at_top, in_depth) = std::thread::scope(|scope| {
        let savers = [&top, &deep].map(|folder| scope.spawn(|| keeps_saving(folder, names, &stop)));
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..ROUNDS {
                let there = board.run(&["apply", "-y", "--force"]);
                assert_eq!(there.code, 0, "update {round}: {}", there.err);
                assert_eq!(board.text("srv/web/index.html"), "two");
                let back = board.run(&["rollback", "-y"]);
                assert_eq!(back.code, 0, "rollback {round}: {}", back.err);
                assert_eq!(board.text("srv/web/index.html"), "one");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let [a, b] = savers.map(|s| s.join().unwrap());
        rounds.unwrap_or_else(|e| std::panic::resume_unwind(e));
        (a, b)
    });
    for (folder, told) in [(&top, &at_top), (&deep, &in_depth)] {
        let lost: Vec<&usize> = told.numbered.iter().filter(|n| !kept(folder, &format!("save-{n}")).contains(&n.to_string())).collect();
        assert!(lost.is_empty(), "{}: lost {} of {} saves: {lost:?}", folder.display(), lost.len(), told.numbered.len());
        let values: Vec<usize> = kept(folder, "counter").iter().filter_map(|v| v.parse().ok()).collect();
        assert!(values.iter().any(|v| *v >= told.counter), "{}: the counter was saved as {}, found {values:?}", folder.display(), told.counter);
    }
    let saved = at_top.numbered.len() + in_depth.numbered.len();
    println!("{} updates and rollbacks, {saved} files and {} counts saved meanwhile: none lost", 2 * ROUNDS, at_top.counter + in_depth.counter);
    assert_eq!(board.leftovers(), [""; 0]);
}

#[test]
fn nothing_that_a_service_saves_by_whole_paths_is_lost() {
    or_skip!();
    nothing_is_lost("saves-absolute", Names::Absolute);
}

#[test]
fn nothing_that_a_service_saves_in_its_working_folder_is_lost() {
    or_skip!();
    nothing_is_lost("saves-relative", Names::Relative);
}
