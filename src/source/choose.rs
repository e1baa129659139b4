//! Which release is offered, and which of its files is the bundle. Pure.

use semver::Version;

use crate::device::settings::Settings;
use crate::release::Manifest;

/// What the device's owner asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taste {
    /// Name of the product; it stands in the bundle's usual name.
    pub product: String,
    /// `stable`, or a prerelease channel.
    pub channel: String,
}

impl Taste {
    /// As the config says.
    pub fn of(settings: &Settings) -> Self {
        Taste { product: settings.product.clone(), channel: settings.channel.clone() }
    }

    /// Whether a release may be of the channel, as far as its tag and the server's flag tell: saves fetching its manifest.
    pub fn may_be_mine(&self, version: &Version, flagged: bool) -> bool {
        self.channel != "stable" || (version.pre.is_empty() && !flagged)
    }

    /// The bundle's name where nothing can be listed.
    pub fn bundle_name(&self, manifest: &Manifest) -> String {
        match &manifest.bundle {
            Some(bundle) => bundle.name.clone(),
            None => format!("{}-{}.tar.gz", manifest.product.as_ref().unwrap_or(&self.product), manifest.version),
        }
    }

    /// Which of the names is the bundle's: the one the manifest gives, else the usual one, else the only archive.
    ///
    /// # Errors
    /// What is missing.
    pub fn bundle_among<'n>(&self, manifest: &Manifest, names: impl Iterator<Item = &'n str> + Clone) -> Result<&'n str, String> {
        let usual = self.bundle_name(manifest);
        if let Some(found) = names.clone().find(|n| *n == usual) {
            return Ok(found);
        }
        let mut archives = names.filter(|n| n.ends_with(".tar.gz"));
        match (manifest.bundle.is_some(), archives.next(), archives.next()) {
            (false, Some(only), None) => Ok(only),
            (false, Some(_), Some(_)) => Err(format!("has several archives and none is called {usual}")),
            _ => Err(format!("has no bundle {usual} (yet)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: &str, more: &str) -> Manifest {
        Manifest::parse(format!(r#"{{"version":"{version}","files":[]{more}}}"#).as_bytes()).unwrap()
    }

    fn taste(channel: &str) -> Taste {
        Taste { product: "pikit".into(), channel: channel.into() }
    }

    #[test]
    fn the_bundle_is_the_named_the_usual_or_the_only_one() {
        let named = r#","bundle":{"name":"b.tgz"}"#;
        let table: [(&str, &[&str], Option<&str>); 7] = [
            (named, &["a.tar.gz", "b.tgz"], Some("b.tgz")),
            (named, &["a.tar.gz"], None),
            ("", &["other.tar.gz", "pikit-1.0.0.tar.gz"], Some("pikit-1.0.0.tar.gz")),
            ("", &["notes.txt", "x.tar.gz"], Some("x.tar.gz")),
            ("", &["x.tar.gz", "y.tar.gz"], None),
            ("", &["notes.txt"], None),
            (r#","product":"other""#, &["x.tar.gz", "other-1.0.0.tar.gz"], Some("other-1.0.0.tar.gz")),
        ];
        for (more, names, want) in table {
            assert_eq!(taste("stable").bundle_among(&manifest("1.0.0", more), names.iter().copied()).ok(), want, "{more} {names:?}");
        }
    }
}
