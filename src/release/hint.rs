//! What a release says of a well board, in the words that are typed at `setup --health`. Hints: `setup` offers them, `doctor` reminds of
//! them, and nothing is asked that the board's own config does not list.

use std::fmt;
use std::str::FromStr;

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
            Some(("http" | "https", _)) => Ok(Hint::Http(text.to_owned())),
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
        let host = match &hint {
            Hint::Http(url) => url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default()),
            Hint::Tcp(at) => Some(at.as_str()),
            Hint::Unit(_) => return Ok(hint),
        };
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if plain && host.is_some_and(|h| !h.contains('@') && is_loopback(h)) {
            Ok(hint)
        } else {
            Err("it is not about the board itself: 127.0.0.1, localhost or a unit".into())
        }
    }

    /// Those of a manifest that are understood: a later release may know more kinds, and a hint is no reason to refuse it.
    pub fn of(written: &[String]) -> Vec<Hint> {
        written.iter().take(HINTS_MAX).filter_map(|text| Hint::about_the_board(text).ok()).collect()
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

/// Reads what can be read: another form, which a later release may use, is no reason to refuse it.
///
/// # Errors
/// It is no JSON.
pub fn lenient<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(d)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
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
        for text in ["http://127.0.0.1:8080/ping", "https://localhost/", "tcp:127.0.0.1:5252", "tcp:[::1]:80", "unit:api.service"] {
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
        let away = ["http://example.org/", "https://192.168.1.1/", "tcp:10.0.0.1:22", "http://127.0.0.1.example.org/", "http://127.0.0.1@example.org/"];
        for text in away {
            assert!(Hint::about_the_board(text).is_err(), "{text}");
        }
        assert!(Hint::about_the_board("http://127.0.0.1/\nx").is_err());
        let told = ["unit:api", "http://example.org/", "later:kind", "http://127.0.0.1/"].map(str::to_owned);
        assert_eq!(Hint::of(&told), [Hint::Unit("api.service".into()), Hint::Http("http://127.0.0.1/".into())]);
        assert!(Hint::of(&vec!["unit:api".to_owned(); 100]).len() <= HINTS_MAX);
        assert_eq!(Hint::written(&["unit:api".to_owned()]), Ok(vec!["unit:api.service".to_owned()]));
        assert!(Hint::written(&told).unwrap_err().contains("example.org"));
        assert!(Hint::written(&vec!["unit:api".to_owned(); 17]).is_err());
    }
}
