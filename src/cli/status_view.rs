//! The state in a few friendly lines. What is odd is said, what is usual is left out.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};

use super::plan_view::at_most;
use super::voice::{Tone, Voice, clean, clean_lines};
use crate::event::Outcome;
use crate::quantity::{bytes, count, seconds};
use crate::state::State;
use crate::state::status::LastResult;
use crate::update::settle::name_of;
use crate::update::view::View;

/// The whole status.
pub fn text(voice: &Voice, seen: &View) -> String {
    let state = &seen.state;
    let mut out = String::new();
    let mut row = |key: &str, words: &str| {
        let _ = writeln!(out, "{} {words}", voice.paint(&format!("{key:<10}"), Tone::Faint));
    };
    let current = state.current.as_ref().map_or_else(|| "no release yet".to_owned(), ToString::to_string);
    row("installed", &voice.paint(&current, Tone::Strong));
    row("offered", &offered(voice, state));
    row("checked", &checked(voice, state, seen.now));
    if let Some(result) = &state.last_result {
        row("last", &last(voice, result, seen.now));
    }
    match (&state.progress, &seen.busy) {
        (Some(progress), Some(_)) => row(
            "running",
            &format!("{} {} %: {} (transaction {})", progress.phase.name(), progress.percent, clean(&progress.message), clean(&progress.transaction)),
        ),
        (None, Some(holder)) => row("running", &format!("another run, pid {}, since {}", holder.pid, when(holder.since, seen.now))),
        _ => {}
    }
    if let Some(transaction) = &seen.interrupted {
        let words = format!("transaction {} waits: `pikit-updater recover` settles it", clean(transaction));
        row("stopped", &format!("{} {words}", voice.paint("interrupted,", Tone::Bad)));
    }
    match state.backups.first() {
        Some(backup) => {
            let more = if state.backups.len() > 1 { format!(" and {} more", state.backups.len() - 1) } else { String::new() };
            row("backup", &format!("returns to {}, made {}{more}", name_of(&backup.version), when(backup.at, seen.now)));
        }
        None => row("backup", "none yet: there is nothing to return to"),
    }
    row(
        "auto",
        &match state.auto.mode.as_str() {
            "off" => "off".to_owned(),
            mode => format!("{mode} at {}", clean(&state.auto.at)),
        },
    );
    if !state.skipped.is_empty() {
        row("skipped", &state.skipped.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    for failed in &state.quarantined {
        // a verdict names the version itself
        let words = clean(&failed.reason);
        let name = if words.starts_with(&failed.version.to_string()) { String::new() } else { format!("{}: ", failed.version) };
        row("distrusted", &format!("{name}{words} ({})", when(failed.at, seen.now)));
    }
    if let Some(drift) = state.drift.filter(|n| *n > 0) {
        let words = format!("{} differ from what was installed; `verify` names them", count(drift, "file"));
        row("drift", &voice.paint(&words, Tone::Odd));
    }
    let trust = &seen.trust;
    if trust.required && trust.adopted {
        let keys: Vec<String> = trust.keys.iter().map(ToString::to_string).collect();
        row("keys", &format!("version {}, adopted from a release in place of the folder: {} of {}", trust.version, trust.threshold, keys.join(", ")));
    }
    if let Some(trouble) = &trust.trouble {
        row("keys", &voice.paint(&clean(trouble), Tone::Bad));
    }
    if !trust.clock_set {
        row("clock", &voice.paint("not set: what may have expired is not installed by itself", Tone::Odd));
    }
    if !state.signed {
        row("signatures", &voice.paint("not required: releases are installed without a signature (trust.required = false)", Tone::Odd));
    }
    out
}

fn offered(voice: &Voice, state: &State) -> String {
    match (&state.available, &state.latest) {
        (Some(a), _) if !a.blocked.is_empty() => {
            format!("{}, {}: {}", a.version, voice.paint("cannot be installed here", Tone::Odd), clean(&a.blocked.join("; ")))
        }
        (Some(a), _) if !state.update_available => format!("{}, which failed here before", a.version),
        (Some(a), _) if a.takes_back.is_some() => {
            let words = format!("{}, in place of the installed one, which its maintainer took back", a.version);
            format!("{}  {}", voice.paint(&words, Tone::Odd), cost(a))
        }
        (Some(a), _) => format!("{}  {}", voice.paint(&a.version.to_string(), Tone::Good), cost(a)),
        (None, Some(latest)) if state.current.as_ref() == Some(latest) => format!("{latest}, which is installed"),
        (None, Some(latest)) if Some(latest) < state.current.as_ref() => format!("{latest}, which is older"),
        // seen before something changed here, a rollback as a rule
        (None, Some(latest)) => format!("{latest} at the last check; `pikit-updater check` asks again"),
        (None, None) if state.last_check.is_some() => "nothing".into(),
        (None, None) => "not known yet: `pikit-updater check` asks".into(),
    }
}

fn cost(a: &crate::state::status::Available) -> String {
    let size = a
        .download_bytes
        .map(|n| if n == 0 { ", nothing to fetch".into() } else { format!(", {}{} to fetch", at_most(a.download_at_most), bytes(n)) })
        .unwrap_or_default();
    format!("({} added, {} changed, {} removed{size})", a.plan.added, a.plan.changed, a.plan.removed)
}

fn checked(voice: &Voice, state: &State, now: DateTime<Utc>) -> String {
    let at = state.last_check.map_or_else(|| "never".to_owned(), |at| when(at, now));
    match &state.last_check_error {
        Some(error) => format!("{at}; {} {}", voice.paint("the last try failed:", Tone::Odd), clean(error)),
        None => at,
    }
}

/// How a transaction ended, in one line.
pub fn last(voice: &Voice, result: &LastResult, now: DateTime<Utc>) -> String {
    let tone = if result.outcome == Outcome::Confirmed { Tone::Good } else { Tone::Bad };
    let what = format!("{} {} to {}", result.action.name(), name_of(&result.from), name_of(&result.to));
    let took = if result.seconds > 0.0 { format!(", took {}", seconds(result.seconds)) } else { String::new() };
    let reason = result.reason.as_deref().map(|r| format!("\n           {}", clean(r))).unwrap_or_default();
    format!("{}: {what}, {}{took}{reason}", voice.paint(result.outcome.name(), tone), when(result.at, now))
}

/// What `check` found.
pub fn offer(voice: &Voice, state: &State, now: DateTime<Utc>) -> String {
    let mut out = String::new();
    let current = state.current.as_ref().map_or_else(|| "no release".to_owned(), ToString::to_string);
    let Some(a) = &state.available else {
        let words = match (&state.latest, &state.current) {
            (None, _) => format!("the source offers nothing for this device; {current} is installed"),
            (Some(l), Some(c)) if l < c => format!("{c} is installed, {l} is the newest that is offered"),
            _ => format!("{current} is the newest"),
        };
        let _ = writeln!(out, "{}: {words}", voice.paint("up to date", Tone::Good));
        return out;
    };
    let released = a.released.map(|at| format!(", released {}", when(at, now))).unwrap_or_default();
    if let Some(taken) = &a.takes_back {
        let _ = writeln!(out, "{}: {taken} was taken back by its maintainer", voice.paint("recalled", Tone::Bad));
    }
    let _ = writeln!(out, "{}: {} (installed: {current}{released})", voice.paint("available", Tone::Strong), a.version);
    let more = [(a.plan.kept, "kept as they are"), (a.plan.config_kept, "edited config of yours kept"), (a.plan.drifted, "edited or missing")];
    let more: Vec<String> = more.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
    let _ = writeln!(out, "  {}, {} to write", cost(a).trim_matches(['(', ')']), bytes(a.plan.bytes_written));
    if !more.is_empty() {
        let _ = writeln!(out, "  {}", more.join(", "));
    }
    if !a.services.is_empty() {
        let _ = writeln!(out, "  restarts or reloads {}", clean(&a.services.join(", ")));
    }
    for signed in &a.signed {
        let _ = writeln!(out, "  signed by {}: {}", signed.key, clean(&signed.comment));
    }
    for doubt in &a.doubts {
        let _ = writeln!(out, "  {}: {}", voice.paint("caution", Tone::Odd), clean(doubt));
    }
    if a.backup {
        let _ = writeln!(out, "  a backup of what it replaces is made first");
    }
    if let Some(changelog) = &a.changelog {
        let _ = writeln!(out, "  {}", clean(changelog));
    }
    if let Some(notes) = &a.notes {
        for line in clean_lines(notes.trim()).take(if voice.verbose { usize::MAX } else { 12 }) {
            let _ = writeln!(out, "  | {line}");
        }
    }
    if !a.blocked.is_empty() {
        let _ = writeln!(out, "{}: {}", voice.paint("it cannot be installed here", Tone::Odd), clean(&a.blocked.join("; ")));
    } else if !state.update_available {
        let _ = writeln!(out, "{}: it failed here before; `apply --force` tries it all the same", voice.paint("distrusted", Tone::Odd));
    } else {
        let _ = writeln!(out, "`pikit-updater apply` installs it");
    }
    out
}

/// A time and how long ago that was.
pub fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let local = at.with_timezone(&Local).format("%Y-%m-%d %H:%M");
    format!("{local} ({})", ago(at, now))
}

fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - at).num_minutes();
    match minutes {
        // the clock of a board is wrong at boot
        ..-1 => "by a clock that was ahead".into(),
        -1..2 => "just now".into(),
        2..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ages_are_told_in_words() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let said: Vec<String> = [0, 5, 300, 10_000, -90].iter().map(|m| ago(now - TimeDelta::minutes(*m), now)).collect();
        assert_eq!(said, ["just now", "5 min ago", "5 h ago", "6 days ago", "by a clock that was ahead"]);
    }
}
