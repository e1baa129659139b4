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
        self.floor.as_ref().filter(|f| f.channel == channel && trusted(f, keys))
    }

    /// Forgets what only keys told that are trusted no more.
    pub fn retire(&mut self, keys: &[PublicKey]) {
        if self.floor.as_ref().is_some_and(|f| !trusted(f, keys)) {
            *self = Learned::default();
        }
    }

    /// Weighs a manifest whose signatures hold. A recall is learned here, before the floor is looked at; everything else by
    /// [`Learned::accept`]. `lower`: a person asked for an older release in so many words.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn weigh(&mut self, manifest: &Manifest, channel: &str, keys: &[PublicKey], time: &Time, lower: bool) -> Result<(), Refusal> {
        let version = manifest.version.clone();
        if let (Expiry::Expired(now), Some(expires)) = (time.expiry(manifest.expires), manifest.expires) {
            return Err(Refusal::Expired { version, expires, now });
        }
        self.heed_recall(manifest, time);
        if let Some(recalled) = self.recalled.as_ref().filter(|r| r.concerns(&version, manifest.released)) {
            return Err(Refusal::Recalled { version, max_version: recalled.max_version.clone() });
        }
        let Some(floor) = self.floor_for(channel, keys).filter(|_| !lower) else { return Ok(()) };
        if version < floor.version {
            return Err(Refusal::Older { version, seen: floor.version.clone() });
        }
        if version == floor.version {
            if floor.identity.is_some_and(|known| known != manifest.identity()) {
                return Err(Refusal::Changed { version });
            }
            if let Some(seen) = floor.expires.filter(|seen| manifest.expires.is_some_and(|e| e < *seen)) {
                return Err(Refusal::Replayed { version, expires: manifest.expires, seen });
            }
        }
        Ok(())
    }

    /// A recall counts if it is certainly unexpired and was said after everything that was seen: a replayed one does nothing.
    fn heed_recall(&mut self, manifest: &Manifest, time: &Time) {
        let (Some(recall), Some(released)) = (&manifest.recall, manifest.released) else { return };
        if time.expiry(manifest.expires) != Expiry::Valid || self.newest.is_some_and(|newest| released <= newest) {
            return;
        }
        self.newest = Some(released);
        if let Some(floor) = self.floor.as_mut().filter(|f| f.version > recall.max_version) {
            (floor.version, floor.identity, floor.expires) = (recall.max_version.clone(), None, None);
        }
        // the same version, said anew: its other date is no other release
        if let Some(floor) = self.floor.as_mut().filter(|f| f.version == manifest.version) {
            (floor.identity, floor.expires) = (None, None);
        }
        self.recalled = Some(Recalled { max_version: recall.max_version.clone(), released });
    }

    /// Remembers a release that this device may install.
    pub fn accept(&mut self, manifest: &Manifest, signed: &[Signed], channel: &str, keys: &[PublicKey]) {
        self.newest = self.newest.max(manifest.released);
        if self.floor_for(channel, keys).is_some_and(|f| f.version > manifest.version) {
            return;
        }
        self.floor = Some(Floor {
            version: manifest.version.clone(),
            identity: Some(manifest.identity()),
            expires: manifest.expires,
            signers: signed.iter().map(|s| s.key).collect(),
            channel: channel.to_owned(),
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

fn trusted(floor: &Floor, keys: &[PublicKey]) -> bool {
    keys.iter().any(|key| floor.signers.contains(&key.id()))
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
