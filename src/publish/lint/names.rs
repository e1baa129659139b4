//! Names and first bytes that tell what a file is.

/// What a secret looks like.
const SECRETS: &[(&str, &str)] = &[
    ("PRIVATE KEY-----", "holds a private key"),
    ("untrusted comment: minisign encrypted secret key", "holds a secret key of minisign"),
    ("untrusted comment: minisign secret key", "holds a secret key of minisign"),
    ("untrusted comment: rsign encrypted secret key", "holds a secret key of minisign"),
    ("PuTTY-User-Key-File-", "holds a private key"),
];

/// How tokens of well-known services begin, and how many characters follow.
const TOKENS: &[(&str, usize)] =
    &[("ghp_", 36), ("gho_", 36), ("github_pat_", 22), ("glpat-", 20), ("xoxb-", 20), ("xoxp-", 20), ("AKIA", 16), ("sk_live_", 16)];

/// What is wrong with a path, whatever is in the file: `Some((what, whether it is surely a secret))`.
pub fn secret_name(path: &str) -> Option<(&'static str, bool)> {
    if path.split('/').any(|part| part == ".git") {
        return Some(("is part of a git repository: its history, and perhaps its credentials, would go to every device", true));
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let sample = ["example", "sample", "template", "dist"].iter().any(|word| name.ends_with(word));
    match name.as_str() {
        ".env" => Some(("is a file of secrets by its name", true)),
        _ if name.starts_with(".env.") && !sample => Some(("is a file of secrets by its name", true)),
        ".git-credentials" | ".netrc" | "_netrc" | ".pgpass" | "id_rsa" | "id_ecdsa" | "id_ed25519" | "id_dsa" => {
            Some(("is a file of secrets by its name", true))
        }
        _ if [".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx"].iter().any(|end| name.ends_with(end)) => Some(("may hold a key, by its name", false)),
        ".npmrc" | ".pypirc" | ".htpasswd" => Some(("may hold a password or token, by its name", false)),
        _ => None,
    }
}

/// What a file holds that nobody else should have.
pub fn secret_content(first: &[u8]) -> Option<&'static str> {
    let holds = |text: &str| first.windows(text.len()).any(|w| w == text.as_bytes());
    // a library that only knows the words is no key: one stands at the start of a line, and has a line after it
    if let Some((_, what)) = SECRETS.iter().find(|(text, _)| holds(text) && is_text(first) && line_is_short(first, text)) {
        return Some(what);
    }
    (is_text(first) && TOKENS.iter().any(|(begin, length)| token(first, begin, *length))).then_some("holds what looks like an access token")
}

fn is_text(first: &[u8]) -> bool {
    !first.contains(&0)
}

/// Whether some line with the text in it is as short as the first line of a key: in scripts, such words stand among others.
fn line_is_short(first: &[u8], text: &str) -> bool {
    first.split(|b| *b == b'\n').any(|line| {
        let line = line.trim_ascii();
        line.len() <= text.len() + 64
            && line.windows(text.len()).any(|w| w == text.as_bytes())
            && (line.starts_with(b"-----BEGIN ") || line.starts_with(text.as_bytes()))
    })
}

/// A token: the begin, not in the middle of a word, and enough letters and digits after it.
fn token(first: &[u8], begin: &str, length: usize) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
    first.windows(begin.len()).enumerate().filter(|(_, w)| *w == begin.as_bytes()).any(|(at, _)| {
        let alone = at == 0 || !word(&first[at - 1]);
        alone && first[at + begin.len()..].iter().take_while(|b| word(b)).count() >= length
    })
}

/// What builders leave behind and no device needs.
pub fn leftover(path: &str) -> Option<&'static str> {
    let part = |name: &str| path.split('/').any(|p| p == name);
    let name = path.rsplit('/').next().unwrap_or(path);
    if part("node_modules") {
        Some("node_modules: what npm installed for building")
    } else if part("__pycache__") || name.ends_with(".pyc") {
        Some("what Python keeps for itself, of another machine")
    } else if part(".cache") || part(".parcel-cache") || part(".pytest_cache") {
        Some("a cache")
    } else if name == ".DS_Store" || name == "Thumbs.db" || name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".orig") {
        Some("what an editor or a file manager left behind")
    } else {
        None
    }
}

/// A program that has to be executable to be of use: what kind.
pub fn program(path: &str, first: &[u8]) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let library = name.ends_with(".so") || name.contains(".so.") || name.ends_with(".o") || name.ends_with(".a") || name.ends_with(".ko");
    if first.starts_with(b"#!") {
        // Rust's inner attributes begin alike
        (!first.starts_with(b"#![")).then_some("a script")
    } else {
        (first.starts_with(b"\x7fELF") && !library).then_some("a program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for (path, sure) in
            [(".git/config", true), ("web/.env", true), ("web/.env.production", true), ("id_ed25519", true), ("web/tls.key", false), (".npmrc", false)]
        {
            assert_eq!(secret_name(path).map(|(_, sure)| sure), Some(sure), "{path}");
        }
        for path in ["web/.env.example", "web/keyboard.js", "web/.github/x", "web/git", "a.keys", "web/monkey"] {
            assert_eq!(secret_name(path), None, "{path}");
        }
    }

    #[test]
    fn secrets_are_known_by_what_they_hold() {
        // written in pieces: this file is no key
        let pem = ["-----BEGIN OPENSSH PRIVATE ", "KEY-----\nAAAA\n"].concat();
        let minisign = ["untrusted comment: minisign encrypted ", "secret key\nRWR\n"].concat();
        let token = ["x = \"gh", "p_", &"a1".repeat(18), "\""].concat();
        for held in [pem.as_str(), &minisign, &token] {
            assert!(secret_content(held.as_bytes()).is_some(), "{held}");
        }
        let library = [
            "if (text.includes(\"-----BEGIN RSA PRIVATE ",
            "KEY-----\")) { decode(text, /a-long-line-of-code/, \"and so on and so on and so on and so on\"); }",
        ]
        .concat();
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n";
        for held in [library.as_str(), public, "ghp_short", "xghp_", "untrusted comment: minisign public key"] {
            assert_eq!(secret_content(held.as_bytes()), None, "{held}");
        }
    }

    #[test]
    fn programs_are_known_by_their_first_bytes() {
        let table: [(&str, &[u8], Option<&str>); 6] = [
            ("bin/a", b"#!/bin/sh\n", Some("a script")),
            ("bin/a", b"\x7fELF\x02", Some("a program")),
            ("lib/a.so.1", b"\x7fELF\x02", None),
            ("a.rs", b"#![allow(x)]", None),
            ("a.css", b"# !", None),
            ("empty", b"", None),
        ];
        for (path, first, kind) in table {
            assert_eq!(program(path, first), kind, "{path}");
        }
    }
}
