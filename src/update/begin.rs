//! A transaction: its plan and its journal on disk. The only constructor is [`begin`], which returns after the record is durable,
//! so that no effect can come before it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Trip;
use super::fetch::Cost;
use super::survey::{self, join};
use crate::device::{Layout, Managed};
use crate::error::{Code, Doing, Error, Result};
use crate::event::{Event, Phase};
use crate::journal::{self, Journal, Read, Stage, Unit, UnitWay};
use crate::plan::{Change, Facts, Plan, Planned, Way};
use crate::record;
use crate::release::{Digest, digest::Hashing, manifest};
use crate::state::log::Log;
use crate::state::status::{self, Progress};
use crate::world::{Disk, durable};

/// Format of the plan file.
pub const PLAN_SCHEMA: u32 = 1;
/// Largest plan file that is read, bytes.
pub const PLAN_MAX: u64 = 256 << 20;
/// Largest journal that is read, bytes.
const JOURNAL_MAX: u64 = 1 << 20;
/// Space kept for the records of a rollback on a full disk, bytes.
const RESERVE: usize = 128 << 10;

/// The running transaction.
#[derive(Debug, PartialEq)]
pub struct Tx {
    /// How far it is; on disk before each deed.
    pub journal: Journal,
    /// What it does; on disk since it began.
    pub plan: Plan,
    /// What it cost so far.
    pub cost: Cost,
    /// How long the switch took, until it was on the disk.
    pub switch: Duration,
    /// When the services were found to be back.
    pub back: Option<DateTime<Utc>>,
    /// Worth knowing about the result.
    pub notes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PlanFile {
    plan: Plan,
    has_manifest: bool,
}

/// Writes plan, journal and the target's manifest durably and so begins a transaction.
///
/// # Errors
/// The records cannot be written; then nothing has begun.
pub fn begin(trip: &mut Trip, plan: Plan, facts: &Facts, manifest: Option<Vec<u8>>) -> Result<Tx> {
    if trip.locked.is_none() {
        return Err(Error::unexpected("a trip that only looks cannot begin a transaction"));
    }
    let (disk, layout, clock) = (trip.world.disk, trip.settings.layout.clone(), trip.world.clock);
    let transaction = trip.id.clone();
    for dir in [layout.state_dir(), layout.logs(), layout.version().parent().expect("the version file lies in a folder").to_owned()] {
        durable::make_dirs(disk, &dir, 0o755).doing(|| format!("making {}", dir.display()))?;
    }
    reserve(disk, &layout)?;
    let mut units = Vec::new();
    for (index, managed) in trip.settings.managed.iter().enumerate() {
        if plan.of_unit(index).any(|f| f.is_written() || f.change == Change::Remove) {
            units.push(unit(disk, index, managed, facts.units[index].way, &plan, &transaction)?);
        }
    }
    let dir = layout.transaction();
    durable::remove_whole(disk, &dir).doing(|| format!("removing {}", dir.display()))?;
    durable::make_dirs(disk, &dir, 0o755).doing(|| format!("making {}", dir.display()))?;
    let plan_file = PlanFile { plan, has_manifest: manifest.is_some() };
    if let Some(bytes) = manifest {
        status::save(disk, &layout, &dir.join(manifest::NAME), &bytes)?;
    }
    let (sealed, digest) = (record::Sealed::of(PLAN_SCHEMA, &plan_file), Cell::new(None));
    status::save_with(disk, &layout, &dir.join("plan.json"), &|to| {
        let mut hashing = Hashing::new(to);
        sealed.write(&mut hashing)?;
        digest.set(Some(hashing.finish().1));
        Ok(())
    })?;
    let plan = plan_file.plan;
    let journal = Journal {
        transaction: transaction.clone(),
        action: plan.action,
        stage: Stage::Preparing,
        started: clock.now(),
        from: plan.from.clone(),
        to: plan.to.clone(),
        plan_sha256: digest.get().expect("what was saved was written"),
        root: layout.root().to_owned(),
        units,
        backup: None,
        failing_before: Vec::new(),
        switched: None,
        commands: journal::Commands::default(),
    };
    let tx = Tx { journal, plan, cost: Cost::default(), switch: Duration::ZERO, back: None, notes: Vec::new() };
    tx.save(trip)?;
    trip.log = Some(Log::open(disk, &layout, &transaction));
    trip.state.progress = Some(Progress {
        transaction: transaction.clone(),
        action: Some(tx.plan.action.name().to_owned()),
        phase: Phase::Planning,
        percent: 0,
        bytes_done: 0,
        bytes_total: 0,
        message: String::new(),
        started: tx.journal.started,
    });
    trip.event(Event::Begun { transaction });
    let name = |v: &Option<semver::Version>| v.as_ref().map_or("what was there before".to_owned(), ToString::to_string);
    trip.note(format!("{} from {} to {}", tx.plan.action.name(), name(&tx.plan.from), name(&tx.plan.to)));
    Ok(tx)
}

/// The space that a rollback's own records need is taken before anything begins.
fn reserve(disk: &dyn Disk, layout: &Layout) -> Result<()> {
    let path = layout.reserve();
    let doing = || format!("reserving {} for a rollback", crate::quantity::bytes(RESERVE as u64));
    if disk.meta(&path).doing(doing)?.is_some_and(|m| m.size == RESERVE as u64) {
        return Ok(());
    }
    // not zeros: a file system that compresses would keep nothing
    let filler: Vec<u8> = (0..RESERVE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    durable::save(disk, &path, &filler, 0o600).doing(doing)
}

/// Where a managed path is staged and how it will be switched.
fn unit(disk: &dyn Disk, index: usize, managed: &Managed, way: Way, plan: &Plan, transaction: &str) -> Result<Unit> {
    let to = managed.to.clone();
    let beside = managed.parent().join(format!(".{}.pikit-{transaction}", managed.name()));
    let way = match way {
        Way::Exchange => UnitWay::Exchange { beside, before: None, after: None },
        Way::PerFile if !managed.is_folder() => UnitWay::PerFile { bases: vec![beside] },
        Way::PerFile => {
            let mounts = disk.mounts().doing(|| "reading the list of mounts".into())?;
            let mut bases: Vec<PathBuf> = plan
                .of_unit(index)
                .filter(|f| f.is_written() || f.change == Change::Remove)
                .map(|f| base_above(&to, f.inside(), &mounts, transaction))
                .collect();
            bases.sort();
            bases.dedup();
            UnitWay::PerFile { bases }
        }
    };
    Ok(Unit { unit: index, to, way })
}

/// The working folder for one file of a managed folder: at the top of the file system that holds the file, so that renames work.
fn base_above(to: &Path, inside: &str, mounts: &[PathBuf], transaction: &str) -> PathBuf {
    let file = to.join(inside);
    let top = mounts.iter().filter(|m| m.starts_with(to) && file.starts_with(m)).max_by_key(|m| m.as_os_str().len());
    top.map_or(to, |t| t.as_path()).join(format!(".pikit-{transaction}"))
}

impl Tx {
    /// Writes the journal durably: the deed it announces comes after.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, trip: &Trip) -> Result<()> {
        status::save(trip.world.disk, &trip.settings.layout, &trip.settings.layout.journal(), &record::seal_record(journal::SCHEMA, &self.journal))
    }
    /// Moves on to another stage, durably.
    ///
    /// # Errors
    /// It cannot be written; then the stage is as it was.
    pub fn enter(&mut self, trip: &Trip, stage: Stage) -> Result<()> {
        let before = std::mem::replace(&mut self.journal.stage, stage);
        self.save(trip).inspect_err(|_| self.journal.stage = before)
    }
    /// Reads the journal that a killed run left, and its plan.
    ///
    /// # Errors
    /// The files cannot be read at all. What is damaged or newer is [`Read::Unreadable`].
    pub fn load(trip: &Trip) -> Result<(Read, Option<Tx>)> {
        let (disk, layout) = (trip.world.disk, &trip.settings.layout);
        let path = layout.journal();
        let Some(bytes) = durable::read(disk, &path, JOURNAL_MAX).doing(|| format!("reading {}", path.display()))? else {
            return Ok((Read::Absent, None));
        };
        let unreadable = |why: String| Ok((Read::Unreadable(format!("{}: {why}", path.display())), None));
        let journal = match record::open_record::<Journal>(&bytes, journal::SCHEMA) {
            Ok(journal) => journal.below(layout.root()),
            Err(e) => return unreadable(e.to_string()),
        };
        let dir = layout.transaction();
        let doing = || format!("reading {}", dir.display());
        let plan = durable::read(disk, &dir.join("plan.json"), PLAN_MAX).doing(doing)?;
        let file: PlanFile = match plan.filter(|b| Digest::of(b) == journal.plan_sha256).map(|b| record::open_record(&b, PLAN_SCHEMA)) {
            Some(Ok(file)) => file,
            _ => return unreadable("the plan that belongs to it is missing or damaged".into()),
        };
        let tx = Tx { journal: journal.clone(), plan: file.plan, cost: Cost::default(), switch: Duration::ZERO, back: None, notes: Vec::new() };
        match tx.manifest_bytes(trip) {
            Ok(bytes) if bytes.is_some() == file.has_manifest => {}
            Err(e) if e.code != Code::Verification => return Err(e),
            _ => return unreadable("the manifest that belongs to it is missing or damaged".into()),
        }
        if journal.units.iter().any(|u| trip.settings.managed.get(u.unit).is_none_or(|m| m.to != u.to)) {
            return unreadable("the config names other managed paths than when it began; put them back and run `recover`".into());
        }
        Ok((Read::Here(Box::new(journal)), Some(tx)))
    }
    /// Bytes of the target's manifest, if it has one. They lie beside the plan and not in memory: there may be a megabyte of them.
    ///
    /// # Errors
    /// It cannot be read, or is not what the plan is of.
    pub fn manifest_bytes(&self, trip: &Trip) -> Result<Option<Vec<u8>>> {
        let Some(expected) = self.plan.manifest_sha256 else { return Ok(None) };
        let path = trip.settings.layout.transaction().join(manifest::NAME);
        let bytes = durable::read(trip.world.disk, &path, manifest::SIZE_MAX).doing(|| format!("reading {}", path.display()))?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) == expected => Ok(Some(bytes)),
            _ => Err(Error::verification(format!("{} is missing or damaged", path.display()))),
        }
    }
    /// Ends the transaction. The journal goes first: one whose plan is gone could not be read.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn end(&self, trip: &mut Trip) -> Result<()> {
        let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
        let path = layout.journal();
        let doing = || format!("removing {}", path.display());
        durable::remove(disk, &path).doing(doing)?;
        disk.sync_dir(&layout.state_dir()).doing(doing)?;
        durable::remove_whole(disk, &layout.transaction()).doing(|| "removing the records of the transaction".into())
    }
    /// Where the staged content of a written file lies.
    pub fn staged(&self, unit: &Unit, index: usize, file: &Planned) -> PathBuf {
        match &unit.way {
            UnitWay::Exchange { beside, .. } => join(beside, file.inside()),
            UnitWay::PerFile { bases } => base_of(bases, &unit.to, file).join(format!("new-{index}")),
        }
    }
    /// Where the old content of a file lies that is switched file by file.
    pub fn kept(&self, bases: &[PathBuf], unit: &Unit, index: usize, file: &Planned) -> PathBuf {
        base_of(bases, &unit.to, file).join(format!("old-{index}"))
    }
    /// The files of one unit that change, with their index in the plan.
    pub fn changes<'s>(&'s self, unit: &Unit) -> impl Iterator<Item = (usize, &'s Planned)> {
        let unit = unit.unit;
        let changes = |f: &Planned| f.is_written() || f.change == Change::Remove;
        self.plan.files.iter().enumerate().filter(move |(_, f)| f.unit == unit && changes(f))
    }
}

/// Of the working folders, the one on the file system of this file: the deepest whose parent is above it.
fn base_of<'b>(bases: &'b [PathBuf], to: &Path, file: &Planned) -> &'b Path {
    let live = survey::join(to, file.inside());
    let above = bases.iter().filter(|b| b.parent().is_some_and(|p| live.starts_with(p)));
    above.max_by_key(|b| b.as_os_str().len()).expect("every changed file has a working folder")
}
