//! A board of its own in memory: the program runs as root with this as its root, in namespaces that end with it. Nothing of the host is
//! there; beside the board lies a canary tree that nobody has any business with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::board::{self, Ran, ran};
use crate::support::mounts;

const CONFIG: &str = r#"
product = "pikit"
[source]
dir = "/in"
[trust]
required = false
[[managed]]
from = "web/"
to = "/srv/web/"
[[managed]]
from = "api.py"
to = "/usr/bin/api.py"
[services]
control = []
[trial]
timeout = "2s"
interval = "50ms"
settle = "0s"
[backup]
min_free = "0"
"#;

/// What the updater may write to.
const ITS_OWN: [&str; 9] =
    ["srv/web", "usr/bin/api.py", "var/lib/pikit-update", "var/tmp/pikit-update", "var/backups/pikit", "run", "in", "proc", "etc/pikit/version"];
/// Folders in which it makes and renames entries: their times change.
const ABOVE_ITS_OWN: [&str; 9] = ["", "srv", "usr/bin", "var", "var/lib", "var/tmp", "var/backups", "etc", "etc/pikit"];

/// What is known of an entry: kind and mode, owner, inode, names, size, times of change, content.
type Known = (u32, u32, u32, u64, u64, u64, (i64, i64), (i64, i64), Vec<u8>);

/// How a run ended and what it used.
pub struct Used {
    pub ran: Ran,
    pub wall: Duration,
    pub megabytes: f64,
}

pub struct Jail {
    pub root: PathBuf,
}

impl Jail {
    /// One on a memory file system of its own; the caller has a mount namespace of its own.
    pub fn new(name: &str) -> Self {
        let root = board::home().join(format!("pikit-{name}-{}", std::process::id()));
        mounts::tmpfs(&root, "1g");
        let jail = Jail { root };
        for dir in ["proc", "dev", "tmp", "srv", "usr/bin", "run", "in", "var/lib", "var/tmp", "var/backups", "etc/pikit", "canary/dir/sub"] {
            fs::create_dir_all(jail.path(dir)).unwrap();
        }
        mounts::run("mknod", &["-m", "666", jail.path("dev/null").to_str().unwrap(), "c", "1", "3"]);
        symlink("/run", jail.path("var/run")).unwrap();
        jail.bring_program();
        for (path, content, mode) in [
            ("etc/pikit/updater.toml", CONFIG, 0o644),
            ("etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o644),
            ("etc/shadow", "root:secret\n", 0o640),
            ("canary/secret", "secret", 0o600),
            ("canary/open", "open", 0o666),
            ("canary/program", "#!/bin/sh\n", 0o4755),
            ("canary/dir/file", "file", 0o644),
            ("canary/dir/sub/file", "file", 0o444),
        ] {
            fs::write(jail.path(path), content).unwrap();
            fs::set_permissions(jail.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        chown(jail.path("canary/dir/sub"), Some(33), Some(33)).unwrap();
        symlink("/canary/secret", jail.path("canary/link")).unwrap();
        fs::hard_link(jail.path("canary/open"), jail.path("canary/twin")).unwrap();
        jail
    }
    /// The program, and what it needs to start.
    fn bring_program(&self) {
        let program = board::release_program();
        let put = |from: &Path, to: PathBuf| {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        };
        put(&program, self.path("pikit-updater"));
        let needs = Command::new("ldd").arg(&program).output().unwrap();
        for library in String::from_utf8_lossy(&needs.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
            put(Path::new(library), self.root.join(library.trim_start_matches('/')));
        }
    }
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
    /// Runs the program; it is killed after a while.
    pub fn run(&self, words: &[&str]) -> Used {
        let log = self.root.with_extension("time");
        let script = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" /pikit-updater \"$@\"";
        let began = Instant::now();
        let out = Command::new("time")
            .args(["-f", "%M", "-o", log.to_str().unwrap(), "timeout", "-s", "KILL", "60"])
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, self.root.to_str().unwrap()])
            .args(words)
            .stdin(Stdio::null())
            .env_remove("CI")
            .output()
            .expect("GNU time, coreutils and util-linux are installed");
        let wall = began.elapsed();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        let kilobytes: f64 = text.lines().last().and_then(|l| l.trim().parse().ok()).unwrap_or(0.0);
        Used { ran: ran(out), wall, megabytes: kilobytes * 1024.0 / 1e6 }
    }
    pub fn ok(&self, words: &[&str]) {
        let ran = self.run(words).ran;
        assert_eq!(ran.code, 0, "{words:?}: {}\n{}", ran.err, ran.out);
    }
    /// Everything that is none of the updater's business.
    pub fn outside(&self) -> BTreeMap<String, Known> {
        let mut all = BTreeMap::new();
        self.look("", &mut all);
        all
    }
    fn look(&self, path: &str, all: &mut BTreeMap<String, Known>) {
        if ITS_OWN.contains(&path) {
            return;
        }
        let at = self.path(path);
        let meta = fs::symlink_metadata(&at).unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(&at).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_file() && meta.len() < 1 << 16 {
            fs::read(&at).unwrap()
        } else {
            Vec::new()
        };
        let busy = ABOVE_ITS_OWN.contains(&path);
        let times = if busy { Default::default() } else { ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())) };
        let size = if meta.is_dir() { 0 } else { meta.size() };
        let names = if busy { 0 } else { meta.nlink() };
        all.insert(path.to_owned(), (meta.mode(), meta.uid(), meta.gid(), meta.ino(), names, size, times.0, times.1, content));
        if meta.is_dir() {
            for entry in fs::read_dir(&at).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                self.look(format!("{path}/{name}").trim_start_matches('/'), all);
            }
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        mounts::unmount_below(&self.root);
        let _ = fs::remove_dir(&self.root);
    }
}
