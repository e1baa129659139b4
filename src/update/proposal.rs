//! What is about to be done, for whoever has to say yes: on a terminal, as JSON, on the page.

use std::path::PathBuf;

use semver::Version;
use serde::{Serialize, Serializer};

use super::Trip;
use super::aim::About;
use crate::plan::{Action, Change, Counts, Plan, Planned};
use crate::release::{Digest, ReleasePath};
use crate::state::history;

/// What is about to be done.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The plan.
    pub plan: Plan,
    /// What the release says of itself, who signed it, and what should be known before one says yes.
    pub about: About,
    /// Where the backup goes.
    pub backup_to: Option<PathBuf>,
    /// How long services were away the last time, seconds.
    pub expected_offline: Option<f64>,
}

impl Proposal {
    /// What this plan means here.
    pub fn of(trip: &Trip, about: &About, plan: Plan) -> Self {
        let layout = &trip.settings.layout;
        Proposal {
            backup_to: plan.backup.then(|| layout.backups()),
            expected_offline: history::expected_offline(trip.world.disk, layout).filter(|_| plan.switches()),
            plan,
            about: about.clone(),
        }
    }
}

/// As `apply --dry-run --json` prints it.
#[derive(Serialize)]
struct View<'p> {
    action: Action,
    from: &'p Option<Version>,
    to: &'p Option<Version>,
    manifest_sha256: &'p Option<Digest>,
    counts: Counts,
    files: Files<'p>,
    download_bytes: Option<u64>,
    download_at_most: bool,
    write_bytes: u64,
    commands: Vec<String>,
    restart: &'p [String],
    reload: &'p [String],
    backup_to: &'p Option<PathBuf>,
    expected_offline_seconds: Option<f64>,
    #[serde(flatten)]
    about: &'p About,
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (plan, counts) = (&self.plan, self.plan.counts());
        let view = View {
            action: plan.action,
            from: &plan.from,
            to: &plan.to,
            manifest_sha256: &plan.manifest_sha256,
            counts,
            files: Files(&plan.files),
            download_bytes: plan.fetch_bytes,
            download_at_most: plan.fetch_at_most,
            write_bytes: counts.bytes_written,
            commands: plan.commands.iter().map(ToString::to_string).collect(),
            restart: &plan.restart,
            reload: &plan.reload,
            backup_to: &self.backup_to,
            expected_offline_seconds: self.expected_offline,
            about: &self.about,
        };
        view.serialize(to)
    }
}

/// Written one after the other: there may be thousands.
struct Files<'p>(&'p [Planned]);

#[derive(Serialize)]
struct Line<'p> {
    path: &'p ReleasePath,
    change: Change,
    drifted: bool,
    size: Option<u64>,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let shown = self.0.iter().filter(|f| f.change != Change::Gone);
        to.collect_seq(shown.map(|f| Line { path: &f.path, change: f.change, drifted: f.drifted, size: f.want.as_ref().and_then(|w| w.size) }))
    }
}
