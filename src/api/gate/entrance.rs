//! Where connections come in. No error of `accept` ends anything: what cannot be taken now is taken later.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};

use super::Listener;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// This address.
    Tcp(IpAddr),
    /// Somebody who may open the socket: a proxy.
    Unix,
    /// Our own self-check.
    Own,
}

impl Peer {
    /// What is counted together: an address, or the network that one household has in IPv6.
    pub fn household(self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(IpAddr::V6(ip)) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
            Peer::Tcp(ip) => Some(ip),
            Peer::Unix | Peer::Own => None,
        }
    }
}

/// A listening socket.
pub struct Entrance {
    pub socket: OwnedFd,
    own: bool,
    /// Not asked before then.
    pub muted: Option<Instant>,
}

/// What came in.
pub enum Accepted {
    /// A connection.
    One(OwnedFd, Peer),
    /// Nobody more, for now.
    Nobody,
    /// Somebody waits, but there are no open files left.
    NoFiles,
    /// The kernel is out of something else, or the listener is broken.
    Trouble,
}

/// Connections that the kernel keeps for us between two looks; the usual 128 are lost in a burst, and a lost one tries again after a second.
const BACKLOG: i32 = 1024;
/// Bytes of an answer that the kernel keeps for a client.
const SEND_BUFFER: usize = 64 << 10;
/// A client that acknowledges nothing for so long has lost its network.
const VANISHED: Duration = Duration::from_secs(30);

impl Entrance {
    /// Of these sockets one is our own, for the self-check.
    pub fn new(listener: Listener, own: bool) -> Entrance {
        let socket: OwnedFd = match listener {
            Listener::Tcp(l) => l.into(),
            Listener::Unix(l) => l.into(),
        };
        // what is handed over may have been made by others; if they do not let us, it serves as it is
        let _ = rustix::net::listen(&socket, BACKLOG);
        let _ = rustix::io::ioctl_fionbio(&socket, true);
        Entrance { socket, own, muted: None }
    }

    /// Takes one connection.
    pub fn accept(&self) -> Accepted {
        loop {
            match rustix::net::acceptfrom_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, address)) => {
                    let ip = address.and_then(|a| SocketAddr::try_from(a).ok()).map(|a| a.ip().to_canonical());
                    let peer = match ip {
                        Some(ip) => Peer::Tcp(ip),
                        None if self.own => Peer::Own,
                        None => Peer::Unix,
                    };
                    if ip.is_some() {
                        tune(&socket);
                    }
                    return Accepted::One(socket, peer);
                }
                Err(Errno::AGAIN) => return Accepted::Nobody,
                Err(Errno::MFILE | Errno::NFILE) => return Accepted::NoFiles,
                // broken before it was taken: that client's affair
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM | Errno::NETDOWN | Errno::NETUNREACH) => {}
                Err(Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NONET | Errno::NOPROTOOPT | Errno::OPNOTSUPP) => {}
                Err(_) => return Accepted::Trouble,
            }
        }
    }
}

/// A connection lives without any of this, a little worse.
fn tune(socket: &OwnedFd) {
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_user_timeout(socket, VANISHED.as_millis() as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_an_address_or_a_network() {
        let tcp = |ip: &str| Peer::Tcp(ip.parse().unwrap()).household().map(|h| h.to_string());
        assert_eq!(tcp("192.168.0.9").unwrap(), "192.168.0.9");
        assert_eq!(tcp("2001:db8:1:2:3:4:5:6"), tcp("2001:db8:1:2::9"));
        assert_ne!(tcp("2001:db8:1:2::9"), tcp("2001:db8:1:3::9"));
        assert_eq!((Peer::Unix.household(), Peer::Own.household()), (None, None));
    }
}
