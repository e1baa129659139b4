//! The demo's folder: what lies where in it, and the one file that says it is a demo's.
//!
//! That file also carries the lock that tells whether the demo is alive. The kernel drops it with its holder, whatever killed it: a
//! process that belongs to the demo waits for the lock, and ends when it gets it.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};

const MARKER: &str = "pikit-demo.json";
const WHAT: &str = "a demo of pikit-updater; `pikit-updater demo` makes it afresh";

/// A demo's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
}

/// The marker's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Marker {
    what: String,
    dashboard_port: u16,
}

/// Held as long as the demo runs.
pub struct Alive(File);

impl Folder {
    /// Takes a folder for a demo: a new one, an empty one, or that of an earlier demo, which is cleared.
    ///
    /// # Errors
    /// The folder holds something else, or a demo runs in it.
    pub fn claim(dir: &Path) -> Result<(Folder, Alive)> {
        let looking = || format!("looking at {}", dir.display());
        fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
        let folder = Folder { dir: dir.canonicalize().doing(looking)? };
        let marker = folder.marker();
        let known = fs::read_to_string(&marker).ok().and_then(|text| serde_json::from_str::<Marker>(&text).ok()).is_some_and(|m| m.what == WHAT);
        if !known && fs::read_dir(&folder.dir).doing(looking)?.next().is_some() {
            return Err(Error::refused(format!("{} holds something that is not a demo", dir.display())).hint("name a folder that does not exist yet"));
        }
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&marker);
        let alive = Alive(options.doing(|| format!("making {}", marker.display()))?);
        alive.lock(dir)?;
        alive.write(&marker, 0)?;
        // only what a demo made: a file that a person put beside it stays
        for part in [folder.board(), folder.releases(), folder.product()] {
            match fs::remove_dir_all(&part) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).doing(|| format!("clearing {}", part.display())),
                _ => {}
            }
        }
        Ok((folder, alive))
    }

    /// The demo that a sandbox board belongs to.
    ///
    /// # Errors
    /// It belongs to none.
    pub fn of_board(root: &Path) -> Result<Folder> {
        let no_demo = || Error::usage(format!("{} is not the board of a demo", root.display())).hint("begin with `pikit-updater demo`");
        let dir = root.parent().ok_or_else(no_demo)?.to_owned();
        let folder = Folder { dir };
        folder.dashboard_port().map_err(|_| no_demo())?;
        Ok(folder)
    }

    /// Where the board's dashboard answers on loopback.
    ///
    /// # Errors
    /// The marker cannot be read.
    pub fn dashboard_port(&self) -> Result<u16> {
        let reading = || format!("reading {}", self.marker().display());
        let text = fs::read_to_string(self.marker()).doing(reading)?;
        let marker: Marker = serde_json::from_str(&text).map_err(|e| Error::unexpected(reading()).because(e))?;
        Ok(marker.dashboard_port)
    }

    /// Returns when the demo is over.
    ///
    /// # Errors
    /// There is no way to know.
    pub fn wait_for_the_end(&self) -> Result<()> {
        let waiting = || format!("waiting for the lock of {}", self.marker().display());
        File::open(self.marker()).doing(waiting)?.lock_shared().doing(waiting)
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    fn marker(&self) -> PathBuf {
        self.dir.join(MARKER)
    }
    /// The sandbox that is the updater's `--root`.
    pub fn board(&self) -> PathBuf {
        self.dir.join("board")
    }
    /// The packed releases, a folder each.
    pub fn releases(&self) -> PathBuf {
        self.dir.join("releases")
    }
    /// The sample product as its maintainer has it.
    pub fn product(&self) -> PathBuf {
        self.dir.join("product")
    }
    /// The maintainer's key, less the ends of its two files' names.
    pub fn key(&self) -> PathBuf {
        self.product().join("pikit")
    }
    /// The files of the dashboard on the board.
    pub fn web(&self) -> PathBuf {
        self.board().join("var/www/pikit-web")
    }
    /// The configuration of the dashboard's API on the board.
    pub fn api_config(&self) -> PathBuf {
        self.board().join("usr/local/share/pikit/pikit-api.json")
    }
    /// Who runs the dashboard.
    pub fn pid_file(&self) -> PathBuf {
        self.board().join("var/run/pikit-api.pid")
    }
    /// What the dashboard says.
    pub fn dashboard_log(&self) -> PathBuf {
        self.board().join("var/log/pikit-api.log")
    }
}

impl Alive {
    /// Writes down where the dashboard will answer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&self, folder: &Folder, dashboard_port: u16) -> Result<()> {
        self.write(&folder.marker(), dashboard_port)
    }

    // in place: a file renamed over this one would not be the one that is locked
    fn write(&self, marker: &Path, dashboard_port: u16) -> Result<()> {
        let writing = || format!("writing {}", marker.display());
        let text = serde_json::to_string(&Marker { what: WHAT.into(), dashboard_port }).expect("a marker is plain data");
        let mut file = &self.0;
        file.rewind().doing(writing)?;
        file.write_all(format!("{text}\n").as_bytes()).doing(writing)?;
        file.set_len(text.len() as u64 + 1).doing(writing)
    }

    /// A dashboard of an earlier demo holds the lock for the instant in which it ends: that is waited for.
    fn lock(&self, dir: &Path) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.0.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() < Duration::from_secs(2) => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::WouldBlock) => {
                    let busy = Error::new(crate::Code::Busy, format!("a demo runs in {} already", dir.display()));
                    return Err(busy.hint("use it, or name another folder"));
                }
                Err(TryLockError::Error(e)) => return Err(e).doing(|| format!("locking {}", dir.display())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_own_folder_again_and_no_other() {
        let dir = std::env::temp_dir().join(format!("pikit-demo-folder-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let (folder, alive) = Folder::claim(&dir).unwrap();
        alive.tell(&folder, 4711).unwrap();
        fs::create_dir_all(folder.board()).unwrap();
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        assert_eq!(Folder::of_board(&folder.board()).unwrap().dashboard_port().unwrap(), 4711);
        assert_eq!(Folder::claim(&dir).err().unwrap().code, crate::Code::Busy);
        drop(alive);
        folder.wait_for_the_end().unwrap();
        Folder::claim(&dir).unwrap();
        assert!(!folder.board().exists() && dir.join("notes.txt").exists());

        let home = dir.join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("thesis.odt"), "years").unwrap();
        assert_eq!(Folder::claim(&home).err().unwrap().code, crate::Code::Refused);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
        assert!(Folder::of_board(&home.join("board")).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
