//! An answer to a request, and how it is written. One connection, one answer: keeping connections open is the business of whatever
//! stands in front.

use std::io::{self, Cursor, Read, Write};

use serde_json::{Value, json};
use tiny_http::{Method, Request, StatusCode};

use crate::error::{Code, Error};

/// An answer.
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Box<dyn Read>,
    length: u64,
}

impl Reply {
    /// An answer with a body of known length.
    pub fn new(status: u16, kind: &str, body: impl Read + 'static, length: u64) -> Self {
        Reply { status, headers: vec![("Content-Type", kind.to_owned())], body: Box::new(body), length }
    }
    /// An answer in words.
    pub fn text(status: u16, kind: &str, text: String) -> Self {
        let length = text.len() as u64;
        Reply::new(status, kind, Cursor::new(text), length)
    }
    /// An answer in JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        Reply::text(status, "application/json", value.to_string())
    }
    /// Done, and nothing to say.
    pub fn empty() -> Self {
        Reply { status: 204, headers: Vec::new(), body: Box::new(io::empty()), length: 0 }
    }
    /// The reader has it already.
    pub fn not_modified() -> Self {
        Reply { status: 304, ..Reply::empty() }
    }
    /// What is wrong, as RFC 9457 has it.
    pub fn problem(status: u16, detail: impl Into<String>) -> Self {
        let title = StatusCode(status).default_reason_phrase();
        let code = match status {
            401 | 403 => Code::Permission,
            409 | 429 | 503 => Code::Busy,
            500.. => Code::Unexpected,
            _ => Code::Usage,
        };
        let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail.into(), "code": code as u8});
        Reply::text(status, "application/problem+json", body.to_string())
    }
    /// An error of ours, with the exit code that the command would have had.
    pub fn error(error: &Error) -> Self {
        let status = match error.code {
            Code::Usage | Code::Verification | Code::Refused => 422,
            Code::Busy => 409,
            Code::Source => 503,
            Code::Unexpected | Code::RolledBack | Code::Stuck | Code::Permission | Code::Cancelled => 500,
        };
        Reply::trouble(status, error.code as u8, error.phase.map(|p| p.name()), &error.message(), error.hint.as_deref())
    }
    /// An error as its parts.
    pub fn trouble(status: u16, code: u8, phase: Option<&str>, detail: &str, hint: Option<&str>) -> Self {
        let title = StatusCode(status).default_reason_phrase();
        let mut body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code});
        if let Some(phase) = phase {
            body["phase"] = json!(phase);
        }
        if let Some(hint) = hint {
            body["hint"] = json!(hint);
        }
        let reply = Reply::text(status, "application/problem+json", body.to_string());
        if status == 503 { reply.with("Retry-After", "30") } else { reply }
    }
    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// The reader went away.
    pub fn send(mut self, request: Request) -> io::Result<()> {
        let bare = *request.method() == Method::Head;
        let mut out = io::BufWriter::new(request.into_writer());
        head(&mut out, self.status, &self.headers)?;
        if ![204, 304].contains(&self.status) {
            write!(out, "Content-Length: {}\r\n", self.length)?;
        }
        write!(out, "Connection: close\r\n\r\n")?;
        if !bare {
            io::copy(&mut self.body, &mut out)?;
        }
        out.flush()
    }
}

/// Status line and headers; what follows is the caller's affair.
///
/// # Errors
/// The reader went away.
pub fn head(out: &mut dyn Write, status: u16, headers: &[(&'static str, String)]) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status} {}\r\n", StatusCode(status).default_reason_phrase())?;
    for (name, value) in headers {
        // no value of ours has a line end in it; one that had would be a header of somebody else's making
        debug_assert!(!value.contains(['\r', '\n']), "{name}");
        write!(out, "{name}: {value}\r\n")?;
    }
    Ok(())
}

/// Value of a request's header.
pub fn header<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.as_str())
}
