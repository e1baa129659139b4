//! `lint`, and what `pack` and `publish` say of it.

use std::path::Path;

use serde_json::json;

use super::overrides;
use crate::cli::args::{Globals, Lint};
use crate::cli::voice::{Tone, Voice, clean};
use crate::device::{Layout, Managed, Settings};
use crate::error::{Code, Doing, Error, Result};
use crate::publish::lint::{self, Finding, Level, Limits};
use crate::publish::pack::Prepared;
use crate::publish::sign;
use crate::quantity::count;

/// `lint`.
///
/// # Errors
/// There is nothing that could be looked at.
pub fn lint_release(globals: &Globals, voice: &Voice, asked: &Lint) -> Result<u8> {
    let (facts, limits) = if asked.target.is_dir() {
        (lint::facts::of_release(&asked.target)?, Limits::default())
    } else {
        let overrides = overrides(asked.version.as_ref(), None, asked.released.as_deref())?;
        (lint::facts::of_prepared(&Prepared::read(&asked.target, &overrides, None)?)?, Limits::read(&asked.target)?)
    };
    let mut facts = facts.known(asked.published.clone(), sign::now());
    facts.managed = globals.config.as_deref().map(managed).transpose()?;
    let findings = lint::look(&facts, &limits);
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::Note);
    let well = worst < Level::Error;
    if voice.json {
        voice.json(well, &json!({"version": facts.version, "files": facts.files.len(), "findings": findings}));
    } else {
        let mut out: String = findings.iter().map(|f| told(f, |word, tone| voice.paint(word, tone))).collect();
        let counted = |level: Level, one: &str| count(findings.iter().filter(|f| f.level == level).count(), one);
        out.push_str(&format!(
            "{} of {}: {}, {}\n",
            count(facts.files.len(), "file"),
            facts.version,
            counted(Level::Error, "error"),
            counted(Level::Warning, "warning")
        ));
        voice.result(&out);
    }
    Ok(if well { 0 } else { Code::Refused as u8 })
}

/// What a device with this config manages. The paths are that device's: nobody looks for them here.
fn managed(config: &Path) -> Result<Vec<Managed>> {
    let text = std::fs::read_to_string(config).doing(|| format!("reading {}", config.display()))?;
    let settings = Settings::parse(&text, &Layout::new("/")).map_err(|e| Error::usage(format!("{}: {e}", config.display())))?;
    Ok(settings.managed)
}

/// Asks the rules before anything is packed: warnings are said, errors refuse.
///
/// # Errors
/// Devices would be hurt, or the recipe is wrong.
pub fn before_packing(voice: &Voice, recipe: &Path, prepared: &Prepared) -> Result<()> {
    let facts = lint::facts::of_prepared(prepared)?.known(None, sign::now());
    let findings = lint::look(&facts, &Limits::read(recipe)?);
    // whether an old release has expired does not matter to who packs it again
    let findings: Vec<Finding> = findings.into_iter().filter(|f| f.rule != "expiry").collect();
    warn(voice, &findings);
    lint::refuse(&findings)
}

/// Says what is not as it should be.
pub fn warn(voice: &Voice, findings: &[Finding]) {
    for finding in findings.iter().filter(|f| f.level == Level::Warning) {
        voice.message(&told(finding, |word, tone| voice.paint_err(word, tone)));
    }
}

fn told(finding: &Finding, paint: impl Fn(&str, Tone) -> String) -> String {
    let (word, tone) = match finding.level {
        Level::Note => ("note:", Tone::Faint),
        Level::Warning => ("warning:", Tone::Odd),
        Level::Error => ("error:", Tone::Bad),
    };
    let hint = finding.hint.map(|hint| format!("\n  {} {hint}", paint("hint:", Tone::Faint))).unwrap_or_default();
    format!("{} {}{hint}\n", paint(word, tone), clean(&finding.words()))
}
