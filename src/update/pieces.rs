//! What was fetched and is not used yet: below `/var/tmp/pikit-update/<version>/`, each content named by its digest, and where in a bundle
//! that cannot be sought in an interrupted run had come to.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::begin::Tx;
use super::fetch::From;
use super::{Trip, survey};
use crate::device::Layout;
use crate::release::{Digest, digest::Hashing, manifest};
use crate::world::{Disk, durable};

/// A place to go on from after an interruption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// In which release.
    pub manifest_sha256: Digest,
    /// In which bundle.
    pub at: String,
    /// Where.
    pub offset: u64,
    /// In which state of it.
    pub validator: Option<String>,
}

impl Resume {
    /// The start of a release's bundle.
    pub fn start(from: &From) -> Self {
        Resume { manifest_sha256: from.manifest_sha256, at: from.bundle.at.clone(), offset: 0, validator: None }
    }
    /// Where an earlier run of it stopped.
    pub fn load(trip: &Trip, from: &From) -> Option<Self> {
        let bytes = durable::read(trip.world.disk, &resume_path(trip, from), 64 << 10).ok()??;
        let resume: Resume = serde_json::from_slice(&bytes).ok()?;
        (resume.manifest_sha256 == from.manifest_sha256 && resume.at == from.bundle.at).then_some(resume)
    }
    /// Without it a later run starts at the beginning, so failing to write it is no failure.
    pub fn save(&self, trip: &Trip, from: &From) {
        let path = resume_path(trip, from);
        let bytes = serde_json::to_vec(self).expect("a place is plain data");
        let _ = make_home(trip, path.parent().expect("it lies in a folder")).and_then(|()| durable::save(trip.world.disk, &path, &bytes, 0o600));
    }
    /// All has come.
    pub fn forget(trip: &Trip, from: &From) {
        let _ = durable::remove(trip.world.disk, &resume_path(trip, from));
    }
}

fn resume_path(trip: &Trip, from: &From) -> PathBuf {
    trip.settings.layout.fetched_of(&from.manifest.version).join("resume.json")
}

fn make_home(trip: &Trip, dir: &Path) -> io::Result<()> {
    durable::make_dirs(trip.world.disk, dir, 0o700)
}

/// Moves what was staged of an abandoned transaction to where the next run finds it. Best effort: what cannot be kept is fetched again.
pub fn keep_pieces(trip: &Trip, tx: &Tx) {
    let (Some(version), Some(_)) = (&tx.plan.to, &tx.plan.manifest_sha256) else { return };
    let disk = trip.world.disk;
    let home = trip.settings.layout.fetched_of(version);
    for unit in &tx.journal.units {
        for (index, file) in tx.changes(unit).filter(|(_, f)| f.is_written()) {
            let Some(want) = &file.want else { continue };
            let staged = tx.staged(unit, index, file);
            if !matches!(disk.meta(&staged), Ok(Some(m)) if m.kind == crate::world::Kind::File && m.size > 0) {
                continue;
            }
            let piece = home.join(want.sha256.to_string());
            if make_home(trip, &home).is_err() {
                return;
            }
            // on another file system it is copied, and only if it is what it should be
            if disk.rename(&staged, &piece, false).is_err() {
                let _ = copy_piece(trip, &staged, &piece, &want.sha256);
            }
        }
    }
}

fn copy_piece(trip: &Trip, staged: &Path, piece: &Path, expected: &Digest) -> io::Result<()> {
    let disk = trip.world.disk;
    durable::remove(disk, piece)?;
    let mut reader = disk.open(staged)?;
    let mode = disk.meta(staged)?.map_or(0o600, |m| m.mode & 0o755);
    let mut writer = Hashing::new(disk.create(piece, mode)?);
    let copied = survey::copy(&mut reader, &mut writer, &mut |_| Ok(()));
    if copied.is_err() || writer.finish().1 != *expected {
        return disk.unlink(piece);
    }
    Ok(())
}

/// Removes what was fetched and is not needed any more. The folder of uploads is another's, and what waits there is not ours.
pub fn forget_pieces(trip: &Trip) {
    forget(trip.world.disk, &trip.settings.layout);
}

/// The same without a trip.
pub fn forget(disk: &dyn Disk, layout: &Layout) {
    let (home, uploads) = (layout.fetched(), layout.uploads());
    for name in disk.list(&home).unwrap_or_default() {
        let path = home.join(name);
        if path != uploads {
            let _ = durable::remove_whole(disk, &path);
        }
    }
    // unless there are uploads
    let _ = disk.rmdir(&home);
}

/// What was fetched, a folder a version.
pub fn homes(disk: &dyn Disk, layout: &Layout) -> Vec<PathBuf> {
    let home = layout.fetched();
    let names = disk.list(&home).unwrap_or_default();
    names.iter().filter(|n| n.to_str().is_some_and(|n| manifest::version(n).is_ok())).map(|n| home.join(n)).collect()
}
