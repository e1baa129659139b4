//! The story of `publish`, from top to bottom.

use std::path::PathBuf;

use semver::Version;
use serde::Serialize;

use super::client::Client;
use super::decide::{Action, Wanted};
use super::earlier::{self, Fetching, Known};
use super::held::Held;
use super::ready::{self, Ready, What};
use super::target::{Elsewhere, Target};
use super::witness;
use super::work::{Work, persist};
use crate::error::{Error, Result};
use crate::publish::Before;
use crate::publish::examine::{self, Level};
use crate::publish::key::Signer;
use crate::publish::lint::{self, Finding, Limits};
use crate::publish::pack::Asset;
use crate::publish::reach::Reach;
use crate::publish::secret::Place;
use crate::release::{KeyId, manifest};
use crate::source::{BundleRef, Line, Network, Span, Token, read_error};
use crate::world::Clock;

/// Lines of the notes that are shown.
const NOTES: usize = 3;

/// How it is published.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The recipe, which says where to.
    pub recipe: PathBuf,
    /// Where to publish, if the recipe does not say so.
    pub elsewhere: Elsewhere,
    /// Where the token is.
    pub token: Option<Place>,
    /// Also change what is visible.
    pub replace: bool,
    /// Write nothing to the server.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The folder with the files.
    pub dir: PathBuf,
    /// Whose release.
    pub product: String,
    /// Its version.
    pub version: Version,
    /// Its channel.
    pub channel: String,
    /// Its tag on the server.
    pub tag: String,
    /// Where people look at it.
    pub url: Option<String>,
    /// Nothing was written to the server.
    pub dry_run: bool,
    /// What was done there, or would be.
    pub actions: Vec<Action>,
    /// Its files.
    pub assets: Vec<Asset>,
    /// What devices will fetch.
    pub reaches: Vec<Reach>,
    /// The first lines of its notes.
    pub says: Vec<String>,
    /// What a device on the channel is offered now.
    pub offered: Option<Version>,
    /// Who signed.
    pub signed: Vec<KeyId>,
    /// What the rules of `lint` found.
    pub findings: Vec<Finding>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// Publishes. `signers` is asked only if something is packed here.
///
/// # Errors
/// Whatever stands in the way, before anything visible is changed: the recipe, what devices would be hurt by, the server; or what a device
/// finds afterwards is not what was published.
pub fn publish(asked: &Asked, what: What, signers: &[Signer], clock: &dyn Clock, say: &mut dyn FnMut(&str)) -> Result<Published> {
    let target = Target::read(&asked.recipe, &asked.elsewhere)?;
    let token = target.token(asked.token.as_ref())?;
    let about = what.about()?;
    let settings = target.settings(&about.product, &about.channel)?;
    let client = Client::new(&target, &settings, token.clone(), clock)?;
    let mut notes = Vec::new();

    let repository = persist(clock, say, || client.repository())?;
    if repository.empty {
        let told = format!("{} is empty: a release needs a commit to stand on", target.repo);
        return Err(Error::refused(told).hint("push the repository first"));
    }
    let with_token = network(&settings, Some(token), clock)?;
    let all = persist(clock, say, || client.releases())?;
    let tag = target.tag(&about.version);
    let found = all.iter().find(|held| held.tag_name == tag);
    let below = earlier::below(&all, &about.version);

    let shelf = ready::shelf(what.dir());
    let mut fetching = Fetching { network: with_token.as_ref(), target: &target, product: &about.product, shelf: &shelf, say: &mut *say };
    let patches = if matches!(what, What::Prepared(..)) { target.patches } else { 0 };
    let known = fetching.all(&below, patches, &mut notes)?;
    let ready = match what {
        What::Packed(dir) => Ready::at(&dir, signers)?,
        What::Prepared(prepared, before) => {
            let packed = prepared.pack(&joined(&before, &known, target.patches))?;
            say(&format!("packed {} {} into {}", packed.product, packed.version, packed.dir.display()));
            let there = found.and_then(|held| signature_there(with_token.as_ref(), &target, held).ok());
            Ready::sign(&packed, signers, there.as_deref(), &mut notes)?
        }
    };
    let keys = target.key_set(&ready.signers)?;
    let examined = examine::examine(&ready.dir, keys.as_ref(), keys.is_none(), clock.now())?;
    if let Some(check) = examined.checks.iter().find(|c| c.level == Level::Fail) {
        let told = format!("{}: {}: {}", ready.dir.display(), check.name, check.message);
        return Err(Error::verification(told).hint("`pikit-updater verify-release` shows all that was looked at"));
    }
    if keys.is_none() {
        notes.push("nobody looked whose signature it is: name the keys of devices as publish.keys".into());
    }
    // what is visible already, or takes others back, may be below them
    let below_others = found.is_some_and(|held| !held.draft) || ready.manifest.recall.is_some();
    let published = if below_others { None } else { highest(&all, &tag, &ready.channel) };
    let facts = lint::facts::of_release(&ready.dir)?;
    let findings = lint::look(&facts.known(published, clock.now()), &Limits { bundle: target.max_bundle, ..Limits::read(&asked.recipe)? });
    lint::refuse(&findings)?;

    let wanted = Wanted { tag: tag.clone(), prerelease: ready.channel != "stable", prefix: format!("{}-", ready.product), assets: ready.assets.clone() };
    let (replace, dry_run) = (asked.replace, asked.dry_run);
    let work = Work { client: &client, network: with_token.as_ref(), target: &target, ready: &ready, wanted: &wanted, replace, dry_run, clock };
    let (actions, held) = work.carry_out(found.cloned(), say)?;

    let known_manifests: Vec<_> = known.iter().map(|k| &k.manifest).collect();
    let mut published = Published {
        dir: ready.dir.clone(),
        product: about.product.clone(),
        version: about.version.clone(),
        channel: ready.channel.clone(),
        url: held.as_ref().map(|h| h.html_url.clone()).filter(|url| !url.is_empty()),
        tag,
        dry_run: asked.dry_run,
        actions,
        assets: ready.assets.clone(),
        reaches: known_manifests.iter().rev().map(|m| Reach::of(&ready.manifest, &ready.assets, m, None)).collect(),
        says: ready.manifest.notes.iter().flat_map(|n| n.lines()).filter(|l| !l.trim().is_empty()).take(NOTES).map(str::to_owned).collect(),
        offered: None,
        signed: examined.signatures.iter().map(|s| s.key).collect(),
        findings,
        notes,
    };
    if asked.dry_run {
        return Ok(published);
    }
    say("looking at it as a device does");
    let everybody = if repository.private { with_token } else { network(&settings, None, clock)? };
    let released = witness::Released { manifest: &ready.manifest, bytes: &ready.bytes, assets: &ready.assets, channel: &ready.channel, keys: keys.as_ref() };
    let witnessed = witness::look(everybody.as_ref(), &released, &known_manifests)?;
    published.offered = Some(witnessed.offered);
    published.notes.extend(witnessed.notes);
    Ok(published)
}

/// A source as devices have it.
fn network<'c>(settings: &crate::device::Settings, token: Option<Token>, clock: &'c dyn Clock) -> Result<Box<dyn Network + 'c>> {
    let Some(mut line) = Line::of(settings)? else { return Err(Error::unexpected("a server is no folder")) };
    line.access.token = token;
    line.open(clock)
}

/// The signature that a release on the server has.
fn signature_there(network: &dyn Network, target: &Target, held: &Held) -> Result<Vec<u8>> {
    let at = earlier::address(target, &held.tag_name, manifest::SIGNATURE_NAME)?;
    let listed = held.assets.iter().find(|a| a.name == manifest::SIGNATURE_NAME && a.size <= crate::release::signature::SIZE_MAX);
    let size = listed.ok_or_else(|| Error::source_failed("there is none"))?.size;
    let mut bytes = Vec::new();
    let mut body = network.open(&BundleRef { at: at.clone(), size: Some(size) }, Span::ALL)?;
    body.reader.read_to_end(&mut bytes).map_err(|e| read_error(e, || format!("fetching {at}")))?;
    Ok(bytes)
}

/// What lies here goes before what is on the server: a release is named once.
fn joined(here: &Before, known: &[Known], patches: usize) -> Before {
    let told: Vec<Version> = here.previous.iter().chain(&here.patch_from).flat_map(|p| ready::versions(p)).collect();
    let others: Vec<Known> = known.iter().filter(|k| !told.contains(&k.version)).cloned().collect();
    let mut all = earlier::before(&others, patches);
    all.previous.extend(here.previous.iter().cloned());
    all.patch_from.extend(here.patch_from.iter().cloned());
    all
}

/// The highest version that is visible on the same side of the line between stable and not, this one aside.
fn highest(all: &[Held], tag: &str, channel: &str) -> Option<Version> {
    let same = |held: &&Held| !held.draft && held.tag_name != tag && held.prerelease == (channel != "stable");
    all.iter().filter(same).filter(|h| h.assets.iter().any(|a| a.name == manifest::NAME)).filter_map(|h| manifest::version(&h.tag_name).ok()).max()
}
