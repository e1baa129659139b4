//! Signatures by anybody. Nothing holds but what we signed: these keys, these bytes, these comments. The secret keys were thrown away.
//!
//! At random nobody finds a signature that is nearly right, so it is made of the lines of right ones, and edited.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pikit_updater::release::PublicKey;
use pikit_updater::release::signature::{Signed, verify};

const SIGNED: &[u8] = include_bytes!("../keys/signed");
/// By one and two, whom we trust; by one in the legacy form; by somebody else; by one, of other bytes.
const SIGNATURES: [&str; 5] = [
    include_str!("../keys/one.minisig"),
    include_str!("../keys/two.minisig"),
    include_str!("../keys/legacy.minisig"),
    include_str!("../keys/foreign.minisig"),
    include_str!("../keys/other.minisig"),
];

struct Fixed {
    keys: [PublicKey; 2],
    ours: Vec<Signed>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let keys = [include_str!("../keys/one.pub"), include_str!("../keys/two.pub")].map(|text| PublicKey::parse(text).expect("it is a key"));
    let ours: Vec<Signed> = SIGNATURES.iter().flat_map(|text| verify(SIGNED, text.as_bytes(), &keys).expect("it is a signature")).collect();
    assert_eq!(ours.len(), 3);
    Fixed { keys, ours }
});

/// One way to spoil, or to repeat, what is right.
#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    /// A whole signature.
    Whole(u8),
    /// A line of one.
    Line {
        of: u8,
        line: u8,
    },
    /// A line with a byte flipped.
    Flipped {
        of: u8,
        line: u8,
        at: u8,
        xor: u8,
    },
    /// The beginning of a line and the rest of another: a signature of one key under the number of another.
    Spliced {
        of: u8,
        and: u8,
        line: u8,
        at: u8,
    },
    /// What nobody thought of.
    Text(&'a str),
    Comment(&'a str),
}

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    /// Bytes of the message to flip.
    message: Vec<(u8, u8)>,
    more: &'a [u8],
    pieces: Vec<Piece<'a>>,
}

fuzz_target!(|case: Case<'_>| {
    let mut message = SIGNED.to_vec();
    for (at, xor) in case.message {
        let at = usize::from(at) % message.len();
        message[at] ^= xor;
    }
    message.extend_from_slice(case.more);
    let signature: Vec<u8> = case.pieces.into_iter().flat_map(|piece| piece.spell()).collect();

    if let Ok(held) = verify(&message, &signature, &FIXED.keys) {
        assert!(held.is_empty() || message == SIGNED, "bytes that nobody signed are said to be signed");
        assert!(held.len() <= FIXED.keys.len());
        for signed in &held {
            assert!(FIXED.ours.contains(signed), "{signed:?} is none of ours");
            assert_eq!(held.iter().filter(|other| other.key == signed.key).count(), 1, "a key is counted twice");
        }
        assert_eq!(verify(&message, &signature, &[]), Ok(vec![]));
    }
    if let Ok(key) = std::str::from_utf8(&signature).map_err(drop).and_then(|text| PublicKey::parse(text).map_err(drop)) {
        assert_eq!(PublicKey::parse(key.line()).as_ref(), Ok(&key));
        assert_eq!(key.line().len(), 56);
    }
});

fn line(of: u8, line: u8) -> &'static str {
    let text = SIGNATURES[usize::from(of) % SIGNATURES.len()];
    text.lines().nth(usize::from(line) % 4).expect("a signature has four lines")
}

impl Piece<'_> {
    fn spell(self) -> Vec<u8> {
        let mut bytes = match self {
            Piece::Whole(of) => return SIGNATURES[usize::from(of) % SIGNATURES.len()].into(),
            Piece::Line { of, line: n } => line(of, n).into(),
            Piece::Flipped { of, line: n, at, xor } => {
                let mut bytes = line(of, n).as_bytes().to_vec();
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= xor;
                bytes
            }
            Piece::Spliced { of, and, line: n, at } => {
                let (one, other) = (line(of, n), line(and, n));
                let at = usize::from(at) % one.len().min(other.len());
                [one[..at].as_bytes(), other[at..].as_bytes()].concat()
            }
            Piece::Text(text) => text.into(),
            Piece::Comment(text) => format!("trusted comment: {text}").into_bytes(),
        };
        bytes.push(b'\n');
        bytes
    }
}
