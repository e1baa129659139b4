//! The earlier releases that a server has: their manifests, and the bundles of those that patches shall start from. What lies in the
//! folder of packed releases already is not fetched again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use semver::Version;

use super::held::Held;
use super::target::Target;
use crate::error::{Doing, Error, Result};
use crate::publish::Before;
use crate::publish::place;
use crate::quantity::bytes;
use crate::release::{Manifest, manifest};
use crate::source::{Address, BundleRef, Network, Span, read_error};

/// So many of the newest earlier releases are looked at: from older ones, devices fetch what their manifests happen to share.
const KNOWN: usize = 10;
/// Folder beside the packed releases for what came from the server.
const FETCHED: &str = ".published";

/// An earlier release on the server.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its version.
    pub version: Version,
    /// Where its manifest lies now.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its bundle lies there, too.
    pub whole: bool,
}

/// The visible releases below a version, newest first. Those without a manifest are none of ours.
pub fn below<'h>(all: &'h [Held], version: &Version) -> Vec<(Version, &'h Held)> {
    let ours = |held: &&Held| !held.draft && held.assets.iter().any(|a| a.name == manifest::NAME);
    let mut found: Vec<_> = all.iter().filter(ours).filter_map(|held| Some((manifest::version(&held.tag_name).ok()?, held))).collect();
    found.retain(|(v, _)| v < version);
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.dedup_by(|(a, _), (b, _)| a == b);
    found.truncate(KNOWN);
    found
}

/// The address of a release's file.
///
/// # Errors
/// The server's is none.
pub fn address(target: &Target, tag: &str, name: &str) -> Result<String> {
    let home = Address::parse(&target.gitea).map_err(|e| Error::usage(format!("publish.gitea, {}: {e}", target.gitea)))?;
    let (owner, repo) = target.owner_and_name();
    Ok(home.below(&[owner, repo, "releases", "download", tag, name]).full())
}

/// What is fetched, and how.
pub struct Fetching<'f> {
    /// From where.
    pub network: &'f dyn Network,
    /// Of which repository.
    pub target: &'f Target,
    /// Whose releases.
    pub product: &'f str,
    /// The folder of packed releases.
    pub shelf: &'f Path,
    /// Whom to tell.
    pub say: &'f mut dyn FnMut(&str),
}

impl Fetching<'_> {
    /// Fetches the earlier releases; the bundles of the newest `patches`. What cannot be had is told and left out: only savings follow from it.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn all(&mut self, found: &[(Version, &Held)], patches: usize, notes: &mut Vec<String>) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for (i, (version, held)) in found.iter().enumerate() {
            match self.one(version, held, i < patches) {
                Ok(Some(release)) => known.push(release),
                Ok(None) => notes.push(format!("{} on the server is a release of another product, and was passed over", held.tag_name)),
                Err(e) if e.io_kind().is_some() => return Err(e),
                Err(e) => notes.push(format!("the earlier release {} was not looked at: {}", held.tag_name, e.message())),
            }
        }
        Ok(known)
    }

    fn one(&mut self, version: &Version, held: &Held, whole: bool) -> Result<Option<Known>> {
        let Some(size) = held.assets.iter().find(|a| a.name == manifest::NAME).map(|a| a.size) else { return Ok(None) };
        let mut text = Vec::new();
        self.copy(held, manifest::NAME, size.min(manifest::SIZE_MAX), &mut text)?;
        let parsed = Manifest::parse(&text).map_err(|e| Error::verification(format!("the manifest of {}", held.tag_name)).because(e))?;
        if parsed.product.as_deref() != Some(self.product) || parsed.version != *version {
            return Ok(None);
        }
        let name = format!("{}-{version}", self.product);
        let bundle = parsed.bundle.as_ref().and_then(|b| held.assets.iter().find(|a| a.name == b.name)).map(|a| (a.name.clone(), a.size));
        // the one that was packed here may be the very same
        let complete = |dir: &Path| bundle.as_ref().is_some_and(|(name, size)| std::fs::metadata(dir.join(name)).is_ok_and(|m| m.len() == *size));
        let same = |dir: &Path| place::small(&dir.join(manifest::NAME), manifest::SIZE_MAX).is_ok_and(|there| there.as_ref() == Some(&text));
        let (packed, fetched) = (self.shelf.join(&name), self.shelf.join(FETCHED).join(&name));
        if same(&packed) && complete(&packed) {
            return Ok(Some(Known { version: version.clone(), dir: packed, manifest: parsed, whole: true }));
        }
        if !same(&fetched) {
            std::fs::create_dir_all(&fetched).doing(|| format!("making {}", fetched.display()))?;
            place::put(&fetched.join(manifest::NAME), &text)?;
        }
        if let (true, false, Some((bundle, size))) = (whole, complete(&fetched), &bundle) {
            (self.say)(&format!("fetching {bundle}, {}, to make a patch from it", bytes(*size)));
            let (at, half) = (fetched.join(bundle), fetched.join(format!("{bundle}.half")));
            let mut file = File::create(&half).doing(|| format!("making {}", half.display()))?;
            self.copy(held, bundle, *size, &mut file)?;
            std::fs::rename(&half, &at).doing(|| format!("moving {bundle} to its place"))?;
        }
        Ok(Some(Known { version: version.clone(), whole: complete(&fetched), dir: fetched, manifest: parsed }))
    }

    fn copy(&self, held: &Held, name: &str, size: u64, to: &mut dyn Write) -> Result<()> {
        let at = address(self.target, &held.tag_name, name)?;
        let fetching = || format!("fetching {at}");
        let body = self.network.open(&BundleRef { at: at.clone(), size: Some(size) }, Span::ALL)?;
        io::copy(&mut body.reader.take(size), to).map_err(|e| read_error(e, fetching))?;
        Ok(())
    }
}

/// Earlier releases as `pack` takes them: with patches from the newest, as far as their bundles are there.
pub fn before(known: &[Known], patches: usize) -> Before {
    let (patch, plain): (Vec<_>, Vec<_>) = known.iter().enumerate().partition(|(i, k)| *i < patches && k.whole);
    let dirs = |list: Vec<(usize, &Known)>| list.into_iter().map(|(_, k)| k.dir.clone()).collect();
    Before { previous: dirs(plain), patch_from: dirs(patch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::online::held::HeldAsset;

    #[test]
    fn earlier_are_the_visible_ones_below_newest_first() {
        let held = |tag: &str, draft: bool, name: &str| Held {
            id: 1,
            tag_name: tag.into(),
            draft,
            prerelease: false,
            body: String::new(),
            html_url: String::new(),
            assets: vec![HeldAsset { id: 1, name: name.into(), size: 1, sha256: None }],
        };
        let all = [
            held("v1.0.0", false, "manifest.json"),
            held("1.10.0", false, "manifest.json"),
            held("v1.2.0-beta.1", false, "manifest.json"),
            held("v1.3.0", true, "manifest.json"),
            held("v1.4.0", false, "notes.pdf"),
            held("nightly", false, "manifest.json"),
            held("v2.0.0", false, "manifest.json"),
            held("v3.0.0", false, "manifest.json"),
        ];
        let versions: Vec<String> = below(&all, &Version::new(2, 0, 0)).iter().map(|(v, _)| v.to_string()).collect();
        assert_eq!(versions, ["1.10.0", "1.2.0-beta.1", "1.0.0"]);
    }
}
