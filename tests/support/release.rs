//! Releases made by the packer itself, from files given in the test.

use std::fs;
use std::path::Path;

use pikit_updater::publish::{Before, Overrides, pack};

/// Packs a release of these files into `dir/version`; `more` is put before the recipe's own lines.
pub fn pack_into<C: AsRef<[u8]>>(dir: &Path, version: &str, files: &[(&str, C)], more: &str) {
    let work = dir.join(format!(".pack-{version}"));
    for (path, content) in files {
        let path = work.join("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    pack_tree(&work, &dir.join(version), version, more);
    fs::remove_dir_all(work).unwrap();
}

/// Packs what lies in `work/tree`.
pub fn pack_tree(work: &Path, out: &Path, version: &str, more: &str) {
    let recipe = format!(
        "product = \"pikit\"\nversion = \"{version}\"\nreleased = \"2026-11-20\"\n{more}\n[[include]]\nfrom = \"tree\"\nto = \"\"\n[services]\nrestart = [\"api.service\"]\n"
    );
    fs::write(work.join("release.toml"), recipe).unwrap();
    pack(&work.join("release.toml"), &Overrides::default(), &Before::default(), Some(out)).unwrap_or_else(|e| panic!("packing {version}: {}", e.message()));
}
