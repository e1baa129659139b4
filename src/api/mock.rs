//! Made-up states, for work on the page: each `status-NAME.json` of a folder, shown one at a time. `GET /mock/` lists them,
//! `GET /mock/NAME` shows one from then on; everything that is asked for is granted and nothing happens.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::board::Board;
use super::watch::Watch;
use crate::error::{Doing, Error, Result};
use crate::request::{Answer, Request};
use crate::world::Clock as _;
use crate::world::clock::RealClock;

/// The state that is shown first.
const FIRST: &str = "mock-update-status.json";

/// What an upload is said to be.
const UPLOAD: &str = "upload.json";

/// A board that is not there.
pub struct Mock {
    dir: PathBuf,
    shown: Mutex<(String, Option<Answer>)>,
    changed: Condvar,
    clock: RealClock,
}

impl Mock {
    /// The states of this folder.
    ///
    /// # Errors
    /// There are none.
    pub fn new(dir: &Path) -> Result<Self> {
        let mock = Mock { dir: dir.to_owned(), shown: Mutex::new((FIRST.into(), None)), changed: Condvar::new(), clock: RealClock::new() };
        mock.state().map(|_| mock)
    }
    /// Names of the states.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|e| Some(e.file_name().to_str()?.strip_prefix("status-")?.strip_suffix(".json")?.to_owned())).collect();
        names.sort();
        names
    }
    /// Shows this one from now on.
    pub fn show(&self, name: &str) -> bool {
        let known = self.names().iter().any(|n| n == name);
        if known {
            self.shown.lock().unwrap_or_else(PoisonError::into_inner).0 = format!("status-{name}.json");
            self.changed.notify_all();
        }
        known
    }
}

impl Board for Mock {
    fn ping(&self) -> Value {
        let version = self.state().map(|s| s["current"].clone()).unwrap_or_default();
        json!({"status": "ok", "version": version, "boot_id": self.clock.boot_id()})
    }
    fn state(&self) -> Result<Value> {
        let path = self.dir.join(&self.shown.lock().unwrap_or_else(PoisonError::into_inner).0);
        let text = std::fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| Error::usage(format!("{} is no JSON", path.display())).because(e))
    }
    fn plan(&self) -> Result<Option<Value>> {
        Ok(None)
    }
    fn history(&self) -> Result<Value> {
        let last = self.state()?["last_result"].clone();
        Ok(json!({"history": if last.is_null() { vec![] } else { vec![last] }}))
    }
    fn log(&self, transaction: Option<&str>) -> Result<Option<Value>> {
        let lines = ["2026-11-20T03:00:00Z checking: asking the source", "2026-11-20T03:00:02Z made up: nothing of this happened"];
        Ok(Some(json!({"transaction": transaction.unwrap_or("0123456789abcdefghijklmnop"), "lines": lines})))
    }
    fn verify(&self) -> Result<Value> {
        let state = self.state()?;
        let drift = state["drift"].as_u64().unwrap_or(0);
        let edited: Vec<String> = (0..drift).map(|i| format!("pikit-web/edited-{i}.js")).collect();
        Ok(json!({"version": state["current"], "listed": 442, "matching": 442 - drift, "edited": edited, "missing": [], "config_edited": [], "drift": drift}))
    }
    fn metrics(&self) -> Result<String> {
        Ok(String::new())
    }
    fn ask(&self, request: &Request) -> Result<()> {
        let answer = Answer { transaction: request.transaction.clone(), action: Some(request.action), at: self.clock.now(), ok: true, error: None };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(answer);
        Ok(())
    }
    fn receive(&self, from: &mut dyn Read, _: u64) -> Result<Value> {
        std::io::copy(from, &mut std::io::sink()).doing(|| "taking the upload in".into())?;
        let path = self.dir.join(UPLOAD);
        let text = std::fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| Error::usage(format!("{} is no JSON", path.display())).because(e))
    }
    fn answer(&self) -> Option<Answer> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
    fn wait(&self, _: &mut Watch, limit: Duration) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout(shown, limit));
    }
    fn new_id(&self) -> String {
        self.clock.new_id()
    }
}
