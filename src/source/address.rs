//! A web address, taken apart as far as safety needs it: who is asked, and whether the line is encrypted.

use std::fmt;

/// An http or https URL without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    https: bool,
    /// Lower case; an IPv6 address in its brackets.
    host: String,
    port: u16,
    /// Path and query; starts with `/`.
    path: String,
}

impl Address {
    /// Reads an absolute URL. What must not stand in a request line is percent-encoded.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let (https, rest) = match (lower.starts_with("https://"), lower.starts_with("http://")) {
            (true, _) => (true, &text[8..]),
            (_, true) => (false, &text[7..]),
            _ => return Err("it is not an http or https URL".into()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("it has a user or password in it".into());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| "its port is not a number from 0 to 65535".to_owned())?),
            _ => (authority, if https { 443 } else { 80 }),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
        if host.is_empty() || !(v6 || host.bytes().all(plain)) {
            return Err("its host name is empty or has characters that host names do not have".into());
        }
        Ok(Address { https, host: host.to_ascii_lowercase(), port, path: clean(path) })
    }

    /// Where a `Location` (absolute, or relative to this address) leads.
    ///
    /// # Errors
    /// One sentence.
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.https { "https" } else { "http" };
        let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':'));
        if has_scheme {
            return Address::parse(location);
        }
        if location.starts_with("//") {
            return Address::parse(&format!("{scheme}:{location}"));
        }
        let here = self.path.split('?').next().unwrap_or("/");
        let path = match location.chars().next() {
            Some('/') => location.to_owned(),
            None | Some('?' | '#') => format!("{here}{location}"),
            _ => format!("{}/{location}", here.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Ok(Address { path: clean(&path), ..self.clone() })
    }

    /// This address with a path below its own; the parts are percent-encoded.
    pub fn below(&self, parts: &[&str]) -> Self {
        let mut path = self.path.trim_end_matches('/').to_owned();
        for part in parts {
            path.push('/');
            path.push_str(&segment(part));
        }
        Address { path, ..self.clone() }
    }
    /// This address with a query.
    pub fn query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }
    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// Whether scheme, host and port are the same: the only place a token may go.
    pub fn same_origin(&self, other: &Address) -> bool {
        (self.https, &self.host, self.port) == (other.https, &other.host, other.port)
    }
    /// Whether the line is encrypted.
    pub fn is_https(&self) -> bool {
        self.https
    }
    /// The host name, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        crate::release::hint::is_loopback(&self.host)
    }
    /// The whole URL, for a request. Not for messages: a query may hold a signature that opens the door.
    pub fn full(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }
    fn origin(&self) -> String {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        if self.port == usual { format!("{scheme}://{}", self.host) } else { format!("{scheme}://{}:{}", self.host, self.port) }
    }
}

/// Without the query, which may hold secrets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Path and query without fragment, starting with `/`, safe in a request line.
fn clean(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut out = slash.to_owned();
    encode(path, |b| b.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&b), &mut out);
    out
}

/// One part of a path.
fn segment(text: &str) -> String {
    let mut out = String::new();
    encode(text, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b), &mut out);
    out
}

fn encode(text: &str, keep: impl Fn(u8) -> bool, out: &mut String) {
    for b in text.bytes() {
        if keep(b) {
            out.push(b.into());
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_and_host_and_port() {
        let home = Address::parse("https://Git.Example.org/base").unwrap();
        let table = [
            ("https://git.example.org:443/x", true),
            ("https://git.example.org:8443/x", false),
            ("http://git.example.org/x", false),
            ("http://git.example.org:443/x", false),
            ("https://git.example.org.evil/x", false),
            ("https://example.org/x", false),
        ];
        for (url, same) in table {
            assert_eq!(Address::parse(url).unwrap().same_origin(&home), same, "{url}");
        }
    }

    #[test]
    fn locations_are_followed_like_a_browser_would() {
        let at = Address::parse("https://h:8443/a/b?c=d").unwrap();
        let table = [
            ("https://x/y?z#f", "https://x/y?z"),
            ("//x/y", "https://x/y"),
            ("/y", "https://h:8443/y"),
            ("y", "https://h:8443/a/y"),
            ("?q", "https://h:8443/a/b?q"),
            ("/a b/ü", "https://h:8443/a%20b/%C3%BC"),
        ];
        for (location, want) in table {
            assert_eq!(at.join(location).unwrap().full(), want, "{location}");
        }
        for bad in ["ftp://x/", "https://user:pw@x/", "https:///x", "https://x:99999/", "javascript:alert(1)", "https://evil\\@git/"] {
            assert!(at.join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_never_show_a_query() {
        let at = Address::parse("https://store/x?X-Signature=secret").unwrap();
        assert_eq!((at.to_string().as_str(), format!("{at:?}").as_str()), ("https://store/x", "https://store/x"));
    }

    #[test]
    fn parts_are_encoded_and_ipv6_is_read() {
        let base = Address::parse("http://[::1]:3000/git").unwrap();
        assert!(base.is_loopback());
        assert_eq!(base.below(&["o", "v1/2", "a b"]).query("limit=1").full(), "http://[::1]:3000/git/o/v1%2F2/a%20b?limit=1");
    }
}
