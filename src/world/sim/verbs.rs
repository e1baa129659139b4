//! The verbs on the simulated disk, with Linux's errors in Linux's order. What is refused changes nothing and is no effect.

use std::cell::RefMut;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SimDisk;
use super::files::{SimFile, SimReader};
use super::state::{Entry, State};
use super::tree::{BLOCK, Body, Edit, Id, Node, ROOT};
use crate::world::disk::{Content, Disk, Kind, Meta, NewFile, Volume};

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

impl SimDisk {
    /// The state for one verb: somebody else's planned deed comes first, and without power there is none.
    fn turn(&self) -> io::Result<RefMut<'_, State>> {
        let due = self.meanwhile.borrow().as_ref().is_some_and(|(at, _)| self.effects() >= *at) && !self.busy.get() && !self.lost_power();
        if due && let Some((_, deed)) = self.meanwhile.take() {
            self.busy.set(true);
            let (effects, cut, fault) = {
                let mut state = self.state.borrow_mut();
                (state.effects, state.cut_at.take(), state.fault.take())
            };
            deed(self);
            let mut state = self.state.borrow_mut();
            (state.effects, state.cut_at, state.fault) = (effects, cut, fault);
            self.busy.set(false);
        }
        let state = self.state.borrow_mut();
        state.powered()?;
        Ok(state)
    }

    fn file(&self, vol: usize, id: Id) -> Box<dyn NewFile> {
        Box::new(SimFile { state: self.state.clone(), vol, id })
    }

    fn renamed(&self, from: &Path, to: &Path, new_only: bool, exchange: bool) -> io::Result<()> {
        let mut state = self.turn()?;
        let (a, b) = (state.entry(from)?, state.entry(to)?);
        if a.vol != b.vol {
            return Err(Errno::XDEV.into());
        }
        let source = a.id.ok_or(Errno::NOENT)?;
        match b.id {
            Some(_) if new_only => return Err(Errno::EXIST.into()),
            None if exchange => return Err(Errno::NOENT.into()),
            _ => {}
        }
        if from != to && to.starts_with(from) {
            return Err(Errno::INVAL.into());
        }
        if from != to && from.starts_with(to) {
            return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY }.into());
        }
        if exchange && !state.vols[a.vol].exchanges {
            return Err(Errno::XDEV.into());
        }
        if b.id == Some(source) {
            return state.effect(); // two names of one inode: both stay
        }
        if [Some(source), b.id].iter().flatten().any(|id| state.mounted_on(a.vol, *id)) {
            return Err(Errno::BUSY.into());
        }
        let mut op = vec![Edit::Set(b.dir, b.name, Some(source))];
        if exchange {
            op.push(Edit::Set(a.dir, a.name, b.id));
        } else {
            if let Some(target) = b.id {
                match (&state.node(a.vol, source).body, &state.node(a.vol, target).body) {
                    (Body::Dir(_), Body::Dir(entries)) if !entries.is_empty() => return Err(Errno::NOTEMPTY.into()),
                    (Body::Dir(_), Body::Dir(_)) => {}
                    (Body::Dir(_), _) => return Err(Errno::NOTDIR.into()),
                    (_, Body::Dir(_)) => return Err(Errno::ISDIR.into()),
                    _ => {}
                }
            }
            op.push(Edit::Set(a.dir, a.name, None));
        }
        state.effect()?;
        state.vols[a.vol].commit(op);
        Ok(())
    }
}

impl State {
    fn made(&mut self, entry: &Entry, mode: u32, body: Body) -> io::Result<Id> {
        if entry.id.is_some() {
            return Err(Errno::EXIST.into());
        }
        if matches!(body, Body::Dir(_)) && self.vols[entry.vol].free() < BLOCK {
            self.effect()?;
            return Err(Errno::NOSPC.into());
        }
        self.effect()?;
        Ok(self.add(entry, mode & 0o7777, body))
    }

    fn removed(&mut self, entry: &Entry) -> io::Result<()> {
        self.effect()?;
        self.vols[entry.vol].commit(vec![Edit::Set(entry.dir, entry.name.clone(), None)]);
        Ok(())
    }

    /// The folder there, entered.
    fn folder(&self, path: &Path) -> io::Result<(usize, Id)> {
        let (vol, id) = self.find(path)?;
        if matches!(self.node(vol, id).body, Body::Dir(_)) { Ok((vol, id)) } else { Err(Errno::NOTDIR.into()) }
    }

    fn regular(&self, vol: usize, id: Id) -> io::Result<()> {
        match self.node(vol, id).body {
            Body::File => Ok(()),
            Body::Dir(_) => Err(Errno::ISDIR.into()),
            Body::Link(_) => Err(Errno::LOOP.into()),
            Body::Other => Err(not_regular()),
        }
    }

    /// Where a folder is found, from the root; for the list of mounts.
    fn path_of(&self, vol: usize, id: Id) -> PathBuf {
        if id == ROOT {
            return match self.mounts.iter().find(|m| m.2 == vol) {
                Some(&(above, on, _)) => self.path_of(above, on),
                None => PathBuf::from("/"),
            };
        }
        for (dir, node) in &self.vols[vol].live.nodes {
            if let Body::Dir(entries) = &node.body
                && let Some((name, _)) = entries.iter().find(|(_, child)| **child == id)
            {
                return self.path_of(vol, *dir).join(name);
            }
        }
        unreachable!("a folder with something mounted on it is never removed")
    }
}

impl Disk for SimDisk {
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        let state = self.turn()?;
        let (vol, id) = match state.find(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            found => found?,
        };
        let node = state.node(vol, id);
        let (kind, size, nlink) = match &node.body {
            Body::File => (Kind::File, state.vols[vol].content(id).len() as u64, node.names),
            Body::Dir(entries) => {
                let folders = entries.values().filter(|e| matches!(state.node(vol, **e).body, Body::Dir(_))).count();
                (Kind::Dir, BLOCK, 2 + folders as u64)
            }
            Body::Link(target) => (Kind::Link, target.as_os_str().len() as u64, node.names),
            Body::Other => (Kind::Other, 0, node.names),
        };
        let &Node { ino, mode, uid, gid, mtime, .. } = node;
        Ok(Some(Meta { kind, dev: vol as u64 + 1, ino, nlink, size, mtime, mode, uid, gid }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let state = self.turn()?;
        let (vol, id) = state.folder(dir)?;
        match &state.node(vol, id).body {
            Body::Dir(entries) => Ok(entries.keys().cloned().collect()),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>> {
        let state = self.turn()?;
        let (vol, id) = state.find(path)?;
        state.regular(vol, id)?;
        Ok(Box::new(SimReader { state: self.state.clone(), vol, id, at: 0 }))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.turn()?;
        let (vol, id) = state.find(path)?;
        match &state.node(vol, id).body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.turn()?;
        let entry = state.entry(path)?;
        let id = state.made(&entry, mode & 0o7755, Body::File)?;
        Ok(self.file(entry.vol, id))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.turn()?;
        let entry = state.entry(path)?;
        let id = match entry.id {
            Some(id) => {
                state.regular(entry.vol, id)?;
                id
            }
            None => state.made(&entry, 0o644, Body::File)?,
        };
        Ok(self.file(entry.vol, id))
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut state = self.turn()?;
        let entry = state.entry(path)?;
        state.made(&entry, mode, Body::Dir(BTreeMap::new())).map(drop)
    }

    fn own_dir(&self, path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        let mut state = self.turn()?;
        let (vol, id) = state.folder(path)?;
        state.effect()?;
        state.vols[vol].commit(vec![Edit::Own(id, uid, gid, mode & 0o7777)]);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.turn()?;
        let a = state.entry(from)?;
        let id = a.id.ok_or(Errno::NOENT)?;
        let b = state.entry(to)?;
        if b.id.is_some() {
            return Err(Errno::EXIST.into());
        }
        if a.vol != b.vol {
            return Err(Errno::XDEV.into());
        }
        if matches!(state.node(a.vol, id).body, Body::Dir(_)) {
            return Err(Errno::PERM.into());
        }
        state.effect()?;
        state.vols[b.vol].commit(vec![Edit::Set(b.dir, b.name, Some(id))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path, new_only: bool) -> io::Result<()> {
        self.renamed(from, to, new_only, false)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.renamed(a, b, false, true)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.turn()?;
        let entry = state.entry(path)?;
        let id = entry.id.ok_or(Errno::NOENT)?;
        if matches!(state.node(entry.vol, id).body, Body::Dir(_)) {
            return Err(Errno::ISDIR.into());
        }
        state.removed(&entry)
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.turn()?;
        let entry = state.entry(path)?;
        let id = entry.id.ok_or(Errno::NOENT)?;
        match &state.node(entry.vol, id).body {
            Body::Dir(_) if state.mounted_on(entry.vol, id) => return Err(Errno::BUSY.into()),
            Body::Dir(entries) if !entries.is_empty() => return Err(Errno::NOTEMPTY.into()),
            Body::Dir(_) => {}
            _ => return Err(Errno::NOTDIR.into()),
        }
        state.removed(&entry)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.turn()?;
        let (vol, _) = state.folder(dir)?;
        state.effect()?;
        state.vols[vol].sync_meta();
        Ok(())
    }

    fn sync_fs(&self, path: &Path) -> io::Result<()> {
        let mut state = self.turn()?;
        let (vol, id) = state.find(path)?;
        if matches!(state.node(vol, id).body, Body::Link(_)) {
            return Err(Errno::LOOP.into());
        }
        state.effect()?;
        state.vols[vol].sync_all();
        Ok(())
    }

    fn volume(&self, path: &Path) -> io::Result<Volume> {
        let state = self.turn()?;
        let (vol, _) = state.find(path)?;
        let (exchanges, free) = (state.vols[vol].exchanges, state.vols[vol].free());
        let name = if exchanges { "ext4" } else { "overlayfs" };
        Ok(Volume { dev: vol as u64 + 1, free, block: BLOCK, read_only: false, exchanges, has_modes: true, name })
    }

    fn mounts(&self) -> io::Result<Vec<PathBuf>> {
        let state = self.turn()?;
        let mut paths: Vec<_> = (0..state.vols.len()).map(|vol| state.path_of(vol, ROOT)).collect();
        paths.sort();
        Ok(paths)
    }
}
