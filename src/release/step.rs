//! What a release asks for after the switch: restart, reload, run. The device decides whether it may.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// Time limit of a `run` that names none.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// One `post_install` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Restart this unit.
    Restart(String),
    /// Reload this unit.
    Reload(String),
    /// Run this command; its first word is a file of the release.
    Run {
        /// The words of the command.
        argv: Vec<String>,
        /// When to give up on it.
        timeout: Duration,
    },
}

impl Step {
    /// Reads the short form: `"restart pikit-api"`, `"reload nginx"`; any other string is split like a shell would and is a `run`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = split(text)?;
        match words.as_slice() {
            [] => Err("an empty post_install entry".into()),
            [verb, unit] if verb == "restart" => Ok(Step::Restart(unit_name(unit)?)),
            [verb, unit] if verb == "reload" => Ok(Step::Reload(unit_name(unit)?)),
            _ => Ok(Step::Run { argv: words, timeout: RUN_TIMEOUT }),
        }
    }
}

/// A unit's full name: one without a suffix means `.service`.
///
/// # Errors
/// A name that systemd.unit(5) does not allow, or that a command could take for an option.
pub fn unit_name(name: &str) -> Result<String, String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if name.is_empty() || name.len() > 255 || name.starts_with(['-', '.']) || !name.bytes().all(ok) {
        return Err(format!("{name:?} is not the name of a unit"));
    }
    let suffixes = [".service", ".socket", ".target", ".timer", ".path", ".mount", ".device", ".swap", ".slice", ".scope", ".automount"];
    Ok(if suffixes.iter().any(|s| name.ends_with(s)) { name.to_owned() } else { format!("{name}.service") })
}

/// Splits words as POSIX sh does for blanks, quotes and backslashes; nothing is expanded.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => loop {
                match chars.next() {
                    None => return Err(format!("{text:?} has a quote that does not end")),
                    Some('\'') => break word.get_or_insert_default().push_str(""),
                    Some(c) => word.get_or_insert_default().push(c),
                }
            },
            '"' => loop {
                match chars.next() {
                    None => return Err(format!("{text:?} has a quote that does not end")),
                    Some('"') => break word.get_or_insert_default().push_str(""),
                    Some('\\') => match chars.next() {
                        Some(c @ ('"' | '\\' | '$' | '`')) => word.get_or_insert_default().push(c),
                        Some(c) => word.get_or_insert_default().extend(['\\', c]),
                        None => return Err(format!("{text:?} ends in a backslash")),
                    },
                    Some(c) => word.get_or_insert_default().push(c),
                }
            },
            '\\' => word.get_or_insert_default().push(chars.next().ok_or_else(|| format!("{text:?} ends in a backslash"))?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Table(Table),
        }
        #[derive(Deserialize)]
        struct Table {
            restart: Option<String>,
            reload: Option<String>,
            run: Option<Vec<String>>,
            timeout: Option<String>,
        }
        match Raw::deserialize(d)? {
            Raw::Text(text) => Step::parse(&text).map_err(D::Error::custom),
            Raw::Table(Table { restart: Some(unit), reload: None, run: None, .. }) => unit_name(&unit).map(Step::Restart).map_err(D::Error::custom),
            Raw::Table(Table { restart: None, reload: Some(unit), run: None, .. }) => unit_name(&unit).map(Step::Reload).map_err(D::Error::custom),
            Raw::Table(Table { restart: None, reload: None, run: Some(argv), timeout }) if !argv.is_empty() => {
                let timeout = match timeout {
                    Some(t) => crate::quantity::duration(&t).map_err(D::Error::custom)?,
                    None => RUN_TIMEOUT,
                };
                Ok(Step::Run { argv, timeout })
            }
            Raw::Table(_) => Err(D::Error::custom("a post_install entry is one of restart, reload, run")),
        }
    }
}

impl Serialize for Step {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = s.serialize_map(None)?;
        match self {
            Step::Restart(unit) => map.serialize_entry("restart", unit)?,
            Step::Reload(unit) => map.serialize_entry("reload", unit)?,
            Step::Run { argv, timeout } => {
                map.serialize_entry("run", argv)?;
                // with its fraction: the digest of the content, by which a release is known again, is of this spelling
                map.serialize_entry("timeout", &format!("{}s", timeout.as_secs_f64()))?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_strings_and_tables() {
        let steps: Vec<Step> = serde_json::from_str(
            r#"["restart pikit-api", "reload nginx", "bin/migrate --to '4 5'", {"restart":"a.socket"}, {"run":["bin/x"],"timeout":"30s"}]"#,
        )
        .unwrap();
        assert_eq!(steps[0], Step::Restart("pikit-api.service".into()));
        assert_eq!(steps[1], Step::Reload("nginx.service".into()));
        assert_eq!(steps[2], Step::Run { argv: vec!["bin/migrate".into(), "--to".into(), "4 5".into()], timeout: RUN_TIMEOUT });
        assert_eq!(steps[3], Step::Restart("a.socket".into()));
        assert_eq!(steps[4], Step::Run { argv: vec!["bin/x".into()], timeout: Duration::from_secs(30) });
    }

    #[test]
    fn a_step_is_the_same_after_it_was_written() {
        for timeout in ["60s", "500ms", "0.0000001h", "1.5", "36499.999999d"] {
            let step: Step = serde_json::from_str(&format!(r#"{{"run":["bin/x"],"timeout":"{timeout}"}}"#)).unwrap();
            let written = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&written).unwrap(), step, "{written}");
        }
        let minute: Step = serde_json::from_str(r#"{"run":["bin/x"]}"#).unwrap();
        assert!(serde_json::to_string(&minute).unwrap().contains(r#""60s""#), "as it was always written");
    }

    #[test]
    fn refuses_what_is_not_a_unit() {
        for bad in [r#""restart -rf""#, r#""restart ../x""#, r#"{"restart":"a b"}"#, r#"{}"#, r#"{"run":[]}"#, r#""""#, r#""'x""#] {
            assert!(serde_json::from_str::<Step>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn splits_words_like_a_shell() {
        assert_eq!(split(r#"a "b c" 'd"e' f\ g "" "\"h""#).unwrap(), ["a", "b c", "d\"e", "f g", "", "\"h"]);
    }
}
