//! How old each file is: since which release its content has been there without a break. Files are packed oldest first, so that what any
//! earlier release lacks is one run of blocks at the end of the bundle, and one request.

use std::collections::BTreeMap;

use semver::Version;

use crate::release::{Digest, Manifest, manifest};

/// Since which release each content has been there, and in which block of the last one it lies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ages(BTreeMap<Digest, (Version, Option<u32>)>);

impl Ages {
    /// After these releases. What a manifest says of its own files' ages holds; where it says nothing, the releases before it tell.
    pub fn after<'m>(mut releases: Vec<&'m Manifest>) -> Self {
        releases.sort_by(|a, b| a.version.cmp(&b.version));
        let next = |before: Ages, release: &'m Manifest| {
            let age = |(file, told): (&manifest::File, Option<&Version>)| {
                let since = told.or_else(|| before.0.get(&file.sha256).map(|(since, _)| since)).unwrap_or(&release.version);
                (file.sha256, (since.clone(), file.block))
            };
            Ages(release.ages().map(age).collect())
        };
        releases.into_iter().fold(Ages::default(), next)
    }

    /// How old a content is in the release that comes now.
    pub fn of<'a>(&'a self, content: &Digest, now: &'a Version) -> &'a Version {
        self.0.get(content).map_or(now, |(since, _)| since)
    }

    /// In which block of the last release a content lies. Who lay together stays together: then most blocks are the same again, and the
    /// new manifest says little that the old one did not.
    pub fn block(&self, content: &Digest) -> Option<u32> {
        self.0.get(content)?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(content: &str) -> Digest {
        Digest::of(content.as_bytes())
    }

    fn release(version: &str, files: &[(&str, &str)], told: &str) -> Manifest {
        let files: Vec<String> = files.iter().map(|(path, content)| format!(r#"{{"path":"{path}","sha256":"{}"}}"#, digest(content))).collect();
        let text = format!(r#"{{"version":"{version}","files":[{}],"bundle":{{"name":"b","generations":[{told}]}}}}"#, files.join(","));
        Manifest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_content_is_as_old_as_the_release_since_which_it_has_been_there() {
        let one = release("1.0.0", &[("a", "a"), ("b", "b"), ("c", "c")], "");
        let two = release("1.1.0", &[("a", "a"), ("b", "changed"), ("moved", "c")], "");
        let three = release("1.2.0", &[("a", "a"), ("b", "b")], "");
        let now = "1.3.0".parse().unwrap();
        let age = |ages: &Ages, content: &str| ages.of(&digest(content), &now).to_string();
        // in any order
        let ages = Ages::after(vec![&two, &one]);
        assert_eq!(["a", "changed", "c", "new"].map(|c| age(&ages, c)), ["1.0.0", "1.1.0", "1.0.0", "1.3.0"]);
        // what was away in between is new again, and old names do not matter
        let ages = Ages::after(vec![&one, &two, &three]);
        assert_eq!(["a", "b", "c"].map(|c| age(&ages, c)), ["1.0.0", "1.2.0", "1.3.0"]);
    }

    #[test]
    fn what_a_manifest_says_of_its_ages_spares_those_before_it() {
        let one = release("1.5.0", &[("a", "a"), ("b", "b"), ("c", "c")], r#"{"since":"1.0.0","files":1},{"since":"1.4.0","files":1}"#);
        let ages = Ages::after(vec![&one]);
        let now = "1.6.0".parse().unwrap();
        assert_eq!(["a", "b", "c"].map(|c| ages.of(&digest(c), &now).to_string()), ["1.0.0", "1.4.0", "1.5.0"]);
    }
}
