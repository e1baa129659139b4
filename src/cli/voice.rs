//! How we speak: results to stdout, messages to stderr, one JSON object on one line when asked for. A reader that goes away (`| head`)
//! never stops a running update, and nothing that a release says reaches a terminal as anything but text.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{Globals, When};
use crate::error::Error;

/// How one command speaks.
#[derive(Debug, Clone)]
pub struct Voice {
    /// JSON instead of words.
    pub json: bool,
    /// No messages.
    pub quiet: bool,
    /// Everything.
    pub verbose: bool,
    /// Never ask.
    pub no_input: bool,
    /// stderr is a terminal on which a line can be redrawn.
    pub redraws: bool,
    colour_out: bool,
    colour_err: bool,
}

/// What a word is about; colours only ever repeat what the word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Well.
    Good,
    /// Worth attention.
    Odd,
    /// Wrong.
    Bad,
    /// Important.
    Strong,
    /// Less important.
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        }
    }
}

impl Voice {
    /// As the options and the streams ask for.
    pub fn new(globals: &Globals) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let coloured = |terminal: bool| match globals.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !plain,
        };
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Voice {
            json: globals.json,
            quiet: globals.quiet,
            verbose: globals.verbose,
            no_input: globals.no_input || globals.json,
            redraws: err && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
            colour_out: coloured(out),
            colour_err: coloured(err),
        }
    }
    /// A result.
    pub fn result(&self, text: &str) {
        write_to(io::stdout().lock(), text);
    }
    /// A message.
    pub fn message(&self, text: &str) {
        if !self.quiet && !self.json {
            write_to(io::stderr().lock(), text);
        }
    }
    /// A message while a line of progress may stand there: it is taken away first.
    pub fn over_progress(&self, text: &str) {
        if !self.quiet && !self.json {
            let clear = if self.redraws { "\r\x1b[K" } else { "" };
            write_to(io::stderr().lock(), &format!("{clear}{text}"));
        }
    }
    /// How something ended that did not end as wished: said also when messages are not wanted.
    pub fn failure(&self, text: &str) {
        write_to(io::stderr().lock(), text);
    }
    /// The result as JSON: the value's keys, with `schema` and `ok` before them.
    pub fn json(&self, ok: bool, value: &impl Serialize) {
        json_line(&with_ok(ok, value));
    }
    /// An error: two lines on stderr, or one object on stdout.
    pub fn error(&self, error: &Error) {
        if self.json {
            return json_line(&error_json(error));
        }
        let mut text = format!("{} {}", self.paint_err("error:", Tone::Bad), clean(&error.message()));
        if let Some(hint) = &error.hint {
            text.push_str(&format!("\n{} {}", self.paint_err("hint:", Tone::Faint), clean(hint)));
        }
        write_to(io::stderr().lock(), &text);
    }
    /// A word for stdout.
    pub fn paint(&self, word: &str, tone: Tone) -> String {
        painted(word, tone, self.colour_out)
    }
    /// A word for stderr.
    pub fn paint_err(&self, word: &str, tone: Tone) -> String {
        painted(word, tone, self.colour_err)
    }
    /// The same voice for texts that go to stderr.
    pub fn on_stderr(&self) -> Voice {
        Voice { colour_out: self.colour_err, ..self.clone() }
    }
}

fn painted(word: &str, tone: Tone, coloured: bool) -> String {
    if coloured { format!("\x1b[{}m{word}\x1b[0m", tone.code()) } else { word.to_owned() }
}

/// Whole lines; a stream that is gone is no reason to stop.
fn write_to(mut stream: impl Write, text: &str) {
    let mut text = text.to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// One object on one line.
pub fn json_line(value: &Value) {
    write_to(io::stdout().lock(), &value.to_string());
}

/// `{"schema":1,"ok":…}` and the value's own keys.
pub fn with_ok(ok: bool, value: &impl Serialize) -> Value {
    let mut all = Map::from_iter([("schema".to_owned(), json!(1)), ("ok".to_owned(), json!(ok))]);
    match serde_json::to_value(value).expect("results are plain data") {
        Value::Object(keys) => all.extend(keys),
        Value::Null => {}
        other => {
            all.insert("value".into(), other);
        }
    }
    Value::Object(all)
}

/// The contract's error object.
pub fn error_json(error: &Error) -> Value {
    json!({"schema": 1, "ok": false, "error": {
        "code": error.code as u8, "kind": error.code, "phase": error.phase, "message": error.message(), "hint": error.hint,
    }})
}

/// Text of a stranger without anything a terminal would obey: control characters go, and so do marks that turn the direction of
/// writing around. Tabs and line ends become spaces.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    let visible = |c: char| match c {
        '\t' | '\n' | '\r' => Some(' '),
        c if is_active(c) => None,
        c => Some(c),
    };
    Cow::Owned(text.chars().filter_map(visible).collect())
}

/// [`clean`], line by line.
pub fn clean_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.lines().map(clean)
}

fn is_active(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_said() {
        assert_eq!(clean("plain ünïcode"), "plain ünïcode");
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\u{202e}d\te\nf"), "a[2Jbcd e f");
        assert_eq!(clean_lines("one\x07\r\ntwo").collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_result_has_its_keys_at_the_top() {
        assert_eq!(with_ok(true, &json!({"version": "1.0.0"})), json!({"schema": 1, "ok": true, "version": "1.0.0"}));
    }
}
