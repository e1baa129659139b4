//! What comes back from the inner server. Its head is held until it is whole, and loses what is for us to say: that the connection ends
//! here, and which software this is. The body passes as it is.

const HEAD_MAX: usize = 16 << 10;

/// An answer on its way.
#[derive(Debug, Default)]
pub struct Answer {
    /// The head, as long as it is not whole.
    held: Vec<u8>,
    passing: bool,
    /// HEAD asked for it: nothing follows its head, whatever the handler wrote.
    bare: bool,
    /// Events without an end: a client that closes its side has gone, and need not be waited for.
    pub stream: bool,
}

/// The inner server did not speak HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct Nonsense;

impl Answer {
    /// For a request with this method.
    pub fn to(method: &str) -> Self {
        Answer { bare: method == "HEAD", ..Answer::default() }
    }
    /// Whether anything of it went to the client.
    pub fn has_begun(&self) -> bool {
        self.passing
    }
    /// Takes what the inner server sent and appends what the client gets.
    ///
    /// # Errors
    /// It is no answer; nothing was appended.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Nonsense> {
        if self.passing {
            if !self.bare {
                out.extend_from_slice(bytes);
            }
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let Some(end) = self.held.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if self.held.len() > HEAD_MAX { Err(Nonsense) } else { Ok(()) };
        };
        if !self.held.starts_with(b"HTTP/1.") {
            return Err(Nonsense);
        }
        let held = std::mem::take(&mut self.held);
        for line in held[..end].split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)) {
            let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(line.len()));
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if is("Connection") || is("Keep-Alive") || is("Server") {
                continue;
            }
            self.stream |= is("Content-Type") && value.windows(17).any(|w| w.eq_ignore_ascii_case(b"text/event-stream"));
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Connection: close\r\n\r\n");
        self.passing = true;
        self.take(&held[end + 4..], out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(method: &str, pieces: &[&str]) -> (String, Answer) {
        let (mut answer, mut out) = (Answer::to(method), Vec::new());
        pieces.iter().for_each(|p| answer.take(p.as_bytes(), &mut out).unwrap());
        (String::from_utf8(out).unwrap(), answer)
    }

    #[test]
    fn an_answer_passes_and_says_that_the_connection_ends() {
        let pieces = ["HTTP/1.1 200 OK\r\nServer: x\r\nconnection: keep-alive\r\nContent-Le", "ngth: 2\r\n\r", "\nh", "i"];
        let (text, answer) = pass("GET", &pieces);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        assert!(answer.has_begun() && !answer.stream);
        assert!(pass("HEAD", &pieces).0.ends_with("close\r\n\r\n"));
    }

    #[test]
    fn events_are_known_by_their_type() {
        let (text, answer) = pass("GET", &["HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n"]);
        assert!(answer.stream && text.ends_with("\r\n\r\ndata: 1\n\n"));
    }

    #[test]
    fn what_is_no_answer_is_not_passed_on() {
        let mut out = Vec::new();
        assert_eq!(Answer::to("GET").take(b"hello\r\n\r\n", &mut out), Err(Nonsense));
        assert_eq!(Answer::to("GET").take(&[b'a'; HEAD_MAX + 1], &mut out), Err(Nonsense));
        assert!(out.is_empty());
    }
}
