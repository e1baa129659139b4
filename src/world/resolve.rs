//! From a path to an opened parent folder and a last part. An anchor is a path whose links were followed before ([`way::follow`]); from then
//! on none is, neither on the way to it nor below it: `openat2` is told so, and on a kernel without it (before 5.6) we walk part by part.
//! On the way to any other path, to our own folders that is, links of root's are followed.
//!
//! Opened parents are remembered, because 450 files in one folder should not cost 450 walks. A remembered handle follows its folder when that
//! is renamed, so it is forgotten at every rename, exchange and removal of ours, at every listing and sync (what others may have moved
//! meanwhile), and whenever something was not found: then the call is made once more with nothing remembered.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use super::way::{self, Astray};

const PARENT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Finds parents. Not shared between threads.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Longest first.
    anchors: Vec<Anchor>,
    /// The parents used last, newest first; two, because a rename or a link has two.
    parents: RefCell<Vec<(PathBuf, Rc<OwnedFd>)>>,
    /// The kernel has no `openat2`.
    walk: Cell<bool>,
    /// The current call used something remembered.
    stale: Cell<bool>,
}

#[derive(Debug)]
struct Anchor {
    path: PathBuf,
    /// Opened when first needed: the folder may not exist before.
    fd: RefCell<Option<Rc<OwnedFd>>>,
}

impl Resolver {
    pub(super) fn new(mut anchors: Vec<PathBuf>) -> Self {
        anchors.sort_by_key(|a| std::cmp::Reverse(a.components().count()));
        let anchors = anchors.into_iter().map(|path| Anchor { path, fd: RefCell::new(None) }).collect();
        Resolver { anchors, parents: RefCell::new(Vec::new()), walk: Cell::new(false), stale: Cell::new(false) }
    }

    #[cfg(test)]
    pub(super) fn walking(self) -> Self {
        self.walk.set(true);
        self
    }

    /// Calls `f` with the parent of the path and its last part.
    pub(super) fn at<T>(&self, path: &Path, f: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>) -> io::Result<T> {
        self.fresh(|| {
            let (dir, name) = self.parent(path)?;
            Ok(retry_on_intr(|| f(dir.as_fd(), name))?)
        })
    }

    /// Calls `f` with two parents and two last parts.
    pub(super) fn at_both<T>(&self, a: &Path, b: &Path, f: impl Fn(BorrowedFd<'_>, &OsStr, BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>) -> io::Result<T> {
        self.fresh(|| {
            let (dir_a, name_a) = self.parent(a)?;
            let (dir_b, name_b) = self.parent(b)?;
            Ok(retry_on_intr(|| f(dir_a.as_fd(), name_a, dir_b.as_fd(), name_b))?)
        })
    }

    /// Like [`Resolver::at`] for calls that open what lies there: an anchor may be opened already.
    pub(super) fn at_anchor<T>(&self, path: &Path, f: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>) -> io::Result<T> {
        match self.anchors.iter().find(|a| a.path == path) {
            None => self.at(path, f),
            Some(anchor) => self.fresh(|| {
                let dir = self.open_anchor(anchor)?;
                Ok(retry_on_intr(|| f(dir.as_fd(), OsStr::new(".")))?)
            }),
        }
    }

    /// Forgets the parents and, if paths of ours were moved, the anchors at or below these.
    pub(super) fn forget(&self, moved: Option<&[&Path]>) {
        self.parents.borrow_mut().clear();
        for anchor in &self.anchors {
            if moved.is_some_and(|paths| paths.iter().any(|p| anchor.path.starts_with(p))) {
                *anchor.fd.borrow_mut() = None;
            }
        }
    }

    /// Nothing found by way of something remembered proves nothing: look again with nothing remembered.
    fn fresh<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.stale.set(false);
        match call() {
            Err(e) if self.stale.get() && e.kind() == io::ErrorKind::NotFound => {
                self.forget(Some(&[Path::new("/")]));
                call()
            }
            other => other,
        }
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(Rc<OwnedFd>, &'p OsStr)> {
        if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path must be absolute and without `..`"));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok((Rc::new(way::open(path)?), OsStr::new(".")));
        };
        if let Some(at) = self.parents.borrow().iter().position(|(p, _)| p.as_os_str() == parent.as_os_str()) {
            self.stale.set(true);
            return Ok((self.parents.borrow()[at].1.clone(), name));
        }
        let fd = match self.anchors.iter().find(|a| parent.starts_with(&a.path)) {
            None => Rc::new(open_own(parent)?),
            Some(anchor) => {
                let top = self.open_anchor(anchor)?;
                let below = parent.strip_prefix(&anchor.path).expect("the parent starts with its anchor");
                if below.as_os_str().is_empty() { top } else { Rc::new(self.beneath(&top, below)?) }
            }
        };
        let mut parents = self.parents.borrow_mut();
        parents.truncate(1);
        parents.insert(0, (parent.to_owned(), fd.clone()));
        Ok((fd, name))
    }

    fn open_anchor(&self, anchor: &Anchor) -> io::Result<Rc<OwnedFd>> {
        if let Some(fd) = &*anchor.fd.borrow() {
            self.stale.set(true);
            return Ok(fd.clone());
        }
        // every time through no link: where it was opened first, somebody may have put one since
        let fd = Rc::new(if self.walk.get() { way::walk_from_root(&anchor.path)? } else { way::open(&anchor.path)? });
        *anchor.fd.borrow_mut() = Some(fd.clone());
        Ok(fd)
    }

    /// A folder below an anchor, through no link.
    fn beneath(&self, top: &OwnedFd, below: &Path) -> io::Result<OwnedFd> {
        let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if !self.walk.get() {
            match retry_on_intr(|| rustix::fs::openat2(top, below, PARENT, Mode::empty(), rules)) {
                // an old kernel, or a container whose filter does not know the call
                Err(Errno::NOSYS | Errno::PERM) => self.walk.set(true),
                other => return Ok(other?),
            }
        }
        way::walk(top, below)
    }
}

/// A folder of our own: what root put on the way is followed, also where it was put a moment ago.
fn open_own(path: &Path) -> io::Result<OwnedFd> {
    match way::open(path) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::LOOP) => {
            let careful = rustix::process::geteuid().is_root();
            match way::follow(path, careful) {
                Ok(real) => way::open(&real),
                Err(Astray::Failed(_, e)) => Err(e),
                Err(foreign) => Err(io::Error::other(foreign)),
            }
        }
        other => other,
    }
}
