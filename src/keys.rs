//! Files that people write by hand are read strictly: a key that nobody knows is a typo, and is answered with the nearest known one.

use serde::de::DeserializeOwned;

/// Reads TOML into a type that denies unknown fields.
///
/// # Errors
/// One message with the line; an unknown key is named together with the nearest known one.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| {
        let mut message = e.message().to_owned();
        if let Some(near) = nearest_known(&message) {
            message = format!("unknown key {}; did you mean `{near}`?", message.split('`').nth(1).map(|k| format!("`{k}`")).unwrap_or_default());
        } else if let Some(rest) = message.strip_prefix("unknown field") {
            message = format!("unknown key{rest}");
        }
        match e.span() {
            Some(span) => {
                let before = &text[..span.start.min(text.len())];
                let line = before.matches('\n').count() + 1;
                format!("line {line}: {message}")
            }
            None => message,
        }
    })
}

/// In serde's "unknown field `x`, expected one of `a`, `b`": the known name nearest to the unknown one.
fn nearest_known(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    quoted
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// A basic string of TOML with this text in it, whatever the text is.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}
