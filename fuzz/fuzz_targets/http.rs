//! A request by anybody who can reach the port, and a request file by anybody who may write to its folder. What the gate hands on is
//! read the same by whoever reads it; nobody gets in without the token; and what the other side is asked for has only words of the
//! known shapes.
//!
//! The first byte says where the bytes are cut on their way in; a request follows, head and body.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pikit_updater::api::access::{self, Token};
use pikit_updater::api::asked;
use pikit_updater::api::gate::head::{self, Head};
use pikit_updater::api::route::Route;
use pikit_updater::request::Request;
use ureq::http::uri::Authority;

const HEAD_MAX: usize = 8 << 10;
const BODY_MAX: usize = 64 << 10;
const NOW: i64 = 1_790_000_000;
const ROUTES: [Route; 7] = [Route::Check, Route::Apply, Route::Rollback, Route::Repair, Route::Auto, Route::Skip, Route::Unskip];

static TOKEN: LazyLock<Token> = LazyLock::new(|| Token::make().expect("the kernel has randomness"));

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = head::end(bytes, 0, HEAD_MAX);
    let cut = usize::from(*cut).min(bytes.len());
    // how the bytes arrive changes nothing
    let in_pieces = match head::end(&bytes[..cut], 0, HEAD_MAX) {
        Ok(None) => head::end(bytes, cut, HEAD_MAX),
        done => done,
    };
    assert_eq!(whole, in_pieces);
    // a body can come without a head here: request files have none
    let mut body = bytes;
    if let Ok(Some(at)) = whole {
        assert!(at <= HEAD_MAX);
        body = &bytes[at..];
        match head::parse(&bytes[..at], BODY_MAX, ("/large", BODY_MAX)) {
            Ok(head) => passed(&head, body),
            Err(refusal) => assert!((400..=501).contains(&refusal.status) && !refusal.detail.is_empty()),
        }
    }
    for route in ROUTES {
        if let Ok(request) = asked::meant(route, body, &"0".repeat(26)) {
            granted(&request);
        }
    }
    if let Ok(request) = Request::parse(body) {
        granted(&request);
    }
    if let Ok(text) = std::str::from_utf8(body) {
        spoilt(text);
    }
});

fn passed(head: &Head, body: &[u8]) {
    assert!(head.length <= BODY_MAX);
    let written = head.hand_on(&[("X-Gate-Id", "7")]);
    assert!(written.iter().all(|b| matches!(b, b'\r' | b'\n' | b'\t' | b' '..=b'~')), "a byte of the client's came through");
    // another reader, which gets more bytes after it, sees one request, the same, and ours is the only header of its name
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut seen = httparse::Request::new(&mut fields);
    let after = [&written, body].concat();
    assert_eq!(seen.parse(&after), Ok(httparse::Status::Complete(written.len())));
    assert_eq!((seen.method, seen.path, seen.version), (Some(head.method), Some(head.target.as_str()), Some(head.minor)));
    let named = |name: &str| seen.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect::<Vec<_>>();
    assert_eq!(named("X-Gate-Id"), [b"7"]);
    let handed_on = if head.passes { 0 } else { head.length };
    assert_eq!(named("Content-Length"), [handed_on.to_string().as_bytes()]);
    assert_eq!((named("Connection"), named("Transfer-Encoding").len()), (vec![&b"close"[..]], 0));
    assert_eq!(seen.headers.len(), head.headers.len() + 3);

    let all = |name: &str| head.headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    let own = access::own_names(&["pi.example.org".into()], "raspberry");
    let host = all("Host").first().copied().unwrap_or_default();
    if access::host_is_ours(host, &own) {
        let lower = host.to_ascii_lowercase();
        let name = own.iter().any(|name| lower == *name || lower.strip_prefix(name.as_str()).is_some_and(|port| port.starts_with(':')));
        let address = lower.starts_with('[') || lower.starts_with(|c: char| c.is_ascii_digit());
        assert!(name || address, "{host:?} is none of our names");
    }
    for origin in all("Origin") {
        if access::origin_is_ours(origin, host) {
            // the same host and port, as somebody else reads them
            let (scheme, rest) = origin.split_once("://").expect("an origin has a scheme");
            let usual = if scheme == "https" { 443 } else { 80 };
            if let (Ok(theirs), Ok(ours)) = (rest.parse::<Authority>(), host.parse::<Authority>()) {
                assert!(theirs.host().eq_ignore_ascii_case(ours.host()), "{origin:?} is a stranger to {host:?}");
                assert_eq!(theirs.port_u16().unwrap_or(usual), ours.port_u16().unwrap_or(usual));
            }
        }
    }
    for given in all("Authorization").into_iter().filter_map(access::bearer) {
        assert!(!TOKEN.is(given), "a token was guessed");
    }
    for session in all("Cookie").into_iter().filter_map(access::cookie) {
        assert!(!TOKEN.opens(session, 0), "a session was guessed");
    }
    let _ = Route::of(head.target.split('?').next().unwrap_or_default());
}

/// What root will read: only words of known shapes, and the same after a trip through the file.
fn granted(request: &Request) {
    assert_eq!(request.check(), Ok(()));
    let written = serde_json::to_vec(request).expect("a request is plain data");
    assert!(written.len() <= 4 << 10, "it would be too large to be read");
    assert_eq!(Request::parse(&written).as_ref(), Ok(request));
    let words = [&request.transaction, request.backup.as_ref().unwrap_or(&request.transaction), request.mode.as_ref().unwrap_or(&request.transaction)];
    assert!(words.iter().all(|word| !word.contains('/') && !word.starts_with(['.', '-']) && word.bytes().all(|b| b.is_ascii_graphic())), "{request:?}");
}

/// A session of ours with these letters in it somewhere opens nothing; its end cannot be moved.
fn spoilt(text: &str) {
    let good = TOKEN.session(NOW + 60);
    assert!(TOKEN.opens(&good, NOW) && !TOKEN.opens(&good, NOW + 60));
    let tag = good.split_once('.').expect("it has an end and a tag").1;
    for ends in [text, &format!("{text}{}", NOW + 60), &format!("{}{text}", NOW + 60)] {
        let made = format!("{ends}.{tag}");
        assert!(made == good || !TOKEN.opens(&made, 0), "{made:?} opens");
    }
    assert!(text.is_empty() || !TOKEN.opens(&format!("{good}{text}"), NOW));
    assert!(!TOKEN.is(text) && !TOKEN.is(&format!("{}{}", TOKEN.reveal(), text)) || text.trim().is_empty());
}
