//! What an apply would do, file by file, decided from facts. Pure: no file is touched, no clock is read.

pub mod facts;
pub mod target;
pub mod reason;
pub mod space;
pub mod decide;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize, Serializer};

use crate::release::{Digest, Manifest, ReleasePath, route};
pub use decide::{Decision, Policy, decide};
pub use facts::{Facts, Found, UnitFacts, VolumeFacts, Way};
pub use reason::Reason;
pub use target::{Target, Want};

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Bring the device to a release.
    Apply,
    /// Return to a backup.
    Rollback,
    /// Put back what drifted.
    Repair,
}

impl Action {
    /// The command that does it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Apply => "apply",
            Action::Rollback => "rollback",
            Action::Repair => "repair",
        }
    }
}

/// What happens to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Right already: not written.
    Keep,
    /// A person edited this config file: theirs stays.
    KeepEdited,
    /// New.
    Add,
    /// Other content, mode or owner.
    Replace,
    /// Listed before and no more.
    Remove,
    /// Listed before and no more, and not there either.
    Gone,
}

/// One file of a plan. Of thousands most have one side only, and the target and the facts have the same: both are shared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written<ReleasePath, String, Rc<Want>, Rc<Found>>")]
pub struct Planned {
    /// Its path in the release.
    pub path: ReleasePath,
    /// Which managed path takes it: index into the settings' list.
    pub unit: usize,
    /// Bytes of the path's end that are its path inside the managed path.
    inside: usize,
    /// What happens to it.
    pub change: Change,
    /// Differs from what the installed manifest says.
    pub drifted: bool,
    /// What must be there afterwards; none for removals.
    pub want: Option<Rc<Want>>,
    /// What is there now.
    pub found: Option<Rc<Found>>,
}

/// A file of a plan as the record has it.
#[derive(Serialize, Deserialize)]
struct Written<P, I, W, F> {
    path: P,
    unit: usize,
    inside: I,
    change: Change,
    drifted: bool,
    want: Option<W>,
    found: Option<F>,
}

impl Serialize for Planned {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Planned { path, unit, change, drifted, want, found, .. } = self;
        // of what stays nothing is wanted any more once it was decided, and it is most of the list
        let want = want.as_ref().filter(|_| *change != Change::Keep);
        Written { path, unit: *unit, inside: self.inside(), change: *change, drifted: *drifted, want, found: found.as_ref() }.serialize(to)
    }
}

impl TryFrom<Written<ReleasePath, String, Rc<Want>, Rc<Found>>> for Planned {
    type Error = String;
    fn try_from(w: Written<ReleasePath, String, Rc<Want>, Rc<Found>>) -> Result<Self, String> {
        if !w.path.as_str().ends_with(&w.inside) {
            return Err(format!("{} does not end with {}", w.path, w.inside));
        }
        Ok(Planned { path: w.path, unit: w.unit, inside: w.inside.len(), change: w.change, drifted: w.drifted, want: w.want, found: w.found })
    }
}

impl Planned {
    /// Its path inside the managed path, empty for a managed file.
    pub fn inside(&self) -> &str {
        self.path.end(self.inside)
    }
    /// Whether its content must be put into the staged tree.
    pub fn is_written(&self) -> bool {
        matches!(self.change, Change::Add | Change::Replace)
    }
    /// Whether what is there now must go into the backup.
    pub fn is_backed_up(&self) -> bool {
        matches!(self.change, Change::Replace | Change::Remove) && self.found.is_some()
    }
}

/// What an apply would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is for.
    pub action: Action,
    /// The version now, if known.
    pub from: Option<Version>,
    /// The version afterwards; none: what was there before any release.
    pub to: Option<Version>,
    /// Digest of the target's manifest, if it has one.
    pub manifest_sha256: Option<Digest>,
    /// Digest of the target's file list: quarantine goes by it.
    pub content: Option<Digest>,
    /// Every file of the old and the new side, by path.
    pub files: Vec<Planned>,
    /// Bytes to fetch from the source; none: not known.
    pub fetch_bytes: Option<u64>,
    /// Whether it may be fewer: how many is known only when it begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetch_at_most: bool,
    /// Commands run after the switch and before the restarts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// Units restarted after the switch, in order.
    pub restart: Vec<String>,
    /// Units reloaded after the restarts, in order.
    pub reload: Vec<String>,
    /// Whether a backup is made.
    pub backup: bool,
}

/// A command of a release: one of its own files, with words after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The file.
    pub path: ReleasePath,
    /// Digest of its content: nothing else is run in its place.
    pub sha256: Digest,
    /// The words after it.
    pub args: Vec<String>,
    /// When to give up on it.
    pub timeout: Duration,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path)?;
        self.args.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

/// How many files a plan adds, changes, ….
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New files.
    pub added: usize,
    /// Files that change.
    pub changed: usize,
    /// Files that go.
    pub removed: usize,
    /// Files that are right already.
    pub kept: usize,
    /// Files that differ from the installed manifest.
    pub drifted: usize,
    /// Edited config files that stay.
    pub config_kept: usize,
    /// Bytes written, where sizes are known.
    pub bytes_written: u64,
}

impl Plan {
    /// Counts its files.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for file in &self.files {
            match file.change {
                Change::Keep => counts.kept += 1,
                Change::KeepEdited => counts.config_kept += 1,
                Change::Add => counts.added += 1,
                Change::Replace => counts.changed += 1,
                Change::Remove => counts.removed += 1,
                Change::Gone => {}
            }
            counts.drifted += usize::from(file.drifted);
            if file.is_written() {
                counts.bytes_written = counts.bytes_written.saturating_add(file.want.as_ref().and_then(|w| w.size).unwrap_or(0));
            }
        }
        counts
    }
    /// Says what fetching will cost by the cheapest way: what is `at_hand` need not come, and a bundle has `whole` bytes. `patches`: there
    /// may be one, and the installed release's contents are here.
    pub fn price(&mut self, manifest: &Manifest, at_hand: &BTreeSet<Digest>, whole: Option<u64>, patches: bool) {
        let wanted = self.files.iter().filter(|f| f.is_written()).filter_map(|f| f.want.as_ref());
        let missing: BTreeSet<Digest> = wanted.map(|w| w.sha256).filter(|d| !at_hand.contains(d)).collect();
        let from = self.from.as_ref().filter(|_| patches);
        let way = &route::ways(manifest, &missing, from)[0];
        self.fetch_bytes = if missing.is_empty() { Some(0) } else { way.bytes(whole) };
        self.fetch_at_most = matches!(way, route::Way::Chunks(..));
    }
    /// Whether any file under a managed path changes.
    pub fn switches(&self) -> bool {
        self.files.iter().any(|f| matches!(f.change, Change::Add | Change::Replace | Change::Remove))
    }
    /// Files of one managed path.
    pub fn of_unit(&self, unit: usize) -> impl Iterator<Item = &Planned> {
        self.files.iter().filter(move |f| f.unit == unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a plan as earlier versions wrote it, and read it.
    fn line(inside: &str, change: &str, want: &str, found: &str) -> String {
        format!(r#"{{"path":"web/js/a.js","unit":1,"inside":"{inside}","change":"{change}","drifted":false,"want":{want},"found":{found}}}"#)
    }

    #[test]
    fn a_file_is_written_as_earlier_versions_read_it() {
        let sha256 = Digest::of(b"x");
        let want = format!(r#"{{"sha256":"{sha256}","size":1,"mode":420}}"#);
        let found = format!(r#"{{"sha256":"{sha256}","size":1,"mtime":7,"ino":8,"mode":420,"uid":0,"gid":0}}"#);
        let read = |text: &str| serde_json::from_str::<Planned>(text);
        for (inside, change, want, found) in [("js/a.js", "replace", &*want, &*found), ("", "add", &want, "null"), ("js/a.js", "remove", "null", &found)] {
            let text = line(inside, change, want, found);
            let file = read(&text).unwrap();
            assert_eq!((file.inside(), serde_json::to_string(&file).unwrap()), (inside, text));
        }
        // of what stays they wrote what is wanted, too
        let kept = read(&line("js/a.js", "keep", &want, &found)).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), line("js/a.js", "keep", "null", &found));
        assert!(read(&line("js/b.js", "keep", &want, &found)).unwrap_err().to_string().contains("does not end with js/b.js"));
    }
}
