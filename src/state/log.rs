//! The log of one transaction: what "View logs" shows. Lines are appended as they happen and synced with the journal, not one by one.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::device::Layout;
use crate::error::{Doing, Result};
use crate::event::Event;
use crate::world::{Disk, durable};

/// Logs kept.
const LOGS_MAX: usize = 50;
/// Largest log that is shown, bytes.
pub const SIZE_MAX: u64 = 1 << 20;

/// The log being written. A log that cannot be written never stops a transaction.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// The log of this transaction; old logs go.
    pub fn open(disk: &dyn Disk, layout: &Layout, transaction: &str) -> Self {
        let path = layout.log(transaction);
        let dir = layout.logs();
        if durable::make_dirs(disk, &dir, 0o755).is_ok() {
            rotate(disk, &dir);
        }
        Log { path }
    }
    /// Writes a line for an event that is worth one.
    pub fn event(&self, disk: &dyn Disk, now: DateTime<Utc>, event: &Event) {
        let line = match event {
            Event::Begun { transaction } => format!("transaction {transaction}"),
            Event::Phase { phase, message } => format!("{}: {message}", phase.name()),
            Event::Note { message } => message.clone(),
            Event::Warning { message } => format!("warning: {message}"),
            Event::Progress { .. } => return,
        };
        self.line(disk, now, &line);
    }
    /// Writes a line.
    pub fn line(&self, disk: &dyn Disk, now: DateTime<Utc>, line: &str) {
        let text = format!("{} {}\n", now.format("%Y-%m-%dT%H:%M:%SZ"), line.replace(char::is_control, " "));
        if let Ok(mut file) = disk.append(&self.path) {
            let _ = std::io::Write::write_all(&mut file, text.as_bytes());
        }
    }
}

/// The oldest logs go; ids do not sort by time, so the files' own times decide.
fn rotate(disk: &dyn Disk, dir: &Path) {
    let Ok(names) = disk.list(dir) else { return };
    if names.len() < LOGS_MAX {
        return;
    }
    let mut logs: Vec<(i128, PathBuf)> = names.iter().map(|n| dir.join(n)).filter_map(|p| Some((disk.meta(&p).ok()??.mtime, p))).collect();
    logs.sort();
    for (_, path) in logs.iter().take(logs.len().saturating_sub(LOGS_MAX - 1)) {
        let _ = disk.unlink(path);
    }
}

/// The transactions that have a log, newest first by the files' own times: ids do not sort by time.
///
/// # Errors
/// The folder cannot be read.
pub fn transactions(disk: &dyn Disk, layout: &Layout) -> Result<Vec<String>> {
    let home = layout.logs();
    let doing = || format!("reading {}", home.display());
    if !durable::exists(disk, &home).doing(doing)? {
        return Ok(Vec::new());
    }
    let names = disk.list(&home).doing(doing)?;
    let logs = names.iter().filter_map(|name| {
        let transaction = name.to_str()?.strip_suffix(".log")?.to_owned();
        Some((disk.meta(&home.join(name)).ok().flatten().map_or(0, |m| m.mtime), transaction))
    });
    let mut logs: Vec<(i128, String)> = logs.collect();
    logs.sort();
    Ok(logs.into_iter().rev().map(|(_, transaction)| transaction).collect())
}
