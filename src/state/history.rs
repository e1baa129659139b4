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
    let bytes = bytes(disk, layout)?;
    Ok(lines(&bytes).filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn bytes(disk: &dyn Disk, layout: &Layout) -> Result<Vec<u8>> {
    let path = layout.history();
    Ok(durable::read(disk, &path, SIZE_MAX).doing(|| format!("reading {}", path.display()))?.unwrap_or_default())
}

fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// How long services were away the last time something was confirmed, seconds: what people are told to expect. What cannot be read is
/// not known.
pub fn expected_offline(disk: &dyn Disk, layout: &Layout) -> Option<f64> {
    let away = |r: &Row| (r.result.outcome == Outcome::Confirmed && r.result.offline_seconds > 0.0).then_some(r.result.offline_seconds);
    load(disk, layout).unwrap_or_default().iter().rev().find_map(away)
}

/// Adds a row, unless its transaction has one: recovery may say it twice. The others stay as they were written, with what a newer updater
/// knew of them.
///
/// # Errors
/// The file cannot be written.
pub fn add(disk: &dyn Disk, layout: &Layout, row: &Row) -> Result<()> {
    #[derive(Deserialize)]
    struct Peek {
        transaction: String,
    }
    let before = match bytes(disk, layout) {
        Ok(bytes) => bytes,
        // a blemish on the card in here must not keep a healthy release from being confirmed
        Err(e) => {
            let path = layout.history();
            disk.rename(&path, &path.with_extension("jsonl.unreadable"), false).map_err(|_| e)?;
            Vec::new()
        }
    };
    // one that is no row at all was torn by a power cut
    let rows: Vec<(&[u8], Peek)> = lines(&before).filter_map(|line| Some((line, serde_json::from_slice(line).ok()?))).collect();
    if rows.iter().rev().take(8).any(|(_, peek)| peek.transaction == row.result.transaction) {
        return Ok(());
    }
    let mut text = Vec::new();
    for (line, _) in &rows[(rows.len() + 1).saturating_sub(ROWS_MAX)..] {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend(serde_json::to_vec(row).expect("a row is plain data"));
    text.push(b'\n');
    super::status::save(disk, layout, &layout.history(), &text)
}
