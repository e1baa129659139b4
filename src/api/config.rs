//! The config, as the API knows it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::Settings;
use crate::error::Result;

/// The config, read again when its file changes: whoever sets the hour on the page wants to see it there.
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Makes settings of it.
    pub read: Box<dyn Fn() -> Result<Settings> + Send + Sync>,
    /// What it said, and which file said so.
    known: Mutex<(Option<Version>, Arc<Settings>)>,
}

/// Tells one version of a file from the next.
type Version = (u64, i64, i64, u64);

impl Config {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// It is none.
    pub fn new(path: PathBuf, read: Box<dyn Fn() -> Result<Settings> + Send + Sync>) -> Result<Self> {
        let version = version(&path);
        let settings = Arc::new(read()?);
        Ok(Config { path, read, known: Mutex::new((version, settings)) })
    }
    /// What it says now. One that cannot be read just now has said what it said before.
    pub fn settings(&self) -> Arc<Settings> {
        let now = version(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now != known.0
            && let Ok(settings) = (self.read)()
        {
            *known = (now, Arc::new(settings));
        }
        Arc::clone(&known.1)
    }
}

fn version(path: &std::path::Path) -> Option<Version> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.size()))
}
