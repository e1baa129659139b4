//! The real disk: every verb is one `*at` call relative to an opened parent folder, so that nobody who can write below a managed
//! path can steer us elsewhere with a symbolic link. How the parent is found is [`super::resolve`]'s affair.
//!
//! Deliberately not done: nothing is buffered, nothing is retried except EINTR, and two runs over the same tree make the same
//! system calls in the same order (the tests kill the process at each of them).
//!
//! Limits: an I/O error that the kernel met before [`Disk::sync_fs`] opened its handle is reported by Linux 5.8 and later only;
//! who seals a tree reads it back.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::{Errno, retry_on_intr};

use super::disk::{Content, Disk, Kind, Meta, NewFile, Volume};
use super::resolve::Resolver;
use super::volume;

/// The disk of the board.
#[derive(Debug)]
pub struct RealDisk {
    resolver: Resolver,
    /// Folders that were made through this door, by device and inode: only these change owner.
    made: RefCell<HashSet<(u64, u64)>>,
}

/// Opened for reading: never through a link, never waiting for the other end of a pipe.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Opened as a folder.
const FOLDER: OFlags = READ.union(OFlags::DIRECTORY);

impl RealDisk {
    /// A disk that follows no symbolic link on the way to these folders nor below them: links of root's on the way were followed
    /// before, by [`super::way::follow`]. An anchor need not exist yet. Of nested anchors the longest counts.
    pub fn new(anchors: Vec<PathBuf>) -> Self {
        RealDisk { resolver: Resolver::new(anchors), made: RefCell::default() }
    }

    /// The same without `openat2`, as on a kernel before 5.6.
    #[cfg(test)]
    pub fn without_openat2(anchors: Vec<PathBuf>) -> Self {
        RealDisk { resolver: Resolver::new(anchors).walking(), made: RefCell::default() }
    }

    fn open_at(&self, path: &Path, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        self.resolver.at(path, |dir, name| rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode)))
    }

    fn open_dir(&self, dir: &Path) -> io::Result<OwnedFd> {
        self.open_anchor(dir, FOLDER)
    }

    fn open_anchor(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.resolver.at_anchor(path, |dir, name| rustix::fs::openat(dir, name, flags, Mode::empty()))
    }
}

impl Disk for RealDisk {
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        match self.resolver.at(path, |dir, name| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(meta(&stat))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.resolver.forget(None);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(self.open_dir(dir)?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>> {
        Ok(Box::new(File::from(regular(self.open_at(path, READ, 0))?)))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let target = self.resolver.at(path, |dir, name| rustix::fs::readlinkat(dir, name, Vec::new()))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn NewFile>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // who could open it for writing now could change it after it was hashed
        let mode = mode & NOT_OTHERS;
        let fd = self.open_at(path, flags, mode)?;
        set_mode(&fd, mode)?;
        Ok(Box::new(RealFile(File::from(fd))))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Box::new(RealFile(File::from(regular(self.open_at(path, flags, 0o644))?))))
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.resolver.at(path, |dir, name| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)))?;
        let dir = self.open_at(path, FOLDER, 0)?;
        self.made.borrow_mut().insert(just_made(&dir)?);
        set_mode(&dir, mode)
    }

    fn own_dir(&self, path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        let dir = self.open_dir(path)?;
        let stat = rustix::fs::fstat(&dir)?;
        // whoever may rename here could put another folder of root's in its place, and would be given that
        let differs = (stat.st_uid, stat.st_gid) != (uid, gid) || mode_of(&stat) != mode & 0o7777;
        if differs && !self.made.borrow().contains(&identity(&stat)) && volume::of(&dir)?.exchanges {
            return Err(replaced());
        }
        own(&dir, uid, gid, mode)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        // without AT_SYMLINK_FOLLOW a symbolic link is itself given the second name
        self.resolver.at_both(from, to, |d1, n1, d2, n2| rustix::fs::linkat(d1, n1, d2, n2, AtFlags::empty()))
    }

    fn rename(&self, from: &Path, to: &Path, new_only: bool) -> io::Result<()> {
        let plain = || self.resolver.at_both(from, to, |d1, n1, d2, n2| rustix::fs::renameat(d1, n1, d2, n2));
        let new = || self.resolver.at_both(from, to, |d1, n1, d2, n2| rustix::fs::renameat_with(d1, n1, d2, n2, RenameFlags::NOREPLACE));
        let result = if new_only {
            match new() {
                // NFS and some FUSE file systems do not know the flag; the lock keeps a second updater from slipping in between
                Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::NOSYS)) => match self.meta(to)? {
                    Some(_) => Err(Errno::EXIST.into()),
                    None => plain(),
                },
                other => other,
            }
        } else {
            plain()
        };
        self.resolver.forget(Some(&[from, to]));
        result
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let result = self.resolver.at_both(a, b, |d1, n1, d2, n2| rustix::fs::renameat_with(d1, n1, d2, n2, RenameFlags::EXCHANGE));
        self.resolver.forget(Some(&[a, b]));
        result
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.resolver.at(path, |dir, name| rustix::fs::unlinkat(dir, name, AtFlags::empty()))
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        let result = self.resolver.at(path, |dir, name| rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR));
        self.resolver.forget(Some(&[path]));
        result
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.resolver.forget(None);
        let fd = self.open_dir(dir)?;
        match retry_on_intr(|| rustix::fs::fsync(&fd)) {
            // file systems without a durable folder of their own (some FUSE, CIFS) say so; there is nothing more one could do
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }

    fn sync_fs(&self, path: &Path) -> io::Result<()> {
        self.resolver.forget(None);
        let fd = self.open_anchor(path, READ)?;
        Ok(retry_on_intr(|| rustix::fs::syncfs(&fd))?)
    }

    fn volume(&self, path: &Path) -> io::Result<Volume> {
        volume::of(self.open_anchor(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?)
    }

    fn mounts(&self) -> io::Result<Vec<PathBuf>> {
        Ok(volume::mount_points(&std::fs::read("/proc/self/mountinfo")?))
    }
}

struct RealFile(File);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for RealFile {
    fn own(&mut self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        own(&self.0, uid, gid, mode)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }
}

/// A new file is nobody else's to write until it gets its owner.
const NOT_OTHERS: u32 = 0o7755;

fn replaced() -> io::Error {
    io::Error::other("somebody put another folder in the place of the one that was made there")
}

/// The identity of a folder that this process made an instant ago. Where others may rename, it may be another one: a folder of ours is
/// empty, and taking an empty one of root's for it harms nobody.
fn just_made(dir: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(dir)?;
    if rustix::process::geteuid().is_root() {
        let foreign = stat.st_uid != 0 && volume::of(dir)?.has_modes;
        let mut entries = rustix::fs::Dir::read_from(dir)?;
        if foreign || entries.any(|e| e.is_ok_and(|e| !matches!(e.file_name().to_bytes(), b"." | b".."))) {
            return Err(replaced());
        }
    }
    Ok(identity(&stat))
}

#[allow(clippy::unnecessary_cast)] // the widths of these fields differ between architectures
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Owner first: a change of owner clears bits of the mode. Nothing is called that would change nothing, so that a run without root
/// works in a sandbox of its own files.
fn own(fd: impl AsFd, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let stat = retry_on_intr(|| rustix::fs::fstat(&fd))?;
    let differs = (stat.st_uid, stat.st_gid) != (uid, gid);
    if differs {
        let result = retry_on_intr(|| rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))));
        forgive(fd.as_fd(), result)?;
    }
    if differs || mode_of(&stat) != mode & 0o7777 { change_mode(fd.as_fd(), mode) } else { Ok(()) }
}

/// Sets the mode when it differs; the umask has no say.
fn set_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    let stat = retry_on_intr(|| rustix::fs::fstat(&fd))?;
    if mode_of(&stat) == mode & 0o7777 { Ok(()) } else { change_mode(fd.as_fd(), mode) }
}

fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let result = retry_on_intr(|| rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777)));
    forgive(fd, result)
}

fn mode_of(stat: &Stat) -> u32 {
    Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777
}

/// A stick without owners and modes refuses them; that is no failure there, and only there.
fn forgive(fd: BorrowedFd<'_>, result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if !volume::of(fd)?.has_modes => Ok(()),
        other => Ok(other?),
    }
}

/// The handle, if it is one of a regular file.
fn regular(opened: io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    let fd = match opened {
        // a socket, a device without a driver, a pipe that nobody reads
        Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::NXIO | Errno::NODEV)) => return Err(other()),
        opened => opened?,
    };
    match kind(&retry_on_intr(|| rustix::fs::fstat(&fd))?) {
        Kind::File => Ok(fd),
        Kind::Dir => Err(Errno::ISDIR.into()),
        Kind::Link | Kind::Other => Err(other()),
    }
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

/// The widths of these fields differ between the boards' architectures.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
fn meta(stat: &Stat) -> Meta {
    Meta {
        kind: kind(stat),
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        nlink: stat.st_nlink as u64,
        size: stat.st_size as u64,
        mtime: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        mode: stat.st_mode as u32 & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}
