//! What a Gitea server lists, and what is remembered of it. The fields have the server's names; those we do not use are dropped,
//! among them the download counts, which change with every download.

#![allow(missing_docs)] // of fields that are named as the server's API documents them

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::url::Tag;
use crate::release::Digest;

/// A release as the server lists it; what we do not use is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    #[serde(default)]
    pub id: u64,
    pub tag_name: String,
    #[serde(default)]
    pub draft: bool,
    #[serde(default)]
    pub prerelease: bool,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub published_at: Option<String>,
    #[serde(default)]
    pub assets: Option<Vec<Asset>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    #[serde(default)]
    pub id: u64,
    pub name: String,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub uuid: Option<String>,
    #[serde(default)]
    pub browser_download_url: Option<String>,
}

impl Release {
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().flatten().find(|a| a.name == name)
    }
    /// Changes whenever an asset is replaced.
    pub fn key(&self) -> String {
        Digest::of(&serde_json::to_vec(self).expect("a release is plain data")).to_string()
    }
}

/// What the last check saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub whose: String,
    /// Of the newest releases.
    pub tag: Tag,
    /// Number of releases, as the server told.
    pub total: Option<u64>,
    /// Times in a row that only the newest were looked at.
    #[serde(default)]
    pub short: u32,
    pub releases: Vec<Release>,
    pub manifests: Vec<Kept>,
}

/// A manifest that was fetched, and of which state of its release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    pub key: String,
    pub manifest: Rc<str>,
    pub signature: Option<String>,
    /// It was made out of an earlier one, and may be of something else than the signature.
    #[serde(skip)]
    pub patched: bool,
}
