//! What was learned from manifests that the right keys signed: the highest version, what was taken back, the latest time. With it an old
//! release cannot be passed off as the newest, and a release cannot change after it was seen.

use chrono::{DateTime, Utc};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Expiry, Time};
use crate::error::Error;
use crate::release::signature::Signed;
use crate::release::{Digest, KeyId, Manifest, PublicKey};

/// What was learned. Fields are only ever added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The highest release that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    /// What the maintainer took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Recalled>,
    /// When the latest of all manifests that were verified was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<DateTime<Utc>>,
    /// The latest time known to have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
}

/// The highest release that was verified, on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Its version.
    pub version: Version,
    /// What it is, but for what may change when it is signed again; none: only the version is known.
    pub identity: Option<Digest>,
    /// Until when it may be offered.
    pub expires: Option<DateTime<Utc>>,
    /// The keys that signed it. Once none of them is trusted any more, it proves nothing: whoever stole a key could otherwise shut all
    /// releases out with one of version 999.
    pub signers: Vec<KeyId>,
    /// The channel the device followed.
    pub channel: String,
}

/// What the maintainer took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The highest version that was still good.
    pub max_version: Version,
    /// When that was said: what is released later is good again.
    pub released: DateTime<Utc>,
    /// The keys that signed it: it counts as long as one of them is trusted.
    #[serde(default)]
    pub signers: Vec<KeyId>,
}

/// A manifest whose signatures hold, and what is known of it beside what it says.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'m> {
    /// The manifest.
    pub manifest: &'m Manifest,
    /// What it is, but for what may change when it is signed again: [`super::identity()`] of its bytes.
    pub identity: Digest,
    /// Who signed it.
    pub signed: &'m [Signed],
    /// Whether it is for this device: only then it may take others back.
    pub fits: bool,
    /// A person asked for an older release in so many words.
    pub lower: bool,
}

/// What is known of this device.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'d> {
    /// The channel it follows.
    pub channel: &'d str,
    /// The keys it trusts.
    pub keys: &'d [PublicKey],
    /// What time it is, as far as that can be told.
    pub time: Time,
}

/// Why a manifest that the right keys signed is refused all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields say what they are
pub enum Refusal {
    /// Freeze: somebody may keep back what is newer.
    Expired { version: Version, expires: DateTime<Utc>, now: DateTime<Utc> },
    /// Rollback: an old release is offered as the newest.
    Older { version: Version, seen: Version },
    /// Replay: an older signature of the same release.
    Replayed { version: Version, expires: Option<DateTime<Utc>>, seen: DateTime<Utc> },
    /// The same version, another release.
    Changed { version: Version },
    /// Taken back by its maintainer.
    Recalled { version: Version, max_version: Version },
}

impl Learned {
    /// Whether the floor counts: for this channel, and as long as one of its signers is trusted.
    pub fn floor_for(&self, channel: &str, keys: &[PublicKey]) -> Option<&Floor> {
        self.floor.as_ref().filter(|f| f.channel == channel && trusted(&f.signers, keys))
    }

    /// Forgets what only keys told that are trusted no more.
    pub fn retire(&mut self, keys: &[PublicKey]) {
        let floor = self.floor.take_if(|f| !trusted(&f.signers, keys));
        let recalled = self.recalled.take_if(|r| !trusted(&r.signers, keys));
        if floor.is_some() || recalled.is_some() {
            self.forget_dates();
        }
    }

    /// Forgets dates: who told them is not kept, and it may have been a key that is gone.
    pub fn forget_dates(&mut self) {
        (self.newest, self.time) = (None, None);
    }

    /// Weighs a manifest whose signatures hold. A recall is learned here, before the floor is looked at; everything else by
    /// [`Learned::accept`].
    ///
    /// # Errors
    /// Why it is refused.
    pub fn weigh(&mut self, offered: &Offered, device: &Standing) -> Result<(), Refusal> {
        let manifest = offered.manifest;
        let version = manifest.version.clone();
        if let (Expiry::Expired(now), Some(expires)) = (device.time.expiry(manifest.expires), manifest.expires) {
            return Err(Refusal::Expired { version, expires, now });
        }
        self.heed_recall(offered, device);
        if let Some(recalled) = self.recalled.as_ref().filter(|r| r.concerns(&version, manifest.released)) {
            return Err(Refusal::Recalled { version, max_version: recalled.max_version.clone() });
        }
        let Some(floor) = self.floor_for(device.channel, device.keys).filter(|_| !offered.lower) else { return Ok(()) };
        if version < floor.version {
            return Err(Refusal::Older { version, seen: floor.version.clone() });
        }
        if version == floor.version {
            if floor.identity.is_some_and(|known| known != offered.identity) {
                return Err(Refusal::Changed { version });
            }
            if let Some(seen) = floor.expires.filter(|seen| manifest.expires.is_some_and(|e| e < *seen)) {
                return Err(Refusal::Replayed { version, expires: manifest.expires, seen });
            }
        }
        Ok(())
    }

    /// A recall counts if it is for this device, certainly unexpired, not dated in the future, and was said after everything that was
    /// seen: a replayed one does nothing. One that takes itself back says nothing.
    fn heed_recall(&mut self, offered: &Offered, device: &Standing) {
        let Some((max_version, released)) = self.heard(offered, device) else { return };
        self.newest = Some(released);
        let version = &offered.manifest.version;
        if let Some(floor) = self.floor.as_mut().filter(|f| f.version >= *version) {
            // down to the release that says so; said anew, its other date is no other release
            (floor.version, floor.identity, floor.expires) = (version.clone(), None, None);
        }
        let signers = offered.signed.iter().map(|s| s.key).collect();
        self.recalled = Some(Recalled { max_version, released, signers });
    }

    fn heard(&self, offered: &Offered, device: &Standing) -> Option<(Version, DateTime<Utc>)> {
        let manifest = offered.manifest;
        let (recall, released) = (manifest.recall.as_ref()?, manifest.released?);
        let timely = device.time.expiry(manifest.expires) == Expiry::Valid && device.time.may_be(released);
        let news = self.newest.is_none_or(|newest| released > newest);
        (offered.fits && timely && news && manifest.version <= recall.max_version).then(|| (recall.max_version.clone(), released))
    }

    /// Remembers a release that this device may install, and that is there to be installed.
    pub fn accept(&mut self, offered: &Offered, device: &Standing) {
        let manifest = offered.manifest;
        // a recall that was not heeded yet, because the clock is not set, must be news when it is
        let heeded = manifest.recall.is_none() || self.recalled.as_ref().is_some_and(|r| Some(r.released) == manifest.released);
        if heeded && manifest.released.is_some_and(|released| device.time.may_be(released)) {
            self.newest = self.newest.max(manifest.released);
        }
        if self.floor_for(device.channel, device.keys).is_some_and(|f| f.version > manifest.version) {
            return;
        }
        self.floor = Some(Floor {
            version: manifest.version.clone(),
            identity: Some(offered.identity),
            expires: manifest.expires,
            signers: offered.signed.iter().map(|s| s.key).collect(),
            channel: device.channel.to_owned(),
        });
    }

    /// The highest version that a device with this one installed is to return to, if that was taken back.
    pub fn takes_back(&self, installed: &Version, released: Option<DateTime<Utc>>) -> Option<&Version> {
        self.recalled.as_ref().filter(|r| r.concerns(installed, released)).map(|r| &r.max_version)
    }
}

impl Recalled {
    fn concerns(&self, version: &Version, released: Option<DateTime<Utc>>) -> bool {
        *version > self.max_version && released.is_none_or(|at| at <= self.released)
    }
}

fn trusted(signers: &[KeyId], keys: &[PublicKey]) -> bool {
    keys.iter().any(|key| signers.contains(&key.id()))
}

impl Refusal {
    /// In words, with what to do.
    pub fn error(&self) -> Error {
        let day = |at: &DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
        match self {
            Refusal::Expired { version, expires, now } => Error::verification(format!(
                "{version} expired on {}, and it is {}: something newer may be kept from this device",
                day(expires),
                day(now)
            ))
            .hint("what is installed stays as it is. If the date above is wrong: `doctor` tells about the clock; otherwise ask the maintainer to sign the release anew"),
            Refusal::Older { version, seen } => Error::verification(format!(
                "the newest release is said to be {version}, but {seen} was offered before: an old release is passed off as new, or {seen} was withdrawn without a recall"
            ))
            .hint("what is installed stays as it is. `apply --allow-downgrade` installs the older one if you know better"),
            Refusal::Replayed { version, expires, seen } => Error::verification(format!(
                "this description of {version} expires {}, one that expires {} was seen before: an old signature is replayed",
                expires.as_ref().map_or("never".into(), day),
                day(seen)
            ))
            .hint("what is installed stays as it is; try again later, or from another network"),
            Refusal::Changed { version } => {
                Error::verification(format!("{version} is not the release that was offered under this version before"))
                    .hint("a published version must not change: ask the maintainer for a new version")
            }
            Refusal::Recalled { version, max_version } => {
                Error::verification(format!("{version} was taken back by its maintainer, who named {max_version} as the newest good release"))
                    .hint("wait for a newer release; `apply` returns to the newest good one by itself")
            }
        }
    }
}

#[cfg(test)]
mod tests;
