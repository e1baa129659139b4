//! A plan, before it is consented to: what would come, change, go and stay, what it costs, and how to get back.

use std::fmt::Write as _;

use super::voice::{Tone, Voice, clean, clean_lines};
use crate::plan::{Action, Change, Plan, Planned};
use crate::quantity::{bytes, seconds};
use crate::update::apply::Proposal;

/// Names shown of each kind, unless all are wanted.
const NAMES: usize = 10;
/// Lines of the notes shown, unless all are wanted.
const NOTE_LINES: usize = 12;

/// The plan for people.
pub fn text(voice: &Voice, proposal: &Proposal) -> String {
    let plan = &proposal.plan;
    let mut out = String::new();
    line(&mut out, &voice.paint(&title(plan), Tone::Strong));
    let kinds: [(&str, Tone, Pick); 5] = [
        ("added", Tone::Good, |f| f.change == Change::Add),
        ("changed", Tone::Odd, |f| f.change == Change::Replace),
        ("removed", Tone::Bad, |f| f.change == Change::Remove),
        ("yours, kept", Tone::Good, |f| f.change == Change::KeepEdited),
        ("edited, overwritten", Tone::Odd, |f| f.drifted && f.is_backed_up()),
    ];
    for (word, tone, picked) in kinds {
        let files: Vec<&Planned> = plan.files.iter().filter(|f| picked(f)).collect();
        if files.is_empty() {
            continue;
        }
        line(&mut out, &format!("  {} {}", files.len(), voice.paint(word, tone)));
        let shown = if voice.verbose { files.len() } else { NAMES };
        for file in files.iter().take(shown) {
            line(&mut out, &format!("      {}", clean(file.path.as_str())));
        }
        if files.len() > shown {
            line(&mut out, &format!("      … and {} more (-v shows all)", files.len() - shown));
        }
    }
    let kept = plan.counts().kept;
    if kept > 0 {
        line(&mut out, &format!("  {kept} kept as {}", if kept == 1 { "it is" } else { "they are" }));
    }
    line(&mut out, "");
    line(&mut out, &cost(plan));
    if !plan.restart.is_empty() || !plan.reload.is_empty() {
        let verb = |verb: &str, units: &[String]| (!units.is_empty()).then(|| format!("{verb} {}", units.join(", ")));
        let words: Vec<String> = [verb("restart", &plan.restart), verb("reload", &plan.reload)].into_iter().flatten().collect();
        line(&mut out, &format!("  services  {}", clean(&words.join("; "))));
    }
    for command in &plan.commands {
        let words = clean(&command.to_string()).into_owned();
        line(&mut out, &format!("  runs      {} as root; what it does to data a rollback cannot undo", voice.paint(&words, Tone::Odd)));
    }
    if plan.switches() {
        let words = match proposal.expected_offline {
            Some(s) => format!("about {}, as the last time", seconds(s)),
            None if plan.restart.is_empty() => "none: no service is restarted".into(),
            None => "not known yet: as long as the services take to restart".into(),
        };
        line(&mut out, &format!("  offline   {words}"));
    }
    match &proposal.backup_to {
        Some(at) => line(&mut out, &format!("  backup    {}", at.display())),
        None if plan.action == Action::Rollback => {}
        None => line(&mut out, "  backup    none is needed: nothing is replaced"),
    }
    let about = &proposal.about;
    if let Some(released) = about.released.filter(|_| plan.action == Action::Apply) {
        line(&mut out, &format!("  released  {}", released.format("%Y-%m-%d")));
    }
    for signed in &about.signed {
        line(&mut out, &format!("  signed    by {}: {}", signed.key, clean(&signed.comment)));
    }
    for doubt in &about.doubts {
        line(&mut out, &format!("  {}   {}", voice.paint("caution", Tone::Odd), clean(doubt)));
    }
    if let Some(changelog) = &about.changelog {
        line(&mut out, &format!("  changes   {}", clean(changelog)));
    }
    if let Some(notes) = about.notes.as_deref().filter(|n| !n.trim().is_empty()) {
        line(&mut out, "");
        let shown = if voice.verbose { usize::MAX } else { NOTE_LINES };
        clean_lines(notes.trim()).take(shown).for_each(|l| line(&mut out, &format!("  | {l}")));
        if notes.trim().lines().count() > shown {
            line(&mut out, "  | … (-v shows all)");
        }
    }
    out
}

type Pick = fn(&Planned) -> bool;

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end());
}

/// What it is about, in one line.
pub fn title(plan: &Plan) -> String {
    let from = plan.from.as_ref().map_or_else(|| "what is there now".to_owned(), ToString::to_string);
    let to = plan.to.as_ref().map_or_else(|| "what was there before any release".to_owned(), ToString::to_string);
    match plan.action {
        Action::Apply if plan.from.is_none() => format!("Install {to}"),
        Action::Apply if plan.from == plan.to => format!("Install {to} again"),
        Action::Apply => format!("Install {to} (now: {from})"),
        Action::Rollback => format!("Return from {from} to {to}"),
        Action::Repair => format!("Repair {to}"),
    }
}

/// The same as a question.
pub fn question(plan: &Plan) -> String {
    let to = plan.to.as_ref().map_or_else(|| "what was there before any release".to_owned(), ToString::to_string);
    match plan.action {
        Action::Apply => format!("Install {to}?"),
        Action::Rollback => format!("Return to {to}?"),
        Action::Repair => format!("Repair {to}?"),
    }
}

/// Before a number of bytes.
pub fn at_most(yes: bool) -> &'static str {
    if yes { "at most " } else { "" }
}

fn cost(plan: &Plan) -> String {
    let fetch = match plan.fetch_bytes {
        Some(0) => "nothing to fetch".to_owned(),
        Some(n) => format!("fetch {}{}", at_most(plan.fetch_at_most), bytes(n)),
        None if plan.action == Action::Apply => "fetch: size not known".to_owned(),
        None => "nothing to fetch".to_owned(),
    };
    let unknown = plan.files.iter().any(|f| f.is_written() && f.want.as_ref().is_some_and(|w| w.size.is_none()));
    let write = if unknown { "write: sizes not known".to_owned() } else { format!("write {}", bytes(plan.counts().bytes_written)) };
    format!("  costs     {fetch}, {write}")
}
