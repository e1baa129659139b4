//! `release.toml`: what a release is made of. Read once into a [`Recipe`] that leaves nothing to ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use semver::{Version, VersionReq};
use serde::Deserialize;

use super::glob::Pattern;
use super::lint::WrittenLimits;
use super::online::WrittenTarget;
use super::{notes, trust_file};
use crate::error::{Doing, Error, Result};
use crate::release::earlier::Earlier;
use crate::release::manifest::{Keys, Mode, Requires, Rollout, Wave, version};
use crate::release::step::unit_name;
use crate::release::{Hint, ReleasePath, Step};
use crate::{keys, quantity};

/// Content of one block unless the recipe says otherwise: small enough to fetch for one file, large enough to compress well.
const BLOCK: u64 = 256 << 10;

/// What the command line says in place of the recipe.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--version`
    pub version: Option<Version>,
    /// `--channel`
    pub channel: Option<String>,
    /// `--released`
    pub released: Option<DateTime<Utc>>,
    /// `SOURCE_DATE_EPOCH`, see [`source_date_epoch`]; the recipe's own date goes before it.
    pub source_date: Option<DateTime<Utc>>,
}

/// A release to be packed.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Whose release it is.
    pub product: String,
    /// Its version.
    pub version: Version,
    /// Its channel.
    pub channel: String,
    /// When it is released; every time in the bundle is this one.
    pub released: DateTime<Utc>,
    /// Until when it may be offered.
    pub expires: Option<DateTime<Utc>>,
    /// Where to read about it.
    pub changelog: Option<String>,
    /// Its notes, markdown.
    pub notes: Option<String>,
    /// What the changelog says of the versions before it.
    pub earlier: Vec<Earlier>,
    /// What goes in.
    pub include: Vec<Include>,
    /// What stays out of it.
    pub exclude: Vec<Pattern>,
    /// Modes other than those the executable bit tells.
    pub modes: Vec<(Pattern, Mode)>,
    /// Files a person may edit.
    pub config: Vec<Pattern>,
    /// What to do after the switch.
    pub post_install: Vec<Step>,
    /// Health checks that boards are suggested.
    pub health: Vec<String>,
    /// What the device must be.
    pub requires: Requires,
    /// When it comes to whom by itself.
    pub rollout: Option<Rollout>,
    /// The keys that sign from now on, with the steps that led to them.
    pub trust: Option<Keys>,
    /// Content of one block, bytes.
    pub block: u64,
    /// Whether contents are written in chunks as well, where it pays.
    pub chunks: bool,
}

/// A file or folder of this machine and its place in the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Where it is.
    pub from: PathBuf,
    /// Prefix in the release: empty or with a slash at the end; or the whole path of a single file.
    pub to: String,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    product: String,
    version: Option<String>,
    channel: Option<String>,
    released: Option<String>,
    expires: Option<String>,
    changelog: Option<String>,
    notes: Option<String>,
    trust: Option<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    config: Vec<String>,
    #[serde(default)]
    post_install: Vec<Step>,
    #[serde(default)]
    health: Vec<String>,
    #[serde(default)]
    include: Vec<WrittenInclude>,
    #[serde(default)]
    modes: BTreeMap<String, String>,
    #[serde(default)]
    services: WrittenServices,
    #[serde(default)]
    requires: WrittenRequires,
    rollout: Option<WrittenRollout>,
    #[serde(default)]
    bundle: WrittenBundle,
    /// Read by `publish`, from the same file; here only so that a typo in it is found whatever is done.
    #[serde(default, rename = "publish")]
    _publish: WrittenTarget,
    #[serde(default, rename = "lint")]
    _lint: WrittenLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInclude {
    from: String,
    to: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenServices {
    restart: Vec<String>,
    reload: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRequires {
    updater: Option<VersionReq>,
    from: Option<VersionReq>,
    arch: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRollout {
    start: Option<String>,
    waves: Vec<WrittenWave>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWave {
    after: String,
    percent: u8,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenBundle {
    block: Option<String>,
    chunks: Option<bool>,
}

impl Recipe {
    /// Reads a recipe and the changelog it names.
    ///
    /// # Errors
    /// A file that cannot be read; anything in it that is not understood, named by its key.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        let text = std::fs::read_to_string(path).doing(|| format!("reading the recipe {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let wrong = |what: String| Error::usage(format!("{}: {what}", path.display()));
        let written: Written = keys::read(&text).map_err(wrong)?;

        let version = match (&overrides.version, &written.version) {
            (Some(v), _) => v.clone(),
            (None, Some(text)) => version(text).map_err(|e| wrong(format!("version: {e}")))?,
            (None, None) => return Err(wrong("there is no version".into()).hint("write version = \"1.0.0\" into it, or give --version")),
        };
        let channel = channel(overrides.channel.clone().or(written.channel), &version).map_err(wrong)?;
        let filled = |text: &str| text.replace("{version}", &version.to_string());

        let mut earlier = Vec::new();
        let section = match &written.notes {
            Some(notes_file) => {
                let file = folder.join(filled(notes_file));
                let text = std::fs::read_to_string(&file).doing(|| format!("reading the release notes {}", file.display()))?;
                earlier = notes::earlier(&text, &version);
                let missing = || Error::usage(format!("{} has no section for {version}", file.display()));
                Some(
                    notes::section(&text, &version)
                        .ok_or_else(|| missing().hint(format!("add a heading like `## {version} - 2026-01-31` and say what changed")))?,
                )
            }
            None => None,
        };
        let written_date = written.released.as_deref().map(|t| time("released", t)).transpose().map_err(wrong)?;
        let told = overrides.released.or(written_date).or(overrides.source_date).or_else(|| section.as_ref()?.date);
        let released = told.ok_or_else(|| {
            wrong(format!("when {version} is released is not known"))
                .hint("give --released, set SOURCE_DATE_EPOCH, or put the date into the changelog's heading")
        })?;
        if released.timestamp() < 0 {
            return Err(wrong("released: the time is before 1970".into()));
        }
        let expires = written.expires.as_deref().map(|text| expiry(text, released)).transpose().map_err(wrong)?;
        if expires.is_some_and(|e| e <= released) {
            return Err(wrong("expires: it would have expired when it is released".into()));
        }

        let product = product(written.product).map_err(wrong)?;
        Ok(Recipe {
            trust: written.trust.map(|file| trust_file::for_release(&folder.join(file), &product)).transpose()?,
            product,
            channel,
            released,
            expires,
            changelog: written.changelog.as_deref().map(filled),
            earlier,
            notes: section.map(|s| s.text).filter(|text| !text.is_empty()),
            include: includes(written.include, folder, filled).map_err(wrong)?,
            exclude: written.exclude.iter().map(|p| Pattern::new(p)).collect(),
            modes: modes(&written.modes).map_err(wrong)?,
            config: written.config.iter().map(|p| Pattern::new(p)).collect(),
            post_install: steps(written.post_install, &written.services).map_err(wrong)?,
            health: Hint::written(&written.health).map_err(|e| wrong(format!("health: {e}")))?,
            requires: Requires { updater: written.requires.updater, from: written.requires.from, arch: written.requires.arch },
            rollout: written.rollout.map(rollout).transpose().map_err(wrong)?,
            chunks: written.bundle.chunks.unwrap_or(true),
            block: match &written.bundle.block {
                Some(text) => quantity::size(text).map_err(|e| wrong(format!("bundle.block: {e}")))?,
                None => BLOCK,
            },
            version,
        })
    }
}

/// The time that the environment's `SOURCE_DATE_EPOCH` names (reproducible-builds.org), if it is set.
///
/// # Errors
/// It is set to something that is no time.
pub fn source_date_epoch() -> Result<Option<DateTime<Utc>>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.to_str().and_then(|t| t.parse().ok());
    let time = seconds.and_then(|s| DateTime::from_timestamp(s, 0));
    time.map(Some).ok_or_else(|| Error::usage(format!("SOURCE_DATE_EPOCH is {text:?}, which is not a number of seconds")))
}

/// `2026-11-20T10:00:00Z` or `2026-11-20`, as in the recipe and after `--released`.
///
/// # Errors
/// Names the key.
pub fn time(key: &str, text: &str) -> Result<DateTime<Utc>, String> {
    let full = DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
    full.or_else(|| notes::day(text)).ok_or_else(|| format!("{key}: {text:?} is not a time like 2026-11-20 or 2026-11-20T10:00:00Z"))
}

/// A date, or a duration counted from one.
///
/// # Errors
/// It is neither.
pub fn expiry(text: &str, released: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = time("expires", text) {
        return Ok(date);
    }
    let span = quantity::duration(text).map_err(|_| format!("expires: {text:?} is neither a duration like \"90d\" nor a date"))?;
    let span = TimeDelta::from_std(span).ok().and_then(|s| released.checked_add_signed(s));
    span.ok_or_else(|| format!("expires: {text:?} is out of range"))
}

fn product(name: String) -> Result<String, String> {
    let ok = !name.is_empty() && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if ok { Ok(name) } else { Err(format!("product: {name:?} is not a name of letters, digits, - _ .")) }
}

/// A prerelease on `stable` would never be offered to anybody, so it is a mistake.
fn channel(told: Option<String>, version: &Version) -> Result<String, String> {
    let own = version.pre.split('.').next().filter(|p| !p.is_empty());
    match (told, own) {
        (Some(c), Some(_)) if c == "stable" => Err(format!("channel: {version} is a prerelease, which the stable channel never offers")),
        (Some(c), _) if c.is_empty() => Err("channel: it is empty".into()),
        (Some(c), _) => Ok(c),
        (None, own) => Ok(own.unwrap_or("stable").to_owned()),
    }
}

fn includes(written: Vec<WrittenInclude>, folder: &Path, filled: impl Fn(&str) -> String) -> Result<Vec<Include>, String> {
    if written.is_empty() {
        return Err("there is no [[include]]: the release would be empty".into());
    }
    let place = |i: WrittenInclude| {
        let to = filled(&i.to);
        let plain = to.strip_suffix('/').unwrap_or(&to);
        if !plain.is_empty() || to == "/" {
            ReleasePath::new(plain).map_err(|e| format!("include.to: {e}"))?;
        }
        Ok(Include { from: folder.join(filled(&i.from)), to })
    };
    written.into_iter().map(place).collect()
}

fn modes(written: &BTreeMap<String, String>) -> Result<Vec<(Pattern, Mode)>, String> {
    let one = |(glob, text): (&String, &String)| {
        let bits = u32::from_str_radix(text, 8).map_err(|_| format!("modes: {text:?} is not octal like \"0644\""))?;
        // a device takes at most 0755 from an archive; more than that would only fail there
        if bits & !0o755 != 0 && bits <= 0o777 {
            return Err(format!("modes: {text} lets more than the owner write; 0755 is the most"));
        }
        Ok((Pattern::new(glob), Mode::new(bits).map_err(|e| format!("modes: {e}"))?))
    };
    written.iter().map(one).collect()
}

/// Waves that grow, and in the end reach everybody: a board that no wave reaches would wait for ever.
fn rollout(written: WrittenRollout) -> Result<Rollout, String> {
    let wave = |w: &WrittenWave| {
        let after = quantity::duration(&w.after).map_err(|e| format!("rollout.waves: after: {e}"))?;
        Ok(Wave { after, percent: w.percent })
    };
    let waves = written.waves.iter().map(wave).collect::<Result<Vec<_>, String>>()?;
    let rollout = Rollout { start: written.start.as_deref().map(|t| time("rollout.start", t)).transpose()?, waves };
    rollout.check()?;
    let grow = rollout.waves.windows(2).all(|pair| pair[0].after < pair[1].after && pair[0].percent < pair[1].percent);
    match rollout.waves.last() {
        Some(last) if grow && last.percent == 100 => Ok(rollout),
        _ => Err("rollout.waves: each must be later and larger than the one before, and the last of 100 percent".into()),
    }
}

/// Commands first, then restarts, then reloads: the order in which a device does them.
fn steps(mut steps: Vec<Step>, services: &WrittenServices) -> Result<Vec<Step>, String> {
    for (key, names, step) in [("restart", &services.restart, Step::Restart as fn(String) -> Step), ("reload", &services.reload, Step::Reload)] {
        for name in names {
            steps.push(step(unit_name(name).map_err(|e| format!("services.{key}: {e}"))?));
        }
    }
    Ok(steps)
}
