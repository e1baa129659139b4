//! Records that carry their own checksum: `{"schema":1,"sha256":"…","body":{…}}`. The digest is of the exact bytes of the body, so
//! that a flipped bit on a dying card is told apart from a record that a newer updater wrote.
//!
//! It protects from decay, not from an enemy: who can write the record can write its digest.

use std::io::{self, Write as _};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::release::Digest;
use crate::release::digest::Hashing;

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// Written by a newer updater, in this schema: leave it alone.
    Newer(u32),
    /// Not what was written: why.
    Damaged(String),
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordError::Newer(schema) => write!(f, "written by a newer updater (schema {schema})"),
            RecordError::Damaged(why) => write!(f, "damaged: {why}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// What stands behind the body.
const END: &[u8] = b"}\n";

#[derive(Deserialize)]
struct Envelope<'a> {
    sha256: Digest,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What is said of a record that a newer updater wrote: it is held, never guessed at and never written over.
pub fn held(what: impl Into<String>) -> Error {
    Error::stuck(what).hint("nothing was touched: use the newer updater that wrote it; if that one is gone, install it again by hand, as docs/install.md says")
}

/// The schema alone: of a newer record nothing else is known to parse.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

/// A record that is about to be written: what it holds is written twice, first for its digest and length, so that a plan of ten thousand
/// files is not held a second time as text.
pub struct Sealed<'v, T> {
    head: String,
    value: &'v T,
    length: usize,
}

impl<'v, T: Serialize> Sealed<'v, T> {
    /// A record of this value.
    ///
    /// # Panics
    /// If the value has no JSON form (a map whose keys are not strings): a mistake in the program, never in its data.
    pub fn of(schema: u32, value: &'v T) -> Self {
        let mut counted = io::BufWriter::new(Hashing::new(Length(0)));
        serde_json::to_writer(&mut counted, value).expect("a record has string keys only");
        let (Length(length), digest) = counted.into_inner().ok().expect("counting does not fail").finish();
        let head = format!("{{\"schema\":{schema},\"sha256\":\"{digest}\",\"body\":");
        Sealed { length: head.len() + length + END.len(), head, value }
    }
    /// Writes it, with a newline at the end.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let mut to = io::BufWriter::new(to);
        to.write_all(self.head.as_bytes())?;
        serde_json::to_writer(&mut to, self.value)?;
        to.write_all(END)?;
        to.flush()
    }
}

/// The bytes of a record.
///
/// # Panics
/// As [`Sealed::of`].
pub fn seal_record<T: Serialize>(schema: u32, value: &T) -> Vec<u8> {
    let sealed = Sealed::of(schema, value);
    let mut bytes = Vec::with_capacity(sealed.length);
    sealed.write(&mut bytes).expect("memory takes what is written");
    bytes
}

/// JSON in a buffer that fits: one that grows ends up twice as long, and what is written may be megabytes.
///
/// # Errors
/// The value has no JSON form.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut bytes = Vec::with_capacity(length.0);
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

/// Counts what is written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The value of a record, if its bytes are those that were written and its schema is not above `newest`.
///
/// # Errors
/// [`RecordError`]; a newer schema is reported as such even when nothing else of the record is understood.
pub fn open_record<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T, RecordError> {
    let damaged = |e: serde_json::Error| RecordError::Damaged(e.to_string());
    let Schema { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema > newest {
        return Err(RecordError::Newer(schema));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(damaged)?;
    if Digest::of(envelope.body.get().as_bytes()) != envelope.sha256 {
        return Err(RecordError::Damaged("its checksum does not match".into()));
    }
    serde_json::from_str(envelope.body.get()).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        name: String,
        n: u64,
    }

    fn body() -> Body {
        Body { name: "a \"quoted\" ünicode".into(), n: u64::MAX }
    }

    #[test]
    fn what_was_sealed_opens() {
        assert_eq!(open_record::<Body>(&seal_record(2, &body()), 2), Ok(body()));
        assert_eq!(open_record::<Body>(&seal_record(1, &body()), 2), Ok(body()));
    }

    #[test]
    fn the_bytes_are_those_that_other_versions_read() {
        let body = r#"{"name":"n","n":7}"#;
        let want = format!("{{\"schema\":3,\"sha256\":\"{}\",\"body\":{body}}}\n", Digest::of(body.as_bytes()));
        assert_eq!(String::from_utf8(seal_record(3, &Body { name: "n".into(), n: 7 })).unwrap(), want);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = seal_record(1, &body());
        for at in 0..whole.len() - 1 {
            assert!(open_record::<Body>(&whole[..at], 1).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // the digest may be written in capitals, and the schema may become an older one: neither changes the body
                match open_record::<Body>(&bytes, 1) {
                    Ok(opened) => assert_eq!(opened, body(), "bit {bit} of byte {at}"),
                    Err(RecordError::Damaged(_) | RecordError::Newer(_)) => {}
                }
            }
        }
    }

    #[test]
    fn a_newer_record_is_told_apart_from_a_damaged_one() {
        assert_eq!(open_record::<Body>(br#"{"schema":7,"entirely":["different"]}"#, 3), Err(RecordError::Newer(7)));
        assert!(matches!(open_record::<Body>(b"", 3), Err(RecordError::Damaged(_))));
        assert!(matches!(open_record::<Body>(&seal_record(1, &"another shape"), 3), Err(RecordError::Damaged(_))));
    }
}
