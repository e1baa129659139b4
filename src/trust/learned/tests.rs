//! What is remembered, and what it keeps out.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::trust::{Sync, identity};

fn day(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(n)
}

fn key() -> PublicKey {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    PublicKey::parse(&pair.pk.to_base64()).unwrap()
}

/// A release of this version, released on this day, with more JSON.
fn release(version: &str, released: i64, more: &str) -> Manifest {
    let released = day(released).to_rfc3339();
    let text = format!(r#"{{"version":"{version}","released":"{released}","files":[{{"path":"a","sha256":"{}"}}]{more}}}"#, Digest::of(version.as_bytes()));
    Manifest::parse(text.as_bytes()).unwrap()
}

fn expires(n: i64) -> String {
    format!(r#","expires":"{}""#, day(n).to_rfc3339())
}

fn recall(max: &str) -> String {
    format!(r#","recall":{{"max_version":"{max}"}}"#)
}

/// A board that trusts one key, on a day.
struct Board {
    learned: Learned,
    keys: Vec<PublicKey>,
    time: Time,
}

impl Board {
    fn new() -> Self {
        Board { learned: Learned::default(), keys: vec![key()], time: Time { now: day(100), sync: Sync::Confirmed, known: None } }
    }
    /// Is offered a release, and accepts it if nothing speaks against it.
    fn offered(&mut self, manifest: &Manifest) -> Result<(), Refusal> {
        self.weigh(manifest, "stable", false, true)
    }
    fn weigh(&mut self, manifest: &Manifest, channel: &str, lower: bool, accept: bool) -> Result<(), Refusal> {
        let signed = [Signed { key: self.keys[0].id(), comment: String::new() }];
        let identity = identity(&serde_json::to_vec(manifest).unwrap());
        let offered = Offered { manifest, identity, signed: &signed, fits: true, lower };
        let device = Standing { channel, keys: &self.keys, time: self.time };
        self.learned.weigh(&offered, &device)?;
        if accept {
            self.learned.accept(&offered, &device);
        }
        Ok(())
    }
    fn floor(&self) -> Option<String> {
        self.learned.floor_for("stable", &self.keys).map(|f| f.version.to_string())
    }
}

#[test]
fn what_is_lower_than_what_was_seen_is_refused() {
    let mut board = Board::new();
    board.offered(&release("1.4.0", 50, "")).unwrap();
    assert!(matches!(board.offered(&release("1.3.0", 40, "")), Err(Refusal::Older { .. })));
    board.weigh(&release("1.3.0", 40, ""), "stable", true, false).expect("a person asked for it");
    assert_eq!(board.floor().as_deref(), Some("1.4.0"), "which lowers nothing");
    board.weigh(&release("1.3.0", 40, ""), "beta", false, false).expect("of another channel nothing is known");
    board.offered(&release("1.5.0", 60, "")).unwrap();
    assert_eq!(board.floor().as_deref(), Some("1.5.0"));
}

#[test]
fn the_same_version_may_differ_by_a_later_expiry_alone() {
    let mut board = Board::new();
    board.offered(&release("1.4.0", 50, &expires(200))).unwrap();
    board.offered(&release("1.4.0", 50, &expires(300))).unwrap();
    assert!(matches!(board.offered(&release("1.4.0", 50, &expires(200))), Err(Refusal::Replayed { .. })));
    assert!(matches!(board.offered(&release("1.4.0", 51, &expires(400))), Err(Refusal::Changed { .. })));
    assert!(matches!(board.offered(&release("1.4.0", 50, r#","notes":"other""#)), Err(Refusal::Changed { .. })));
    board.offered(&release("1.4.0", 50, "")).expect("never is later than any day");
    assert_eq!(board.learned.floor.as_ref().unwrap().expires, None);
}

#[test]
fn what_has_expired_is_refused_and_what_cannot_be_told_is_not() {
    let mut board = Board::new();
    assert!(matches!(board.offered(&release("1.4.0", 50, &expires(100))), Err(Refusal::Expired { .. })));
    assert_eq!(board.learned, Learned::default(), "nothing is learned from what is refused");
    board.time.sync = Sync::Pending;
    board.offered(&release("1.4.0", 50, &expires(100))).unwrap();
}

#[test]
fn a_recall_takes_back_what_was_released_before_it_and_nothing_after() {
    let mut board = Board::new();
    board.offered(&release("1.5.0", 60, "")).unwrap();
    let said = release("1.4.0", 70, &recall("1.4.0"));
    board.offered(&said).unwrap();
    assert_eq!(board.floor().as_deref(), Some("1.4.0"));
    assert_eq!(board.learned.takes_back(&Version::new(1, 5, 0), Some(day(60))), Some(&Version::new(1, 4, 0)));
    assert_eq!(board.learned.takes_back(&Version::new(1, 4, 0), Some(day(50))), None);
    assert!(matches!(board.offered(&release("1.5.0", 60, "")), Err(Refusal::Recalled { .. })));
    board.offered(&said).expect("it is the offered one from now on");
    board.offered(&release("1.5.1", 80, "")).unwrap();
    assert_eq!(board.learned.takes_back(&Version::new(1, 5, 1), Some(day(80))), None, "what came after it is good");
}

#[test]
fn a_replayed_or_expired_recall_does_nothing() {
    let said = release("1.3.0", 55, &recall("1.3.0"));
    let mut board = Board::new();
    board.offered(&release("1.5.0", 60, "")).unwrap();
    let before = board.learned.clone();
    assert!(matches!(board.offered(&said), Err(Refusal::Older { .. })), "it was said before 1.5.0 was released");
    assert_eq!(board.learned, before);
    assert!(matches!(board.offered(&release("1.3.0", 70, &format!("{}{}", recall("1.3.0"), expires(99)))), Err(Refusal::Expired { .. })));
    board.time.sync = Sync::Pending;
    assert!(matches!(board.offered(&release("1.3.0", 70, &format!("{}{}", recall("1.3.0"), expires(99)))), Err(Refusal::Older { .. })), "perhaps expired");
    assert_eq!(board.learned, before);
}

#[test]
fn a_stolen_key_cannot_shut_releases_out_once_it_is_gone() {
    let mut board = Board::new();
    board.offered(&release("999.0.0", 90, "")).unwrap();
    let honest = release("1.5.0", 60, "");
    assert!(board.offered(&honest).is_err());
    board.keys = vec![key()];
    board.learned.retire(&board.keys);
    board.offered(&honest).unwrap();
    let both = [board.keys.clone(), vec![key()]].concat();
    board.keys = both;
    board.learned.retire(&board.keys);
    assert_eq!(board.floor().as_deref(), Some("1.5.0"), "a key that stays vouches for what it signed");
}

#[test]
fn a_recall_from_the_future_or_of_itself_is_none() {
    let mut board = Board::new();
    board.offered(&release("1.5.0", 60, "")).unwrap();
    let before = board.learned.clone();
    assert!(matches!(board.offered(&release("1.0.0", 9000, &recall("1.0.0"))), Err(Refusal::Older { .. })));
    assert_eq!(board.learned, before);
    board.offered(&release("1.6.0", 70, &recall("1.5.0"))).unwrap();
    assert_eq!(board.learned.recalled, None);
}

#[test]
fn a_recall_that_could_not_be_told_from_an_expired_one_is_heard_once_the_clock_is_set() {
    let mut board = Board::new();
    board.time.sync = Sync::Pending;
    let said = release("1.4.0", 70, &format!("{}{}", recall("1.4.0"), expires(200)));
    board.offered(&said).unwrap();
    assert_eq!(board.learned.recalled, None);
    board.time.sync = Sync::Confirmed;
    board.offered(&said).unwrap();
    assert!(board.learned.takes_back(&Version::new(1, 5, 0), Some(day(60))).is_some());
}

#[test]
fn what_a_stolen_key_took_back_is_forgotten_with_it() {
    let mut board = Board::new();
    board.offered(&release("1.0.0", 50, &recall("1.0.0"))).unwrap();
    board.keys = vec![key()];
    board.learned.retire(&board.keys);
    assert_eq!(board.learned, Learned::default());
    board.offered(&release("1.5.0", 40, "")).unwrap();
}

#[test]
fn the_identity_is_of_all_that_is_said_known_or_not() {
    let of = |text: &str| identity(text.as_bytes());
    assert_eq!(of(r#"{"a":1,"expires":"x","trust":{}}"#), of(r#"{ "a": 1, "expires": "y" }"#));
    assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":1,"a field of the future":2}"#));
}

proptest! {
    /// Whatever is offered in whatever order: without a recall what is accepted never goes back.
    #[test]
    fn accepted_versions_never_go_back(offers in proptest::collection::vec((0u64..6, 0i64..6), 1..30)) {
        let mut board = Board::new();
        let mut highest = None;
        for (minor, released) in offers {
            let manifest = release(&format!("1.{minor}.0"), released, "");
            if board.offered(&manifest).is_ok() {
                prop_assert!(highest.as_ref().is_none_or(|h| *h <= manifest.version));
                highest = Some(manifest.version);
            }
        }
    }

    /// With recalls: what is accepted was released after the recall or is not above it.
    #[test]
    fn what_is_recalled_stays_so(offers in proptest::collection::vec((0u64..6, 0i64..9, proptest::option::of(0u64..6)), 1..40)) {
        let mut board = Board::new();
        let mut said: Option<(Version, i64)> = None;
        for (minor, released, max) in offers {
            let more = max.map(|m| recall(&format!("1.{m}.0"))).unwrap_or_default();
            let manifest = release(&format!("1.{minor}.0"), released, &more);
            let newest = board.learned.newest;
            let accepted = board.offered(&manifest).is_ok();
            if let Some(m) = max.filter(|m| *m >= minor && newest.is_none_or(|n| day(released) > n)) {
                said = Some((Version::new(1, m, 0), released));
            }
            if let (true, Some((max, at))) = (accepted, &said) {
                prop_assert!(manifest.version <= *max || released > *at);
            }
        }
    }
}
