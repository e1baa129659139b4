//! Automatic mode: what the owner sets, what systemd is told of it, and what the timer then runs. [`set`] changes `[schedule]` in the
//! config and brings systemd's timer in line with it; [`run`] is one day's work.
//!
//! Deliberately not done: no clock of our own runs here. Without systemd somebody else has to call `auto run`, and is told so.

/// The config's text, changed.
pub mod edit;
/// What the units cannot know before the config is written.
pub mod drop_in;
/// systemd's timer.
pub mod timer;
/// What waits for requests.
pub mod requests;
/// One day's work.
pub mod run;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::device::{Schedule, Settings};
use crate::error::{Code, Doing, Error, Result};
use crate::world::{Kind, Meta, World, durable};
use timer::Next;

/// Largest config that is changed, bytes.
const SIZE_MAX: u64 = 1 << 20;
/// For systemd to read its units again, or to start one.
const TELLING: Duration = Duration::from_secs(60);
/// The units of the root side, and whether they come before the services.
const ROOT_SIDE: [(&str, bool); 5] = [
    ("pikit-update.service", false),
    ("pikit-update-apply.service", false),
    ("pikit-update-trial.service", false),
    ("pikit-update-recover.service", true),
    ("pikit-update-previous.service", true),
];

/// What automatic mode is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The section as it is now.
    pub schedule: Schedule,
    /// Whether a timer starts it, and when next.
    pub next: Next,
    /// What a person should know: nothing starts it by itself, ….
    pub notes: Vec<String>,
}

/// Sets automatic mode: first the config, then systemd. What is `None` stays as it is. To be called with the lock held. Safe to be cut
/// anywhere and called again: it writes what differs and tells systemd the same once more.
///
/// # Errors
/// Usage: the mode or the time is none, or the config cannot be changed. Otherwise what failed, and what had been done by then.
pub fn set(world: World, settings: &Settings, config: &Path, mode: Option<&str>, at: Option<&str>) -> Result<Set> {
    let settings = rewrite(world, settings, config, mode, at)?;
    let schedule = settings.schedule.clone();
    let mut notes = Vec::new();
    let told = tell(world, &settings, &mut notes).map_err(|e| {
        let hint = e.hint.clone().map(|h| format!("{h}; ")).unwrap_or_default();
        let code = e.code;
        Error::new(code, format!("{} says {} at {} now, but the timer could not be set to it", config.display(), schedule.action, schedule.at))
            .because(e)
            .hint(format!("{hint}then the same command again does the rest"))
    });
    Ok(Set { schedule, next: told?, notes })
}

/// What automatic mode is set to, without a change.
pub fn look(world: World, settings: &Settings) -> Set {
    let mut notes = Vec::new();
    let next = timer::next(world, settings);
    if settings.schedule.action != "off" && !next.timer {
        notes.push(nothing_starts_it());
    }
    if timer::control(world, settings).is_some() && next.timer {
        let stale = |(path, text): &(PathBuf, Option<String>)| !holds(world, path, text.as_deref());
        if drop_ins(settings).iter().any(stale) {
            notes.push("the config has changed since systemd was told: `sudo pikit-updater auto MODE` tells it again".into());
        }
    }
    Set { schedule: settings.schedule.clone(), next, notes }
}

fn nothing_starts_it() -> String {
    "nothing starts it by itself on this board: call `pikit-updater auto run` once a day, from cron for example: 20 4 * * * root pikit-updater auto run".into()
}

/// Changes the section in the config, durably; owner and mode of the file stay. Gives the settings as they are then.
fn rewrite(world: World, settings: &Settings, config: &Path, mode: Option<&str>, at: Option<&str>) -> Result<Settings> {
    let wrong = |e: String| Error::usage(format!("{}: {e}", config.display()));
    let (file, meta) = real_file(world, config)?;
    let reading = || format!("reading {}", file.display());
    let read = || -> Result<String> {
        let bytes = durable::read(world.disk, &file, SIZE_MAX).doing(reading)?.ok_or_else(|| wrong("it is gone".into()))?;
        String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".into()))
    };
    for _ in 0..5 {
        let before = read()?;
        let after = edit::schedule(&before, mode, at).map_err(wrong)?;
        let parsed = Settings::parse(&after, &settings.layout).map_err(wrong)?;
        // where managed paths really are was found out when the settings were made
        let new = Settings { schedule: parsed.schedule, ..settings.clone() };
        let writing = || format!("writing {}", file.display());
        // somebody may save it in an editor just now: then theirs is changed
        if after == before || durable::replace(world.disk, &file, before.as_bytes(), after.as_bytes(), &meta).doing(writing)? {
            return Ok(new);
        }
    }
    Err(Error::refused(format!("{} is being changed by somebody else", config.display())).hint("run it again when that is done"))
}

/// The file itself: a config that is a link is changed where it leads.
fn real_file(world: World, config: &Path) -> Result<(PathBuf, Meta)> {
    let looking = || format!("looking at {}", config.display());
    let mut at = config.to_owned();
    for _ in 0..8 {
        let Some(meta) = world.disk.meta(&at).doing(looking)? else {
            return Err(Error::usage(format!("there is no config at {}", at.display())));
        };
        match meta.kind {
            Kind::File => return Ok((at, meta)),
            Kind::Link => at = at.parent().unwrap_or(Path::new("/")).join(world.disk.read_link(&at).doing(looking)?),
            Kind::Dir | Kind::Other => return Err(Error::usage(format!("{} is no regular file", at.display()))),
        }
    }
    Err(Error::usage(format!("{} is a link that leads from one to the next", config.display())))
}

/// Brings systemd's side in line with the config.
fn tell(world: World, settings: &Settings, notes: &mut Vec<String>) -> Result<Next> {
    let off = settings.schedule.action == "off";
    let Some(control) = timer::control(world, settings) else {
        notes.extend((!off).then(nothing_starts_it));
        return Ok(Next::default());
    };
    let seen = timer::ask(world, control).ok_or_else(|| Error::unexpected(format!("systemd does not answer about {}", timer::UNIT)))?;
    if !seen.installed {
        notes.extend((!off).then(|| format!("{} is not installed", timer::UNIT)));
        notes.extend((!off).then(nothing_starts_it));
        return Ok(Next::default());
    }
    for (path, text) in drop_ins(settings) {
        if holds(world, &path, text.as_deref()) {
            continue;
        }
        match write(world, &path, text.as_deref()) {
            // whoever runs inside of a unit may set the hour; what that unit itself may write is not its own to say
            Err(e) if e.io_kind() == Some(std::io::ErrorKind::ReadOnlyFilesystem) && path.ends_with("paths.conf") => {
                notes.push(format!(
                    "{} could not be written from in here: run `sudo pikit-updater auto {}` in a shell",
                    path.display(),
                    settings.schedule.action
                ));
            }
            written => written?,
        }
    }
    control_with(world, control, &["daemon-reload"])?;
    control_with(world, control, &[if off { "disable" } else { "enable" }, "--now", timer::UNIT])?;
    Ok(timer::next(world, settings))
}

/// What lies in /etc for our units, as the config wants it; `None`: nothing.
fn drop_ins(settings: &Settings) -> Vec<(PathBuf, Option<String>)> {
    let at = |unit: &str, name: &str| Path::new(timer::UNITS).join(format!("{unit}.d")).join(name);
    let managed: Vec<drop_in::Managed> = settings.managed.iter().map(|m| (m.to.as_path(), m.is_folder())).collect();
    let services: Vec<&str> = settings.services.restart.iter().chain(&settings.services.reload).map(String::as_str).collect();
    let mut all = vec![(at(timer::UNIT, "schedule.conf"), Some(timer::text(&settings.schedule)))];
    all.extend(ROOT_SIDE.map(|(unit, before)| (at(unit, "paths.conf"), Some(drop_in::root_side(&managed, &services, before)))));
    all.push((at("pikit-update-api.service", "paths.conf"), drop_in::api(&managed)));
    all
}

fn holds(world: World, path: &Path, text: Option<&str>) -> bool {
    matches!(durable::read(world.disk, path, SIZE_MAX), Ok(held) if held.as_deref() == text.map(str::as_bytes))
}

fn write(world: World, path: &Path, text: Option<&str>) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let Some(text) = text else {
        return durable::remove(world.disk, path).and_then(|()| world.disk.sync_dir(dir)).doing(|| format!("removing {}", path.display()));
    };
    durable::make_dirs(world.disk, dir, 0o755)
        .and_then(|()| durable::save(world.disk, path, text.as_bytes(), 0o644))
        .doing(|| format!("writing {}", path.display()))
}

/// Runs the control command with these words.
fn control_with(world: World, control: &[String], words: &[&str]) -> Result<()> {
    let argv: Vec<String> = control.iter().cloned().chain(words.iter().map(|w| (*w).to_owned())).collect();
    let ran = world.outside.run(&argv, TELLING).doing(|| format!("running {}", argv.join(" ")))?;
    if ran.status == Some(0) {
        return Ok(());
    }
    // 4: not permitted, as systemctl says it of who is not root
    let code = if ran.status == Some(4) { Code::Permission } else { Code::Unexpected };
    Err(Error::new(code, format!("{} failed: {}", argv.join(" "), ran.last_error)))
}

#[cfg(test)]
mod tests;
