//! A unix socket that nobody else can find: it is bound in a new folder of ours, and its name is removed before anybody may connect.
//! What remains is a handle on the socket's place, through which the kernel still leads whoever holds it. So there is nothing to guess,
//! nothing to clean up after a crash, and no limit on how long the path of a folder may be.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Doing as _, Result};
use crate::world::clock::{Clock as _, RealClock};

/// The way to a private socket.
#[derive(Debug)]
pub struct Door(OwnedFd);

impl Door {
    /// Opens a private socket.
    ///
    /// # Errors
    /// No folder can be written to for a moment, or `/proc` is missing.
    pub fn open() -> Result<(UnixListener, Door)> {
        let mut last = Err(io::ErrorKind::NotFound.into());
        for place in places() {
            last = open_in(&place);
            if last.is_ok() {
                break;
            }
        }
        last.doing(|| "opening a private socket (in $RUNTIME_DIRECTORY, /tmp, /dev/shm or /run)".to_owned())
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Connects without waiting, and never waits on what it gives.
    pub fn knock(&self) -> io::Result<OwnedFd> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(self.path())?)?;
        Ok(socket)
    }

    /// Connects as a client would.
    pub fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.path())
    }
}

/// A service of systemd's has a folder of its own in the first.
fn places() -> Vec<PathBuf> {
    let own = std::env::var_os("RUNTIME_DIRECTORY").and_then(|v| std::env::split_paths(&v).next());
    own.into_iter().chain([std::env::temp_dir(), "/dev/shm".into(), "/run".into()]).collect()
}

fn open_in(place: &Path) -> io::Result<(UnixListener, Door)> {
    let dir = place.join(format!(".pikit-{}", RealClock::new().new_id()));
    DirBuilder::new().mode(0o700).create(&dir)?;
    let opened = bind(&dir);
    let _ = std::fs::remove_dir(&dir);
    opened
}

fn bind(dir: &Path) -> io::Result<(UnixListener, Door)> {
    let within = rustix::fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    // tiny_http removes this path when it ends. By then it leads nowhere, or into another folder, where nothing has such a name.
    let name = format!("{}.sock", RealClock::new().new_id());
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", within.as_raw_fd()))?;
    let place = rustix::fs::openat(&within, name.as_str(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    rustix::fs::unlinkat(&within, name.as_str(), AtFlags::empty())?;
    Ok((listener, Door(place?)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::world::scratch::Scratch;

    #[test]
    fn a_private_socket_is_reached_through_its_door_and_leaves_no_name() {
        let scratch = Scratch::new();
        let deep = scratch.path().join("a-long-name-".repeat(15));
        std::fs::create_dir(&deep).unwrap();
        let (listener, door) = open_in(&deep).unwrap();
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
        let mut client = door.connect().unwrap();
        door.knock().unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        drop(listener);
        assert_eq!(door.knock().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
