//! What the API shows, and how it has things done: the real board, or made-up states for work on the page.

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::apart;
use crate::daily::timer::{self, Next};
use crate::device::Settings;
use crate::error::{Doing, Error, Result};
use crate::event::Silent;
use crate::request::{self, Answer, Request, Trouble};
use crate::state::status::Auto;
use crate::state::{history, log};
use crate::update::apply::{self, Done};
use crate::update::view::{self, Pending};
use crate::update::{Trip, aim, upload, verify};
use crate::world::clock::RealClock;
use crate::world::look::LookOnly;
use crate::world::outside::RealOutside;
use crate::world::real::RealDisk;
use crate::world::{Clock, Disk as _, World, durable};

use super::config::Config;
use super::metrics;
use super::watch::Watch;

/// What routes and events know of the board.
pub trait Board: Send + Sync {
    /// What `/ping` says, but for when the API started.
    fn ping(&self) -> Value;
    /// The whole state.
    ///
    /// # Errors
    /// It cannot be read.
    fn state(&self) -> Result<Value>;
    /// The plan of the offered release, if one is offered.
    ///
    /// # Errors
    /// It cannot be read.
    fn plan(&self) -> Result<Option<Value>>;
    /// What happened, newest first.
    ///
    /// # Errors
    /// It cannot be read.
    fn history(&self) -> Result<Value>;
    /// The log of a transaction, or the newest.
    ///
    /// # Errors
    /// It cannot be read.
    fn log(&self, transaction: Option<&str>) -> Result<Option<Value>>;
    /// Compares every file.
    ///
    /// # Errors
    /// Nothing is installed, or it cannot be read.
    fn verify(&self) -> Result<Value>;
    /// Numbers for Prometheus.
    ///
    /// # Errors
    /// The state cannot be read.
    fn metrics(&self) -> Result<String>;
    /// Has something done. Returns once it is left; who does it is another process.
    ///
    /// # Errors
    /// Something else is being done.
    fn ask(&self, request: &Request) -> Result<()>;
    /// Takes a bundle in, and says what it is and what it would do.
    ///
    /// # Errors
    /// Something else is being done; there is no room; it is no bundle that this board would install.
    fn receive(&self, from: &mut dyn Read, length: u64) -> Result<Value>;
    /// How the last request ended.
    fn answer(&self) -> Option<Answer>;
    /// Waits until something may have changed, at most so long.
    fn wait(&self, watch: &mut Watch, limit: Duration);
    /// Identifies a new transaction.
    fn new_id(&self) -> String;
}

/// The board this runs on.
pub struct Real {
    config: Config,
    clock: RealClock,
    /// How the other side is started; none: a path unit waits for the request.
    start: Option<Vec<PathBuf>>,
    /// What was left, until it is seen to be worked on.
    left: Mutex<Option<Left>>,
    /// One at a time asks: between looking and leaving, nobody else leaves.
    asking: Mutex<()>,
    /// Since when it is shown.
    started: DateTime<Utc>,
    /// What systemd said of the timer, when, and of which schedule.
    next: Mutex<Option<Said>>,
}

/// What systemd said.
struct Said {
    asked: Instant,
    /// Of which schedule: mode and hour.
    of: (String, String),
    next: Next,
}

/// How long systemd's word on the timer is good.
const SHELF_LIFE: Duration = Duration::from_secs(60);

struct Left {
    request: Request,
    since: Instant,
    /// What whoever asked is told after [`PATIENCE`].
    given_up: Option<Answer>,
}

impl Left {
    fn new(request: Request) -> Self {
        Left { request, since: Instant::now(), given_up: None }
    }
}

/// How long the other side may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

impl Real {
    /// A board; `start` is the command that does a request.
    pub fn new(config: Config, start: Option<Vec<PathBuf>>) -> Self {
        let clock = RealClock::new();
        let started = clock.now();
        Real { config, clock, start, left: Mutex::new(None), asking: Mutex::new(()), started, next: Mutex::new(None) }
    }
    fn settings(&self) -> Arc<Settings> {
        self.config.settings()
    }
    /// A disk for one look: it keeps handles, and belongs to one thread.
    fn disk(&self) -> RealDisk {
        RealDisk::new(self.settings().managed.iter().map(|m| m.parent().to_owned()).collect())
    }
    fn world<'w>(&'w self, disk: &'w LookOnly<'w>) -> World<'w> {
        World { disk, outside: &RealOutside, clock: &self.clock }
    }
    fn view(&self) -> Result<view::View> {
        let disk = self.disk();
        let mut seen = view::view(self.world(&LookOnly(&disk)), &self.settings(), &mut Silent)?;
        (seen.state.auto.next, seen.state.auto.timer) = self.next(&seen.state.auto);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_none() {
            // left by an API before this one
            let found = request::waiting(&disk, &self.settings().layout);
            *left = found.map(Left::new);
        }
        if let Some(waiting) = &mut *left {
            let id = &waiting.request.transaction;
            let is_it = |other: Option<&String>| other == Some(id);
            let state = &seen.state;
            let begun = is_it(state.progress.as_ref().map(|p| &p.transaction)) || is_it(seen.interrupted.as_ref());
            let ended = is_it(seen.last_request.as_ref().map(|a| &a.transaction)) || is_it(state.last_result.as_ref().map(|r| &r.transaction));
            if begun || ended {
                *left = None;
            } else if waiting.since.elapsed() < PATIENCE {
                // taken, and not begun yet: between the two nothing is to be seen of it
                seen.pending = Some(Pending { transaction: id.clone(), action: waiting.request.action });
            } else if seen.busy.is_none() {
                if waiting.given_up.is_none() {
                    // nobody takes requests: this one would keep every other out
                    let path = self.settings().layout.request();
                    let lies = request::waiting(&disk, &self.settings().layout).is_some_and(|r| r == waiting.request);
                    waiting.given_up = Some(self.nobody_came(&waiting.request, lies && disk.unlink(&path).is_ok()));
                    seen.pending = None;
                }
                // told once: whoever looks again hears the same words of the same minute
                let told = waiting.given_up.as_ref().filter(|a| seen.last_request.as_ref().is_none_or(|other| other.at < a.at));
                seen.last_request = told.cloned().or(seen.last_request);
            }
        }
        Ok(seen)
    }
    /// What systemd says of the timer. Asked once a minute, and when the schedule has changed: asking starts a program.
    fn next(&self, auto: &Auto) -> (Option<DateTime<Utc>>, bool) {
        let mut known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (auto.mode.clone(), auto.at.clone());
        if let Some(said) = known.as_ref().filter(|said| said.asked.elapsed() < SHELF_LIFE && said.of == of) {
            return (said.next.at, said.next.timer);
        }
        let disk = self.disk();
        let next = timer::next(self.world(&LookOnly(&disk)), &self.settings());
        *known = Some(Said { asked: Instant::now(), of, next });
        (next.at, next.timer)
    }
    /// Whether nothing is being done and nothing was asked for.
    fn is_free(&self) -> Result<()> {
        let seen = self.view()?;
        if let Some(pending) = seen.pending {
            let message = format!("something else was asked for and is about to begin: {}", pending.action.name());
            return Err(Error::new(crate::Code::Busy, message).hint("wait until it is done; the state shows what it is doing"));
        }
        if let Some(busy) = seen.busy {
            // `request`: asked for on a page, and the state tells what it is
            let what = Some(busy.command).filter(|c| !c.is_empty() && !c.starts_with("request")).map(|c| format!(": {c}"));
            let message = format!("another run is at work (since {}){}", busy.since.format("%H:%M:%S UTC"), what.unwrap_or_default());
            return Err(Error::new(crate::Code::Busy, message).hint("wait until it is done; the state shows what it is doing"));
        }
        Ok(())
    }
    /// What was uploaded, looked at as `apply --dry-run --from` does.
    fn look_at_upload(&self, settings: &Settings, length: u64) -> Result<Value> {
        let disk = self.disk();
        let disk = LookOnly(&disk);
        let mut silent = Silent;
        let mut trip = Trip::looking(self.world(&disk), settings, &mut silent)?;
        let source = apart::open_from(&upload::place(&settings.layout), settings, &self.clock)?;
        let asked = aim::Request { dry_run: true, ..aim::Request::default() };
        match apply::apply(&mut trip, source.as_ref(), asked, &mut |_| Ok(()))? {
            Done::Planned(proposal) => Ok(json!({"version": proposal.plan.to, "bytes": length, "plan": proposal})),
            Done::Ended(report) => {
                let version = report.to.map_or_else(|| "nothing".to_owned(), |v| v.to_string());
                let why = report.notes.first().cloned().unwrap_or_else(|| format!("{version} is installed already, and nothing of it differs"));
                Err(Error::refused(format!("there is nothing to install: {why}"))
                    .hint("an older release is installed with `sudo pikit-updater apply --from FILE --allow-downgrade`"))
            }
        }
    }
    fn nobody_came(&self, request: &Request, lay_there: bool) -> Answer {
        let message = if lay_there { "nobody took the request" } else { "the request was taken, and whoever took it ended without a word" };
        let hint = match self.start {
            None => "`systemctl status pikit-update-apply.path` tells why; `sudo pikit-updater apply` does it without this page",
            Some(_) => "`pikit-updater status` tells more",
        };
        let error = Trouble { code: 1, phase: None, message: message.into(), hint: Some(hint.into()) };
        Answer { transaction: request.transaction.clone(), action: Some(request.action), at: self.clock.now(), ok: false, error: Some(error) }
    }
}

impl Board for Real {
    fn ping(&self) -> Value {
        let version = durable::read(&self.disk(), &self.settings().layout.version(), 4096).ok().flatten();
        let version = version.map(|b| String::from_utf8_lossy(&b).trim().to_owned());
        json!({"status": "ok", "version": version, "boot_id": self.clock.boot_id()})
    }
    fn state(&self) -> Result<Value> {
        let mut state = serde_json::to_value(self.view()?).expect("a view is plain data");
        state["api"] = json!({"started": self.started.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), "version": env!("CARGO_PKG_VERSION")});
        Ok(state)
    }
    fn plan(&self) -> Result<Option<Value>> {
        let path = self.settings().layout.planned();
        let offered = self.view()?.state.available.map(|a| json!(a.manifest_sha256));
        let bytes = durable::read(&self.disk(), &path, 64 << 20).doing(|| format!("reading {}", path.display()))?;
        let plan: Option<Value> = bytes.and_then(|b| serde_json::from_slice(&b).ok());
        // of another release: a check has said so since
        Ok(plan.filter(|plan| offered.is_some_and(|digest| plan["manifest_sha256"] == digest)))
    }
    fn history(&self) -> Result<Value> {
        let mut rows = history::load(&self.disk(), &self.settings().layout)?;
        rows.reverse();
        Ok(json!({"history": rows}))
    }
    fn log(&self, transaction: Option<&str>) -> Result<Option<Value>> {
        let layout = &self.settings().layout;
        let newest = || Ok::<_, Error>(log::transactions(&self.disk(), layout)?.into_iter().next());
        let Some(transaction) = transaction.map_or_else(newest, |id| Ok(Some(id.to_owned())))? else { return Ok(None) };
        let path = layout.log(&transaction);
        let bytes = durable::read(&self.disk(), &path, log::SIZE_MAX).doing(|| format!("reading {}", path.display()))?;
        Ok(bytes.map(|bytes| json!({"transaction": transaction, "lines": String::from_utf8_lossy(&bytes).lines().collect::<Vec<_>>()})))
    }
    fn verify(&self) -> Result<Value> {
        let disk = self.disk();
        let disk = LookOnly(&disk);
        let mut silent = Silent;
        let seen = verify::verify(&mut Trip::looking(self.world(&disk), &self.settings(), &mut silent)?)?;
        let mut value = serde_json::to_value(&seen).expect("it is plain data");
        value["drift"] = json!(seen.drift());
        Ok(value)
    }
    fn metrics(&self) -> Result<String> {
        let rows = history::load(&self.disk(), &self.settings().layout)?;
        Ok(metrics::text(&self.view()?, &rows))
    }
    fn receive(&self, from: &mut dyn Read, length: u64) -> Result<Value> {
        self.is_free()?;
        let settings = self.settings();
        let disk = self.disk();
        upload::receive(&disk, &settings.layout, &self.clock, from, length, settings.min_free)?;
        let found = self.look_at_upload(&settings, length);
        found.map_err(|e| {
            upload::discard(&disk, &settings.layout);
            // where it lay is nothing to whoever sent it
            let place = upload::place(&settings.layout).display().to_string();
            e.in_words(|words| words.replace(&place, "the file"))
        })
    }
    fn ask(&self, request: &Request) -> Result<()> {
        let _one = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = &self.settings().layout;
        self.is_free()?;
        {
            // whoever looks meanwhile sees both or neither
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            request::leave(&self.disk(), layout, request)?;
            *left = Some(Left::new(request.clone()));
        }
        let Some(argv) = &self.start else { return Ok(()) };
        start(argv).inspect_err(|_| {
            // nobody will come for it
            let _ = self.disk().unlink(&layout.request());
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = None;
        })
    }
    fn answer(&self) -> Option<Answer> {
        // as the state shows it: also when nobody came
        self.view().ok()?.last_request
    }
    fn wait(&self, watch: &mut Watch, limit: Duration) {
        let layout = &self.settings().layout;
        watch.wait(&[layout.run_dir(), layout.requests(), layout.state_dir()], limit);
    }
    fn new_id(&self) -> String {
        self.clock.new_id()
    }
}

/// Starts the other side as a process of its own, which nothing that happens to this one disturbs: a group of its own, and no stream of ours.
fn start(argv: &[PathBuf]) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().doing(|| format!("starting {}", argv[0].display()))?;
    // somebody has to take note of its end
    std::thread::Builder::new().name("request".into()).stack_size(64 << 10).spawn(move || child.wait()).map(drop).doing(|| "waiting for the request".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Layout;
    use crate::request::Wish;
    use crate::world::scratch::Scratch;

    fn board() -> (Scratch, Layout, Real) {
        let scratch = Scratch::new();
        let layout = Layout::new(std::fs::canonicalize(scratch.path()).unwrap());
        let text = "product = \"x\"\n[source]\ndir = \"/releases\"\n[[managed]]\nfrom = \"web/\"\nto = \"/srv/web/\"\n";
        let read = {
            let layout = layout.clone();
            move || Settings::parse(text, &layout).map_err(Error::usage)
        };
        let config = Config::new(layout.config(), Box::new(read)).unwrap();
        (scratch, layout, Real::new(config, None))
    }

    fn much_later(board: &Real) {
        let mut left = board.left.lock().unwrap();
        let left = left.as_mut().unwrap();
        left.since = left.since.checked_sub(PATIENCE).unwrap();
    }

    #[test]
    fn what_nobody_came_for_is_told_once_and_takes_nothing_of_others_with_it() {
        let (_scratch, layout, board) = board();
        let first = Request::new(&board.clock, Wish::Apply);
        board.ask(&first).unwrap();
        assert_eq!(board.ask(&Request::new(&board.clock, Wish::Apply)).unwrap_err().code, crate::Code::Busy);
        much_later(&board);
        let told = board.view().unwrap().last_request.unwrap();
        assert_eq!((&told.transaction, told.ok), (&first.transaction, false));
        assert!(!request::is_waiting(&board.disk(), &layout));
        assert_eq!(board.view().unwrap().last_request, Some(told), "the same words, of the same moment");

        // another API leaves one: it is not ours to take away
        let other = Request::new(&board.clock, Wish::Check);
        request::leave(&board.disk(), &layout, &other).unwrap();
        assert_eq!(board.view().unwrap().pending.map(|p| p.transaction), Some(other.transaction.clone()));
        assert!(request::is_waiting(&board.disk(), &layout));

        // what was done after it is the news
        let done = Answer { transaction: other.transaction, action: Some(Wish::Check), at: board.clock.now(), ok: true, error: None };
        done.tell(&board.disk(), &layout).unwrap();
        assert_eq!(board.view().unwrap().last_request, Some(done));
    }
}
