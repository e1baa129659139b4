//! Time, services, health checks and the source.

use std::time::Duration;

use super::{Board, Finding};
use crate::apart;
use crate::cli::args::Globals;
use crate::error::Result;
use crate::quantity::count;
use crate::release::{Hint, Manifest, manifest};
use crate::setup::answers::in_config;
use crate::source::{Memory, Wanted};
use crate::state::Ledger;
use crate::trust::Sync;
use crate::update::belief::Belief;
use crate::update::judge::Judging;
use crate::update::{Trip, trial};
use crate::world::durable;

/// How long a control command may take to say whether a unit is active.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the source may take: who runs `doctor` sits in front of it.
const SOURCE_LIMIT: Duration = Duration::from_secs(5);

/// A clock from before this program was built makes certificates and expiries fail.
pub fn clock(board: Option<&Board>) -> Finding {
    let now = chrono::Utc::now();
    let built = std::env::current_exe().and_then(std::fs::metadata).and_then(|m| m.modified()).map(chrono::DateTime::<chrono::Utc>::from);
    let hint = "`timedatectl` shows whether time is kept; a board without a clock needs a network once after each start";
    if built.is_ok_and(|built| now + chrono::TimeDelta::days(1) < built) {
        return Finding::fail("clock", format!("it says {}, which is before this program was installed", now.format("%Y-%m-%d")), hint);
    }
    let shown = now.format("%Y-%m-%d %H:%M UTC").to_string();
    let Some(time) = board.and_then(|board| Belief::load(board.world(), &board.settings).ok()).map(|belief| belief.time) else {
        return Finding::ok("clock", shown);
    };
    match (time.sync, time.known) {
        (Sync::Pending, _) => Finding::warn("clock", format!("it says {shown}, and no server has confirmed that yet"), hint),
        (Sync::Untold, Some(known)) if !time.is_set() => Finding::warn(
            "clock",
            format!("it says {shown}, but {} has been already: what may have expired is not installed by itself", known.format("%Y-%m-%d %H:%M UTC")),
            format!("{hint}; if the later of the two is wrong: sudo pikit-updater doctor --reset-time"),
        ),
        _ => Finding::ok("clock", shown),
    }
}

/// Forgets the latest time that is said to have been.
///
/// # Errors
/// The config, the lock, the memory.
pub fn reset_time(globals: &Globals) -> Result<()> {
    let board = Board::to_change(globals)?;
    let _locked = board.lock()?;
    let mut ledger = Ledger::load(&board.disk, &board.settings.layout)?;
    if ledger.learned.time.take().is_some() {
        ledger.save(&board.disk, &board.settings.layout)?;
    }
    Ok(())
}

/// Services and health checks.
pub fn look(trip: &Trip) -> Vec<Finding> {
    let mut found = services(trip);
    found.extend(unwatched(trip));
    found.extend(trip.settings.health.iter().map(|probe| match trial::ask(trip, probe) {
        Ok(()) => Finding::ok("health", format!("{} passes", probe.name())),
        Err(why) => {
            Finding::warn("health", format!("{}: {why}", probe.name()), "a check that fails before an update cannot judge it: make it pass, or take it out")
        }
    }));
    found
}

/// Nothing is asked after an update, although the release says what could be.
fn unwatched(trip: &Trip) -> Option<Finding> {
    if !trip.settings.health.is_empty() {
        return None;
    }
    // one that cannot be read is told elsewhere
    let bytes = durable::read(trip.world.disk, &trip.settings.layout.installed(), manifest::SIZE_MAX).ok()??;
    let manifest = Manifest::parse(&bytes).ok()?;
    let hints: Vec<String> = Hint::of(&manifest.health).into_iter().map(|hint| in_config(&hint.into())).collect();
    let what = format!("nothing is watched after an update; {} suggests {}", manifest.version, hints.join(" and "));
    (!hints.is_empty()).then(|| Finding::warn("health", what, "write each into the config, below a line of its own that says [[health]]"))
}

fn services(trip: &Trip) -> Vec<Finding> {
    let services = &trip.settings.services;
    let units: Vec<&String> = services.restart.iter().chain(&services.reload).collect();
    if units.is_empty() {
        return vec![Finding::ok("services", "none are restarted or reloaded")];
    }
    let Some(program) = services.control.first() else { return Vec::new() };
    let mut found = Vec::new();
    for unit in units {
        let Some(argv) = trial::control_argv(&services.control, "is-active", unit) else { continue };
        found.push(match trip.world.outside.run(&argv, LIMIT) {
            Err(e) => {
                let hint = "say in services.control how services are restarted here; [] restarts none";
                found.push(Finding::fail("services", format!("{program} cannot be started: {e}"), hint));
                break;
            }
            Ok(ran) if ran.status == Some(0) => Finding::ok("services", format!("{unit} is active")),
            Ok(ran) if ran.status == Some(4) => Finding::warn("services", format!("{unit} does not exist here"), "it will be skipped; is the name right?"),
            Ok(ran) if ran.status.is_none() => {
                Finding::warn("services", format!("{program} did not say within {} s whether {unit} is active", LIMIT.as_secs()), "is the board overloaded?")
            }
            Ok(_) => Finding::warn("services", format!("{unit} is not active"), "the next update restarts it; its own log tells why it is down"),
        });
    }
    found
}

/// Asks the source once, briefly.
pub fn source(board: &Board) -> Finding {
    let mut settings = board.settings.clone();
    settings.download.timeout = settings.download.timeout.min(SOURCE_LIMIT);
    let asked = apart::open(&settings, &board.clock).and_then(|source| {
        let mut judge = Judging::of_channel(Belief::load(board.world(), &settings)?, &settings);
        let offer = source.find(&Wanted::Best, &mut judge, &mut Memory::default())?;
        Ok((source.name(), offer))
    });
    match asked {
        Ok((name, Some(offer))) => {
            let passed = if offer.notes.is_empty() { String::new() } else { format!("; {} passed over", count(offer.notes.len(), "release")) };
            Finding::ok("source", format!("{name} answers and offers {}{passed}", offer.manifest.version))
        }
        Ok((name, None)) => Finding::warn(
            "source",
            format!("{name} answers and offers no release of channel {}", settings.channel),
            "is the channel right, and has a release been published?",
        ),
        Err(e) => Finding::fail("source", e.message(), e.hint.unwrap_or_else(|| "is the network up? `apply --from` and `rollback` need none".into())),
    }
}
