//! The state of the simulated disk: its volumes, where they are mounted, what is planned against it; and how paths are found in it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

use rustix::io::Errno;

use super::PowerCut;
use super::tree::{Body, Edit, Id, Node, ROOT, Vol};

#[derive(Clone)]
pub(super) struct State {
    pub(super) vols: Vec<Vol>,
    /// Volume and folder on which a volume is mounted.
    pub(super) mounts: Vec<(usize, Id, usize)>,
    pub(super) next_id: Id,
    /// Counts effects since the disk was made, across clones: the source of times.
    pub(super) ticks: u64,
    pub(super) effects: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) fault: Option<Fault>,
    pub(super) dead: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) errno: Errno,
    pub(super) sticky: bool,
}

/// splitmix64: the same numbers for the same seed, everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number from 0 to `most`.
    pub(super) fn upto(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % (most as u64 + 1)) as usize
    }
}

/// A name in a folder, and what it names.
pub(super) struct Entry {
    pub(super) vol: usize,
    pub(super) dir: Id,
    pub(super) name: OsString,
    pub(super) id: Option<Id>,
}

impl State {
    /// Every verb asks first; the error is that of a board without power.
    pub(super) fn powered(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other(PowerCut)) } else { Ok(()) }
    }

    /// One effect is about to happen: does it?
    pub(super) fn effect(&mut self) -> io::Result<()> {
        self.powered()?;
        if self.cut_at.is_some_and(|at| self.effects >= at) {
            self.dead = true;
            return self.powered();
        }
        let this = self.effects;
        self.effects += 1;
        self.ticks += 1;
        match self.fault {
            Some(f) if this == f.at || (f.sticky && this > f.at) => Err(f.errno.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn time(&self) -> i128 {
        1_700_000_000_000_000_000 + i128::from(self.ticks / 8) * 4_000_000
    }

    pub(super) fn node(&self, vol: usize, id: Id) -> &Node {
        &self.vols[vol].live.nodes[&id]
    }

    /// The root of what is mounted there, or the folder itself.
    pub(super) fn cross(&self, vol: usize, id: Id) -> (usize, Id) {
        self.mounts.iter().find(|m| (m.0, m.1) == (vol, id)).map_or((vol, id), |m| (m.2, ROOT))
    }

    pub(super) fn mounted_on(&self, vol: usize, id: Id) -> bool {
        self.cross(vol, id) != (vol, id)
    }

    pub(super) fn child(&self, vol: usize, dir: Id, name: &OsStr) -> Result<Option<Id>, Errno> {
        match &self.node(vol, dir).body {
            Body::Dir(entries) => Ok(entries.get(name).copied()),
            Body::Link(_) => Err(Errno::LOOP),
            Body::File | Body::Other => Err(Errno::NOTDIR),
        }
    }

    /// What a path names, across mounts and through no link.
    pub(super) fn find(&self, path: &Path) -> Result<(usize, Id), Errno> {
        if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
            return Err(Errno::INVAL);
        }
        let mut at = (0, ROOT);
        for name in path.iter().skip(1) {
            let id = self.child(at.0, at.1, name)?.ok_or(Errno::NOENT)?;
            at = self.cross(at.0, id);
        }
        Ok(at)
    }

    pub(super) fn entry(&self, path: &Path) -> Result<Entry, Errno> {
        if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
            return Err(Errno::INVAL);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::BUSY) };
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        let (vol, dir) = self.find(parent)?;
        Ok(Entry { vol, dir, name: name.to_owned(), id: self.child(vol, dir, name)? })
    }

    pub(super) fn add(&mut self, entry: &Entry, mode: u32, body: Body) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        let mtime = self.time();
        let vol = &mut self.vols[entry.vol];
        let node = Node { ino: vol.lowest_ino(), mode, uid: 0, gid: 0, names: 0, mtime, body };
        vol.commit(vec![Edit::New(id, node), Edit::Set(entry.dir, entry.name.clone(), Some(id))]);
        id
    }
}
