//! The sandbox board: the folders of a fresh Raspberry Pi and the config of its owner.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use super::folder::{Alive, Folder};
use super::{control, releases};
use crate::error::{Doing, Error, Result};
use crate::keys;
use crate::publish::keygen;

/// Makes the board; tells the ports on which its dashboard and the updater's API will answer.
///
/// # Errors
/// The folder cannot be written, or no port is free.
pub fn prepare(folder: &Folder, alive: &Alive, gitea: u16, exe: &Path) -> Result<(u16, u16)> {
    let board = folder.board();
    for dir in ["etc/pikit/keys", "var/www", "var/run", "var/log", "var/tmp", "var/lib", "var/backups", "run", "usr/local/share/pikit"] {
        let dir = board.join(dir);
        fs::create_dir_all(&dir).doing(|| format!("making {}", dir.display()))?;
    }
    let (_, public) = keygen::files(&folder.key());
    let key = board.join("etc/pikit/keys/pikit.pub");
    fs::copy(&public, &key).doing(|| format!("copying {} to {}", public.display(), key.display()))?;
    let (port, api) = (free_port()?, free_port()?);
    alive.tell(folder, port)?;
    let path = board.join("etc/pikit/updater.toml");
    fs::write(&path, config(gitea, port, api, exe, &board)?).doing(|| format!("writing {}", path.display()))?;
    Ok((port, api))
}

/// A port that was free a moment ago. The dashboard comes and goes on it, so it cannot be held open.
fn free_port() -> Result<u16> {
    let finding = || "finding a free port on 127.0.0.1".to_owned();
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).doing(finding).map(|a| a.port())
}

fn config(gitea: u16, dashboard: u16, api: u16, exe: &Path, board: &Path) -> Result<String> {
    let quoted = |path: &Path| {
        let text = path.to_str().ok_or_else(|| Error::refused(format!("{} is not UTF-8", path.display())).hint("use another folder"))?;
        Ok::<_, Error>(keys::quoted(text))
    };
    let (exe, board) = (quoted(exe)?, quoted(board)?);
    let (repo, unit) = (releases::REPO, control::UNIT);
    Ok(format!(
        r#"# The config of the demo's board. On a real one it lies at /etc/pikit/updater.toml.
product = "pikit"

[source]
gitea = "http://127.0.0.1:{gitea}"   # the demo's own server
repo = "{repo}"

[trust]
required = true                      # the maintainer's key is in etc/pikit/keys

[[managed]]
from = "pikit-web/"
to = "/var/www/pikit-web/"
[[managed]]
from = "pikit-api.json"
to = "/usr/local/share/pikit/pikit-api.json"

[services]
restart = ["{unit}"]
control = [{exe}, "demo", "control", "--root", {board}]   # on a real board: systemctl

[[health]]
http = "http://127.0.0.1:{dashboard}/ping"
[[health]]
unit = "{unit}"

[trial]                              # short, for people who watch
timeout = "10s"
interval = "200ms"
settle = "1s"

[backup]
min_free = "1MiB"

[schedule]
action = "off"

[api]
listen = "127.0.0.1:{api}"
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Layout, Settings};

    #[test]
    fn its_config_is_one_that_the_updater_accepts() {
        let text = config(4711, 4712, 4713, Path::new("/opt/\"odd\" place/pikit\\updater"), Path::new("/tmp/x/board")).unwrap();
        let settings = Settings::parse(&text, &Layout::new("/tmp/x/board")).unwrap();
        assert_eq!(settings.services.control[0], "/opt/\"odd\" place/pikit\\updater");
        assert_eq!(settings.managed.len(), 2);
        assert_eq!(settings.managed[0].to, Path::new("/tmp/x/board/var/www/pikit-web"));
        assert!(settings.doubts.is_empty(), "{:?}", settings.doubts);
    }
}
