//! Scratch folders for tests; gone at the end of the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A new folder, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    #[allow(clippy::new_without_default)] // making a folder is no default
    /// In the usual place.
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }
    /// On the file system that holds this folder.
    pub fn within(above: &Path) -> Self {
        let path = above.join(format!("pikit-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&path).unwrap();
        Scratch(path.canonicalize().unwrap())
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
