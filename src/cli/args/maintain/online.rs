//! `publish` and `lint`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use semver::Version;

use super::{Keys, Packing};
use crate::release::manifest::version;

/// `publish`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
#[command(before_help = "Examples:
  pikit-updater publish --key pikit.key               pack, sign, upload, show, look at it
  pikit-updater publish --version 1.4.0 --dry-run     all but writing to the server
  pikit-updater publish --release dist/pikit-1.4.0    one that was packed and signed before
  pikit-updater publish --token-file env:TOKEN        in a CI: the key is in PIKIT_SECRET_KEY")]
#[command(after_help = "The release is made as a draft, its files are uploaded, fetched again and compared, and only then it becomes visible. A run that \
broke off is simply run again. Earlier releases on the server are known without --previous and --patch-from. What is visible is not changed \
without --replace. The token is taken from --token-file (a FILE, env:NAME or fd:N), \
else from PIKIT_GITEA_TOKEN, else from token_file under [publish] in the recipe. It is sent to that server only, and never shown.")]
pub struct Publish {
    /// The recipe, with a table [publish]
    #[arg(default_value = "release.toml", value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// A release that is packed and signed already: its folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["Packing", "keys", "passphrases"])]
    pub release: Option<PathBuf>,
    /// What is packed, and where to.
    #[command(flatten)]
    pub packing: Packing,
    /// With which keys.
    #[command(flatten)]
    pub with: Keys,
    /// Instead of the recipe's server
    #[arg(long, value_name = "URL")]
    pub gitea: Option<String>,
    /// Instead of the recipe's repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Where the token is: FILE, env:NAME, fd:N
    #[arg(long, value_name = "WHERE")]
    pub token_file: Option<OsString>,
    /// Also change a release that is visible; it is hidden while it is changed
    #[arg(long)]
    pub replace: bool,
    /// Do everything but write to the server
    #[arg(long)]
    pub dry_run: bool,
}

/// `lint`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
#[command(before_help = "Examples:
  pikit-updater lint                            what ./release.toml would pack
  pikit-updater lint dist/pikit-1.4.0           a release that is packed
  pikit-updater --config ./updater.toml lint    whether such a device has a place for each file")]
#[command(
    after_help = "Exit code: 0 when there is nothing worse than warnings, 5 when something would hurt. `pack` and `publish` ask the same rules. A file that \
a person has looked at passes with allow = [\"glob\"] under [lint] in the recipe."
)]
pub struct Lint {
    /// The recipe, or the folder of a release
    #[arg(default_value = "release.toml", value_name = "RECIPE|DIR")]
    pub target: PathBuf,
    /// Instead of the recipe's version
    #[arg(long, value_parser = version)]
    pub version: Option<Version>,
    /// Instead of the recipe's date, like 2026-11-20
    #[arg(long, value_name = "DATE")]
    pub released: Option<String>,
    /// The highest version that is published
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub published: Option<Version>,
}
