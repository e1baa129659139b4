//! A maintainer's desk: a folder with a release, keys, and the real program; and a terminal, where one is asked for.

use super::terminal::at_terminal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The folder; it goes at the end.
pub struct Desk(pub PathBuf);

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
    /// Both streams, for words that may be on either.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    #[track_caller]
    pub fn well(self) -> Said {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
    #[track_caller]
    pub fn refused(self, code: i32, words: &str) -> Said {
        assert!(self.code == code && self.all().contains(words), "{words}: {self:?}");
        self
    }
}

const RECIPE: &str = r#"product = "pikit"
version = "1.4.0"
released = "2026-11-20T10:00:00Z"
expires = "3650d"
[[include]]
from = "site"
to = "web/"
[bundle]
block = "4KiB"
"#;

impl Desk {
    /// With a packed release in `out`, and the keys `a` and `b`, which have no passphrase.
    pub fn new(name: &str) -> Desk {
        let desk = Desk::bare(name);
        desk.write("release.toml", RECIPE);
        desk.write("site/index.html", "<h1>Pi-Kit</h1>");
        desk.write("site/app.js", "let x = 1;\n".repeat(900));
        desk.write("site/style.css", "p { color: red }\n");
        desk.run("pack --out out").well();
        for key in ["a", "b"] {
            desk.run(&format!("keygen {key} --no-passphrase")).well();
        }
        desk
    }
    pub fn bare(name: &str) -> Desk {
        let dir = std::env::temp_dir().join(format!("pikit-sign-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Desk(fs::canonicalize(dir).unwrap())
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.read("out/manifest.json")).unwrap()
    }
    pub fn bundle(&self) -> Vec<u8> {
        self.read("out/pikit-1.4.0.tar.gz")
    }
    /// The program at this desk, in an environment without secrets.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).stdin(Stdio::null()).env_remove("PIKIT_SECRET_KEY").env_remove("PIKIT_PASSPHRASE");
        command
    }
    /// Runs the updater with these words.
    pub fn run(&self, words: &str) -> Said {
        self.run_with(words, &[])
    }
    pub fn run_with(&self, words: &str, env: &[(&str, &str)]) -> Said {
        let mut command = self.command(updater());
        Said::of(&command.args(words.split_whitespace()).envs(env.iter().copied()).output().unwrap())
    }
    /// Runs any program.
    pub fn other(&self, words: &str) -> Said {
        let mut words = words.split_whitespace();
        Said::of(&self.command(words.next().unwrap()).args(words).output().unwrap())
    }
    /// Runs a program on a terminal, and types an answer at each question (what ends in a colon while the terminal does not echo).
    pub fn on_terminal(&self, words: &str, answers: &[&str]) -> Said {
        let mut command = self.command("python3");
        let talk: Vec<(&str, &str)> = answers.iter().map(|a| ("", *a)).collect();
        Said::of(&at_terminal(&mut command, words.split_whitespace(), &talk, true).output().unwrap())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

pub fn updater() -> &'static str {
    env!("CARGO_BIN_EXE_pikit-updater")
}

pub fn is_here(program: &str) -> bool {
    let here = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    assert!(here || std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: {program} is not installed");
    if !here {
        println!("skipped: {program} is not installed");
    }
    here
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
