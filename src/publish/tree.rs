//! The files of a release as they lie on the maintainer's machine: found, checked, hashed, sorted.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Recipe;
use super::recipe::Include;
use crate::error::{Doing, Error, Result};
use crate::release::manifest::Mode;
use crate::release::{Digest, ReleasePath};

/// One file to be packed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it goes within the release.
    pub path: ReleasePath,
    /// Where it is.
    pub from: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Permission bits on the device.
    pub mode: Mode,
    /// A person may edit it there.
    pub config: bool,
    /// Digest of its content.
    pub sha256: Digest,
}

/// Finds the files, in the order of their paths in the release. `out` is where the release will be written.
///
/// # Errors
/// Anything that is not a plain file with a plain name; a pattern that means nothing; an include that holds `out`.
pub fn find(recipe: &Recipe, out: &Path) -> Result<Vec<Entry>> {
    let mut walk = Walk { recipe, entries: Vec::new() };
    for include in &recipe.include {
        walk.include(include, out)?;
    }
    let mut entries = walk.entries;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(Error::usage(format!("{} would be {} as well as {}", pair[0].path, pair[0].from.display(), pair[1].from.display())));
    }
    if entries.is_empty() {
        return Err(Error::usage("the release would have no files").hint("look at [[include]] and exclude in the recipe"));
    }
    let patterns = recipe.modes.iter().map(|(p, _)| ("modes", p)).chain(recipe.config.iter().map(|p| ("config", p)));
    for (key, pattern) in patterns {
        if !entries.iter().any(|e| pattern.matches(e.path.as_str())) {
            // a misspelt config file would be overwritten on every device, edits and all
            return Err(Error::usage(format!("{key}: no file of the release matches `{pattern}`")));
        }
    }
    Ok(entries)
}

struct Walk<'r> {
    recipe: &'r Recipe,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn include(&mut self, include: &Include, out: &Path) -> Result<()> {
        let from = &include.from;
        let kind = std::fs::symlink_metadata(from).doing(|| format!("looking at {}", from.display()))?.file_type();
        let name = from.file_name().map(Path::new).unwrap_or(Path::new(""));
        let to = include.to.as_str();
        if !kind.is_dir() {
            let path = if to.is_empty() || to.ends_with('/') { format!("{to}{}", text(name, from)?) } else { to.to_owned() };
            return self.file(from, path);
        }
        if !to.is_empty() && !to.ends_with('/') {
            let told = format!("include: {} is a folder, so `to` is a folder too: write \"{to}/\"", from.display());
            return Err(Error::usage(told));
        }
        self.keep_out(from, to, out)?;
        self.folder(from, to)
    }

    /// A release must not swallow itself: the second pack would differ from the first.
    fn keep_out(&self, from: &Path, to: &str, out: &Path) -> Result<()> {
        let absolute = |p: &Path| std::path::absolute(p).doing(|| format!("finding {}", p.display()));
        let (from, out) = (absolute(from)?, absolute(out)?);
        let Ok(inside) = out.strip_prefix(&from) else { return Ok(()) };
        let mut path = to.trim_end_matches('/').to_owned();
        for part in inside {
            path = format!("{path}{}{}", if path.is_empty() { "" } else { "/" }, part.to_string_lossy());
            if self.excluded(&path) {
                return Ok(());
            }
        }
        let told = format!("{} lies within {}, which the release includes", out.display(), from.display());
        Err(Error::usage(told).hint("exclude it in the recipe, or write the release elsewhere"))
    }

    fn folder(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("reading the folder {}", dir.display());
        for item in std::fs::read_dir(dir).doing(reading)? {
            let item = item.doing(reading)?;
            let from = item.path();
            let path = format!("{prefix}{}", text(Path::new(&item.file_name()), &from)?);
            if self.excluded(&path) {
                continue;
            }
            if item.file_type().doing(|| format!("looking at {}", from.display()))?.is_dir() {
                self.folder(&from, &format!("{path}/"))?;
            } else {
                self.file(&from, path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, path: String) -> Result<()> {
        let meta = std::fs::symlink_metadata(from).doing(|| format!("looking at {}", from.display()))?;
        let refuse = |what: &str, hint: &str| Err(Error::refused(format!("{} is {what}", from.display())).hint(hint));
        if meta.is_symlink() {
            return refuse("a symbolic link, which a release cannot hold", "put the file itself there, or exclude the link in the recipe");
        }
        if !meta.is_file() {
            return refuse("neither a file nor a folder", "exclude it in the recipe");
        }
        if meta.permissions().mode() & 0o7000 != 0 {
            return refuse("setuid, setgid or sticky, which no device accepts", "clear it with `chmod u-s,g-s,-t`");
        }
        let path = ReleasePath::new(&path).map_err(|e| Error::refused(format!("{}: {e}", from.display())))?;
        let told = self.recipe.modes.iter().filter(|(p, _)| p.matches(path.as_str())).max_by_key(|(p, _)| p.weight());
        // only the executable bit counts: the others follow the umask of whoever checked the files out
        let usual = if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
        let mode = told.map_or_else(|| Mode::new(usual).expect("0755 and 0644 are permission bits"), |(_, mode)| *mode);
        let config = self.recipe.config.iter().any(|p| p.matches(path.as_str()));
        let reading = || format!("reading {}", from.display());
        let (sha256, size) = Digest::of_reader(File::open(from).doing(reading)?).doing(reading)?;
        self.entries.push(Entry { path, from: from.to_owned(), size, mode, config, sha256 });
        Ok(())
    }

    fn excluded(&self, path: &str) -> bool {
        self.recipe.exclude.iter().any(|p| p.matches(path))
    }
}

fn text<'n>(name: &'n Path, from: &Path) -> Result<&'n str> {
    let refused = || Error::refused(format!("the name of {} is not UTF-8", from.display()));
    name.to_str().ok_or_else(|| refused().hint("rename the file, or exclude its folder in the recipe"))
}
