//! What is to be done, from what we have and what the server has. Pure. The order is the promise: a device must never see half a
//! release, so everything is changed while it is a draft, and shown by the last action.

use serde::Serialize;

use super::held::{Held, HeldAsset};
use crate::publish::pack::Asset;
use crate::quantity::bytes;
use crate::release::manifest;

/// What the server shall hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The release's tag.
    pub tag: String,
    /// Whether it is for a prerelease channel.
    pub prerelease: bool,
    /// Begin of the names of a release's own files, apart from the manifest and its signature.
    pub prefix: String,
    /// Its files, the manifest last: who sees it without one passes it over.
    pub assets: Vec<Asset>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Action {
    /// Make the release, as a draft.
    Create,
    /// Make a draft of what is visible.
    Hide,
    /// Remove a file.
    Delete {
        /// Its number.
        id: u64,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Upload a file.
    Upload {
        /// Its name.
        name: String,
        /// Its bytes.
        size: u64,
    },
    /// Make it visible.
    Show,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Create => f.write_str("make a draft"),
            Action::Hide => f.write_str("make a draft of what is visible"),
            Action::Delete { name, why, .. } => write!(f, "remove {name}: {why}"),
            Action::Upload { name, size } => write!(f, "upload {name}, {}", bytes(*size)),
            Action::Show => f.write_str("make it visible"),
        }
    }
}

/// Everything that is left to do; nothing when all is as it should be.
///
/// # Errors
/// It is visible and something about it would change, which nobody asked for: what.
pub fn decide(wanted: &Wanted, held: Option<&Held>, replace: bool) -> Result<Vec<Action>, Vec<String>> {
    let upload = |asset: &Asset| Action::Upload { name: asset.name.clone(), size: asset.size };
    let Some(held) = held else {
        return Ok([Action::Create].into_iter().chain(wanted.assets.iter().map(upload)).chain([Action::Show]).collect());
    };
    let mut differences = Vec::new();
    let mut deletes = Vec::new();
    let mut right: Vec<&str> = Vec::new();
    for there in held.assets.iter().filter(|a| wanted.owns(&a.name)) {
        let delete = |why: &str| Action::Delete { id: there.id, name: there.name.clone(), why: why.to_owned() };
        match wanted.assets.iter().find(|a| a.name == there.name) {
            None => deletes.push((delete("the release has no such file"), format!("{} is there, and the release has no such file", there.name))),
            Some(_) if right.contains(&there.name.as_str()) => deletes.push((delete("it is there twice"), format!("{} is there twice", there.name))),
            Some(mine) => match differs(mine, there) {
                None => right.push(&there.name),
                Some(why) => deletes.push((delete(&why), format!("{}: {why}", there.name))),
            },
        }
    }
    let missing: Vec<&Asset> = wanted.assets.iter().filter(|a| !right.contains(&a.name.as_str())).collect();
    differences.extend(deletes.iter().map(|(_, difference)| difference.clone()));
    let replaced = |a: &&&Asset| !held.assets.iter().any(|there| there.name == a.name);
    differences.extend(missing.iter().filter(replaced).map(|a| format!("{} is not there", a.name)));
    let flagged = held.prerelease != wanted.prerelease;
    if flagged {
        let word = |prerelease: bool| if prerelease { "a prerelease" } else { "no prerelease" };
        differences.push(format!("it is {} there, and {} here", word(held.prerelease), word(wanted.prerelease)));
    }
    if !held.draft && !differences.is_empty() && !replace {
        return Err(differences);
    }
    let mut actions = Vec::new();
    let changes = !deletes.is_empty() || !missing.is_empty();
    if !held.draft && changes {
        actions.push(Action::Hide);
    }
    actions.extend(deletes.into_iter().map(|(delete, _)| delete));
    actions.extend(missing.into_iter().map(upload));
    if held.draft || changes || flagged {
        actions.push(Action::Show);
    }
    Ok(actions)
}

impl Wanted {
    /// Whether a file of this name can be one of ours; what else people attach to a release is theirs.
    fn owns(&self, name: &str) -> bool {
        name == manifest::NAME || name == manifest::SIGNATURE_NAME || name.starts_with(&self.prefix) || self.assets.iter().any(|a| a.name == name)
    }
    /// Whether a file on the server has to be fetched to know whether it is right.
    pub fn must_look(&self, there: &HeldAsset) -> bool {
        self.assets.iter().any(|a| a.name == there.name && a.size == there.size)
    }
}

/// What is wrong with a file on the server.
fn differs(mine: &Asset, there: &HeldAsset) -> Option<String> {
    if mine.size != there.size {
        return Some(format!("{} there, {} here", bytes_exactly(there.size), bytes_exactly(mine.size)));
    }
    match there.sha256 {
        Some(sha256) if sha256 == mine.sha256 => None,
        Some(sha256) => Some(format!("sha256 {sha256} there, {} here", mine.sha256)),
        None => Some("what the server has of it cannot be fetched whole".into()),
    }
}

fn bytes_exactly(n: u64) -> String {
    if n == 1 { "1 byte".into() } else { format!("{n} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Digest;

    fn asset(name: &str, content: &str) -> Asset {
        Asset { name: name.into(), size: content.len() as u64, sha256: Digest::of(content.as_bytes()) }
    }

    fn wanted() -> Wanted {
        let assets = vec![asset("pikit-1.0.0.tar.gz", "bundle"), asset("manifest.json.minisig", "sig"), asset("manifest.json", "manifest")];
        Wanted { tag: "v1.0.0".into(), prerelease: false, prefix: "pikit-".into(), assets }
    }

    /// A release with these files: name, content, whether it was looked at.
    fn held(draft: bool, files: &[(&str, &str)]) -> Held {
        let assets = files.iter().enumerate().map(|(i, (name, content))| HeldAsset {
            id: i as u64,
            name: (*name).into(),
            size: content.len() as u64,
            sha256: (!content.contains('?')).then(|| Digest::of(content.as_bytes())),
        });
        Held { id: 7, tag_name: "v1.0.0".into(), draft, prerelease: false, body: String::new(), html_url: String::new(), assets: assets.collect() }
    }

    const BUNDLE: (&str, &str) = ("pikit-1.0.0.tar.gz", "bundle");
    const SIG: (&str, &str) = ("manifest.json.minisig", "sig");
    const MANIFEST: (&str, &str) = ("manifest.json", "manifest");

    fn told(actions: Result<Vec<Action>, Vec<String>>) -> String {
        let word = |a: &Action| match a {
            Action::Create => "create".into(),
            Action::Hide => "hide".into(),
            Action::Show => "show".into(),
            Action::Delete { id, .. } => format!("-{id}"),
            Action::Upload { name, .. } => format!("+{}", name.rsplit('.').next().unwrap()),
        };
        match actions {
            Ok(actions) => actions.iter().map(word).collect::<Vec<_>>().join(" "),
            Err(differences) => format!("refused: {}", differences.join("; ")),
        }
    }

    #[test]
    fn what_is_left_to_do_follows_from_what_is_there() {
        let table: &[(Option<Held>, bool, &str)] = &[
            (None, false, "create +gz +minisig +json show"),
            // a draft is filled, whatever broke off
            (Some(held(true, &[])), false, "+gz +minisig +json show"),
            (Some(held(true, &[BUNDLE])), false, "+minisig +json show"),
            (Some(held(true, &[BUNDLE, SIG, MANIFEST])), false, "show"),
            (Some(held(true, &[("pikit-1.0.0.tar.gz", "bun"), SIG])), false, "-0 +gz +json show"),
            (Some(held(true, &[("pikit-1.0.0.tar.gz", "bXndle"), SIG, MANIFEST])), false, "-0 +gz show"),
            (Some(held(true, &[("pikit-1.0.0.tar.gz", "??????"), SIG, MANIFEST])), false, "-0 +gz show"),
            (Some(held(true, &[BUNDLE, BUNDLE, SIG, MANIFEST])), false, "-1 show"),
            (Some(held(true, &[("pikit-1.0.0.tar.gz", "bXndle"), BUNDLE, SIG, MANIFEST])), false, "-0 show"),
            // what is not ours stays, what was ours goes
            (Some(held(true, &[BUNDLE, SIG, MANIFEST, ("manual.pdf", "x")])), false, "show"),
            (Some(held(true, &[BUNDLE, SIG, MANIFEST, ("pikit-0.9.0-1.0.0.patch.zst", "x")])), false, "-3 show"),
            // what is visible stays as it is, unless told otherwise: then it is hidden first
            (Some(held(false, &[BUNDLE, SIG, MANIFEST, ("manual.pdf", "x")])), false, ""),
            (Some(held(false, &[BUNDLE, SIG, MANIFEST])), true, ""),
            (Some(held(false, &[BUNDLE, SIG])), false, "refused: manifest.json is not there"),
            (Some(held(false, &[BUNDLE, SIG])), true, "hide +json show"),
            (Some(held(false, &[BUNDLE, ("manifest.json.minisig", "s"), MANIFEST])), false, "refused: manifest.json.minisig: 1 byte there, 3 bytes here"),
            (Some(held(false, &[BUNDLE, ("manifest.json.minisig", "s"), MANIFEST])), true, "hide -1 +minisig show"),
        ];
        for (held, replace, expected) in table {
            assert_eq!(told(decide(&wanted(), held.as_ref(), *replace)), *expected, "{held:?}");
        }
    }

    #[test]
    fn a_changed_flag_needs_no_hiding() {
        let wanted = Wanted { prerelease: true, ..wanted() };
        let there = held(false, &[BUNDLE, SIG, MANIFEST]);
        assert_eq!(told(decide(&wanted, Some(&there), false)), "refused: it is no prerelease there, and a prerelease here");
        assert_eq!(told(decide(&wanted, Some(&there), true)), "show");
    }

    #[test]
    fn no_step_before_the_last_shows_anything() {
        for files in [&[][..], &[BUNDLE], &[BUNDLE, SIG], &[("pikit-1.0.0.tar.gz", "half"), SIG, MANIFEST]] {
            for draft in [true, false] {
                let actions = decide(&wanted(), Some(&held(draft, files)), true).unwrap();
                let shows = actions.iter().position(|a| *a == Action::Show).unwrap();
                assert_eq!(shows + 1, actions.len());
                assert!(draft || actions[0] == Action::Hide, "{actions:?}");
            }
        }
    }
}
