//! What can go wrong on the way to a server, told apart by what the reader can do about it, each with its own words and hint.

use std::io::{self, ErrorKind};
use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use rustls::{CertificateError as Cert, Error as Tls};

use super::address::Address;
use crate::error::Error;
use crate::quantity;

/// A failure on the line or of the server.
#[derive(Debug)]
pub enum Fault {
    /// A person or a signal asked to stop.
    Cancelled,
    /// This board has no way to there.
    Offline(String),
    /// The name is not known, or nobody could be asked.
    Lookup(String),
    /// Nobody listens there.
    Refused,
    /// The line is not to be trusted.
    Tls(Tls),
    /// Nothing came for so long, while doing that.
    Timeout(&'static str),
    /// Bytes a second that did not come over the window.
    Slow(u64),
    /// What should be small was not all there within this time.
    Late(Duration),
    /// The line broke.
    Cut(String),
    /// A status that is none we can use, with what `Retry-After` said.
    Status(u16, Option<Duration>),
    /// A web page where data should be.
    Page,
    /// No HTTP at all.
    Garbage(String),
    /// A redirect that is not followed.
    Redirect(String),
    /// The proxy would not.
    Proxy(String),
    /// The answer contradicts itself, or what is known about it; the text is a whole sentence.
    Wrong(String),
    /// More bytes than this may have.
    TooBig(u64),
    /// Anything else.
    Other(String),
}

impl Fault {
    /// Sorts what ureq says.
    pub fn of(error: ureq::Error) -> Self {
        use ureq::Error as E;
        match error {
            E::Io(e) => Fault::of_io(e),
            E::Rustls(e) => Fault::Tls(e),
            E::HostNotFound => Fault::Lookup("no such host".into()),
            E::Timeout(ureq::Timeout::Resolve) => Fault::Lookup("the name server did not answer".into()),
            E::Timeout(ureq::Timeout::Connect) => Fault::Timeout("connecting"),
            E::Timeout(ureq::Timeout::RecvResponse | ureq::Timeout::SendRequest) => Fault::Timeout("waiting for its answer"),
            E::Timeout(_) => Fault::Timeout("waiting for its next byte"),
            E::ConnectionFailed => Fault::Refused,
            E::ConnectProxyFailed(why) => Fault::Proxy(why),
            E::Protocol(e) => Fault::Garbage(e.to_string()),
            E::Http(e) => Fault::Garbage(e.to_string()),
            E::LargeResponseHeader(..) => Fault::Garbage("its header has no end".into()),
            other => Fault::Other(other.to_string()),
        }
    }

    fn of_io(error: io::Error) -> Self {
        // rustls reports through the transport's io::Error
        if let Some(tls) = crate::error::find_inside::<Tls>(&error) {
            return Fault::Tls(tls.clone());
        }
        let text = error.to_string();
        match error.kind() {
            ErrorKind::ConnectionRefused => Fault::Refused,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown | ErrorKind::AddrNotAvailable => Fault::Offline(text),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Timeout("waiting for its next byte"),
            // std gives getaddrinfo's failures no kind of their own
            _ => match text.strip_prefix("failed to lookup address information: ") {
                Some(why) => Fault::Lookup(why.to_owned()),
                None => Fault::Cut(text),
            },
        }
    }

    /// Whether the same request may do better in a moment. What fails at the first contact of all (no line, no name, nobody there)
    /// will not; once the server was `met`, it is a server that restarts or a line that flickers.
    pub fn passing(&self, met: bool) -> bool {
        match self {
            Fault::Timeout(_) | Fault::Cut(_) => true,
            // a minute was spent already, and a trickle with breaks would never end
            Fault::Slow(_) => false,
            Fault::Status(code, _) => *code == 429 || *code >= 500,
            Fault::Offline(_) | Fault::Lookup(_) | Fault::Refused => met,
            _ => false,
        }
    }

    /// The same, when it was a proxy that was asked: who refused or could not be found was the proxy.
    pub fn by_proxy(self) -> Self {
        match self {
            Fault::Refused => Fault::Proxy("it refused the connection".into()),
            Fault::Lookup(why) => Fault::Proxy(format!("its name could not be looked up: {why}")),
            other => other,
        }
    }

    /// How long the server asked to be left alone.
    pub fn asked_pause(&self) -> Option<Duration> {
        if let Fault::Status(429 | 503, wait) = self { *wait } else { None }
    }

    /// The words for a person. `has_token` changes the advice; `now` is what this board takes the time for.
    pub fn tell(&self, at: &Address, tries: u32, has_token: bool, now: DateTime<Utc>) -> Error {
        if matches!(self, Fault::Cancelled) {
            return crate::error::stopped();
        }
        let times = if tries > 1 { format!(" ({tries} tries)") } else { String::new() };
        let (what, hint) = self.words(at, has_token, now);
        let error = Error::source_failed(format!("{at}: {what}{times}"));
        if hint.is_empty() { error } else { error.hint(hint) }
    }

    fn words(&self, at: &Address, has_token: bool, now: DateTime<Utc>) -> (String, String) {
        let host = at.host();
        let (what, hint): (String, &str) = match self {
            Fault::Cancelled => ("stopped".into(), ""), // has words of its own
            Fault::Offline(why) => (format!("this board has no way to {host} ({why})"), "check the cable or the Wi-Fi: `ip route` should show a default route"),
            Fault::Lookup(why) => (
                format!("the name {host} could not be looked up ({why})"),
                "check the spelling in updater.toml, and whether the board is online: `getent hosts` asks the same name servers",
            ),
            Fault::Refused => (format!("{host} refused the connection"), "the machine is there but the server is not running, or the port is wrong"),
            Fault::Tls(e) => return tls_words(e, host, now),
            Fault::Timeout(doing) => (format!("timed out {doing}"), "the server or the line is very slow or dead; download.timeout sets how long is waited"),
            Fault::Slow(floor) => (
                format!("the line gave less than {}/s for a minute", if floor % 1024 == 0 { format!("{} KiB", floor / 1024) } else { quantity::bytes(*floor) }),
                "what came is kept and the next run goes on from there; download.min_speed sets the limit",
            ),
            Fault::Late(limit) => (
                format!("what should be small files did not come within {}", quantity::seconds(limit.as_secs_f64())),
                "the line is very slow, or the server holds its answers back; try again later",
            ),
            Fault::Cut(why) => (format!("the connection broke ({why})"), "try again; what came of a bundle is kept, and the next run goes on from there"),
            Fault::Status(401 | 403, _) if has_token => {
                ("access denied, although a token was sent".into(), "the token in source.token_file is wrong, has expired, or may not read this repository")
            }
            Fault::Status(code @ (401 | 403), _) => {
                (format!("access denied (status {code})"), "a private repository needs a token: put one into a file and name it as source.token_file")
            }
            Fault::Status(404, _) => {
                ("there is nothing at this address (status 404)".into(), "check the address in updater.toml; a private repository needs source.token_file")
            }
            Fault::Status(429, _) => ("the server says there were too many requests (status 429)".into(), "try again later"),
            Fault::Status(503, _) => ("the server is overloaded or being serviced (status 503)".into(), "try again later"),
            Fault::Status(code @ 500.., _) => (format!("the server failed (status {code})"), "that is the server's fault: its log knows more; try again later"),
            Fault::Status(code, _) => (format!("the server answered with status {code}"), ""),
            Fault::Page => (
                "a web page came instead of the data".into(),
                if has_token {
                    "a login page of the Wi-Fi (open it in a browser), or the wrong address"
                } else {
                    "a login page: of the Wi-Fi (open it in a browser), or of a private repository (set source.token_file)"
                },
            ),
            Fault::Garbage(why) => (format!("what answered does not speak HTTP as it should ({why})"), "check the port in updater.toml"),
            Fault::Redirect(why) => {
                (format!("the server redirects {why}"), "open the address in a browser and put where it leads into updater.toml, if you trust it")
            }
            Fault::Proxy(why) => (
                format!("the proxy of the environment does not help ({why})"),
                "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name the proxy; NO_PROXY lists what needs none",
            ),
            Fault::Wrong(what) => (what.clone(), "the server, or a proxy before it, changes what it serves"),
            Fault::TooBig(most) => (format!("the answer has more than {}, the most that is read", quantity::bytes(*most)), "is it the right address?"),
            Fault::Other(why) => (why.clone(), ""),
        };
        (what, hint.to_owned())
    }
}

/// Before this day the program did not exist: a clock that says so is not set.
const BUILT: i32 = 2026;

fn tls_words(error: &Tls, host: &str, now: DateTime<Utc>) -> (String, String) {
    let clock = format!("this board's clock says {}", now.format("%Y-%m-%d %H:%M UTC"));
    let set = "set the clock: `timedatectl` shows whether it is synchronised; a board without a battery clock needs the network's time first";
    let unset = !(BUILT..BUILT + 30).contains(&now.year());
    match error {
        Tls::InvalidCertificate(Cert::NotValidYet | Cert::NotValidYetContext { .. }) => (format!("the certificate is not valid yet; {clock}"), set.into()),
        Tls::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) if unset => {
            (format!("the certificate seems to have expired; {clock}"), set.into())
        }
        Tls::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) => {
            (format!("the server's certificate has expired; {clock}"), "its owner has to renew it, unless the clock is wrong".into())
        }
        Tls::InvalidCertificate(Cert::NotValidForName | Cert::NotValidForNameContext { .. }) => {
            (format!("the certificate is not for {host}"), "use the name that the certificate is for; on a foreign Wi-Fi, log in first".into())
        }
        Tls::InvalidCertificate(Cert::UnknownIssuer) => (
            "no known authority vouches for the certificate".into(),
            "for a server with an own authority name its PEM file as source.ca_file; otherwise somebody may be listening in".into(),
        ),
        // webpki's word for a certificate that vouches for itself and was not made to
        Tls::InvalidCertificate(why) => {
            (format!("the certificate is not accepted ({why:?})"), "if it is self-signed, put its authority into source.ca_file".into())
        }
        Tls::InvalidMessage(_) => ("what answered does not speak TLS".into(), "check the port in updater.toml; is it an http address?".into()),
        other => (format!("no trusted connection could be made ({other})"), "the server's TLS settings may be too old".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fault: Fault, now: &str) -> (String, String) {
        let error = fault.tell(&Address::parse("https://git.lan/x?secret").unwrap(), 1, false, now.parse().unwrap());
        assert!(!error.message().contains("secret"));
        (error.message(), error.hint.unwrap_or_default())
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_certificate() {
        let cert = |c| Fault::Tls(Tls::InvalidCertificate(c));
        let table = [
            (cert(Cert::NotValidYet), "2026-12-01T00:00:00Z", "clock says 2026-12-01", "set the clock"),
            (cert(Cert::Expired), "1970-01-01T00:00:10Z", "clock says 1970-01-01", "set the clock"),
            (cert(Cert::Expired), "2027-01-01T00:00:00Z", "has expired", "renew"),
            (cert(Cert::UnknownIssuer), "2027-01-01T00:00:00Z", "no known authority", "ca_file"),
            (cert(Cert::NotValidForName), "2027-01-01T00:00:00Z", "not for git.lan", "name"),
        ];
        for (fault, now, what, advice) in table {
            let (message, hint) = told(fault, now);
            assert!(message.contains(what) && hint.contains(advice), "{message} / {hint}");
        }
    }

    #[test]
    fn faults_of_the_system_are_sorted() {
        let of = |e: io::Error| Fault::of(ureq::Error::Io(e));
        assert!(matches!(of(ErrorKind::NetworkUnreachable.into()), Fault::Offline(_)));
        assert!(matches!(of(ErrorKind::HostUnreachable.into()), Fault::Offline(_)));
        assert!(matches!(of(ErrorKind::ConnectionRefused.into()), Fault::Refused));
        assert!(matches!(of(io::Error::other("failed to lookup address information: Name or service not known")), Fault::Lookup(_)));
        assert!(matches!(of(io::Error::new(ErrorKind::InvalidData, Tls::HandshakeNotComplete)), Fault::Tls(_)));
        assert!(matches!(of(ErrorKind::UnexpectedEof.into()), Fault::Cut(_)));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let table = [
            (Fault::Status(503, None), true, true),
            (Fault::Status(500, None), true, true),
            (Fault::Status(429, None), true, true),
            (Fault::Status(404, None), false, false),
            (Fault::Status(403, None), false, false),
            (Fault::Refused, false, true),
            (Fault::Lookup(String::new()), false, true),
            (Fault::Cut(String::new()), true, true),
            (Fault::Timeout(""), true, true),
            (Fault::Page, false, false),
            (Fault::Slow(1024), false, false),
            (Fault::Cancelled, false, false),
            (Fault::Garbage(String::new()), false, false),
        ];
        for (fault, first, later) in table {
            assert_eq!((fault.passing(false), fault.passing(true)), (first, later), "{fault:?}");
        }
    }
}
