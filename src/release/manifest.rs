//! The manifest: the description of a release. Read once, at the door, into values that cannot be wrong.
//!
//! Both forms are accepted: the minimal one of Pi-Kit, `{version, changelog, files: [{path, sha256, mode?}], post_install?}`,
//! and the full one. Unknown fields are ignored, so that newer releases stay readable; an unknown `schema` is refused.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use chrono::{DateTime, Utc};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::digest::Hashing;
use super::earlier::{self, Earlier};
pub use super::info::{Block, BundleInfo, Chunks, Generation, Patch};
pub use super::keys::{Keys, SignedStep};
pub use super::rollout::{Rollout, Wave};
use super::{Digest, ReleasePath, Step};

/// Largest manifest that is read, bytes.
pub const SIZE_MAX: u64 = 16 << 20;
/// Most files a manifest may list.
pub const FILES_MAX: usize = 100_000;
/// The schema this program writes and the newest it reads.
pub const SCHEMA: u32 = 1;
/// Name of the manifest among the release's assets and in the bundle. Never installed.
pub const NAME: &str = "manifest.json";
/// Name of its signature.
pub const SIGNATURE_NAME: &str = "manifest.json.minisig";

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the manifest; absent in the minimal form.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Whose release it is; a device that names another product refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Semantic version (semver.org 2.0); a leading `v` is dropped.
    #[serde(deserialize_with = "lenient_version")]
    pub version: Version,
    /// `stable`, or a prerelease channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<DateTime<Utc>>,
    /// Until when it may be offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// Where to read about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// Markdown, shown offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// What the releases before it said, newest first.
    #[serde(default, deserialize_with = "earlier::lenient", skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// The files, in the order written. Use [`Manifest::listing`] for those of one architecture.
    pub files: Vec<File>,
    /// What to do after the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_install: Vec<Step>,
    /// Health checks that its maintainer suggests: [`super::Hint`].
    #[serde(default, deserialize_with = "super::hint::lenient", skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<String>,
    /// What the device must be.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// Takes later releases back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<Recall>,
    /// When it comes to whom by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The keys that sign from now on, and every step that led to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Keys>,
    /// The archive with the contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleInfo>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it goes within the release.
    pub path: ReleasePath,
    /// Digest of its content.
    pub sha256: Digest,
    /// Bytes; absent in the minimal form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permission bits; absent: those of the tar entry, at most 0755.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Taken only on this architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// A person may edit it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub config: bool,
    /// Which block of the bundle holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u32>,
    /// Where in the decompressed block its content starts, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Permission bits, 0 to 0777; written as `"0644"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Checks permission bits.
    ///
    /// # Errors
    /// setuid, setgid, sticky, or no mode at all.
    pub fn new(bits: u32) -> Result<Self, String> {
        if bits <= 0o777 { Ok(Mode(bits)) } else { Err(format!("mode {bits:#o} has more than permission bits (setuid, setgid and sticky are refused)")) }
    }
    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Octal(String),
            // what a program writes that dumps st_mode: 420 is 0644; a person's 644 has the sticky bit and is refused
            Bits(u32),
        }
        let bits = match Raw::deserialize(d)? {
            Raw::Bits(bits) => bits,
            Raw::Octal(text) => u32::from_str_radix(text.strip_prefix("0o").unwrap_or(&text), 8)
                .map_err(|_| serde::de::Error::custom(format!("mode {text:?} is not octal like \"0644\"")))?,
        };
        Mode::new(bits).map_err(serde::de::Error::custom)
    }
}

/// What a release asks of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// Versions of this program that understand the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updater: Option<VersionReq>,
    /// Installed versions it can replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<VersionReq>,
    /// Architectures it runs on; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arch: Vec<String>,
}

impl Requires {
    fn is_empty(&self) -> bool {
        *self == Requires::default()
    }
}

/// Takes back what was released above a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The highest version that is still good: devices above it return to the newest that is not.
    #[serde(deserialize_with = "lenient_version")]
    pub max_version: Version,
}

/// The files of a release on one architecture, by path.
pub type Listing = BTreeMap<ReleasePath, File>;

/// The schema of a manifest that only newer updaters read, if it is one.
pub fn newer(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Peek {
        schema: u32,
    }
    serde_json::from_slice::<Peek>(bytes).ok().map(|peek| peek.schema).filter(|schema| *schema > SCHEMA)
}

impl Manifest {
    /// Reads a manifest from its exact bytes.
    ///
    /// # Errors
    /// One sentence that names the first thing wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > SIZE_MAX {
            return Err(format!("the manifest has {} bytes, {SIZE_MAX} is the most that is read", bytes.len()));
        }
        #[derive(Deserialize)]
        struct Peek {
            #[serde(default = "schema")]
            schema: u32,
        }
        let peek: Peek = serde_json::from_slice(bytes).map_err(|e| format!("the manifest is not the JSON it should be: {e}"))?;
        if peek.schema == 0 || peek.schema > SCHEMA {
            return Err(format!("the manifest has schema {}, this updater reads up to {SCHEMA}: update the updater first", peek.schema));
        }
        let mut manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| format!("the manifest is not the JSON it should be: {e}"))?;
        manifest.check()?;
        manifest.files.shrink_to_fit();
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.files.len() > FILES_MAX {
            return Err(format!("the manifest lists {} files, {FILES_MAX} is the most", self.files.len()));
        }
        if let Some(file) = self.files.iter().find(|f| [NAME, SIGNATURE_NAME].contains(&f.path.as_str())) {
            return Err(format!("the manifest lists {}, which is never installed", file.path));
        }
        // by lower case, so that what differs by case alone is found: such a pair cannot both live on every card
        let mut seen: Vec<(Cow<str>, &File)> = self.files.iter().map(|f| (lower_case(f.path.as_str()), f)).collect();
        seen.sort_by(|(a, _), (b, _)| a.cmp(b));
        for same in seen.chunk_by(|(a, _), (b, _)| a == b) {
            let path = &same[0].1.path;
            if let Some((_, other)) = same.iter().find(|(_, f)| f.path != *path) {
                return Err(format!("the manifest lists {path} and {}, which differ by case alone", other.path));
            }
            let archs: BTreeSet<Option<&str>> = same.iter().map(|(_, f)| f.arch.as_deref()).collect();
            if archs.len() < same.len() || (archs.contains(&None) && same.len() > 1) {
                return Err(format!("the manifest lists {path} twice"));
            }
        }
        let is_file = |folder: &str| seen.binary_search_by(|(path, _)| path.as_ref().cmp(lower_case(folder).as_ref())).is_ok();
        for (_, file) in &seen {
            if let Some(folder) = file.path.parents().find(|p| is_file(p)) {
                return Err(format!("the manifest lists {folder} as a file and {} below it", file.path));
            }
        }
        self.rollout.as_ref().map_or(Ok(()), Rollout::check)?;
        if let Some(bundle) = &self.bundle {
            let patches = bundle.patches.iter().map(|p| ("patch", &p.name));
            let chunks = bundle.chunks.iter().map(|c| ("chunks", &c.name));
            for (what, name) in [("bundle", &bundle.name)].into_iter().chain(patches).chain(chunks) {
                let one_part = ReleasePath::new(name).is_ok() && !name.contains('/');
                if !one_part {
                    return Err(format!("the {what}'s name {name:?} is not a file name"));
                }
            }
        }
        Ok(())
    }

    /// Since which release each file has been as it is, as far as the manifest tells.
    pub fn ages(&self) -> impl Iterator<Item = (&File, Option<&Version>)> {
        let generations = self.bundle.iter().flat_map(|b| &b.generations);
        let told = generations.flat_map(|g| std::iter::repeat_n(&g.since, g.files.min(FILES_MAX))).map(Some);
        self.files.iter().zip(told.chain(std::iter::repeat(None)))
    }

    /// The files for one architecture, in the order written.
    pub fn files_for(&self, arch: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |f| f.arch.as_deref().is_none_or(|a| a == arch))
    }
    /// The same by path.
    pub fn listing(&self, arch: &str) -> Listing {
        self.files_for(arch).map(|f| (f.path.clone(), f.clone())).collect()
    }

    /// Contents that another release does not have.
    pub fn beyond(&self, other: &Manifest) -> BTreeSet<Digest> {
        let there: BTreeSet<Digest> = other.files.iter().map(|f| f.sha256).collect();
        self.files.iter().map(|f| f.sha256).filter(|d| !there.contains(d)).collect()
    }

    /// Digest of the file list: what a release *is*, whoever signed it and however often. Quarantine goes by it.
    pub fn content_digest(&self) -> Digest {
        let line = |f: &File| format!("{} {} {} {}\n", f.sha256, f.mode.map_or(0o1000, Mode::bits), f.path, f.arch.as_deref().unwrap_or("*"));
        // in the order of the lines, without holding them: of thousands they are as long as the manifest
        let mut files: Vec<&File> = self.files.iter().collect();
        files.sort_by(|a, b| a.sha256.cmp(&b.sha256).then_with(|| line(a).cmp(&line(b))));
        let mut digest = Hashing::new(io::sink());
        let steps = serde_json::to_string(&self.post_install).expect("steps are plain data");
        files.into_iter().map(line).chain([steps]).try_for_each(|text| digest.write_all(text.as_bytes())).expect("a sink takes everything");
        digest.finish().1
    }
}

fn schema() -> u32 {
    SCHEMA
}

/// A version, with or without a leading `v`.
pub(super) fn lenient_version<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Version, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(d)?;
    version(&text).map_err(serde::de::Error::custom)
}

/// A version as people and tags write it: with or without a leading `v`.
///
/// # Errors
/// Says that the text is not a semantic version.
pub fn version(text: &str) -> Result<Version, String> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).map_err(|e| format!("{text:?} is not a version like 1.4.0: {e}"))
}

/// The name of this machine's architecture in manifests: `aarch64`, `armv7`, `armv6`, `x86_64`, ….
pub fn this_arch() -> &'static str {
    match std::env::consts::ARCH {
        "arm" if cfg!(target_feature = "v7") => "armv7",
        "arm" => "armv6",
        other => other,
    }
}

/// Most paths are in lower case already, and there may be thousands.
fn lower_case(path: &str) -> Cow<'_, str> {
    let is_lower = path.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(path) } else { Cow::Owned(path.to_lowercase()) }
}

#[cfg(test)]
mod tests;
