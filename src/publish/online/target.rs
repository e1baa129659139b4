//! Where a release is published: the table `[publish]` of the recipe, with what the command line says in its place.

use std::path::{Path, PathBuf};

use semver::Version;
use serde::Deserialize;

use crate::device::{Layout, Settings};
use crate::error::{Doing, Error, Result};
use crate::publish::place;
use crate::publish::secret::{self, Place};
use crate::release::{KeySet, PublicKey};
use crate::source::Token;
use crate::{keys, quantity};

/// Variable of the environment that holds the token.
pub const TOKEN_VARIABLE: &str = "PIKIT_GITEA_TOKEN";
/// Largest bundle that is not remarked upon, unless the recipe says otherwise.
const MAX_BUNDLE: u64 = 64 << 20;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTarget {
    gitea: Option<String>,
    repo: Option<String>,
    tag: Option<String>,
    title: Option<String>,
    target: Option<String>,
    patches: usize,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    allow_http: bool,
    keys: Vec<PathBuf>,
    threshold: Option<usize>,
    max_bundle: Option<String>,
}

/// What the command line says in place of the recipe.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// `--gitea`
    pub gitea: Option<String>,
    /// `--repo`
    pub repo: Option<String>,
}

/// Where to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address of the server.
    pub gitea: String,
    /// `owner/name`.
    pub repo: String,
    /// The tag of a release, with `{version}` in it.
    tag: String,
    /// The title that people see, with `{version}` in it.
    title: Option<String>,
    /// The branch or commit that gets the tag, if the tag is not there yet.
    pub branch: Option<String>,
    /// From so many of the newest earlier releases there shall be a patch.
    pub patches: usize,
    /// Where the token is, if nothing else says so.
    token_file: Option<PathBuf>,
    /// Authorities that vouch for the server.
    ca_file: Option<PathBuf>,
    /// Plain http beyond loopback.
    allow_http: bool,
    /// The keys that devices were set up with, if they are told.
    keys: Vec<PathBuf>,
    /// How many of them must sign.
    threshold: usize,
    /// A bundle that is larger is remarked upon.
    pub max_bundle: u64,
}

impl Target {
    /// Reads nothing but the table out of a recipe.
    ///
    /// # Errors
    /// There is no recipe, or the table is wrong.
    pub fn read(recipe: &Path, elsewhere: &Elsewhere) -> Result<Self> {
        #[derive(Deserialize)]
        struct Only {
            #[serde(default)]
            publish: WrittenTarget,
        }
        let text = std::fs::read_to_string(recipe).doing(|| format!("reading the recipe {}", recipe.display()))?;
        let wrong = |what: String| Error::usage(format!("{}: {what}", recipe.display()));
        let only: Only = keys::read(&text).map_err(wrong)?;
        Target::of(only.publish, recipe.parent().unwrap_or(Path::new("")), elsewhere).map_err(|(what, hint)| wrong(what).hint(hint))
    }

    fn of(written: WrittenTarget, folder: &Path, elsewhere: &Elsewhere) -> Result<Self, (String, &'static str)> {
        const TABLE: &str = "write a table [publish] with gitea = \"https://…\" and repo = \"owner/name\" into it, or give --gitea and --repo";
        let gitea = elsewhere.gitea.clone().or(written.gitea).ok_or(("publish.gitea: it is not said where to publish".to_owned(), TABLE))?;
        let repo = elsewhere.repo.clone().or(written.repo).ok_or(("publish.repo: it is not said where to publish".to_owned(), TABLE))?;
        if repo.split('/').count() != 2 || repo.split('/').any(str::is_empty) {
            return Err((format!("publish.repo: {repo:?} is not owner/name"), TABLE));
        }
        let tag = written.tag.unwrap_or_else(|| "v{version}".into());
        if !matches!(tag.as_str(), "v{version}" | "{version}") {
            return Err((format!("publish.tag: devices read \"v{{version}}\" and \"{{version}}\", not {tag:?}"), "leave it out"));
        }
        let limit = written.max_bundle.as_deref().map_or(Ok(MAX_BUNDLE), quantity::size);
        let here = |path: PathBuf| folder.join(path);
        Ok(Target {
            gitea: gitea.trim_end_matches('/').to_owned(),
            repo,
            tag,
            title: written.title,
            branch: written.target,
            patches: written.patches,
            token_file: written.token_file.map(here),
            ca_file: written.ca_file.map(here),
            allow_http: written.allow_http,
            keys: written.keys.into_iter().map(here).collect(),
            threshold: written.threshold.unwrap_or(1),
            max_bundle: limit.map_err(|e| (format!("publish.max_bundle: {e}"), "like \"64MiB\""))?,
        })
    }

    /// The tag of a version.
    pub fn tag(&self, version: &Version) -> String {
        self.tag.replace("{version}", &version.to_string())
    }
    /// The title of a version.
    pub fn title(&self, product: &str, version: &Version) -> String {
        self.title.as_ref().map_or_else(|| format!("{product} {version}"), |t| t.replace("{version}", &version.to_string()))
    }
    /// Owner and name.
    pub fn owner_and_name(&self) -> (&str, &str) {
        self.repo.split_once('/').unwrap_or((&self.repo, ""))
    }

    /// The token: from the place that was told, else from the environment, else from the file that the recipe names.
    ///
    /// # Errors
    /// There is none, or what is there is none. It is never repeated.
    pub fn token(&self, told: Option<&Place>) -> Result<Token> {
        let set = std::env::var_os(TOKEN_VARIABLE).is_some_and(|v| !v.is_empty());
        let place = match (told, &self.token_file) {
            (Some(place), _) => place.clone(),
            (None, _) if set => Place::Env(TOKEN_VARIABLE.into()),
            (None, Some(file)) => Place::File(file.clone()),
            (None, None) => {
                let hint = format!("make one at {}/user/settings/applications, and give it with --token-file FILE or in {TOKEN_VARIABLE}", self.gitea);
                return Err(Error::usage(format!("there is no token for {}", self.gitea)).hint(hint));
            }
        };
        let text: secret::Secret = place.read("the token")?;
        Token::new(text.first_line().reveal()).ok_or_else(|| Error::usage("what was given as the token is none").hint("it is one line of letters and digits"))
    }

    /// The keys of devices: those that are told, else those of whoever signs.
    ///
    /// # Errors
    /// A key cannot be read; there are fewer keys than must sign.
    pub fn key_set(&self, signers: &[PublicKey]) -> Result<Option<KeySet>> {
        let told = place::public_keys(&self.keys, None)?;
        let keys = if told.is_empty() { signers.to_vec() } else { told };
        if keys.is_empty() {
            return Ok(None);
        }
        KeySet::new(1, keys, self.threshold).map(Some).map_err(|e| Error::usage(format!("publish.keys: {e}")))
    }

    /// The settings of a device that takes its releases from there. So an address that would be refused there is refused here: the token
    /// of whoever publishes does not go over an open line either.
    ///
    /// # Errors
    /// The address is none, or not allowed.
    pub fn settings(&self, product: &str, channel: &str) -> Result<Settings> {
        let quoted = |text: &str| serde_json::to_string(text).expect("text is plain data");
        let ca_file = self.ca_file.as_ref().map(|path| std::path::absolute(path).doing(|| format!("finding {}", path.display()))).transpose()?;
        let ca_file = ca_file.map_or_else(String::new, |path| format!("ca_file = {}\n", quoted(&path.to_string_lossy())));
        let text = format!(
            "product = {}\n[source]\ngitea = {}\nrepo = {}\nchannel = {}\nallow_http = {}\n{ca_file}",
            quoted(product),
            quoted(&self.gitea),
            quoted(&self.repo),
            quoted(channel),
            self.allow_http
        );
        Settings::parse(&text, &Layout::new("/")).map_err(|e| Error::usage(format!("release.toml: {}", e.replace("source.", "publish."))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, String> {
        let written: WrittenTarget = keys::read(text)?;
        Target::of(written, Path::new("/repo"), &Elsewhere::default()).map_err(|(what, _)| what)
    }

    #[test]
    fn the_table_says_where_and_how() {
        let found = target("gitea = \"https://git.example.org/\"\nrepo = \"me/kit\"\npatches = 2\ntoken_file = \"token\"").unwrap();
        assert_eq!((found.gitea.as_str(), found.patches, found.max_bundle), ("https://git.example.org", 2, MAX_BUNDLE));
        assert_eq!((found.tag(&Version::new(1, 2, 0)), found.title("pikit", &Version::new(1, 2, 0))), ("v1.2.0".into(), "pikit 1.2.0".into()));
        assert_eq!(found.token_file, Some(PathBuf::from("/repo/token")));
        let settings = found.settings("pikit", "beta").unwrap();
        assert_eq!((settings.product.as_str(), settings.channel.as_str()), ("pikit", "beta"));
    }

    #[test]
    fn what_no_device_could_follow_is_refused() {
        let table = [
            ("repo = \"a/b\"", "publish.gitea"),
            ("gitea = \"https://x\"", "publish.repo"),
            ("gitea = \"https://x\"\nrepo = \"a\"", "owner/name"),
            ("gitea = \"https://x\"\nrepo = \"a/b/c\"", "owner/name"),
            ("gitea = \"https://x\"\nrepo = \"a/b\"\ntag = \"release-{version}\"", "publish.tag"),
            ("gitea = \"https://x\"\nrepo = \"a/b\"\nmax_bundle = \"much\"", "publish.max_bundle"),
            ("gitea = \"https://x\"\nrepo = \"a/b\"\ntokenfile = \"x\"", "token_file"),
        ];
        for (text, words) in table {
            let error = target(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
