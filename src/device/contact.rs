//! How people and programs reach the updater, and it them: `[api]` and `[notify]` of the config, checked.

use std::path::PathBuf;

use super::{Layout, config, settings};

/// Where the API listens and whom it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where, unless systemd hands over a socket.
    pub listen: Listen,
    /// The file with the token.
    pub token_file: PathBuf,
    /// Host names it answers to, besides its own.
    pub hosts: Vec<String>,
    /// Largest bundle that may be sent to it, bytes; 0: none may.
    pub upload_limit: u64,
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address of this machine; loopback.
    Tcp(std::net::SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Api {
    /// Checks the section.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn new(config: &config::Api, layout: &Layout) -> Result<Self, String> {
        let listen = match config.listen.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Listen::Unix(layout.rooted(path.as_ref())),
            Some(path) => return Err(format!("api.listen: unix:{path} is not an absolute path")),
            None => match config.listen.parse::<std::net::SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => Listen::Tcp(address),
                Ok(address) => {
                    return Err(format!(
                        "api.listen: {address} can be reached from outside, without encryption; listen on 127.0.0.1 and put nginx in front (docs/api.md)"
                    ));
                }
                Err(_) => return Err(format!("api.listen: {:?} is neither an address with a port, like 127.0.0.1:8686, nor unix:/a/path", config.listen)),
            },
        };
        let plain = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
        if let Some(host) = config.hosts.iter().find(|host| !plain(host)) {
            return Err(format!("api.hosts: {host:?} is no host name"));
        }
        let hosts = config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let upload_limit = crate::quantity::size(&config.upload_limit).map_err(|e| format!("api.upload_limit: {e}"))?;
        Ok(Api { listen, token_file: layout.rooted(config.token_file.as_ref()), hosts, upload_limit })
    }
}

/// What may be told to somebody else.
pub const EVENTS: [&str; 4] = ["available", "confirmed", "rolled-back", "failed"];

/// Who is told of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Where the message is sent.
    pub webhook: String,
    /// Of [`EVENTS`].
    pub events: Vec<String>,
    /// In which shape.
    pub format: Format,
}

/// Shape of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object; chat servers find their text in it.
    Json,
    /// ntfy: the text is the body, title and priority are headers.
    Ntfy,
}

impl Notify {
    /// Checks the section.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn new(config: &config::Notify) -> Result<Self, String> {
        settings::check_url("notify.webhook", &config.webhook, true)?;
        if let Some(event) = config.events.iter().find(|e| !EVENTS.contains(&e.as_str())) {
            return Err(format!("notify.events: {event:?} is none of {}", EVENTS.join(", ")));
        }
        let host = config.webhook.split("://").nth(1).unwrap_or_default();
        let format = match config.format.as_str() {
            "json" => Format::Json,
            "ntfy" => Format::Ntfy,
            // ntfy.sh, ntfy.example.org
            "auto" if host.starts_with("ntfy.") => Format::Ntfy,
            "auto" => Format::Json,
            other => return Err(format!("notify.format: {other:?} is none of auto, json, ntfy")),
        };
        Ok(Notify { webhook: config.webhook.clone(), events: config.events.clone(), format })
    }
}
