//! The API as a process: `serve`, and the token that opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Globals, Serve};
use super::board;
use super::voice::{Tone, Voice, json_line, with_ok};
use crate::api::access::{self, Token};
use crate::api::board::Real;
use crate::api::config::Config;
use crate::api::mock::Mock;
use crate::api::serve::{self, Options};
use crate::device::contact::Listen;
use crate::error::{Doing, Result};
use crate::update::upload;
use crate::world::clock::{Clock as _, RealClock};
use crate::world::durable;
use crate::world::real::RealDisk;

/// `serve`. Returns when it is told to end, or when nobody has asked for long.
///
/// # Errors
/// The config, the address, the token.
pub fn run(globals: &Globals, voice: &Voice, asked: &Serve) -> Result<u8> {
    let say = |words: &str| voice.message(words);
    if let Some(dir) = &asked.mock {
        let mock = Arc::new(Mock::new(dir)?);
        let listen = Listen::Tcp(([127, 0, 0, 1], 8686).into());
        say(&format!("made-up states of {}; http://{listen}/mock/ lists them, http://{listen}/mock/NAME shows one", dir.display()));
        let options = Options {
            token_file: None,
            names: access::own_names(&[], &node()),
            idle: asked.idle,
            listen,
            upload_limit: 1 << 30,
            mock: Some(Arc::clone(&mock)),
        };
        return serve::run(mock, options, &say);
    }
    let path = board::config_path(globals, &board::layout(globals)?);
    let again = globals.clone();
    let config = Config::new(path, Box::new(move || board::settings(&again)))?;
    let api = config.settings().api.clone();
    if Token::load(&api.token_file)?.is_none() {
        let hint = "`sudo pikit-updater token` makes it, for root and for those who may read it";
        make(&api.token_file, &Token::make()?).map_err(|e| e.hint(hint))?;
        say(&format!("a token was made in {}: `pikit-updater token` shows it", api.token_file.display()));
    }
    upload::tidy(&RealDisk::new(Vec::new()), &config.settings().layout, RealClock::new().now());
    let start = if asked.leave_requests { None } else { Some(other_side(globals)?) };
    let options = Options {
        token_file: Some(api.token_file),
        names: access::own_names(&api.hosts, &node()),
        idle: asked.idle,
        listen: api.listen,
        upload_limit: api.upload_limit,
        mock: None,
    };
    serve::run(Arc::new(Real::new(config, start)), options, &say)
}

fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The command that takes a request, with the root and the config of this one.
fn other_side(globals: &Globals) -> Result<Vec<PathBuf>> {
    let mut argv = vec![std::env::current_exe().doing(|| "finding this program".into())?];
    let mut add = |flag: &str, path: &Path| -> Result<()> {
        // the other process stands somewhere else
        argv.extend([PathBuf::from(flag), std::path::absolute(path).doing(|| format!("finding {}", path.display()))?]);
        Ok(())
    };
    globals.root.as_deref().map_or(Ok(()), |root| add("--root", root))?;
    globals.config.as_deref().map_or(Ok(()), |config| add("--config", config))?;
    argv.push("request".into());
    Ok(argv)
}

/// `token`.
///
/// # Errors
/// The file cannot be read, or made.
pub fn token(globals: &Globals, voice: &Voice, new: bool) -> Result<u8> {
    let path = board::settings(globals)?.api.token_file;
    // one that is no token is replaced only when that was asked for
    let known = if new { None } else { Token::load(&path)? };
    let made = known.is_none();
    let token = match known {
        Some(token) => {
            // one that was made before the API had a user of its own: that user is to read it
            share(&path)?;
            token
        }
        None => {
            let token = Token::make()?;
            make(&path, &token)?;
            token
        }
    };
    if voice.json {
        json_line(&with_ok(true, &serde_json::json!({"token": token.reveal(), "file": path, "made": made})));
        return Ok(0);
    }
    if made {
        let words = if new { "everybody has to log in again" } else { "there was none" };
        voice.message(&voice.paint_err(&format!("a new token, in {}: {words}", path.display()), Tone::Faint));
    }
    voice.result(token.reveal());
    Ok(0)
}

/// Writes the token for its owner and its group. The group is that of the file that was there, or of the API's user if there is one.
fn make(path: &Path, token: &Token) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let disk = crate::world::real::RealDisk::new(Vec::new());
    let doing = || format!("writing the token to {}", path.display());
    if let Some(above) = path.parent() {
        durable::make_dirs(&disk, above, 0o755).doing(doing)?;
    }
    let group = std::fs::metadata(path).map(|m| m.gid()).ok().filter(|gid| *gid != 0);
    durable::save(&disk, path, format!("{}\n", token.reveal()).as_bytes(), 0o600).doing(doing)?;
    group.map_or_else(|| share(path), |group| give(path, group))
}

/// A token that is root's alone is given to the group of the API's user, if there is one and we may.
fn share(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let is_roots = std::fs::metadata(path).is_ok_and(|m| m.gid() == 0);
    group_of("pikit-update").filter(|_| is_roots).map_or(Ok(()), |group| give(path, group))
}

fn give(path: &Path, group: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::os::unix::fs::chown(path, None, Some(group)).is_ok() {
        let doing = || format!("writing the token to {}", path.display());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).doing(doing)?;
    }
    Ok(())
}

/// A group's number, as group(5) has it. What only a directory service knows is not found.
fn group_of(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::world::scratch::Scratch;

    #[test]
    fn a_new_token_is_for_those_who_could_read_the_old_one() {
        let scratch = Scratch::new();
        let path = scratch.path().join("api-token");
        std::fs::write(&path, "old").unwrap();
        let us = std::fs::metadata(scratch.path()).unwrap().uid();
        // only root gives a file to any group
        let group = if us == 0 { 12345 } else { std::fs::metadata(&path).unwrap().gid() };
        std::os::unix::fs::chown(&path, None, Some(group)).unwrap();
        make(&path, &Token::make().unwrap()).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.gid(), meta.permissions().mode() & 0o777), (group, 0o640));
        assert!(Token::load(&path).unwrap().is_some());
    }
}
