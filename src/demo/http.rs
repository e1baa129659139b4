//! What the demo's two servers share: a loop that answers, and a client for the tour. Loopback only.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tiny_http::{Request, Server};

pub use crate::api::reply::{Reply, header};
use crate::error::{Error, Result};

/// Opens a server on loopback; port 0 is any free one.
///
/// # Errors
/// The port is taken.
pub fn open(port: u16) -> Result<(Arc<Server>, u16)> {
    let server = Server::http((Ipv4Addr::LOCALHOST, port)).map_err(|e| Error::unexpected(format!("listening on 127.0.0.1:{port}")).because(e))?;
    let port = server.server_addr().to_ip().map_or(port, |a| a.port());
    Ok((Arc::new(server), port))
}

/// Answers requests, some at a time, until the process ends.
pub fn serve(server: &Arc<Server>, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Vec<std::thread::JoinHandle<()>> {
    let answer = Arc::new(answer);
    let worker = || {
        let (server, answer) = (Arc::clone(server), Arc::clone(&answer));
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                // a reader that went away is its own affair
                let _ = answer(&request).send(request);
            }
        })
    };
    (0..4).map(|_| worker()).collect()
}

/// Gets a path from a server on loopback: status and body. No proxy of the environment is asked.
///
/// # Errors
/// Nobody answers.
pub fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer in HTTP"))
}
