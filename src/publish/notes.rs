//! Release notes: the section of one version out of a changelog, and the date in its heading.

use chrono::{DateTime, NaiveDate, Utc};
use semver::Version;

use crate::release::earlier::{self, Earlier};

/// What a changelog says about one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The day in the heading, `## 1.4.0 - 2026-11-20`.
    pub date: Option<DateTime<Utc>>,
    /// The text below the heading.
    pub text: String,
}

/// The section of this version: from its heading to the next one of the same or a higher level.
pub fn section(changelog: &str, version: &Version) -> Option<Section> {
    let mut lines = changelog.lines().skip_while(|line| of_version(line) != Some(version.clone()));
    let heading = lines.next()?;
    let text: Vec<&str> = lines.take_while(|line| level(line).is_none_or(|l| l > level(heading).unwrap_or(0))).collect();
    let date = heading.split(|c: char| !c.is_ascii_digit() && c != '-').find_map(day);
    Some(Section { date, text: text.join("\n").trim().to_owned() })
}

/// What it says about versions below this one, newest first, as much of it as a manifest carries.
pub fn earlier(changelog: &str, version: &Version) -> Vec<Earlier> {
    let mut below: Vec<Version> = changelog.lines().filter_map(of_version).filter(|v| v < version).collect();
    below.sort_by(|a, b| b.cmp(a));
    below.dedup();
    let said = |version: Version| {
        let Section { date, text } = section(changelog, &version)?;
        (!text.is_empty()).then_some(Earlier { version, released: date, notes: text })
    };
    earlier::bounded(below.into_iter().filter_map(said))
}

/// `2026-11-20`, its first instant in UTC.
pub fn day(text: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?.and_utc())
}

/// How deep a markdown heading is; `None` for any other line.
fn level(line: &str) -> Option<usize> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len() && text.starts_with(' ')).then(|| line.len() - text.len())
}

/// The version a heading is of: `## 1.4.0`, `## v1.4.0`, `## [1.4.0](https://…) - …`.
fn of_version(line: &str) -> Option<Version> {
    level(line)?;
    let word = line.trim_start_matches('#').trim_start().trim_start_matches(['[', 'v']);
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && !".+-".contains(c)).unwrap_or(word.len());
    Version::parse(&word[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_a_version_ends_at_the_next_heading_of_its_level() {
        let text = "# Changelog\n\n## [1.1.0] - 2026-10-01\n\nNew tile.\n\n### Fixed\n- a\n\n## v1.0.0 (2026-09-01)\nFirst.\n";
        let newer = section(text, &Version::new(1, 1, 0)).unwrap();
        assert_eq!(newer.text, "New tile.\n\n### Fixed\n- a");
        assert_eq!(newer.date, day("2026-10-01"));
        assert_eq!(section(text, &Version::new(1, 0, 0)).unwrap(), Section { date: day("2026-09-01"), text: "First.".into() });
        assert_eq!(section(text, &Version::new(1, 0, 1)), None);
    }

    #[test]
    fn what_was_said_before_is_carried_newest_first() {
        let text = "# Changelog\n## 1.2.0\nnew\n## 1.0.0 - 2026-09-01\nfirst\n## [1.1.0] - 2026-10-01\n### Fixed\n- a\n## 1.0.5\n\n## 0.9.0-beta.1\ntry\n";
        let all = earlier(text, &Version::new(1, 2, 0));
        let said: Vec<_> = all.iter().map(|e| (e.version.to_string(), e.notes.as_str(), e.released)).collect();
        assert_eq!(
            said,
            [("1.1.0".into(), "### Fixed\n- a", day("2026-10-01")), ("1.0.0".into(), "first", day("2026-09-01")), ("0.9.0-beta.1".into(), "try", None)]
        );
        assert_eq!(earlier(text, &Version::new(0, 9, 0)).len(), 1);
        let long: String = (0..40).map(|n| format!("## 0.{n}.0\n{}\n", "x".repeat(4000))).collect();
        assert_eq!(earlier(&long, &Version::new(1, 0, 0)).len(), 16);
    }
}
