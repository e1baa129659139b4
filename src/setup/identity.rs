//! What makes two boards look like one after a card was copied: forgotten here. What a release needs stays: the config, the keys, what is
//! installed, the backups, and what is known of releases (above all the lowest version that may still be installed).

use crate::device::Settings;
use crate::error::{Doing, Result};
use crate::state::State;
use crate::update::{pieces, upload};
use crate::world::{World, durable};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reset {
    /// What is gone, and what that means.
    pub removed: Vec<String>,
    /// What is still there, and why.
    pub kept: Vec<String>,
}

/// Forgets. To be called with the lock held and nothing interrupted. Safe to be cut anywhere and called again.
///
/// # Errors
/// Something cannot be removed.
pub fn reset(world: World, settings: &Settings) -> Result<Reset> {
    let (disk, layout) = (world.disk, &settings.layout);
    let mut done = Reset::default();
    let gone = [
        (settings.api.token_file.clone(), "whoever had the token of the other board has none of this one; a new one is made when it is needed"),
        (layout.history(), "what happened on the other board"),
        (layout.logs(), "its logs"),
        (layout.notified(), "what others were told already"),
        (layout.offered(), "what its source last said"),
        (layout.answer(), "how the last request ended"),
        (layout.planned(), "the plan of the last check"),
    ];
    for (path, what) in gone {
        let doing = || format!("removing {}", path.display());
        if durable::exists(disk, &path).doing(doing)? {
            durable::remove_whole(disk, &path).doing(doing)?;
            if let Some(above) = path.parent() {
                disk.sync_dir(above).doing(doing)?;
            }
            done.removed.push(format!("{}: {what}", path.display()));
        }
    }
    pieces::forget(disk, layout);
    upload::discard(disk, layout);
    let mut state = State::load(disk, layout)?.state;
    if state.last_result.is_some() || state.last_check.is_some() || state.available.is_some() {
        (state.last_result, state.last_check, state.last_check_error) = (None, None, None);
        (state.latest, state.available, state.update_available) = (None, None, false);
        state.save(disk, layout)?;
        done.removed.push(format!("{}: the last check and the last result in it", layout.state().display()));
    }
    let kept = [
        (layout.config(), "the config"),
        (settings.trust.keys.clone(), "the keys of whoever makes the releases"),
        (layout.installed(), "what is installed"),
        (layout.trust(), "the lowest version that may still be installed, adopted keys, releases that failed"),
        (layout.backups(), "the way back"),
        (
            layout.machine_id(),
            "the system's own: the minute of the daily round and this board's turn in waves follow from it; a copied card needs another one (`systemd-machine-id-setup`)",
        ),
    ];
    for (path, why) in kept {
        if durable::exists(disk, &path).doing(|| format!("looking at {}", path.display()))? {
            done.kept.push(format!("{}: {why}", path.display()));
        }
    }
    Ok(done)
}
