//! How a command that changes things ended.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::voice::{Tone, Voice, clean, with_ok};
use crate::event::Outcome;
use crate::plan::Action;
use crate::quantity::{bytes, count, seconds};
use crate::update::Report;
use crate::update::settle::name_of;

/// The report for people.
pub fn text(voice: &Voice, report: &Report) -> String {
    let mut out = String::new();
    let (word, tone) = match report.outcome {
        Outcome::UpToDate | Outcome::Confirmed => ("done", Tone::Good),
        Outcome::RolledBack => ("rolled back", Tone::Bad),
        Outcome::Refused => ("refused", Tone::Bad),
        Outcome::Failed => ("failed", Tone::Bad),
        Outcome::Cancelled => ("cancelled", Tone::Odd),
    };
    let _ = writeln!(out, "{}: {}", voice.paint(word, tone), clean(&sentence(report)));
    if report.outcome == Outcome::Confirmed && report.transaction.is_some() {
        let counts = &report.counts;
        let mut did = vec![format!("{} added, {} changed, {} removed", counts.added, counts.changed, counts.removed)];
        did.extend((counts.config_kept > 0).then(|| format!("{} of yours kept", count(counts.config_kept, "edited file"))));
        did.push(match (report.bytes_spared, report.requests) {
            (0, _) | (_, 0) => format!("{} fetched", bytes(report.bytes_fetched)),
            (spared, n) => format!("{} of {} fetched in {}", bytes(report.bytes_fetched), bytes(spared + report.bytes_fetched), count(n as usize, "request")),
        });
        did.push(format!("{} written", bytes(report.bytes_written)));
        did.push(format!("{} in all", seconds(report.seconds)));
        did.extend((report.offline_seconds > 0.0).then(|| format!("{} offline", seconds(report.offline_seconds))));
        let _ = writeln!(out, "  {}", did.join(", "));
    }
    for note in &report.notes {
        let _ = writeln!(out, "  {}", clean(note));
    }
    if let Some(hint) = &report.hint {
        let _ = writeln!(out, "{} {}", voice.paint("hint:", Tone::Faint), clean(hint));
    }
    out
}

fn sentence(report: &Report) -> String {
    let reason = report.reason.as_deref().unwrap_or("no reason was given");
    match (report.outcome, report.action) {
        (Outcome::UpToDate, _) if report.to.is_none() => "nothing to install".into(),
        (Outcome::UpToDate, Action::Repair) => format!("{} is installed and nothing differs", name_of(&report.to)),
        (Outcome::UpToDate, _) => format!("{} is installed, nothing to do", name_of(&report.to)),
        (Outcome::Confirmed, _) if report.transaction.is_none() => "nothing was changed on the board".into(),
        (Outcome::Confirmed, Action::Apply) => format!("{} is installed", name_of(&report.to)),
        (Outcome::Confirmed, Action::Rollback) => format!("back at {}", name_of(&report.to)),
        (Outcome::Confirmed, Action::Repair) => format!("{} is repaired", name_of(&report.to)),
        (Outcome::RolledBack, _) => format!("{} is as before. {reason}", name_of(&report.from)),
        (Outcome::Refused | Outcome::Failed | Outcome::Cancelled, _) => format!("{}: {reason}", report.action.name()),
    }
}

/// The last line of a stream of events.
pub fn json(ok: bool, report: &Report) -> Value {
    let mut value = with_ok(ok, report);
    value["event"] = json!("result");
    value
}
