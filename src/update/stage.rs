//! Staging and sealing: the new contents, the tree around them, the backup, then one sync for each file system. After that the
//! switch is nothing but renames.

use std::collections::BTreeMap;
use std::path::Path;

use super::at_hand::{self, AtHand};
use super::begin::Tx;
use super::clone::{self, Clone, CloneError, Linked, Refused};
use super::fetch::{self, Missing, Need};
use super::{Trip, backup, fitness, itself, survey};
use crate::error::{Doing, Error, Result};
use crate::event::Phase;
use crate::journal::UnitWay;
use crate::plan::{Change, Facts, Found};
use crate::release::digest::Hashing;
use crate::world::durable;

/// A transaction whose trees and backup are whole, synced, and checked against what is live.
pub struct Sealed(pub(super) Tx);

/// Why a transaction was not sealed; nothing under a managed path has changed.
pub enum NotSealed {
    /// A managed folder must go file by file: begin again so.
    Refused(Tx, Refused),
    /// It failed, or was cancelled.
    Failed(Tx, Error),
}

/// Builds everything the switch needs. `from` is where contents come from that are not on the device.
///
/// # Errors
/// See [`NotSealed`].
pub fn prepare(trip: &mut Trip, mut tx: Tx, facts: &Facts, at_hand: AtHand, from: Option<fetch::From>) -> Result<Sealed, Box<NotSealed>> {
    match build(trip, &mut tx, facts, at_hand, from) {
        Ok(()) => Ok(Sealed(tx)),
        Err(CloneError::Refused(refused)) => Err(Box::new(NotSealed::Refused(tx, refused))),
        Err(CloneError::Failed(error)) => Err(Box::new(NotSealed::Failed(tx, error))),
    }
}

fn build(trip: &mut Trip, tx: &mut Tx, facts: &Facts, at_hand: AtHand, from: Option<fetch::From>) -> Result<(), CloneError> {
    ground(trip, tx)?;
    contents(trip, tx, facts, at_hand, from)?;
    fitness::check(trip, tx)?;
    itself::check(trip, tx)?;
    // before the trees are cloned: it is in both of them then
    itself::keep_previous(trip, tx)?;
    trip.phase(Phase::Staging, "building the new tree and the backup");
    let mut record = Clone::default();
    for index in 0..tx.journal.units.len() {
        let unit = tx.journal.units[index].clone();
        match &unit.way {
            UnitWay::Exchange { beside, .. } if trip.settings.managed[unit.unit].is_folder() => {
                let linked = clone::folder(trip, tx, unit.unit, &unit.to, beside)?;
                record.units.insert(unit.unit, linked);
            }
            UnitWay::Exchange { .. } => {}
            UnitWay::PerFile { bases } => {
                keep_old(trip, tx, &unit, bases)?;
                record.units.insert(unit.unit, folders_before(trip, tx, &unit)?);
            }
        }
    }
    record.save(trip)?;
    backup::make(trip, tx, facts.installed)?;
    seal(trip, tx, facts)?;
    Ok(())
}

/// The folders in which the new contents grow.
fn ground(trip: &mut Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    for unit in &tx.journal.units {
        let managed = &trip.settings.managed[unit.unit];
        durable::make_dirs(disk, managed.parent(), 0o755).doing(|| format!("making {}", managed.parent().display()))?;
        match &unit.way {
            UnitWay::Exchange { beside, .. } if managed.is_folder() => {
                // nobody else's until all is in it and hashed: cloning gives it its owner, last
                disk.mkdir(beside, 0o700).doing(|| format!("making {}", beside.display()))?;
            }
            UnitWay::Exchange { .. } => {}
            UnitWay::PerFile { bases } => {
                for base in bases {
                    disk.mkdir(base, 0o700).doing(|| format!("making {}", base.display()))?;
                }
            }
        }
    }
    Ok(())
}

/// Stages every content: from the device if it is there, otherwise from the bundle.
fn contents(trip: &mut Trip, tx: &mut Tx, facts: &Facts, mut at_hand: AtHand, from: Option<fetch::From>) -> Result<()> {
    let mut missing = Missing::new();
    for unit in tx.journal.units.clone() {
        let owner = facts.units[unit.unit].owner;
        let managed = trip.settings.managed[unit.unit].clone();
        // the staged tree is nobody else's: what was made there is there
        let mut made = String::new();
        for index in 0..tx.plan.files.len() {
            let file = &tx.plan.files[index].clone();
            if file.unit != unit.unit || !file.is_written() {
                continue;
            }
            trip.go_on()?;
            let staged = tx.staged(&unit, index, file);
            if let UnitWay::Exchange { beside, .. } = &unit.way {
                let above = file.inside().rsplit_once('/').map_or("", |(above, _)| above);
                if above != made {
                    durable::make_parents(trip.world.disk, beside, file.inside(), Some(owner))
                        .doing(|| format!("making the folders above {}", beside.join(file.inside()).display()))?;
                    above.clone_into(&mut made);
                }
            }
            let want = file.want.clone().expect("a written file has a want");
            let (own, mode) = at_hand::attributes(&managed, owner, file, at_hand.packed(trip, &want));
            match at_hand.put(trip, &want, mode, own, &staged)? {
                Some(bytes) => tx.cost.written += bytes,
                None => {
                    let need = Need { path: file.path.clone(), staged: staged.into(), owner: Some(own), mode: want.mode };
                    // a content mostly goes to one place, and there may be thousands
                    missing.entry(want.sha256).or_insert_with(|| Vec::with_capacity(1)).push(need);
                }
            }
        }
    }
    tx.cost.requests = from.map_or(0, |f| f.source.tally().requests);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(from) = from else {
        return Err(Error::verification(format!("the content of {} is not on the device", fetch::named(&missing)))
            .hint("the backup is damaged; `rollback --list` shows others, `apply VERSION --allow-downgrade` fetches a release again"));
    };
    fetch::fetch(trip, from, missing, &at_hand, &mut tx.cost)?;
    trip.phase(Phase::Verifying, "everything that was fetched has the right digest");
    Ok(())
}

/// File by file, the old contents get a second name (or a copy) so that the way back needs neither space nor network.
fn keep_old(trip: &mut Trip, tx: &Tx, unit: &crate::journal::Unit, bases: &[std::path::PathBuf]) -> Result<()> {
    for (index, file) in tx.changes(unit) {
        let Some(found) = &file.found else { continue };
        trip.go_on()?;
        let live = survey::join(&unit.to, file.inside());
        let kept = tx.kept(bases, unit, index, file);
        second_name(trip, &live, &kept, found)?;
    }
    Ok(())
}

/// Gives a live file a second name, or a copy where there are no second names. Not durable by itself.
///
/// # Errors
/// It changed since it was looked at, a full disk, ….
pub fn second_name(trip: &Trip, live: &Path, kept: &Path, found: &Found) -> Result<()> {
    let disk = trip.world.disk;
    if disk.link(live, kept).is_err() {
        let writing = || format!("writing {}", kept.display());
        let mut reader = disk.open(live).doing(|| format!("reading {}", live.display()))?;
        let mut writer = Hashing::new(disk.create(kept, 0o600).doing(writing)?);
        survey::copy(&mut reader, &mut writer, &mut |_| Ok(())).map_err(|e| e.at(live, kept))?;
        let (mut writer, digest) = writer.finish();
        if digest != found.sha256 {
            return Err(survey::changed_meanwhile(live));
        }
        writer.own(found.uid, found.gid, found.mode).doing(writing)?;
    }
    Ok(())
}

/// The folders above new files that are there already: on the way back they stay, even empty.
fn folders_before(trip: &Trip, tx: &Tx, unit: &crate::journal::Unit) -> Result<BTreeMap<String, Linked>> {
    let mut folders = BTreeMap::new();
    for (_, file) in tx.changes(unit).filter(|(_, f)| f.change == Change::Add) {
        for folder in file.inside().match_indices('/').map(|(i, _)| &file.inside()[..i]) {
            let dir = unit.to.join(folder);
            if let Some(meta) = trip.world.disk.meta(&dir).doing(|| format!("looking at {}", dir.display()))? {
                folders.insert(folder.to_owned(), Linked { kind: meta.kind, ino: meta.ino });
            }
        }
    }
    Ok(folders)
}

/// One sync for each file system, then a last look at what is about to be replaced.
fn seal(trip: &mut Trip, tx: &mut Tx, facts: &Facts) -> Result<()> {
    let disk = trip.world.disk;
    for index in 0..tx.journal.units.len() {
        let to = tx.journal.units[index].to.clone();
        let (live, staged) = match &tx.journal.units[index].way {
            UnitWay::Exchange { beside, .. } => {
                let ino = |path: &Path| disk.meta(path).doing(|| format!("looking at {}", path.display())).map(|m| m.map(|m| m.ino));
                (ino(&to)?, ino(beside)?)
            }
            UnitWay::PerFile { .. } => continue,
        };
        if live.is_none() && staged.is_none() {
            return Err(survey::changed_meanwhile(&to));
        }
        if let UnitWay::Exchange { before, after, .. } = &mut tx.journal.units[index].way {
            (*before, *after) = (live, staged);
        }
    }
    sync(trip, tx)?;
    for unit in &tx.journal.units {
        if facts.units[unit.unit].exists != disk.meta(&unit.to).doing(|| format!("looking at {}", unit.to.display()))?.is_some() {
            return Err(survey::changed_meanwhile(&unit.to));
        }
    }
    still_as_found(trip, tx)
}

/// Whether what is about to be replaced is what was looked at: its backup is a second name of it, and would change with it.
///
/// # Errors
/// Somebody changed it meanwhile.
pub fn still_as_found(trip: &Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    for unit in &tx.journal.units {
        let mut folders = survey::Folders::below(disk, &unit.to);
        for (_, file) in tx.changes(unit) {
            // a first install is not asked a hundred times for what lies in a folder that is not there
            if file.found.is_none() && file.change == Change::Add && matches!(folders.first_other(file.inside())?, Some((_, None))) {
                continue;
            }
            let live = survey::join(&unit.to, file.inside());
            let meta = disk.meta(&live).doing(|| format!("looking at {}", live.display()))?;
            let same = match &file.found {
                Some(found) => survey::unchanged(meta.as_ref(), found),
                None => file.change == Change::Add && meta.is_none_or(|m| m.kind == crate::world::Kind::Dir),
            };
            if !same {
                return Err(survey::changed_meanwhile(&live));
            }
        }
    }
    Ok(())
}

/// Makes everything on the file systems involved durable, each once.
///
/// # Errors
/// A file system says that it could not.
pub fn sync(trip: &Trip, tx: &Tx) -> Result<()> {
    let disk = trip.world.disk;
    let mut places: Vec<std::path::PathBuf> = vec![trip.settings.layout.state_dir()];
    if tx.journal.backup.is_some() {
        places.push(trip.settings.layout.backups());
    }
    for unit in &tx.journal.units {
        match &unit.way {
            UnitWay::Exchange { .. } => places.push(unit.to.parent().unwrap_or(&unit.to).to_owned()),
            UnitWay::PerFile { bases } => places.extend(bases.iter().filter_map(|b| b.parent()).map(Path::to_owned)),
        }
    }
    let mut synced = Vec::new();
    for place in places {
        let doing = || format!("syncing {}", place.display());
        let Some(meta) = disk.meta(&place).doing(doing)? else { continue };
        if !synced.contains(&meta.dev) {
            disk.sync_fs(&place).doing(doing)?;
            synced.push(meta.dev);
        }
    }
    Ok(())
}
