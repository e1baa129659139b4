//! The event stream for whoever watches: one line redrawn on a terminal, plain lines elsewhere, NDJSON for programs.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::voice::{Tone, Voice, clean, json_line};
use crate::event::{Event, Phase, Sink};
use crate::quantity;

/// How often the line is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Shows events.
pub struct Progress<'v> {
    voice: &'v Voice,
    phase: Option<Phase>,
    words: String,
    bytes: (u64, u64),
    began: Instant,
    began_at: u64,
    drawn: Option<Instant>,
    on_line: bool,
    quarter: u64,
}

impl<'v> Progress<'v> {
    /// Nothing yet.
    pub fn new(voice: &'v Voice) -> Self {
        Progress { voice, phase: None, words: String::new(), bytes: (0, 0), began: Instant::now(), began_at: 0, drawn: None, on_line: false, quarter: 0 }
    }
    /// Takes the line away, so that something else can be said.
    pub fn clear(&mut self) {
        if self.on_line {
            let _ = io::stderr().write_all(b"\r\x1b[K");
            self.on_line = false;
        }
    }
    fn say(&mut self, text: &str) {
        self.clear();
        self.voice.message(text);
    }
    fn draw(&mut self) {
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col)).max(20);
        let moving =
            Line { words: &self.words, done: self.bytes.0, total: self.bytes.1, since: self.bytes.0.saturating_sub(self.began_at), time: self.began.elapsed() };
        let line = moving.fit(width - 1);
        let _ = io::stderr().write_all(format!("\r\x1b[K{line}").as_bytes());
        self.on_line = true;
        self.drawn = Some(Instant::now());
    }
    fn moved(&mut self, phase: Phase, done: u64, total: u64) {
        if self.phase != Some(phase) || done < self.bytes.0 || self.bytes == (0, 0) {
            self.phase = Some(phase);
            self.began = Instant::now();
            self.began_at = done;
            self.quarter = (done * 4).checked_div(total).unwrap_or(0);
        }
        self.bytes = (done, total);
        if self.voice.redraws {
            if self.drawn.is_none_or(|at| at.elapsed() >= REDRAW) || (done == total && total > 0) {
                self.draw();
            }
        } else if let Some(quarter) = (done * 4).checked_div(total).filter(|q| *q > self.quarter) {
            self.quarter = quarter;
            self.voice.message(&format!("  {} %: {} of {}", quarter * 25, quantity::bytes(done), quantity::bytes(total)));
        }
    }
}

impl Sink for Progress<'_> {
    fn event(&mut self, event: &Event) {
        if self.voice.json {
            return json_line(&serde_json::to_value(event).expect("an event is plain data"));
        }
        if self.voice.quiet {
            return;
        }
        match event {
            Event::Begun { transaction } => {
                if self.voice.verbose {
                    self.say(&format!("transaction {transaction}"));
                }
            }
            Event::Phase { phase, message } => {
                self.phase = Some(*phase);
                self.bytes = (0, 0);
                self.words = sentence(&clean(message));
                if self.voice.redraws {
                    self.draw();
                } else {
                    self.say(&format!("{} …", self.words.clone()));
                }
            }
            Event::Progress { phase, bytes_done, bytes_total } => self.moved(*phase, *bytes_done, *bytes_total),
            // the outcome is a result, and is rendered as one
            Event::Note { message } if is_outcome(message) => {}
            Event::Note { message } => self.say(&clean(message)),
            Event::Warning { message } => {
                let text = format!("{} {}", self.voice.paint_err("warning:", Tone::Odd), clean(message));
                self.say(&text);
            }
        }
        if self.voice.redraws && !self.on_line && self.phase.is_some() && matches!(event, Event::Note { .. } | Event::Warning { .. }) {
            self.draw();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What is known when the line is drawn.
struct Line<'a> {
    words: &'a str,
    done: u64,
    total: u64,
    since: u64,
    time: Duration,
}

impl Line<'_> {
    /// The line in at most so many columns: the words, then as much of the numbers as there is room for, then a bar in what is left.
    fn fit(&self, width: usize) -> String {
        let mut line: String = self.words.chars().take(width).collect();
        if self.done == 0 && self.total == 0 {
            return line;
        }
        let mut parts =
            vec![if self.total > 0 { format!("{} of {}", quantity::bytes(self.done), quantity::bytes(self.total)) } else { quantity::bytes(self.done) }];
        let speed = self.since as f64 / self.time.as_secs_f64().max(0.001);
        if self.time > Duration::from_millis(700) && speed >= 1.0 {
            parts.push(format!("{}/s", quantity::bytes(speed as u64)));
            if self.total > self.done {
                parts.push(format!("{} left", quantity::seconds((self.total - self.done) as f64 / speed)));
            }
        }
        let room = |line: &str| width.saturating_sub(line.chars().count());
        let bar = 12;
        if self.total > 0 && room(&line) >= bar + 2 + parts[0].chars().count() + 2 {
            let full = (self.done.min(self.total) as u128 * (bar as u128 - 2) / self.total as u128) as usize;
            line.push_str(&format!("  [{}{}]", "#".repeat(full), " ".repeat(bar - 2 - full)));
        }
        for part in parts {
            if room(&line) < part.chars().count() + 2 {
                break;
            }
            line.push_str("  ");
            line.push_str(&part);
        }
        line
    }
}

fn is_outcome(message: &str) -> bool {
    use crate::event::Outcome::{Cancelled, Confirmed, Failed, Refused, RolledBack};
    let outcome = message.split(": ").next().unwrap_or_default();
    [Confirmed, RolledBack, Refused, Failed, Cancelled].iter().any(|o| o.name() == outcome)
}

/// Messages begin lower-case; a line on its own does not.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_every_terminal() {
        let line = Line { words: "Fetching 1.4.0", done: 1_500_000, total: 3_000_000, since: 1_500_000, time: Duration::from_secs(3) };
        assert_eq!(line.fit(79), "Fetching 1.4.0  [#####     ]  1.5 MB of 3.0 MB  500.0 kB/s  3.0 s left");
        for width in 1..100 {
            assert!(line.fit(width).chars().count() <= width, "{width}");
        }
        assert!(!line.fit(30).contains('['));
        let unknown = Line { total: 0, ..line };
        assert_eq!(unknown.fit(79), "Fetching 1.4.0  1.5 MB  500.0 kB/s");
    }
}
