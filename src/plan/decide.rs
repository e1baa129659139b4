//! The decision: up to date, blocked with every reason, or a plan. A pure function of what was measured.

use std::collections::BTreeMap;
use std::rc::Rc;

use chrono::{DateTime, Utc};
use semver::Version;

use super::{Action, Change, Command, Facts, Plan, Planned, Reason, Target, Want, space};
use crate::device::{Managed, managed};
use crate::release::manifest::this_arch;
use crate::release::{Digest, ReleasePath, Step};

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
    /// Whether commands of a release may be run: it is signed, and the owner allows it.
    pub commands: bool,
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
    /// The highest version that is still good, if the installed one was taken back: going down to it needs nobody's leave.
    pub takes_back: Option<Version>,
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
    /// When it was released, if its manifest says so.
    pub released: Option<DateTime<Utc>>,
    /// Its files; empty without a manifest.
    pub files: BTreeMap<ReleasePath, Rc<Want>>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // one of it a run
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

/// Decides.
pub fn decide(policy: &Policy, installed: &Installed, target: &Target, facts: &Facts) -> Decision {
    let apply = policy.action == Action::Apply;
    if apply {
        match (&installed.version, &target.version) {
            // an offer is never a reason to go back, and not worth an error: the device is ahead of what is offered
            (Some(here), Some(offered)) if offered < here && !policy.allow_downgrade && policy.takes_back.as_ref().is_none_or(|max| offered > max) => {
                return Decision::Blocked(vec![Reason::Downgrade { installed: here.clone(), offered: offered.clone() }]);
            }
            (Some(here), Some(offered)) if offered == here && installed.manifest_sha256.is_some() && !policy.force => {
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
    let commands = if apply { commands(policy, target, &mut reasons) } else { Vec::new() };
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
        fetch_at_most: false,
        commands,
        restart,
        reload,
        backup: false,
    };
    let nothing_before = facts.files.is_empty() && installed.files.is_empty();
    plan.backup = policy.action != Action::Repair && !nothing_before && (plan.switches() || plan.from != plan.to);
    if !plan.switches() {
        plan.commands.clear();
        plan.restart.clear();
        plan.reload.clear();
        // a new signature on the same release, or an adopted tree: records change, files do not
        let same_record = installed.manifest_sha256 == target.manifest_sha256 && installed.version == target.version;
        if same_record && reasons.is_empty() {
            return up_to_date(installed, facts);
        }
    }
    reasons.extend(space::lacking(&plan, facts, policy.min_free));
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

/// Commands to run; what the device does not allow becomes a reason.
fn commands(policy: &Policy, target: &Target, reasons: &mut Vec<Reason>) -> Vec<Command> {
    let mut commands = Vec::new();
    for step in &target.steps {
        let Step::Run { argv, timeout } = step else { continue };
        let file = argv.first().and_then(|word| target.files.get_key_value(word.as_str()));
        match file {
            _ if !policy.commands => reasons.push(Reason::Run { command: argv.join(" ") }),
            Some((path, want)) => commands.push(Command { path: path.clone(), sha256: want.sha256, args: argv[1..].to_vec(), timeout: *timeout }),
            None => reasons.push(Reason::Stranger { command: argv.join(" ") }),
        }
    }
    commands
}

/// Units to restart and reload; what the device does not allow becomes a reason.
fn services(policy: &Policy, target: &Target, reasons: &mut Vec<Reason>) -> (Vec<String>, Vec<String>) {
    let (mut restart, mut reload) = (Vec::new(), Vec::new());
    for step in &target.steps {
        let (verb, unit, allowed, list) = match step {
            Step::Restart(unit) => ("restart", unit, policy.restart, &mut restart),
            Step::Reload(unit) => ("reload", unit, policy.reload, &mut reload),
            Step::Run { .. } => continue,
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
    // a list and not a map: of thousands of files the map would be megabytes more
    let mut all: Vec<Planned> = Vec::with_capacity(target.files.len().max(installed.files.len()));
    let placed = |path: &ReleasePath| managed::place(policy.managed, path).map(|(unit, inside)| (unit, inside.len()));
    for (path, want) in &target.files {
        let Some((unit, inside)) = placed(path) else { continue };
        let found = facts.files.get(path);
        let before = installed.files.get(path);
        let drifted =
            before.is_some_and(|b| found.is_none_or(|f| f.sha256 != b.sha256)) || (before.is_none() && found.is_some_and(|f| f.sha256 != want.sha256));
        let unit_facts = &facts.units[unit];
        let owner = want.owner.unwrap_or(unit_facts.owner);
        let right = |f: &super::Found| f.sha256 == want.sha256 && (!unit_facts.has_modes || (want.mode.is_none_or(|m| m == f.mode) && owner == (f.uid, f.gid)));
        // a file that no release brought and that is no release's content belongs to a person as much as an edited one
        let edited = want.config && found.is_some_and(|f| before.map(|b| b.sha256) != Some(f.sha256) && f.sha256 != want.sha256);
        let mut change = match found {
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
            all.extend(lay_beside(path, unit, inside, want, facts));
        }
        all.push(Planned { path: path.clone(), unit, inside, change, drifted, want: Some(want.clone()), found: found.cloned() });
    }
    for (path, before) in &installed.files {
        if target.files.contains_key(path) {
            continue;
        }
        let Some((unit, inside)) = placed(path) else { continue };
        let found = facts.files.get(path);
        let drifted = found.is_none_or(|f| f.sha256 != before.sha256);
        let edited_config = before.config && drifted && found.is_some();
        // something else than a plain file took its place: not ours to remove
        let change = match found {
            None => Change::Gone,
            Some(_) if edited_config => Change::KeepEdited,
            Some(_) => Change::Remove,
        };
        all.push(Planned { path: path.clone(), unit, inside, change, drifted, want: None, found: found.cloned() });
    }
    // by path; what a manifest says of a path goes before what would be laid there
    all.reverse();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|later, kept| later.path == kept.path);
    all.shrink_to_fit();
    all
}

/// The new default of an edited config file goes beside it as `NAME.pikit-new`.
fn lay_beside(path: &ReleasePath, unit: usize, inside: usize, want: &Want, facts: &Facts) -> Option<Planned> {
    // beside a managed file there is no managed folder to lay anything into
    if inside == 0 {
        return None;
    }
    let beside = ReleasePath::new(&format!("{path}.pikit-new")).ok()?;
    let found = facts.files.get(&beside);
    let change = match found {
        None => Change::Add,
        Some(f) if f.sha256 == want.sha256 => Change::Keep,
        Some(_) => Change::Replace,
    };
    let want = Some(Rc::new(Want { config: false, ..want.clone() }));
    Some(Planned { inside: inside + beside.as_str().len() - path.as_str().len(), path: beside, unit, change, drifted: false, want, found: found.cloned() })
}

#[cfg(test)]
mod tests;
