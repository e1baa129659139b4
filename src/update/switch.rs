//! The switch: nothing but renames, forward or back, each of which can be cut and done again. Which side a managed path is on is read
//! from the disk, never remembered.

use std::path::Path;

use super::begin::Tx;
use super::clone::{Clone, Linked};
use super::{Trip, carry, stage, survey};
use crate::error::{Doing, Error, Result};
use crate::journal::{Finding, Side, Stage, Unit, UnitWay};
use crate::plan::{Change, Planned};
use crate::world::{Disk, Kind, durable};

/// Why the switch was not made; the trees may be on either side.
pub enum NotSwitched {
    /// A managed path must go file by file; index of it.
    Refused(usize, String),
    /// It failed.
    Failed(Error),
}

impl From<Error> for NotSwitched {
    fn from(e: Error) -> Self {
        NotSwitched::Failed(e)
    }
}

/// Brings every managed path to the new side. Those that are there already are left alone.
///
/// # Errors
/// See [`NotSwitched`].
pub fn forward(trip: &mut Trip, tx: &Tx) -> Result<(), NotSwitched> {
    let disk = trip.world.disk;
    for unit in &tx.journal.units {
        match &unit.way {
            UnitWay::Exchange { beside, before, after } if find(disk, tx, unit)?.side == Side::Old => {
                exchange(disk, &unit.to, beside, before.is_some(), after.is_some()).map_err(|e| refused_or_failed(unit, &e))?;
            }
            UnitWay::Exchange { .. } => {}
            UnitWay::PerFile { .. } => place_new(trip, tx, unit)?,
        }
    }
    stage::sync(trip, tx)?;
    carry::over(trip, tx, true)?;
    Ok(())
}

/// Brings every managed path back to the old side.
///
/// # Errors
/// A rename failed.
pub fn back(trip: &mut Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    for unit in tx.journal.units.iter().rev() {
        match &unit.way {
            UnitWay::Exchange { beside, .. } if find(disk, tx, unit)?.side == Side::New => {
                let doing = || format!("returning {} to the old tree", unit.to.display());
                // as it is, not as it was left: somebody may have removed it, or made what was to go anew
                let (is_here, is_beside) = (disk.meta(&unit.to).doing(doing)?.is_some(), disk.meta(beside).doing(doing)?.is_some());
                exchange(disk, &unit.to, beside, is_here, is_beside).doing(doing)?;
            }
            UnitWay::Exchange { .. } => {}
            UnitWay::PerFile { bases } => place_old(trip, tx, unit, bases)?,
        }
    }
    stage::sync(trip, tx)?;
    carry::over(trip, tx, false)
}

/// One managed path changes sides with what lies beside it.
fn exchange(disk: &dyn Disk, live: &Path, beside: &Path, is_here: bool, is_beside: bool) -> std::io::Result<()> {
    match (is_here, is_beside) {
        (true, true) => disk.exchange(live, beside),
        (false, true) => disk.rename(beside, live, true),
        (true, false) => disk.rename(live, beside, true),
        (false, false) => Ok(()),
    }
}

fn refused_or_failed(unit: &Unit, e: &std::io::Error) -> NotSwitched {
    use std::io::ErrorKind as K;
    match e.kind() {
        K::CrossesDevices | K::Unsupported | K::InvalidInput => NotSwitched::Refused(unit.unit, e.to_string()),
        _ => {
            let copy = e.raw_os_error().map_or_else(|| std::io::Error::new(e.kind(), e.to_string()), std::io::Error::from_raw_os_error);
            NotSwitched::Failed(Err::<(), _>(copy).doing(|| format!("switching {}", unit.to.display())).expect_err("it is an error"))
        }
    }
}

/// What is found at one managed path.
///
/// # Errors
/// It cannot be looked at.
pub fn find(disk: &dyn Disk, tx: &Tx, unit: &Unit) -> Result<Finding> {
    let look = |path: &Path| disk.meta(path).doing(|| format!("looking at {}", path.display()));
    match &unit.way {
        UnitWay::Exchange { beside, before, after } => {
            if tx.journal.stage == Stage::Preparing {
                // inodes are known only once all is sealed, and until then nothing has moved
                return Ok(Finding { side: Side::Old, sealed: false, way_back: false });
            }
            let (live, idle) = (look(&unit.to)?.map(|m| m.ino), look(beside)?.map(|m| m.ino));
            let side = match (before, after) {
                _ if live.is_some() && live == *after => Side::New,
                _ if live.is_some() && live == *before => Side::Old,
                // saved by rename, removed or made anew since: what lies beside it tells which side that was
                (_, Some(_)) if idle == *after => Side::Old,
                (Some(_), _) if idle == *before => Side::New,
                // what lay beside it is gone when all is over, and only then
                _ if matches!(tx.journal.stage, Stage::Confirming { carried: true }) => Side::New,
                _ if matches!(tx.journal.stage, Stage::RollingBack { carried: true, .. }) => Side::Old,
                // a path that appears or goes: there or not is all there is to know
                (None, _) if live.is_some() => Side::New,
                (None, _) => Side::Old,
                (_, None) if live.is_none() => Side::New,
                (_, None) => Side::Old,
                _ => Side::Unknown,
            };
            let sealed = after.is_none() || idle == *after;
            let way_back = before.is_none() || idle == *before;
            Ok(Finding { side, sealed, way_back })
        }
        UnitWay::PerFile { bases } => {
            if tx.journal.stage == Stage::Preparing {
                return Ok(Finding { side: Side::Old, sealed: false, way_back: false });
            }
            let (mut old, mut new, mut way_back) = (0, 0, true);
            for (index, file) in tx.changes(unit) {
                let live = look(&survey::join(&unit.to, file.inside()))?;
                let is_old = match file.change {
                    // once all is live, a file of that name is a person's new one
                    Change::Remove => live.is_some() && !matches!(tx.journal.stage, Stage::Trial { .. } | Stage::Confirming { .. }),
                    _ => look(&tx.staged(unit, index, file))?.is_some(),
                };
                *(if is_old { &mut old } else { &mut new }) += 1;
                way_back &= file.found.is_none() || look(&tx.kept(bases, unit, index, file))?.is_some();
            }
            let side = match (old, new) {
                (_, 0) => Side::Old,
                (0, _) => Side::New,
                _ => Side::Mixed,
            };
            // on the way back the kept files move home one by one: what is gone from here is home
            let way_back = way_back || matches!(tx.journal.stage, Stage::RollingBack { .. });
            // what is not live is staged: that is how the side was told
            Ok(Finding { side, sealed: true, way_back })
        }
    }
}

/// File by file: removals first, so that a folder can take a file's place and the other way round.
fn place_new(trip: &mut Trip, tx: &Tx, unit: &Unit) -> Result<()> {
    let disk = trip.world.disk;
    let owner = owner_of(disk, unit)?;
    for (_, file) in tx.changes(unit).filter(|(_, f)| f.change == Change::Remove) {
        let live = survey::join(&unit.to, file.inside());
        let doing = || format!("removing {}", live.display());
        let meta = disk.meta(&live).doing(doing)?;
        if !file.found.as_ref().is_some_and(|f| survey::looks_unchanged(meta.as_ref(), f)) {
            keep_edited(trip, &live)?;
        }
        durable::remove(disk, &live).doing(doing)?;
        remove_empty_parents(disk, unit, file, &Default::default())?;
    }
    for (index, file) in tx.changes(unit).filter(|(_, f)| f.is_written()) {
        let staged = tx.staged(unit, index, file);
        let doing = || format!("switching {}", survey::join(&unit.to, file.inside()).display());
        if disk.meta(&staged).doing(doing)?.is_none() {
            continue;
        }
        let live = survey::join(&unit.to, file.inside());
        durable::make_parents(disk, &unit.to, file.inside(), owner).doing(|| format!("making the folders above {}", unit.to.join(file.inside()).display()))?;
        // edited or made since it was sealed: kept, because the old content beside it is another one
        let meta = disk.meta(&live).doing(doing)?;
        if !file.found.as_ref().is_some_and(|f| survey::looks_unchanged(meta.as_ref(), f)) {
            keep_edited(trip, &live)?;
        }
        disk.rename(&staged, &live, false).doing(doing)?;
    }
    Ok(())
}

fn place_old(trip: &mut Trip, tx: &Tx, unit: &Unit, bases: &[std::path::PathBuf]) -> Result<()> {
    let disk = trip.world.disk;
    let owner = owner_of(disk, unit)?;
    let record = Clone::load(trip)?;
    let none = std::collections::BTreeMap::new();
    let before = record.units.get(&unit.unit).unwrap_or(&none);
    for (index, file) in tx.changes(unit).filter(|(_, f)| f.change == Change::Add) {
        let live = survey::join(&unit.to, file.inside());
        let doing = || format!("removing {}", live.display());
        if !bases_are_there(disk, bases)? {
            break;
        }
        // still staged: it never went live, and what is there is not ours
        if disk.meta(&tx.staged(unit, index, file)).doing(doing)?.is_none() {
            keep_unless_ours(trip, &live, file)?;
            durable::remove(disk, &live).doing(doing)?;
        }
        remove_empty_parents(disk, unit, file, before)?;
    }
    for (index, file) in tx.changes(unit).filter(|(_, f)| f.found.is_some()) {
        let kept = tx.kept(bases, unit, index, file);
        let doing = || format!("returning {} to the old tree", survey::join(&unit.to, file.inside()).display());
        if disk.meta(&kept).doing(doing)?.is_none() {
            continue;
        }
        durable::make_parents(disk, &unit.to, file.inside(), owner).doing(|| format!("making the folders above {}", unit.to.join(file.inside()).display()))?;
        let live = survey::join(&unit.to, file.inside());
        keep_unless_ours(trip, &live, file)?;
        disk.rename(&kept, &live, false).doing(doing)?;
    }
    Ok(())
}

/// On the way back: what is neither the new content nor the old one is a person's.
fn keep_unless_ours(trip: &mut Trip, live: &Path, file: &Planned) -> Result<()> {
    let disk = trip.world.disk;
    let Some(meta) = disk.meta(live).doing(|| format!("looking at {}", live.display()))?.filter(|m| m.kind == Kind::File) else { return Ok(()) };
    let is_old = file.found.as_ref().is_some_and(|f| survey::looks_unchanged(Some(&meta), f));
    let is_new = || file.want.as_ref().map_or(Ok(false), |w| survey::hash(disk, live).map(|d| d == w.sha256));
    if is_old || is_new()? { Ok(()) } else { keep_edited(trip, live) }
}

/// Gives a file that was edited while the update ran a name of its own, so that its old one can be used.
fn keep_edited(trip: &mut Trip, live: &Path) -> Result<()> {
    use std::io::ErrorKind as K;
    let disk = trip.world.disk;
    let doing = || format!("keeping what was edited of {}", live.display());
    let Some(meta) = disk.meta(live).doing(doing)?.filter(|m| m.kind != Kind::Dir) else { return Ok(()) };
    let name = live.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for n in 1.. {
        let name = carry::kept_name(&name, n);
        let kept = live.with_file_name(&name);
        // a second name first, so that there is never none; where there are no second names it moves
        match disk.link(live, &kept).or_else(|e| if e.kind() == K::AlreadyExists { Err(e) } else { disk.rename(live, &kept, true) }) {
            // of a run that was cut right after
            Err(e) if e.kind() == K::AlreadyExists && disk.meta(&kept).doing(doing)?.is_some_and(|k| k.ino == meta.ino) => return Ok(()),
            Err(e) if e.kind() == K::AlreadyExists => continue,
            other => other.doing(doing)?,
        }
        trip.note(format!("{} was edited while the update ran; the edited one is kept as {name}", live.display()));
        return Ok(());
    }
    Ok(())
}

/// Once the working folders are gone the way back is complete, and an added file of that name is somebody else's.
fn bases_are_there(disk: &dyn Disk, bases: &[std::path::PathBuf]) -> Result<bool> {
    for base in bases {
        if disk.meta(base).doing(|| format!("looking at {}", base.display()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn owner_of(disk: &dyn Disk, unit: &Unit) -> Result<Option<(u32, u32)>> {
    Ok(disk.meta(&unit.to).doing(|| format!("looking at {}", unit.to.display()))?.map(|m| (m.uid, m.gid)))
}

/// Folders that held only this file go with it; a folder that holds anything stays, and so do those named.
fn remove_empty_parents(disk: &dyn Disk, unit: &Unit, file: &Planned, stay: &std::collections::BTreeMap<String, Linked>) -> Result<()> {
    use std::io::ErrorKind as K;
    let mut inside = file.inside();
    while let Some((folder, _)) = inside.rsplit_once('/').filter(|(folder, _)| !stay.contains_key(*folder)) {
        let dir = unit.to.join(folder);
        match disk.rmdir(&dir) {
            Ok(()) => inside = folder,
            // something is in it, something is mounted on it, it is gone already, or it is a link of a person's
            Err(e) if matches!(e.kind(), K::DirectoryNotEmpty | K::AlreadyExists | K::ResourceBusy | K::NotFound | K::NotADirectory) => return Ok(()),
            Err(e) => return Err(e).doing(|| format!("removing {}", dir.display())),
        }
    }
    Ok(())
}
