//! A disk in memory that loses power where a test wants it to, deterministically.
//!
//! The model of durability. Metadata operations (create, mkdir, link, rename, exchange, unlink, rmdir, owner and mode) are journaled in their
//! order. After a power cut each volume holds a *prefix* of them that contains at least everything before its last sync: `sync_fs`,
//! `sync_dir` and the `sync` of a file all commit the one journal that ext4 has. The *content* of a file written since the last sync of that
//! file or of its volume may be whole, lost or torn (a prefix), independently of the metadata. So a rename may outlive the content of what it renamed.
//!
//! Every verb that changes something is one effect, and so is every `write` and every sync. A verb that is refused (`AlreadyExists`, …) is none.
//! Inode numbers are reused at once, as ext4 does; they outlast a power cut only on volumes that exchange. Times are as coarse as a kernel's.
//!
//! Not modelled: permissions, blocks that decay, one sync that fails and the next that lies about it.

mod files;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod verbs;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use super::disk::{Disk, Kind};
use state::{Fault, Random, State};
use tree::{Body, ROOT, Vol};

/// What survives of the things not yet synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: each volume is as of its last sync.
    LoseAll,
    /// All metadata and none of the content: full of empty files.
    KeepMetadata,
    /// Everything: as if only the process had been killed.
    KeepAll,
    /// A random prefix of the metadata of each volume, and a random fate for the content of each file.
    Torn(u64),
}

/// What every verb says once the power is gone.
#[derive(Debug)]
pub struct PowerCut;

impl std::fmt::Display for PowerCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("power cut")
    }
}

impl std::error::Error for PowerCut {}

/// An entry as [`SimDisk::dump`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// What it is.
    pub kind: Kind,
    /// Of a file, its bytes; of a link, its target.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

type Meanwhile = Box<dyn FnOnce(&SimDisk)>;

/// The disk.
pub struct SimDisk {
    state: Rc<RefCell<State>>,
    meanwhile: RefCell<Option<(u64, Meanwhile)>>,
    /// Somebody else's deed is under way.
    busy: Cell<bool>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// A clone is a disk of its own in the same state: no effects counted, no faults planned, with power.
impl Clone for SimDisk {
    fn clone(&self) -> Self {
        let mut state = self.state.borrow().clone();
        (state.effects, state.cut_at, state.fault, state.dead) = (0, None, None, false);
        SimDisk::of(state)
    }
}

impl SimDisk {
    /// One volume at `/`, as ext4, with a terabyte free.
    pub fn new() -> Self {
        Self::with_volumes(&[])
    }

    /// Volumes mounted at these paths: path, whether it exchanges (ext4) or refuses to (overlayfs), bytes free. Without one for `/`
    /// there is a default one.
    pub fn with_volumes(volumes: &[(&str, bool, u64)]) -> Self {
        let (_, exchanges, free) = volumes.iter().find(|v| v.0 == "/").copied().unwrap_or(("/", true, 1 << 40));
        let state = State {
            vols: vec![Vol::new(exchanges, free)],
            mounts: Vec::new(),
            next_id: ROOT + 1,
            ticks: 0,
            effects: 0,
            cut_at: None,
            fault: None,
            dead: false,
        };
        let disk = SimDisk::of(state);
        for (path, exchanges, free) in volumes.iter().filter(|v| v.0 != "/") {
            super::durable::make_dirs(&disk, Path::new(path), 0o755).unwrap();
            let mut state = disk.state.borrow_mut();
            let (vol, id) = state.find(Path::new(path)).unwrap();
            let new = state.vols.len();
            state.mounts.push((vol, id, new));
            state.vols.push(Vol::new(*exchanges, *free));
        }
        disk.clone()
    }

    fn of(state: State) -> Self {
        SimDisk { state: Rc::new(RefCell::new(state)), meanwhile: RefCell::new(None), busy: Cell::new(false) }
    }

    /// A second hand on the same disk, unlike a clone.
    pub fn share(&self) -> Self {
        SimDisk { state: self.state.clone(), meanwhile: RefCell::new(None), busy: Cell::new(false) }
    }

    /// Effects since it was made or cloned.
    pub fn effects(&self) -> u64 {
        self.state.borrow().effects
    }

    /// After `k` more effects the power is gone: the next one does not happen, and from then on every verb says [`PowerCut`].
    pub fn cut_after(&self, k: u64) {
        let mut state = self.state.borrow_mut();
        state.cut_at = Some(state.effects + k);
    }

    /// After `k` more effects, one fails; the ones after it do not.
    pub fn fail_after(&self, k: u64, errno: Errno) {
        self.plan_fault(k, errno, false);
    }

    /// After `k` more effects, all fail (a card that has gone read-only).
    pub fn fail_from(&self, k: u64, errno: Errno) {
        self.plan_fault(k, errno, true);
    }

    fn plan_fault(&self, k: u64, errno: Errno, sticky: bool) {
        let mut state = self.state.borrow_mut();
        state.fault = Some(Fault { at: state.effects + k, errno, sticky });
    }

    /// After `k` more effects somebody else does this, uncounted and untouched by faults, before the next verb that names a path.
    pub fn meanwhile(&self, k: u64, deed: impl FnOnce(&SimDisk) + 'static) {
        *self.meanwhile.borrow_mut() = Some((self.effects() + k, Box::new(deed)));
    }

    /// Whether the planned power cut has come.
    pub fn lost_power(&self) -> bool {
        self.state.borrow().dead
    }

    /// The disk as it is after the next boot, had the power gone now (or when it went).
    pub fn after_power_cut(&self, cut: Cut) -> SimDisk {
        let mut state = self.clone().state.borrow().clone();
        let mut random = Random(if let Cut::Torn(seed) = cut { seed } else { 0 });
        for vol in &mut state.vols {
            vol.lose_power(cut, &mut random);
        }
        SimDisk::of(state)
    }

    /// A symbolic link that somebody has put there; no verb makes one.
    pub fn plant_link(&self, target: &Path, path: &Path) {
        self.plant(path, Body::Link(target.to_owned()));
    }

    /// A pipe that somebody has put there.
    pub fn plant_pipe(&self, path: &Path) {
        self.plant(path, Body::Other);
    }

    fn plant(&self, path: &Path, body: Body) {
        let mut state = self.state.borrow_mut();
        let entry = state.entry(path).unwrap();
        assert!(entry.id.is_none(), "something lies at {}", path.display());
        state.add(&entry, 0o777, body);
        state.vols[entry.vol].sync_meta();
    }

    /// All below a folder, by path relative to it.
    pub fn dump(&self, top: &Path) -> BTreeMap<PathBuf, Dumped> {
        dump(self, top)
    }
}

/// All below a folder of any disk, by path relative to it.
pub fn dump(disk: &dyn Disk, top: &Path) -> BTreeMap<PathBuf, Dumped> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in disk.list(&top.join(&folder)).unwrap() {
            let path = folder.join(name);
            let at = top.join(&path);
            let meta = disk.meta(&at).unwrap().unwrap();
            let mut content = Vec::new();
            match meta.kind {
                Kind::Dir => folders.push(path.clone()),
                Kind::File => drop(disk.open(&at).unwrap().read_to_end(&mut content).unwrap()),
                Kind::Link => content = disk.read_link(&at).unwrap().into_os_string().into_encoded_bytes(),
                Kind::Other => {}
            }
            found.insert(path, Dumped { kind: meta.kind, content, mode: meta.mode });
        }
    }
    found
}
