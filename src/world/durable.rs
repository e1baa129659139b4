//! Small files that survive a power cut, and folders made and removed with care. Everything the updater writes for itself goes
//! through here; bulk trees are written with the plain verbs and synced once.
//!
//! Each function is safe to be cut anywhere and simply called again.

use std::ffi::OsString;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Kind, Meta, NewFile};

/// Bytes of one write.
const CHUNK: usize = 32 << 10;

/// The bytes of a small file; `None` when it is not there.
///
/// # Errors
/// `InvalidData` when it is larger than `limit` bytes; otherwise what the disk says.
pub fn read(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = match disk.open(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    // a buffer that grows by doubling ends up twice as large as a long list; what has no end to go to is short
    if let Ok(size) = file.seek(SeekFrom::End(0)) {
        file.rewind()?;
        bytes.reserve_exact(size.min(limit) as usize + 1);
    }
    // one byte more than allowed, so that a file of exactly the limit is told apart from a longer one
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Puts these bytes at this path: afterwards, and after a power cut at any moment, the path holds the old bytes or the new ones, whole.
///
/// # Errors
/// What the disk says; then the old bytes are still there, or the new ones are there but may not outlast a power cut.
pub fn save(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    save_with(disk, path, mode, &|to| to.write_all(bytes))
}

/// The same for what is written piece by piece: it may be long, and is not held.
///
/// # Errors
/// As for [`save`], or what the writer says.
pub fn save_with(disk: &dyn Disk, path: &Path, mode: u32, write: &Write) -> io::Result<()> {
    put(disk, path, write, |_| Ok(()), mode, || true).map(drop)
}

/// Writes the bytes of a file.
pub type Write<'w> = dyn Fn(&mut dyn io::Write) -> io::Result<()> + 'w;

/// The same for a file of somebody else's: it keeps its owner and mode, and if it does not hold `before` any more when the new one is ready,
/// it is left alone and the answer is `false`.
///
/// # Errors
/// As for [`save`].
pub fn replace(disk: &dyn Disk, path: &Path, before: &[u8], bytes: &[u8], meta: &Meta) -> io::Result<bool> {
    let own = |file: &mut dyn NewFile| file.own(meta.uid, meta.gid, meta.mode);
    put(disk, path, &|to| to.write_all(bytes), own, meta.mode, || read(disk, path, before.len() as u64).is_ok_and(|held| held.as_deref() == Some(before)))
}

fn put(
    disk: &dyn Disk,
    path: &Path,
    write: &Write,
    own: impl FnOnce(&mut dyn NewFile) -> io::Result<()>,
    mode: u32,
    wanted: impl FnOnce() -> bool,
) -> io::Result<bool> {
    let temp = beside(path)?;
    remove(disk, &temp)?; // of a run that was killed
    let written = (|| {
        let mut file = disk.create(&temp, mode)?;
        own(file.as_mut())?;
        let mut buffered = io::BufWriter::with_capacity(CHUNK, file.as_mut());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        // content before name: the other order leaves an empty file under the real name
        file.sync()?;
        if !wanted() {
            return Ok(false);
        }
        disk.rename(&temp, path, false).map(|()| true)
    })();
    if !matches!(written, Ok(true)) {
        let _ = disk.unlink(&temp); // gives the space back; the first error is the one to tell
        return written;
    }
    disk.sync_dir(parent(path)?).map(|()| true)
}

/// Puts these bytes at this path, whole or not at all for whoever reads, and without syncing anything: for what is only a view, and for
/// folders in memory. Makes the folder above if need be.
///
/// # Errors
/// What the disk says; then what was there before still is.
pub fn tell(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    tell_with(disk, path, |to| to.write_all(bytes))
}

/// The same for what is written piece by piece: it may be long, and is not held.
///
/// # Errors
/// As for [`tell`], or what the writer says.
pub fn tell_with(disk: &dyn Disk, path: &Path, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_extension("new");
    make_dirs(disk, parent(path)?, 0o755)?;
    remove(disk, &fresh)?;
    let mut to = io::BufWriter::new(disk.create(&fresh, 0o644)?);
    write(&mut to)?;
    to.flush()?;
    disk.rename(&fresh, path, false)
}

/// The temporary file of [`save`]: in the same folder, because a rename must not leave its file system.
///
/// # Errors
/// The path has no name.
pub fn beside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file needs a name"));
    };
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(".pikit-tmp");
    Ok(path.with_file_name(temp))
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the root has no folder above it"))
}

/// Whether anything lies there, a dangling link included.
///
/// # Errors
/// What the disk says.
pub fn exists(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    Ok(disk.meta(path)?.is_some())
}

/// Removes a name that is not a folder; absent is fine. Not durable by itself.
///
/// # Errors
/// What the disk says.
pub fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.unlink(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}

/// Makes the folders above `inside` below `root`, which is there. Existing ones are left alone; new ones get the owner, if one is named.
/// Not durable by itself.
///
/// # Errors
/// What the disk says.
pub fn make_parents(disk: &dyn Disk, root: &Path, inside: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    for end in inside.match_indices('/').map(|(i, _)| i) {
        let dir = root.join(&inside[..end]);
        if disk.meta(&dir)?.is_none_or(|m| m.kind != Kind::Dir) {
            disk.mkdir(&dir, 0o755)?;
            if let Some((uid, gid)) = owner {
                disk.own_dir(&dir, uid, gid, 0o755)?;
            }
        }
    }
    Ok(())
}

/// Makes a folder and those above it that are missing, each durably; folders that exist keep their mode.
///
/// # Errors
/// `NotADirectory` when something else, a symbolic link included, lies at the path itself. A link above it is followed
/// where the disk follows links.
pub fn make_dirs(disk: &dyn Disk, path: &Path, mode: u32) -> io::Result<()> {
    match disk.meta(path)? {
        Some(meta) if meta.kind == Kind::Dir => return Ok(()),
        Some(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", path.display()))),
        None => {}
    }
    let above = parent(path)?;
    if disk.meta(above)?.is_none() {
        make_dirs(disk, above, mode)?;
    }
    match disk.mkdir(path, mode) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => make_dirs(disk, path, mode)?, // somebody was faster; is it a folder?
        made => made?,
    }
    disk.sync_dir(above)
}

/// [`remove_tree`] with the folder's own file system as the border; absent is fine.
///
/// # Errors
/// What the disk says.
pub fn remove_whole(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.meta(path)? {
        Some(meta) => remove_tree(disk, path, meta.dev),
        None => Ok(()),
    }
}

/// Removes whatever lies there, with all below it; absent is fine. Links are removed, not followed. Nothing is removed when something is mounted
/// at or below the path, and no folder outside the file system `same_dev` is entered. Not durable by itself: sync the folder above.
///
/// # Errors
/// `CrossesDevices` for a mount; `DirectoryNotEmpty` when somebody made a file meanwhile: theirs is not removed unseen.
pub fn remove_tree(disk: &dyn Disk, path: &Path, same_dev: u64) -> io::Result<()> {
    // a bind mount of the same file system has the same device number: only the list of mounts shows it
    if let Some(mount) = disk.mounts()?.iter().find(|m| m.starts_with(path)) {
        return Err(mounted(mount));
    }
    remove_below(disk, path, same_dev)
}

fn remove_below(disk: &dyn Disk, path: &Path, same_dev: u64) -> io::Result<()> {
    let Some(meta) = disk.meta(path)? else { return Ok(()) };
    if meta.kind != Kind::Dir {
        return remove(disk, path);
    }
    // of folders only: on overlayfs files carry the number of the layer they come from
    if meta.dev != same_dev {
        return Err(mounted(path));
    }
    for name in disk.list(path)? {
        remove_below(disk, &path.join(name), same_dev)?;
    }
    match disk.rmdir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn mounted(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::CrossesDevices, format!("something is mounted at {}", path.display()))
}

/// Adds one line to a file, durably. The line has no newline in it.
///
/// # Errors
/// What the disk says; then the line may be there in part, and the next one starts on a line of its own.
pub fn append_line(disk: &dyn Disk, path: &Path, line: &str) -> io::Result<()> {
    let new = !exists(disk, path)?;
    let mut file = open_lines(disk, path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync()?;
    if new { disk.sync_dir(parent(path)?) } else { Ok(()) }
}

/// Opens a file to add lines to it, and ends a last line that a power cut left torn. Reads the file once, to its end.
///
/// # Errors
/// What the disk says.
pub fn open_lines(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn NewFile>> {
    let torn = match disk.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        opened => !matches!(last_byte(opened?)?, None | Some(b'\n')),
    };
    let mut file = disk.append(path)?;
    if torn {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn last_byte(mut file: Box<dyn Read>) -> io::Result<Option<u8>> {
    let (mut last, mut chunk) = (None, [0; 8192]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(last),
            Ok(n) => last = Some(chunk[n - 1]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests;
