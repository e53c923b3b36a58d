//! Where the page is, and who may look and steer.
//!
//! The key in the address keeps out whoever was not told it, other pages in the same browser among them. Two checks
//! stand beside it, should the key ever leak to a page: a request has to come to an address or to the name that was
//! given, not to a name that somebody else's DNS points here, and a page that a browser says to be of another origin is
//! refused.

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use std::net::IpAddr;
use std::str::FromStr;
use uuid::Uuid;

/// What browsers say of who asks; a page cannot say otherwise.
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where the page is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    /// A port alone is one of this machine's, for nobody else.
    fn from_str(text: &str) -> Result<Address, String> {
        let wrong =
            || format!("{text:?} is no address: write PORT (this machine only) or HOST:PORT, as in 0.0.0.0:8080");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host.trim_matches(['[', ']']), port),
            None => ("127.0.0.1", text),
        };
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() { Err(wrong()) } else { Ok(Address { host: host.to_owned(), port }) }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not here: open the address that was printed, with its key")]
    Key,
    #[error("this page is reached by an address, or by the name it was given: not by this name")]
    Host,
    #[error("another page may not ask this one")]
    Origin,
}

/// Lets through whoever knows the key and asks for no other page.
#[derive(Debug)]
pub struct Guard {
    key: String,
    host: String,
}

impl Guard {
    /// With a new key, for a page on `host`.
    pub fn new(host: &str) -> Guard {
        // 122 bits from the operating system: nobody guesses them.
        Guard { key: Uuid::new_v4().simple().to_string(), host: host.to_owned() }
    }

    /// The path of the page.
    pub fn path(&self) -> String {
        format!("/{}/", self.key)
    }

    /// What is asked for: the part of the path behind the key.
    pub fn admit<'a>(&self, path: &'a str, headers: &HeaderMap) -> Result<&'a str, Refused> {
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.key.as_str()));
        let asked_for = rest.and_then(|path| path.strip_prefix('/')).ok_or(Refused::Key)?;
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text(&HOST).ok_or(Refused::Host)?;
        if !self.is_ours(host) {
            return Err(Refused::Host);
        }
        let is_foreign = text(&ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host));
        let site = text(&FETCH_SITE).unwrap_or("none");
        if is_foreign || !matches!(site, "same-origin" | "none") {
            return Err(Refused::Origin);
        }
        Ok(asked_for)
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_matches(['[', ']']);
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || name.eq_ignore_ascii_case(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_this_machines() {
        for (text, host, port) in [
            ("8080", "127.0.0.1", 8_080),
            ("0", "127.0.0.1", 0),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("[::1]:7", "::1", 7),
            ("box:7", "box", 7),
        ] {
            assert_eq!(text.parse(), Ok(Address { host: host.into(), port }), "{text}");
        }
        for wrong in ["", ":8080", "box", "box:", "1:70000", "-1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_who_knows_the_key_and_is_no_other_page_is_let_in() {
        let guard = Guard::new("box");
        let path = guard.path();
        let check = |path: &str, headers: &[(&'static str, &'static str)], expected: Result<&str, Refused>| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")))
                .collect();
            assert_eq!(guard.admit(path, &headers), expected, "{path} {headers:?}");
        };
        let act = format!("{path}act");
        for host in ["127.0.0.1:80", "[::1]:80", "localhost:80", "box:80", "BOX", "192.168.1.7"] {
            check(&act, &[("host", host)], Ok("act"));
        }
        check(&path, &[("host", "[::1]:80"), ("origin", "http://[::1]:80"), ("sec-fetch-site", "same-origin")], Ok(""));
        for wrong in ["/", "/act", "/00000000000000000000000000000000/act", "//act", path.trim_end_matches('/')] {
            check(wrong, &[("host", "127.0.0.1")], Err(Refused::Key));
        }
        for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", ""] {
            check(&act, &[("host", host)], Err(Refused::Host));
        }
        check(&act, &[], Err(Refused::Host));
        for origin in ["http://evil.example", "null", "https://127.0.0.1:80", "http://127.0.0.1:81", ""] {
            check(&act, &[("host", "127.0.0.1:80"), ("origin", origin)], Err(Refused::Origin));
        }
        for site in ["cross-site", "same-site"] {
            check(&act, &[("host", "127.0.0.1:80"), ("sec-fetch-site", site)], Err(Refused::Origin));
        }
    }

    #[test]
    fn keys_differ() {
        assert_ne!(Guard::new("a").path(), Guard::new("a").path());
        assert_eq!(Guard::new("a").path().len(), 34);
    }
}
