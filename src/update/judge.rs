//! Whether a release is believed, and whether this device may install it at all. In this order: the bytes are believed, then they
//! are read, then it is seen whether they are of the version that was offered, then whether they are for this device.

use semver::Version;

use super::aim::this_version;
use crate::device::Settings;
use crate::error::{Error, Result};
use crate::event::Phase;
use crate::plan::decide::channel_fits;
use crate::release::Manifest;
use crate::release::manifest::this_arch;
use crate::source::{Candidate, Judge, Verdict, Wanted};

/// The judge of one question.
pub struct Judging<'s> {
    settings: &'s Settings,
    wanted: Wanted,
    /// Whether what is for another device is passed over, and which version this one has.
    device: Option<Option<Version>>,
}

impl<'s> Judging<'s> {
    /// For a device that has this version and wants that. Of a release that a person named, neither channel nor requirements are
    /// asked: the plan has better words.
    pub fn new(settings: &'s Settings, wanted: &Wanted, here: Option<&Version>) -> Self {
        Judging { settings, wanted: wanted.clone(), device: Some(here.cloned()) }
    }
    /// For whoever only wants to know what the channel offers, be it for this device or not.
    pub fn of_channel(settings: &'s Settings) -> Self {
        Judging { settings, wanted: Wanted::Best, device: None }
    }

    /// Whether the bytes may be believed at all. Nothing of them was read yet.
    fn believe(&self, candidate: &Candidate) -> Result<(), Error> {
        if !self.settings.trust.required {
            return Ok(());
        }
        Err(Error::verification(format!("{} is not signed by a trusted key, and trust.required is true", candidate.name))
            .hint("this version of the updater cannot verify signatures yet; on a network you trust, set trust.required = false")
            .during(Phase::Checking))
    }

    /// Whether this device may install it at all; what is lower or quarantined is decided later, with words.
    fn may_install(&self, offered: &Manifest, here: Option<&Version>) -> bool {
        let (settings, requires) = (self.settings, &offered.requires);
        let mine = offered.product.as_ref().is_none_or(|p| *p == settings.product);
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
        if let Err(error) = self.believe(candidate) {
            return Ok(Verdict::Wrong(error));
        }
        let wrong = |what: String| Ok(Verdict::Wrong(Error::verification(format!("{} {what}", candidate.name))));
        let manifest = match Manifest::parse(candidate.manifest) {
            Ok(manifest) => manifest,
            Err(e) => return wrong(format!("has a broken manifest: {e}")),
        };
        if candidate.tag.is_some_and(|tag| *tag != manifest.version) {
            return wrong(format!("has a manifest of another version, {}", manifest.version));
        }
        let ours = match (&self.wanted, &self.device) {
            (Wanted::Exact(version), _) => manifest.version == *version,
            (Wanted::Best, _) if !candidate.handed && !of_channel(&self.settings.channel, &manifest, candidate.flagged) => false,
            (Wanted::Best, Some(here)) => self.may_install(&manifest, here.as_ref()),
            (Wanted::Best, None) => true,
        };
        Ok(if ours { Verdict::Take(Box::new(manifest)) } else { Verdict::NotForUs(manifest.version) })
    }
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
    use crate::update::rig::CONFIG;

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
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", ""), "take 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", arch), "not for us 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","product":"other""#), "not for us 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","requires":{"updater":">=99"}"#), "not for us 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","requires":{"from":">=1.5"}"#), "not for us 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, None), text("2.0.0", r#","requires":{"from":">=1.5"}"#), "take 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, Some(&here)), text("2.0.0", r#","channel":"beta""#), "not for us 2.0.0"),
            (Judging::new(&settings, &exact, Some(&here)), text("2.0.0", arch), "take 2.0.0"),
            (Judging::of_channel(&settings), text("2.0.0", arch), "take 2.0.0"),
            (Judging::of_channel(&settings), text("2.0.0", r#","channel":"beta""#), "not for us 2.0.0"),
            (Judging::new(&settings, &Wanted::Best, None), text("3.0.0", ""), "it has a manifest of another version, 3.0.0"),
        ];
        for (mut judge, bytes, want) in table {
            assert_eq!(say(&mut judge, &bytes, "2.0.0"), want, "{bytes}");
        }
        let mut judge = Judging::new(&settings, &Wanted::Exact("3.0.0".parse().unwrap()), None);
        assert_eq!(say(&mut judge, &text("2.0.0", ""), "2.0.0"), "not for us 2.0.0");
        assert!(say(&mut judge, "{", "2.0.0").starts_with("it has a broken manifest"));
        let mut strict = settings.clone();
        strict.trust.required = true;
        // what is not believed is not read
        assert!(say(&mut Judging::new(&strict, &Wanted::Best, None), "{", "2.0.0").contains("not signed by a trusted key"));
    }
}
