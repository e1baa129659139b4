//! Why a plan is blocked: the measured values, the words a person reads, and what to do about it.

use std::fmt;

use semver::{Version, VersionReq};

use crate::error::{Code, Error};
use crate::quantity::bytes;
use crate::release::{Digest, ReleasePath};

/// Why a plan is blocked, with the measured values: what is here, what was offered, what was needed.
#[allow(missing_docs)] // the fields say what they are
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The release is of something else.
    Product { wanted: String, offered: String },
    /// Not of the device's channel.
    Channel { wanted: String, offered: String },
    /// Not for this architecture.
    Arch { here: &'static str, offered: Vec<String> },
    /// This program is too old or too new for it.
    Updater { here: Version, required: VersionReq },
    /// It cannot replace the installed version.
    From { here: Version, required: VersionReq },
    /// Lower than what is installed.
    Downgrade { installed: Version, offered: Version },
    /// The same version with other contents.
    Changed { version: Version },
    /// It failed here before.
    Quarantined { version: Option<Version>, why: String },
    /// Not the manifest that was consented to.
    OtherManifest { wanted: Digest, offered: Option<Digest> },
    /// No managed path takes these files.
    Unmanaged { paths: Vec<ReleasePath> },
    /// Something that is no plain file lies where a file belongs.
    Obstacle { path: ReleasePath, what: String },
    /// The release wants a unit restarted or reloaded that the config does not allow.
    Unit { verb: &'static str, unit: String },
    /// The release wants to run a command.
    Run { command: String },
    /// The release wants to run something that is no file of it.
    Stranger { command: String },
    /// Not enough room.
    Space { at: String, needed: u64, free: u64 },
    /// A file system is read-only.
    ReadOnly { at: String },
}

impl Reason {
    /// The exit code that goes with it.
    pub fn code(&self) -> Code {
        match self {
            Reason::Downgrade { .. } | Reason::Changed { .. } | Reason::Quarantined { .. } | Reason::OtherManifest { .. } => Code::Verification,
            _ => Code::Refused,
        }
    }
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Reason::Downgrade { .. } => "`rollback` returns to the version before; `--allow-downgrade` installs an older release".into(),
            Reason::Quarantined { .. } => "wait for a newer release, or try this one again with --force".into(),
            Reason::Changed { .. } => "ask the maintainer: a released version must not change; --force installs it all the same".into(),
            Reason::Unmanaged { .. } => "add a [[managed]] entry to the config, or ask the maintainer what the files are for".into(),
            Reason::Obstacle { .. } => "move it away and run it again".into(),
            Reason::Unit { verb, unit } => format!("add {unit:?} to services.{verb} in the config if that is right"),
            Reason::Run { .. } => "commands of a release run only when it is signed and services.allow_commands = true".into(),
            Reason::Stranger { .. } => "the release is broken: tell its maintainer".into(),
            Reason::Space { .. } => "free some space there, or lower backup.min_free in the config".into(),
            Reason::ReadOnly { .. } => "a card that fails goes read-only by itself: see `dmesg | tail`; `pikit-updater doctor` tells more".into(),
            Reason::Product { .. } | Reason::Channel { .. } => "check [source], product and channel in the config".into(),
            Reason::Updater { .. } => "update pikit-updater first".into(),
            Reason::From { required, .. } => format!("install a version that matches {required} first: `pikit-updater apply VERSION`"),
            Reason::Arch { .. } => "ask the maintainer for a release for this board".into(),
            Reason::OtherManifest { .. } => "look at the new plan and consent again".into(),
        }
    }
    /// All reasons as one error; the first gives the exit code and the hint.
    pub fn error(reasons: &[Reason]) -> Error {
        let first = reasons.first().expect("a blocked plan has a reason");
        let words: Vec<String> = reasons.iter().map(Reason::to_string).collect();
        Error::new(first.code(), words.join("; ")).hint(first.hint())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Product { wanted, offered } => write!(f, "the release is of the product {offered:?}, this device is a {wanted:?}"),
            Reason::Channel { wanted, offered } => write!(f, "the release is of the channel {offered:?}, this device follows {wanted:?}"),
            Reason::Arch { here, offered } => write!(f, "the release is for {}, this board is {here}", offered.join(" or ")),
            Reason::Updater { here, required } => write!(f, "the release needs pikit-updater {required}, this is {here}"),
            Reason::From { here, required } => write!(f, "the release can replace {required} only, {here} is installed"),
            Reason::Downgrade { installed, offered } => write!(f, "{offered} is older than {installed}, which is installed"),
            Reason::Changed { version } => write!(f, "{version} is installed, and is now offered with other contents"),
            Reason::Quarantined { version, why } => {
                let version = version.as_ref().map_or_else(String::new, |v| format!("{v} "));
                write!(f, "{version}failed on this board before ({why}) and is not tried again")
            }
            Reason::OtherManifest { wanted, offered } => {
                write!(
                    f,
                    "the release changed since it was consented to: manifest {} was agreed, {} is offered",
                    short(wanted),
                    offered.as_ref().map_or("none".into(), short)
                )
            }
            Reason::Unmanaged { paths } => {
                let shown: Vec<&str> = paths.iter().take(3).map(ReleasePath::as_str).collect();
                let more = if paths.len() > 3 { format!(" and {} more", paths.len() - 3) } else { String::new() };
                write!(f, "no managed path takes {}{more}", shown.join(", "))
            }
            Reason::Obstacle { path, what } => write!(f, "{what}, where the release has the file {path}"),
            Reason::Unit { verb, unit } => write!(f, "the release wants to {verb} {unit}, which this device does not allow"),
            Reason::Run { command } => write!(f, "the release wants to run {command:?}, which this device does not allow"),
            Reason::Stranger { command } => write!(f, "the release wants to run {command:?}, which does not begin with one of its files"),
            Reason::Space { at, needed, free } => write!(f, "not enough space on {at}: needed {}, free {}", bytes(*needed), bytes(*free)),
            Reason::ReadOnly { at } => write!(f, "{at} is on a file system that is mounted read-only"),
        }
    }
}

fn short(digest: &Digest) -> String {
    digest.to_string()[..12].to_owned()
}
