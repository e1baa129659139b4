//! A volume: its tree as processes see it, the tree that is certainly on the medium, and the operations in between.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use super::{Cut, Random};

/// Names an inode for ever, unlike its number, which is reused.
pub(super) type Id = u64;
/// The root of every volume.
pub(super) const ROOT: Id = 1;
pub(super) const BLOCK: u64 = 4096;

#[derive(Clone)]
pub(super) enum Body {
    File,
    Dir(BTreeMap<OsString, Id>),
    Link(PathBuf),
    Other,
}

#[derive(Clone)]
pub(super) struct Node {
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Entries that point to it.
    pub names: u64,
    pub mtime: i128,
    pub body: Body,
}

/// One operation is a few of these, which happen together or not at all.
#[derive(Clone)]
pub(super) enum Edit {
    New(Id, Node),
    Set(Id, OsString, Option<Id>),
    Own(Id, u32, u32, u32),
}

#[derive(Clone)]
pub(super) struct Tree {
    pub nodes: BTreeMap<Id, Node>,
}

impl Tree {
    fn apply(&mut self, op: &[Edit]) {
        let mut unnamed = Vec::new();
        for edit in op {
            match edit {
                Edit::New(id, node) => drop(self.nodes.insert(*id, node.clone())),
                Edit::Own(id, uid, gid, mode) => {
                    if let Some(node) = self.nodes.get_mut(id) {
                        (node.uid, node.gid, node.mode) = (*uid, *gid, *mode);
                    }
                }
                Edit::Set(dir, name, to) => {
                    let Some(Node { body: Body::Dir(entries), .. }) = self.nodes.get_mut(dir) else { unreachable!("an entry is in a folder") };
                    let from = match to {
                        Some(id) => entries.insert(name.clone(), *id),
                        None => entries.remove(name),
                    };
                    if let Some(node) = to.and_then(|id| self.nodes.get_mut(&id)) {
                        node.names += 1;
                    }
                    if let Some(id) = from {
                        self.nodes.get_mut(&id).expect("an entry has its inode").names -= 1;
                        unnamed.push(id);
                    }
                }
            }
        }
        // only now: in the middle of an exchange both have no name
        for id in unnamed {
            if self.nodes.get(&id).is_some_and(|n| n.names == 0) {
                self.nodes.remove(&id);
            }
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Data {
    pub now: Rc<Vec<u8>>,
    pub durable: Rc<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Vol {
    pub exchanges: bool,
    capacity: u64,
    pub live: Rc<Tree>,
    base: Rc<Tree>,
    journal: Vec<Vec<Edit>>,
    data: Rc<BTreeMap<Id, Data>>,
}

impl Vol {
    pub fn new(exchanges: bool, free: u64) -> Self {
        let root = Node { ino: 2, mode: 0o755, uid: 0, gid: 0, names: 1, mtime: 0, body: Body::Dir(BTreeMap::new()) };
        let tree = Rc::new(Tree { nodes: [(ROOT, root)].into() });
        Vol { exchanges, capacity: free + BLOCK, live: tree.clone(), base: tree, journal: Vec::new(), data: Rc::default() }
    }

    pub fn commit(&mut self, op: Vec<Edit>) {
        Rc::make_mut(&mut self.live).apply(&op);
        self.journal.push(op);
    }

    pub fn lowest_ino(&self) -> u64 {
        let mut used: Vec<u64> = self.live.nodes.values().map(|n| n.ino).collect();
        used.sort_unstable();
        let mut free = 11;
        for ino in used {
            if ino == free {
                free += 1;
            }
        }
        free
    }

    pub fn content(&self, id: Id) -> Rc<Vec<u8>> {
        self.data.get(&id).map(|d| d.now.clone()).unwrap_or_default()
    }

    pub fn extend(&mut self, id: Id, bytes: &[u8], time: i128) {
        let data = Rc::make_mut(&mut self.data).entry(id).or_default();
        Rc::make_mut(&mut data.now).extend_from_slice(bytes);
        if let Some(node) = Rc::make_mut(&mut self.live).nodes.get_mut(&id) {
            node.mtime = time;
        }
    }

    /// Bytes that are left; what has no name takes none.
    pub fn free(&self) -> u64 {
        let used = self.live.nodes.iter().map(|(id, node)| match &node.body {
            Body::File => (self.content(*id).len() as u64).div_ceil(BLOCK) * BLOCK,
            Body::Dir(_) => BLOCK,
            Body::Link(_) | Body::Other => 0,
        });
        self.capacity.saturating_sub(used.sum())
    }

    pub fn sync_meta(&mut self) {
        self.base = self.live.clone();
        self.journal.clear();
    }

    pub fn sync_file(&mut self, id: Id) {
        self.sync_meta();
        if let Some(data) = Rc::make_mut(&mut self.data).get_mut(&id) {
            data.durable = data.now.clone();
        }
    }

    pub fn sync_all(&mut self) {
        self.sync_meta();
        for data in Rc::make_mut(&mut self.data).values_mut() {
            data.durable = data.now.clone();
        }
    }

    pub fn lose_power(&mut self, cut: Cut, random: &mut Random) {
        let kept = match cut {
            Cut::LoseAll => 0,
            Cut::KeepMetadata | Cut::KeepAll => self.journal.len(),
            Cut::Torn(_) => random.upto(self.journal.len()),
        };
        let mut tree = Rc::unwrap_or_clone(self.base.clone());
        for op in &self.journal[..kept] {
            tree.apply(op);
        }
        let mut data = BTreeMap::new();
        for id in tree.nodes.keys() {
            let Some(Data { now, durable }) = self.data.get(id) else { continue };
            let content = match cut {
                Cut::LoseAll | Cut::KeepMetadata => durable.clone(),
                Cut::KeepAll => now.clone(),
                Cut::Torn(_) if now == durable => now.clone(),
                Cut::Torn(_) => match random.upto(2) {
                    0 => durable.clone(),
                    1 => now.clone(),
                    // files only ever grow, so what was durable is the start of what is there now
                    _ => Rc::new(now[..durable.len() + random.upto(now.len() - durable.len())].to_vec()),
                },
            };
            data.insert(*id, Data { now: content.clone(), durable: content });
        }
        if !self.exchanges {
            let most = tree.nodes.len() as u64;
            for (nth, node) in tree.nodes.values_mut().enumerate() {
                node.ino = 100_000 + most - nth as u64;
            }
        }
        self.data = Rc::new(data);
        self.live = Rc::new(tree);
        self.sync_meta();
    }
}
