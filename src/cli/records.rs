//! What is remembered: backups, history, logs.

use std::fmt::Write as _;

use serde_json::json;

use super::args::Globals;
use super::board::Board;
use super::status_view::{self, when};
use super::voice::{Tone, Voice, clean, json_line, with_ok};
use crate::error::{Doing, Error, Result};
use crate::event::Outcome;
use crate::quantity::{bytes, seconds};
use crate::state::{Row, history, log};
use crate::update::backup;
use crate::update::settle::name_of;
use crate::world::{Clock, durable};

/// `rollback --list`.
///
/// # Errors
/// The folder cannot be read.
pub fn backups(globals: &Globals, voice: &Voice) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let lines: Vec<_> = backup::list(&board.disk, &board.settings.layout)?.iter().map(backup::Backup::line).collect();
    if voice.json {
        json_line(&with_ok(true, &json!({"backups": lines})));
    } else if lines.is_empty() {
        voice.result("there is no backup yet: the first update that replaces something makes one");
    } else {
        let rows = lines.iter().map(|b| [b.name.clone(), name_of(&b.version), when(b.at, board.clock.now()), bytes(b.bytes)]);
        voice.result(&table(voice, ["backup", "returns to", "made", "holds"], rows));
    }
    Ok(0)
}

/// `history`.
///
/// # Errors
/// It cannot be read; there is no such transaction.
pub fn show_history(globals: &Globals, voice: &Voice, id: Option<&str>) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let rows = history::load(&board.disk, &board.settings.layout)?;
    if let Some(id) = id {
        let row = only(rows.iter().filter(|r| r.result.transaction.starts_with(id)), id)?;
        if voice.json {
            voice.json(true, row)
        } else {
            voice.result(&details(voice, row, board.clock.now()))
        }
        return Ok(0);
    }
    let newest_first: Vec<&Row> = rows.iter().rev().collect();
    if voice.json {
        json_line(&with_ok(true, &json!({"history": newest_first})));
    } else if newest_first.is_empty() {
        voice.result("nothing has happened yet");
    } else {
        let rows = newest_first.iter().map(|r| {
            let result = &r.result;
            let id: String = result.transaction.chars().take(8).collect();
            let what = format!("{} {} to {}", result.action.name(), name_of(&result.from), name_of(&result.to));
            [id, when(result.at, board.clock.now()), result.outcome.name().to_owned(), what]
        });
        voice.result(&table(voice, ["id", "when", "outcome", "what"], rows));
    }
    Ok(0)
}

fn details(voice: &Voice, row: &Row, now: chrono::DateTime<chrono::Utc>) -> String {
    let result = &row.result;
    let mut out = format!("{}\n", status_view::last(voice, result, now));
    let _ = writeln!(out, "transaction {}, exit code {}", clean(&result.transaction), result.code);
    let offline = if result.offline_seconds > 0.0 { format!(", {} offline", seconds(result.offline_seconds)) } else { String::new() };
    let _ = writeln!(out, "{} fetched, {} written{offline}", bytes(row.bytes_fetched), bytes(row.bytes_written));
    if result.outcome != Outcome::Refused {
        let _ = writeln!(out, "`pikit-updater log {}` shows what happened", clean(&result.transaction));
    }
    out
}

/// `log`.
///
/// # Errors
/// There is none, or none of that id.
pub fn show_log(globals: &Globals, voice: &Voice, id: Option<&str>) -> Result<u8> {
    let board = Board::to_look(globals)?;
    let logs = log::transactions(&board.disk, &board.settings.layout)?;
    let transaction = match id {
        Some(id) => only(logs.iter().filter(|t| t.starts_with(id)), id)?,
        None => logs.first().ok_or_else(|| Error::refused("there is no log yet").hint("every update writes one"))?,
    };
    let path = board.settings.layout.log(transaction);
    let bytes = durable::read(&board.disk, &path, log::SIZE_MAX).doing(|| format!("reading {}", path.display()))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    if voice.json {
        json_line(&with_ok(true, &json!({"transaction": transaction, "lines": text.lines().collect::<Vec<_>>()})));
    } else {
        voice.message(&voice.paint_err(&format!("transaction {transaction}"), Tone::Faint));
        voice.result(&super::voice::clean_lines(&text).map(|l| format!("{l}\n")).collect::<String>());
    }
    Ok(0)
}

/// The one that an id, or its beginning, means.
fn only<T>(mut found: impl Iterator<Item = T>, id: &str) -> Result<T> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::usage(format!("there is no transaction {id}")).hint("`pikit-updater history` lists them")),
        (Some(_), Some(_)) => Err(Error::usage(format!("more than one transaction begins with {id}")).hint("give more of its id")),
    }
}

/// Columns as wide as they need to be; the last one ends where it ends.
fn table<const N: usize>(voice: &Voice, head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| clean(&cell).into_owned())).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([head[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut out = format!("{}\n", voice.paint(&line(&head.map(str::to_owned)), Tone::Faint));
    for row in &rows {
        out.push_str(&line(row));
        out.push('\n');
    }
    out
}
