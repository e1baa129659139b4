//! The part that nginx plays on a real board: one address, behind which the dashboard and the updater's API stand. It stays when either
//! of them is restarted, and says so to whoever asks meanwhile. Loopback only, one request a connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use crate::error::{Doing, Result};

/// Largest head of a request, bytes.
const HEAD_MAX: u64 = 16 << 10;
/// How long a head may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the front; tells its port.
///
/// # Errors
/// There is no free port.
pub fn open(dashboard: u16, api: u16) -> Result<u16> {
    let opening = || "opening the front of the demo".to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(opening)?;
    let port = listener.local_addr().doing(opening)?.port();
    let serve = move || {
        for client in listener.incoming().flatten() {
            // a thread that cannot be started is a connection that is closed
            let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(move || pass_on(client, dashboard, api));
        }
    };
    std::thread::Builder::new().name("front".into()).spawn(serve).doing(opening)?;
    Ok(port)
}

/// Reads the head, picks who answers, and hands everything on in both directions. Both servers close when they have answered.
fn pass_on(mut client: TcpStream, dashboard: u16, api: u16) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match client.read(&mut chunk)? {
            0 => return Ok(()),
            n => head.extend_from_slice(&chunk[..n]),
        }
        if head.len() as u64 > HEAD_MAX {
            return Ok(());
        }
    }
    client.set_read_timeout(None)?;
    let target = head.split(|b| *b == b' ').nth(1).unwrap_or_default();
    let is_api = [&b"/api/update/"[..], b"/pikit-update/"].iter().any(|prefix| target.starts_with(prefix));
    let port = if is_api { api } else { dashboard };
    let Ok(mut server) = TcpStream::connect_timeout(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(), PATIENCE) else {
        let words = "nobody answers behind this address just now";
        return write!(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{words}", words.len());
    };
    server.write_all(&head)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        // who asked went away: the server is to know, or a stream would stay for ever
        to.shutdown(Shutdown::Both)
    })?;
    let down = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    down.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reply::Reply;
    use crate::demo::http;

    #[test]
    fn each_path_goes_to_the_one_it_belongs_to() {
        let named = |name: &'static str| {
            let (server, port) = http::open(0).unwrap();
            http::serve(&server, move |_| Reply::text(200, "text/plain", name.to_owned()));
            port
        };
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
        let front = open(named("dashboard"), named("api")).unwrap();
        for (path, who) in
            [("/", "dashboard"), ("/api/status", "dashboard"), ("/ping", "dashboard"), ("/api/update/status", "api"), ("/pikit-update/x.js", "api")]
        {
            assert_eq!(http::get(front, path).unwrap(), (200, who.to_owned()), "{path}");
        }
        assert_eq!(http::get(open(nobody, nobody).unwrap(), "/").unwrap().0, 502);
    }
}
