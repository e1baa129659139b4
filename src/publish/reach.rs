//! What devices will fetch, for the maintainer to see before anybody does.

use semver::Version;
use serde::Serialize;

use super::pack::Asset;
use crate::release::route::{self, Way};
use crate::release::{Manifest, patch};

/// What a device on an earlier release will fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// That release.
    pub from: Version,
    /// Contents it lacks.
    pub files: usize,
    /// `patch`, `chunks`, `blocks`, `whole`, `nothing`.
    pub way: &'static str,
    /// Bytes of contents.
    pub bytes: u64,
    /// Whether it may be fewer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_most: bool,
    /// Bytes of the manifest, patched if there is a patch for it.
    pub manifest_bytes: u64,
    /// Bytes of blocks, were there no patch.
    pub blocks_bytes: u64,
    /// Requests for contents.
    pub requests: usize,
}

impl Reach {
    /// Of a device that has `old` and gets `new`; by chunks it fetches `chunked` bytes, if that is known.
    pub fn of(new: &Manifest, assets: &[Asset], old: &Manifest, chunked: Option<u64>) -> Self {
        let size = |name: &str| assets.iter().find(|a| a.name == name).map(|a| a.size);
        let missing = new.beyond(old);
        let whole = new.bundle.as_ref().and_then(|b| size(&b.name));
        let mut ways = route::ways(new, &missing, Some(&old.version));
        // a device finds out, too, and takes blocks
        ways.retain(|way| !matches!((way, chunked), (Way::Chunks(_, most), Some(n)) if n >= *most));
        let bytes = |way: &Way| way.bytes(whole).unwrap_or_default();
        let blocks = ways.iter().find(|w| matches!(w, Way::Runs(_) | Way::Whole)).map(bytes).unwrap_or_default();
        let (way, requests) = match &ways[0] {
            _ if missing.is_empty() => ("nothing", 0),
            Way::Patch(_) => ("patch", 1),
            Way::Chunks(..) => ("chunks", 2),
            Way::Runs(runs) => ("blocks", runs.len()),
            Way::Whole => ("whole", 1),
        };
        let patched = new.product.as_ref().and_then(|product| size(&patch::manifest_name(product, &old.version)));
        Reach {
            from: old.version.clone(),
            files: missing.len(),
            way,
            bytes: match (&ways[0], chunked) {
                _ if requests == 0 => 0,
                (Way::Chunks(..), Some(n)) => n,
                (way, _) => bytes(way),
            },
            at_most: way == "chunks" && chunked.is_none(),
            manifest_bytes: patched.or_else(|| size(crate::release::manifest::NAME)).unwrap_or_default(),
            blocks_bytes: if requests == 0 { 0 } else { blocks },
            requests,
        }
    }
}
