//! The updater's API in the demo: the real `serve`, started again when it ends, as systemd would.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Folder, http};
use crate::error::{Doing, Error, Result};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it still runs.
const LOOK: Duration = Duration::from_millis(200);

/// Keeps it running until it is stopped.
pub struct Api {
    child: Arc<Mutex<Option<Child>>>,
}

impl Api {
    /// Starts it, and returns when it answers.
    ///
    /// # Errors
    /// It does not.
    pub fn start(folder: &Folder, exe: &Path, port: u16) -> Result<Self> {
        let (exe, board) = (exe.to_owned(), folder.board());
        let spawn = move || {
            let mut command = Command::new(&exe);
            command.args(["demo", "api", "--root"]).arg(&board);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().doing(|| "starting the API".into())
        };
        let child = Arc::new(Mutex::new(Some(spawn()?)));
        let keep = Arc::clone(&child);
        let keeping = move || {
            loop {
                std::thread::sleep(LOOK);
                let mut held = lock(&keep);
                match &mut *held {
                    None => return,
                    // one that cannot be started now is tried again at the next look
                    Some(child) => match child.try_wait() {
                        Ok(Some(_)) => drop(spawn().map(|fresh| *child = fresh)),
                        _ => continue,
                    },
                }
            }
        };
        std::thread::Builder::new().name("api".into()).spawn(keeping).doing(|| "starting the API".into())?;
        let begun = Instant::now();
        while http::get(port, "/ping").is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(Error::unexpected("the API of the demo does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Api { child })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.child).take() {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

fn lock(child: &Mutex<Option<Child>>) -> MutexGuard<'_, Option<Child>> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends this process when the demo that the board belongs to is over, however it ended.
///
/// # Errors
/// The board is no demo's.
pub fn end_with_the_demo(root: &Path) -> Result<()> {
    let folder = Folder::of_board(root)?;
    let waiting = move || {
        // an error means that there is no telling: then it is over too
        let _ = folder.wait_for_the_end();
        std::process::exit(0);
    };
    std::thread::Builder::new().name("demo".into()).spawn(waiting).map(drop).doing(|| "waiting for the demo".into())
}
