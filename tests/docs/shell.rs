//! Somebody who types what a page says, word for word, with a made-up board in the place of a real one: absolute paths are below its
//! root, and `board:` of `scp` and `rsync` is that root too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::board::{Board, Ran, ran};

/// What pages name, and what stands before it there.
const TOPS: [&str; 6] = ["/var/", "/etc/", "/usr/local/", "/root/", "/srv/", "/tmp/"];
const BEFORE: [char; 10] = [' ', '\t', '\n', '(', '=', ':', '"', '\'', '<', '>'];

/// The typist: a board, a folder of their own, and the tools that are not what they are elsewhere.
pub struct Shell {
    pub board: Board,
    /// Where they sit; `work/` of the board's folder, which no test looks at as a part of the board.
    pub work: PathBuf,
    tools: PathBuf,
}

impl Shell {
    pub fn new(board: Board) -> Self {
        let (work, tools) = (board.path("work"), board.path("tools"));
        for dir in [&work, &tools, &board.path("root"), &board.path("tmp")] {
            fs::create_dir_all(dir).unwrap();
        }
        let shell = Shell { board, work, tools };
        let root = shell.board.root.display();
        let program = shell.board.program.display();
        shell.tool("sudo", "exec \"$@\"");
        shell.tool("systemctl", &format!("echo \"$*\" >> {root}/systemctl"));
        for (name, really) in [("scp", "cp"), ("rsync", "rsync")] {
            shell.tool(name, &format!("for word; do shift; set -- \"$@\" \"${{word#board:}}\"; done\nPATH=\"${{PATH#*:}}\"\nexec {really} \"$@\""));
        }
        // a passphrase costs seconds, and has tests of its own
        shell.tool("pikit-updater", &format!("case $1 in keygen) exec {program} \"$@\" --no-passphrase ;; esac\nexec {program} --root {root} \"$@\""));
        shell
    }
    fn tool(&self, name: &str, text: &str) {
        let path = self.tools.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    /// The program is gone, as it is when one needs the page.
    pub fn without_the_program(&self) {
        self.tool("pikit-updater", "echo 'pikit-updater: cannot execute binary file: Exec format error' >&2; exit 126");
    }
    /// Types the lines; each has to succeed.
    pub fn types(&self, text: &str) -> String {
        let ran = self.tries(text);
        assert_eq!(ran.code, 0, "{text}\n{}{}", ran.out, ran.err);
        ran.out
    }
    /// Types the lines, up to the first that fails.
    pub fn tries(&self, text: &str) -> Ran {
        let path = format!("{}:{}", self.tools.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &self.moved(text)]).current_dir(&self.work).env("PATH", path).env("LC_ALL", "C").env_remove("CI");
        ran(command.stdin(Stdio::null()).output().unwrap())
    }
    /// The text with the board's root before every absolute path.
    fn moved(&self, text: &str) -> String {
        let mut out = String::new();
        let mut before = '\n';
        for (at, letter) in text.char_indices() {
            if BEFORE.contains(&before) && TOPS.iter().any(|top| text[at..].starts_with(top)) {
                out += self.board.root.to_str().unwrap();
            }
            out.push(letter);
            before = letter;
        }
        out
    }
}
