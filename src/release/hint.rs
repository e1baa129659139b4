//! Health checks that a release suggests, in the words that are typed at `setup --health`. Hints: `setup` offers them, `doctor` reminds of
//! them, and nothing is asked that the board's own config does not list.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::step::unit_name;

/// Most hints that are looked at.
const HINTS_MAX: usize = 16;

/// One thing that should be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This URL answers with status 200.
    Http(String),
    /// This address takes connections.
    Tcp(String),
    /// This unit is active; a full name.
    Unit(String),
}

impl FromStr for Hint {
    type Err = String;
    /// Reads `http://…`, `tcp:HOST:PORT` or `unit:NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("http" | "https", rest)) if rest.starts_with("//") => Ok(Hint::Http(text.to_owned())),
            Some(("tcp", at)) if !at.is_empty() => Ok(Hint::Tcp(at.to_owned())),
            Some(("unit", unit)) if !unit.is_empty() => Ok(Hint::Unit(unit_name(unit)?)),
            _ => Err("neither http://…, tcp:HOST:PORT nor unit:NAME".into()),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Hint::Http(url) => f.write_str(url),
            Hint::Tcp(at) => write!(f, "tcp:{at}"),
            Hint::Unit(unit) => write!(f, "unit:{unit}"),
        }
    }
}

impl Hint {
    /// Reads what a release may suggest: only about the board itself. A check of somebody else's server would make every board call there.
    ///
    /// # Errors
    /// It is no hint, or leads away from the board.
    pub fn about_the_board(text: &str) -> Result<Self, String> {
        let hint: Hint = text.parse()?;
        let here = match &hint {
            Hint::Http(url) => url.split_once("://").is_some_and(|(_, rest)| is_here(rest.split(['/', '?', '#']).next().unwrap_or_default(), false)),
            Hint::Tcp(at) => is_here(at, true),
            Hint::Unit(_) => true,
        };
        // nothing that a terminal or a person could read as something else
        if here && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(hint)
        } else {
            Err("it is not about the board itself: 127.0.0.1, localhost or a unit".into())
        }
    }

    /// Those of a manifest that are understood: a later release may know more kinds, and a hint is no reason to refuse it.
    pub fn of(written: &[String]) -> Vec<Hint> {
        let mut hints: Vec<Hint> = written.iter().take(HINTS_MAX).filter_map(|text| Hint::about_the_board(text).ok()).collect();
        let mut seen = Vec::new();
        hints.retain(|hint| {
            !seen.contains(hint) && {
                seen.push(hint.clone());
                true
            }
        });
        hints
    }

    /// The same for a recipe, where all must be understood.
    ///
    /// # Errors
    /// Names the one that is not.
    pub fn written(written: &[String]) -> Result<Vec<String>, String> {
        if written.len() > HINTS_MAX {
            return Err(format!("{} are too many; {HINTS_MAX} can be told", written.len()));
        }
        written.iter().map(|text| Hint::about_the_board(text).map(|hint| hint.to_string()).map_err(|e| format!("{text:?}: {e}"))).collect()
    }
}

/// Reads those entries that are text, and no more than are looked at: another form, which a later release may use, is no reason to refuse it.
///
/// # Errors
/// It is no JSON.
pub fn lenient<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(d)?;
    let mut json = serde_json::Deserializer::from_str(raw.get());
    Ok(json.deserialize_seq(Texts).unwrap_or_default())
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(entry) = seq.next_element::<Box<RawValue>>()? {
            if texts.len() < HINTS_MAX {
                texts.extend(serde_json::from_str::<String>(entry.get()));
            }
        }
        Ok(texts)
    }
}

/// Whether `host` or `host:port` is this machine, to the letter: what is read in two ways leads elsewhere in one of them.
fn is_here(authority: &str, needs_port: bool) -> bool {
    if let Ok(at) = authority.parse::<SocketAddr>() {
        return at.ip().is_loopback();
    }
    match authority.split_once(':') {
        Some(("localhost", port)) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        _ if needs_port => false,
        _ => {
            let bare = authority.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(authority);
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

/// Whether `host[:port]` names this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_and_shown_again() {
        for text in
            ["http://127.0.0.1:8080/ping", "https://localhost/", "http://[::1]/x", "tcp:127.0.0.1:5252", "tcp:localhost:80", "tcp:[::1]:80", "unit:api.service"]
        {
            assert_eq!(text.parse::<Hint>().unwrap().to_string(), text);
            assert_eq!(Hint::about_the_board(text).unwrap().to_string(), text);
        }
        assert_eq!("unit:api".parse(), Ok(Hint::Unit("api.service".into())));
        for bad in ["", "ping", "tcp:", "unit:", "unit:a b", "ftp://x", "run:reboot"] {
            assert!(bad.parse::<Hint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_release_sends_no_board_elsewhere() {
        let away = [
            "http://example.org/",
            "https://192.168.1.1/",
            "tcp:10.0.0.1:22",
            "http://127.0.0.1.example.org/",
            "http://127.0.0.1@example.org/",
            "http://localhost:x.example.org/",
            "http:x://127.0.0.1/",
            "http:example.org/://127.0.0.1",
            "tcp:localhost:x.example.org:80",
            "tcp:[::1].example.org:80",
            "tcp:127.0.0.1",
            "tcp:localhost:+80",
            "http://[::1]x/",
            "http://127.0.0.1/\nx",
            "http://127.0.0.1/\u{202e}",
        ];
        for text in away {
            assert!(Hint::about_the_board(text).is_err(), "{text}");
        }
        let told = ["unit:api", "http://example.org/", "later:kind", "http://127.0.0.1/"].map(str::to_owned);
        assert_eq!(Hint::of(&told), [Hint::Unit("api.service".into()), Hint::Http("http://127.0.0.1/".into())]);
        assert_eq!(Hint::of(&vec!["unit:api".to_owned(); 100]).len(), 1);
        assert_eq!(Hint::written(&["unit:api".to_owned()]), Ok(vec!["unit:api.service".to_owned()]));
        assert!(Hint::written(&told).unwrap_err().contains("example.org"));
        assert!(Hint::written(&vec!["unit:api".to_owned(); 17]).is_err());
    }

    #[test]
    fn of_a_list_in_another_form_what_can_be_read_is_read() {
        #[derive(serde::Deserialize)]
        struct Holder {
            #[serde(default, deserialize_with = "lenient")]
            health: Vec<String>,
        }
        let read = |text: &str| serde_json::from_str::<Holder>(text).unwrap().health;
        assert_eq!(read(r#"{"health":["unit:api",{"a":1},7,"http://127.0.0.1/"]}"#), ["unit:api", "http://127.0.0.1/"]);
        assert_eq!(read(r#"{"health":{"later":"form"}}"#), Vec::<String>::new());
        assert_eq!(read(&format!(r#"{{"health":[{}""]}}"#, "\"\",".repeat(1000))).len(), HINTS_MAX);
    }
}
