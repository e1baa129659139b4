//! `self-update`: the sentinel of the updater's own update. It is on the card before the switch that replaces the updater itself, and goes
//! when the new one has brought a `recover` to its end. If it cannot, a unit that needs no program of ours puts `PATH.previous` back and
//! renames the sentinel to `self-update.returned`, so that it does so once.
//!
//! Plain lines, because a shell reads it then. Keys are only ever added; unknown ones are passed over.

use std::path::{Path, PathBuf};

use semver::Version;

use crate::device::Layout;
use crate::error::{Doing, Result};
use crate::release::Digest;
use crate::world::{Disk, durable};

/// Largest sentinel that is read, bytes.
const SIZE_MAX: u64 = 64 << 10;

/// What replaced what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinel {
    /// Where the updater lies, as the board itself names it: without `--root`.
    pub path: PathBuf,
    /// The one before.
    pub old: Digest,
    /// The one that has to prove itself.
    pub new: Digest,
    /// The transaction that replaced it.
    pub transaction: String,
    /// The version before.
    pub from: Option<Version>,
    /// The version it came with.
    pub to: Option<Version>,
    /// Digest of that release's manifest.
    pub manifest_sha256: Option<Digest>,
    /// Digest of that release's file list: quarantine goes by it.
    pub content: Option<Digest>,
}

impl Sentinel {
    /// Its lines.
    fn text(&self) -> String {
        let mut text = format!("path={}\nold={}\nnew={}\ntransaction={}\n", self.path.display(), self.old, self.new, self.transaction);
        let mut more = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{key}={value}\n"));
            }
        };
        more("from", self.from.as_ref().map(ToString::to_string));
        more("to", self.to.as_ref().map(ToString::to_string));
        more("manifest", self.manifest_sha256.map(|d| d.to_string()));
        more("content", self.content.map(|d| d.to_string()));
        text
    }
    /// From its lines; none: it is damaged.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let digest = |key: &str| value(key).and_then(|v| v.parse::<Digest>().ok());
        let version = |key: &str| value(key).and_then(|v| Version::parse(v).ok());
        Some(Sentinel {
            path: value("path").map(PathBuf::from).filter(|p| p.is_absolute())?,
            old: digest("old")?,
            new: digest("new")?,
            transaction: value("transaction")?.to_owned(),
            from: version("from"),
            to: version("to"),
            manifest_sha256: digest("manifest"),
            content: digest("content"),
        })
    }
    /// Reads it. One that is damaged says nothing: it is only good for being removed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(disk: &dyn Disk, layout: &Layout) -> Result<Found> {
        let read = |path: PathBuf| durable::read(disk, &path, SIZE_MAX).doing(|| format!("reading {}", path.display()));
        let (stands, copy) = (read(layout.self_update())?, read(layout.self_update_returned())?);
        let there = stands.is_some() || copy.is_some();
        // of an earlier one, that says nothing about this one
        let used = stands.is_none();
        let sentinel = stands.or(copy).and_then(|bytes| Sentinel::parse(&String::from_utf8_lossy(&bytes)));
        Ok(Found { there, used: used && sentinel.is_some(), sentinel })
    }
    /// Writes it durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, disk: &dyn Disk, layout: &Layout) -> Result<()> {
        super::status::save(disk, layout, &layout.self_update(), self.text().as_bytes())
    }
    /// Removes it durably: nothing is put back any more.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(disk: &dyn Disk, layout: &Layout) -> Result<()> {
        for path in [layout.self_update(), layout.self_update_returned()] {
            durable::remove(disk, &path).doing(|| format!("removing {}", path.display()))?;
        }
        disk.sync_dir(&layout.state_dir()).doing(|| format!("syncing {}", layout.state_dir().display()))
    }
    /// Where the updater lies on this machine.
    pub fn live(&self, layout: &Layout) -> PathBuf {
        layout.rooted(&self.path)
    }
}

/// What became of the sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Something is there, readable or not.
    pub there: bool,
    /// The sentinel.
    pub sentinel: Option<Sentinel>,
    /// The unit put the old updater back.
    pub used: bool,
}

/// Where the old updater stays: beside the new one, so that putting it back is one rename.
pub fn previous(live: &Path) -> PathBuf {
    let mut name = live.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    live.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::sim::SimDisk;

    fn sentinel() -> Sentinel {
        Sentinel {
            path: "/opt/my tools/pikit-updater".into(),
            old: Digest::of(b"old"),
            new: Digest::of(b"new"),
            transaction: "0".repeat(26),
            from: None,
            to: Some(Version::new(1, 1, 0)),
            manifest_sha256: Some(Digest::of(b"m")),
            content: Some(Digest::of(b"c")),
        }
    }

    #[test]
    fn it_survives_its_own_spelling_and_what_newer_ones_add() {
        let s = sentinel();
        assert_eq!(Sentinel::parse(&s.text()), Some(s.clone()));
        assert_eq!(Sentinel::parse(&format!("later=1\n{}more=x=y\n", s.text())), Some(s.clone()));
        // a torn one says nothing
        for end in 0..s.text().find("to=").unwrap() - 1 {
            assert_eq!(Sentinel::parse(&s.text()[..end]).filter(|p| p.transaction == s.transaction), None, "{end}");
        }
    }

    #[test]
    fn a_used_one_counts_only_where_none_stands() {
        let (disk, layout) = (SimDisk::new(), Layout::new("/"));
        durable::make_dirs(&disk, &layout.state_dir(), 0o755).unwrap();
        let found = |used| Found { there: true, sentinel: Some(sentinel()), used };
        assert_eq!(Sentinel::load(&disk, &layout).unwrap(), Found { there: false, sentinel: None, used: false });
        sentinel().save(&disk, &layout).unwrap();
        assert_eq!(Sentinel::load(&disk, &layout).unwrap(), found(false));
        disk.rename(&layout.self_update(), &layout.self_update_returned(), false).unwrap();
        assert_eq!(Sentinel::load(&disk, &layout).unwrap(), found(true));
        sentinel().save(&disk, &layout).unwrap();
        assert_eq!(Sentinel::load(&disk, &layout).unwrap(), found(false));
        Sentinel::forget(&disk, &layout).unwrap();
        assert!(!Sentinel::load(&disk, &layout).unwrap().there);
    }
}
