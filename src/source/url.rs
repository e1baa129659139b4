//! A folder on any static web server: `manifest.json`, its signature and the bundle, side by side.

use std::ops::Range;

use semver::Version;
use serde::{Deserialize, Serialize};
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use super::address::Address;
use super::answer::Head;
use super::choose::Taste;
use super::fault::Fault;
use super::http::{Failed, Http};
use super::judge::{Candidate, Judge, Verdict};
use super::{Body, BundleRef, Memory, Network, Offer, Source, Span, Tally, Unpacked, Wanted, parts, patched, resume, steps, unpack};
use crate::error::{Error, Result};
use crate::release::patch::manifest_name;
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

    /// Fetches a small file unless it is as remembered; tells whether it is.
    fn page(&self, at: &Address, old: Option<Page>, limit: u64) -> Result<(Page, bool), Failed> {
        let headers = old.as_ref().map(|p| p.tag.headers()).unwrap_or_default();
        match (self.http.fetch(at, &headers, limit)?, old) {
            (None, Some(old)) => Ok((old, true)),
            (None, None) => Err(Failed { fault: Fault::Status(304, None), tries: 1 }),
            (Some((head, bytes)), _) => match String::from_utf8(bytes) {
                Ok(text) => Ok((Page { text, tag: Tag::of(&head) }, false)),
                Err(_) => Err(Failed { fault: Fault::Wrong("what came is not text (UTF-8)".into()), tries: 1 }),
            },
        }
    }

    /// The manifest, made out of the one that is remembered. Whatever is wrong with that, the manifest itself is there, too.
    fn patched(&self, old: &Page) -> Option<Page> {
        let at = self.base.below(&[&step_from(&self.taste.product, &old.text)?]);
        let (_, patch) = self.http.fetch(&at, &[], old.text.len() as u64).ok()??;
        let text = String::from_utf8(patched::single(&patch, old.text.as_bytes(), manifest::SIZE_MAX).ok()?).ok()?;
        // what the server calls it is not known: the next time it is asked for without
        Some(Page { text, tag: Tag::default() })
    }
}

impl Source for Static<'_> {
    fn name(&self) -> String {
        self.base.to_string()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, memory: &mut Memory) -> Result<Option<Offer>> {
        self.http.small_files_begin();
        let seen: Option<Seen> = memory.recall().filter(|s: &Seen| s.base == self.base.full());
        let (mut old_manifest, old_signature) = seen.map_or((None, None), |s| (Some(s.manifest), s.signature));
        // the smaller file first: it changes whenever the manifest does, and mostly neither has
        let beside = self.base.below(&[manifest::SIGNATURE_NAME]);
        let (signature, same) = match self.page(&beside, old_signature, SIGNATURE_MAX) {
            Ok((signature, same)) => (Some(signature), same),
            Err(failed) if failed.is_missing() => (None, false),
            Err(failed) => return Err(failed.tell(&self.http, &beside)),
        };
        let at = self.base.below(&[manifest::NAME]);
        let show = |page: &Page, judge: &mut dyn Judge| {
            let (name, steps) = (at.to_string(), steps::of(page.text.as_bytes()));
            judge.judge(&Candidate {
                name: &name,
                manifest: page.text.as_bytes(),
                signature: signature.as_ref().map(|p| p.text.as_bytes()),
                tag: None,
                flagged: false,
                handed: false,
                look_only: false,
                steps: &steps,
            })
        };
        // as it is remembered, or made out of that: believed only under this signature
        let cheap = match &mut old_manifest {
            old @ Some(_) if same => old.take(),
            Some(old) if signature.is_some() => self.patched(old),
            _ => None,
        };
        let cheap = cheap.map(|page| show(&page, judge).map(|verdict| (page, verdict))).transpose()?;
        let (page, verdict) = match cheap {
            Some((page, verdict)) if verdict.believed() => (page, verdict),
            unbelieved => {
                let remembered = unbelieved.filter(|_| same).map(|(page, _)| page);
                let (page, _) = self.page(&at, remembered.or(old_manifest), manifest::SIZE_MAX).map_err(|f| f.tell(&self.http, &at))?;
                let verdict = show(&page, judge)?;
                (page, verdict)
            }
        };
        let seen = Seen { base: self.base.full(), manifest: page, signature };
        if verdict.believed() {
            memory.keep(&seen);
        }
        let Seen { manifest: page, signature, .. } = seen;
        let manifest = match verdict {
            Verdict::Take(manifest) => *manifest,
            Verdict::NotForUs(version) => return another(wanted, &version, &self.name()),
            Verdict::Wrong(error) => return Err(error),
        };
        let bundle = BundleRef { at: self.base.below(&[&self.taste.bundle_name(&manifest)]).full(), size: None };
        let signature = signature.map(|p| p.text.into_bytes());
        Ok(Some(Offer { manifest_bytes: page.text.into_bytes(), signature, manifest, bundle, notes: Vec::new() }))
    }

    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        unpack::body(self.open(bundle, span)?, to)
    }

    fn tally(&self) -> Tally {
        self.http.tally()
    }
}

impl Network for Static<'_> {
    fn open(&self, asset: &BundleRef, span: Span) -> Result<Body<'_>> {
        remote(&self.http, asset, span)
    }
    fn parts(&self, asset: &BundleRef, parts: Vec<Range<u64>>, spare: u64) -> Result<Body<'_>> {
        Ok(parts::open(&self.http, address(asset)?, asset.size, parts, spare))
    }
}

/// The asset that makes a newer manifest out of this one.
pub fn step_from(product: &str, manifest: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Versioned<'v> {
        #[serde(borrow)]
        version: std::borrow::Cow<'v, str>,
    }
    let told: Versioned = serde_json::from_str(manifest).ok()?;
    Some(manifest_name(product, &manifest::version(&told.version).ok()?))
}

/// Opens an asset on the network.
///
/// # Errors
/// As [`Network::open`].
pub fn remote<'s>(http: &'s Http<'_>, asset: &BundleRef, span: Span) -> Result<Body<'s>> {
    resume::open(http, address(asset)?, span, asset.size)
}

/// Where an asset is on the network.
///
/// # Errors
/// It is no address.
pub fn address(asset: &BundleRef) -> Result<Address> {
    Address::parse(&asset.at).map_err(|e| Error::source_failed(format!("the bundle's address cannot be used: {e}")))
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
