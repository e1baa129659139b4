//! Brings a server to what it shall hold: looks, decides, acts, and looks again. Killed at any point, it is simply run again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::client::{Client, Trouble};
use super::decide::{Action, Wanted, decide};
use super::earlier;
use super::far::Far;
use super::held::Held;
use super::ready::Ready;
use super::target::Target;
use crate::error::{Error, Result};
use crate::release::Digest;
use crate::source::{BundleRef, Network, Span, read_error};
use crate::world::Clock;

/// How often something is tried that may pass, and the first pause; each further one is twice as long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How often one file is uploaded before a server is given up that does not keep it as it was sent.
const UPLOADS: usize = 3;

/// What was fetched and hashed: number and size of a file on the server, which never changes under its number.
type Known = BTreeMap<(u64, u64), Digest>;

/// What is needed to bring the server to what it shall hold.
pub struct Work<'w> {
    /// The server.
    pub client: &'w Client<'w>,
    /// It as devices read it, with the token.
    pub network: &'w dyn Network,
    /// Where.
    pub target: &'w Target,
    /// What.
    pub ready: &'w Ready,
    /// What of it the server shall hold.
    pub wanted: &'w Wanted,
    /// Also change what is visible.
    pub replace: bool,
    /// Write nothing to the server.
    pub dry_run: bool,
    /// Time, for pauses.
    pub clock: &'w dyn Clock,
}

impl Work<'_> {
    /// Looks, decides and acts until nothing is left to do. What was done, and what is there then.
    ///
    /// # Errors
    /// What is visible would change and nobody asked for that; the server does not do what it is asked.
    pub fn carry_out(&self, mut held: Option<Held>, say: &mut dyn FnMut(&str)) -> Result<(Vec<Action>, Option<Held>)> {
        let mut done: Vec<Action> = Vec::new();
        let mut failed = 0;
        let mut known = Known::new();
        loop {
            self.fetch_digests(held.as_mut(), &mut known, say)?;
            let left = decide(self.wanted, held.as_ref(), self.replace).map_err(|differences| self.refusal(&differences))?;
            if self.dry_run || left.is_empty() {
                done.extend(left);
                return Ok((done, held));
            }
            stuck(&left, &done)?;
            let before = done.len();
            match self.act(&left, &mut held, &mut done, say) {
                Ok(()) => failed = 0,
                Err(Trouble { error, passing, .. }) => {
                    failed = if done.len() > before { 1 } else { failed + 1 };
                    if !passing || failed == TRIES {
                        return Err(error);
                    }
                    say(&format!("{}; trying again", error.message()));
                    if self.clock.sleep(PAUSE * (1 << (failed - 1))) {
                        return Err(crate::error::stopped());
                    }
                }
            }
            held = match &held {
                Some(held) => Some(persist(self.clock, say, || self.client.release(held.id))?),
                // the server may have made it, and its answer was lost
                None => persist(self.clock, say, || self.client.releases())?.into_iter().find(|h| h.tag_name == self.wanted.tag),
            };
        }
    }

    /// Does the steps; the last one, which shows everything, only when nothing had to be done before it: then all was looked at.
    fn act(&self, steps: &[Action], held: &mut Option<Held>, done: &mut Vec<Action>, say: &mut dyn FnMut(&str)) -> Result<(), Trouble> {
        for step in steps {
            if *step == Action::Show && steps.len() > 1 {
                break;
            }
            say(&step.to_string());
            let id = held.as_ref().map(|h| h.id).unwrap_or_default();
            match step {
                Action::Create => {
                    let title = self.target.title(&self.ready.product, &self.ready.manifest.version);
                    let body = self.ready.manifest.notes.as_deref().unwrap_or_default();
                    let made = self.client.create(&self.wanted.tag, self.target.branch.as_deref(), &title, body, self.wanted.prerelease)?;
                    if !made.draft {
                        let told = format!("{} made a visible release of what was to be a draft", self.target.gitea);
                        return Err(Error::source_failed(told).hint("delete it there, for it has no files; is it a Gitea or Forgejo server?").into());
                    }
                    *held = Some(made);
                }
                Action::Hide => *held = Some(self.client.edit(id, &json!({"draft": true}))?),
                Action::Delete { id: asset, .. } => self.client.delete(id, *asset)?,
                Action::Upload { name, size } => {
                    let mut far = Far::start(name, *size, self.clock.monotonic());
                    let told = |sent| far.sent(sent, self.clock.monotonic()).into_iter().for_each(|words| say(&words));
                    drop(self.client.upload(id, name, &self.ready.dir.join(name), told)?);
                }
                Action::Show => drop(self.client.edit(id, &self.shown(held.as_ref()))?),
            }
            done.push(step.clone());
        }
        Ok(())
    }

    /// What makes it visible; notes that a person wrote there stay.
    fn shown(&self, held: Option<&Held>) -> serde_json::Value {
        let mut change = json!({"draft": false, "prerelease": self.wanted.prerelease});
        if let (Some(notes), true) = (&self.ready.manifest.notes, held.is_some_and(|h| h.body.is_empty())) {
            change["body"] = notes.as_str().into();
        }
        change
    }

    /// Fetches what may be right and hashes it. What cannot be fetched whole has no digest, and is replaced.
    fn fetch_digests(&self, held: Option<&mut Held>, known: &mut Known, say: &mut dyn FnMut(&str)) -> Result<()> {
        let Some(held) = held else { return Ok(()) };
        let tag = held.tag_name.clone();
        let looked: Vec<String> = held.assets.iter().map(|a| a.name.clone()).collect();
        for asset in held.assets.iter_mut().filter(|a| self.wanted.must_look(a)) {
            // by its name alone nobody could tell which of the two came
            if looked.iter().filter(|name| **name == asset.name).count() > 1 {
                continue;
            }
            if let Some(sha256) = known.get(&(asset.id, asset.size)) {
                asset.sha256 = Some(*sha256);
                continue;
            }
            let at = earlier::address(self.target, &tag, &asset.name)?;
            let hash = || {
                let body = self.network.open(&BundleRef { at: at.clone(), size: Some(asset.size) }, Span::ALL)?;
                let (sha256, n) = Digest::of_reader(body.reader).map_err(|e| read_error(e, || format!("fetching {at}")))?;
                Ok::<_, Error>((n == asset.size).then_some(sha256))
            };
            match hash() {
                Ok(sha256) => {
                    asset.sha256 = sha256;
                    known.extend(sha256.map(|sha256| ((asset.id, asset.size), sha256)));
                }
                Err(e) => say(&format!("{} on the server cannot be looked at: {}", asset.name, e.message())),
            }
        }
        Ok(())
    }

    fn refusal(&self, differences: &[String]) -> Error {
        let told = format!("{} is visible on {}, and differs from this release: {}", self.wanted.tag, self.target.gitea, differences.join("; "));
        Error::refused(told)
            .hint("devices that have it refuse a changed one: make a new version. --replace changes it all the same, hidden while it is changed")
    }
}

/// A server that again and again does not hold what it was sent.
fn stuck(left: &[Action], done: &[Action]) -> Result<()> {
    for step in left {
        let Action::Upload { name, .. } = step else { continue };
        if done.iter().filter(|d| matches!(d, Action::Upload { name: n, .. } if n == name)).count() >= UPLOADS {
            let told = format!("{name} was uploaded {UPLOADS} times, and what the server gives back is not what was sent");
            return Err(Error::source_failed(told).hint("nothing is visible yet; look at the server's disk and log, and run it again"));
        }
    }
    Ok(())
}

/// Tries again what may pass.
///
/// # Errors
/// The last trouble.
pub fn persist<T>(clock: &dyn Clock, say: &mut dyn FnMut(&str), what: impl Fn() -> Result<T, Trouble>) -> Result<T> {
    let mut failed = 0;
    loop {
        match what() {
            Ok(done) => return Ok(done),
            Err(Trouble { error, passing, .. }) => {
                failed += 1;
                if !passing || failed == TRIES {
                    return Err(error);
                }
                say(&format!("{}; trying again", error.message()));
                if clock.sleep(PAUSE * (1 << (failed - 1))) {
                    return Err(crate::error::stopped());
                }
            }
        }
    }
}
