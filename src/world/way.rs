//! The way to a place that somebody named: a managed path's parent, a folder of our own. Links on it are followed once, one by one and
//! with handles all the way, so that the answer holds for what was looked at. Afterwards the answer is opened without following any.
//!
//! When we are root, a link is followed only if nobody but root could have put it there: otherwise whoever made it would choose where
//! root writes.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FOLDER: OFlags = LOOK.union(OFlags::DIRECTORY);

/// Why a way does not lead where it says.
#[derive(Debug)]
pub enum Astray {
    /// A link that somebody else than root may have put there.
    Foreign {
        /// The link.
        link: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// It cannot be gone.
    Failed(PathBuf, io::Error),
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Astray::Foreign { link, why, .. } => write!(f, "{} is a symbolic link {why}: whoever made it would choose where root writes", link.display()),
            Astray::Failed(at, e) => write!(f, "{}: {e}", at.display()),
        }
    }
}

impl std::error::Error for Astray {}

/// The path with every link in it followed; what is missing at its end stays as it is written. `careful`: of links only those that
/// nobody but root can have made.
///
/// # Errors
/// See [`Astray`].
pub fn follow(path: &Path, careful: bool) -> Result<PathBuf, Astray> {
    let failed = |at: &Path, e: Errno| Astray::Failed(at.to_owned(), e.into());
    let mut done = PathBuf::from("/");
    let mut dir = open("/".as_ref()).map_err(|e| Astray::Failed(done.clone(), e))?;
    // each part with the word whether a link named it
    let mut ahead: VecDeque<(OsString, bool)> = parts(path).map(|p| (p, false)).collect();
    let mut links = 0;
    while let Some((part, by_link)) = ahead.pop_front() {
        if part == ".." {
            done.pop();
            dir = open(&done).map_err(|e| Astray::Failed(done.clone(), e))?;
            continue;
        }
        let at = done.join(&part);
        let found = match retry_on_intr(|| rustix::fs::openat(&dir, &part, LOOK, Mode::empty())) {
            Err(Errno::NOENT) if !by_link && ahead.iter().all(|(p, _)| p != "..") => {
                return Ok(ahead.into_iter().fold(at, |path, (part, _)| path.join(part)));
            }
            found => found.map_err(|e| failed(&at, e))?,
        };
        let stat = rustix::fs::fstat(&found).map_err(|e| failed(&at, e))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => (dir, done) = (found, at),
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(failed(&at, Errno::LOOP));
                }
                if careful {
                    let above = rustix::fs::fstat(&dir).map_err(|e| failed(&done, e))?;
                    trusted(&at, &stat, &done, &above)?;
                }
                // of this very link, wherever its name is now
                let target = rustix::fs::readlinkat(&found, "", Vec::new()).map_err(|e| failed(&at, e))?;
                let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                if target.is_absolute() {
                    done = PathBuf::from("/");
                    dir = open(&done).map_err(|e| Astray::Failed(done.clone(), e))?;
                }
                let named: Vec<_> = parts(target).collect();
                named.into_iter().rev().for_each(|part| ahead.push_front((part, true)));
            }
            _ => return Err(failed(&at, Errno::NOTDIR)),
        }
    }
    Ok(done)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Whether nobody but root can have made the link, or put it there.
fn trusted(link: &Path, stat: &Stat, folder: &Path, above: &Stat) -> Result<(), Astray> {
    let foreign = |why: String, hint: String| Err(Astray::Foreign { link: link.to_owned(), why, hint });
    if stat.st_uid != 0 {
        let hint = format!("if it is meant so, give it to root: `sudo chown -h root {}`; or name the place itself", link.display());
        return foreign(format!("that belongs to {}", person(stat.st_uid)), hint);
    }
    // nobody moves a file of root's out of or into a sticky folder, but its owner may
    let (others, group) = (above.st_mode & 0o002 != 0, above.st_mode & 0o020 != 0 && above.st_gid != 0);
    if above.st_uid != 0 || ((others || group) && above.st_mode & 0o1000 == 0) {
        let whose = match (above.st_uid, others) {
            (0, true) => "that everybody may write to".to_owned(),
            (0, false) => format!("that group {} may write to", above.st_gid),
            (uid, _) => format!("that belongs to {}", person(uid)),
        };
        let hint = format!("name the place itself, without the link; or make {} root's alone", folder.display());
        return foreign(format!("in a folder {whose}"), hint);
    }
    Ok(())
}

/// A user, for messages.
pub fn person(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("user {uid}"), |name| format!("{name} (user {uid})"))
}

/// Opens a folder through no link at all. A link on the way is ELOOP.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let rules = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // without O_NOFOLLOW: with it a link at the end would be ENOTDIR, and no word about the link
    match retry_on_intr(|| rustix::fs::openat2(CWD, path, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty(), rules)) {
        // an old kernel, or a container whose filter does not know the call
        Err(Errno::NOSYS | Errno::PERM) => walk_from_root(path),
        other => Ok(other?),
    }
}

pub(super) fn walk_from_root(path: &Path) -> io::Result<OwnedFd> {
    let root = retry_on_intr(|| rustix::fs::openat(CWD, "/", FOLDER, Mode::empty()))?;
    walk(&root, path.strip_prefix("/").unwrap_or(path))
}

/// What `openat2` would do, with its errors: a link on the way is ELOOP.
pub(super) fn walk(top: &OwnedFd, below: &Path) -> io::Result<OwnedFd> {
    let mut dir = top.try_clone()?;
    for part in below {
        dir = match retry_on_intr(|| rustix::fs::openat(&dir, part, FOLDER, Mode::empty())) {
            Err(Errno::NOTDIR) => {
                let stat = retry_on_intr(|| rustix::fs::statat(&dir, part, AtFlags::SYMLINK_NOFOLLOW))?;
                let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
                return Err(if link { Errno::LOOP } else { Errno::NOTDIR }.into());
            }
            other => other?,
        };
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::*;
    use crate::world::scratch::Scratch;

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let scratch = Scratch::new();
        let top = scratch.path();
        std::fs::create_dir_all(top.join("real/deep/er")).unwrap();
        std::fs::write(top.join("file"), "").unwrap();
        for (target, name) in [("real", "a"), ("deep/../deep", "real/b"), ("/", "root"), ("c", "c"), ("nowhere", "dangling"), ("file", "tofile")] {
            symlink(target, top.join(name)).unwrap();
        }
        symlink(top.join("real/b/er"), top.join("far")).unwrap();
        for way in ["real", "a", "a/b", "a/b/er", "far", "a/deep", "a/b/..", "far/.."] {
            assert_eq!(follow(&top.join(way), false).unwrap(), std::fs::canonicalize(top.join(way)).unwrap(), "{way}");
        }
        assert_eq!(follow(&top.join("a/not/yet"), false).unwrap(), top.join("real/not/yet"));
        assert_eq!(follow(Path::new("/"), true).unwrap(), Path::new("/"));
        for way in ["c", "c/x", "dangling", "dangling/x", "file/x", "tofile", "a/not/../yet"] {
            assert!(matches!(follow(&top.join(way), false), Err(Astray::Failed(..))), "{way}");
        }
    }

    #[test]
    fn root_follows_only_links_that_root_made() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let scratch = Scratch::new();
        let top = scratch.path();
        for dir in ["real", "own", "open", "sticky", "theirs", "group"] {
            std::fs::create_dir(top.join(dir)).unwrap();
        }
        for (dir, mode) in [("open", 0o777), ("sticky", 0o1777), ("theirs", 0o755), ("group", 0o775)] {
            std::fs::set_permissions(top.join(dir), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        chown(top.join("theirs"), Some(65534), None).unwrap();
        chown(top.join("group"), None, Some(65534)).unwrap();
        for dir in ["own", "open", "sticky", "theirs", "group"] {
            symlink("../real", top.join(dir).join("link")).unwrap();
        }
        symlink("real", top.join("foreign")).unwrap();
        lchown(top.join("foreign"), Some(65534), None).unwrap();
        symlink("foreign", top.join("indirect")).unwrap();
        for fine in ["own/link", "sticky/link", "theirs", "open"] {
            follow(&top.join(fine), true).unwrap();
        }
        for (way, words) in [
            ("foreign", "belongs to nobody (user 65534)"),
            ("indirect/x", "belongs to nobody (user 65534)"),
            ("open/link", "in a folder that everybody may write to"),
            ("group/link", "in a folder that group 65534 may write to"),
            ("theirs/link/x", "in a folder that belongs to nobody"),
        ] {
            let said = follow(&top.join(way), true).unwrap_err();
            assert!(said.to_string().contains(words), "{way}: {said}");
            assert!(matches!(said, Astray::Foreign { .. }));
            follow(&top.join(way), false).unwrap();
        }
    }

    #[test]
    fn what_is_opened_is_reached_through_no_link() {
        let scratch = Scratch::new();
        let top = scratch.path();
        std::fs::create_dir_all(top.join("real/sub")).unwrap();
        symlink("real", top.join("link")).unwrap();
        std::fs::write(top.join("file"), "").unwrap();
        for open in [open, walk_from_root] {
            assert!(open(&top.join("real/sub")).is_ok());
            for (way, errno) in [("link", Errno::LOOP), ("link/sub", Errno::LOOP), ("file", Errno::NOTDIR), ("absent", Errno::NOENT)] {
                assert_eq!(Errno::from_io_error(&open(&top.join(way)).unwrap_err()), Some(errno), "{way}");
            }
        }
    }
}
