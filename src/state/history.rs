//! `history.jsonl`: one line a transaction, oldest first, rotated by count.

use serde::{Deserialize, Serialize};

use super::status::LastResult;
use crate::device::Layout;
use crate::error::{Doing, Result};
use crate::event::Outcome;
use crate::world::{Disk, durable};

/// Rows kept.
const ROWS_MAX: usize = 500;
/// Largest file that is read, bytes.
const SIZE_MAX: u64 = 16 << 20;

/// One transaction as history tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// How it ended.
    #[serde(flatten)]
    pub result: LastResult,
    /// Bytes fetched from the source.
    #[serde(default)]
    pub bytes_fetched: u64,
    /// Bytes written under managed paths.
    #[serde(default)]
    pub bytes_written: u64,
}

/// All rows that can be read, oldest first. A torn last line (power cut) and rows of other shapes are passed over.
///
/// # Errors
/// The file cannot be read.
pub fn load(disk: &dyn Disk, layout: &Layout) -> Result<Vec<Row>> {
    let path = layout.history();
    let bytes = durable::read(disk, &path, SIZE_MAX).doing(|| format!("reading {}", path.display()))?.unwrap_or_default();
    Ok(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// How long services were away the last time something was confirmed, seconds: what people are told to expect. What cannot be read is
/// not known.
pub fn expected_offline(disk: &dyn Disk, layout: &Layout) -> Option<f64> {
    let away = |r: &Row| (r.result.outcome == Outcome::Confirmed && r.result.offline_seconds > 0.0).then_some(r.result.offline_seconds);
    load(disk, layout).unwrap_or_default().iter().rev().find_map(away)
}

/// Adds a row, unless its transaction has one: recovery may say it twice.
///
/// # Errors
/// The file cannot be written.
pub fn add(disk: &dyn Disk, layout: &Layout, row: &Row) -> Result<()> {
    let mut rows = match load(disk, layout) {
        Ok(rows) => rows,
        // a blemish on the card in here must not keep a healthy release from being confirmed
        Err(e) => {
            let path = layout.history();
            disk.rename(&path, &path.with_extension("jsonl.unreadable"), false).map_err(|_| e)?;
            Vec::new()
        }
    };
    if rows.iter().rev().take(8).any(|r| r.result.transaction == row.result.transaction) {
        return Ok(());
    }
    rows.push(row.clone());
    let from = rows.len().saturating_sub(ROWS_MAX);
    let mut text = String::new();
    for row in &rows[from..] {
        text.push_str(&serde_json::to_string(row).expect("a row is plain data"));
        text.push('\n');
    }
    super::status::save(disk, layout, &layout.history(), text.as_bytes())
}
