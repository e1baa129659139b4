//! The state in numbers, in Prometheus' text format (version 0.0.4). Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::Outcome;
use crate::state::Row;
use crate::update::view::View;

/// The page that Prometheus reads. Sums are over the history that is kept (some hundreds of transactions): when its oldest rows go, they
/// go down, which Prometheus takes for a restart.
pub fn text(view: &View, history: &[Row]) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(out, "# HELP pikit_updater_{name} {help}\n# TYPE pikit_updater_{name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(out, "pikit_updater_{name}{labels} {value}");
        }
    };
    let state = &view.state;
    let one = |value: f64| vec![(String::new(), value)];
    let labelled = |key: &str, text: &str| format!("{{{key}=\"{}\"}}", escaped(text));
    let version = |v: &Option<semver::Version>| v.iter().map(|v| (labelled("version", &v.to_string()), 1.0)).collect::<Vec<_>>();
    let seconds = |at: Option<chrono::DateTime<chrono::Utc>>| at.iter().map(|at| (String::new(), at.timestamp() as f64)).collect::<Vec<_>>();
    let truth = |yes: bool| one(f64::from(u8::from(yes)));

    metric("build_info", "gauge", "This program.", &[(labelled("version", &state.updater.version), 1.0)]);
    metric("current_info", "gauge", "The installed release.", &version(&state.current));
    metric("available_info", "gauge", "The offered release.", &version(&state.available.as_ref().map(|a| a.version.clone())));
    metric("update_available", "gauge", "Whether the offered release can be installed.", &truth(state.update_available));
    metric("last_check_timestamp_seconds", "gauge", "When the source was last asked with success.", &seconds(state.last_check));
    metric("last_check_failed", "gauge", "Whether the last try to ask the source failed.", &truth(state.last_check_error.is_some()));
    let success = history.iter().rev().find(|r| r.result.outcome == Outcome::Confirmed).map(|r| r.result.at);
    metric("last_success_timestamp_seconds", "gauge", "When a transaction was last confirmed.", &seconds(success));
    metric("running", "gauge", "Whether a run holds the lock.", &truth(view.busy.is_some()));
    metric("interrupted", "gauge", "Whether a transaction was interrupted and waits for recovery.", &truth(view.interrupted.is_some()));
    let drift: Vec<_> = state.drift.iter().map(|n| (String::new(), *n as f64)).collect();
    metric("drift_files", "gauge", "Files that differed from what was installed when last compared.", &drift);
    metric("quarantined_releases", "gauge", "Releases that failed here and are not tried again.", &one(state.quarantined.len() as f64));

    let mut counts: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for row in history {
        *counts.entry((row.result.action.name(), row.result.outcome.name())).or_default() += 1.0;
    }
    let counts: Vec<_> = counts.into_iter().map(|((action, outcome), n)| (format!("{{action=\"{action}\",outcome=\"{outcome}\"}}"), n)).collect();
    metric("transactions_total", "counter", "Transactions by what they were for and how they ended.", &counts);
    let sum = |of: fn(&Row) -> f64| one(history.iter().map(of).sum());
    metric("fetched_bytes_total", "counter", "Bytes fetched from the source.", &sum(|r| r.bytes_fetched as f64));
    metric("written_bytes_total", "counter", "Bytes written under managed paths.", &sum(|r| r.bytes_written as f64));
    metric("offline_seconds_total", "counter", "Seconds from the first rename to the verdict that services are back.", &sum(|r| r.result.offline_seconds));
    out
}

/// A label's value: backslash, quote and line end are written as the format wants them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
