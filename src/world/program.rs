//! Running a program to its end, or to its time limit; then it and all its children are killed, by their process group.
//! Its output is drained while it runs, into bounded memory: a talkative program neither blocks nor fills ours.
//!
//! Limit: a child that made a session of its own (a daemon) is in another group and survives.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::outside::Ran;
use super::user::User;
use crate::quantity;

/// What is kept of each stream.
const KEPT: usize = 4096;
/// How long after the end of a program we wait for the end of its output: a child that it left behind may hold the pipe for ever.
const LINGER: Duration = Duration::from_millis(500);
/// Where programs are looked for when nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs it, with nothing of our environment but PATH and HOME, in `/`, without input.
///
/// # Errors
/// It cannot be started; or no thread can be made to watch it, and then it was killed.
pub(super) fn run(argv: &[String], limit: Duration) -> io::Result<Ran> {
    let Some((program, args)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program was named"));
    };
    let mut command = Command::new(program);
    start(command.args(args), &[], limit)
}

/// The same with bytes as the program: they lie in memory, sealed, so that what was verified is what runs (memfd_create(2)). `who`: not as
/// ourselves, but as this user.
///
/// # Errors
/// They cannot be run.
pub(super) fn run_content(content: &[u8], name: &str, args: &[String], vars: &[(&str, String)], limit: Duration, who: Option<User>) -> io::Result<Ran> {
    // inherited on purpose: a script's interpreter opens it once more
    let flags = MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create("pikit-command", flags | MemfdFlags::EXEC) {
        // before Linux 6.3 nobody had to ask for it
        Err(Errno::INVAL) => memfd_create("pikit-command", flags)?,
        made => made?,
    };
    let mut file = File::from(fd);
    file.write_all(content)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    command.arg0(name).args(args);
    if let Some(user) = who {
        user.of(&mut command);
    }
    start(&mut command, vars, limit)
}

fn start(command: &mut Command, vars: &[(&str, String)], limit: Duration) -> io::Result<Ran> {
    let var = |name: &str, or: &str| std::env::var_os(name).unwrap_or_else(|| or.into());
    let mut child = command
        .env_clear()
        .env("PATH", var("PATH", PATH))
        .env("HOME", var("HOME", "/root"))
        .env("LANG", "C")
        .envs(vars.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // a group of its own: a Ctrl-C at our terminal must not end it in the middle, and the time limit ends all of it
        .process_group(0)
        .spawn()?;
    let watched = watch(&mut child, limit);
    if watched.is_err() {
        kill(&child);
        child.wait()?;
    }
    watched
}

enum News {
    /// The program has ended; it is not reaped yet.
    Ended,
    /// One of its streams has ended.
    Silent,
}

fn watch(child: &mut Child, limit: Duration) -> io::Result<Ran> {
    let (tell, news) = channel();
    let out = drain(child.stdout.take(), tell.clone())?;
    let err = drain(child.stderr.take(), tell.clone())?;
    let pid = pid(child);
    std::thread::Builder::new().name("waiting".into()).spawn(move || {
        // NOWAIT leaves the program unreaped: as long as that is so its number belongs to it, and killing the group kills nobody else
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
        let _ = tell.send(News::Ended);
    })?;

    let mut silent = 0;
    let in_time = wait(&news, limit, &mut silent, |ended, _| ended);
    if !in_time {
        kill(child);
    }
    let status = child.wait()?;
    wait(&news, LINGER, &mut silent, |_, silent| silent == 2);

    let said = last_line(&tail(&err));
    Ok(Ran {
        status: status.code().filter(|_| in_time),
        stdout: String::from_utf8_lossy(&tail(&out)).into_owned(),
        last_error: match (in_time, said.is_empty()) {
            (true, _) => said,
            (false, true) => format!("not done within {}", quantity::seconds(limit.as_secs_f64())),
            (false, false) => format!("not done within {}: {said}", quantity::seconds(limit.as_secs_f64())),
        },
    })
}

/// Waits for news until enough is known; `false` when the time is over.
fn wait(news: &Receiver<News>, limit: Duration, silent: &mut u32, enough: impl Fn(bool, u32) -> bool) -> bool {
    let start = Instant::now();
    let mut ended = false;
    while !enough(ended, *silent) {
        match news.recv_timeout(limit.saturating_sub(start.elapsed())) {
            Ok(News::Ended) => ended = true,
            Ok(News::Silent) => *silent += 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

fn pid(child: &Child) -> Pid {
    let raw = i32::try_from(child.id()).expect("Linux's process numbers fit into 22 bits");
    Pid::from_raw(raw).expect("a child is not process 0")
}

fn kill(child: &Child) {
    // ESRCH: it has just ended by itself, which is as good
    let _ = kill_process_group(pid(child), Signal::KILL);
}

type Tail = Arc<Mutex<Vec<u8>>>;

fn tail(of: &Tail) -> Vec<u8> {
    of.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads a stream to its end in a thread, and keeps the last part.
fn drain(stream: Option<impl Read + Send + 'static>, tell: Sender<News>) -> io::Result<Tail> {
    let kept = Tail::default();
    let (keeping, mut stream) = (kept.clone(), stream.expect("the stream was asked to be a pipe"));
    std::thread::Builder::new().name("draining".into()).spawn(move || {
        let mut chunk = [0; KEPT];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&chunk[..n]);
                    let surplus = kept.len().saturating_sub(KEPT);
                    kept.drain(..surplus);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = tell.send(News::Silent);
    })?;
    Ok(kept)
}

/// The last line that is not empty, at most 500 characters of it.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn bytes_are_run_as_they_are_script_or_program() {
        let script = b"#!/bin/sh\nread line < \"$0\"; echo \"$1 $WORD $line\"; exit 3\n";
        let ran = run_content(script, "migrate", &["one".into()], &[("WORD", "two".into())], LONG, None).unwrap();
        assert_eq!((ran.status, ran.stdout.trim()), (Some(3), "one two #!/bin/sh"));
        let program = std::fs::read("/bin/true").unwrap();
        assert_eq!(run_content(&program, "true", &[], &[], LONG, None).unwrap().status, Some(0));
        assert!(run_content(b"no program", "x", &[], &[], LONG, None).is_err());
    }

    fn sh(script: &str, limit: Duration) -> Ran {
        run(&["sh".into(), "-c".into(), script.into()], limit).unwrap()
    }

    #[test]
    fn it_tells_the_status_the_output_and_the_last_error() {
        let ran = sh("echo out; echo one >&2; echo two >&2; echo >&2; exit 3", LONG);
        assert_eq!(ran, Ran { status: Some(3), stdout: "out\n".into(), last_error: "two".into() });
        assert_eq!(sh("kill -9 $$", LONG).status, None);
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_and_so_is_none() {
        assert_eq!(run(&["/nonexistent/program".into()], LONG).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(run(&[], LONG).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn of_endless_talk_the_end_is_kept() {
        let ran = sh("i=0; while [ $i -lt 20000 ]; do echo line $i; echo line $i >&2; i=$((i+1)); done", LONG);
        assert!(ran.stdout.len() <= KEPT && ran.stdout.ends_with("line 19999\n"));
        assert_eq!(ran.last_error, "line 19999");
        assert_eq!(sh("printf '%0600d\n' 7 >&2", LONG).last_error.len(), 500);
    }

    #[test]
    fn its_environment_is_clean_and_its_input_empty() {
        let ran = sh("env | sed 's/=.*//' | grep -v '^PWD$\\|^_$\\|^SHLVL$\\|^OLDPWD$' | sort | tr '\\n' ' '; cat; pwd", LONG);
        assert_eq!(ran.stdout, "HOME LANG PATH /\n");
    }

    #[test]
    fn past_the_limit_it_and_its_children_are_killed() {
        let start = Instant::now();
        let ran = sh("echo working >&2; sleep 600 & echo $!; sleep 600", Duration::from_millis(1500));
        assert_eq!((ran.status, ran.last_error.as_str()), (None, "not done within 1.5 s: working"));
        assert!(start.elapsed() < Duration::from_secs(30));
        // the child belongs to init now, which may take a moment to reap it
        let child = format!("/proc/{}/stat", ran.stdout.trim());
        let gone = || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(30), "{child} is still there");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_left_behind_does_not_keep_us_waiting() {
        let start = Instant::now();
        let ran = sh("echo done; sleep 60 & echo $!", LONG);
        assert!(ran.stdout.starts_with("done\n") && ran.status == Some(0));
        assert!(start.elapsed() < Duration::from_secs(30));
        let left = ran.stdout.lines().last().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }
}
