//! `check-expiry`: whether a manifest may be offered for long enough, in words for the log of a CI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use semver::Version;
use serde::Serialize;

use super::place::Release;
use crate::error::Result;

/// How long it may be offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expiry {
    /// The manifest.
    pub manifest: PathBuf,
    /// Its version.
    pub version: Version,
    /// Until when; none: for ever.
    pub expires: Option<DateTime<Utc>>,
    /// Whole days that are left; below 0: it has expired.
    pub days: Option<i64>,
    /// Whether that is long enough.
    #[serde(skip)]
    pub enough: bool,
    /// All that in words.
    pub words: String,
}

/// Looks at the manifest of a release. Whose it is, is not looked at.
///
/// # Errors
/// There is none that can be read.
pub fn check(target: &Path, within: Duration, now: DateTime<Utc>) -> Result<Expiry> {
    let release = Release::at(target)?;
    let (manifest, _) = release.read()?;
    let left = manifest.expires.map(|at| at - now);
    let enough = left.is_none_or(|left| left > TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX));
    let words = match (manifest.expires, left) {
        (Some(at), Some(left)) => {
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            match (left > TimeDelta::zero(), enough) {
                (false, _) => format!("{} expired at {at}: devices refuse it; sign it again with a later date", manifest.version),
                (true, false) => format!("{} expires at {at}, {} from now: sign it again with a later date", manifest.version, span(left)),
                (true, true) => format!("{} expires at {at}, {} from now", manifest.version, span(left)),
            }
        }
        _ => format!("{} never expires", manifest.version),
    };
    Ok(Expiry { manifest: release.manifest, version: manifest.version, expires: manifest.expires, days: left.map(|l| l.num_days()), enough, words })
}

fn span(left: TimeDelta) -> String {
    if left < TimeDelta::days(2) { format!("{} hours", left.num_hours()) } else { format!("{} days", left.num_days()) }
}
