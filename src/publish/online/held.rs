//! What a server holds of releases, as its API tells it; and what is looked for there.

use serde::Deserialize;

use crate::release::Digest;

/// A repository; what nobody here asks for is dropped.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    /// Only those with a token see it.
    #[serde(default)]
    pub private: bool,
    /// Nothing was ever pushed to it.
    #[serde(default)]
    pub empty: bool,
}

/// A release on the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Held {
    /// Its number.
    pub id: u64,
    /// Its tag.
    pub tag_name: String,
    /// Nobody sees it but those who may change it.
    #[serde(default)]
    pub draft: bool,
    /// It is not for everybody.
    #[serde(default)]
    pub prerelease: bool,
    /// What it says to people.
    #[serde(default)]
    pub body: String,
    /// Where people look at it.
    #[serde(default)]
    pub html_url: String,
    /// Its files.
    #[serde(default, deserialize_with = "maybe_null")]
    pub assets: Vec<HeldAsset>,
}

/// A file of a release on the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeldAsset {
    /// Its number.
    pub id: u64,
    /// Its name; several may have the same.
    pub name: String,
    /// Its bytes, as the server says.
    #[serde(default)]
    pub size: u64,
    /// Digest of what came when it was fetched. Nobody looks at what cannot be right anyway.
    #[serde(skip)]
    pub sha256: Option<Digest>,
}

/// A list that some servers write as null when it is empty.
fn maybe_null<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<HeldAsset>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_without_assets_has_none() {
        for assets in ["", r#","assets":null"#, r#","assets":[]"#] {
            let held: Held = serde_json::from_str(&format!(r#"{{"id":3,"tag_name":"v1","author":{{"id":1}}{assets}}}"#)).unwrap();
            assert_eq!((held.id, held.draft, held.assets), (3, false, Vec::new()));
        }
    }
}
