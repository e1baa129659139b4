//! Sockets that never wait: `None` is "not now".

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Takes what has come, into this buffer; 0 is the end.
pub fn receive(socket: &OwnedFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    not_now(rustix::io::retry_on_intr(|| rustix::net::recv(socket.as_fd(), &mut *into, RecvFlags::DONTWAIT)).map(|(n, _)| n))
}

/// Sends what fits.
pub fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    not_now(rustix::io::retry_on_intr(|| rustix::net::send(socket.as_fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)))
}

fn not_now(result: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What is to be sent, and since when the other side has not taken any of it.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Since when nothing moves.
    pub stuck: Option<Instant>,
}

impl Outgoing {
    /// Where to append.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }
    /// Memory it takes.
    pub fn weight(&self) -> usize {
        self.bytes.capacity()
    }
    /// Sends as much as the other side takes.
    pub fn flush(&mut self, socket: &OwnedFd, now: Instant) -> io::Result<()> {
        while self.len() > 0 {
            match send(socket, &self.bytes[self.sent..])? {
                Some(n) => {
                    self.sent += n;
                    self.stuck = None;
                }
                None => {
                    self.stuck.get_or_insert(now);
                    return Ok(());
                }
            }
        }
        self.stuck = None;
        self.sent = 0;
        // a stream lives for hours and says little: its buffer is given back
        if self.bytes.capacity() > 1024 {
            self.bytes = Vec::new()
        } else {
            self.bytes.clear()
        }
        Ok(())
    }
}
