//! strace as a tool of tests: which calls of a run change files, and what happens when one of them is the last, or fails.
//!
//! Only the program's first thread is followed. It does all the changing; and the calls of its health checks and services, which are
//! processes of their own, must be neither counted nor failed.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::board::{Board, Ran, ran};

/// Calls that change files. `?`: not every architecture has it.
const CHANGING: &str = "?write,?pwrite64,?writev,?pwritev,?copy_file_range,?sendfile,?rename,?renameat,?renameat2,?unlink,?unlinkat,?rmdir,\
    ?mkdir,?mkdirat,?link,?linkat,?symlink,?symlinkat,?fsync,?fdatasync,?sync_file_range,?syncfs,?sync,?open,?openat,?openat2,?creat,\
    ?truncate,?ftruncate,?fallocate,?chmod,?fchmod,?fchmodat,?fchmodat2,?chown,?fchown,?lchown,?fchownat,?utimensat,?setxattr,?fsetxattr,?ioctl,?mknod,?mknodat";

/// One call of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// Counted from 1 over all calls of this name, as strace counts.
    pub n: usize,
    /// As strace showed it.
    pub text: String,
    /// What it returned.
    pub result: i64,
}

/// What is done to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL instead of the call.
    Kill,
    /// The call fails so.
    Error(&'static str),
    /// And so does every later one of its name.
    ErrorFromThen(&'static str),
}

impl Call {
    /// Whether it makes something durable: each costs a card an erase block, and a person the wait.
    pub fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync" | "syncfs" | "sync")
    }
    /// Whether it is about something below this path of the board.
    pub fn is_below(&self, path: &str) -> bool {
        self.text.contains(&format!("<{path}")) || self.text.contains(&format!("\"{path}"))
    }
    /// Whether it gives a file another name, which is what a switch is made of.
    pub fn is_rename(&self) -> bool {
        self.name.starts_with("rename")
    }
}

pub fn is_here() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|o| o.status.success())
}

/// Runs the program under strace and lists its calls that change something below the board's root.
pub fn list(board: &Board, words: &[&str]) -> (Ran, Vec<Call>) {
    let log = log_of(board);
    let trace = format!("trace={CHANGING}");
    let under = ["strace", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", trace.as_str(), "-o", log.to_str().unwrap()];
    let ran = ran(board.command_under(&under, words).output().unwrap());
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    (ran, changing(&text, &board.root))
}

fn changing(log: &str, root: &Path) -> Vec<Call> {
    let root = root.to_str().unwrap();
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let n = *counts.entry(name).and_modify(|n| *n += 1).or_insert(1);
        let opens = matches!(name, "open" | "openat" | "openat2");
        let writes = ["O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR", "O_TMPFILE"].iter().any(|flag| rest.contains(flag));
        if (opens && !writes) || (name == "ioctl" && !rest.contains("FICLONE")) || !(name == "sync" || rest.contains(root)) {
            continue;
        }
        let result = line.rsplit(" = ").next().and_then(|r| r.split(' ').next()?.parse().ok()).unwrap_or(0);
        calls.push(Call { name: name.to_owned(), n, text: line.replace(root, "").chars().take(300).collect(), result });
    }
    calls
}

/// Runs the program with one of its calls faulted. `false`: that call never came.
pub fn fault(board: &Board, words: &[&str], call: &Call, fault: Fault) -> (Ran, bool) {
    let log = log_of(board);
    let (what, when) = match fault {
        Fault::Kill => ("signal=KILL".to_owned(), call.n.to_string()),
        Fault::Error(errno) => (format!("error={errno}"), call.n.to_string()),
        Fault::ErrorFromThen(errno) => (format!("error={errno}"), format!("{}+", call.n)),
    };
    let trace = format!("trace={}", call.name);
    let inject = format!("inject={}:{what}:when={when}", call.name);
    let under = ["strace", "-qq", "-s", "0", "-e", "signal=none", "-e", trace.as_str(), "-e", inject.as_str(), "-o", log.to_str().unwrap()];
    let ran = ran(board.command_under(&under, words).output().unwrap());
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    let fired = match fault {
        Fault::Kill => ran.code == 128 + 9,
        Fault::Error(_) | Fault::ErrorFromThen(_) => text.contains("(INJECTED)"),
    };
    (ran, fired)
}

fn log_of(board: &Board) -> std::path::PathBuf {
    board.root.with_extension("strace")
}
