//! A tree as it is: kinds, contents, modes, owners. Two trees are the same when nothing of that differs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// `d`, `f`, `l` or `?`.
    pub kind: char,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Bytes of a file, target of a link.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.content[..self.content.len().min(40)]).into_owned();
        write!(f, "{}{:o} {:?} {} bytes {text:?}", self.kind, self.mode, self.owner, self.content.len())
    }
}

/// Path from the top, and what lies there.
pub type Tree = BTreeMap<String, Node>;

/// Everything at and below `top/path`; nothing there is an empty tree.
pub fn read(top: &Path, path: &str) -> Tree {
    let mut tree = Tree::new();
    add(&mut tree, top, path);
    tree
}

fn add(tree: &mut Tree, top: &Path, path: &str) {
    let at = top.join(path);
    let Ok(meta) = fs::symlink_metadata(&at) else { return };
    let (kind, content) = match meta.file_type() {
        t if t.is_dir() => ('d', Vec::new()),
        t if t.is_file() => ('f', fs::read(&at).unwrap()),
        t if t.is_symlink() => ('l', fs::read_link(&at).unwrap().into_os_string().into_encoded_bytes()),
        _ => ('?', Vec::new()),
    };
    tree.insert(path.to_owned(), Node { kind, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()), content });
    if kind == 'd' {
        for entry in fs::read_dir(&at).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            add(tree, top, &format!("{path}/{name}"));
        }
    }
}

/// Where two trees differ, in a few words.
pub fn difference(is: &Tree, wanted: &Tree) -> String {
    let paths: std::collections::BTreeSet<&String> = is.keys().chain(wanted.keys()).collect();
    let differ = paths.into_iter().filter(|p| is.get(*p) != wanted.get(*p));
    let words: Vec<String> = differ.take(4).map(|p| format!("{p}: {:?} instead of {:?}", is.get(p), wanted.get(p))).collect();
    words.join("; ")
}
