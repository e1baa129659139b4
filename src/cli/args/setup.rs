//! What can be typed after `setup`.

use clap::Args;

use super::AutoMode;
use crate::device::schedule;
use crate::device::settings::Probe;
use crate::release::Digest;
use crate::setup::answers::{managed, probe};

/// `setup`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  sudo pikit-updater setup                          asks, and checks each answer at once
  sudo pikit-updater setup -y --gitea https://git.example.org --repo owner/pi-kit \\
      --key maintainer.pub --managed pikit-web/=/var/www/pikit-web/ --restart pikit-api \\
      --health http://127.0.0.1:8080/ping --auto install
  sudo pikit-updater setup --reset-identity         on a copy of another board's card")]
#[command(after_help = "Asked for is what no option says. Without a terminal, or with -y or --no-input, nothing is asked: a source (--gitea and --repo, \
--url or --dir), a key and --managed are needed then.")]
pub struct Setup {
    /// A Gitea or Forgejo server
    #[arg(long, value_name = "URL", requires = "repo", conflicts_with_all = ["url", "dir"])]
    pub gitea: Option<String>,
    /// The repository on it
    #[arg(long, value_name = "OWNER/NAME", requires = "gitea")]
    pub repo: Option<String>,
    /// A folder on any web server
    #[arg(long, value_name = "URL", conflicts_with = "dir")]
    pub url: Option<String>,
    /// A folder of this machine
    #[arg(long, value_name = "DIR")]
    pub dir: Option<String>,
    /// stable, or a prerelease channel
    #[arg(long, value_name = "NAME", default_value = "stable")]
    pub channel: String,
    /// A file with an access token, for a private repository
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// A file with an authority of your own
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Plain http beyond this machine
    #[arg(long)]
    pub allow_http: bool,
    /// Whose releases these are [default: as the newest release says]
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
    /// The maintainer's public key: a file, or its line that begins with RW
    #[arg(long, value_name = "FILE|RW…", conflicts_with_all = ["key_fingerprint", "unsigned"])]
    pub key: Option<String>,
    /// The key whose line has this SHA-256: taken from the releases themselves, or from the folder of keys
    #[arg(long, value_name = "SHA256", value_parser = fingerprint, conflicts_with = "unsigned")]
    pub key_fingerprint: Option<Digest>,
    /// Nobody signs these releases: for a network that you trust
    #[arg(long)]
    pub unsigned: bool,
    /// What goes where: the prefix in the release, and the place here ("/" at both ends for folders); may be given again
    #[arg(long, value_name = "FROM=TO", value_parser = managed)]
    pub managed: Vec<(String, String)>,
    /// A unit that is restarted after each update; may be given again
    #[arg(long, value_name = "UNIT")]
    pub restart: Vec<String>,
    /// A unit that is reloaded; may be given again
    #[arg(long, value_name = "UNIT")]
    pub reload: Vec<String>,
    /// The command that restarts, without systemd: "rc-service {unit} {verb}"; "" touches no service
    #[arg(long, value_name = "WORDS")]
    pub control: Option<String>,
    /// What must be true of a healthy board: http://…, tcp:HOST:PORT or unit:NAME; may be given again [default: as the newest release suggests]
    #[arg(long, value_name = "CHECK", value_parser = probe)]
    pub health: Vec<Probe>,
    /// Watch nothing after an update, whatever the release suggests
    #[arg(long, conflicts_with = "health")]
    pub no_health: bool,
    /// What is done by itself every day: off, check or install [default: check]
    #[arg(long, value_enum, value_name = "off|check|install", hide_possible_values = true)]
    pub auto: Option<AutoMode>,
    /// When, in local time [default: 04:20]
    #[arg(long, value_name = "HH:MM", value_parser = hour)]
    pub at: Option<String>,
    /// Print the config that would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Replace a config that is there already; the old one is kept beside it
    #[arg(long)]
    pub force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// On a copy of another board's card: forget what makes the two look like one
    #[arg(long, conflicts_with_all = ["gitea", "url", "dir", "product", "key", "key_fingerprint", "unsigned", "managed", "restart", "reload", "control", "health", "no_health", "auto", "at", "dry_run", "force"])]
    pub reset_identity: bool,
}

fn hour(text: &str) -> Result<String, String> {
    schedule::time(text).map(|_| text.to_owned()).ok_or_else(|| "not a time like 04:20".into())
}

/// 64 hex digits, as people group them.
fn fingerprint(text: &str) -> Result<Digest, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | ':' | '-')).collect();
    plain
        .to_ascii_lowercase()
        .parse()
        .map_err(|_| "not a SHA-256 of 64 hex digits (the number of a key is not enough: anybody can make another key with that)".into())
}
