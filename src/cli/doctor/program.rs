//! The updater itself: whether a release brings it, whether the last one has proven itself, and whether two would bring it.

use super::{Board, Finding};
use crate::state::Sentinel;
use crate::update::itself::is_own;
use crate::world::durable;

/// What dpkg knows of the package: a path a line.
const PACKAGE: &str = "/var/lib/dpkg/info/pikit-updater.list";

/// Looks at it.
pub fn look(board: &Board) -> Option<Finding> {
    let (settings, world) = (&board.settings, board.world());
    let program = world.outside.program();
    let root = settings.layout.root();
    // in a managed folder too: what of it is listed, only a release knows
    let mine = |path: &std::path::Path| is_own(root, program.as_deref(), path);
    let usual = root.join("usr/bin/pikit-updater");
    let places = [Some(usual), program.clone()];
    let managed = settings.managed.iter().find(|m| if m.is_folder() { places.iter().flatten().any(|p| p.starts_with(&m.to)) } else { mine(&m.to) })?;
    let package = durable::read(world.disk, &settings.layout.rooted(PACKAGE.as_ref()), 1 << 20).ok().flatten().unwrap_or_default();
    let package = String::from_utf8_lossy(&package).into_owned();
    let packaged = package.lines().find(|line| settings.layout.rooted(line.as_ref()).starts_with(&managed.to) && mine(&settings.layout.rooted(line.as_ref())));
    if let Some(path) = packaged {
        return Some(Finding::warn(
            "updater",
            format!("{path} belongs to the package pikit-updater, and [[managed]] brings it too: each would replace what the other installed"),
            "take one: `sudo apt-mark hold pikit-updater`, or take it out of [[managed]]",
        ));
    }
    Some(match Sentinel::load(world.disk, &settings.layout) {
        Err(e) => Finding::warn("updater", e.message(), "run it as root"),
        Ok(found) => match found.sentinel {
            Some(sentinel) => Finding::ok(
                "updater",
                format!(
                    "a new one came with {}; until it has completed a `recover` the one before stays ready to come back",
                    crate::update::settle::name_of(&sentinel.to)
                ),
            ),
            None => Finding::ok("updater", format!("releases bring it, to {}", managed.to.display())),
        },
    })
}
