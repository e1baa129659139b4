//! What a release is, but for what may change when it is signed again.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufWriter, Write};

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::release::Digest;
use crate::release::digest::Hashing;

/// What may change: until when it is offered, and the keys.
const MAY_CHANGE: [&str; 2] = ["expires", "trust"];

/// Digest of everything in a manifest but what may change when a published release is signed again. Of the JSON and not of what this updater
/// reads of it: a later one, which reads more, must find the same. Digested is the JSON with its keys sorted and without spaces.
pub fn identity(bytes: &[u8]) -> Digest {
    of_object(bytes).unwrap_or_else(|_| whole(bytes))
}

/// The same of anything, and all at once: what is no JSON is `null`.
fn whole(bytes: &[u8]) -> Digest {
    let mut all: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(keys) = all.as_object_mut() {
        MAY_CHANGE.iter().for_each(|key| drop(keys.remove(*key)));
    }
    Digest::of(all.to_string().as_bytes())
}

/// One part after the other, and of a list one element after the other: as one value a list of ten thousand files would take some ten megabytes.
fn of_object(bytes: &[u8]) -> serde_json::Result<Digest> {
    let all: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes)?;
    let mut to = BufWriter::new(Hashing::new(io::sink()));
    let mut before = "{";
    for (key, part) in &all {
        if MAY_CHANGE.contains(&key.as_str()) {
            serde_json::from_str::<Value>(part.get())?;
            continue;
        }
        put(&mut to, before)?;
        serde_json::to_writer(&mut to, key)?;
        put(&mut to, ":")?;
        if part.get().starts_with('[') {
            serde_json::Deserializer::from_str(part.get()).deserialize_seq(Elements(&mut to))?;
        } else {
            serde_json::to_writer(&mut to, &serde_json::from_str::<Value>(part.get())?)?;
        }
        before = ",";
    }
    put(&mut to, if before == "{" { "{}" } else { "}" })?;
    Ok(to.into_inner().map_err(|e| serde_json::Error::io(e.into_error()))?.finish().1)
}

fn put(to: &mut impl Write, text: &str) -> serde_json::Result<()> {
    to.write_all(text.as_bytes()).map_err(serde_json::Error::io)
}

/// Writes a list, and holds one element of it.
struct Elements<W>(W);

impl<'de, W: Write> Visitor<'de> for Elements<W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut before = "[";
        while let Some(element) = list.next_element::<Value>()? {
            put(&mut self.0, before).and_then(|()| serde_json::to_writer(&mut self.0, &element)).map_err(A::Error::custom)?;
            before = ",";
        }
        put(&mut self.0, if before == "[" { "[]" } else { "]" }).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_boards_remember_stays_the_same() {
        let texts = [
            "{}",
            "[]",
            "",
            "7",
            "{\"a\":[]}",
            "{ \"b\" : [ 1 , {\"z\":1,\"a\":[2,[3]]} ] , \"a\" : \"\\u00fc/\\/\" }",
            "{\"a\":1,\"a\":2,\"expires\":\"x\"}",
            "{\"files\":[{\"path\":\"a\",\"path\":\"b\"}],\"trust\":{\"x\":[1]}}",
            "{\"n\":1e3,\"m\":1.0,\"k\":-0,\"l\":18446744073709551615}",
            "{\"a\":1} ",
            "{\"a\":1}x",
            "{\"a\":[1,}",
            "{\"expires\":1e999}",
            "{\"a\":[1e999]}",
            "{\"a\":\"\\ud800\"}",
        ];
        for text in texts {
            assert_eq!(identity(text.as_bytes()), whole(text.as_bytes()), "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
        assert_eq!(identity(deep.as_bytes()), whole(deep.as_bytes()));
        assert_ne!(identity(b"{\"a\":1}"), identity(b"{\"a\":2}"));
        assert_eq!(identity(b"{\"a\":1}"), identity(b"{\"trust\":[],\"a\":1,\"expires\":null}"));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let key = prop_oneof!["[a-c]", Just("expires".to_owned()), Just("trust".to_owned()), ".{0,3}"];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(key, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_told_as_it_was(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(identity(text.as_bytes()), whole(text.as_bytes()), "{}", text);
        }
    }
}
