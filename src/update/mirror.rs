//! What the state shows of other files: version, backups, quarantine, and what follows for the offer.

use super::{Trip, backup};
use crate::error::{Doing, Result};
use crate::release::manifest;
use crate::state::Ledger;
use crate::world::durable;

/// Brings the parts of the state that mirror other files up to date.
///
/// # Errors
/// They cannot be read.
pub fn refresh(trip: &mut Trip) -> Result<()> {
    let (disk, layout) = (trip.world.disk, trip.settings.layout.clone());
    let version = durable::read(disk, &layout.version(), 4096).doing(|| format!("reading {}", layout.version().display()))?;
    trip.state.current = version.and_then(|b| manifest::version(String::from_utf8_lossy(&b).trim()).ok());
    let backups = backup::list(disk, &layout)?;
    trip.state.backup_path = backups.first().map(|b| b.dir.display().to_string());
    trip.state.backups = backups.iter().map(backup::Backup::line).collect();
    if let Ok(ledger) = Ledger::load(disk, &layout) {
        trip.state.quarantined = ledger.quarantine;
    }
    // what is not newer is no offer, unless what is installed was taken back
    let current = &trip.state.current;
    trip.state.available = trip.state.available.take().filter(|a| Some(&a.version) > current.as_ref() || (a.takes_back.is_some() && a.takes_back == *current));
    let quarantined = |v: &semver::Version, m: &crate::release::Digest| trip.state.quarantined.iter().any(|q| q.version == *v && q.manifest_sha256 == Some(*m));
    trip.state.update_available = trip.state.available.as_ref().is_some_and(|a| a.blocked.is_empty() && !quarantined(&a.version, &a.manifest_sha256));
    Ok(())
}
