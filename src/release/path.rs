//! Paths within a release: relative, `/`-separated UTF-8, and unable to point anywhere else.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest path part, the NAME_MAX of Linux file systems, bytes.
const PART_MAX: usize = 255;
/// Longest path, Linux's PATH_MAX, bytes.
const PATH_MAX: usize = 4096;

/// A path that has been checked: no empty, `.` or `..` part, no control character, no backslash trick, within the limits.
/// Shared, because manifest, target, facts and plan all name the same thousands of files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleasePath(Arc<str>);

impl ReleasePath {
    /// Checks a path.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(path: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("path {path:?} {what}"));
        if path.is_empty() {
            return Err("a path is empty".into());
        }
        if path.starts_with('/') {
            return wrong("is absolute");
        }
        if path.len() > PATH_MAX {
            return wrong("is longer than 4096 bytes");
        }
        if path.chars().any(char::is_control) {
            return wrong("has a control character");
        }
        for part in path.split('/') {
            match part {
                "" => return wrong("has an empty part"),
                "." | ".." => return wrong("has a part . or .."),
                _ if part.len() > PART_MAX => return wrong("has a part longer than 255 bytes"),
                _ => {}
            }
        }
        Ok(ReleasePath(path.into()))
    }
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// So many bytes of its end; a character begins there.
    pub fn end(&self, bytes: usize) -> &str {
        &self.0[self.0.len() - bytes..]
    }
    /// The folders above this file, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(i, _)| &self.0[..i])
    }
}

impl fmt::Display for ReleasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ReleasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::borrow::Borrow<str> for ReleasePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for ReleasePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReleasePath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        ReleasePath::new(&std::borrow::Cow::<str>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_whatever_could_leave_the_tree() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", ".", "..", "a\0b", "a\nb", "a/\u{1b}[2J"] {
            assert!(ReleasePath::new(bad).is_err(), "{bad:?}");
        }
        assert!(ReleasePath::new(&"x".repeat(256)).is_err());
        assert!(ReleasePath::new(&"x/".repeat(2100)).is_err());
        for good in ["a", "a/b.c", "…/ü", ".hidden", "a/...", "x\\y"] {
            assert_eq!(ReleasePath::new(good).unwrap().as_str(), good);
        }
        assert_eq!(ReleasePath::new("a/b/c").unwrap().parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
