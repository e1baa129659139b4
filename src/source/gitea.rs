//! A Gitea or Forgejo server: releases are listed through `/api/v1`, their assets are the manifest, its signature and the bundle.
//!
//! The daily check costs one small request: the newest releases. If they follow on what is remembered, and the number of releases agrees,
//! so do the older ones; now and then all are looked at. A manifest is not fetched again while the release's assets are the same.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::DateTime;
use semver::Version;

use super::address::Address;
use super::answer::Head;
use super::choose::Taste;
use super::fault::Fault;
use super::http::{Failed, Http};
use super::judge::{Candidate, Judge, Verdict};
use super::listed::{Asset, Kept, Release, Seen};
use super::url::{SIGNATURE_MAX, Tag, address, remote, step_from};
use super::{Body, BundleRef, Memory, Network, Offer, Source, Span, Tally, Unpacked, Wanted, parts, patched, steps, unpack};
use crate::error::{Code, Error, Result};
use crate::release::{Manifest, manifest, patch};

/// A manifest, and its signatures if they came with it.
type Signed = (String, Option<String>);

/// Releases on one page of the list, and pages that are read.
const PAGE: usize = 50;
const PAGES_MAX: usize = 100;
/// Releases that are asked for when the others are remembered. A server sends about 3 KB for each.
const NEWEST: usize = 4;
/// Times that only these are looked at, before all are again: an older release may have been changed, too.
const SHORT_MAX: u32 = 6;
/// Largest page that is read, bytes.
const LIST_MAX: u64 = 8 << 20;
/// Manifests that are looked at for one offer.
const LOOK_MAX: usize = 20;
/// Bytes of manifests that are remembered.
const REMEMBER_MAX: usize = 2 << 20;

/// The source.
pub struct Gitea<'a> {
    owner: String,
    repo: String,
    taste: Taste,
    http: Http<'a>,
}

impl<'a> Gitea<'a> {
    /// A source for `owner/name` on the server that `http` is for.
    ///
    /// # Errors
    /// `repo` is not of that form.
    pub fn new(repo: &str, taste: Taste, http: Http<'a>) -> Result<Self> {
        let (owner, repo) = repo.split_once('/').ok_or_else(|| Error::usage(format!("source.repo: {repo:?} is not owner/name")))?;
        Ok(Gitea { owner: owner.into(), repo: repo.into(), taste, http })
    }

    fn api(&self, more: &[&str]) -> Address {
        self.http.home().below(&[&["api", "v1", "repos", &self.owner, &self.repo], more].concat())
    }

    /// One page of the releases: its head, and what it lists. None: it is as `tag` says.
    fn page(&self, limit: usize, n: usize, tag: &Tag) -> Result<Option<(Head, Vec<Release>)>> {
        let at = self.api(&["releases"]).query(&format!("limit={limit}&page={n}"));
        let Some((head, bytes)) = self.http.fetch(&at, &tag.headers(), LIST_MAX).map_err(|f| self.tell(f, &at))? else { return Ok(None) };
        let releases = serde_json::from_slice(&bytes).map_err(|e| {
            Error::source_failed(format!("{at}: the answer is not the list of releases it should be")).because(e).hint("is it a Gitea or Forgejo server?")
        })?;
        Ok(Some((head, releases)))
    }

    /// The releases, asking for as little as the memory allows.
    fn list(&self, seen: &mut Seen) -> Result<()> {
        if !seen.releases.is_empty() && seen.short < SHORT_MAX {
            let Some((head, newest)) = self.page(NEWEST, 1, &seen.tag)? else {
                seen.short += 1;
                return Ok(()); // not modified: all is as remembered
            };
            if let Some(releases) = continued(&seen.releases, seen.total, newest, total(&head)) {
                let manifests = std::mem::take(&mut seen.manifests);
                *seen = Seen { tag: Tag::of(&head), total: total(&head), short: seen.short + 1, releases, manifests, ..Seen::default() };
                return Ok(());
            }
        }
        let (mut all, mut ids) = (Vec::new(), BTreeSet::new());
        let mut told = None;
        for n in 1..=PAGES_MAX {
            let Some((head, releases)) = self.page(PAGE, n, &Tag::default())? else { break };
            told = total(&head);
            let (here, before) = (releases.len(), all.len());
            // a server that gives the same page again and again adds nothing; so the loop ends
            all.extend(releases.into_iter().filter(|r| ids.insert((r.id, r.tag_name.clone()))));
            let next = head.named("link").map(|l| l.contains("rel=\"next\""));
            let more = next.unwrap_or_else(|| told.map_or(here >= PAGE, |t| (all.len() as u64) < t));
            if !more || all.len() == before {
                break;
            }
        }
        *seen = Seen { total: told, releases: all, manifests: std::mem::take(&mut seen.manifests), ..Seen::default() };
        Ok(())
    }

    /// The manifest of a release and its signature, as text: what is remembered is remembered as JSON. `whole`: not out of an earlier one.
    fn read(&self, release: &Release, known: &[Kept], whole: bool) -> Result<Kept, Passed> {
        let text = |bytes: Vec<u8>| {
            let wrong = |_| self.passed(release, Code::Verification, "has a manifest or signature that is not text");
            String::from_utf8(bytes).map_err(wrong)
        };
        let missing = || self.passed(release, Code::Source, format!("has no {} (yet)", manifest::NAME));
        let asset = release.asset(manifest::NAME).ok_or_else(missing)?;
        let key = release.key();
        if let Some(kept) = known.iter().find(|k| k.key == key) {
            return Ok(kept.clone());
        }
        let get = |asset: &Asset, limit| {
            let at = self.address(release, asset);
            match self.http.fetch(&at, &[], limit) {
                Ok(Some((_, bytes))) => Ok(bytes),
                Ok(None) => Err(Passed::Fatal(Failed { fault: Fault::Status(304, None), tries: 1 }.tell(&self.http, &at))),
                Err(f) if f.is_missing() => Err(self.passed(release, Code::Source, format!("lists {}, but it cannot be fetched (status 404)", asset.name))),
                Err(f) => Err(Passed::Fatal(self.tell(f, &at))),
            }
        };
        let patched = if whole { None } else { self.patched(release, asset, known, get) };
        let (manifest, signed, patched) = match patched {
            Some((manifest, signed)) => (manifest, signed, true),
            None => (text(get(asset, manifest::SIZE_MAX)?)?, None, false),
        };
        let signature = match signed {
            Some(signature) => Some(signature),
            None => release.asset(manifest::SIGNATURE_NAME).map(|a| get(a, SIGNATURE_MAX)).transpose()?.map(text).transpose()?,
        };
        Ok(Kept { key, manifest: manifest.into(), signature, patched })
    }

    /// The manifest, made out of one that is remembered, with the signatures that come along. Whatever is wrong with that, the manifest and
    /// its signatures are there by themselves, too.
    fn patched(&self, release: &Release, whole: &Asset, known: &[Kept], get: impl Fn(&Asset, u64) -> Result<Vec<u8>, Passed>) -> Option<Signed> {
        let patch = |kept: &'_ Kept| release.asset(&step_from(&self.taste.product, &kept.manifest)?).map(|asset| (asset.clone(), kept.manifest.clone()));
        let (asset, earlier) = known.iter().filter_map(patch).min_by_key(|(asset, _)| asset.size)?;
        if asset.size >= whole.size {
            return None;
        }
        let patch = get(&asset, asset.size?).ok()?;
        let text = String::from_utf8(patched::single(&patch, earlier.as_bytes(), manifest::SIZE_MAX).ok()?).ok()?;
        let signatures = patch::signatures(&patch).filter(|s| s.len() as u64 <= SIGNATURE_MAX);
        Some((text, signatures.and_then(|s| String::from_utf8(s.to_vec()).ok())))
    }

    /// Reads a release's manifest and shows it. One that was made out of another and is not believed is fetched whole.
    fn look(&self, release: &Release, known: &[Kept], judge: &mut dyn Judge, look_only: bool) -> Result<(Kept, Verdict), Passed> {
        let kept = self.read(release, known, false)?;
        let verdict = self.show(release, &kept, judge, look_only)?;
        if verdict.believed() || !kept.patched {
            return Ok((kept, verdict));
        }
        let kept = self.read(release, known, true)?;
        let verdict = self.show(release, &kept, judge, look_only)?;
        Ok((kept, verdict))
    }

    /// Shows a release to the judge.
    fn show(&self, release: &Release, kept: &Kept, judge: &mut dyn Judge, look_only: bool) -> Result<Verdict, Passed> {
        let (name, tag, steps) = (self.called(release), manifest::version(&release.tag_name).ok(), steps::of(kept.manifest.as_bytes()));
        let shown = Candidate {
            name: &name,
            manifest: kept.manifest.as_bytes(),
            signature: kept.signature.as_deref().map(str::as_bytes),
            tag: tag.as_ref(),
            flagged: release.prerelease,
            handed: false,
            look_only,
            steps: &steps,
        };
        judge.judge(&shown).map_err(Passed::Fatal)
    }

    /// The offer of a release that was taken.
    fn offer(&self, release: &Release, kept: &Kept, manifest: Manifest) -> Result<Offer, Passed> {
        let names = release.assets.iter().flatten().map(|a| a.name.as_str());
        let name = self.taste.bundle_among(&manifest, names).map_err(|e| self.passed(release, Code::Source, e))?;
        let bundle = release.asset(name).expect("the name came from the assets");
        let bundle = BundleRef { at: self.address(release, bundle).full(), size: bundle.size };
        let signature = kept.signature.clone().map(String::into_bytes);
        Ok(Offer { manifest_bytes: kept.manifest.as_bytes().to_vec(), signature, manifest, bundle, notes: Vec::new() })
    }

    fn called(&self, release: &Release) -> String {
        format!("release {} of {}", release.tag_name, self.name())
    }
    fn passed(&self, release: &Release, code: Code, what: impl std::fmt::Display) -> Passed {
        Passed::Over(Error::new(code, format!("{} {what}", self.called(release))))
    }

    /// Where an asset is. A server behind another name than it believes to have gives out wrong links: those that are its own kind of
    /// link are built anew from the configured address, which also is where the token may go.
    fn address(&self, release: &Release, asset: &Asset) -> Address {
        let ours = self.http.home().below(&[&self.owner, &self.repo, "releases", "download", &release.tag_name, &asset.name]);
        let usual = format!("/{}/{}/releases/download/", self.owner, self.repo).to_lowercase();
        match asset.browser_download_url.as_deref().map(Address::parse) {
            Some(Ok(told)) if told.same_origin(self.http.home()) || !told.path().to_lowercase().contains(&usual) => told,
            _ => ours,
        }
    }

    fn exact(&self, version: &Version, judge: &mut dyn Judge) -> Result<Offer> {
        for tag in [format!("v{version}"), version.to_string()] {
            let at = self.api(&["releases", "tags", &tag]);
            let bytes = match self.http.fetch(&at, &[], LIST_MAX) {
                Ok(Some((_, bytes))) => bytes,
                Ok(None) => continue,
                Err(failed) if failed.is_missing() => continue,
                Err(failed) => return Err(self.tell(failed, &at)),
            };
            let release: Release = serde_json::from_slice(&bytes).map_err(|e| Error::source_failed(format!("{at}: the answer is not a release")).because(e))?;
            if release.draft {
                continue;
            }
            return self.named(&release, judge).map_err(Passed::into_error);
        }
        // is it the release that is missing, or all of the repository?
        let at = self.api(&[]);
        self.http.fetch(&at, &[], LIST_MAX).map_err(|f| self.tell(f, &at))?;
        Err(Error::source_failed(format!("{} has no release {version}", self.name())).hint(format!("{}/releases lists those it has", self.name())))
    }

    /// The offer of a release that a person named.
    fn named(&self, release: &Release, judge: &mut dyn Judge) -> Result<Offer, Passed> {
        let (kept, verdict) = self.look(release, &[], judge, false)?;
        match verdict {
            Verdict::Take(manifest) => self.offer(release, &kept, *manifest),
            Verdict::NotForUs(version) => Err(self.passed(release, Code::Verification, format!("has a manifest of another version, {version}"))),
            Verdict::Wrong(error) => Err(Passed::Over(error)),
        }
    }

    fn tell(&self, failed: Failed, at: &Address) -> Error {
        if !failed.is_missing() {
            return failed.tell(&self.http, at);
        }
        let hint = if self.http.has_token() {
            "check source.repo, and whether the token may read it"
        } else {
            "check source.gitea and source.repo; a private repository hides itself like this and needs source.token_file"
        };
        Error::source_failed(format!("{}: there is no such repository (status 404)", self.name())).hint(hint)
    }
}

/// Why a release was not offered.
enum Passed {
    /// Something is wrong with it; another may be fine.
    Over(Error),
    /// The line or the server; another would fare no better.
    Fatal(Error),
}

impl Passed {
    fn into_error(self) -> Error {
        let (Passed::Over(error) | Passed::Fatal(error)) = self;
        error
    }
}

impl Source for Gitea<'_> {
    fn name(&self) -> String {
        self.http.home().below(&[&self.owner, &self.repo]).to_string()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, memory: &mut Memory) -> Result<Option<Offer>> {
        self.http.small_files_begin();
        if let Wanted::Exact(version) = wanted {
            return self.exact(version, judge).map(Some);
        }
        let mut seen: Seen = memory.recall().filter(|s: &Seen| s.whose == self.name()).unwrap_or_default();
        self.list(&mut seen)?;
        seen.whose = self.name();

        let versions = seen.releases.iter().filter(|r| !r.draft).filter_map(|r| Some((manifest::version(&r.tag_name).ok()?, r)));
        let mut mine: Vec<(Version, &Release)> = versions.filter(|(v, r)| self.taste.may_be_mine(v, r.prerelease)).collect();
        mine.sort_by(|(a, x), (b, y)| (b, y.id).cmp(&(a, x.id)));

        let (mut over, mut refused, mut offered) = (Vec::new(), false, None);
        // what was fetched or remembered, and whether the judge believed it
        let mut looked: Vec<(Kept, bool)> = Vec::new();
        if let Some(latest) = latest(mine.iter().map(|(_, r)| *r)) {
            match self.look(latest, &seen.manifests, judge, true) {
                Ok((kept, verdict)) => looked.push((kept, verdict.believed())),
                // its own turn will come, and with it the words
                Err(Passed::Over(_)) => {}
                Err(fatal) => return Err(fatal.into_error()),
            }
        }
        let mut looks = 0;
        for (_, release) in mine {
            // what has no manifest costs nothing to pass over
            looks += usize::from(release.asset(manifest::NAME).is_some());
            if looks > LOOK_MAX {
                break;
            }
            let known = looked.iter().find(|(k, _)| k.key == release.key()).map(|(k, _)| std::slice::from_ref(k));
            let tried = self.look(release, known.unwrap_or(&seen.manifests), judge, false).and_then(|(kept, verdict)| {
                looked.push((kept.clone(), verdict.believed()));
                match verdict {
                    Verdict::Take(manifest) => self.offer(release, &kept, *manifest).map(Some),
                    Verdict::NotForUs(_) => Ok(None),
                    Verdict::Wrong(error) => Err(Passed::Over(error)),
                }
            });
            match tried {
                Ok(None) => refused = true,
                Ok(taken) => {
                    offered = taken;
                    break;
                }
                Err(Passed::Over(error)) => over.push(error),
                Err(fatal) => return Err(fatal.into_error()),
            }
        }
        seen.manifests = remembered(looked);
        memory.keep(&seen);
        match (offered, over.is_empty()) {
            (Some(offer), _) => Ok(Some(Offer { notes: over.iter().map(Error::message).collect(), ..offer })),
            (None, false) if !refused => Err(over.swap_remove(0)),
            (None, _) => Ok(None),
        }
    }

    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        unpack::body(self.open(bundle, span)?, to)
    }

    fn tally(&self) -> Tally {
        self.http.tally()
    }
}

impl Network for Gitea<'_> {
    fn open(&self, asset: &BundleRef, span: Span) -> Result<Body<'_>> {
        remote(&self.http, asset, span)
    }
    fn parts(&self, asset: &BundleRef, parts: Vec<Range<u64>>, spare: u64) -> Result<Body<'_>> {
        Ok(parts::open(&self.http, address(asset)?, asset.size, parts, spare))
    }
}

/// The number of releases, as the server tells.
fn total(head: &Head) -> Option<u64> {
    head.named("x-total-count").and_then(|t| t.parse().ok())
}

/// All releases, if the newest ones join the remembered ones: some new in front, then those that were known, changed or not. None: something
/// was taken away, or more came than is shown.
fn continued(known: &[Release], were: Option<u64>, mut newest: Vec<Release>, are: Option<u64>) -> Option<Vec<Release>> {
    if are == Some(newest.len() as u64) {
        return Some(newest);
    }
    let joins = |new: &usize| {
        let (shown, were) = (&newest[*new..], were.map(|t| t + *new as u64));
        were == are && known.len() >= shown.len() && shown.iter().zip(known).all(|(a, b)| (a.id, &a.tag_name) == (b.id, &b.tag_name))
    };
    let new = (0..newest.len()).find(joins)?;
    newest.extend_from_slice(&known[newest.len() - new..]);
    Some(newest)
}

/// The release whose manifest was made last, if the one that comes first is another: it may take that one back.
fn latest<'r>(mine: impl Iterator<Item = &'r Release>) -> Option<&'r Release> {
    let made = |r: &'r Release| Some((DateTime::parse_from_rfc3339(r.asset(manifest::NAME)?.created_at.as_deref()?).ok()?, r));
    let mut first = None;
    let mut latest: Option<(DateTime<_>, &Release)> = None;
    for release in mine.filter(|r| r.asset(manifest::NAME).is_some()) {
        first.get_or_insert(release.id);
        if let Some(this) = made(release)
            && latest.as_ref().is_none_or(|l| this.0 > l.0)
        {
            latest = Some(this);
        }
    }
    latest.map(|(_, r)| r).filter(|r| Some(r.id) != first)
}

/// Of what was looked at, what is kept for the next time: what the judge believed, each once, as much as there is room for.
fn remembered(looked: Vec<(Kept, bool)>) -> Vec<Kept> {
    let mut room = REMEMBER_MAX;
    let mut kept: Vec<Kept> = Vec::new();
    for (this, _) in looked.into_iter().filter(|(_, believed)| *believed) {
        if this.manifest.len() <= room && kept.iter().all(|k| k.key != this.key) {
            room -= this.manifest.len();
            kept.push(this);
        }
    }
    kept
}
