//! A manifest from anybody. Whatever is accepted is still the same after it was written and read again, and stays within its limits.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use pikit_updater::release::manifest::{FILES_MAX, NAME, SIGNATURE_NAME};
use pikit_updater::release::{Manifest, ReleasePath, Step};

fuzz_target!(|bytes: &[u8]| {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(why) => return assert!(!why.is_empty()),
    };
    let written = serde_json::to_vec(&manifest).expect("a manifest is plain data");
    let again = Manifest::parse(&written).expect("what was written can be read");
    assert_eq!(again, manifest);
    assert_eq!(again.content_digest(), manifest.content_digest());
    // the digest is of what a release is, not of the order it is told in
    let mut turned = manifest.clone();
    turned.files.reverse();
    assert_eq!(turned.content_digest(), manifest.content_digest());

    assert!(manifest.files.len() <= FILES_MAX);
    for arch in ["aarch64", "armv7", "x86_64", ""] {
        let listing = manifest.listing(arch);
        assert!(listing.len() <= manifest.files.len());
        let folded: BTreeSet<String> = listing.keys().map(|path| path.as_str().to_lowercase()).collect();
        assert_eq!(folded.len(), listing.len(), "two paths differ by case alone");
        for (path, file) in &listing {
            assert_eq!(ReleasePath::new(path.as_str()).as_ref(), Ok(path));
            assert!(![NAME, SIGNATURE_NAME].contains(&path.as_str()));
            assert!(path.parents().all(|folder| !listing.contains_key(folder)), "a file is a folder too");
            assert!(file.mode.is_none_or(|mode| mode.bits() <= 0o777));
        }
    }
    for step in &manifest.post_install {
        match step {
            Step::Restart(unit) | Step::Reload(unit) => assert!(!unit.starts_with('-') && !unit.contains(['/', ' ']), "{unit:?} is no unit"),
            Step::Run { argv, .. } => assert!(!argv.is_empty()),
        }
    }
});
