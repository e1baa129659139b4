//! What a maintainer can type: `pack`, `lint`, `keygen`, `sign`, `verify-release`, `check-expiry`, `rotate`, `publish`.

mod online;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use semver::Version;

pub use online::{Lint, Publish};

use crate::release::manifest::version;

/// What is said of secrets in every help.
const SECRETS: &str = "A key is a FILE, env:NAME (a variable with the file's text, or the key's line alone) or fd:N (an open file descriptor), and so is a \
passphrase, which is asked for on the terminal if no place is given. Without --key the variable PIKIT_SECRET_KEY is taken, without \
--passphrase PIKIT_PASSPHRASE. The secret itself never stands on the command line, where everybody sees it in `ps`.";

/// `pack`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
#[command(before_help = "Examples:
  pikit-updater pack                                  from ./release.toml into dist/
  pikit-updater pack --version 1.4.0 --out /media/stick/pikit
  pikit-updater pack --patch-from dist/pikit-1.3.0    devices on 1.3.0 fetch what changed")]
#[command(after_help = "Keep the folders of releases: --previous lays files out oldest first, so that devices on any of them fetch what they lack in \
one request, and --patch-from makes that smaller still. What devices will fetch is printed at the end.")]
pub struct Pack {
    /// The recipe
    #[arg(default_value = "release.toml", value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// What and where to.
    #[command(flatten)]
    pub packing: Packing,
}

/// What the command line says of packing.
#[derive(Debug, Args)]
pub struct Packing {
    /// Where to pack [default: dist/PRODUCT-VERSION]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Instead of the recipe's version
    #[arg(long, value_parser = version)]
    pub version: Option<Version>,
    /// Instead of the recipe's channel
    #[arg(long)]
    pub channel: Option<String>,
    /// Instead of the recipe's date, like 2026-11-20
    #[arg(long, value_name = "DATE")]
    pub released: Option<String>,
    /// An earlier release: its folder, its manifest.json, or a folder of such folders
    #[arg(long, value_name = "PATH")]
    pub previous: Vec<PathBuf>,
    /// An earlier release whose devices get a patch: its folder, or a folder of such folders
    #[arg(long, value_name = "DIR")]
    pub patch_from: Vec<PathBuf>,
}

/// `keygen`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  pikit-updater keygen                         pikit.key and pikit.pub; a passphrase is asked for
  pikit-updater keygen keys/pikit-2027 --comment \"releases, from 2027 on\"
  pikit-updater keygen ci --no-passphrase      for a CI that keeps secrets itself")]
#[command(after_help = "Both files are minisign's own: either program opens the other's keys. A file that is there is never overwritten. \
--passphrase takes a FILE, env:NAME or fd:N; without it PIKIT_PASSPHRASE is taken, and otherwise you are asked. Opening a key with a \
passphrase takes 1 GiB of memory for a few seconds, as with minisign: that is what makes guessing expensive.")]
pub struct Keygen {
    /// Begin of the two files' names, .key and .pub
    #[arg(default_value = "pikit", value_name = "NAME")]
    pub name: PathBuf,
    /// Whoever has the file can sign: for a CI
    #[arg(long, conflicts_with = "passphrase")]
    pub no_passphrase: bool,
    /// A line in the key's file, for people
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Where the passphrase is: FILE, env:NAME, fd:N
    #[arg(long, value_name = "WHERE")]
    pub passphrase: Option<OsString>,
}

/// Secret keys, for what signs.
#[derive(Debug, Args)]
pub struct Keys {
    /// Where a secret key is: FILE, env:NAME, fd:N; several sign one after the other
    #[arg(long = "key", value_name = "WHERE")]
    pub keys: Vec<OsString>,
    /// Where its passphrase is: FILE, env:NAME, fd:N; several in the order of the keys
    #[arg(long = "passphrase", value_name = "WHERE")]
    pub passphrases: Vec<OsString>,
}

/// `sign`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  pikit-updater sign dist/pikit-1.4.0 --key pikit.key
  pikit-updater sign dist/pikit-1.4.0 --expires 90d      in a CI: the key is in PIKIT_SECRET_KEY
  pikit-updater sign dist/pikit-1.3.0 --recall           takes all later releases back
  pikit-updater sign trust.json --key second.key         signs the last change of the keys, too")]
#[command(after_help = SECRETS)]
pub struct Sign {
    /// The folder of a release, its manifest.json, or trust.json
    #[arg(value_name = "DIR|FILE")]
    pub target: PathBuf,
    /// With which keys.
    #[command(flatten)]
    pub with: Keys,
    /// Public keys of others (*.pub), so that their signatures can be looked at
    #[arg(long = "keys", value_name = "FOLDER")]
    pub others: Option<PathBuf>,
    /// A later date until which it may be offered, or a time from now, like 90d
    #[arg(long, value_name = "DATE|TIME")]
    pub expires: Option<String>,
    /// Devices above this release return to it
    #[arg(long)]
    pub recall: bool,
    /// Also an expiry that is not later
    #[arg(long, requires = "expires")]
    pub force: bool,
    /// A word that devices show beside product, version and time
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// `verify-release`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  pikit-updater verify-release dist/pikit-1.4.0 --key pikit.pub
  pikit-updater verify-release pikit-1.4.0.tar.gz --keys /etc/pikit/keys --threshold 2
  pikit-updater verify-release dist/pikit-1.4.0 --unsigned    everything but whose it is")]
#[command(after_help = "Exit code: 0 when a device with these keys would take it, 4 when not, and when there was no key to look with.")]
pub struct VerifyRelease {
    /// The folder of a release, its manifest.json, or a bundle by itself
    #[arg(value_name = "DIR|FILE")]
    pub target: PathBuf,
    /// A public key: its file, or its line
    #[arg(long = "key", value_name = "PUB")]
    pub keys: Vec<PathBuf>,
    /// Every key (*.pub) in this folder
    #[arg(long = "keys", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// How many of the keys must have signed
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true)]
    pub threshold: usize,
    /// Nobody signed it, and that is all right
    #[arg(long, conflicts_with_all = ["keys", "folder"])]
    pub unsigned: bool,
}

/// `check-expiry`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  pikit-updater check-expiry dist/pikit-1.4.0
  pikit-updater check-expiry dist/pikit-1.4.0 --within 30d || echo \"sign it anew\"")]
#[command(after_help = "Exit code: 0 when it expires later than that or never, 4 when not. Whose signature it has is not looked at.")]
pub struct CheckExpiry {
    /// The folder of a release, or its manifest.json
    #[arg(value_name = "DIR|FILE")]
    pub target: PathBuf,
    /// How long it has to be good for
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = crate::quantity::duration)]
    pub within: Duration,
}

/// `rotate`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  pikit-updater rotate trust.json --product pikit --to new.pub --key old.key --key new.key
  pikit-updater rotate trust.json --to a.pub --to b.pub --to c.pub --threshold 2 \\
      --key now.key --key a.key --key b.key
  pikit-updater rotate trust.json --to new.pub --key old.key --partial    the others sign it later")]
#[command(after_help = SECRETS)]
pub struct Rotate {
    /// The file of all changes; made if it is not there. release.toml names it: trust = \"trust.json\"
    #[arg(value_name = "TRUST.JSON")]
    pub file: PathBuf,
    /// A public key that signs from now on: its file, or its line
    #[arg(long, value_name = "PUB", required = true)]
    pub to: Vec<PathBuf>,
    /// How many of them must sign [default: as many as before]
    #[arg(long, value_name = "N")]
    pub threshold: Option<usize>,
    /// Whose releases they sign; left out: as in the step before, or of every product with the same keys
    #[arg(long)]
    pub product: Option<String>,
    /// First change: a public key that devices have now [default: the signers that are not among the new keys]
    #[arg(long, value_name = "PUB")]
    pub from: Vec<PathBuf>,
    /// First change: how many of those devices ask for [default: 1]
    #[arg(long, value_name = "N")]
    pub from_threshold: Option<usize>,
    /// With which keys.
    #[command(flatten)]
    pub with: Keys,
    /// Write the change though signatures are missing; `sign` adds them, and `pack` refuses it until then
    #[arg(long)]
    pub partial: bool,
}
