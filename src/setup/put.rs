//! Putting key and config where they belong: durably, each whole or as before, and nothing of a person's without a copy beside it.

use std::path::{Path, PathBuf};

use crate::device::Settings;
use crate::error::{Doing, Error, Result};
use crate::release::PublicKey;
use crate::world::{World, durable};

/// Largest config that is read, bytes.
const SIZE_MAX: u64 = 1 << 20;

/// The config that is there. One in which nothing is set counts as none: packages bring such a one, as an example.
///
/// # Errors
/// It cannot be read.
pub fn present(world: World, path: &Path) -> Result<Option<String>> {
    let bytes = durable::read(world.disk, path, SIZE_MAX).doing(|| format!("reading {}", path.display()))?;
    let text = bytes.map(|b| String::from_utf8(b).map_err(|_| Error::usage(format!("{} is not UTF-8", path.display())))).transpose()?;
    Ok(text.filter(|text| toml::from_str::<toml::Table>(text).map_or(true, |table| !table.is_empty())))
}

/// Writes the config; gives where the one that was there lies now.
///
/// # Errors
/// It cannot be written; then the one before is where it was.
pub fn config(world: World, path: &Path, text: &str) -> Result<Option<PathBuf>> {
    let disk = world.disk;
    let writing = || format!("writing {}", path.display());
    if let Some(above) = path.parent() {
        durable::make_dirs(disk, above, 0o755).doing(|| format!("making {}", above.display()))?;
    }
    let before = durable::read(disk, path, SIZE_MAX).doing(|| format!("reading {}", path.display()))?;
    let mut kept = None;
    if let Some(bytes) = before {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("updater.toml");
        let aside = path.with_file_name(format!("{name}.{}", world.clock.now().format("%Y%m%dT%H%M%SZ")));
        durable::save(disk, &aside, &bytes, 0o644).doing(|| format!("keeping the config of before as {}", aside.display()))?;
        kept = Some(aside);
    }
    durable::save(disk, path, text.as_bytes(), 0o644).doing(writing)?;
    Ok(kept)
}

/// Puts a key into the folder of those that are trusted, unless it lies there already; gives its file.
///
/// # Errors
/// It cannot be written.
pub fn key(world: World, settings: &Settings, key: &PublicKey, here: &[PublicKey]) -> Result<Option<PathBuf>> {
    if here.contains(key) {
        return Ok(None);
    }
    let folder = &settings.trust.keys;
    let path = folder.join(format!("{}-{}.pub", settings.product, key.id()));
    let text = format!("untrusted comment: minisign public key {}\n{}\n", key.id(), key.line());
    durable::make_dirs(world.disk, folder, 0o755)
        .and_then(|()| durable::save(world.disk, &path, text.as_bytes(), 0o644))
        .doing(|| format!("writing {}", path.display()))?;
    Ok(Some(path))
}
