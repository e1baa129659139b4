//! A person at a real terminal, for tests: waits for each question in its turn, and types.

use std::ffi::OsStr;
use std::process::Command;

/// stdout: all that was seen; at the end whether the terminal echoes again, and which answers are left. The exit code is the program's.
const TERMINAL: &str = r#"
import json, os, pty, select, sys, termios, time
talk, silent = json.loads(os.environ["TALK"]), os.environ["SILENT"] == "true"
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
echoes = lambda: bool(termios.tcgetattr(fd)[3] & termios.ECHO)
seen, since, deadline = b"", 0, time.monotonic() + 600
while time.monotonic() < deadline:
    if select.select([fd], [], [], 0.05)[0]:
        try:
            piece = os.read(fd, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    said = seen[since:]
    if talk and talk[0][0].encode() in said and said.rstrip().endswith((b":", b"]")) and not (silent and echoes()):
        since = len(seen)
        os.write(fd, talk.pop(0)[1].encode())
else:
    os.kill(pid, 9)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(seen)
if talk:
    print("\nnot asked:", talk[0][0])
print("\nthe terminal", "echoes" if echoes() else "is silent", "and", len(talk), "answers are left")
sys.exit(status if status >= 0 else 128 - status)
"#;

/// Lets `python` run a program on a terminal. Of each pair the first must have been said since the last answer, and the second is typed, line end
/// and all, once a question stands there. `silent`: only while the terminal does not echo.
pub fn at_terminal<'c>(python: &'c mut Command, program: impl IntoIterator<Item = impl AsRef<OsStr>>, talk: &[(&str, &str)], silent: bool) -> &'c mut Command {
    python.arg("-c").arg(TERMINAL).args(program).env("TALK", serde_json::to_string(talk).unwrap()).env("SILENT", silent.to_string())
}
