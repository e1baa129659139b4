//! The trial: services are restarted, health checks asked until they are content and stay so, or until time is up. What was failing
//! before the switch cannot condemn the release.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Trip;
use super::begin::Tx;
use crate::device::settings::Probe;
use crate::event::Phase;
use crate::quantity::{count, seconds};

/// Time limit of one probe.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How often a command is given again to a systemd that did not answer.
const AGAIN: u32 = 3;
/// Time limit of one restart or reload: systemd's own default for starting a service is 90 s.
const CONTROL_LIMIT: Duration = Duration::from_secs(120);

/// What the trial found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All checks pass, or fail as they did before.
    Healthy,
    /// New failures, in words.
    Sick(String),
    /// A person does not want to wait for the verdict.
    Stopped,
}

/// Asks every probe and every unit to be restarted once; what fails now does not count later.
pub fn failing_before(trip: &mut Trip, tx: &Tx) -> Vec<String> {
    let mut failing: Vec<String> = trip.settings.health.iter().filter_map(|p| ask(trip, p).err().map(|why| (p.name(), why))).map(|(name, _)| name).collect();
    for unit in &tx.plan.restart {
        if control(trip, "is-active", unit).is_some_and(|ran| ran.status != Some(0)) {
            failing.push(restart_name(unit));
        }
    }
    for name in &failing {
        trip.note(format!("before the switch: {name} fails already, and does not count"));
    }
    failing
}

fn restart_name(unit: &str) -> String {
    format!("restart of {unit}")
}

/// Restarts and reloads what the plan says. Returns new failures.
pub fn restart(trip: &mut Trip, tx: &mut Tx) -> Vec<String> {
    let mut failures = Vec::new();
    if trip.settings.services.control.is_empty() || (tx.plan.restart.is_empty() && tx.plan.reload.is_empty()) {
        return failures;
    }
    let units: Vec<(&str, String)> =
        tx.plan.restart.iter().map(|u| ("restart", u.clone())).chain(tx.plan.reload.iter().map(|u| ("reload", u.clone()))).collect();
    trip.phase(Phase::Restarting, format!("restarting {}", count(units.len(), "service")));
    for (verb, unit) in units {
        let mut ran = control(trip, verb, &unit);
        for _ in 0..AGAIN {
            let Some(words) = ran.as_ref().filter(|ran| ran.status != Some(0)).and_then(|ran| nobody_answered(&ran.last_error)) else { break };
            trip.note(format!("{verb} of {unit}: systemd did not answer ({words}): once more"));
            trip.world.clock.sleep(trip.settings.trial.interval);
            ran = control(trip, verb, &unit);
        }
        match ran {
            Some(ran) if ran.status == Some(0) => trip.note(format!("{verb} {unit}: done")),
            // systemctl(1): 5, there is no such unit
            Some(ran) if ran.status == Some(5) => {
                let words = format!("{unit} does not exist here: not {verb}ed");
                trip.warn(words.clone());
                tx.notes.push(words);
            }
            Some(ran) => {
                let why = if ran.status.is_none() { format!("took more than {}", seconds(CONTROL_LIMIT.as_secs_f64())) } else { ran.last_error };
                let words = format!("{verb} of {unit} failed: {why}");
                trip.warn(words.clone());
                if !tx.journal.failing_before.contains(&restart_name(&unit)) {
                    failures.push(words);
                }
            }
            None => {
                let words = format!("{verb} of {unit} failed: {:?} cannot be started", trip.settings.services.control);
                trip.warn(words.clone());
                failures.push(words);
            }
        }
    }
    failures
}

/// The words of a control command that could not reach systemd, which is busy with itself for a moment: it is being upgraded, or the
/// board shuts down. That says nothing about a release.
fn nobody_answered(words: &str) -> Option<&str> {
    let lost = ["Connection reset by peer", "Connection timed out", "Connection refused", "Transport endpoint is not connected", "Failed to connect to bus"];
    lost.iter().any(|lost| words.contains(lost)).then_some(words)
}

/// Waits for the verdict.
pub fn verdict(trip: &mut Trip, tx: &mut Tx, restart_failures: Vec<String>) -> Verdict {
    let policy = trip.settings.trial;
    let clock = trip.world.clock;
    let probes: Vec<Probe> = trip.settings.health.iter().filter(|p| !tx.journal.failing_before.contains(&p.name())).cloned().collect();
    if !restart_failures.is_empty() {
        return Verdict::Sick(restart_failures.join("; "));
    }
    if probes.is_empty() {
        tx.back = Some(clock.now());
        return Verdict::Healthy;
    }
    trip.phase(Phase::Trial, format!("waiting for {} to pass and stay so for {}", count(probes.len(), "health check"), seconds(policy.settle.as_secs_f64())));
    let began = clock.monotonic();
    let stops = clock.stops();
    let restarts = restart_counts(trip, &probes);
    let mut well_since: Option<Duration> = None;
    let mut said = String::new();
    loop {
        let mut failures: Vec<String> = probes.iter().filter_map(|p| ask(trip, p).err().map(|why| format!("{}: {why}", p.name()))).collect();
        failures.extend(restarted_by_themselves(trip, &restarts));
        let now = clock.monotonic();
        if failures.is_empty() {
            let since = *well_since.get_or_insert_with(|| {
                tx.back = Some(clock.now());
                now
            });
            if now.saturating_sub(since) >= policy.settle {
                trip.note("all health checks pass");
                return Verdict::Healthy;
            }
        } else {
            well_since = None;
            tx.back = None;
            let words = failures.join("; ");
            if words != said {
                trip.note(format!("not healthy yet: {words}"));
                said = words;
            }
        }
        // the time to become healthy is over; one that is healthy by then still has to stay so
        if well_since.is_none() && now.saturating_sub(began) >= policy.timeout || now.saturating_sub(began) >= policy.timeout + policy.settle {
            return Verdict::Sick(said);
        }
        let wait = match well_since {
            Some(since) => policy.interval.min(policy.settle.saturating_sub(now.saturating_sub(since))).max(Duration::from_millis(20)),
            None => policy.interval,
        };
        clock.sleep(wait);
        match clock.stops().saturating_sub(stops) {
            0 => {}
            1 if said != "stop" => {
                trip.warn("the switch is done; waiting for the verdict before stopping (stop again to return to the old tree now)");
                said = "stop".into();
            }
            1 => {}
            _ => return Verdict::Stopped,
        }
    }
}

/// Asks one probe.
///
/// # Errors
/// Why it is not content.
pub fn ask(trip: &Trip, probe: &Probe) -> Result<(), String> {
    let outside = trip.world.outside;
    match probe {
        Probe::Http { url, contains } => {
            let (status, body) = outside.http(url, PROBE_LIMIT)?;
            match contains {
                _ if status != 200 => Err(format!("HTTP {status}")),
                Some(text) if !body.contains(text.as_str()) => Err(format!("the answer does not contain {text:?}")),
                _ => Ok(()),
            }
        }
        Probe::Tcp(addr) => outside.tcp(addr, PROBE_LIMIT),
        Probe::Unit(unit) => match control(trip, "is-active", unit) {
            Some(ran) if ran.status == Some(0) => Ok(()),
            Some(ran) => Err(match ran.stdout.trim() {
                "" => format!("not active (exit {})", ran.status.unwrap_or(-1)),
                state => state.to_owned(),
            }),
            None => Err("cannot be asked: services.control is empty or cannot be started".into()),
        },
        Probe::Run(argv) => match outside.run(argv, PROBE_LIMIT) {
            Ok(ran) if ran.status == Some(0) => Ok(()),
            Ok(ran) if ran.status.is_none() => Err("took more than 5 s".into()),
            Ok(ran) if ran.last_error.is_empty() => Err(format!("exit {}", ran.status.unwrap_or(-1))),
            Ok(ran) => Err(ran.last_error),
            Err(e) => Err(format!("cannot be started: {e}")),
        },
    }
}

/// Runs `control` for one unit; `None`: there is no control, or it cannot be started.
fn control(trip: &Trip, verb: &str, unit: &str) -> Option<crate::world::outside::Ran> {
    let argv = control_argv(&trip.settings.services.control, verb, unit)?;
    trip.world.outside.run(&argv, CONTROL_LIMIT).ok()
}

/// The words of a control command: `{verb}` and `{unit}` where they stand, else appended.
pub fn control_argv(control: &[String], verb: &str, unit: &str) -> Option<Vec<String>> {
    if control.is_empty() {
        return None;
    }
    let placed = control.iter().any(|w| w.contains("{verb}") || w.contains("{unit}"));
    let mut argv: Vec<String> = control.iter().map(|w| w.replace("{verb}", verb).replace("{unit}", unit)).collect();
    if !placed {
        argv.extend([verb.to_owned(), unit.to_owned()]);
    }
    Some(argv)
}

/// How often systemd has restarted each probed unit: one that dies and is started again looks active in between.
fn restart_counts(trip: &Trip, probes: &[Probe]) -> BTreeMap<String, u64> {
    let is_systemctl = trip.settings.services.control.first().is_some_and(|c| c.rsplit('/').next() == Some("systemctl"));
    let units = probes.iter().filter_map(|p| if let Probe::Unit(unit) = p { Some(unit.clone()) } else { None });
    units.filter(|_| is_systemctl).filter_map(|u| restart_count(trip, &u).map(|n| (u, n))).collect()
}

fn restart_count(trip: &Trip, unit: &str) -> Option<u64> {
    let argv = ["systemctl", "show", "--property=NRestarts", "--value", unit].map(str::to_owned);
    trip.world.outside.run(&argv, CONTROL_LIMIT).ok()?.stdout.trim().parse().ok()
}

fn restarted_by_themselves(trip: &Trip, before: &BTreeMap<String, u64>) -> Vec<String> {
    let again = |(unit, n): (&String, &u64)| {
        restart_count(trip, unit).filter(|now| now > n).map(|now| format!("{unit}: died and was restarted {}", count((now - n) as usize, "time")))
    };
    before.iter().filter_map(again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_takes_verb_and_unit_where_they_stand_or_at_the_end() {
        let words = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(control_argv(&words("systemctl"), "restart", "a.service"), Some(words("systemctl restart a.service")));
        assert_eq!(control_argv(&words("rc-service {unit} {verb}"), "restart", "a"), Some(words("rc-service a restart")));
        assert_eq!(control_argv(&[], "restart", "a"), None);
    }
}
