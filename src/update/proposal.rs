//! What is about to be done, for whoever has to say yes: on a terminal, as JSON, on the page.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Trip;
use super::aim::About;
use crate::plan::{Change, Plan, Planned};
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
    pub fn of(trip: &Trip, about: &About, plan: &Plan) -> Self {
        let layout = &trip.settings.layout;
        Proposal {
            plan: plan.clone(),
            about: about.clone(),
            backup_to: plan.backup.then(|| layout.backups()),
            expected_offline: history::expected_offline(trip.world.disk, layout).filter(|_| plan.switches()),
        }
    }
    /// As `apply --dry-run --json` prints it.
    pub fn json(&self) -> Value {
        let plan = &self.plan;
        let file = |f: &Planned| json!({"path": f.path, "change": f.change, "drifted": f.drifted, "size": f.want.as_ref().and_then(|w| w.size)});
        json!({
            "action": plan.action, "from": plan.from, "to": plan.to, "manifest_sha256": plan.manifest_sha256,
            "counts": plan.counts(), "files": plan.files.iter().filter(|f| f.change != Change::Gone).map(file).collect::<Vec<_>>(),
            "download_bytes": plan.fetch_bytes, "download_at_most": plan.fetch_at_most, "write_bytes": plan.counts().bytes_written,
            "commands": plan.commands.iter().map(ToString::to_string).collect::<Vec<_>>(), "restart": plan.restart, "reload": plan.reload,
            "backup_to": self.backup_to, "expected_offline_seconds": self.expected_offline,
            "released": self.about.released, "changelog": self.about.changelog, "notes": self.about.notes,
            "signed": self.about.signed, "doubts": self.about.doubts,
        })
    }
}
