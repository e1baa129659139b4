//! Wrong tokens, slowed down: an address that has given too many is answered with a word and without a look for a while.
//! One that has a session, or the right token in a header, is never affected by what others guess.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Wrong tokens an address may give in a row.
const BURST: u32 = 10;
/// After that, one more each time this has passed.
const EVERY: Duration = Duration::from_secs(3);
/// Addresses remembered: the oldest goes when there are more.
const ADDRESSES: usize = 256;

/// Who has guessed how often.
#[derive(Debug, Default)]
pub struct Attempts {
    by_address: BTreeMap<String, (u32, Instant)>,
}

impl Attempts {
    /// How long this address has to wait before its next attempt is looked at; `None`: not at all.
    pub fn wait(&self, address: &str, now: Instant) -> Option<Duration> {
        let (wrong, since) = self.by_address.get(address)?;
        let forgiven = (now.saturating_duration_since(*since).as_millis() / EVERY.as_millis()).min(u128::from(u32::MAX)) as u32;
        (wrong.saturating_sub(forgiven) >= BURST)
            .then(|| EVERY.saturating_sub(Duration::from_millis((now.saturating_duration_since(*since).as_millis() % EVERY.as_millis()) as u64)))
    }
    /// A wrong token.
    pub fn wrong(&mut self, address: &str, now: Instant) {
        if self.by_address.len() >= ADDRESSES && !self.by_address.contains_key(address) {
            let oldest = self.by_address.iter().min_by_key(|(_, (_, since))| *since).map(|(name, _)| name.clone());
            oldest.map(|name| self.by_address.remove(&name));
        }
        let (wrong, since) = self.by_address.entry(address.chars().take(64).collect()).or_insert((0, now));
        let forgiven = (now.saturating_duration_since(*since).as_millis() / EVERY.as_millis()).min(u128::from(u32::MAX)) as u32;
        // no more than that: whoever waits as long as they were told may try again, however many they gave meanwhile
        *wrong = (wrong.saturating_sub(forgiven) + 1).min(BURST);
        *since = now;
    }
    /// The right one: what was wrong before is forgotten.
    pub fn right(&mut self, address: &str) {
        self.by_address.remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_too_often_has_to_wait_and_others_have_not() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(attempts.wait("a", start), None);
            attempts.wrong("a", start);
        }
        assert_eq!(attempts.wait("a", start), Some(EVERY));
        assert_eq!(attempts.wait("b", start), None);
        attempts.wrong("a", start);
        assert_eq!(attempts.wait("a", start + EVERY), None, "one more after a while");
        attempts.wrong("a", start + EVERY);
        assert!(attempts.wait("a", start + EVERY).is_some());
        assert_eq!(attempts.wait("a", start + EVERY * 100), None);
        attempts.right("a");
        assert_eq!(attempts.wait("a", start + EVERY), None);
        for i in 0..10 * ADDRESSES {
            attempts.wrong(&i.to_string(), start + Duration::from_millis(i as u64));
        }
        assert!(attempts.by_address.len() <= ADDRESSES);
    }
}
