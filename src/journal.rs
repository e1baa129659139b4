//! The journal of the running transaction, and what to do with one that is found after a crash. Pure values: `update` writes them
//! to disk before each deed, and does what [`recovery`] says.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::plan::Action;
use crate::release::Digest;

/// Format of the journal; a newer one is held, never guessed.
pub const SCHEMA: u32 = 1;
/// How often a trial may begin before it counts as failed: a release that kills the board does not get to say so itself.
pub const ATTEMPTS: u32 = 3;

/// How far the running transaction is. Written before the deeds it announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Stage {
    /// Building staged trees and the backup; nothing under a managed path has changed.
    Preparing,
    /// All is sealed; the renames may be under way.
    Switching,
    /// Live and on trial.
    Trial {
        /// Which attempt this is, from 1; 0: none has begun.
        attempt: u32,
    },
    /// The verdict is good; making it the installed one.
    Confirming {
        /// Everything a person saved meanwhile is in the live tree: the idle tree may go.
        carried: bool,
    },
    /// Returning to the old tree.
    RollingBack {
        /// Why.
        reason: String,
        /// Whether the release is to blame.
        quarantine: bool,
        /// The old tree is back and everything a person saved meanwhile is in it: the idle tree may go.
        carried: bool,
    },
}

/// One managed path that the transaction changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Index into the settings' managed paths.
    pub unit: usize,
    /// The managed path.
    pub to: PathBuf,
    /// How it is switched.
    pub way: UnitWay,
}

/// How one managed path is switched, with what recovery needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum UnitWay {
    /// Exchanged with what lies beside it.
    Exchange {
        /// What lies beside it: before the switch the new side, after it the old one.
        beside: PathBuf,
        /// Inode of the old side; none: nothing was there.
        before: Option<u64>,
        /// Inode of the new side; none: nothing will be there.
        after: Option<u64>,
    },
    /// File by file; the plan says which.
    PerFile {
        /// Working folders with the new and the old contents, one on each file system.
        bases: Vec<PathBuf>,
    },
}

/// The running transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Its id.
    pub transaction: String,
    /// What it is for.
    pub action: Action,
    /// How far it is.
    #[serde(flatten)]
    pub stage: Stage,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Version before.
    pub from: Option<Version>,
    /// Version after.
    pub to: Option<Version>,
    /// Digest of the plan file that belongs to it.
    pub plan_sha256: Digest,
    /// What `--root` was: a card may be looked after in another machine.
    pub root: PathBuf,
    /// The managed paths it changes, in the order of the switch.
    pub units: Vec<Unit>,
    /// Name of the backup it made.
    pub backup: Option<String>,
    /// Health checks that failed before the switch, which cannot condemn the release.
    pub failing_before: Vec<String>,
    /// When the first rename was due: seconds offline count from here.
    pub switched: Option<DateTime<Utc>>,
    /// The release's own commands: how many have ended, and whether the next one has begun.
    #[serde(default)]
    pub commands: Commands,
}

/// How far the commands of a release are. None is ever run twice: what it did to data, nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// How many have ended well.
    pub done: usize,
    /// Whether the next one has begun.
    pub running: bool,
}

impl Journal {
    /// Whether all was switched and nothing is on its way back.
    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Trial { .. } | Stage::Confirming { .. })
    }
    /// What to do when the updater that came with this transaction could not complete recovery, and the old one was put back in its place:
    /// before the verdict all goes back, after it only the rest stays. `None`: as ever.
    pub fn without_its_updater(&self, found: &[Finding], reason: String) -> Option<Recovery> {
        let known = found.len() == self.units.len() && found.iter().all(|f| f.side != Side::Unknown && (f.side == Side::Old || f.way_back));
        let quarantine = self.action == Action::Apply;
        (known && matches!(self.stage, Stage::Switching | Stage::Trial { .. })).then_some(Recovery::ReturnToOld { reason, quarantine })
    }
    /// The same journal where the board's files lie below another root.
    pub fn below(mut self, root: &Path) -> Self {
        let move_path = |path: &mut PathBuf| {
            if let Ok(inside) = path.strip_prefix(&self.root) {
                *path = root.join(inside);
            }
        };
        for unit in &mut self.units {
            move_path(&mut unit.to);
            match &mut unit.way {
                UnitWay::Exchange { beside, .. } => move_path(beside),
                UnitWay::PerFile { bases } => bases.iter_mut().for_each(move_path),
            }
        }
        self.root = root.to_owned();
        self
    }
}

/// What became of the journal file.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// There is none.
    Absent,
    /// It cannot be read, or a newer updater wrote it.
    Unreadable(String),
    /// This is it.
    Here(Box<Journal>),
}

/// On which side of the switch a managed path was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The old tree is live.
    Old,
    /// The new tree is live.
    New,
    /// File by file: some are new.
    Mixed,
    /// Neither: somebody else was here.
    Unknown,
}

/// What was found at one managed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which side is live.
    pub side: Side,
    /// Whether what completes the switch is still there.
    pub sealed: bool,
    /// Whether what returns to the old tree is still there.
    pub way_back: bool,
}

/// What to do after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// No transaction: remove stray staging, nothing else.
    Nothing,
    /// Nothing had changed: drop staging, keep what was fetched.
    Abandon,
    /// Finish the renames, then the trial.
    CompleteSwitch,
    /// Return every path to the old tree.
    ReturnToOld {
        /// Why.
        reason: String,
        /// Whether the release is to blame.
        quarantine: bool,
    },
    /// Run this attempt of the trial.
    RunTrial {
        /// From 1.
        attempt: u32,
    },
    /// Finish confirming.
    FinishConfirming,
    /// Finish the return to the old tree.
    FinishRollingBack,
    /// Touch nothing; a person is needed.
    Hold(String),
}

/// Decides what to do with a journal that was found. Doing it twice is doing it once.
pub fn recovery(read: &Read, found: &[Finding]) -> Recovery {
    let journal = match read {
        Read::Absent => return Recovery::Nothing,
        Read::Unreadable(why) => return Recovery::Hold(why.clone()),
        Read::Here(journal) => journal,
    };
    if found.len() != journal.units.len() {
        return Recovery::Hold("the journal and the config name different managed paths".into());
    }
    let all = |side: Side| found.iter().all(|f| f.side == side);
    let strange = || {
        let paths: Vec<String> = journal.units.iter().zip(found).filter(|(_, f)| f.side != Side::New).map(|(u, _)| u.to.display().to_string()).collect();
        Recovery::Hold(format!("{} not what transaction {} left there", paths.join(", ") + if paths.len() == 1 { " is" } else { " are" }, journal.transaction))
    };
    match &journal.stage {
        // whatever is live, it is not ours: a switch is never begun in this stage
        Stage::Preparing if !found.iter().any(|f| f.side == Side::New) => Recovery::Abandon,
        Stage::Switching if all(Side::New) => Recovery::CompleteSwitch,
        Stage::Switching if found.iter().any(|f| f.side == Side::Unknown) => strange(),
        Stage::Switching if found.iter().all(|f| f.side == Side::New || f.sealed) => Recovery::CompleteSwitch,
        Stage::Switching if found.iter().all(|f| f.side == Side::Old || f.way_back) => {
            Recovery::ReturnToOld { reason: "the switch was interrupted and what had been staged is not whole".into(), quarantine: false }
        }
        Stage::Trial { .. } if all(Side::New) && journal.commands.running => {
            Recovery::ReturnToOld { reason: "a command of the release was interrupted, and none is run twice".into(), quarantine: false }
        }
        Stage::Trial { attempt } if all(Side::New) => {
            if *attempt < ATTEMPTS {
                Recovery::RunTrial { attempt: attempt + 1 }
            } else {
                Recovery::ReturnToOld { reason: format!("its trial was cut short {ATTEMPTS} times"), quarantine: journal.action == Action::Apply }
            }
        }
        Stage::Confirming { .. } if all(Side::New) => Recovery::FinishConfirming,
        Stage::RollingBack { .. } if found.iter().all(|f| f.side == Side::Old || (f.side != Side::Unknown && f.way_back)) => Recovery::FinishRollingBack,
        Stage::Preparing | Stage::Switching | Stage::Trial { .. } | Stage::Confirming { .. } | Stage::RollingBack { .. } => strange(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn journal(stage: Stage, units: usize) -> Journal {
        let unit = |i| Unit { unit: i, to: format!("/srv/{i}").into(), way: UnitWay::PerFile { bases: vec![] } };
        Journal {
            transaction: "0".repeat(26),
            action: Action::Apply,
            stage,
            started: DateTime::UNIX_EPOCH,
            from: None,
            to: None,
            plan_sha256: Digest::of(b""),
            root: "/".into(),
            units: (0..units).map(unit).collect(),
            backup: None,
            failing_before: vec![],
            switched: None,
            commands: Commands::default(),
        }
    }

    const OLD: Finding = Finding { side: Side::Old, sealed: true, way_back: false };
    const NEW: Finding = Finding { side: Side::New, sealed: false, way_back: true };
    const LOST: Finding = Finding { side: Side::Old, sealed: false, way_back: false };
    const MIXED: Finding = Finding { side: Side::Mixed, sealed: true, way_back: true };
    const STRANGE: Finding = Finding { side: Side::Unknown, sealed: true, way_back: true };

    fn on(stage: Stage, found: &[Finding]) -> Recovery {
        recovery(&Read::Here(Box::new(journal(stage, found.len()))), found)
    }

    #[test]
    fn the_table_of_the_contract() {
        let rolling = || Stage::RollingBack { reason: "x".into(), quarantine: true, carried: false };
        let returns = |r: Recovery, blame: bool| matches!(r, Recovery::ReturnToOld { quarantine, .. } if quarantine == blame);
        assert_eq!(recovery(&Read::Absent, &[]), Recovery::Nothing);
        assert!(matches!(recovery(&Read::Unreadable("torn".into()), &[]), Recovery::Hold(_)));
        assert_eq!(on(Stage::Preparing, &[OLD, OLD]), Recovery::Abandon);
        assert_eq!(on(Stage::Preparing, &[LOST, STRANGE]), Recovery::Abandon);
        assert!(matches!(on(Stage::Preparing, &[OLD, NEW]), Recovery::Hold(_)));
        assert_eq!(on(Stage::Switching, &[OLD, OLD]), Recovery::CompleteSwitch);
        assert_eq!(on(Stage::Switching, &[NEW, OLD]), Recovery::CompleteSwitch);
        assert_eq!(on(Stage::Switching, &[NEW, MIXED]), Recovery::CompleteSwitch);
        assert!(returns(on(Stage::Switching, &[NEW, LOST]), false));
        assert!(matches!(on(Stage::Switching, &[NEW, STRANGE]), Recovery::Hold(_)));
        assert_eq!(on(Stage::Trial { attempt: 0 }, &[NEW]), Recovery::RunTrial { attempt: 1 });
        assert_eq!(on(Stage::Trial { attempt: 2 }, &[NEW]), Recovery::RunTrial { attempt: 3 });
        assert!(returns(on(Stage::Trial { attempt: 3 }, &[NEW]), true));
        assert!(matches!(on(Stage::Trial { attempt: 1 }, &[OLD]), Recovery::Hold(_)));
        assert_eq!(on(Stage::Confirming { carried: true }, &[NEW]), Recovery::FinishConfirming);
        assert!(matches!(on(Stage::Confirming { carried: false }, &[OLD]), Recovery::Hold(_)));
        assert_eq!(on(rolling(), &[NEW, OLD, MIXED]), Recovery::FinishRollingBack);
        assert!(matches!(on(rolling(), &[STRANGE]), Recovery::Hold(_)));
        assert!(matches!(recovery(&Read::Here(Box::new(journal(Stage::Preparing, 2))), &[OLD]), Recovery::Hold(_)));
    }

    #[test]
    fn without_the_updater_it_came_with_a_release_returns_until_the_verdict() {
        let on = |stage, action, found: &[Finding]| {
            let journal = Journal { action, ..journal(stage, 2) };
            match journal.without_its_updater(found, "x".into()) {
                Some(Recovery::ReturnToOld { quarantine, .. }) => Some(quarantine),
                None => None,
                other => panic!("{other:?}"),
            }
        };
        for attempt in [0, 1, 3] {
            assert_eq!(on(Stage::Trial { attempt }, Action::Apply, &[NEW, NEW]), Some(true));
            assert_eq!(on(Stage::Trial { attempt }, Action::Rollback, &[NEW, NEW]), Some(false));
            assert_eq!(on(Stage::Trial { attempt }, Action::Apply, &[NEW, STRANGE]), None);
            assert_eq!(on(Stage::Trial { attempt }, Action::Apply, &[NEW]), None);
        }
        assert_eq!(on(Stage::Switching, Action::Apply, &[NEW, OLD]), Some(true));
        // where the way back is not there nothing is begun
        assert_eq!(on(Stage::Switching, Action::Apply, &[Finding { way_back: false, ..NEW }, OLD]), None);
        for stage in [Stage::Preparing, Stage::Confirming { carried: true }, Stage::RollingBack { reason: "x".into(), quarantine: true, carried: false }] {
            assert_eq!(on(stage, Action::Apply, &[NEW, NEW]), None);
        }
    }

    #[test]
    fn a_rollback_that_a_person_asked_for_is_never_blamed() {
        let mut j = journal(Stage::Trial { attempt: 3 }, 1);
        j.action = Action::Rollback;
        assert!(matches!(recovery(&Read::Here(Box::new(j)), &[NEW]), Recovery::ReturnToOld { quarantine: false, .. }));
    }

    #[test]
    fn a_journal_survives_its_own_spelling() {
        for stage in [Stage::Preparing, Stage::Trial { attempt: 2 }, Stage::RollingBack { reason: "r".into(), quarantine: true, carried: true }] {
            let j = journal(stage, 2);
            assert_eq!(serde_json::from_str::<Journal>(&serde_json::to_string(&j).unwrap()).unwrap(), j);
        }
    }

    #[test]
    fn a_journal_moves_with_the_card_it_lies_on() {
        let mut j = journal(Stage::Switching, 1);
        j.units.push(Unit {
            unit: 1,
            to: "/usr/bin/api".into(),
            way: UnitWay::Exchange { beside: "/usr/bin/.api.pikit-x".into(), before: Some(1), after: Some(2) },
        });
        let moved = j.clone().below(Path::new("/media/card"));
        assert_eq!(moved.units[1].to, Path::new("/media/card/usr/bin/api"));
        assert_eq!(moved.below(Path::new("/")), j);
    }

    fn stages() -> impl Strategy<Value = Stage> {
        prop_oneof![
            Just(Stage::Preparing),
            Just(Stage::Switching),
            (0u32..5).prop_map(|attempt| Stage::Trial { attempt }),
            any::<bool>().prop_map(|carried| Stage::Confirming { carried }),
            any::<(bool, bool)>().prop_map(|(quarantine, carried)| Stage::RollingBack { reason: "r".into(), quarantine, carried }),
        ]
    }

    fn findings() -> impl Strategy<Value = Finding> {
        (prop_oneof![Just(Side::Old), Just(Side::New), Just(Side::Mixed), Just(Side::Unknown)], any::<bool>(), any::<bool>())
            .prop_map(|(side, sealed, way_back)| Finding { side, sealed, way_back })
    }

    proptest! {
        #[test]
        fn what_is_not_in_the_table_is_held_and_blame_needs_a_used_up_trial(stage in stages(), found in proptest::collection::vec(findings(), 0..4)) {
            let decided = on(stage.clone(), &found);
            if let Recovery::ReturnToOld { quarantine: true, .. } = decided {
                let used_up = matches!(stage, Stage::Trial { attempt } if attempt >= ATTEMPTS);
                prop_assert!(used_up);
            }
            if found.iter().any(|f| f.side == Side::Unknown) && stage != Stage::Preparing {
                prop_assert!(matches!(decided, Recovery::Hold(_)));
            }
            if decided == Recovery::FinishConfirming {
                prop_assert!(found.iter().all(|f| f.side == Side::New));
            }
        }
    }
}
