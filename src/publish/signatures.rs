//! The file of signatures: one of minisign's after the other. Signing again replaces one's own, leaves those of others that hold, and drops
//! those that do not hold any more.

use serde::Serialize;

use crate::release::signature;
use crate::release::{KeyId, PublicKey};

/// Lines of one signature.
const LINES: usize = 4;

/// One signature as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    /// By which key it claims to be.
    pub key: KeyId,
    /// Its four lines.
    pub text: String,
}

/// A file put together anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// The file's text.
    #[serde(skip)]
    pub text: String,
    /// Keys of others whose signatures hold and stay.
    pub kept: Vec<KeyId>,
    /// Keys of others whose signatures stay, though nobody could look at them: their public keys are not known here.
    pub unchecked: Vec<KeyId>,
    /// Keys whose signatures do not hold any more.
    pub dropped: Vec<KeyId>,
}

/// The signatures in a file.
///
/// # Errors
/// It holds something else.
pub fn split(text: &str) -> Result<Vec<Single>, String> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let one = |four: &[&str]| {
        let text = four.iter().map(|line| format!("{line}\n")).collect::<String>();
        let read = Some(&text).filter(|_| four.len() == LINES).and_then(|text| minisign::SignatureBox::from_string(text).ok());
        let number = read.and_then(|read| read.keynum().try_into().ok());
        number.map(|number| Single { key: KeyId::from_bytes(number), text }).ok_or_else(|| "it is no signature of minisign".to_owned())
    };
    lines.chunks(LINES).map(one).collect()
}

/// Puts new signatures of these bytes to those that are there. `changed`: the bytes are not those that the old ones were made for.
pub fn merge(old: &[Single], new: Vec<Single>, bytes: &[u8], changed: bool, known: &[PublicKey]) -> Merged {
    let mut merged = Merged::default();
    for single in old.iter().filter(|old| new.iter().all(|new| new.key != old.key)) {
        let holds = signature::verify(bytes, single.text.as_bytes(), known).is_ok_and(|held| !held.is_empty());
        let stranger = known.iter().all(|key| key.id() != single.key);
        let list = match (holds, stranger && !changed) {
            (true, _) => &mut merged.kept,
            (false, true) => &mut merged.unchecked,
            (false, false) => {
                merged.dropped.push(single.key);
                continue;
            }
        };
        list.push(single.key);
        merged.text.push_str(&single.text);
    }
    merged.text.extend(new.into_iter().map(|single| single.text));
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Someone(minisign::KeyPair);

    impl Someone {
        fn new() -> Self {
            Someone(minisign::KeyPair::generate_unencrypted_keypair().unwrap())
        }
        fn public(&self) -> PublicKey {
            PublicKey::parse(&self.0.pk.to_base64()).unwrap()
        }
        fn signs(&self, bytes: &[u8]) -> Single {
            let text = minisign::sign(None, &self.0.sk, bytes, Some("c"), None).unwrap().into_string();
            Single { key: self.public().id(), text }
        }
    }

    #[test]
    fn ours_is_replaced_what_holds_stays_and_what_does_not_goes() {
        let (me, friend, stale, stranger) = (Someone::new(), Someone::new(), Someone::new(), Someone::new());
        let all = [me.signs(b"x"), friend.signs(b"x"), stale.signs(b"y"), stranger.signs(b"x")];
        let file: String = all.iter().map(|s| format!("{}\n", s.text)).collect();
        assert_eq!(split(&file).unwrap(), all);
        let known = [me.public(), friend.public(), stale.public()];
        let mine = me.signs(b"x");
        let merged = merge(&all, vec![mine.clone()], b"x", false, &known);
        assert_eq!((merged.kept.as_slice(), merged.unchecked.as_slice()), (&[friend.public().id()][..], &[stranger.public().id()][..]));
        assert_eq!(merged.dropped, [stale.public().id()]);
        assert_eq!(split(&merged.text).unwrap(), [all[1].clone(), all[3].clone(), mine]);
        // other bytes: nobody's can hold
        let merged = merge(&all, vec![me.signs(b"z")], b"z", true, &known);
        assert_eq!(merged.dropped.len(), 3);
        assert_eq!(split(&merged.text).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_signature_is_not_split() {
        let single = Someone::new().signs(b"x");
        let cut = single.text.lines().take(3).collect::<Vec<_>>().join("\n");
        for bad in ["hello", &cut, &format!("{}hello\n", single.text)] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(split("\n").unwrap(), []);
    }
}
