//! `publish`.

use super::{lint, overrides, reaches, signers, told};
use crate::cli::args::Publish;
use crate::cli::voice::{Voice, clean};
use crate::error::{Error, Result};
use crate::publish::Before;
use crate::publish::online::target::Elsewhere;
use crate::publish::online::{Asked, Published, publish};
use crate::publish::secret::Place;
use crate::quantity::bytes;
use crate::world::clock::RealClock;

/// `publish`.
///
/// # Errors
/// See [`publish`].
pub fn publish_release(voice: &Voice, asked: &Publish) -> Result<u8> {
    let wanted = Asked {
        recipe: asked.recipe.clone(),
        release: asked.release.clone(),
        overrides: overrides(asked.version.as_ref(), asked.channel.as_deref(), asked.released.as_deref())?,
        before: Before { previous: asked.previous.clone(), patch_from: asked.patch_from.clone() },
        out: asked.out.clone(),
        elsewhere: Elsewhere { gitea: asked.gitea.clone(), repo: asked.repo.clone() },
        token: asked.token_file.as_deref().map(|text| Place::parse("--token-file", text)).transpose()?,
        replace: asked.replace,
        dry_run: asked.dry_run,
    };
    if let Some(doubt) = wanted.token.as_ref().and_then(Place::doubt) {
        voice.message(&format!("warning: {}", clean(&doubt)));
    }
    // before anything takes long
    let keys = if asked.release.is_none() { signers(voice, &asked.with)? } else { Vec::new() };
    if asked.release.is_none() {
        if keys.is_empty() {
            return Err(Error::usage("there is no key to sign with")
                .hint("give --key FILE, env:NAME or fd:N, or set PIKIT_SECRET_KEY; --release DIR publishes one that is signed"));
        }
        lint::before_packing(voice, &asked.recipe, &wanted.overrides, asked.out.as_deref())?;
    }
    // a signal ends it at once: whatever is half done on the server, nobody sees it, and the next run goes on from there
    let published = publish(&wanted, &keys, &RealClock::new(), &mut |text| voice.message(&clean(text)))?;
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
