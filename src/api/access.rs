//! Who may ask: the token, the session that a login makes of it, and the names under which the board may be reached.
//! Pure but for the token's file.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::{Doing, Error, Result};

/// Name of the session's cookie.
pub const COOKIE: &str = "pikit_update_session";
/// How long a session lasts, seconds.
pub const SESSION: i64 = 30 * 24 * 3600;
/// Bytes of randomness in a token.
const RANDOM: usize = 20;
/// A token shorter than this was not made by us and can be guessed.
const SHORTEST: usize = 16;
/// The alphabet of tokens: no letter that is mistaken for another when it is copied by hand.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What opens the API.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads the token's file.
    ///
    /// # Errors
    /// It is not there, cannot be read, or holds no token.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).doing(|| format!("reading the token in {}", path.display())),
        };
        let text = text.trim();
        if text.len() < SHORTEST || text.len() > 200 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(
                Error::usage(format!("{} holds no token of at least {SHORTEST} characters", path.display())).hint("`sudo pikit-updater token --new` makes one")
            );
        }
        Ok(Some(Token(text.to_owned())))
    }
    /// Makes one of 160 random bits.
    ///
    /// # Errors
    /// The kernel has no randomness.
    pub fn make() -> Result<Self> {
        let mut random = [0u8; RANDOM];
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(std::io::Error::from);
        if got.doing(|| "asking the kernel for randomness".into())? != RANDOM {
            return Err(Error::unexpected("the kernel gave too little randomness"));
        }
        // five bits a letter
        let letter = |i: usize| {
            let (byte, bit) = (i * 5 / 8, i * 5 % 8);
            let pair = u16::from(random[byte]) << 8 | u16::from(random.get(byte + 1).copied().unwrap_or(0));
            char::from(LETTERS[usize::from(pair >> (11 - bit) & 31)])
        };
        Ok(Token((0..RANDOM * 8 / 5).map(letter).collect()))
    }
    /// The words to type.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Whether this is the token. Both are hashed with a key first: the comparison takes the same time wherever they differ.
    pub fn is(&self, given: &str) -> bool {
        let tag = self.mac(b"token").chain_update(self.0.as_bytes());
        self.mac(b"token").chain_update(given.trim().as_bytes()).verify(&tag.finalize().into_bytes()).is_ok()
    }
    /// A session that ends at this time (seconds since the epoch): `1790000000.4f1a…`. It survives a restart of the API and ends with
    /// the token.
    pub fn session(&self, ends: i64) -> String {
        let tag = self.mac(b"session").chain_update(ends.to_string().as_bytes()).finalize().into_bytes();
        format!("{ends}.{}", tag.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }
    /// Whether this is a session of ours that has not ended. A board's clock may be far behind: a session from the future is one
    /// whose end lies further ahead than any we would give.
    pub fn opens(&self, session: &str, now: i64) -> bool {
        let Some((ends, tag)) = session.split_once('.') else { return false };
        let Ok(ends_at) = ends.parse::<i64>() else { return false };
        let bytes: Option<Vec<u8>> = (0..tag.len() / 2).map(|i| tag.get(2 * i..2 * i + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok())).collect();
        let Some(bytes) = bytes.filter(|_| tag.len() == 64) else { return false };
        self.mac(b"session").chain_update(ends.as_bytes()).verify_slice(&bytes).is_ok() && now < ends_at
    }
    fn mac(&self, what: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes keys of any length");
        mac.chain_update(b"pikit-updater ").chain_update(what).chain_update(b"\0")
    }
}

/// The value of our cookie among those that a browser sent.
pub fn cookie(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The token of an `Authorization` header (RFC 6750).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the board may be asked under this `Host`: a name that somebody else's DNS points at us is none of ours (DNS rebinding).
/// Addresses are all right, they cannot be pointed elsewhere.
pub fn host_is_ours(host: &str, own: &[String]) -> bool {
    let name = host_name(host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<Ipv4Addr>().is_ok()
        || (name.starts_with('[') && bare.parse::<Ipv6Addr>().is_ok())
        || own.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host))
}

/// Whether a page of this `Origin` is one of ours: of the same host and port as the request itself went to. `null` is nobody's.
pub fn origin_is_ours(origin: &str, host: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let full = |host: &str| if host_name(host).len() == host.len() { format!("{host}:{port}") } else { host.to_owned() };
    full(rest).eq_ignore_ascii_case(&full(host))
}

/// Without the port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

/// The names of this board: `localhost`, its own, its own with `.local`, and those of the config.
pub fn own_names(config: &[String], node: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if !node.is_empty() {
        let node = node.to_ascii_lowercase();
        names.extend((!node.ends_with(".local")).then(|| format!("{node}.local")));
        names.push(node);
    }
    names.extend(config.iter().cloned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_only_it_opens() {
        let (a, b) = (Token::make().unwrap(), Token::make().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), 32);
        assert!(a.reveal().bytes().all(|c| LETTERS.contains(&c)));
        assert!(a.is(a.reveal()) && a.is(&format!(" {}\n", a.reveal())));
        for wrong in ["", b.reveal(), &a.reveal()[..31], &format!("{}x", a.reveal())] {
            assert!(!a.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_session_ends_with_its_time_and_with_its_token() {
        let (a, b) = (Token::make().unwrap(), Token::make().unwrap());
        let session = a.session(1000);
        assert!(a.opens(&session, 999));
        assert!(!a.opens(&session, 1000), "its time is over");
        assert!(!b.opens(&session, 999), "another token");
        assert!(!a.opens(&session.replace("1000.", "2000."), 999), "its end is signed");
        for rubbish in ["", ".", "1000", "1000.", "1000.zz", &session[..session.len() - 1], &format!("{session}00"), "1000.\u{e9}\u{e9}"] {
            assert!(!a.opens(rubbish, 0), "{rubbish}");
        }
        assert_ne!(a.session(1000).split_once('.').unwrap().1, a.session(1001).split_once('.').unwrap().1);
    }

    #[test]
    fn headers_are_taken_apart() {
        assert_eq!(cookie("a=b; pikit_update_session=x.y; c=d"), Some("x.y"));
        assert_eq!(cookie("pikit_update_sessions=x"), None);
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
    }

    #[test]
    fn only_names_of_the_board_and_addresses_are_ours() {
        let own = own_names(&["pi.example.org".into(), "box.lan:8443".into()], "Raspberry");
        for ours in [
            "localhost",
            "LOCALHOST:8686",
            "127.0.0.1:8686",
            "192.168.1.7",
            "[::1]:8686",
            "[fe80::1]",
            "raspberry",
            "raspberry.local:80",
            "pi.example.org",
            "box.lan:8443",
        ] {
            assert!(host_is_ours(ours, &own), "{ours}");
        }
        for foreign in
            ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "raspberry.local.evil", "::1", "[evil]", "box.lan:1", "1.2.3.4.5", ":8686"]
        {
            assert!(!host_is_ours(foreign, &own), "{foreign}");
        }
    }

    #[test]
    fn a_page_is_ours_when_it_came_from_where_it_asks() {
        for (origin, host) in [
            ("http://pi.local", "pi.local"),
            ("http://pi.local:80", "pi.local"),
            ("https://pi.local", "pi.local:443"),
            ("http://[::1]:8686", "[::1]:8686"),
            ("http://PI.local:8686", "pi.local:8686"),
        ] {
            assert!(origin_is_ours(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "pi.local"),
            ("http://evil", "pi.local"),
            ("http://pi.local:81", "pi.local"),
            ("file://pi.local", "pi.local"),
            ("pi.local", "pi.local"),
            ("https://pi.local:8686", "pi.local"),
        ] {
            assert!(!origin_is_ours(origin, host), "{origin} {host}");
        }
    }
}
