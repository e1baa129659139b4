//! A disk that can only be looked at: what `--dry-run`, `status` and `verify` are handed, so that no path through the trip, however
//! mistaken, can write anything. Every verb that would change something fails like a read-only file system.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Content, Disk, Meta, NewFile, Volume};

/// Another disk, without its writing verbs.
#[derive(Clone, Copy)]
pub struct LookOnly<'d>(pub &'d dyn Disk);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "this command only looks"))
}

impl Disk for LookOnly<'_> {
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.0.meta(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>> {
        self.0.open(path)
    }
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.read_link(path)
    }
    fn volume(&self, path: &Path) -> io::Result<Volume> {
        self.0.volume(path)
    }
    fn mounts(&self) -> io::Result<Vec<PathBuf>> {
        self.0.mounts()
    }
    fn create(&self, _: &Path, _: u32) -> io::Result<Box<dyn NewFile>> {
        refused()
    }
    fn append(&self, _: &Path) -> io::Result<Box<dyn NewFile>> {
        refused()
    }
    fn mkdir(&self, _: &Path, _: u32) -> io::Result<()> {
        refused()
    }
    fn own_dir(&self, _: &Path, _: u32, _: u32, _: u32) -> io::Result<()> {
        refused()
    }
    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn rename(&self, _: &Path, _: &Path, _: bool) -> io::Result<()> {
        refused()
    }
    fn exchange(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn unlink(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn rmdir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_fs(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}
