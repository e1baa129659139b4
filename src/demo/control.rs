//! systemctl's part in the demo: really starts, stops and restarts the dashboard, and answers with systemctl's exit codes.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Folder, http};
use crate::error::{Doing, Error, Result};

/// The one unit of the board.
pub const UNIT: &str = "pikit-api.service";

const FAILED: u8 = 1;
const NOT_ACTIVE: u8 = 3;
const NO_SUCH_UNIT: u8 = 4;
const NOT_LOADED: u8 = 5;

/// How long a dashboard may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// `demo control --root BOARD VERB UNIT`; tells the exit code.
///
/// # Errors
/// The board is no demo's; a verb that is not understood; a dashboard that cannot be started.
pub fn control(root: &Path, verb: &str, unit: &str) -> Result<u8> {
    let exe = std::env::current_exe().doing(|| "finding this program".into())?;
    control_with(&exe, root, verb, unit)
}

/// The same, with the program that is the dashboard.
///
/// # Errors
/// As for [`control()`].
pub fn control_with(exe: &Path, root: &Path, verb: &str, unit: &str) -> Result<u8> {
    let folder = Folder::of_board(root)?;
    let known = unit == UNIT || Some(unit) == UNIT.strip_suffix(".service");
    match verb {
        "is-active" if !known => Ok(tell("inactive", NO_SUCH_UNIT)),
        _ if !known => {
            eprintln!("Unit {unit} not found.");
            Ok(NOT_LOADED)
        }
        "is-active" => Ok(if running(&folder).is_some() { tell("active", 0) } else { tell("inactive", NOT_ACTIVE) }),
        "start" if running(&folder).is_some() => Ok(0),
        "stop" => stop(&folder).map(|()| 0),
        "start" | "restart" => {
            stop(&folder)?;
            start(&folder, exe)
        }
        // the dashboard reads its pages anew for each request: there is nothing to reload
        "reload" => Ok(if running(&folder).is_some() { 0 } else { FAILED }),
        other => Err(Error::usage(format!("{other:?} is none of start, stop, restart, reload, is-active"))),
    }
}

fn tell(state: &str, code: u8) -> u8 {
    println!("{state}");
    code
}

/// Starts a dashboard and returns when it answers, as a unit of Type=notify would.
fn start(folder: &Folder, exe: &Path) -> Result<u8> {
    let starting = || format!("starting the dashboard of {}", folder.board().display());
    for file in [folder.pid_file(), folder.dashboard_log()] {
        fs::create_dir_all(file.parent().unwrap_or(folder.dir())).doing(starting)?;
    }
    let log = File::options().create(true).append(true).open(folder.dashboard_log()).doing(starting)?;
    let mut child = Command::new(exe)
        .args(["demo", "dashboard", "--root"])
        .arg(folder.board())
        .stdin(Stdio::null())
        .stdout(log.try_clone().doing(starting)?)
        .stderr(log)
        // Ctrl-C is for whoever types it; the dashboard ends with the demo's lock
        .process_group(0)
        .spawn()
        .doing(starting)?;
    let pid = child.id();
    let since = stat(pid).map_or_else(String::new, |s| s.since);
    fs::write(folder.pid_file(), format!("{pid} {since}\n")).doing(|| format!("writing {}", folder.pid_file().display()))?;

    let port = folder.dashboard_port()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if child.try_wait().doing(starting)?.is_some() {
            eprintln!("the dashboard ended at once; see {}", folder.dashboard_log().display());
            return Ok(FAILED);
        }
        if http::get(port, "/ping").is_ok() {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("the dashboard does not answer; see {}", folder.dashboard_log().display());
    Ok(FAILED)
}

/// Ends the dashboard, if one runs; by force if it does not end by itself.
pub fn stop(folder: &Folder) -> Result<()> {
    let begun = Instant::now();
    let mut asked = None;
    while let Some(pid) = running(folder) {
        let signal = if begun.elapsed() < PATIENCE { Signal::TERM } else { Signal::KILL };
        if asked != Some(signal) {
            // it may have ended since it was seen
            let _ = kill_process(pid, signal);
            asked = Some(signal);
        }
        if begun.elapsed() > 2 * PATIENCE {
            return Err(Error::unexpected("the dashboard does not end"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_file(folder.pid_file());
    Ok(())
}

/// The dashboard's process, if it is alive. The time of its start tells it from another that got its number.
pub fn running(folder: &Folder) -> Option<Pid> {
    let text = fs::read_to_string(folder.pid_file()).ok()?;
    let (pid, since) = text.trim().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    // a zombie waits for its parent to look; it runs no more
    let alive = stat(pid).is_some_and(|s| s.since == since && s.state != "Z" && s.state != "X");
    if alive { Pid::from_raw(pid.cast_signed()) } else { None }
}

struct Stat {
    state: String,
    since: String,
}

/// proc(5): the fields after the name, which may itself hold blanks and brackets.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some(Stat { state, since: fields.nth(18)?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_with_systemctl_s_exit_codes() {
        let dir = std::env::temp_dir().join(format!("pikit-demo-control-{}", std::process::id()));
        let (folder, alive) = Folder::claim(&dir).unwrap();
        let board = folder.board();
        fs::create_dir_all(&board).unwrap();
        // the sleeper cannot answer: this does, where the dashboard would
        let (server, port) = http::open(0).unwrap();
        http::serve(&server, |_| http::Reply::json(503, &json!({})));
        alive.tell(&folder, port).unwrap();
        let exe = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sleeper.sh"));
        let control = |verb: &str, unit: &str| control_with(exe, &board, verb, unit).unwrap();

        assert_eq!(control("is-active", UNIT), 3);
        assert_eq!(control("reload", UNIT), 1);
        assert_eq!(control("restart", UNIT), 0, "a stopped unit is started");
        assert_eq!(control("is-active", "pikit-api"), 0, "a name without a suffix means .service");
        let first = running(&folder).unwrap();
        assert_eq!(control("start", UNIT), 0);
        assert_eq!(running(&folder), Some(first), "what runs is not started again");
        assert_eq!(control("restart", UNIT), 0);
        let second = running(&folder).unwrap();
        assert_ne!(first, second);
        assert_eq!(control("reload", UNIT), 0);
        assert_eq!((control("restart", "nginx.service"), control("is-active", "nginx.service")), (5, 4));
        assert!(control_with(exe, &board, "mask", UNIT).is_err());

        kill_process(second, Signal::KILL).unwrap();
        let begun = Instant::now();
        while control("is-active", UNIT) != 3 {
            assert!(begun.elapsed() < PATIENCE, "a killed service is not active");
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
        alive.tell(&folder, nobody).unwrap();
        assert_eq!(control_with(Path::new("/bin/false"), &board, "restart", UNIT).unwrap(), 1, "it ended at once");
        alive.tell(&folder, port).unwrap();
        assert_eq!(control("restart", UNIT), 0);
        assert_eq!(control("stop", UNIT), 0);
        assert_eq!((running(&folder), control("is-active", UNIT)), (None, 3));
        fs::remove_dir_all(&dir).unwrap();
    }
}
