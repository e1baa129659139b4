//! The door to the file system: the few verbs the trip needs. [`super::real`] is the real one; `sim` (tests) keeps a volatile
//! and a durable half and loses power wherever a test wants it to. Both pass one contract suite.
//!
//! All paths are absolute. No verb follows a symbolic link in the last part of a path, and the real disk follows none on the way to
//! a managed path or below it: a link in the middle of a path there is ELOOP. Errors are Linux's, with its `ErrorKind`s. Nothing is durable before [`Disk::sync_fs`], [`Disk::sync_dir`] or [`NewFile::sync`] returned.

use std::ffi::OsString;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// What the file system says about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Device number of its file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Names it has.
    pub nlink: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the epoch.
    pub mtime: i128,
    /// Permission bits with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a file system can do and how much room it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Device number.
    pub dev: u64,
    /// Bytes free for us.
    pub free: u64,
    /// Size of a block, bytes.
    pub block: u64,
    /// Mounted read-only.
    pub read_only: bool,
    /// Whether folders can be exchanged and inode numbers last: ext4, xfs, btrfs, f2fs, tmpfs can; overlayfs, vfat, network ones cannot.
    pub exchanges: bool,
    /// Whether it keeps owners and modes (vfat and exfat do not).
    pub has_modes: bool,
    /// Its name, for messages.
    pub name: &'static str,
}

/// Whether a path was refused because a symbolic link lies on it, where none is followed.
pub fn is_behind_a_link(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
}

/// A file being written.
pub trait NewFile: Write {
    /// Sets owner, then mode: the other way round the kernel would clear bits.
    fn own(&mut self, uid: u32, gid: u32, mode: u32) -> io::Result<()>;
    /// Makes its content durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// The verbs.
pub trait Disk {
    /// What lies there (lstat); `None` when nothing does, also because a part of the path is a file.
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>>;
    /// Names in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;
    /// Opens a regular file; anything else is an error, at once (a pipe does not block).
    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>>;
    /// Target of a symbolic link.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    /// Makes a new file with this mode, whatever the umask, less what would let others write before it is whole: [`NewFile::own`] gives
    /// them that. It must not exist.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn NewFile>>;
    /// Opens a file to write at its end, and makes it (0644, less the umask) if need be.
    fn append(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Makes a folder with exactly this mode; it must not exist.
    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Sets owner and mode of a folder that was made through this door, where they differ.
    fn own_dir(&self, path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()>;
    /// Gives the entry a second name; a symbolic link gets one itself. Not for folders.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames; replaces what lies at `to`, unless `new_only` (`AlreadyExists`). Two names of one inode: both stay, and that is no error.
    fn rename(&self, from: &Path, to: &Path, new_only: bool) -> io::Result<()>;
    /// Exchanges two entries atomically (`renameat2` with `RENAME_EXCHANGE`).
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;
    /// Removes a name that is not a folder.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn rmdir(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything on the file system that holds this path durable (`syncfs`).
    fn sync_fs(&self, path: &Path) -> io::Result<()>;
    /// The file system that holds this existing path.
    fn volume(&self, path: &Path) -> io::Result<Volume>;
    /// Folders on which something is mounted.
    fn mounts(&self) -> io::Result<Vec<PathBuf>>;
}
