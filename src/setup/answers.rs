//! What was answered, and the config that follows from it. Pure.

use crate::device::settings::Probe;
use crate::keys;
use crate::release::Hint;

/// Where the releases come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A Gitea or Forgejo server, and `owner/name` on it.
    Gitea {
        /// Address of the server.
        base: String,
        /// `owner/name`.
        repo: String,
    },
    /// A folder on any web server.
    Url(String),
    /// A folder of this machine.
    Dir(String),
}

/// Everything that a config is made of here; what is not asked keeps its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Whose releases these are.
    pub product: String,
    /// Where they come from.
    pub origin: Origin,
    /// `stable`, or a prerelease channel.
    pub channel: String,
    /// File with an access token.
    pub token_file: Option<String>,
    /// File with an authority of one's own.
    pub ca_file: Option<String>,
    /// Plain http beyond this machine.
    pub allow_http: bool,
    /// Nobody signs these releases.
    pub unsigned: bool,
    /// From the prefix in the release to the place on the board.
    pub managed: Vec<(String, String)>,
    /// Units that are restarted.
    pub restart: Vec<String>,
    /// Units that are reloaded.
    pub reload: Vec<String>,
    /// How services are told, if not by systemctl.
    pub control: Vec<String>,
    /// What must be true of a healthy board.
    pub health: Vec<Probe>,
    /// off, check or install.
    pub auto: String,
    /// `HH:MM`.
    pub at: String,
}

impl Answers {
    /// Answers that name a source and nothing else: enough to ask it.
    pub fn of(origin: Origin) -> Self {
        Answers {
            product: "unknown".into(),
            origin,
            channel: "stable".into(),
            token_file: None,
            ca_file: None,
            allow_http: false,
            unsigned: false,
            managed: Vec::new(),
            restart: Vec::new(),
            reload: Vec::new(),
            control: vec!["systemctl".into()],
            health: Vec::new(),
            auto: "check".into(),
            at: "04:20".into(),
        }
    }

    /// The config.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# The config of pikit-updater, written by `pikit-updater setup`. Change it as you like: `pikit-updater config check` reads it\n\
             # again, and docs/configure.md says what else can stand here.\n\n",
        );
        text += &line("product", &keys::quoted(&self.product), "a release that names another product is refused");
        text += "\n[source]\n";
        match &self.origin {
            Origin::Gitea { base, repo } => {
                text += &line("gitea", &keys::quoted(base), "the server");
                text += &line("repo", &keys::quoted(repo), "its releases are installed here");
            }
            Origin::Url(url) => text += &line("url", &keys::quoted(url), "manifest.json and the bundle lie below it"),
            Origin::Dir(dir) => text += &line("dir", &keys::quoted(dir), "a folder of this machine"),
        }
        text += &line("channel", &keys::quoted(&self.channel), "stable: no prereleases");
        if let Some(file) = &self.token_file {
            text += &line("token_file", &keys::quoted(file), "opens a private repository");
        }
        if let Some(file) = &self.ca_file {
            text += &line("ca_file", &keys::quoted(file), "believed beside the system's own");
        }
        if self.allow_http {
            text += &line("allow_http", "true", "plain http beyond this machine");
        }
        text += "\n[trust]\n";
        text += &match self.unsigned {
            false => line("required", "true", "what no key in /etc/pikit/keys signed is refused"),
            true => line("required", "false", "anybody who can write to the source, or sits on the way, can install anything here"),
        };
        text += "\n# What the updater may touch: what lies below `from` in a release goes to `to` on this board.\n";
        for (from, to) in &self.managed {
            text += &format!("[[managed]]\nfrom = {}\nto = {}\n", keys::quoted(from), keys::quoted(to));
        }
        text += "\n[services]\n";
        text += &line("restart", &words(&self.restart), "restarted after each update that changes a file");
        text += &line("reload", &words(&self.reload), "the same, reloaded");
        text += &line("control", &words(&self.control), "the command that does it");
        text += "\n# What must be true of a healthy board. A release that fails here, and did not before, takes itself back.\n";
        for probe in &self.health {
            text += &format!("[[health]]\n{}\n", in_config(probe));
        }
        if self.health.is_empty() {
            text += "# [[health]]\n# http = \"http://127.0.0.1:8080/ping\"\n";
        }
        text += "\n# What happens by itself every day; `pikit-updater auto` changes it and tells the timer.\n[schedule]\n";
        text += &line("action", &keys::quoted(&self.auto), "off, check or install");
        text + &line("at", &keys::quoted(&self.at), "local time")
    }
}

/// A check as it stands below `[[health]]`.
pub fn in_config(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, contains } => {
            let contains = contains.as_ref().map(|c| format!("\ncontains = {}", keys::quoted(c))).unwrap_or_default();
            format!("http = {}{contains}", keys::quoted(url))
        }
        Probe::Tcp(at) => format!("tcp = {}", keys::quoted(at)),
        Probe::Unit(unit) => format!("unit = {}", keys::quoted(unit)),
        Probe::Run(argv) => format!("run = {}", words(argv)),
    }
}

/// A check as it is typed: a URL, `tcp:HOST:PORT`, or `unit:NAME`.
///
/// # Errors
/// It is none of these.
pub fn probe(text: &str) -> Result<Probe, String> {
    text.parse::<Hint>().map(Probe::from)
}

/// `FROM=TO`, with "/" at both ends for folders.
///
/// # Errors
/// It is not.
pub fn managed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && to.starts_with('/') => Ok((from.to_owned(), to.to_owned())),
        _ => Err("not FROM=TO, like pikit-web/=/var/www/pikit-web/".into()),
    }
}

fn line(key: &str, value: &str, why: &str) -> String {
    let set = format!("{key} = {value}");
    format!("{set:<40} # {why}\n")
}

fn words(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|w| keys::quoted(w)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::device::settings::{Net, Source};
    use crate::device::{Layout, Settings};

    fn full() -> Answers {
        Answers {
            product: "pikit".into(),
            channel: "beta".into(),
            token_file: Some("/etc/pikit/gitea-token".into()),
            ca_file: Some("/etc/pikit/ca.pem".into()),
            allow_http: true,
            managed: vec![("web/".into(), "/var/www/web/".into()), ("api.py".into(), "/usr/local/bin/api \"1\".py".into())],
            restart: vec!["api.service".into()],
            reload: vec!["nginx.service".into()],
            control: vec!["rc-service".into(), "{unit}".into(), "{verb}".into()],
            health: ["http://127.0.0.1:8080/ping", "tcp:127.0.0.1:5252", "unit:api.service"].map(|h| probe(h).unwrap()).to_vec(),
            auto: "install".into(),
            at: "03:10".into(),
            ..Answers::of(Origin::Gitea { base: "https://git.example.org".into(), repo: "owner/kit".into() })
        }
    }

    #[test]
    fn what_was_answered_is_what_the_config_says() {
        let settings = Settings::parse(&full().text(), &Layout::new("/")).unwrap();
        assert_eq!(settings.product, "pikit");
        let net = Net { token_file: Some("/etc/pikit/gitea-token".into()), ca_file: Some("/etc/pikit/ca.pem".into()), allow_http: true };
        assert_eq!(settings.source, Source::Gitea { base: "https://git.example.org".into(), repo: "owner/kit".into(), net });
        assert_eq!((settings.channel.as_str(), settings.trust.required), ("beta", true));
        let managed: Vec<(&str, &Path)> = settings.managed.iter().map(|m| (m.from.as_str(), m.to.as_path())).collect();
        assert_eq!(managed, [("web/", Path::new("/var/www/web")), ("api.py", Path::new("/usr/local/bin/api \"1\".py"))]);
        assert_eq!(settings.services.control, ["rc-service", "{unit}", "{verb}"]);
        assert_eq!((settings.services.restart, settings.services.reload), (vec!["api.service".to_owned()], vec!["nginx.service".to_owned()]));
        assert_eq!(settings.health, full().health);
        assert_eq!((settings.schedule.action.as_str(), settings.schedule.at.as_str()), ("install", "03:10"));
    }

    #[test]
    fn nothing_that_was_answered_becomes_more_than_a_value() {
        for nasty in ["\"\n[trust]\nrequired = false #", "'''", "\\", "a\u{7}b", "\r\n", "\u{202e}"] {
            let answers = Answers { channel: nasty.into(), ..full() };
            let settings = Settings::parse(&answers.text(), &Layout::new("/")).unwrap_or_else(|e| panic!("{nasty:?}: {e}"));
            assert_eq!((settings.channel.as_str(), settings.trust.required), (nasty, true));
        }
        let unsigned = Answers { unsigned: true, ..Answers::of(Origin::Dir("/media/stick".into())) };
        assert!(!Settings::parse(&unsigned.text(), &Layout::new("/")).unwrap().trust.required);
        assert!(Settings::parse(&Answers::of(Origin::Url("https://example.org/kit".into())).text(), &Layout::new("/")).is_ok());
    }

    #[test]
    fn what_is_typed_is_read_or_refused() {
        assert_eq!(managed("web/=/srv/web/"), Ok(("web/".into(), "/srv/web/".into())));
        assert_eq!(managed("a=/b=c"), Ok(("a".into(), "/b=c".into())));
        for bad in ["", "web/", "=/srv", "web/=srv"] {
            assert!(managed(bad).is_err(), "{bad}");
        }
        for bad in ["", "ping", "tcp:", "unit:", "ftp://x"] {
            assert!(probe(bad).is_err(), "{bad}");
        }
    }
}
