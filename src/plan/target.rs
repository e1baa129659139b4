//! What the managed paths are to be brought to: a release, or the tree that a backup remembers.

use std::collections::BTreeMap;
use std::rc::Rc;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::release::manifest::{Requires, this_arch};
use crate::release::{Digest, Manifest, ReleasePath, Step};

/// What must be at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Digest of the content.
    pub sha256: Digest,
    /// Bytes, if told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permission bits; none: as found, or as the bundle says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner and group; none: those of the managed path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// A person may edit it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub config: bool,
}

/// What the managed paths are to be brought to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its version; none: what was there before any release.
    pub version: Option<Version>,
    /// Digest of its manifest's bytes, if it has one.
    pub manifest_sha256: Option<Digest>,
    /// Digest of its file list, if it has a manifest.
    pub content: Option<Digest>,
    /// Its files.
    pub files: BTreeMap<ReleasePath, Rc<Want>>,
    /// What to do after the switch.
    pub steps: Vec<Step>,
    /// Product named by the manifest.
    pub product: Option<String>,
    /// Channel named by the manifest.
    pub channel: Option<String>,
    /// What the manifest asks of the device.
    pub requires: Requires,
}

impl Target {
    /// A release.
    pub fn of_release(manifest: &Manifest, sha256: Digest) -> Self {
        let want = |f: &crate::release::manifest::File| Want { sha256: f.sha256, size: f.size, mode: f.mode.map(|m| m.bits()), owner: None, config: f.config };
        Target {
            version: Some(manifest.version.clone()),
            manifest_sha256: Some(sha256),
            content: Some(manifest.content_digest()),
            files: manifest.files_for(this_arch()).map(|file| (file.path.clone(), Rc::new(want(file)))).collect(),
            steps: manifest.post_install.clone(),
            product: manifest.product.clone(),
            channel: manifest.channel.clone(),
            requires: manifest.requires.clone(),
        }
    }
}
