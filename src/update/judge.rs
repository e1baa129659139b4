//! Whether a release is believed, and whether this device may install it at all. In this order: the bytes are believed, then they
//! are read, then it is seen whether they are of the version that was offered, then whether they are for this device.

use std::collections::BTreeMap;

use semver::Version;

use super::aim::{Request, this_version};
use super::belief::{Belief, Believed};
use crate::device::Settings;
use crate::error::{Error, Result};
use crate::event::Phase;
use crate::plan::decide::{Installed, channel_fits};
use crate::release::manifest::this_arch;
use crate::release::signature::Signed;
use crate::release::{Digest, Manifest};
use crate::source::{Candidate, Judge, Offer, Verdict, Wanted};
use crate::trust::{self, Offered, Refusal};

/// The judge of one question.
pub struct Judging<'s> {
    /// Whom the device believes, and what it learns on the way.
    pub belief: Belief,
    settings: &'s Settings,
    wanted: Wanted,
    /// A person asked for an older release in so many words.
    lower: bool,
    /// Whether what is for another device is passed over, and which version this one has.
    device: Option<Option<Version>>,
    /// A repair is asked for, of this manifest: it was believed and weighed when it was installed.
    repair: Option<Digest>,
    /// Who signed what was taken, and whether it is for this device.
    taken: BTreeMap<Digest, (Vec<Signed>, bool)>,
    /// Why releases were refused that would have been taken.
    refused: Vec<Error>,
}

impl<'s> Judging<'s> {
    /// For a device that has this installed and is asked for that. Of a release that a person named, neither channel nor requirements are
    /// asked: the plan has better words.
    pub fn new(belief: Belief, settings: &'s Settings, request: &Request, here: &Installed) -> Self {
        let (wanted, lower) = (request.wanted.clone(), request.allow_downgrade);
        let repair = here.manifest_sha256.filter(|_| request.repair);
        let device = Some(here.version.clone());
        Judging { belief, settings, wanted, lower, device, repair, taken: BTreeMap::new(), refused: Vec::new() }
    }
    /// For whoever only wants to know what the channel offers, be it for this device or not.
    pub fn of_channel(belief: Belief, settings: &'s Settings) -> Self {
        Judging { belief, settings, wanted: Wanted::Best, lower: false, device: None, repair: None, taken: BTreeMap::new(), refused: Vec::new() }
    }

    /// What follows from an offer that was taken and whose bundle is there: only now it is remembered.
    ///
    /// # Errors
    /// Nothing newer than what is installed came of it, and something that could have was refused: whoever asks should know.
    pub fn believed(&mut self, offer: Offer, installed: &Installed) -> Result<Believed> {
        let sha256 = Digest::of(&offer.manifest_bytes);
        let (signed, fits) = self.taken.remove(&sha256).unwrap_or_default();
        let asks_for_any = self.wanted == Wanted::Best && self.device.is_some();
        if let Some(refused) = self.refused.pop().filter(|_| asks_for_any && installed.version.as_ref() == Some(&offer.manifest.version)) {
            return Err(refused);
        }
        if fits && self.repair.is_none() {
            self.belief.accept(&offered(&offer.manifest, &offer.manifest_bytes, &signed, fits, self.lower));
        }
        let takes_back = self.belief.takes_back(installed);
        let doubts = self.belief.doubts(&offer.manifest, takes_back.is_some());
        Ok(Believed { signed, doubts, takes_back, offer })
    }

    /// Whether the bytes may be believed at all. Nothing of them was read yet. What is installed was believed when it came, also if other
    /// keys are trusted now: a repair must find it.
    fn believe(&mut self, candidate: &Candidate, sha256: &Digest) -> Result<Vec<Signed>, Error> {
        let signed = self.belief.signed(candidate.name, candidate.manifest, candidate.signature, candidate.steps);
        signed.or_else(|error| if self.repair == Some(*sha256) { Ok(Vec::new()) } else { Err(error.during(Phase::Checking)) })
    }

    /// Whether it is of this device's product at all: what others sign says nothing here.
    fn is_ours(&self, manifest: &Manifest) -> bool {
        manifest.product.as_ref().is_none_or(|p| *p == self.settings.product)
    }

    /// Whether this device may install it at all; what is lower or quarantined is decided later, with words.
    fn may_install(&self, offered: &Manifest, here: Option<&Version>) -> bool {
        let (settings, requires) = (self.settings, &offered.requires);
        let mine = self.is_ours(offered);
        let arch = requires.arch.is_empty() || requires.arch.iter().any(|a| a == this_arch());
        let updater = requires.updater.as_ref().is_none_or(|r| r.matches(&this_version()));
        let from = match (&requires.from, here) {
            (Some(required), Some(here)) => required.matches(here) || offered.version == *here,
            _ => true,
        };
        mine && arch && updater && from && channel_fits(&settings.channel, offered.channel.as_deref(), Some(&offered.version))
    }
}

impl Judge for Judging<'_> {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict> {
        let sha256 = Digest::of(candidate.manifest);
        let signed = match self.believe(candidate, &sha256) {
            Ok(signed) => signed,
            Err(error) => {
                // what is only looked at may be older than the keys
                if !candidate.look_only {
                    self.refused.push(error.again());
                }
                return Ok(Verdict::Wrong(error));
            }
        };
        let wrong = |what: String| Ok(Verdict::Wrong(Error::verification(format!("{} {what}", candidate.name))));
        let manifest = match Manifest::parse(candidate.manifest) {
            Ok(manifest) => manifest,
            Err(e) => return wrong(format!("has a broken manifest: {e}")),
        };
        if candidate.tag.is_some_and(|tag| *tag != manifest.version) {
            return wrong(format!("has a manifest of another version, {}", manifest.version));
        }
        let not_for_us = Ok(Verdict::NotForUs(manifest.version.clone()));
        let of_channel = candidate.handed || of_channel(&self.settings.channel, &manifest, candidate.flagged);
        let fits = of_channel && self.device.as_ref().is_none_or(|here| self.may_install(&manifest, here.as_ref()));
        let asked_for = match &self.wanted {
            Wanted::Exact(version) => manifest.version == *version,
            // of a file that a person handed over the plan has better words than that it is none for this device
            Wanted::Best => fits || candidate.handed,
        };
        if self.is_ours(&manifest) && (fits || asked_for) && self.repair != Some(sha256) {
            let weighed = self.belief.weigh(&offered(&manifest, candidate.manifest, &signed, fits, self.lower));
            match weighed {
                // of what is only looked at nothing is taken, so nothing is refused either
                _ if candidate.look_only => {}
                Err(refusal) if asked_for => {
                    // what was taken back is nothing to worry about
                    if !matches!(refusal, Refusal::Recalled { .. }) {
                        self.refused.push(refusal.error().during(Phase::Checking));
                    }
                    return Ok(Verdict::Wrong(refusal.error().during(Phase::Checking)));
                }
                Err(_) => return not_for_us,
                Ok(()) => {}
            }
        }
        if !asked_for {
            return not_for_us;
        }
        self.taken.insert(sha256, (signed, fits));
        Ok(Verdict::Take(Box::new(manifest)))
    }
}

fn offered<'m>(manifest: &'m Manifest, bytes: &[u8], signed: &'m [Signed], fits: bool, lower: bool) -> Offered<'m> {
    Offered { manifest, identity: trust::identity(bytes), signed, fits, lower }
}

/// Whether a release is of the channel. Stable releases are for everybody; a prerelease is of the channel that its manifest names,
/// else of the one that its version names (`1.4.0-beta.2`), else (it was only flagged as one) of any.
fn of_channel(mine: &str, manifest: &Manifest, flagged: bool) -> bool {
    let named = || manifest.version.pre.split('.').next().filter(|p| p.bytes().any(|b| b.is_ascii_alphabetic()));
    let unfinished = flagged || !manifest.version.pre.is_empty();
    match manifest.channel.as_deref() {
        Some("stable") | None if !unfinished => true,
        _ if mine == "stable" => false,
        Some("stable") => named().is_none_or(|n| n == mine),
        Some(channel) => channel == mine,
        None => named().is_none_or(|n| n == mine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Layout;
    use crate::source::Taste;
    use crate::update::rig::{CONFIG, FakeClock, FakeOutside};
    use crate::world::World;
    use crate::world::sim::SimDisk;

    fn manifest(version: &str, more: &str) -> Manifest {
        Manifest::parse(text(version, more).as_bytes()).unwrap()
    }

    fn text(version: &str, more: &str) -> String {
        format!(r#"{{"version":"{version}","files":[]{more}}}"#)
    }

    fn taste(channel: &str) -> Taste {
        Taste { product: "pikit".into(), channel: channel.into() }
    }

    #[test]
    fn each_channel_takes_its_own_and_what_is_stable() {
        let beta = r#","channel":"beta""#;
        let stable = r#","channel":"stable""#;
        // version, manifest's channel, flagged as prerelease; for: stable, beta, dev
        let table = [
            ("1.0.0", "", false, [true, true, true]),
            ("1.0.0", stable, false, [true, true, true]),
            ("1.0.0", beta, false, [false, true, false]),
            ("1.0.0", "", true, [false, true, true]),
            ("1.0.0-beta.1", "", false, [false, true, false]),
            ("1.0.0-beta.1", stable, false, [false, true, false]),
            ("1.0.0-rc.1", beta, true, [false, true, false]),
            ("1.0.0-1", "", false, [false, true, true]),
        ];
        for (version, more, flagged, want) in table {
            let m = manifest(version, more);
            let got = ["stable", "beta", "dev"].map(|c| of_channel(c, &m, flagged));
            assert_eq!(got, want, "{version} {more} {flagged}");
            assert!(["stable", "beta", "dev"].iter().zip(got).all(|(c, mine)| !mine || taste(c).may_be_mine(&m.version, flagged)));
        }
    }

    /// A board of the tests that believes everybody, or nobody.
    fn belief(settings: &Settings) -> Belief {
        let disk = SimDisk::new();
        let outside = FakeOutside { disk: &disk, ran: Default::default(), broken: Default::default() };
        Belief::load(World { disk: &disk, outside: &outside, clock: &FakeClock::default() }, settings).unwrap()
    }

    fn judging<'s>(settings: &'s Settings, wanted: &Wanted, here: Option<&Version>) -> Judging<'s> {
        let request = Request { wanted: wanted.clone(), ..Request::default() };
        Judging::new(belief(settings), settings, &request, &Installed { version: here.cloned(), ..Installed::default() })
    }

    #[test]
    fn a_candidate_is_taken_passed_over_or_wrong() {
        let settings = Settings::parse(CONFIG, &Layout::new("/")).unwrap();
        let say = |judge: &mut Judging, bytes: &str, tag: &str| {
            let tag = Version::parse(tag).unwrap();
            let shown = Candidate {
                name: "it",
                manifest: bytes.as_bytes(),
                signature: None,
                tag: Some(&tag),
                flagged: false,
                handed: false,
                look_only: false,
                steps: &[],
            };
            match judge.judge(&shown).unwrap() {
                Verdict::Take(manifest) => format!("take {}", manifest.version),
                Verdict::NotForUs(version) => format!("not for us {version}"),
                Verdict::Wrong(error) => error.message(),
            }
        };
        let exact = Wanted::Exact("2.0.0".parse().unwrap());
        let here = Version::new(1, 0, 0);
        let arch = r#","requires":{"arch":["z80"]}"#;
        let table = [
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", ""), "take 2.0.0"),
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", arch), "not for us 2.0.0"),
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","product":"other""#), "not for us 2.0.0"),
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","requires":{"updater":">=99"}"#), "not for us 2.0.0"),
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","requires":{"from":">=1.5"}"#), "not for us 2.0.0"),
            (judging(&settings, &Wanted::Best, None), text("2.0.0", r#","requires":{"from":">=1.5"}"#), "take 2.0.0"),
            (judging(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","channel":"beta""#), "not for us 2.0.0"),
            (judging(&settings, &exact, Some(&here)), text("2.0.0", arch), "take 2.0.0"),
            (Judging::of_channel(belief(&settings), &settings), text("2.0.0", arch), "take 2.0.0"),
            (Judging::of_channel(belief(&settings), &settings), text("2.0.0", r#","channel":"beta""#), "not for us 2.0.0"),
            (judging(&settings, &Wanted::Best, None), text("3.0.0", ""), "it has a manifest of another version, 3.0.0"),
        ];
        for (mut judge, bytes, want) in table {
            assert_eq!(say(&mut judge, &bytes, "2.0.0"), want, "{bytes}");
        }
        let mut judge = judging(&settings, &Wanted::Exact("3.0.0".parse().unwrap()), None);
        assert_eq!(say(&mut judge, &text("2.0.0", ""), "2.0.0"), "not for us 2.0.0");
        assert!(say(&mut judge, "{", "2.0.0").starts_with("it has a broken manifest"));
        let mut strict = settings.clone();
        strict.trust.required = true;
        // what is not believed is not read
        assert!(say(&mut judging(&strict, &Wanted::Best, None), "{", "2.0.0").contains("cannot be believed"));
    }
}
