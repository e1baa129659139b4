//! The page and its parts, embedded. They are the files of `web/`, as they are.

use sha2::{Digest as _, Sha256};

use super::reply::Reply;

/// What the page may do: load from here, talk to here, and nothing else.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'self'; require-trusted-types-for 'script'";

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $name)))),*] };
}

/// Name and text.
pub const FILES: &[(&str, &str)] = files!["index.html", "page.css", "pikit-update.js", "api.js", "state.js", "view.js", "markdown.js", "style.js"];

/// The file of this name; `known` is the `If-None-Match` of who has it already.
pub fn file(name: &str, known: Option<&str>) -> Option<Reply> {
    let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "application/octet-stream",
    };
    let digest = Sha256::digest(text.as_bytes());
    let tag = format!("\"{}\"", digest.iter().take(12).map(|b| format!("{b:02x}")).collect::<String>());
    let reply = match known {
        Some(known) if known.split(',').any(|k| k.trim().trim_start_matches("W/") == tag) => Reply::not_modified(),
        _ => Reply::text(200, kind, (*text).to_owned()),
    };
    // asked for each time, sent when it changed: a page and its parts are always of one version
    Some(reply.with("ETag", tag).with("Cache-Control", "no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let here = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap();
        let mut here: Vec<String> = here.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let mut embedded: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        here.sort();
        embedded.sort();
        assert_eq!(here, embedded);
    }
}
