//! One run at a time. The lock is a `flock` on an open file: it ends with its holder, however that ends, and a file left behind by
//! a killed run or an earlier boot locks nothing. The file is never removed: who waits on a removed file holds a lock that nobody sees.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use chrono::{DateTime, Local, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Doing as _, Error, Result};

/// The proof that this run is the only one; handed to everything that changes anything.
#[derive(Debug)]
pub struct Locked {
    /// Held open, nothing more: closing it is letting go.
    file: File,
}

impl Drop for Locked {
    /// Who has let go says so while nobody else can have it: this process may go on for a while (notices are sent), and its number is
    /// given to another one some day. A killed one cannot, which is why nothing but what is shown depends on it.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// Who holds the lock, as the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The boot it belongs to.
    pub boot_id: String,
    /// Since when, by its wall clock.
    pub since: DateTime<Utc>,
    /// What it was called with: the words after the program's name, without where the board lies.
    pub command: String,
}

impl Locked {
    /// Takes the lock, or says who has it. Makes the file and the folders above it if need be.
    ///
    /// # Errors
    /// [`Code::Busy`] when another run holds it; `Permission` and others when the file cannot be opened.
    pub fn take(path: &Path, boot_id: &str) -> Result<Locked> {
        loop {
            let mut file = open(path).doing(|| format!("opening the lock {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Err(busy(read(&mut file), boot_id)),
                Err(std::fs::TryLockError::Error(e)) => return Err(e).doing(|| format!("locking {}", path.display())),
            }
            if !still_there(&file, path) {
                continue; // somebody tidied /run between the two calls: this lock excludes nobody
            }
            // only for people to read; a full /run must not keep a board from being rolled back
            let _ = write(&mut file, boot_id);
            return Ok(Locked { file });
        }
    }

    /// A lock on nothing, for tests on a simulated disk.
    #[cfg(test)]
    pub fn pretended() -> Locked {
        Locked { file: File::open("/dev/null").unwrap() }
    }
}

/// Who holds the lock now, without touching it: the process that the file names, if it runs in this boot. For showing; a number that was
/// given to another process meanwhile is mistaken for the holder.
pub fn holder(path: &Path, boot_id: &str) -> Option<Holder> {
    let mut file = File::options().read(true).custom_flags(NO_FOLLOW).open(path).ok()?;
    let holder = read(&mut file).filter(|h| h.boot_id == boot_id)?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(holder.pid).ok()?)?;
    match rustix::process::test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => None,
        _ => Some(holder),
    }
}

const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits() as i32;

fn open(path: &Path) -> io::Result<File> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(NO_FOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

fn still_there(file: &File, path: &Path) -> bool {
    let id = |meta: io::Result<std::fs::Metadata>| meta.ok().map(|m| (m.dev(), m.ino()));
    let held = id(file.metadata());
    held.is_some() && held == id(std::fs::symlink_metadata(path))
}

fn write(file: &mut File, boot_id: &str) -> io::Result<()> {
    let command = called_with(std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
    let holder = Holder { pid: std::process::id(), boot_id: boot_id.to_owned(), since: Utc::now(), command };
    let mut line = serde_json::to_vec(&holder)?;
    line.push(b'\n');
    file.set_len(0)?;
    file.write_all(&line)
}

fn called_with(args: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = args.skip(1).collect();
    while let Some(at) = words.iter().position(|w| w == "--root" || w == "--config") {
        words.drain(at..words.len().min(at + 2));
    }
    words.join(" ").chars().take(200).collect()
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn busy(holder: Option<Holder>, boot_id: &str) -> Error {
    // of another boot: the holder has the lock and has not written its line yet
    let who = holder.filter(|h| h.boot_id == boot_id).map(|h| {
        let since = h.since.with_timezone(&Local).format("%H:%M:%S");
        format!(" (pid {}, since {since})", h.pid)
    });
    Error::new(Code::Busy, format!("another run holds the lock{}", who.unwrap_or_default()))
        .hint("wait until it is done; `pikit-updater status` shows what it is doing")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::world::scratch::Scratch;

    /// A process that another test is just starting may hold a copy of the file between its fork and its exec.
    fn take_soon(path: &Path) -> Locked {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match Locked::take(path, "boot") {
                Err(e) if e.code == Code::Busy && std::time::Instant::now() < deadline => std::thread::yield_now(),
                taken => return taken.unwrap(),
            }
        }
    }

    #[test]
    fn a_command_is_told_as_it_was_meant() {
        let said = |line: &str| called_with(line.split(' ').map(str::to_owned));
        assert_eq!(said("/usr/bin/pikit-updater --root /x apply -y --config /y"), "apply -y");
        assert_eq!(said("pikit-updater request"), "request");
        assert_eq!(said("pikit-updater check --root"), "check");
    }

    #[test]
    fn the_second_run_is_told_who_holds_the_lock() {
        let scratch = Scratch::new();
        let path = scratch.path().join("var/run/lock");
        let first = Locked::take(&path, "boot").unwrap();
        let error = Locked::take(&path, "boot").unwrap_err();
        assert_eq!(error.code, Code::Busy);
        let said = error.message();
        assert!(said.starts_with(&format!("another run holds the lock (pid {}, since ", std::process::id())), "{said}");
        assert!(error.hint.is_some());
        assert_eq!(holder(&path, "boot").unwrap().pid, std::process::id());
        assert_eq!(holder(&path, "another boot"), None);
        drop(first);
        assert_eq!(holder(&path, "boot"), None, "this process lives on, and holds nothing any more");
        take_soon(&path);
    }

    #[test]
    fn of_many_who_try_at_once_one_succeeds() {
        let scratch = Scratch::new();
        let path = scratch.path().join("lock");
        let gate = std::sync::Barrier::new(8);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                gate.wait();
                Locked::take(&path, "boot")
            };
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            tries.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|t| t.is_ok()).count(), 1);
    }

    #[test]
    fn a_file_left_by_an_earlier_boot_or_by_anything_locks_nothing() {
        let scratch = Scratch::new();
        let path = scratch.path().join("lock");
        for left in [r#"{"pid":1,"boot_id":"old","since":"2026-01-01T00:00:00Z","command":"x"}"#, "rubbish", ""] {
            std::fs::write(&path, left).unwrap();
            take_soon(&path);
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(Locked::take(&path, "boot").is_err());
    }

    /// Not a test of its own: the other process of the one below.
    #[test]
    fn hold_the_lock_when_asked_to() {
        let Ok(path) = std::env::var("PIKIT_TEST_LOCK") else { return };
        let _locked = Locked::take(Path::new(&path), "boot").unwrap();
        println!("\nheld");
        let _ = io::stdin().read(&mut [0]);
    }

    #[test]
    fn a_lock_ends_with_its_killed_holder() {
        let scratch = Scratch::new();
        let path = scratch.path().join("lock");
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "world::lock::tests::hold_the_lock_when_asked_to", "--nocapture"])
            .env("PIKIT_TEST_LOCK", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"));
        let said = Locked::take(&path, "boot").unwrap_err().message();
        assert!(said.contains(&format!("pid {}", other.id())), "{said}");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(holder(&path, "boot"), None);
        take_soon(&path);
    }
}
