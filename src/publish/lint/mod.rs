//! `lint`: what would hurt devices, or their owners. The rules are pure, over a list of facts; where the facts come from is another file.

pub mod facts;
mod names;
mod rules;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::glob::Pattern;
use crate::error::{Doing, Error, Result};
use crate::keys;
use crate::quantity;
pub use facts::{Fact, Facts};
pub use rules::look;

/// How much it hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// To be known.
    Note,
    /// Probably not as it should be.
    Warning,
    /// Devices would refuse it, or somebody would be harmed.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static str,
    /// How much it hurts.
    pub level: Level,
    /// The file, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// The table `[lint]` of a recipe.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenLimits {
    allow: Vec<String>,
    large: Option<String>,
}

/// What is let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Files that a person has looked at: no rule about a single file is asked.
    pub allow: Vec<Pattern>,
    /// A file that is larger is remarked upon, bytes.
    pub large: u64,
    /// So is a bundle, bytes.
    pub bundle: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { allow: Vec::new(), large: 16 << 20, bundle: 64 << 20 }
    }
}

impl Limits {
    /// What a recipe says.
    ///
    /// # Errors
    /// There is no recipe, or the table is wrong.
    pub fn read(recipe: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Only {
            #[serde(default)]
            lint: WrittenLimits,
        }
        let text = std::fs::read_to_string(recipe).doing(|| format!("reading the recipe {}", recipe.display()))?;
        let wrong = |what: String| Error::usage(format!("{}: {what}", recipe.display()));
        let only: Only = keys::read(&text).map_err(wrong)?;
        let usual = Limits::default();
        let large = only.lint.large.as_deref().map(quantity::size).transpose().map_err(|e| wrong(format!("lint.large: {e}")))?;
        Ok(Limits { allow: only.lint.allow.iter().map(|p| Pattern::new(p)).collect(), large: large.unwrap_or(usual.large), ..usual })
    }
}

/// Stops when something would hurt.
///
/// # Errors
/// It would.
pub fn refuse(findings: &[Finding]) -> Result<()> {
    let mut errors = findings.iter().filter(|f| f.level == Level::Error);
    let Some(first) = errors.next() else { return Ok(()) };
    let more = match errors.count() {
        0 => String::new(),
        n => format!(" (and {n} more: `pikit-updater lint` shows them)"),
    };
    let error = Error::refused(format!("{}{more}", first.words()));
    Err(match first.hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

impl Finding {
    /// The file, and what about it.
    pub fn words(&self) -> String {
        self.path.as_ref().map_or_else(|| self.message.clone(), |path| format!("{path}: {}", self.message))
    }
}
