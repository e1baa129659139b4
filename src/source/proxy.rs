//! Proxies as the environment names them: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case.

use super::address::Address;
use crate::error::{Error, Result};

/// The proxies of the environment.
#[derive(Default)]
pub struct Proxies {
    https: Option<ureq::Proxy>,
    http: Option<ureq::Proxy>,
    /// Hosts that are asked directly.
    except: Vec<String>,
}

impl Proxies {
    /// Reads the variables through `get`.
    ///
    /// # Errors
    /// One is no proxy URL. Its value is not shown: it may hold a password.
    pub fn new(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let either = |name: &str| [name.to_ascii_lowercase(), name.to_owned()].iter().find_map(|n| get(n)).filter(|v| !v.trim().is_empty());
        let read = |name: &'static str| -> Result<Option<ureq::Proxy>> {
            let Some((name, value)) = [name, "ALL_PROXY"].iter().find_map(|n| Some((*n, either(n)?))) else { return Ok(None) };
            let proxy = ureq::Proxy::new(value.trim());
            proxy.map(Some).map_err(|_| Error::usage(format!("the environment's {name} is not a proxy URL like http://proxy.lan:3128")))
        };
        let except = either("NO_PROXY").unwrap_or_default();
        let except = except.split([',', ' ']).map(|e| e.trim().to_ascii_lowercase()).filter(|e| !e.is_empty()).collect();
        Ok(Proxies { https: read("HTTPS_PROXY")?, http: read("HTTP_PROXY")?, except })
    }

    /// The proxy for this address; never one for this machine itself.
    pub fn of(&self, to: &Address) -> Option<ureq::Proxy> {
        if to.is_loopback() || self.except.iter().any(|e| matches(e, to.host())) {
            return None;
        }
        if to.is_https() { self.https.clone() } else { self.http.clone() }
    }
}

/// `example.org`, `.example.org` and `*.example.org` stand for the host and all below it, as curl and Go read them; `*` for all.
fn matches(entry: &str, host: &str) -> bool {
    let name = entry.trim_start_matches("*.").trim_start_matches('.');
    entry == "*" || host.trim_matches(['[', ']']) == name.trim_matches(['[', ']']) || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_finds_its_proxy() {
        let env = [("https_proxy", "http://s:1"), ("ALL_PROXY", "all:2"), ("NO_PROXY", "lan, .direct.org,[fd00::1]")];
        let proxies = Proxies::new(|name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())).unwrap();
        let table = [
            ("https://git.example.org/", Some("s")),
            ("http://git.example.org/", Some("all")),
            ("https://127.0.0.1:3000/", None),
            ("https://localhost/", None),
            ("http://[::1]/", None),
            ("https://nas.lan/", None),
            ("https://notlan/", Some("s")),
            ("https://direct.org/", None),
            ("https://[fd00::1]/", None),
        ];
        for (url, want) in table {
            let got = proxies.of(&Address::parse(url).unwrap());
            assert_eq!(got.as_ref().map(ureq::Proxy::host), want, "{url}");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_named_without_its_password() {
        let error = Proxies::new(|name| (name == "HTTPS_PROXY").then(|| "gopher://me:geheim@x".into())).err().unwrap();
        assert!(error.to_string().contains("HTTPS_PROXY") && !error.to_string().contains("geheim"));
    }
}
