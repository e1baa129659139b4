//! Waiting for files to change: inotify(7), and a look now and then for what it cannot see (what is made and filled before it is watched).

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

/// Longest wait without a look, while a folder is not there to be watched.
const LOOK: Duration = Duration::from_secs(1);

/// Folders that are watched.
#[derive(Debug, Default)]
pub struct Watch {
    inotify: Option<OwnedFd>,
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watch {
    /// Returns when an entry of one of these folders was written, made, renamed or removed, or after this time; at once, when one of them
    /// was not watched before.
    pub fn wait(&mut self, folders: &[PathBuf], limit: Duration) {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        if self.inotify.is_none() {
            self.inotify = init(flags).ok();
        }
        let Some(inotify) = &self.inotify else { return std::thread::sleep(limit.min(LOOK / 4)) };
        let (mut all, before) = (true, self.watched.clone());
        for folder in folders {
            if watch(inotify, &mut self.watched, folder) {
                continue;
            }
            all = false;
            // it will be made in the nearest one that is there
            if let Some(above) = folder.ancestors().skip(1).find(|above| above.is_dir()) {
                watch(inotify, &mut self.watched, above);
            }
        }
        if self.watched != before {
            // what changed before it was watched is found by looking
            return;
        }
        let limit = if all { limit } else { limit.min(LOOK) };
        let time = Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&time));
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(inotify, &mut space);
        while events.next().is_ok() {}
    }
}

/// Watches a folder, unless it is watched already; `false`: it is not there.
fn watch(inotify: &OwnedFd, watched: &mut BTreeMap<PathBuf, (u64, u64)>, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let now = std::fs::metadata(folder).map(|m| (m.dev(), m.ino())).ok();
    if now.is_some() && watched.get(folder).copied() == now {
        return true;
    }
    // a folder that was made anew is another one
    let what = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
    match (now, add_watch(inotify, folder, what)) {
        (Some(id), Ok(_)) => {
            watched.insert(folder.to_owned(), id);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::world::scratch::Scratch;

    #[test]
    fn a_change_ends_the_wait_and_so_does_a_folder_that_is_made_later() {
        let scratch = Scratch::new();
        let folder = scratch.path().join("later");
        let (begun, ended) = (Instant::now(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::fs::create_dir(&folder).unwrap();
                // until the wait below has ended, however it falls
                while !ended.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(30) {
                    std::fs::write(folder.join("file"), "changed").unwrap();
                    std::thread::yield_now();
                }
            });
            let mut watch = Watch::default();
            while !folder.join("file").exists() {
                watch.wait(std::slice::from_ref(&folder), Duration::from_secs(60));
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
