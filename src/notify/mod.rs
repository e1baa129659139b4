//! Notices: a release is available, was installed, was taken back, failed. What is due is decided from what is on disk, so that a board
//! without a network tells it later; each thing is told once.
//!
//! Deliberately not done: nothing waits for a notice, and none changes how a command ends. After a week an untold one is let go.

/// What is due, and in which words: pure.
pub mod notice;

use serde::{Deserialize, Serialize};

use crate::device::Settings;
use crate::device::contact::{Format, Notify};
use crate::error::{Code, Error, Result};
use crate::event::{Event, Sink};
use crate::source::way;
use crate::state::{State, history, status};
use crate::update::recover;
use crate::world::outside::Letter;
use crate::world::{World, durable};
use notice::{Facts, Notice};

/// What was told already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The last transaction whose end was told.
    pub transaction: Option<String>,
    /// The last version that was told to be available.
    pub available: Option<String>,
    /// The last version that was told to be refused here.
    pub refused: Option<String>,
    /// The last transaction that was told to wait for a person.
    pub stuck: Option<String>,
    /// Since when nobody can be told.
    pub failing_since: Option<chrono::DateTime<chrono::Utc>>,
}

/// How long a server has to take a notice.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);
/// How long an untold notice waits.
const PATIENCE: chrono::TimeDelta = chrono::TimeDelta::days(7);

/// Tells what is due; called when the work of a command is done and its lock is released. `trouble` is the error it ended with.
/// Never a failure: what could not be told is a warning, and tried again by the next command.
pub fn after(world: World, settings: &Settings, trouble: Option<&Error>, sink: &mut dyn Sink) {
    let Some(notify) = &settings.notify else { return };
    if let Err(e) = tell(world, settings, notify, trouble) {
        sink.event(&Event::Warning { message: format!("a notice was not sent: {}", e.message()) });
    }
}

fn tell(world: World, settings: &Settings, notify: &Notify, trouble: Option<&Error>) -> Result<()> {
    let (disk, layout, now) = (world.disk, &settings.layout, world.clock.now());
    let bytes = durable::read(disk, &layout.notified(), 64 << 10).ok().flatten();
    // a record that cannot be read: at worst something is told twice
    let before: Told = bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let state = State::load(disk, layout)?.state;
    let rows = history::load(disk, layout).unwrap_or_default();
    let stuck = trouble.filter(|e| e.code == Code::Stuck).map(|e| {
        let transaction = recover::waiting(disk, layout).ok().flatten().unwrap_or_default();
        (transaction, e.message(), e.hint.clone())
    });
    let facts = Facts { product: &settings.product, host: &host(), schedule: &settings.schedule, state: &state, rows: &rows, stuck: stuck.as_ref(), now };
    let since = before.failing_since.unwrap_or(now);
    let let_go = now - since > PATIENCE;
    let (mut told, mut failed) = (before.clone(), None);
    for due in notice::due(&facts, &before) {
        let wanted = due.notice.filter(|n| notify.events.iter().any(|e| e == n.event));
        // who has just failed is not asked again for the next one
        if let (Some(notice), None) = (wanted, &failed) {
            failed = send(world, settings, notify, &notice).err();
        }
        if failed.is_some() && !let_go {
            break;
        }
        due.moves.of(&mut told);
    }
    told.failing_since = failed.as_ref().filter(|_| !let_go).map(|_| since);
    if told != before {
        let record = serde_json::to_vec(&told).expect("a record is plain data");
        status::save(disk, layout, &layout.notified(), &record)?;
    }
    match failed {
        Some(e) if let_go => Err(Error::new(e.code, format!("{}; it is let go after a week", e.message()))),
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// Sends a notice that only says that notices arrive. Gives the host that took it and its status.
///
/// # Errors
/// Usage without `[notify]`; source when nobody took it.
pub fn test(world: World, settings: &Settings) -> Result<(String, u16)> {
    let notify = settings.notify.as_ref();
    let notify = notify.ok_or_else(|| Error::usage("there is no [notify] in the config").hint("docs/configure.md shows what goes there"))?;
    let notice = notice::test(&settings.product, &host());
    Ok((to_whom(&notify.webhook).to_owned(), send(world, settings, notify, &notice)?))
}

fn send(world: World, settings: &Settings, notify: &Notify, notice: &Notice) -> Result<u16> {
    let way = way(&notify.webhook, settings)?;
    let (headers, body) = match notify.format {
        Format::Json => (vec![("content-type", "application/json".to_owned())], notice.json(&settings.product, &host()).to_string()),
        Format::Ntfy => (notice.ntfy(), notice.message.clone()),
    };
    let letter = Letter { url: &notify.webhook, headers: &headers, body: body.as_bytes(), way: &way };
    // the address may be a secret: only its host is ever said
    let whom = to_whom(&notify.webhook);
    let (status, answer) = world.outside.post(&letter, LIMIT).map_err(|why| Error::source_failed(format!("{whom}: {why}")))?;
    match status {
        200..300 => Ok(status),
        300..400 => Err(Error::source_failed(format!("{whom} answered {status} and sends elsewhere")).hint("put the final address into notify.webhook")),
        _ => {
            let said: String = answer.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Err(Error::source_failed(format!("{whom} answered {status}{said}")).hint("is notify.webhook right, and notify.format?"))
        }
    }
}

/// The host of an address, which is all of it that is ever shown.
pub fn to_whom(url: &str) -> &str {
    url.split("://").nth(1).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default()
}

/// The name of this board.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
