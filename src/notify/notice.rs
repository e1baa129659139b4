//! What is due, given what is on disk and what was told; and in which words. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Told;
use crate::device::Schedule;
use crate::event::Outcome;
use crate::plan::Action;
use crate::quantity::{bytes, seconds};
use crate::state::status::{Available, LastResult};
use crate::state::{Row, State};
use crate::update::settle::name_of;

/// Results that are told after a silence; older ones have lost their news.
const ROWS_MAX: usize = 5;
/// A result older than this is not told any more.
const NEWS: TimeDelta = TimeDelta::days(7);
/// Discord takes 2,000 characters.
const TEXT_MAX: usize = 1900;

/// What is known.
pub struct Facts<'a> {
    /// Whose releases they are.
    pub product: &'a str,
    /// This board.
    pub host: &'a str,
    /// What the owner set.
    pub schedule: &'a Schedule,
    /// The state.
    pub state: &'a State,
    /// How transactions ended, oldest first.
    pub rows: &'a [Row],
    /// A transaction that waits for a person: its id, what happened, what to do.
    pub stuck: Option<&'a (String, String, Option<String>)>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One of the config's events, or `test`.
    pub event: &'static str,
    /// A few words.
    pub title: String,
    /// A few sentences.
    pub message: String,
    /// The version it is about.
    pub version: Option<String>,
    /// The version before.
    pub from: Option<String>,
    /// Its transaction.
    pub transaction: Option<String>,
    /// ntfy's priority and tag.
    pub ntfy: (&'static str, &'static str),
}

/// How the record moves when a notice was told, or needed not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moves {
    /// This one was told to be available.
    Available(String),
    /// The end of this transaction was told; of a refusal also the version.
    Ended(String, Option<String>),
    /// That this transaction waits was told.
    Stuck(String),
}

impl Moves {
    /// Moves the record.
    pub fn of(self, told: &mut Told) {
        match self {
            Moves::Available(version) => told.available = Some(version),
            Moves::Ended(transaction, refused) => {
                told.transaction = Some(transaction);
                told.refused = refused;
            }
            Moves::Stuck(transaction) => told.stuck = Some(transaction),
        }
    }
}

/// Something that happened since; with a notice, if it is worth one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The message.
    pub notice: Option<Notice>,
    /// What to remember then.
    pub moves: Moves,
}

/// What is due, in the order in which it happened.
pub fn due(facts: &Facts, told: &Told) -> Vec<Due> {
    let known = told.transaction.as_ref().and_then(|id| facts.rows.iter().rposition(|r| r.result.transaction == *id));
    // without a record only the last one can be news
    let first = known.map_or(facts.rows.len().saturating_sub(1), |i| i + 1).max(facts.rows.len().saturating_sub(ROWS_MAX));
    let mut refused = told.refused.clone();
    let mut all = Vec::new();
    for Row { result, .. } in &facts.rows[first..] {
        let to = name_of(&result.to);
        // the same refusal every night is told once, however many bytes are missing tonight
        let again = result.outcome == Outcome::Refused && refused.as_ref() == Some(&to);
        let old = facts.now - result.at > NEWS;
        refused = (result.outcome == Outcome::Refused).then_some(to);
        let notice = if again || old { None } else { ended(facts, result) };
        all.push(Due { notice, moves: Moves::Ended(result.transaction.clone(), refused.clone()) });
    }
    if let Some((transaction, message, hint)) = facts.stuck.filter(|(id, ..)| told.stuck.as_ref() != Some(id)) {
        let hint = hint.as_deref().map(|h| format!("\nWhat to do: {h}")).unwrap_or_default();
        let notice = Notice {
            event: "failed",
            title: format!("{} needs a person", facts.product),
            message: format!("{}: {message}.{hint}", facts.host),
            version: None,
            from: facts.state.current.as_ref().map(ToString::to_string),
            transaction: Some(transaction.clone()).filter(|id| !id.is_empty()),
            ntfy: ("urgent", "rotating_light"),
        };
        all.push(Due { notice: Some(notice), moves: Moves::Stuck(transaction.clone()) });
    }
    let news = |a: &&Available| told.available.as_deref() != Some(a.version.to_string().as_str()) && !facts.state.skipped.contains(&a.version);
    if let Some(offered) = facts.state.available.as_ref().filter(|_| facts.state.update_available).filter(news) {
        all.push(Due { notice: Some(available(facts, offered)), moves: Moves::Available(offered.version.to_string()) });
    }
    all
}

fn available(facts: &Facts, offered: &Available) -> Notice {
    let here = match &facts.state.current {
        Some(current) => format!("{} has {current}", facts.host),
        None => format!("{} has no release yet", facts.host),
    };
    let size = offered.download_bytes.map(|n| format!(", {}{} to fetch", if offered.download_at_most { "at most " } else { "" }, bytes(n))).unwrap_or_default();
    let next = match facts.schedule.action.as_str() {
        "install" => format!("It is installed at {}.", facts.schedule.at),
        _ => "The dashboard or `pikit-updater apply` installs it.".into(),
    };
    let link = offered.changelog.as_deref().map(|c| format!("\n{c}")).unwrap_or_default();
    Notice {
        event: "available",
        title: format!("{} {} is available", facts.product, offered.version),
        message: format!("{here}{size}. {next}{link}"),
        version: Some(offered.version.to_string()),
        from: facts.state.current.as_ref().map(ToString::to_string),
        transaction: None,
        ntfy: ("default", "package"),
    }
}

/// The words of a transaction's end; none for one that a person cancelled.
fn ended(facts: &Facts, result: &LastResult) -> Option<Notice> {
    let (product, host) = (facts.product, facts.host);
    let (from, to) = (name_of(&result.from), name_of(&result.to));
    let reason = result.reason.as_deref().unwrap_or("no reason was given");
    let (event, title, message, ntfy) = match (result.outcome, result.action) {
        (Outcome::Confirmed, action) => {
            let title = match action {
                Action::Apply => format!("{product} {to} is installed"),
                Action::Rollback => format!("{product} is back at {to}"),
                Action::Repair => format!("{product} {to} is repaired"),
            };
            let away =
                if result.offline_seconds > 0.0 { format!(", of which services were away for {}", seconds(result.offline_seconds)) } else { String::new() };
            let way = if action == Action::Repair { format!("{host}: edited files were put back") } else { format!("{host} went from {from} to {to}") };
            ("confirmed", title, format!("{way} in {}{away}.", seconds(result.seconds)), ("low", "white_check_mark"))
        }
        (Outcome::RolledBack, _) => {
            let distrusted = facts.state.quarantined.iter().any(|q| Some(&q.version) == result.to.as_ref() && q.reason == reason);
            let never = if distrusted { " It will not be tried again." } else { "" };
            ("rolled-back", format!("{product} {to} was taken back"), format!("{host} is at {from} as before: {reason}.{never}"), ("high", "rewind"))
        }
        (Outcome::Failed | Outcome::Refused, _) => {
            let how = if result.outcome == Outcome::Failed { "failed" } else { "was refused" };
            let title = format!("{product}: {} of {to} {how}", result.action.name());
            ("failed", title, format!("{host} is at {from} as before: {reason}."), ("high", "warning"))
        }
        (Outcome::UpToDate | Outcome::Cancelled, _) => return None,
    };
    let named = |v: &Option<semver::Version>| v.as_ref().map(ToString::to_string);
    Some(Notice { event, title, message, version: named(&result.to), from: named(&result.from), transaction: Some(result.transaction.clone()), ntfy })
}

/// A notice that only says that notices arrive.
pub fn test(product: &str, host: &str) -> Notice {
    Notice {
        event: "test",
        title: format!("{product}: notices arrive"),
        message: format!("{host} sent this because somebody asked it to. Nothing has happened."),
        version: None,
        from: None,
        transaction: None,
        ntfy: ("default", "wave"),
    }
}

impl Notice {
    /// As one JSON object. `text` is what Slack and Mattermost show, `content` what Discord shows.
    pub fn json(&self, product: &str, host: &str) -> Value {
        let text: String = format!("{}\n{}", self.title, self.message).chars().take(TEXT_MAX).collect();
        json!({
            "event": self.event,
            "title": self.title,
            "message": self.message,
            "product": product,
            "version": self.version,
            "from": self.from,
            "host": host,
            "transaction": self.transaction,
            "text": text,
            "content": text,
        })
    }
    /// The headers that ntfy reads; the message is the body.
    pub fn ntfy(&self) -> Vec<(&'static str, String)> {
        // a header is of ASCII; product and version are
        let title = self.title.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        vec![("content-type", "text/plain; charset=utf-8".into()), ("title", title), ("priority", self.ntfy.0.into()), ("tags", self.ntfy.1.into())]
    }
}
