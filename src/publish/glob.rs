//! Globs of a recipe: `*` within one part of a path, `**` across parts, `?` for one character.

use std::fmt;

/// One pattern. With a `/` in it, it is of the whole path in the release; without, of a name at any depth (`*.map`, `node_modules`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the text as it stands in the recipe; `/x` is `x` at the top, `x/` is `x`.
    pub fn new(text: &str) -> Self {
        Pattern(text.strip_suffix('/').unwrap_or(text).to_owned())
    }
    /// Whether a file or folder of the release is meant.
    pub fn matches(&self, path: &str) -> bool {
        match self.0.strip_prefix('/') {
            Some(top) => matches(top, path),
            None if self.0.contains('/') => matches(&self.0, path),
            None => matches(&self.0, path.rsplit('/').next().unwrap_or(path)),
        }
    }
    /// Longer patterns say more: the longest that matches decides.
    pub fn weight(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Backtracking is exponential in the number of stars at worst: the patterns are the maintainer's own.
fn matches(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**/") {
        return matches(rest, text) || text.match_indices('/').any(|(i, _)| matches(rest, &text[i + 1..]));
    }
    if let Some(rest) = pattern.strip_prefix("**") {
        return ends(text).any(|i| matches(rest, &text[i..]));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let part = text.find('/').unwrap_or(text.len());
        return ends(&text[..part]).any(|i| matches(rest, &text[i..]));
    }
    let (mut p, mut t) = (pattern.chars(), text.chars());
    match (p.next(), t.next()) {
        (None, None) => true,
        (Some('?'), Some(c)) if c != '/' => matches(p.as_str(), t.as_str()),
        (Some(want), Some(c)) if want == c => matches(p.as_str(), t.as_str()),
        _ => false,
    }
}

/// Every place in a text where a character begins, and its end.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(i, _)| i).chain([text.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_people_expect_of_it() {
        let table = [
            ("*.map", "a/b/app.js.map", true),
            ("*.map", "a/b/app.js", false),
            ("node_modules", "web/node_modules", true),
            ("bin/*", "bin/x", true),
            ("bin/*", "bin/x/y", false),
            ("bin/**", "bin/x/y", true),
            ("**/x.js", "x.js", true),
            ("a/**/x.js", "a/b/c/x.js", true),
            ("a/**/x.js", "a/x.js", true),
            ("/config.json", "config.json", true),
            ("/config.json", "a/config.json", false),
            ("docs/", "web/docs", true),
            ("?.js", "ü.js", true),
            ("a?b/c", "a/b/c", false),
        ];
        for (pattern, path, want) in table {
            assert_eq!(Pattern::new(pattern).matches(path), want, "{pattern} on {path}");
        }
    }
}
