//! A folder on any static web server: `manifest.json`, its signature and the bundle, side by side.

use semver::Version;
use serde::{Deserialize, Serialize};
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use super::address::Address;
use super::answer::Head;
use super::choose::Taste;
use super::fault::Fault;
use super::http::{Failed, Http};
use super::judge::{Candidate, Judge, Verdict};
use super::{Body, BundleRef, Memory, Network, Offer, Source, Unpacked, Wanted, resume, steps, unpack};
use crate::error::{Error, Result};
use crate::release::{manifest, signature};

/// Largest signature file that is read, bytes.
pub const SIGNATURE_MAX: u64 = signature::SIZE_MAX;

/// The source.
pub struct Static<'a> {
    base: Address,
    taste: Taste,
    http: Http<'a>,
}

/// What the last check saw.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    base: String,
    manifest: Page,
    /// Absent: there was none.
    signature: Option<Page>,
}

/// A small file as it was, with what asks for it cheaply.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Page {
    text: String,
    tag: Tag,
}

/// What a server calls the state of a file, to ask whether it is still so.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Tag {
    /// `ETag`.
    etag: Option<String>,
    /// `Last-Modified`.
    modified: Option<String>,
}

impl Tag {
    /// From an answer.
    pub fn of(head: &Head) -> Self {
        Tag { etag: head.get(ETAG).map(str::to_owned), modified: head.get(LAST_MODIFIED).map(str::to_owned) }
    }
    /// The headers that ask for it only if it has changed.
    pub fn headers(&self) -> Vec<(ureq::http::HeaderName, String)> {
        let etag = self.etag.iter().map(|v| (IF_NONE_MATCH, v.clone()));
        etag.chain(self.modified.iter().map(|v| (IF_MODIFIED_SINCE, v.clone()))).collect()
    }
}

impl<'a> Static<'a> {
    /// A source below `base`.
    ///
    /// # Errors
    /// `base` is no address.
    pub fn new(base: &str, taste: Taste, http: Http<'a>) -> Result<Self> {
        let base = Address::parse(base).map_err(|e| Error::usage(format!("source.url, {base}: {e}")))?;
        Ok(Static { base, taste, http })
    }

    /// Fetches a small file unless it is as remembered. Both files are asked about each time: a signature that arrives after its
    /// manifest would otherwise never be seen.
    fn page(&self, at: &Address, old: Option<Page>, limit: u64) -> Result<Page, Failed> {
        let headers = old.as_ref().map(|p| p.tag.headers()).unwrap_or_default();
        match (self.http.fetch(at, &headers, limit)?, old) {
            (None, Some(old)) => Ok(old),
            (None, None) => Err(Failed { fault: Fault::Status(304, None), tries: 1 }),
            (Some((head, bytes)), _) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Page { text, tag: Tag::of(&head) }),
                Err(_) => Err(Failed { fault: Fault::Wrong("what came is not text (UTF-8)".into()), tries: 1 }),
            },
        }
    }
}

impl Source for Static<'_> {
    fn name(&self) -> String {
        self.base.to_string()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, memory: &mut Memory) -> Result<Option<Offer>> {
        self.http.small_files_begin();
        let seen: Option<Seen> = memory.recall().filter(|s: &Seen| s.base == self.base.full());
        let (old_manifest, old_signature) = seen.map_or((None, None), |s| (Some(s.manifest), s.signature));
        let at = self.base.below(&[manifest::NAME]);
        let page = self.page(&at, old_manifest, manifest::SIZE_MAX).map_err(|f| f.tell(&self.http, &at))?;
        let beside = self.base.below(&[manifest::SIGNATURE_NAME]);
        let signature = match self.page(&beside, old_signature, SIGNATURE_MAX) {
            Ok(signature) => Some(signature),
            Err(failed) if failed.is_missing() => None,
            Err(failed) => return Err(failed.tell(&self.http, &beside)),
        };

        let bytes = page.text.as_bytes();
        let (name, steps) = (at.to_string(), steps::of(bytes));
        let shown = Candidate {
            name: &name,
            manifest: bytes,
            signature: signature.as_ref().map(|p| p.text.as_bytes()),
            tag: None,
            flagged: false,
            handed: false,
            look_only: false,
            steps: &steps,
        };
        let verdict = judge.judge(&shown)?;
        if verdict.believed() {
            memory.keep(&Seen { base: self.base.full(), manifest: page.clone(), signature: signature.clone() });
        }
        let manifest = match verdict {
            Verdict::Take(manifest) => *manifest,
            Verdict::NotForUs(version) => return another(wanted, &version, &self.name()),
            Verdict::Wrong(error) => return Err(error),
        };
        let bundle = BundleRef { at: self.base.below(&[&self.taste.bundle_name(&manifest)]).full(), size: None };
        let signature = signature.map(|p| p.text.into_bytes());
        Ok(Some(Offer { manifest_bytes: page.text.into_bytes(), signature, manifest, bundle, notes: Vec::new() }))
    }

    fn unpack(&self, bundle: &BundleRef, from: u64, validator: Option<&str>, to: &mut dyn Unpacked) -> Result<u64> {
        unpack::body(self.bundle(bundle, from, validator)?, to)
    }
}

impl Network for Static<'_> {
    fn bundle(&self, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body<'_>> {
        remote(&self.http, bundle, from, validator)
    }
}

/// Opens a bundle on the network.
///
/// # Errors
/// As [`Source::bundle`].
pub fn remote<'s>(http: &'s Http<'_>, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<Body<'s>> {
    let at = Address::parse(&bundle.at).map_err(|e| Error::source_failed(format!("the bundle's address cannot be used: {e}")))?;
    resume::open(http, at, from, validator, bundle.size)
}

/// What a source with a single release answers when that is not the one: nothing, or, to whoever asked for another, both versions.
///
/// # Errors
/// Another one was asked for.
pub fn another(wanted: &Wanted, has: &Version, name: &str) -> Result<Option<Offer>> {
    match wanted {
        Wanted::Best => Ok(None),
        Wanted::Exact(version) => Err(Error::source_failed(format!("{name} has release {has}, not {version}"))
            .hint("this source holds a single release: leave the version out to take it")),
    }
}
