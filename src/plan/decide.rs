//! The decision: up to date, blocked with every reason, or a plan. A pure function of what was measured.

use std::collections::BTreeMap;
use std::fmt;

use semver::{Version, VersionReq};

use super::{Action, Change, Facts, Plan, Planned, Target, Want};
use crate::device::{Managed, managed};
use crate::error::{Code, Error};
use crate::quantity::bytes;
use crate::release::manifest::this_arch;
use crate::release::{Digest, ReleasePath, Step};

/// Records of a transaction (journal, plan, state, history, log) beyond twice the plan's own size, bytes.
const RECORDS: u64 = 512 << 10;

/// What the owner of the device decided, and what was asked for.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// What the transaction is for.
    pub action: Action,
    /// The managed paths.
    pub managed: &'a [Managed],
    /// The device's product.
    pub product: &'a str,
    /// The device's channel.
    pub channel: &'a str,
    /// Units that may be restarted.
    pub restart: &'a [String],
    /// Units that may be reloaded.
    pub reload: &'a [String],
    /// Bytes that must stay free on every file system.
    pub min_free: u64,
    /// This program's version.
    pub updater: Version,
    /// A lower version is asked for in so many words.
    pub allow_downgrade: bool,
    /// A person says: quarantined, drifted or equal, do it all the same.
    pub force: bool,
    /// The only manifest that may be installed.
    pub require_manifest: Option<Digest>,
}

/// What the live tree was last brought to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Installed {
    /// Its version, from the manifest or else the version file.
    pub version: Option<Version>,
    /// Digest of its manifest's bytes.
    pub manifest_sha256: Option<Digest>,
    /// Digest of its file list.
    pub content: Option<Digest>,
    /// Its files; empty without a manifest.
    pub files: BTreeMap<ReleasePath, Want>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing to do.
    UpToDate {
        /// Listed files that differ from the manifest, edited config files aside.
        drifted: Vec<ReleasePath>,
        /// Worth saying about it.
        note: Option<String>,
    },
    /// It must not be done: every reason.
    Blocked(Vec<Reason>),
    /// This is what to do.
    Go(Plan),
}

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
            Reason::Space { at, needed, free } => write!(f, "not enough space on {at}: needed {}, free {}", bytes(*needed), bytes(*free)),
            Reason::ReadOnly { at } => write!(f, "{at} is on a file system that is mounted read-only"),
        }
    }
}

fn short(digest: &Digest) -> String {
    digest.to_string()[..12].to_owned()
}

/// Decides.
pub fn decide(policy: &Policy, installed: &Installed, target: &Target, facts: &Facts) -> Decision {
    let apply = policy.action == Action::Apply;
    if apply && !policy.force {
        match (&installed.version, &target.version) {
            // an offer is never a reason to go back, and not worth an error: the device is ahead of what is offered
            (Some(here), Some(offered)) if offered < here && !policy.allow_downgrade => {
                return Decision::Blocked(vec![Reason::Downgrade { installed: here.clone(), offered: offered.clone() }]);
            }
            (Some(here), Some(offered)) if offered == here && installed.manifest_sha256.is_some() => {
                if let Some(blocked) = identity(policy, target) {
                    return Decision::Blocked(vec![blocked]);
                }
                if installed.content != target.content {
                    return Decision::Blocked(vec![Reason::Changed { version: offered.clone() }]);
                }
                if installed.manifest_sha256 == target.manifest_sha256 {
                    return up_to_date(installed, facts);
                }
            }
            _ => {}
        }
    }

    let mut reasons = Vec::new();
    if apply {
        reasons.extend(identity(policy, target));
        reasons.extend(requirements(policy, installed, target));
        if let (Some(why), false) = (&facts.quarantined, policy.force) {
            reasons.push(Reason::Quarantined { version: target.version.clone(), why: why.clone() });
        }
    }
    let (restart, reload) = services(policy, target, &mut reasons);
    let unmanaged: Vec<ReleasePath> = target.files.keys().filter(|p| managed::place(policy.managed, p).is_none()).cloned().collect();
    if !unmanaged.is_empty() {
        reasons.push(Reason::Unmanaged { paths: unmanaged });
    }
    let files = files(policy, installed, target, facts);
    for file in files.iter().filter(|f| f.want.is_some()) {
        if let Some(what) = facts.obstacles.get(&file.path) {
            reasons.push(Reason::Obstacle { path: file.path.clone(), what: what.clone() });
        }
    }

    let missing = files.iter().filter(|f| f.is_written()).filter_map(|f| f.want.as_ref()).any(|w| !facts.at_hand.contains(&w.sha256));
    let mut plan = Plan {
        action: policy.action,
        from: installed.version.clone(),
        to: target.version.clone(),
        manifest_sha256: target.manifest_sha256,
        content: target.content,
        files,
        fetch_bytes: if missing { facts.bundle_size } else { Some(0) },
        restart,
        reload,
        backup: false,
    };
    let nothing_before = facts.files.is_empty() && installed.files.is_empty();
    plan.backup = policy.action != Action::Repair && !nothing_before && (plan.switches() || plan.from != plan.to);
    if !plan.switches() {
        plan.restart.clear();
        plan.reload.clear();
        // a new signature on the same release, or an adopted tree: records change, files do not
        let same_record = installed.manifest_sha256 == target.manifest_sha256 && installed.version == target.version;
        if same_record && reasons.is_empty() {
            return up_to_date(installed, facts);
        }
    }
    reasons.extend(space(policy, &plan, facts));
    if reasons.is_empty() { Decision::Go(plan) } else { Decision::Blocked(reasons) }
}

fn up_to_date(installed: &Installed, facts: &Facts) -> Decision {
    let has_modes = facts.units.iter().all(|u| u.has_modes);
    let is_right = |want: &Want, path: &ReleasePath| {
        facts.files.get(path).is_some_and(|f| f.sha256 == want.sha256 && (!has_modes || want.mode.is_none_or(|m| m == f.mode)))
    };
    let drifted: Vec<ReleasePath> = installed.files.iter().filter(|(p, w)| !w.config && !is_right(w, p)).map(|(p, _)| p.clone()).collect();
    let note = (!drifted.is_empty()).then(|| match drifted.len() {
        1 => "1 file differs from it or is missing; `pikit-updater verify --repair` puts it back".to_owned(),
        n => format!("{n} files differ from it or are missing; `pikit-updater verify --repair` puts them back"),
    });
    Decision::UpToDate { drifted, note }
}

fn identity(policy: &Policy, target: &Target) -> Option<Reason> {
    let wanted = policy.require_manifest?;
    (target.manifest_sha256 != Some(wanted)).then_some(Reason::OtherManifest { wanted, offered: target.manifest_sha256 })
}

fn requirements(policy: &Policy, installed: &Installed, target: &Target) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(offered) = target.product.as_ref().filter(|p| *p != policy.product) {
        reasons.push(Reason::Product { wanted: policy.product.into(), offered: offered.clone() });
    }
    if !channel_fits(policy.channel, target.channel.as_deref(), target.version.as_ref()) {
        let offered = target.channel.clone().unwrap_or_else(|| "prerelease".into());
        reasons.push(Reason::Channel { wanted: policy.channel.into(), offered });
    }
    let requires = &target.requires;
    if !requires.arch.is_empty() && !requires.arch.iter().any(|a| a == this_arch()) {
        reasons.push(Reason::Arch { here: this_arch(), offered: requires.arch.clone() });
    }
    if let Some(required) = requires.updater.as_ref().filter(|r| !r.matches(&policy.updater)) {
        reasons.push(Reason::Updater { here: policy.updater.clone(), required: required.clone() });
    }
    if let (Some(required), Some(here)) = (&requires.from, &installed.version)
        && !required.matches(here)
        && target.version.as_ref() != Some(here)
    {
        reasons.push(Reason::From { here: here.clone(), required: required.clone() });
    }
    reasons
}

/// `stable` takes no prereleases; any other channel takes its own manifests and stable ones.
pub fn channel_fits(device: &str, offered: Option<&str>, version: Option<&Version>) -> bool {
    let prerelease = version.is_some_and(|v| !v.pre.is_empty());
    match (device, offered) {
        ("stable", None | Some("stable")) => !prerelease,
        ("stable", Some(_)) => false,
        (_, None | Some("stable")) => true,
        (device, Some(offered)) => device == offered,
    }
}

/// Units to restart and reload; what the device does not allow becomes a reason.
fn services(policy: &Policy, target: &Target, reasons: &mut Vec<Reason>) -> (Vec<String>, Vec<String>) {
    let (mut restart, mut reload) = (Vec::new(), Vec::new());
    for step in &target.steps {
        let (verb, unit, allowed, list) = match step {
            Step::Restart(unit) => ("restart", unit, policy.restart, &mut restart),
            Step::Reload(unit) => ("reload", unit, policy.reload, &mut reload),
            Step::Run { argv, .. } => {
                reasons.push(Reason::Run { command: argv.join(" ") });
                continue;
            }
        };
        if !allowed.contains(unit) {
            reasons.push(Reason::Unit { verb, unit: unit.clone() });
        } else if !list.contains(unit) {
            list.push(unit.clone());
        }
    }
    for (all, list) in [(policy.restart, &mut restart), (policy.reload, &mut reload)] {
        for unit in all {
            if !list.contains(unit) {
                list.push(unit.clone());
            }
        }
    }
    (restart, reload)
}

/// Every file of the old and the new side, with what happens to it.
fn files(policy: &Policy, installed: &Installed, target: &Target, facts: &Facts) -> Vec<Planned> {
    let mut all: BTreeMap<ReleasePath, Planned> = BTreeMap::new();
    let placed = |path: &ReleasePath| managed::place(policy.managed, path).map(|(unit, inside)| (unit, inside.to_owned()));
    for (path, want) in &target.files {
        let Some((unit, inside)) = placed(path) else { continue };
        let found = facts.files.get(path).copied();
        let before = installed.files.get(path);
        let drifted =
            before.is_some_and(|b| found.is_none_or(|f| f.sha256 != b.sha256)) || (before.is_none() && found.is_some_and(|f| f.sha256 != want.sha256));
        let unit_facts = &facts.units[unit];
        let owner = want.owner.unwrap_or(unit_facts.owner);
        let right = |f: &super::Found| f.sha256 == want.sha256 && (!unit_facts.has_modes || (want.mode.is_none_or(|m| m == f.mode) && owner == (f.uid, f.gid)));
        // a file that no release brought and that is no release's content belongs to a person as much as an edited one
        let edited = want.config && found.is_some_and(|f| before.map(|b| b.sha256) != Some(f.sha256) && f.sha256 != want.sha256);
        let mut change = match &found {
            None => Change::Add,
            Some(f) if right(f) => Change::Keep,
            Some(_) if edited => Change::KeepEdited,
            Some(_) => Change::Replace,
        };
        // a repair gives back what the manifest says; a config file that a person removed is theirs to remove
        if policy.action == Action::Repair && want.config && found.is_none() {
            change = Change::Gone;
        }
        if edited && policy.action == Action::Apply && before.is_none_or(|b| b.sha256 != want.sha256) {
            lay_beside(&mut all, path, unit, &inside, want, facts);
        }
        all.insert(path.clone(), Planned { path: path.clone(), unit, inside, change, drifted, want: Some(want.clone()), found });
    }
    for (path, before) in &installed.files {
        if target.files.contains_key(path) {
            continue;
        }
        let Some((unit, inside)) = placed(path) else { continue };
        let found = facts.files.get(path).copied();
        let drifted = found.is_none_or(|f| f.sha256 != before.sha256);
        let edited_config = before.config && drifted && found.is_some();
        // something else than a plain file took its place: not ours to remove
        let change = match found {
            None => Change::Gone,
            Some(_) if edited_config => Change::KeepEdited,
            Some(_) => Change::Remove,
        };
        all.insert(path.clone(), Planned { path: path.clone(), unit, inside, change, drifted, want: None, found });
    }
    all.into_values().collect()
}

/// The new default of an edited config file goes beside it as `NAME.pikit-new`.
fn lay_beside(all: &mut BTreeMap<ReleasePath, Planned>, path: &ReleasePath, unit: usize, inside: &str, want: &Want, facts: &Facts) {
    // beside a managed file there is no managed folder to lay anything into
    if inside.is_empty() {
        return;
    }
    let Ok(beside) = ReleasePath::new(&format!("{path}.pikit-new")) else { return };
    let found = facts.files.get(&beside).copied();
    let change = match &found {
        None => Change::Add,
        Some(f) if f.sha256 == want.sha256 => Change::Keep,
        Some(_) => Change::Replace,
    };
    let want = Want { config: false, ..want.clone() };
    all.insert(beside.clone(), Planned { path: beside, unit, inside: format!("{inside}.pikit-new"), change, drifted: false, want: Some(want), found });
}

/// Room on every file system that is written to, before the first byte.
fn space(policy: &Policy, plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let mut needed: Vec<u64> = vec![0; facts.volumes.len()];
    let mut written: Vec<bool> = vec![false; facts.volumes.len()];
    let records = RECORDS + 2 * plan.files.iter().map(|f| 200 + 2 * f.path.as_str().len() as u64).sum::<u64>();
    let blocks = |size: u64, volume: usize| {
        let block = facts.volumes[volume].block.max(1);
        // what a manifest claims is anybody's number
        size.checked_next_multiple_of(block).unwrap_or(u64::MAX).saturating_add(block)
    };
    let mut need = |volume: usize, bytes: u64| needed[volume] = needed[volume].saturating_add(bytes);
    need(facts.backup_volume, records);
    written[facts.backup_volume] = true;
    let mut unknown = false;
    for file in &plan.files {
        let volume = facts.units[file.unit].volume;
        if file.is_written() {
            written[volume] = true;
            unknown |= file.want.as_ref().is_some_and(|w| w.size.is_none());
            need(volume, blocks(file.want.as_ref().and_then(|w| w.size).unwrap_or(0), volume));
        }
        if let (true, Some(found)) = (plan.backup && file.is_backed_up(), &file.found) {
            // on its own file system a backup is a second name; elsewhere, and where the switch goes file by file, a copy
            if facts.backup_volume != volume {
                need(facts.backup_volume, blocks(found.size, facts.backup_volume));
            }
            if facts.units[file.unit].way == super::Way::PerFile {
                need(volume, blocks(found.size, volume));
            }
        }
    }
    if unknown {
        // the minimal manifest tells no sizes: at the least what is compressed must fit; the rest is watched while it arrives
        if let Some(file) = plan.files.iter().find(|f| f.is_written()) {
            need(facts.units[file.unit].volume, facts.bundle_size.unwrap_or(0));
        }
    }
    let mut reasons = Vec::new();
    for (volume, facts) in facts.volumes.iter().enumerate().filter(|(i, _)| written[*i]) {
        let at = facts.at.display().to_string();
        if facts.read_only {
            reasons.push(Reason::ReadOnly { at });
        } else if needed[volume].saturating_add(policy.min_free) > facts.free {
            reasons.push(Reason::Space { at, needed: needed[volume].saturating_add(policy.min_free), free: facts.free });
        }
    }
    reasons
}

#[cfg(test)]
mod tests;
