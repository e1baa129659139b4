//! `verify-release`: all that a device would look at, and all that a maintainer should before anybody gets a release. Nothing is taken on
//! trust: each file is read twice, once by its place in its block and once the way a device streams.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use semver::Version;
use serde::Serialize;

use super::place::Release;
use super::{patches, unpack};
use crate::error::Result;
use crate::quantity::{bytes as human, count};
use crate::release::manifest::{Keys, Manifest};
use crate::release::signature::Signed;
use crate::release::{Digest, KeySet, signature, steps};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub level: Level,
    /// What was seen.
    pub message: String,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, and why.
    Note,
    /// Devices would refuse it, or should.
    Fail,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// What was looked at.
    pub release: PathBuf,
    /// Its version, if that can be told.
    pub version: Option<Version>,
    /// Digest of its manifest.
    pub manifest_sha256: Option<Digest>,
    /// Signatures that hold.
    pub signatures: Vec<Signed>,
    /// Each thing.
    pub checks: Vec<Finding>,
}

impl Examined {
    /// Whether nothing failed.
    pub fn well(&self) -> bool {
        self.checks.iter().all(|c| c.level != Level::Fail)
    }
    pub(super) fn ok(&mut self, name: &'static str, message: impl Into<String>) {
        self.checks.push(Finding { name, level: Level::Ok, message: message.into() });
    }
    pub(super) fn note(&mut self, name: &'static str, message: impl Into<String>) {
        self.checks.push(Finding { name, level: Level::Note, message: message.into() });
    }
    pub(super) fn fail(&mut self, name: &'static str, message: impl Into<String>) {
        self.checks.push(Finding { name, level: Level::Fail, message: message.into() });
    }
}

/// Looks at a release: a folder, the manifest in one, or a bundle by itself. `keys`: those that a device was set up with; none: whose it is
/// cannot be told, which is a failure unless `unsigned` says that nobody cares.
///
/// # Errors
/// What was named is not there or cannot be read. What is wrong with it is a finding.
pub fn examine(target: &Path, keys: Option<&KeySet>, unsigned: bool, now: DateTime<Utc>) -> Result<Examined> {
    let mut found = Examined { release: target.to_owned(), version: None, manifest_sha256: None, signatures: Vec::new(), checks: Vec::new() };
    let alone = target.is_file() && target.extension().is_some_and(|e| e == "gz" || e == "tgz");
    let (release, manifest_bytes, signatures) = if alone {
        match unpack::head(target, None)? {
            Ok(head) => (None, head.manifest, head.signatures),
            Err(why) => {
                found.fail("bundle", why);
                return Ok(found);
            }
        }
    } else {
        let release = Release::at(target)?;
        let bytes = super::place::small(&release.manifest, crate::release::manifest::SIZE_MAX)?.unwrap_or_default();
        let signatures = release.signatures()?;
        (Some(release), bytes, signatures)
    };
    found.manifest_sha256 = Some(Digest::of(&manifest_bytes));
    let manifest = match Manifest::parse(&manifest_bytes) {
        Ok(manifest) => manifest,
        Err(why) => {
            found.fail("manifest", why);
            return Ok(found);
        }
    };
    found.version = Some(manifest.version.clone());
    let size: u64 = manifest.files.iter().filter_map(|f| f.size).sum();
    let product = manifest.product.as_deref().unwrap_or("a product without a name");
    found.ok("manifest", format!("{product} {}, {} with {}", manifest.version, count(manifest.files.len(), "file"), human(size)));
    signed(&mut found, &manifest, &manifest_bytes, signatures.as_deref(), keys, unsigned);
    times(&mut found, &manifest, now);

    let bundle = release.as_ref().map_or(Some(target.to_owned()), |release| release.bundle(&manifest).or_else(|| only_archive(&release.manifest)));
    match (bundle, target.is_dir() || alone) {
        (None, true) => found.fail("bundle", "it is not there"),
        (None, false) => found.note("bundle", "it is not there: only the manifest was looked at"),
        (Some(bundle), _) => {
            let beside = release.as_ref().map(|_| (manifest_bytes.as_slice(), signatures.as_deref()));
            unpack::look(&mut found, &bundle, &manifest, beside)?;
        }
    }
    if let Some(release) = &release {
        let patches = patches::look(release, &manifest)?;
        if patches.is_empty() && manifest.bundle.as_ref().is_some_and(|b| !b.patches.is_empty() || b.chunks.is_some()) {
            found.ok("patches", "each is there, with its digest, and the chunks, if there are any");
        }
        patches.into_iter().for_each(|(why, harmless)| if harmless { found.note("patches", why) } else { found.fail("patches", why) });
    }
    Ok(found)
}

/// The only archive beside a manifest that names none.
fn only_archive(manifest: &Path) -> Option<PathBuf> {
    let mut archives = std::fs::read_dir(manifest.parent()?).ok()?.flatten().map(|e| e.path()).filter(|p| p.to_string_lossy().ends_with(".tar.gz"));
    archives.next().filter(|_| archives.next().is_none())
}

fn signed(found: &mut Examined, manifest: &Manifest, bytes: &[u8], signatures: Option<&[u8]>, keys: Option<&KeySet>, unsigned: bool) {
    let Some(start) = keys else {
        let there = if signatures.is_some() { "there is a signature, and nobody looked whose it is" } else { "it is not signed" };
        let told = format!("{there}: anybody may have made this release");
        return if unsigned { found.note("signature", told) } else { found.fail("signature", format!("{told}; give --key NAME.pub or --keys FOLDER")) };
    };
    let product = manifest.product.as_deref().unwrap_or_default();
    let walked = steps::walk(start, product, manifest.trust.as_ref().map_or(&[], |t| &t.steps));
    if let Some(why) = &walked.stopped {
        found.fail("keys", why.clone());
    } else if walked.set.version() > 1 {
        let by = walked.set.keys().iter().map(|k| k.id().to_string()).collect::<Vec<_>>().join(", ");
        found.ok("keys", format!("devices with these keys arrive at version {}: {} of {by}", walked.set.version(), walked.set.threshold()));
    }
    if let Some(named) = manifest.trust.as_ref().filter(|named| walked.stopped.is_none() && !agrees(named, &walked.set)) {
        found.fail("keys", format!("the manifest names version {} of the keys, and its steps lead to another set", named.version));
    }
    let Some(signatures) = signatures else { return found.fail("signature", "it is not signed") };
    found.signatures = signature::verify(bytes, signatures, walked.set.keys()).unwrap_or_default();
    match walked.set.verify(bytes, signatures) {
        Ok(held) => {
            for signed in held {
                found.ok("signature", format!("{} says {:?}", signed.key, signed.comment));
            }
        }
        Err(why) => found.fail("signature", why),
    }
}

fn agrees(named: &Keys, set: &KeySet) -> bool {
    KeySet::of(named).is_ok_and(|named| named.same(set) && named.version() == set.version())
}

fn times(found: &mut Examined, manifest: &Manifest, now: DateTime<Utc>) {
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    match manifest.expires {
        None => found.note("expires", "never: whoever controls the server can offer it for ever"),
        Some(at) if at <= now => found.fail("expires", format!("it expired at {}", shown(at))),
        Some(at) => found.ok("expires", format!("{}, {} days from now", shown(at), (at - now).num_days())),
    }
    if let Some(recall) = &manifest.recall {
        match manifest.released {
            Some(at) => found.note("recall", format!("devices above {} return to the newest release that is not, as of {}", recall.max_version, shown(at))),
            None => found.fail("recall", "it does not say when it was released: no device would honour the recall"),
        }
    }
    let paths: BTreeSet<&str> = manifest.files.iter().map(|f| f.path.as_str()).collect();
    for step in &manifest.post_install {
        if let crate::release::Step::Run { argv, .. } = step
            && !argv.first().is_some_and(|word| paths.contains(word.as_str()))
        {
            found.fail("manifest", format!("post_install: `{}` does not begin with a file of the release", argv.join(" ")));
        }
    }
}
