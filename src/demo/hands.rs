//! Runs the real updater as a person would, one command at a time, and sees that none is left behind.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Folder, control};
use crate::device::Layout;
use crate::error::{Doing, Error, Result};

/// How long a command that was asked to stop may take: it may have to finish a switch.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at a running command.
const LOOK: Duration = Duration::from_millis(10);

/// Runs commands on one board.
pub struct Hands {
    exe: PathBuf,
    root: PathBuf,
    /// A person types: commands may ask, and Ctrl-C is for the command.
    interactive: bool,
    running: Mutex<Option<Child>>,
    stopping: AtomicBool,
}

impl Hands {
    /// Hands for a board.
    pub fn new(exe: PathBuf, root: PathBuf, interactive: bool) -> Self {
        Hands { exe, root, interactive, running: Mutex::new(None), stopping: AtomicBool::new(false) }
    }

    /// Shows a command line and runs it in plain sight; tells its exit code.
    ///
    /// # Errors
    /// It cannot be started, or the demo is being stopped.
    pub fn run(&self, words: &[&str]) -> Result<u8> {
        self.show(words);
        let stdin = if self.interactive { Stdio::inherit() } else { Stdio::null() };
        self.start(self.command(words).stdin(stdin))?;
        self.wait()
    }

    /// Runs a command and takes what it says on stdout.
    ///
    /// # Errors
    /// As for [`Hands::run`].
    pub fn ask(&self, words: &[&str]) -> Result<(u8, String)> {
        self.start(self.command(words).stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let stdout = self.lock().as_mut().and_then(|child| child.stdout.take());
        let mut said = String::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_string(&mut said).doing(|| "reading what the updater says".into())?;
        }
        Ok((self.wait()?, said))
    }

    /// Runs a command and kills it (SIGKILL) in the first of these phases that is seen; tells which, `None` if it was over before.
    ///
    /// # Errors
    /// As for [`Hands::run`].
    pub fn run_and_kill(&self, words: &[&str], phases: &[&str]) -> Result<Option<String>> {
        self.show(words);
        self.start(self.command(words).stdin(Stdio::null()))?;
        loop {
            if let Some(phase) = self.phase().filter(|p| phases.contains(&p.as_str())) {
                let Some(mut child) = self.lock().take() else { return Ok(None) };
                child.kill().doing(|| "killing the updater".into())?;
                child.wait().doing(|| "waiting for the updater".into())?;
                return Ok(Some(phase));
            }
            if self.over()?.is_some() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The phase that the board tells.
    fn phase(&self) -> Option<String> {
        let text = std::fs::read(Layout::new(&self.root).progress()).ok()?;
        let progress: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(progress["phase"].as_str()?.to_owned())
    }

    fn show(&self, words: &[&str]) {
        let name = self.exe.file_name().map_or_else(|| "pikit-updater".into(), |n| n.to_string_lossy());
        println!("\n$ {name} --root {} {}", super::short(&self.root), words.join(" "));
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.exe);
        command.arg("--root").arg(&self.root).args(words);
        // everything is on loopback: a proxy of the environment could only be in the way
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    fn start(&self, command: &mut Command) -> Result<()> {
        let mut running = self.lock();
        if self.stopping.load(Ordering::SeqCst) {
            return Err(stopped());
        }
        let child = command.spawn().doing(|| format!("starting {}", self.exe.display()))?;
        *running = Some(child);
        Ok(())
    }

    fn wait(&self) -> Result<u8> {
        loop {
            if let Some(code) = self.over()? {
                return if self.stopping.load(Ordering::SeqCst) { Err(stopped()) } else { Ok(code) };
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The exit code of the command that ran, as a shell tells it; `None` while it runs.
    fn over(&self) -> Result<Option<u8>> {
        let mut running = self.lock();
        let Some(child) = running.as_mut() else { return Ok(Some(0)) };
        let Some(status) = child.try_wait().doing(|| "waiting for the updater".into())? else { return Ok(None) };
        *running = None;
        let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
        Ok(Some(u8::try_from(code).unwrap_or(1)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a running command: asks it first.
    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let mut asked = false;
        while matches!(self.over(), Ok(None)) {
            if let Some(child) = self.lock().as_mut() {
                if begun.elapsed() > PATIENCE {
                    // what it leaves is settled by `recover`, and here the whole board is thrown away
                    let _ = child.kill();
                } else if !asked {
                    asked = true;
                    let _ = Pid::from_raw(child.id().cast_signed()).map(|pid| kill_process(pid, Signal::TERM));
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    fn is_running(&self) -> bool {
        self.lock().is_some()
    }
}

fn stopped() -> Error {
    Error::cancelled("the demo was stopped")
}

/// From now on a signal ends the running command, the dashboard and then the demo. At the prompt Ctrl-C reaches a running command by
/// itself, and means that one only.
///
/// # Errors
/// Signals cannot be caught.
pub fn end_on_signals(hands: &Arc<Hands>, folder: &Folder) -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).doing(|| "waiting for signals".into())?;
    let (hands, folder) = (Arc::clone(hands), folder.clone());
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGINT && hands.interactive && hands.is_running() {
                continue;
            }
            hands.stop();
            let _ = control::stop(&folder);
            // the terminal may be what went away
            let _ = writeln!(std::io::stderr(), "\nthe demo was stopped");
            std::process::exit(i32::from(crate::Code::Cancelled as u8));
        }
    });
    Ok(())
}
