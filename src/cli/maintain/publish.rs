//! `publish`.

use super::{before, lint, prepared, reaches, signers, told};
use crate::cli::args::Publish;
use crate::cli::voice::{Voice, clean};
use crate::error::{Error, Result};
use crate::publish::online::target::Elsewhere;
use crate::publish::online::{Asked, Published, What, publish};
use crate::publish::secret::Place;
use crate::quantity::bytes;
use crate::world::clock::RealClock;

/// `publish`.
///
/// # Errors
/// See [`publish`].
pub fn publish_release(voice: &Voice, asked: &Publish) -> Result<u8> {
    let token = asked.token_file.as_deref().map(|text| Place::parse("--token-file", text)).transpose()?;
    if let Some(doubt) = token.as_ref().and_then(Place::doubt) {
        voice.message(&format!("warning: {}", clean(&doubt)));
    }
    // files and keys before anything takes long
    let (what, keys) = match &asked.release {
        Some(dir) => (What::Packed(dir.clone()), Vec::new()),
        None => {
            // nobody types a passphrase for files that devices would be hurt by
            let prepared = prepared(voice, &asked.recipe, &asked.packing)?;
            let keys = signers(voice, &asked.with)?;
            if keys.is_empty() {
                return Err(Error::usage("there is no key to sign with")
                    .hint("give --key FILE, env:NAME or fd:N, or set PIKIT_SECRET_KEY; --release DIR publishes one that is signed"));
            }
            (What::Prepared(Box::new(prepared), before(&asked.packing)), keys)
        }
    };
    let wanted = Asked {
        recipe: asked.recipe.clone(),
        elsewhere: Elsewhere { gitea: asked.gitea.clone(), repo: asked.repo.clone() },
        token,
        replace: asked.replace,
        dry_run: asked.dry_run,
    };
    // a signal ends it at once: whatever is half done on the server, nobody sees it, and the next run goes on from there
    let published = publish(&wanted, what, &keys, &RealClock::new(), &mut |text| voice.message(&clean(text)))?;
    if asked.release.is_some() {
        lint::warn(voice, &published.findings);
    }
    told(voice, true, &published, &words(&published));
    published.notes.iter().for_each(|note| voice.message(&format!("note: {}", clean(note))));
    Ok(0)
}

/// What devices will see.
fn words(published: &Published) -> String {
    let Published { product, version, channel, tag, .. } = published;
    let mut out = match (published.dry_run, published.actions.is_empty()) {
        (_, true) => format!("{product} {version} ({channel}) is published as {tag}: nothing was left to do\n"),
        (true, _) => format!("{product} {version} ({channel}) would be published as {tag}; nothing was written to the server\n"),
        (false, _) => format!("published {product} {version} ({channel}) as {tag}\n"),
    };
    if let Some(url) = &published.url {
        out.push_str(&format!("  {url}\n"));
    }
    if published.dry_run {
        published.actions.iter().for_each(|action| out.push_str(&format!("  would {action}\n")));
    }
    if let Some(offered) = &published.offered {
        out.push_str(&format!("a device on {channel} is offered {offered}\n"));
    }
    published.says.iter().for_each(|line| out.push_str(&format!("  | {line}\n")));
    for asset in &published.assets {
        out.push_str(&format!("  {}  {:<9}  {}\n", asset.sha256, bytes(asset.size), asset.name));
    }
    out.push_str(&reaches(&published.reaches));
    out
}
