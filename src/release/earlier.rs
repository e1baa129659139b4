//! Notes of earlier releases, carried along: who skipped some of them reads, offline, what all of them changed.

use std::fmt;

use chrono::{DateTime, Utc};
use semver::Version;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most sections that are carried.
pub const SECTIONS_MAX: usize = 20;
/// Most bytes of their notes, together.
pub const BYTES_MAX: usize = 64 << 10;

/// What one earlier release said about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its version.
    #[serde(deserialize_with = "super::manifest::lenient_version")]
    pub version: Version,
    /// When it was released.
    #[serde(default)]
    pub released: Option<DateTime<Utc>>,
    /// Markdown.
    pub notes: String,
}

/// As many of them, from the first on, as are carried.
pub fn bounded(all: impl IntoIterator<Item = Earlier>) -> Vec<Earlier> {
    let mut room = BYTES_MAX;
    let fits = |e: &Earlier| {
        let fits = e.notes.len() <= room;
        room = room.saturating_sub(e.notes.len());
        fits
    };
    all.into_iter().take(SECTIONS_MAX).take_while(fits).collect()
}

/// Reads the list of a manifest. Notes are no reason to refuse a release: an entry that is not understood is passed over, and so is all
/// that is too much.
pub fn lenient<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Earlier>, D::Error> {
    // as text first: whatever it is, it is parsed apart from the manifest, and entry by entry
    let raw = Box::<RawValue>::deserialize(d)?;
    let mut json = serde_json::Deserializer::from_str(raw.get());
    Ok(bounded(json.deserialize_seq(List).unwrap_or_default()))
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Earlier>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut known = Vec::new();
        while known.len() < SECTIONS_MAX {
            let Some(entry) = entries.next_element::<&RawValue>()? else { return Ok(known) };
            known.extend(serde_json::from_str::<Earlier>(entry.get()).ok());
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Manifest;

    fn read(earlier: &str) -> Vec<Earlier> {
        Manifest::parse(format!(r#"{{"version":"1.0.0","files":[],"earlier":{earlier}}}"#).as_bytes()).unwrap().earlier
    }

    #[test]
    fn what_is_not_understood_is_passed_over_and_never_refuses_the_release() {
        let good = r#"{"version":"v0.9.0","released":"2026-11-01T00:00:00Z","notes":"n","more":[1]}"#;
        let all = read(&format!(r#"[{good},{{"version":"x","notes":"n"}},7,null,{{"version":"0.8.0"}},[[[]]],{{"version":"0.7.0","notes":"m"}}]"#));
        let said: Vec<_> = all.iter().map(|e| (e.version.to_string(), e.notes.as_str(), e.released.is_some())).collect();
        assert_eq!(said, [("0.9.0".into(), "n", true), ("0.7.0".into(), "m", false)]);
        for nonsense in ["null", "7", "\"text\"", "{\"a\":1}", "[]", "true"] {
            assert_eq!(read(nonsense), [], "{nonsense}");
        }
    }

    #[test]
    fn of_too_many_and_too_long_ones_the_first_are_kept() {
        let entry = |n: usize, size: usize| format!(r#"{{"version":"0.0.{n}","notes":"{}"}}"#, "x".repeat(size));
        let list = |count: usize, size: usize| format!("[{}]", (0..count).map(|n| entry(n, size)).collect::<Vec<_>>().join(","));
        assert_eq!(read(&list(30, 1)).len(), 20);
        assert_eq!(read(&list(10, 10 << 10)).len(), 6);
        assert_eq!(read(&list(3, 100 << 10)), []);
        assert_eq!(read(&format!("[{}]", "0,".repeat(1_000_000) + "0")), []);
    }
}
