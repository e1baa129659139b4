//! Whether the updater's own folders are its own. Some lie where others may make folders: who was there first could put links and files
//! of their choice below root's hands.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::device::Layout;
use crate::error::{Error, Result};
use crate::world::way::{self, Astray, person};

/// Why a folder is not ours, if it is not; one that is not there yet is.
fn wrong(path: &Path) -> Result<Option<String>> {
    let refused = |astray: Astray| match &astray {
        Astray::Foreign { hint, .. } => Error::refused(format!("{} is not used", path.display())).hint(hint).because(astray),
        Astray::Failed(..) => Error::refused(format!("looking for {}", path.display())).because(astray),
    };
    let real = way::follow(path, true).map_err(refused)?;
    let Ok(meta) = std::fs::symlink_metadata(&real) else { return Ok(None) };
    let others_write = meta.mode() & 0o002 != 0 || (meta.mode() & 0o020 != 0 && meta.gid() != 0);
    Ok(match meta {
        m if m.uid() != 0 => Some(format!("{} belongs to {}", path.display(), person(m.uid()))),
        _ if others_write => Some(format!("others than root may write to {}", path.display())),
        _ => None,
    })
}

/// Whether what is fetched must go elsewhere: `/var/tmp` is everybody's. What is there is left to whoever made it.
pub fn fetched_is_not_ours(layout: &Layout) -> bool {
    rustix::process::geteuid().is_root() && !matches!(wrong(&layout.fetched()), Ok(None))
}

/// What is to be said about a folder that is not used.
pub fn note(layout: &Layout) -> Option<String> {
    let usual = Layout::new(layout.root()).fetched();
    (usual != layout.fetched()).then(|| {
        let why = match wrong(&usual) {
            Ok(why) => why.unwrap_or_default(),
            Err(e) => e.message(),
        };
        format!("{} is not used, {why}: what is fetched goes to {}; look who made it, and remove it", usual.display(), layout.fetched().display())
    })
}

/// Makes sure that memory and backups are root's alone, if we are root.
///
/// # Errors
/// One is not.
pub fn check(layout: &Layout) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for path in [layout.state_dir(), layout.backups()] {
        if let Some(why) = wrong(&path)? {
            return Err(Error::refused(format!("{why}: what the updater keeps there could be exchanged"))
                .hint(format!("look what is in it, then make it root's: `sudo chown root:root {0} && sudo chmod go-w {0}`", path.display())));
        }
    }
    Ok(())
}
