//! What one command works with: the settings with their managed paths found, the real disk, processes and clock, and the lock.

use std::path::{Path, PathBuf};

use super::args::Globals;
use super::own;
use crate::device::{Layout, Settings};
use crate::error::{Doing, Error, Result};
use crate::world::clock::RealClock;
use crate::world::lock::Locked;
use crate::world::look::LookOnly;
use crate::world::outside::RealOutside;
use crate::world::real::RealDisk;
use crate::world::way::{self, Astray};
use crate::world::{Clock, World};

/// The board as one command sees it.
pub struct Board {
    /// The owner's decisions, every managed path found.
    pub settings: Settings,
    /// Files.
    pub disk: RealDisk,
    /// Time and signals.
    pub clock: RealClock,
    /// The id that a transaction shall have, if somebody waits for it.
    pub id: Option<String>,
}

impl Board {
    /// A board that is only looked at: a signal ends the command at once.
    ///
    /// # Errors
    /// The config is not there, or is none; a managed path leads through a link that is not root's.
    pub fn to_look(globals: &Globals) -> Result<Self> {
        Board::with(globals, RealClock::new())
    }
    /// A board that may be changed: a signal is a wish, heard where it is safe.
    ///
    /// # Errors
    /// As above, a folder of ours is somebody else's, or signals cannot be caught.
    pub fn to_change(globals: &Globals) -> Result<Self> {
        // the config first: who mistyped it is told so at once
        let board = Board::to_look(globals)?;
        own::check(&board.settings.layout)?;
        let clock = RealClock::with_signals().doing(|| "listening for signals".into())?;
        Ok(Board { clock, ..board })
    }
    fn with(globals: &Globals, clock: RealClock) -> Result<Self> {
        Ok(Board::of(settings(globals)?, clock, globals.transaction.clone()))
    }
    /// A board with these settings.
    pub fn of(settings: Settings, clock: RealClock, id: Option<String>) -> Self {
        // a managed path itself is no anchor: nothing may follow a link there either
        let anchors = settings.managed.iter().map(|m| m.parent().to_owned()).collect();
        Board { settings, disk: RealDisk::new(anchors), clock, id }
    }
    /// The doors.
    pub fn world(&self) -> World<'_> {
        World { disk: &self.disk, outside: &RealOutside, clock: &self.clock }
    }
    /// The disk without its writing verbs.
    pub fn look_only(&self) -> LookOnly<'_> {
        LookOnly(&self.disk)
    }
    /// Takes the lock.
    ///
    /// # Errors
    /// Another run holds it.
    pub fn lock(&self) -> Result<Locked> {
        Locked::take(&self.settings.layout.lock(), &self.clock.boot_id())
    }
}

/// The layout that `--root` asks for.
///
/// # Errors
/// There is no such folder.
pub fn layout(globals: &Globals) -> Result<Layout> {
    let Some(root) = &globals.root else { return Ok(Layout::new("/")) };
    let real = std::fs::canonicalize(root).map_err(|e| Error::usage(format!("--root {}", root.display())).because(e))?;
    if !real.is_dir() {
        return Err(Error::usage(format!("--root {} is no folder", root.display())));
    }
    Ok(Layout::new(real))
}

/// Where the config lies.
///
/// # Errors
/// As for [`layout`].
pub fn config_path(globals: &Globals, layout: &Layout) -> PathBuf {
    globals.config.clone().unwrap_or_else(|| layout.config())
}

/// The effective config, its managed paths found.
///
/// # Errors
/// The file cannot be read, does not parse, or names paths that are not what they seem: exit 2. A way there that somebody else than root
/// laid is refused: exit 5.
pub fn settings(globals: &Globals) -> Result<Settings> {
    let layout = layout(globals)?;
    let path = config_path(globals, &layout);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::usage(format!("there is no config at {}", path.display()))
                .hint("`sudo pikit-updater setup` writes one; or say where it is with --config"));
        }
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(Error::usage(format!("{} is not UTF-8", path.display()))),
        Err(e) => return Err(e).doing(|| format!("reading {}", path.display())),
    };
    effective(&text, &path, &layout).map_err(|e| if e.hint.is_some() { e } else { e.hint("`pikit-updater config check` looks at it again") })
}

/// The settings that this text makes, its managed paths found; `path` is what messages call it.
///
/// # Errors
/// As for [`settings`].
pub fn effective(text: &str, path: &Path, layout: &Layout) -> Result<Settings> {
    let wrong = |e: String| Error::usage(format!("{}: {e}", path.display()));
    let mut settings = Settings::parse(text, layout).map_err(wrong)?;
    for managed in &mut settings.managed {
        managed.to = found(&managed.to, layout.root())?;
    }
    if own::fetched_is_not_ours(layout) {
        settings.layout = settings.layout.with_fetched_apart();
    }
    apart(&settings).map_err(wrong)?;
    Ok(settings)
}

/// The path with every link on the way followed, its last part not: what is switched is what lies there, and the engine follows no
/// link by itself. As root, only links that root made.
fn found(to: &Path, root: &Path) -> Result<PathBuf> {
    let wrong = |e: String| Error::usage(format!("managed.to: {e}"));
    let name = to.file_name().ok_or_else(|| wrong(format!("{} has no name", to.display())))?;
    let careful = rustix::process::geteuid().is_root();
    let real = way::follow(to.parent().unwrap_or(root), careful).map_err(|astray| match &astray {
        Astray::Foreign { hint, .. } => {
            Error::refused(format!("managed.to: {} leads through a link that is not root's", to.display())).hint(hint).because(astray)
        }
        Astray::Failed(..) => wrong(astray.to_string()),
    })?;
    if !real.starts_with(root) {
        return Err(wrong(format!("{} leads out of {} to {}", to.display(), root.display(), real.display())));
    }
    Ok(real.join(name))
}

/// Paths that are apart in the config may meet through links.
fn apart(settings: &Settings) -> Result<(), String> {
    let own = [settings.layout.state_dir(), settings.layout.fetched(), settings.layout.backups()];
    let own: Vec<PathBuf> = own.into_iter().map(|p| std::fs::canonicalize(&p).unwrap_or(p)).collect();
    let meet = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    for (i, managed) in settings.managed.iter().enumerate() {
        if let Some(other) = settings.managed[..i].iter().find(|m| meet(&m.to, &managed.to)) {
            return Err(format!("managed: {} and {} overlap on the device, by way of a link", other.to.display(), managed.to.display()));
        }
        if let Some(own) = own.iter().find(|own| meet(own, &managed.to)) {
            return Err(format!("managed.to: {} overlaps the updater's own {}, by way of a link", managed.to.display(), own.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::scratch::Scratch;

    #[test]
    fn links_on_the_way_are_followed_and_the_last_part_is_not() {
        let scratch = Scratch::new();
        let root = std::fs::canonicalize(scratch.path()).unwrap();
        std::fs::create_dir_all(root.join("big/www")).unwrap();
        std::os::unix::fs::symlink("big", root.join("srv")).unwrap();
        std::os::unix::fs::symlink("www", root.join("big/link")).unwrap();
        assert_eq!(found(&root.join("srv/www/site"), &root).unwrap(), root.join("big/www/site"));
        assert_eq!(found(&root.join("srv/link"), &root).unwrap(), root.join("big/link"));
        assert_eq!(found(&root.join("srv/not/yet/there"), &root).unwrap(), root.join("big/not/yet/there"));
        std::os::unix::fs::symlink("/tmp", root.join("out")).unwrap();
        assert!(found(&root.join("out/site"), &root).unwrap_err().message().contains("leads out of"));
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        assert!(found(&root.join("dangling/site"), &root).is_err());
    }
}
