//! The effective config: every value checked, every path below the root. What the rest of the program sees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Api, Layout, Managed, Notify, Schedule, config::Config};
use crate::quantity;
use crate::release::{Hint, ReleasePath, hint, step::unit_name};

/// The doubt about a config without a health check.
pub const UNWATCHED: &str = "no [[health]] check: a sick release would not be noticed";

/// Everything the device's owner decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the updater's own files lie.
    pub layout: Layout,
    /// A manifest that names another product is refused.
    pub product: String,
    /// Where releases come from.
    pub source: Source,
    /// `stable`, or a prerelease channel.
    pub channel: String,
    /// Whom to believe.
    pub trust: Trust,
    /// What the updater may touch.
    pub managed: Vec<Managed>,
    /// What may be restarted, and how.
    pub services: Services,
    /// What must be true of a healthy board; all of them.
    pub health: Vec<Probe>,
    /// How long to wait for the verdict.
    pub trial: Trial,
    /// Backups left after a confirm.
    pub backup_keep: u32,
    /// Bytes left free on every file system written to.
    pub min_free: u64,
    /// Limits of the network.
    pub download: Download,
    /// What the daily timer does.
    pub schedule: Schedule,
    /// Where the API listens and whom it answers.
    pub api: Api,
    /// Who is told of what, if anybody.
    pub notify: Option<Notify>,
    /// Things the owner should know about this config.
    pub doubts: Vec<String>,
}

/// Where releases come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A Gitea or Forgejo server and a repository on it.
    Gitea {
        /// Base URL without a slash at the end.
        base: String,
        /// `owner/name`.
        repo: String,
        /// Network options.
        net: Net,
    },
    /// A folder on any static web server.
    Url {
        /// Base URL with a slash at the end.
        base: String,
        /// Network options.
        net: Net,
    },
    /// A folder of this machine.
    Dir(PathBuf),
}

/// Options of sources on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Net {
    /// File with the access token, sent only to the configured host.
    pub token_file: Option<PathBuf>,
    /// PEM file with additional authorities.
    pub ca_file: Option<PathBuf>,
    /// Plain http beyond loopback.
    pub allow_http: bool,
}

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Refuse what no trusted key signed.
    pub required: bool,
    /// Folder of minisign public keys.
    pub keys: PathBuf,
    /// Signatures by distinct keys.
    pub threshold: usize,
}

/// What may be restarted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// Full unit names.
    pub restart: Vec<String>,
    /// Full unit names.
    pub reload: Vec<String>,
    /// Command; empty: touch no services.
    pub control: Vec<String>,
    /// Whether `run` of a signed manifest is allowed.
    pub allow_commands: bool,
}

/// One health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Status 200, and the text in the body.
    Http {
        /// URL.
        url: String,
        /// Text to find.
        contains: Option<String>,
    },
    /// Accepts connections.
    Tcp(String),
    /// Active, and not restarting.
    Unit(String),
    /// Exits with 0.
    Run(Vec<String>),
}

impl From<Hint> for Probe {
    fn from(hint: Hint) -> Self {
        match hint {
            Hint::Http(url) => Probe::Http { url, contains: None },
            Hint::Tcp(at) => Probe::Tcp(at),
            Hint::Unit(unit) => Probe::Unit(unit),
        }
    }
}

impl Probe {
    /// What messages and records call it. Distinct probes have distinct names.
    pub fn name(&self) -> String {
        match self {
            Probe::Http { url, contains: None } => url.clone(),
            Probe::Http { url, contains: Some(text) } => format!("{url} with {text:?}"),
            Probe::Tcp(addr) => format!("tcp {addr}"),
            Probe::Unit(unit) => unit.clone(),
            Probe::Run(argv) => argv.join(" "),
        }
    }
}

/// How long to wait for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Time to become healthy.
    pub timeout: Duration,
    /// Between two rounds of checks.
    pub interval: Duration,
    /// Must stay healthy this long.
    pub settle: Duration,
}

/// Limits of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// To connect, and between two bytes.
    pub timeout: Duration,
    /// Bytes a second over any minute.
    pub min_speed: u64,
    /// Bytes a second; 0: none.
    pub limit_rate: u64,
}

impl Settings {
    /// Makes a config effective below a root.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn parse(text: &str, layout: &Layout) -> Result<Self, String> {
        let config = Config::parse(text)?;
        let mut doubts = Vec::new();
        let at = |key: &str| {
            let key = key.to_owned();
            move |e: String| format!("{key}: {e}")
        };
        let rooted = |path: &str| layout.rooted(Path::new(path));

        if config.product.is_empty() || !config.product.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(format!("product: {:?} is not a name of letters, digits, - _ .", config.product));
        }
        let net = Net {
            token_file: config.source.token_file.as_deref().map(rooted),
            ca_file: config.source.ca_file.as_deref().map(rooted),
            allow_http: config.source.allow_http,
        };
        let source = match (&config.source.gitea, &config.source.repo, &config.source.url, &config.source.dir) {
            (Some(base), Some(repo), None, None) => {
                check_url("source.gitea", base, net.allow_http)?;
                if repo.split('/').count() != 2 || repo.split('/').any(str::is_empty) {
                    return Err(format!("source.repo: {repo:?} is not owner/name"));
                }
                Source::Gitea { base: base.trim_end_matches('/').into(), repo: repo.clone(), net }
            }
            (None, None, Some(url), None) => {
                check_url("source.url", url, net.allow_http)?;
                Source::Url { base: format!("{}/", url.trim_end_matches('/')), net }
            }
            (None, None, None, Some(dir)) => Source::Dir(rooted(dir)),
            _ => return Err("source: give exactly one of gitea with repo, url, dir".into()),
        };

        let mut managed: Vec<Managed> = Vec::new();
        for entry in &config.managed {
            if entry.from.ends_with('/') != entry.to.ends_with('/') {
                return Err(format!("managed: {:?} and {:?} are not both a folder (\"/\" at both ends) or both a file", entry.from, entry.to));
            }
            ReleasePath::new(entry.from.trim_end_matches('/')).map_err(at("managed.from"))?;
            let to = Path::new(&entry.to);
            let plain = to.components().all(|c| matches!(c, std::path::Component::RootDir | std::path::Component::Normal(_)));
            if !to.is_absolute() || !plain || to.parent().is_none() {
                return Err(format!("managed.to: {:?} is not an absolute path below /", entry.to));
            }
            let to = rooted(entry.to.trim_end_matches('/'));
            if let Some(other) = managed.iter().find(|m| m.to.starts_with(&to) || to.starts_with(&m.to)) {
                return Err(format!("managed: {} and {} overlap on the device", other.to.display(), to.display()));
            }
            if managed.iter().any(|m| m.from == entry.from) {
                return Err(format!("managed: from {:?} stands twice", entry.from));
            }
            let own = [layout.state_dir(), layout.fetched(), layout.backups()];
            if let Some(own) = own.iter().find(|own| own.starts_with(&to) || to.starts_with(own)) {
                return Err(format!("managed.to: {} overlaps the updater's own {}", to.display(), own.display()));
            }
            managed.push(Managed { from: entry.from.clone(), to });
        }
        if managed.is_empty() {
            doubts.push("no [[managed]] entry: nothing can be installed".into());
        }

        let units = |key: &str, names: &[String]| names.iter().map(|n| unit_name(n)).collect::<Result<Vec<_>, _>>().map_err(at(key));
        let mut services = Services {
            restart: units("services.restart", &config.services.restart)?,
            reload: units("services.reload", &config.services.reload)?,
            control: config.services.control,
            allow_commands: config.services.allow_commands,
        };
        let mut health = Vec::new();
        for check in config.health {
            health.push(match (check.http, check.tcp, check.unit, check.run, check.contains) {
                (Some(url), None, None, None, contains) => {
                    check_url("health.http", &url, true)?;
                    Probe::Http { url, contains }
                }
                (None, Some(addr), None, None, None) => match addr.rsplit_once(':') {
                    Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Probe::Tcp(addr),
                    _ => return Err(format!("health.tcp: {addr:?} is not host:port")),
                },
                (None, None, Some(unit), None, None) => Probe::Unit(unit_name(&unit).map_err(at("health.unit"))?),
                (None, None, None, Some(argv), None) if !argv.is_empty() => Probe::Run(argv),
                _ => return Err("health: give exactly one of http, tcp, unit, run in each entry".into()),
            });
        }
        if health.is_empty() {
            doubts.push(UNWATCHED.into());
        }
        if !config.trust.required {
            doubts.push("trust.required is false: releases are installed without a signature".into());
        }
        let program = services.control.first().and_then(|c| Path::new(c).file_name());
        if layout.root() != Path::new("/") && program.is_some_and(|p| p == "systemctl") {
            // a card in a reader: its services are not those of the machine it is read by
            services.control.clear();
            doubts.push("--root: systemctl is not called, the services of this machine are left alone".into());
        } else if services.control.is_empty() && !(services.restart.is_empty() && services.reload.is_empty()) {
            doubts.push("services.control is empty: no service is restarted or reloaded".into());
        }

        let duration = |key: &str, text: &str| quantity::duration(text).map_err(at(key));
        let size = |key: &str, text: &str| quantity::size(text).map_err(at(key));
        let trial = Trial {
            timeout: duration("trial.timeout", &config.trial.timeout)?,
            interval: duration("trial.interval", &config.trial.interval)?.max(Duration::from_millis(20)),
            settle: duration("trial.settle", &config.trial.settle)?,
        };
        Ok(Settings {
            layout: layout.clone(),
            product: config.product,
            source,
            channel: config.source.channel,
            trust: Trust { required: config.trust.required, keys: rooted(&config.trust.keys), threshold: config.trust.threshold.max(1) },
            managed,
            services,
            health,
            trial,
            backup_keep: config.backup.keep.max(1),
            min_free: size("backup.min_free", &config.backup.min_free)?,
            download: Download {
                timeout: duration("download.timeout", &config.download.timeout)?.max(Duration::from_millis(100)),
                min_speed: size("download.min_speed", &config.download.min_speed)?,
                limit_rate: size("download.limit_rate", &config.download.limit_rate)?,
            },
            schedule: Schedule::new(&config.schedule)?,
            api: Api::new(&config.api, layout)?,
            notify: config.notify.as_ref().map(Notify::new).transpose()?,
            doubts,
        })
    }
}

/// http or https with a host; plain http only to loopback unless allowed.
pub(super) fn check_url(key: &str, url: &str, allow_http: bool) -> Result<(), String> {
    // the whole address of a webhook is a secret, as a rule, and what is said here ends up in logs
    let shown = if key == "notify.webhook" { "what stands there" } else { &format!("{url:?}") };
    let (host, plain) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return Err(format!("{key}: {shown} is not an http or https URL")),
    };
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || url.contains(char::is_whitespace) {
        return Err(format!("{key}: {shown} has no host"));
    }
    if host.contains('@') {
        return Err(format!("{key}: a URL with a user or password in it ends up in logs; use token_file"));
    }
    if plain && !allow_http && !hint::is_loopback(host) {
        return Err(format!("{key}: {shown} is plain http; use https, or allow_http = true if the line can be trusted"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
