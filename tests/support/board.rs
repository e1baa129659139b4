//! A board in a folder: a config, releases in `/src`, and the real program run with `--root`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::release;
use super::tree::{self, Tree};

/// What the program said and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; a signal is 128 and its number.
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The board; its folder goes with it.
pub struct Board {
    pub root: PathBuf,
    /// Words before the program's own.
    pub before: Vec<String>,
    /// The program that is run.
    pub program: PathBuf,
}

/// Where boards are made: memory, if there is some, because thousands are.
pub fn home() -> PathBuf {
    let shm = Path::new("/dev/shm");
    let top = std::env::var_os("PIKIT_TEST_DIR").map(PathBuf::from);
    top.unwrap_or_else(|| if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() })
}

/// The config of most boards: a folder and a file are managed, one service, one health check, everything quick.
pub const CONFIG: &str = r#"
product = "pikit"
[source]
dir = "/src"
[trust]
required = false
[[managed]]
from = "web/"
to = "/srv/web/"
[[managed]]
from = "api.py"
to = "/usr/bin/api.py"
[services]
restart = ["api.service"]
control = ["/bin/true"]
[[health]]
run = ["/bin/true"]
[trial]
timeout = "2s"
interval = "50ms"
settle = "0s"
[backup]
min_free = "0"
"#;

impl Board {
    /// An empty board with [`CONFIG`].
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = home().join(format!("pikit-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_dir_all(&root);
        Board::at(root)
    }
    /// The same in a folder of the test's choice.
    pub fn at(root: PathBuf) -> Self {
        fs::create_dir_all(&root).unwrap();
        let board = Board { root, before: Vec::new(), program: program() };
        for dir in ["srv", "usr/bin", "src"] {
            fs::create_dir_all(board.path(dir)).unwrap();
        }
        board.write("etc/pikit/updater.toml", CONFIG);
        board
    }
    /// Changes the config's text.
    pub fn configure(&self, from: &str, to: &str) {
        let text = self.text("etc/pikit/updater.toml");
        assert!(text.contains(from), "{from:?} is not in the config");
        self.write("etc/pikit/updater.toml", text.replacen(from, to, 1));
    }
    /// A copy of everything, hard links and owners included.
    pub fn copy(&self, name: &str) -> Board {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = home().join(format!("pikit-{name}-{}-c{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_dir_all(&root);
        super::mounts::run("cp", &["-a", self.root.to_str().unwrap(), root.to_str().unwrap()]);
        let config = root.join("etc/pikit/updater.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, text.replace(self.root.to_str().unwrap(), root.to_str().unwrap())).unwrap();
        let before = self.before.iter().map(|w| w.replace(self.root.to_str().unwrap(), root.to_str().unwrap())).collect();
        // a board that is run by the updater on it
        let program = self.program.strip_prefix(&self.root).map_or_else(|_| self.program.clone(), |inside| root.join(inside));
        Board { root, before, program }
    }
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
    /// Offers a release.
    pub fn release<C: AsRef<[u8]>>(&self, version: &str, files: &[(&str, C)]) {
        release::pack_into(&self.path("src"), version, files, "");
    }
    /// The program with these words, not yet started.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_under(&[], words)
    }
    /// The same under another program.
    pub fn command_under(&self, under: &[&str], words: &[&str]) -> Command {
        let mut all: Vec<String> = self.before.clone();
        all.extend(under.iter().map(|w| (*w).to_owned()));
        all.extend([self.program.display().to_string(), "--root".into(), self.root.display().to_string()]);
        all.extend(words.iter().map(|w| (*w).to_owned()));
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).stdin(Stdio::null()).env_remove("CI");
        command
    }
    /// Runs it to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }
    /// Runs it; it must succeed.
    pub fn ok(&self, words: &[&str]) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {}\n{}", ran.err, ran.out);
        ran
    }
    /// Starts it.
    pub fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
    /// The managed paths, and what the board says is installed.
    pub fn tree(&self) -> Tree {
        let mut all = tree::read(&self.root, "srv/web");
        for path in ["usr/bin/api.py", "usr/bin/pikit-updater", "etc/pikit/version", "var/lib/pikit-update/installed.json"] {
            all.extend(tree::read(&self.root, path));
        }
        all
    }
    /// What must not be there when no transaction is: the journal, and anything of ours beside managed paths and backups.
    pub fn leftovers(&self) -> Vec<String> {
        let own = ["var/lib/pikit-update/journal.json", "var/lib/pikit-update/transaction"];
        let mut left: Vec<String> = own.iter().filter(|p| self.has(p)).map(|p| (*p).to_owned()).collect();
        for dir in ["srv", "srv/web", "usr/bin", "var/backups/pikit"] {
            let Ok(entries) = fs::read_dir(self.path(dir)) else { continue };
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            left.extend(names.filter(|n| n.starts_with('.') && n.contains(".pikit-")).map(|n| format!("{dir}/{n}")));
        }
        left
    }
    /// Inode and time of change of everything below a path: who wrote there is found out.
    pub fn inodes(&self, path: &str) -> std::collections::BTreeMap<String, (u64, i64, i64)> {
        use std::os::unix::fs::MetadataExt;
        let all = tree::read(&self.root, path);
        all.into_keys().map(|p| (fs::symlink_metadata(self.path(&p)).map(|m| (m.ino(), m.mtime(), m.mtime_nsec())).unwrap(), p)).map(|(m, p)| (p, m)).collect()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            super::mounts::unmount_below(&self.root);
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// How a finished process ended.
pub fn ran(out: std::process::Output) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    let code = out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0));
    Ran { code, out: String::from_utf8_lossy(&out.stdout).into_owned(), err: String::from_utf8_lossy(&out.stderr).into_owned() }
}

/// The program as people have it, if it was built since the sources changed; otherwise the one under test.
pub fn release_program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/pikit-updater");
    let time = |p: &Path| fs::metadata(p).and_then(|m| m.modified()).ok();
    fn newest(dir: &Path) -> Option<std::time::SystemTime> {
        let of = |e: fs::DirEntry| if e.path().is_dir() { newest(&e.path()) } else { e.metadata().ok()?.modified().ok() };
        fs::read_dir(dir).ok()?.flatten().filter_map(of).max()
    }
    if time(&built) > newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) { built } else { program() }
}

/// The program under test.
pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_pikit-updater").into()
}
