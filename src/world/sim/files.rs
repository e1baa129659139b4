//! Opened files of the simulated disk. They hold their inode, whatever becomes of its names.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use rustix::io::Errno;

use super::state::State;
use super::tree::{BLOCK, Edit, Id};
use crate::world::disk::NewFile;

pub(super) struct SimReader {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) vol: usize,
    pub(super) id: Id,
    pub(super) at: usize,
}

impl Read for SimReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow();
        state.powered()?;
        let content = state.vols[self.vol].content(self.id);
        let n = (&content[self.at.min(content.len())..]).read(into)?;
        self.at += n;
        Ok(n)
    }
}

impl Seek for SimReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = usize::try_from(at).map_err(io::Error::other)?;
        Ok(at)
    }
}

pub(super) struct SimFile {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) vol: usize,
    pub(super) id: Id,
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        state.effect()?;
        let time = state.time();
        let vol = &mut state.vols[self.vol];
        let before = vol.content(self.id).len() as u64;
        let more = (before + bytes.len() as u64).div_ceil(BLOCK) - before.div_ceil(BLOCK);
        if more * BLOCK > vol.free() {
            return Err(Errno::NOSPC.into());
        }
        vol.extend(self.id, bytes, time);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for SimFile {
    fn own(&mut self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.effect()?;
        state.vols[self.vol].commit(vec![Edit::Own(self.id, uid, gid, mode & 0o7777)]);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.effect()?;
        state.vols[self.vol].sync_file(self.id);
        Ok(())
    }
}
