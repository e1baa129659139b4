//! Whether what is about to be switched in can run here at all: programs must be for this machine. Looked at in the staged files, whose
//! digests are right already, so that whoever is told can rely on it.

use std::io::Read as _;

use super::Trip;
use super::begin::Tx;
use crate::error::{Doing, Error, Result};
use crate::plan::Action;
use crate::release::{elf, manifest};

/// Looks at every program that an apply has staged. The way back is not asked: what ran here before may run again.
///
/// # Errors
/// One is for another machine.
pub fn check(trip: &Trip, tx: &Tx) -> Result<()> {
    if tx.plan.action == Action::Rollback {
        return Ok(());
    }
    let (disk, own) = (trip.world.disk, std::env::consts::ARCH);
    for unit in &tx.journal.units {
        for (index, file) in tx.changes(unit).filter(|(_, f)| f.is_written()) {
            let staged = tx.staged(unit, index, file);
            let doing = || format!("looking at {}", staged.display());
            // the mode it has now is the one it will have
            if disk.meta(&staged).doing(doing)?.is_none_or(|m| m.mode & 0o111 == 0) {
                continue;
            }
            let mut first = Vec::with_capacity(elf::LOOK);
            disk.open(&staged).doing(doing)?.take(elf::LOOK as u64).read_to_end(&mut first).doing(doing)?;
            if let Some(other) = elf::foreign(&first, own) {
                let here = manifest::this_arch();
                return Err(Error::refused(format!("{} is a program for {other}, this board is {here}", file.path)).hint(format!(
                    "nothing was changed: ask the maintainer for a release for {here}; who packs one for several machines marks such files with `arch`"
                )));
            }
        }
    }
    Ok(())
}
