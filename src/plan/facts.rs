//! What was found on the device: values, measured by the trip, read by `decide`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::release::{Digest, ReleasePath};

/// A listed file as it lies on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Digest of its content.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since the epoch.
    pub mtime: i128,
    /// Inode number.
    pub ino: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How a managed path is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A whole tree built beside it, exchanged in one rename.
    Exchange,
    /// File by file, journaled: where a tree cannot be exchanged (a mount, overlayfs, vfat).
    PerFile,
}

/// One managed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFacts {
    /// Where it is.
    pub to: PathBuf,
    /// How it is switched.
    pub way: Way,
    /// Whether anything is there.
    pub exists: bool,
    /// Who owns new files in it.
    pub owner: (u32, u32),
    /// Its file system: index into the list of volumes.
    pub volume: usize,
    /// Whether that file system keeps modes and owners.
    pub has_modes: bool,
}

/// One file system involved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Device number.
    pub dev: u64,
    /// A path on it, for messages.
    pub at: PathBuf,
    /// Bytes free.
    pub free: u64,
    /// Size of a block, bytes.
    pub block: u64,
    /// Mounted read-only.
    pub read_only: bool,
}

/// Everything measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The managed paths, in the settings' order.
    pub units: Vec<UnitFacts>,
    /// The file systems involved.
    pub volumes: Vec<VolumeFacts>,
    /// The listed files that are there.
    pub files: BTreeMap<ReleasePath, Rc<Found>>,
    /// Listed paths where something else than a plain file is in the way, with words for it.
    pub obstacles: BTreeMap<ReleasePath, String>,
    /// Contents that are on the device somewhere: other live files, backups, an interrupted download.
    pub at_hand: BTreeSet<Digest>,
    /// Digest of the installed manifest, if there is one that can be read.
    pub installed: Option<Digest>,
    /// The volume of backups, records and state.
    pub backup_volume: usize,
    /// Bytes of the bundle, if known.
    pub bundle_size: Option<u64>,
    /// Why the content of the target is quarantined here, if it is.
    pub quarantined: Option<String>,
}
