//! A plain HTTP client over a unix socket of a machine: one request, or a stream of events with the time at which each came.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The whole head.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// An event of a stream.
#[derive(Debug)]
pub struct Event {
    pub came: SystemTime,
    pub id: String,
    pub name: String,
    pub data: serde_json::Value,
}

fn send(socket: &Path, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let kind = if body.is_empty() { String::new() } else { format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()) };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{kind}\r\n{body}")?;
    Ok(stream)
}

/// Asks once. `headers` end with a line break each.
pub fn ask(socket: &Path, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Answer> {
    let mut text = Vec::new();
    send(socket, method, path, headers, body)?.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_owned(), body: unchunked(head, body) })
}

fn unchunked(head: &str, mut body: &str) -> String {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole += &rest[..size];
        body = &rest[size + 2..];
    }
    whole
}

/// Listens to the events until the server ends the stream or `until` has seen enough.
pub fn events(socket: &Path, headers: &str, mut until: impl FnMut(&Event) -> bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(send(socket, "GET", "/api/update/events", headers, "")?).lines();
    let (mut id, mut name) = (String::new(), String::new());
    for line in &mut lines {
        let line = line?;
        // sizes of chunks stand on lines of their own and look like nothing of a stream
        if let Some(text) = line.strip_prefix("id:") {
            id = text.trim().to_owned();
        } else if let Some(text) = line.strip_prefix("event:") {
            name = text.trim().to_owned();
        } else if let Some(text) = line.strip_prefix("data:") {
            let data = serde_json::from_str(text.trim()).unwrap_or_default();
            if until(&Event { came: SystemTime::now(), id: id.clone(), name: name.clone(), data }) {
                break;
            }
        }
    }
    Ok(())
}
