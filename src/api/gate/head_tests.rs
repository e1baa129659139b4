use proptest::prelude::*;

use super::*;

/// What becomes of these bytes: the head, or the status they are refused with; 0: it waits for more.
fn judge(text: impl AsRef<[u8]>) -> Result<Head, u16> {
    let bytes = text.as_ref();
    match end(bytes, 0, 8192) {
        Err(refusal) => Err(refusal.status),
        Ok(None) => Err(0),
        Ok(Some(at)) => parse(&bytes[..at], 65536, ("/large", 1 << 30)).map_err(|r| r.status),
    }
}

fn with(header: &str) -> Result<Head, u16> {
    judge(format!("POST /x HTTP/1.1\r\nHost: pi\r\n{header}\r\n\r\n"))
}

#[test]
fn what_a_browser_sends_passes() {
    let head =
        judge("GET /api/update/status?x=%20 HTTP/1.1\r\nHost: pi.local:8080\r\nCookie: a=b\r\nUpgrade-Insecure-Requests: 1\r\nAccept: */*\r\n\r\n").unwrap();
    assert_eq!((head.method, head.target.as_str(), head.minor, head.length, head.expects), ("GET", "/api/update/status?x=%20", 1, 0, false));
    assert_eq!(head.headers, [("Host", "pi.local:8080".into()), ("Cookie", "a=b".into()), ("Accept", "*/*".into())]);
    for good in ["Host: [::1]:80", "host:pi", "HOST: 192.168.0.9 "] {
        assert!(judge(format!("GET / HTTP/1.1\r\n{good}\r\n\r\n")).is_ok(), "{good}");
    }
    assert!(judge("GET / HTTP/1.0\r\n\r\n").is_ok());
    assert_eq!(with("Content-Length: 65536").unwrap().length, 65536);
    assert!(with("Expect: 100-Continue\r\nContent-Length: 1").unwrap().expects);
}

#[test]
fn what_is_handed_on_is_ours_to_the_last_byte() {
    let head = with("X-Gate-Peer: unix\r\nConnection: keep-alive\r\nUpgrade: h2c\r\nCookie: n=\u{e9}\r\nContent-Length: 3\r\nAccept:").unwrap();
    let text = String::from_utf8(head.hand_on(&[("X-Gate-Peer", "tcp")])).unwrap();
    assert_eq!(text, "POST /x HTTP/1.1\r\nHost: pi\r\nCookie: n=??\r\nX-Gate-Peer: tcp\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

#[test]
fn whatever_could_be_read_in_two_ways_is_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\nHost: pi\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\rX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : pi\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: pi\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\r\n: empty\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi\r\nHost: pi\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi, evil\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: pi@evil\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("GET / HTTP/1.1 x\r\nHost: pi\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n", 400),
        ("GET / HTTP/1.2\r\n", 400),
        ("GET / http/1.1\r\n", 400),
        ("GET /\r\n", 400),
        ("\r\nGET / HTTP/1.1\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("GET http://pi/ HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("CONNECT pi:80 HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
        ("BREW / HTTP/1.1\r\nHost: pi\r\n\r\n", 405),
        ("get / HTTP/1.1\r\nHost: pi\r\n\r\n", 405),
        ("G(T / HTTP/1.1\r\nHost: pi\r\n\r\n", 400),
    ] {
        assert_eq!(judge(text), Err(status), "{text:?}");
    }
    for (header, status) in [
        ("Transfer-Encoding: chunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding:\tchunked\r\nContent-Length: 3", 501),
        ("transfer-encoding: x", 501),
        ("Transfer-Encoding : chunked", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\ncontent-length: 6", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 40x", 400),
        ("Content-Length: 0x10", 400),
        ("Content-Length: 1 1", 400),
        ("Content-Length:", 400),
        ("Content-Length: \u{0665}", 400),
        ("Content-Length: 65537", 413),
        ("Content-Length: 68719476736", 413),
        ("Content-Length: 99999999999999999999999999", 413),
        ("Origin: a\r\nOrigin: b", 400),
        ("Authorization: a\r\nauthorization: b", 400),
        ("Expect: 200-maybe", 417),
        ("Expect: 100-continue\r\nExpect: 100-continue", 417),
    ] {
        assert_eq!(with(header).map(|h| h.length), Err(status), "{header:?}");
    }
}

#[test]
fn what_is_too_much_is_refused_by_its_kind() {
    assert_eq!(judge([b'a'; 8192]), Err(414));
    assert_eq!(judge([b'a'; 8191]), Err(0));
    assert_eq!(judge(format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(9000))), Err(431));
    assert_eq!(judge(format!("GET / HTTP/1.1\r\nHost: pi\r\n{}\r\n", "a: b\r\n".repeat(64))), Err(431));
    assert!(judge(format!("GET / HTTP/1.1\r\nHost: pi\r\n{}\r\n", "a: b\r\n".repeat(63))).is_ok());
}

proptest! {
    #[test]
    fn looking_piece_by_piece_finds_the_same_end(text in "(GET /a HTTP/1.1\r\n|a: b\r\n|\r\n|\n|x|\r){0,8}", cut in 0..60usize) {
        let bytes = text.as_bytes();
        let cut = cut.min(bytes.len());
        let at_once = end(bytes, 0, 64);
        match end(&bytes[..cut], 0, 64) {
            Ok(None) => prop_assert_eq!(end(bytes, cut, 64), at_once),
            early => prop_assert_eq!(early, at_once),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = judge(bytes);
    }

    /// Built of the pieces that attackers use. Whatever passes is read back, by the strict reader and by a simple one, as the same request.
    #[test]
    fn what_passes_means_one_thing(
        line in "(GET|POST|HEAD|X) (/|/a\\?b|//x|/%00|http://h/|\\*)( |  )HTTP/1\\.[019]",
        fields in proptest::collection::vec("(Host|host|Content-Length|content-length|Content-Length |Transfer-Encoding|Cookie|X-Gate-Id)(:|: |:\t| :)(pi|5|5, 5|\\+5|chunked|0| |\u{e9}|a\rb|a\nb|a\0)(\r\n|\n|\r|\r\n )", 0..5),
    ) {
        let text = format!("{line}\r\nHost: pi\r\n{}\r\n", fields.concat());
        if let Ok(head) = judge(&text) {
            let count = |name: &str| text.lines().filter(|l| l.to_ascii_lowercase().starts_with(name)).count();
            prop_assert!(count("host") == 1 && count("content-length") <= 1 && count("transfer-encoding") == 0, "{text:?}");
            let written = String::from_utf8(head.hand_on(&[("X-Gate-Id", "1")])).unwrap();
            prop_assert!(written.is_ascii() && written.matches("\r\n\r\n").count() == 1 && written.matches("X-Gate-Id").count() == 1, "{written:?}");
            prop_assert!(written.lines().skip(1).take_while(|l| !l.is_empty()).all(|l| l.contains(": ")), "{written:?}");
            let again = judge(&written).unwrap();
            prop_assert_eq!((again.method, &again.target, again.length), (head.method, &head.target, head.length));
        }
    }
}

#[test]
fn a_large_body_is_for_one_path_and_passes_by() {
    let post = |path: &str, length: u64| judge(format!("POST {path} HTTP/1.1\r\nHost: pi\r\nContent-Length: {length}\r\n\r\n"));
    let head = post("/large?x", 1 << 30).unwrap();
    assert!(head.passes && head.length == 1 << 30 && String::from_utf8(head.hand_on(&[])).unwrap().contains("Content-Length: 0\r\n"));
    assert!(post("/large", 0).unwrap().passes && !post("/x", 10).unwrap().passes);
    for (path, length) in [("/large", (1 << 30) + 1), ("/larger", 1 << 20), ("/large/", 1 << 20), ("/x", 65537)] {
        assert_eq!(post(path, length), Err(413), "{path}");
    }
    assert_eq!(judge("PUT /large HTTP/1.1\r\nHost: pi\r\nContent-Length: 1000000\r\n\r\n"), Err(413));
}
