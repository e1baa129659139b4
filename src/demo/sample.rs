//! The sample product: carried in the program, laid out as its maintainer has it, packed by the same `pack` and the same recipe that the
//! project's own `release.toml` is, and signed with a key that the demo makes for itself.

use std::path::Path;

use semver::Version;

use super::Folder;
use crate::error::{Doing, Result};
use crate::publish::secret::Place;
use crate::publish::sign::{self, Wanted};
use crate::publish::{Before, Overrides, Packed, keygen, pack, signers};

/// What the server offers when the demo begins.
pub const FIRST: [Version; 2] = [Version::new(1, 0, 0), Version::new(1, 1, 0)];
/// What `publish` adds: the sick one.
pub const SICK: Version = Version::new(1, 2, 0);

/// Files of the repository that the program carries.
macro_rules! carry {
    ($($path:literal,)*) => { &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),*] };
}
const FILES: &[(&str, &[u8])] = carry![
    "release.toml",
    "mock/CHANGELOG.md",
    "mock/dashboard/common/pikit-web/app.js",
    "mock/dashboard/common/pikit-web/icon.svg",
    "mock/dashboard/common/pikit-web/style.css",
    "mock/dashboard/1.0.0/pikit-api.json",
    "mock/dashboard/1.0.0/pikit-web/about.html",
    "mock/dashboard/1.0.0/pikit-web/config.json",
    "mock/dashboard/1.0.0/pikit-web/index.html",
    "mock/dashboard/1.0.0/pikit-web/tiles.js",
    "mock/dashboard/1.1.0/pikit-api.json",
    "mock/dashboard/1.1.0/pikit-web/config.json",
    "mock/dashboard/1.1.0/pikit-web/index.html",
    "mock/dashboard/1.1.0/pikit-web/tiles.js",
    "mock/dashboard/1.1.0/pikit-web/trend.js",
    "mock/dashboard/1.2.0/pikit-api.json",
    "mock/dashboard/1.2.0/pikit-web/config.json",
    "mock/dashboard/1.2.0/pikit-web/index.html",
    "mock/dashboard/1.2.0/pikit-web/tiles.js",
    "mock/dashboard/1.2.0/pikit-web/trend.js",
];

/// Lays the product out, makes its maintainer's key, and packs and signs its three releases.
///
/// # Errors
/// The folder cannot be written.
pub fn pack_all(folder: &Folder) -> Result<Vec<Packed>> {
    lay_out(&folder.product())?;
    // no passphrase: it opens nothing but this demo, and the next one makes another
    let made = keygen::keygen(&folder.key(), None, Some("the key of a demo"))?;
    let signers = signers::signers(&[Place::File(made.secret)], &[], false)?;
    let mut all: Vec<Packed> = Vec::new();
    for version in FIRST.iter().chain([&SICK]) {
        let overrides = Overrides { version: Some(version.clone()), ..Overrides::default() };
        let before = Before { previous: Vec::new(), patch_from: all.iter().map(|p| p.dir.clone()).collect() };
        let packed = pack(&folder.product().join("release.toml"), &overrides, &before, Some(&folder.releases().join(version.to_string())))?;
        let wanted = Wanted { signers: &signers, known: &[], expires: None, recall: false, force: false, comment: None, now: sign::now() };
        sign::sign(&packed.dir, &wanted)?;
        all.push(packed);
    }
    Ok(all)
}

/// Writes the carried files below a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn lay_out(dir: &Path) -> Result<()> {
    for (path, bytes) in FILES {
        let path = dir.join(path);
        let writing = || format!("writing {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(dir)).doing(writing)?;
        std::fs::write(&path, bytes).doing(writing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    #[test]
    fn every_file_of_the_sample_is_carried() {
        fn all(dir: PathBuf, found: &mut BTreeSet<String>) {
            for item in std::fs::read_dir(dir).unwrap() {
                let path = item.unwrap().path();
                if path.is_dir() {
                    all(path, found);
                } else {
                    found.insert(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut found = BTreeSet::from(["release.toml".to_owned()]);
        all(Path::new(env!("CARGO_MANIFEST_DIR")).join("mock/dashboard"), &mut found);
        found.insert("mock/CHANGELOG.md".into());
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(found, carried);
    }
}
