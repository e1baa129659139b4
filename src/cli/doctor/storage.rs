//! Files and file systems: may we write, is there room, can trees be exchanged, and is what we manage what the config says.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Board, Finding};
use crate::device::Managed;
use crate::error::Result;
use crate::quantity::bytes;
use crate::update::survey::existing_above;
use crate::world::{Disk, Kind};

/// All of it.
pub fn look(board: &Board) -> Vec<Finding> {
    let mut found = vec![rights(board)];
    found.extend(volumes(board));
    found.extend(board.settings.managed.iter().map(|m| managed(board, m)));
    found
}

/// Every folder that an update writes in.
fn written(board: &Board) -> Vec<PathBuf> {
    let layout = &board.settings.layout;
    let own = [layout.state_dir(), layout.backups(), layout.fetched(), layout.config().parent().unwrap_or(layout.root()).to_owned()];
    own.into_iter().chain(board.settings.managed.iter().map(|m| m.parent().to_owned())).collect()
}

fn rights(board: &Board) -> Finding {
    let shut = written(board).into_iter().find_map(|dir| {
        let at = existing_above(&board.disk, &dir).ok()?;
        rustix::fs::access(&at, Access::WRITE_OK).err().map(|e| (at, e))
    });
    let root = rustix::process::geteuid().is_root();
    match shut {
        None if root => Finding::ok("rights", "running as root, and every folder can be written"),
        None => Finding::ok("rights", "not root, but every folder that is needed can be written"),
        Some((at, e)) if root => {
            Finding::fail("rights", format!("{} cannot be written: {e}", at.display()), "is the file system mounted read-only? `mount | grep ' ro'` tells")
        }
        Some((at, _)) => {
            Finding::warn("rights", format!("not root: {} cannot be written", at.display()), "run what changes something with sudo; looking works without")
        }
    }
}

fn volumes(board: &Board) -> Vec<Finding> {
    let mut seen: Vec<u64> = Vec::new();
    let mut found = Vec::new();
    for dir in written(board) {
        match one_volume(board, &dir, &mut seen) {
            Ok(finding) => found.extend(finding),
            Err(e) => found.push(Finding::fail("space", e.message(), e.hint.unwrap_or_else(|| "run it as root".into()))),
        }
    }
    found
}

/// `None` when that file system was told of already.
fn one_volume(board: &Board, dir: &Path, seen: &mut Vec<u64>) -> Result<Option<Finding>> {
    let at = existing_above(&board.disk, dir)?;
    let volume = crate::Doing::doing(board.disk.volume(&at), || format!("looking at {}", at.display()))?;
    if seen.contains(&volume.dev) {
        return Ok(None);
    }
    seen.push(volume.dev);
    let what = format!("{} ({}): {} free", at.display(), volume.name, bytes(volume.free));
    let min = board.settings.min_free;
    Ok(Some(if volume.read_only {
        Finding::fail("space", format!("{what}, mounted read-only"), "a card that fails goes read-only by itself: see `dmesg | tail`")
    } else if volume.free < min {
        Finding::fail("space", format!("{what}, less than the {} that must stay free", bytes(min)), "free some space, or lower backup.min_free in the config")
    } else if volume.free < min.saturating_mul(2) {
        Finding::warn("space", format!("{what}, little more than the {} that must stay free", bytes(min)), "a large update will be refused: free some space")
    } else if volume.exchanges {
        Finding::ok("space", format!("{what}, trees are exchanged whole"))
    } else {
        Finding::ok("space", format!("{what}, trees cannot be exchanged on it: files are switched one by one, journaled"))
    }))
}

fn managed(board: &Board, managed: &Managed) -> Finding {
    const NAME: &str = "managed";
    let to = &managed.to;
    let meta = match board.disk.meta(to) {
        Err(e) => return Finding::fail(NAME, format!("{}: {e}", to.display()), "run it as root"),
        Ok(None) => return Finding::ok(NAME, format!("{} is not there yet: the first update makes it", to.display())),
        Ok(Some(meta)) => meta,
    };
    match meta.kind {
        Kind::Link => return Finding::fail(NAME, format!("{} is a symbolic link", to.display()), "put the path it points to into [[managed]] to"),
        Kind::File if managed.is_folder() => {
            return Finding::fail(NAME, format!("{} is a file, and the config says folder", to.display()), "a file has no \"/\" at the ends of from and to");
        }
        Kind::Dir if !managed.is_folder() => {
            return Finding::fail(NAME, format!("{} is a folder, and the config says file", to.display()), "a folder has \"/\" at the ends of from and to");
        }
        Kind::Other => return Finding::fail(NAME, format!("{} is neither a file nor a folder", to.display()), "move it away"),
        Kind::File | Kind::Dir => {}
    }
    let what = format!("{}, owner {}:{}, mode {:04o}", to.display(), meta.uid, meta.gid, meta.mode);
    if meta.mode & 0o002 != 0 {
        return Finding::warn(NAME, format!("{what}: anybody may write there"), format!("chmod o-w {}", to.display()));
    }
    let mounts = board.disk.mounts().unwrap_or_default();
    match mounts.iter().find(|m| m.starts_with(to)) {
        Some(mount) => Finding::ok(NAME, format!("{what}; {} is mounted there, so its files are switched one by one", mount.display())),
        None => Finding::ok(NAME, what),
    }
}
