//! `updater.toml` as it is written. [`super::settings`] makes it effective; nothing else reads these types.

#![allow(missing_docs)] // each key is documented where people look for it: docs/configure.md

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub product: String,
    pub source: Source,
    #[serde(default)]
    pub trust: Trust,
    #[serde(default)]
    pub managed: Vec<Managed>,
    #[serde(default)]
    pub services: Services,
    #[serde(default)]
    pub health: Vec<Health>,
    #[serde(default)]
    pub trial: Trial,
    #[serde(default)]
    pub backup: Backup,
    #[serde(default)]
    pub download: Download,
    #[serde(default)]
    pub schedule: Schedule,
    #[serde(default)]
    pub api: Api,
    pub notify: Option<Notify>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub gitea: Option<String>,
    pub repo: Option<String>,
    pub url: Option<String>,
    pub dir: Option<String>,
    #[serde(default = "stable")]
    pub channel: String,
    pub token_file: Option<String>,
    pub ca_file: Option<String>,
    #[serde(default)]
    pub allow_http: bool,
}

fn stable() -> String {
    "stable".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    pub required: bool,
    pub keys: String,
    pub threshold: usize,
}

impl Default for Trust {
    fn default() -> Self {
        Trust { required: true, keys: "/etc/pikit/keys".into(), threshold: 1 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Managed {
    pub from: String,
    pub to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Services {
    pub restart: Vec<String>,
    pub reload: Vec<String>,
    pub control: Vec<String>,
    pub allow_commands: bool,
}

impl Default for Services {
    fn default() -> Self {
        Services { restart: Vec::new(), reload: Vec::new(), control: vec!["systemctl".into()], allow_commands: false }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub http: Option<String>,
    pub contains: Option<String>,
    pub tcp: Option<String>,
    pub unit: Option<String>,
    pub run: Option<Vec<String>>,
}

/// Declares a section whose keys all have a default.
macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $(pub $key: $type,)* }
        impl Default for $name {
            fn default() -> Self { $name { $($key: $default.into(),)* } }
        }
    };
}
section!(Trial { timeout: String = "120s", interval: String = "5s", settle: String = "10s" });
section!(Backup { keep: u32 = 1u32, min_free: String = "64MiB" });
section!(Download { timeout: String = "30s", min_speed: String = "1KiB/s", limit_rate: String = "0" });
section!(Schedule { action: String = "check", at: String = "04:20", window: String = "0", days: Vec<String> = Vec::<String>::new(), jitter: String = "30m", });
section!(Api { listen: String = "127.0.0.1:8686", token_file: String = "/etc/pikit/api-token", hosts: Vec<String> = Vec::<String>::new(), upload_limit: String = "1GiB", });

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub webhook: String,
    #[serde(default = "all_events")]
    pub events: Vec<String>,
    #[serde(default = "by_the_url")]
    pub format: String,
}

fn all_events() -> Vec<String> {
    super::contact::EVENTS.map(str::to_owned).to_vec()
}

fn by_the_url() -> String {
    "auto".into()
}

impl Config {
    /// Parses the text of the file.
    ///
    /// # Errors
    /// One message with line and column; an unknown key is named together with the nearest known one.
    pub fn parse(text: &str) -> Result<Self, String> {
        crate::keys::read(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let error = Config::parse("product = \"p\"\n[source]\ndir = \"/x\"\n[trial]\nsetle = \"3s\"\n").unwrap_err();
        assert_eq!(error, "line 5: unknown key `setle`; did you mean `settle`?");
        let error = Config::parse("product = \"p\"\n[source]\ndir = \"/x\"\n[backup]\nzzz = 1\n").unwrap_err();
        assert!(error.starts_with("line 5: unknown key `zzz`, expected"), "{error}");
    }
}
