//! Whether the answers go with this board and with the releases of the source: each refusal names the answer it is about.

use std::time::Duration;

use crate::device::{Settings, managed};
use crate::error::{Doing, Error, Result};
use crate::quantity::count;
use crate::release::manifest::this_arch;
use crate::release::{Manifest, Step};
use crate::update::trial;
use crate::world::{Kind, World};

/// How long a control command may take to say whether a unit is there, and a health check to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Paths that a message names.
const NAMED: usize = 4;

/// Every file of the release must have a place. What a person should know besides.
///
/// # Errors
/// One has none.
pub fn covers(settings: &Settings, newest: &Manifest) -> Result<Vec<String>> {
    let listing = newest.listing(this_arch());
    let homeless: Vec<&str> = listing.keys().filter(|path| managed::place(&settings.managed, path).is_none()).map(|p| p.as_str()).collect();
    if !homeless.is_empty() {
        let more = if homeless.len() > NAMED { ", …" } else { "" };
        let named = homeless[..homeless.len().min(NAMED)].join(", ");
        return Err(Error::refused(format!(
            "{} of {} {} no place on this board: {named}{more}",
            count(homeless.len(), "file"),
            newest.version,
            if homeless.len() == 1 { "has" } else { "have" }
        ))
        .hint(format!("say where {} goes: --managed {}=/…", folder_of(homeless[0]), folder_of(homeless[0]))));
    }
    let idle = settings.managed.iter().filter(|m| listing.keys().all(|path| m.inside(path).is_none()));
    Ok(idle.map(|m| format!("{} holds nothing that goes to {}: is {:?} written as in the release?", newest.version, m.to.display(), m.from)).collect())
}

/// The top of a path: what a person would map.
pub fn folder_of(path: &str) -> String {
    path.split_once('/').map_or_else(|| path.to_owned(), |(top, _)| format!("{top}/"))
}

/// What of the release lies at its top: `web/`, `api.py`, …; in order, each once.
pub fn tops(newest: &Manifest) -> Vec<String> {
    let mut tops: Vec<String> = newest.listing(this_arch()).keys().map(|p| folder_of(p.as_str())).collect();
    tops.dedup();
    tops
}

/// The services that a release asks to be restarted.
pub fn restarts(newest: &Manifest) -> Vec<&str> {
    let units = newest.post_install.iter();
    units.filter_map(|step| if let Step::Restart(unit) = step { Some(unit.as_str()) } else { None }).collect()
}

/// The folder above each managed path must be there: the updater makes what it manages, not the way there.
///
/// # Errors
/// One is not.
pub fn parents(world: World, settings: &Settings) -> Result<()> {
    for managed in &settings.managed {
        let above = managed.parent();
        let found = world.disk.meta(above).doing(|| format!("looking at {}", above.display()))?;
        if found.is_none_or(|m| m.kind != Kind::Dir) {
            return Err(Error::refused(format!("{} has no folder to lie in: {} is not there", managed.to.display(), above.display())).hint(format!(
                "is --managed {}=… written right? otherwise `sudo mkdir -p {}`",
                managed.from,
                above.display()
            )));
        }
    }
    Ok(())
}

/// Every unit must exist, as far as the control command can tell. What a person should know besides.
///
/// # Errors
/// One does not.
pub fn services(world: World, settings: &Settings) -> Result<Vec<String>> {
    let services = &settings.services;
    let mut notes = Vec::new();
    for (flag, unit) in services.restart.iter().map(|u| ("--restart", u)).chain(services.reload.iter().map(|u| ("--reload", u))) {
        let Some(argv) = trial::control_argv(&services.control, "is-active", unit) else { continue };
        match world.outside.run(&argv, LIMIT) {
            Ok(ran) if ran.status == Some(0) => {}
            Ok(ran) if ran.status == Some(4) => {
                return Err(
                    Error::refused(format!("{flag} {unit}: there is no such unit on this board")).hint("`systemctl list-unit-files` shows those there are")
                );
            }
            Ok(_) => notes.push(format!("{unit} is not active just now")),
            Err(e) => {
                return Err(Error::refused(format!("{flag} {unit}: {} cannot be started", argv[0]))
                    .because(e)
                    .hint("--control says how services are told here; --control \"\" touches none"));
            }
        }
    }
    Ok(notes)
}

/// Checks that fail now cannot judge a release later.
pub fn health(world: World, settings: &Settings) -> Vec<String> {
    let failing = settings.health.iter().filter_map(|probe| Some((probe.name(), asked(world, settings, probe).err()?)));
    failing.map(|(name, why)| format!("{name} fails now ({why}): a check that fails before an update cannot judge it")).collect()
}

fn asked(world: World, settings: &Settings, probe: &crate::device::settings::Probe) -> Result<(), String> {
    use crate::device::settings::Probe;
    match probe {
        Probe::Http { url, .. } => world.outside.http(url, LIMIT).and_then(|(status, _)| if status == 200 { Ok(()) } else { Err(format!("status {status}")) }),
        Probe::Tcp(at) => world.outside.tcp(at, LIMIT),
        Probe::Unit(unit) => match trial::control_argv(&settings.services.control, "is-active", unit) {
            Some(argv) => {
                world.outside.run(&argv, LIMIT).map_err(|e| e.to_string()).and_then(|ran| if ran.status == Some(0) { Ok(()) } else { Err("not active".into()) })
            }
            None => Ok(()),
        },
        Probe::Run(_) => Ok(()),
    }
}
