//! `trust.json`: the maintainer's record of how the keys changed, which `pack` puts into every release. `rotate` adds a step to it; who
//! could not be there signs the step later.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::key::Signer;
use super::place;
use super::signatures::{self, Single};
use crate::error::{Error, Result};
use crate::release::manifest::{Keys, SignedStep};
use crate::release::steps::{self, FIRST};
use crate::release::{KeyId, KeySet, PublicKey};

/// Largest file that is read, bytes.
const SIZE_MAX: u64 = 4 << 20;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustFile {
    /// The keys that devices were set up with, so that the first step can be checked here too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Keys>,
    /// The steps, oldest first.
    pub steps: Vec<SignedStep>,
}

/// A change of the keys that is asked for.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The new keys.
    pub to: &'a [PublicKey],
    /// How many of them must sign; as many as before unless told.
    pub threshold: Option<usize>,
    /// Whose releases they sign.
    pub product: Option<&'a str>,
    /// For the first step: what devices were set up with; the signers that are not among the new keys unless told.
    pub from: &'a [PublicKey],
    /// For the first step: how many of those must sign; 1 unless told.
    pub from_threshold: Option<usize>,
    /// Who signs.
    pub signers: &'a [Signer],
    /// Also a step that lacks signatures.
    pub partial: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// How the last step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The file.
    pub file: PathBuf,
    /// The version of the keys that it makes.
    pub version: u64,
    /// The keys that sign from then on.
    pub keys: Vec<KeyId>,
    /// How many of them must.
    pub threshold: usize,
    /// Whose releases they sign; none: of every product with the same keys.
    pub product: Option<String>,
    /// Who has signed the step.
    pub signed: Vec<KeyId>,
    /// Why devices would not take it yet.
    pub missing: Option<String>,
}

impl TrustFile {
    /// Reads it; `None` when it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = place::small(path, SIZE_MAX)? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes).map_err(|e| Error::usage(format!("{} is not what `rotate` writes", path.display())).because(e));
        read.map(Some)
    }
    /// Whether a file looks like one, and not like a manifest.
    pub fn is_one(path: &Path) -> bool {
        path.is_file() && matches!(TrustFile::read(path), Ok(Some(_)))
    }
    fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("keys are plain data");
        text.push(b'\n');
        place::put(path, &text)
    }
    /// The set before the n-th step, all the steps before that followed.
    fn before(&self, path: &Path, product: &str, n: usize) -> Result<KeySet> {
        let wrong = |why: String| Error::verification(format!("{}: devices would not follow it: {why}", path.display()));
        let start = match (&self.from, self.steps.first()) {
            (Some(from), _) => KeySet::of(from).map_err(wrong)?,
            // nobody says what was before: from the first set on
            (None, Some(first)) => steps::named(&first.signed, product, FIRST).map_err(wrong)?,
            (None, None) => return Err(wrong("it has no step".into())),
        };
        let walked = steps::walk(&start, product, self.steps.get(..n).unwrap_or(&self.steps));
        match walked.stopped {
            None => Ok(walked.set),
            Some(why) => {
                let unsigned = why.contains("have not agreed");
                let error = wrong(why);
                Err(if unsigned { error.hint("who has not signed it yet: `pikit-updater sign trust.json --key NAME.key`") } else { error })
            }
        }
    }
    fn product(&self) -> Option<String> {
        serde_json::from_str::<Keys>(&self.steps.last()?.signed).ok()?.product
    }
    fn state(&self, path: &Path) -> Result<Step> {
        let last = self.steps.last().ok_or_else(|| Error::usage(format!("{} has no step", path.display())))?;
        let product = self.product();
        let name = product.clone().unwrap_or_default();
        let version = self.steps.len() as u64 + 1;
        let wrong = |why: String| Error::verification(format!("the last step of {}: {why}", path.display()));
        let next = steps::named(&last.signed, &name, version).map_err(wrong)?;
        let old = if self.steps.len() > 1 || self.from.is_some() { Some(self.before(path, &name, self.steps.len() - 1)?) } else { None };
        let missing = match &old {
            Some(old) => steps::follow(old, &name, last, version).err(),
            None => next.verify(last.signed.as_bytes(), last.signatures.as_bytes()).err(),
        };
        Ok(Step {
            file: path.to_owned(),
            version,
            keys: next.keys().iter().map(PublicKey::id).collect(),
            threshold: next.threshold(),
            product,
            signed: signatures::split(&last.signatures).map_err(wrong)?.iter().map(|s| s.key).collect(),
            missing,
        })
    }
}

/// Adds a step to the file, and makes the file if there is none.
///
/// # Errors
/// A step that devices would refuse is not written.
pub fn rotate(path: &Path, change: &Change) -> Result<Step> {
    let mut file = TrustFile::read(path)?.unwrap_or_default();
    let product = change.product.map(str::to_owned).or_else(|| file.product());
    let name = product.clone().unwrap_or_default();
    let old = if file.steps.is_empty() {
        let from: Vec<PublicKey> = match change.from {
            [] => change.signers.iter().map(|s| s.public().clone()).filter(|key| !change.to.contains(key)).collect(),
            told => told.to_vec(),
        };
        let old = KeySet::new(1, from, change.from_threshold.unwrap_or(1));
        let old = old.map_err(|e| Error::usage(format!("the keys that devices have now: {e}")).hint("name them with --from OLD.pub and --from-threshold"))?;
        file.from = Some(old.named(product.as_deref()));
        old
    } else if change.from.is_empty() && change.from_threshold.is_none() {
        file.before(path, &name, file.steps.len())?
    } else {
        return Err(Error::usage(format!("--from is of the first step, and {} has one", path.display())));
    };
    let version = file.steps.len() as u64 + FIRST;
    let threshold = change.threshold.unwrap_or(old.threshold());
    let next = KeySet::new(version, change.to.to_vec(), threshold);
    let next = next.map_err(|e| Error::usage(format!("the new keys: {e}")).hint("--to names each of them, --threshold how many must sign"))?;
    if next.same(&old) {
        return Err(Error::refused("the keys would stay as they are"));
    }
    let mut step = SignedStep { signed: serde_json::to_string(&next.named(product.as_deref())).expect("keys are plain data"), signatures: String::new() };
    add(&mut step, version, &old, &next, change.signers, product.as_deref(), change.now)?;
    if let Err(why) = steps::follow(&old, &name, &step, version)
        && !change.partial
    {
        return Err(Error::refused(format!("devices would refuse this step: {why}"))
            .hint("give every --key that has to sign; or --partial, and let the others add theirs with `sign`"));
    }
    file.steps.push(step);
    file.write(path)?;
    file.state(path)
}

/// Adds signatures to the last step.
///
/// # Errors
/// A signer that is neither among the old keys nor among the new ones.
pub fn sign_step(path: &Path, signers: &[Signer], now: DateTime<Utc>) -> Result<Step> {
    if signers.is_empty() {
        return Err(Error::usage("there is no key to sign with").hint("give --key FILE, env:NAME or fd:N, or set PIKIT_SECRET_KEY"));
    }
    let mut file = TrustFile::read(path)?.unwrap_or_default();
    let state = file.state(path)?;
    let name = state.product.clone().unwrap_or_default();
    let wrong = |why: String| Error::verification(format!("the last step of {}: {why}", path.display()));
    let n = file.steps.len() - 1;
    let next = steps::named(&file.steps[n].signed, &name, state.version).map_err(wrong)?;
    let old = if n > 0 || file.from.is_some() { file.before(path, &name, n)? } else { next.clone() };
    add(&mut file.steps[n], state.version, &old, &next, signers, state.product.as_deref(), now)?;
    file.write(path)?;
    file.state(path)
}

fn add(step: &mut SignedStep, version: u64, old: &KeySet, next: &KeySet, signers: &[Signer], product: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    let known: Vec<PublicKey> = old.keys().iter().chain(next.keys()).cloned().collect();
    if let Some(stranger) = signers.iter().find(|s| !known.contains(s.public())) {
        return Err(Error::usage(format!("{} is neither among the old keys nor among the new ones", stranger.public().id())));
    }
    let comment = format!("{} keys {version} {}", product.unwrap_or("any"), now.to_rfc3339_opts(SecondsFormat::Secs, true));
    let sign = |s: &Signer| Ok(Single { key: s.public().id(), text: s.sign(step.signed.as_bytes(), &comment)? });
    let new = signers.iter().map(sign).collect::<Result<Vec<_>>>()?;
    let before = signatures::split(&step.signatures).map_err(|e| Error::verification("reading the signatures of the step").because(e))?;
    step.signatures = signatures::merge(&before, new, step.signed.as_bytes(), false, &known).text;
    Ok(())
}

/// What a release carries: the last set, and every step that led to it.
///
/// # Errors
/// The file is not there, or devices would not follow it to its end.
pub fn for_release(path: &Path, product: &str) -> Result<Keys> {
    let file = TrustFile::read(path)?.ok_or_else(|| Error::usage(format!("there is no {}", path.display())).hint("`pikit-updater rotate` makes it"))?;
    let set = file.before(path, product, file.steps.len())?;
    if set.version() != file.steps.len() as u64 + 1 {
        return Err(Error::verification(format!("{}: its own keys have not signed its first step", path.display())));
    }
    Ok(Keys { steps: file.steps, ..set.named(Some(product)) })
}
