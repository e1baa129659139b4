//! A bundle that came through the page. It lies at one fixed place, in a folder of the API's user: nothing there is believed. The side that may
//! change things takes it away from there before it looks at it, and then treats it like a bundle from a stick.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::survey::{self, CopyError};
use crate::device::Layout;
use crate::error::{Doing, Error, Result};
use crate::quantity::bytes;
use crate::world::{Clock, Disk, Kind, durable};

/// Its name.
const NAME: &str = "bundle.tar.gz";
/// What was taken, until it is installed.
const TAKEN: &str = "uploaded-";
/// How long one that nobody installs is kept, hours.
const HOURS: i64 = 24;

/// Where it lies.
pub fn place(layout: &Layout) -> PathBuf {
    layout.uploads().join(NAME)
}

/// Writes what comes to its place; one that was there goes first. What breaks off leaves nothing.
///
/// # Errors
/// There is no room, it breaks off, or the folder is not ours to write to.
pub fn receive(disk: &dyn Disk, layout: &Layout, clock: &dyn Clock, from: &mut dyn Read, length: u64, min_free: u64) -> Result<()> {
    let dir = layout.uploads();
    durable::make_dirs(disk, &dir, 0o700).map_err(|e| {
        Error::unexpected(format!("there is no folder {} for uploads", dir.display()))
            .because(e)
            .hint("`sudo systemd-tmpfiles --create pikit-update.conf` makes it")
    })?;
    clear(disk, layout, |_, _| true);
    let free = disk.volume(&dir).doing(|| format!("looking at {}", dir.display()))?.free;
    if free < length.saturating_add(min_free) {
        let words = format!("there is no room for {}: {} are free, and {} are to stay so", bytes(length), bytes(free), bytes(min_free));
        return Err(Error::refused(words).because(io::Error::from(io::ErrorKind::StorageFull)).hint("free some space on the card, then send it again"));
    }
    let coming = dir.join(format!(".{}", clock.new_id()));
    let written = write(disk, &coming, from, length).and_then(|()| {
        let place = place(layout);
        disk.rename(&coming, &place, false).doing(|| format!("writing {}", place.display()))
    });
    written.inspect_err(|_| drop(disk.unlink(&coming)))
}

fn write(disk: &dyn Disk, coming: &Path, from: &mut dyn Read, length: u64) -> Result<()> {
    let broke = |n: u64| Error::usage(format!("it broke off after {} of {}", bytes(n), bytes(length))).hint("send it again");
    let mut file = disk.create(coming, 0o600).doing(|| format!("writing {}", coming.display()))?;
    match survey::copy(&mut from.take(length), &mut file, &mut |_| Ok(())) {
        Ok(n) if n == length => Ok(()),
        Ok(n) => Err(broke(n)),
        Err(CopyError::Read(_)) => Err(broke(0)),
        Err(e) => Err(e.at(Path::new("the upload"), coming)),
    }
}

/// Nobody wants it.
pub fn discard(disk: &dyn Disk, layout: &Layout) {
    clear(disk, layout, |_, _| true);
}

/// Removes what nobody has wanted for a day, and what a server or a run that was killed left.
pub fn tidy(disk: &dyn Disk, layout: &Layout, now: DateTime<Utc>) {
    clear(disk, layout, |name, mtime| name != NAME || too_old(mtime, now));
    let fetched = layout.fetched();
    for name in disk.list(&fetched).unwrap_or_default().iter().filter(|n| n.to_str().is_some_and(|n| n.starts_with(TAKEN))) {
        let path = fetched.join(name);
        if disk.meta(&path).is_ok_and(|m| m.is_some_and(|m| too_old(m.mtime, now))) {
            let _ = durable::remove_whole(disk, &path);
        }
    }
}

fn too_old(mtime: i128, now: DateTime<Utc>) -> bool {
    let age = i128::from(now.timestamp()) - mtime / 1_000_000_000;
    // from the future: the clock was wrong, then or now
    !(-i128::from(HOURS * 3600)..=i128::from(HOURS * 3600)).contains(&age)
}

fn clear(disk: &dyn Disk, layout: &Layout, whom: impl Fn(&str, i128) -> bool) {
    let dir = layout.uploads();
    for name in disk.list(&dir).unwrap_or_default() {
        let path = dir.join(&name);
        let Ok(Some(meta)) = disk.meta(&path) else { continue };
        if whom(&name.to_string_lossy(), meta.mtime) {
            // what cannot be removed is in nobody's way
            let _ = durable::remove_whole(disk, &path);
        }
    }
}

/// Takes it away from the folder of others, and looks whether it is a file of theirs. Remove it when it was used.
///
/// # Errors
/// There is none, or what lies there is none; it is gone all the same.
pub fn take(disk: &dyn Disk, layout: &Layout, id: &str, limit: u64) -> Result<PathBuf> {
    let (dir, place) = (layout.uploads(), place(layout));
    let doing = || format!("taking the upload out of {}", dir.display());
    let none = || Error::refused("there is no uploaded file any more").hint("send it again: one that nobody installs is removed after a day");
    let owner = match disk.meta(&dir).doing(doing)? {
        Some(meta) if meta.kind == Kind::Dir => meta.uid,
        _ => return Err(none()),
    };
    let taken = layout.fetched().join(format!("{TAKEN}{id}.tar.gz"));
    match disk.rename(&place, &taken, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(none()),
        moved => moved.doing(doing)?,
    }
    // a second name is somebody else's file linked in
    let wrong = match disk.meta(&taken).doing(doing)? {
        Some(meta) if meta.kind != Kind::File => "it is no regular file",
        Some(meta) if meta.nlink != 1 || (meta.uid != owner && meta.uid != 0) => "it belongs to somebody else",
        Some(meta) if meta.size > limit => "it is too large",
        Some(_) => return Ok(taken),
        None => "it vanished",
    };
    durable::remove_whole(disk, &taken).doing(|| format!("removing {}", taken.display()))?;
    Err(Error::refused(format!("the upload was dropped: {wrong}")).hint("send it again; if it happens again, look who writes there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::clock::RealClock;
    use crate::world::real::RealDisk;
    use crate::world::scratch::Scratch;

    fn board() -> (Scratch, Layout, RealDisk, RealClock) {
        let scratch = Scratch::new();
        let layout = Layout::new(std::fs::canonicalize(scratch.path()).unwrap());
        std::fs::create_dir_all(layout.uploads()).unwrap();
        (scratch, layout, RealDisk::new(Vec::new()), RealClock::new())
    }

    #[test]
    fn what_came_whole_lies_there_and_what_broke_off_left_nothing() {
        let (_scratch, layout, disk, clock) = board();
        let put = |bytes: &[u8], length: u64, free: u64| receive(&disk, &layout, &clock, &mut &bytes[..], length, free);
        put(b"first", 5, 0).unwrap();
        put(b"second", 6, 0).unwrap();
        assert_eq!(std::fs::read(place(&layout)).unwrap(), b"second");
        assert!(put(b"thi", 5, 0).unwrap_err().message().contains("broke off after 3 bytes"));
        assert_eq!(std::fs::read_dir(layout.uploads()).unwrap().count(), 0);
        let full = put(b"x", 1, u64::MAX).unwrap_err();
        assert_eq!(full.io_kind(), Some(io::ErrorKind::StorageFull), "{full}");
    }

    #[test]
    fn only_a_file_of_its_owner_is_taken_and_whatever_lies_there_is_gone() {
        let (_scratch, layout, disk, _) = board();
        let secret = layout.uploads().parent().unwrap().join("secret");
        std::fs::write(&secret, "not theirs").unwrap();
        type Plant<'a> = (&'a str, &'a dyn Fn(&Path));
        let plants: [Plant; 5] = [
            ("a folder", &|at| std::fs::create_dir_all(at.join("with/more")).unwrap()),
            ("a link", &|at| std::os::unix::fs::symlink(&secret, at).unwrap()),
            ("a second name", &|at| std::fs::hard_link(&secret, at).unwrap()),
            ("a pipe", &|at| rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap()),
            ("too large", &|at| std::fs::write(at, "12345").unwrap()),
        ];
        for (what, plant) in plants {
            plant(&place(&layout));
            assert!(take(&disk, &layout, "x", 4).unwrap_err().message().contains("dropped"), "{what}");
            let left: Vec<_> = std::fs::read_dir(layout.fetched()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(left.len(), 2, "{what}: {left:?}");
            assert_eq!(std::fs::read_dir(layout.uploads()).unwrap().count(), 0, "{what}");
        }
        assert_eq!(std::fs::read(&secret).unwrap(), b"not theirs");
        assert!(take(&disk, &layout, "x", 4).unwrap_err().message().contains("no uploaded file"));
        std::fs::write(place(&layout), "1234").unwrap();
        assert_eq!(std::fs::read(take(&disk, &layout, "x", 4).unwrap()).unwrap(), b"1234");
    }

    #[test]
    fn what_nobody_wants_is_gone_after_a_day() {
        let (_scratch, layout, disk, clock) = board();
        let now = clock.now();
        let plant = || {
            std::fs::write(place(&layout), "x").unwrap();
            std::fs::write(layout.uploads().join(".half"), "x").unwrap();
            std::fs::write(layout.fetched().join("uploaded-1.tar.gz"), "x").unwrap();
        };
        let count = || [layout.uploads(), layout.fetched()].map(|d| std::fs::read_dir(d).unwrap().count());
        plant();
        tidy(&disk, &layout, now);
        assert_eq!(count(), [1, 2], "what half came is gone at once");
        tidy(&disk, &layout, now + chrono::TimeDelta::hours(25));
        assert_eq!(count(), [0, 1]);
        plant();
        tidy(&disk, &layout, now - chrono::TimeDelta::days(400));
        assert_eq!(count(), [0, 1], "a clock that was wrong");
    }
}
