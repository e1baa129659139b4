//! How far an upload is, for whoever waits for it: on a slow line a bundle takes minutes.

use std::io::{self, Read};
use std::time::Duration;

use crate::quantity::bytes;

/// How often it is said. What is done sooner needs no words.
const EVERY: Duration = Duration::from_secs(5);

/// What has been sent of a file.
#[derive(Debug)]
pub struct Far {
    name: String,
    size: u64,
    sent: u64,
    next: Duration,
}

impl Far {
    /// Nothing yet; it begins now.
    pub fn start(name: &str, size: u64, now: Duration) -> Self {
        Far { name: name.into(), size, sent: 0, next: now + EVERY }
    }
    /// So many bytes more have been sent; what is to be said about that, if it is time.
    pub fn sent(&mut self, more: u64, now: Duration) -> Option<String> {
        self.sent += more;
        // the last bytes wait for the server, which says itself what became of them
        if now < self.next || self.sent >= self.size {
            return None;
        }
        self.next = now + EVERY;
        Some(format!("{}: {} of {} sent ({} %)", self.name, bytes(self.sent), bytes(self.size), self.sent * 100 / self.size))
    }
}

/// A reader that tells how much was read of it.
pub struct Watched<R, F> {
    /// What is read.
    pub inner: R,
    /// Who is told.
    pub told: F,
}

impl<R: Read, F: FnMut(u64)> Read for Watched<R, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).inspect(|n| (self.told)(*n as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_and_then_it_is_said_how_far_it_is() {
        let at = Duration::from_secs;
        let mut far = Far::start("a.gz", 4_000_000, at(100));
        let said: Vec<Option<String>> =
            [(1_000_000, 104), (0, 105), (500_000, 106), (500_000, 111), (2_000_000, 300)].into_iter().map(|(more, now)| far.sent(more, at(now))).collect();
        assert_eq!(said, [None, Some("a.gz: 1.0 MB of 4.0 MB sent (25 %)".into()), None, Some("a.gz: 2.0 MB of 4.0 MB sent (50 %)".into()), None]);
        assert_eq!(Far::start("empty", 0, at(0)).sent(0, at(60)), None);
    }

    #[test]
    fn what_is_read_is_counted() {
        let mut all = 0;
        let mut read = Vec::new();
        Watched { inner: &b"abcdef"[..], told: |n| all += n }.read_to_end(&mut read).unwrap();
        assert_eq!((read.as_slice(), all), (&b"abcdef"[..], 6));
    }
}
