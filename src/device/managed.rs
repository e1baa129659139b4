//! Managed paths: where a file of a release goes on this device. The device's config decides, never the release.

use std::path::{Path, PathBuf};

use crate::release::ReleasePath;

/// One `[[managed]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// `"pikit-web/"` for a folder, `"pikit-api.py"` for a file.
    pub from: String,
    /// Where it goes, below `--root`, without a slash at the end.
    pub to: PathBuf,
}

impl Managed {
    /// Whether a whole folder is managed, rather than a single file.
    pub fn is_folder(&self) -> bool {
        self.from.ends_with('/')
    }
    /// The path within this managed path, empty for a managed file; `None` when it does not cover the file.
    pub fn inside<'a>(&self, path: &'a ReleasePath) -> Option<&'a str> {
        if self.is_folder() { path.as_str().strip_prefix(self.from.as_str()) } else { (path.as_str() == self.from).then_some("") }
    }
    /// Name of the managed path itself.
    pub fn name(&self) -> &str {
        self.to.file_name().and_then(|n| n.to_str()).unwrap_or("managed")
    }
    /// The folder that holds it.
    pub fn parent(&self) -> &Path {
        self.to.parent().unwrap_or(Path::new("/"))
    }
}

/// Which managed path takes a file, and the path inside it. The longest `from` wins.
pub fn place<'p>(managed: &[Managed], path: &'p ReleasePath) -> Option<(usize, &'p str)> {
    let covers = managed.iter().enumerate().filter_map(|(i, m)| Some((i, m.from.len(), m.inside(path)?)));
    covers.max_by_key(|&(_, length, _)| length).map(|(i, _, inside)| (i, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_takes_a_file() {
        let entry = |from: &str, to: &str| Managed { from: from.into(), to: to.into() };
        let managed = [entry("web/", "/var/www"), entry("web/conf/", "/etc/web"), entry("web/api.py", "/usr/bin/api.py")];
        let at = |p: &str| place(&managed, &ReleasePath::new(p).unwrap()).map(|(i, s)| (i, s.to_owned()));
        assert_eq!(at("web/index.html"), Some((0, "index.html".into())));
        assert_eq!(at("web/conf/a/b"), Some((1, "a/b".into())));
        assert_eq!(at("web/api.py"), Some((2, "".into())));
        assert_eq!(at("webx"), None);
        assert_eq!(at("other"), None);
    }
}
