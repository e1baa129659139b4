//! What the gate itself answers: problems in JSON (RFC 9457), one line of why each. The inner server hears nothing of them.

use serde_json::json;

use crate::error::Code;

/// Why a request does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What was wrong, or what to do.
    pub detail: &'static str,
}

/// Methods that the gate lets through; which of them a path knows is for the routes to say.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Refusal {
    /// A refusal with its reason.
    pub const fn new(status: u16, detail: &'static str) -> Self {
        Refusal { status, detail }
    }

    /// The whole answer. `bare`: without the body, because it was HEAD that asked.
    pub fn answer(self, bare: bool) -> Vec<u8> {
        let code = match self.status {
            503 => Code::Busy,
            500.. => Code::Unexpected,
            _ => Code::Usage,
        };
        let title = title(self.status);
        let body = json!({ "type": "about:blank", "title": title, "status": self.status, "detail": self.detail, "code": code as u8 }).to_string();
        let extra = match self.status {
            405 => format!("Allow: {}\r\n", METHODS.join(", ")),
            503 => "Retry-After: 1\r\n".to_owned(),
            _ => String::new(),
        };
        let head = format!(
            "HTTP/1.1 {} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{extra}Connection: close\r\n\r\n",
            self.status,
            body.len()
        );
        [head.as_bytes(), if bare { b"" } else { body.as_bytes() }].concat()
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_whole_answer_in_json() {
        let text = String::from_utf8(Refusal::new(503, "try again").answer(false)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && head.contains("Retry-After: 1"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((value["status"].as_u64(), value["code"].as_u64(), value["detail"].as_str()), (Some(503), Some(8), Some("try again")));
        assert!(Refusal::new(405, "").answer(true).ends_with(b"\r\n\r\n"));
    }
}
