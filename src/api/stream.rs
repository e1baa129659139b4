//! Server-sent events (HTML Living Standard, section 9.2): the whole state first, then what happens.

use std::io::{self, Write};
use std::time::Duration;

use tiny_http::Request;

use super::board::Board;
use super::events::Listener;
use super::reply;

/// A sign of life at least this often: proxies end what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back, milliseconds.
const RETRY: u32 = 3000;

/// The number in a `Last-Event-ID`, if it is of this process.
pub fn last_event(value: &str, process: &str) -> Option<u64> {
    value.strip_prefix(process)?.strip_prefix('-')?.parse().ok()
}

/// Writes events until the reader goes away, may no longer stay, or the hub ends.
///
/// # Errors
/// The reader went away.
pub fn run(request: Request, mut listener: Listener, board: &dyn Board, process: &str, may_stay: &dyn Fn() -> bool) -> io::Result<()> {
    let begin = listener.state(board);
    // each event leaves at once: respond() would hold it back until there is more
    let mut out = request.into_writer();
    let headers = [
        ("Content-Type", "text/event-stream".to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        // nginx gathers answers otherwise
        ("X-Accel-Buffering", "no".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Connection", "close".to_owned()),
    ];
    let mut text = Vec::new();
    reply::head(&mut text, 200, &headers)?;
    write!(text, "\r\nretry: {RETRY}\n\n")?;
    match begin {
        // who loses the line between the two comes back for what it missed
        Ok((state, next)) => event(&mut text, process, next - 1, "state", &state)?,
        Err(error) => write!(text, ": {}\n\n", error.message().replace(char::is_control, " "))?,
    }
    loop {
        out.write_all(&text)?;
        out.flush()?;
        text.clear();
        let Some(news) = listener.news(HEARTBEAT) else { return Ok(()) };
        if !may_stay() {
            return Ok(());
        }
        for told in &news {
            event(&mut text, process, told.id, told.name, &told.data)?;
        }
        if news.is_empty() {
            text.extend_from_slice(b":\n\n");
        }
    }
}

fn event(out: &mut Vec<u8>, process: &str, id: u64, name: &str, data: &str) -> io::Result<()> {
    // JSON has no line ends outside of its strings, and none in them
    write!(out, "id: {process}-{id}\nevent: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_only_for_the_process_that_gave_it() {
        assert_eq!(last_event("a1b2-7", "a1b2"), Some(7));
        for foreign in ["", "7", "a1b2", "a1b2-", "a1b2-x", "a1b-7", "a1b22-7", "a1b2--7"] {
            assert_eq!(last_event(foreign, "a1b2"), None, "{foreign}");
        }
    }
}
