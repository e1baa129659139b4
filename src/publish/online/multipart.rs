//! `multipart/form-data` with one file in it (RFC 7578), read from the disk while it is sent.

use std::io::{Cursor, Read};

/// A body, and what its head has to say.
pub struct Body<R> {
    /// `Content-Type`.
    pub kind: String,
    /// Bytes in all.
    pub length: u64,
    /// The bytes.
    pub bytes: R,
}

/// The field of a form that holds a file of `size` bytes. `boundary` must not stand in it: 26 characters of chance do not.
pub fn file<C: Read>(field: &str, name: &str, boundary: &str, size: u64, content: C) -> Body<impl Read + use<C>> {
    let quoted = |text: &str| text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        quoted(field),
        quoted(name)
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    Body {
        kind: format!("multipart/form-data; boundary={boundary}"),
        length: head.len() as u64 + size + tail.len() as u64,
        bytes: Cursor::new(head.into_bytes()).chain(content.take(size)).chain(Cursor::new(tail.into_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before_anything_is_read() {
        let mut body = file("attachment", "a\"b.gz", "xyz", 4, &b"abcdef"[..]);
        let mut all = String::new();
        body.bytes.read_to_string(&mut all).unwrap();
        assert_eq!(all.len() as u64, body.length);
        assert_eq!(
            all,
            "--xyz\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"a%22b.gz\"\r\nContent-Type: application/octet-stream\r\n\r\nabcd\r\n--xyz--\r\n"
        );
        assert_eq!(body.kind, "multipart/form-data; boundary=xyz");
    }
}
