//! From the command line to a connection, and from a failure to words that say what to do.

use crate::Arguments;
use chat_client::tls::Trust;
use chat_client::{Client, Credentials, Error, Events, Options, Tls, Why};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The client's settings as the arguments say. Errors: certificates that cannot be read.
pub fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let host = &arguments.host;
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
    let mut options = Options::new([format!("{host}:{}", arguments.port)]);
    if arguments.tls {
        options.tls = Some(Tls { config: Arc::new(tls(arguments.ca.as_deref())?), server_name: None });
    }
    Ok(options)
}

/// Between two tries to reach a server that is not there yet.
const RETRY: Duration = Duration::from_millis(250);

/// Connects; where nobody listens, tries again for a while, since a server may still be starting.
pub async fn connect(options: &Options, patience: Duration) -> Result<(Client, Events), Error> {
    let give_up_at = Instant::now() + patience;
    let mut told = false;
    loop {
        match Client::connect(options.clone()).await {
            Err(Error::Connect { address, kind: ErrorKind::ConnectionRefused, .. }) if Instant::now() < give_up_at => {
                if !told {
                    let patience = patience.as_secs();
                    eprintln!("nobody listens at {address} yet; trying for {patience} s, Ctrl-C gives up");
                    told = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            done => return done,
        }
    }
}

/// Name and password as the client logs in with.
pub fn credentials(arguments: &Arguments, name: &str, password: &str) -> Credentials {
    let credentials = Credentials::password(name, password);
    if arguments.takeover { credentials.taking_over() } else { credentials }
}

/// The password for scripts.
pub fn password_from_environment() -> Option<String> {
    std::env::var("CHAT_PASSWORD").ok().filter(|password| !password.is_empty())
}

fn tls(ca: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    let Some(path) = ca else {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        anyhow::ensure!(!roots.is_empty(), "this machine has no trusted certificates; name one with --ca FILE");
        return Ok(chat_client::tls::config(Trust::Roots(roots))?);
    };
    Ok(chat_client::tls::config(Trust::Authorities(path))?)
}

/// What went wrong, and what to do about it.
pub fn explain(error: &Error, secure: bool) -> String {
    match error {
        Error::Connect { address, kind: ErrorKind::ConnectionRefused, .. } => {
            format!("nobody listens at {address}: is the server running, and is this its port?")
        }
        Error::Tls { address, text, certificate: true } => {
            format!("the certificate of {address} is not trusted ({text}); name its authority with --ca FILE")
        }
        Error::Tls { address, text, .. } => format!("no TLS with {address} ({text}); try without --tls"),
        Error::Protocol(text) | Error::Disconnected(Why::Protocol(text)) => {
            format!("what answers there is not a chat server ({text})")
        }
        Error::Disconnected(Why::Closed | Why::Io { .. }) if !secure => {
            "the other side closed at once: not a chat server, or one that wants --tls".into()
        }
        Error::TimedOut => "no answer: not a chat server, or it is overloaded".into(),
        Error::Refused(failure) => failure.text.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let refused = ErrorKind::ConnectionRefused;
        let (address, text) = ("h:1".to_owned(), "t".to_owned());
        for (error, secure, hint) in [
            (
                Error::Connect { address: address.clone(), kind: refused, text: text.clone() },
                false,
                "nobody listens at h:1",
            ),
            (Error::Tls { address: address.clone(), text: text.clone(), certificate: true }, true, "--ca"),
            (Error::Tls { address, text, certificate: false }, true, "without --tls"),
            (Error::Disconnected(Why::Closed), false, "--tls"),
            (Error::Disconnected(Why::Closed), true, "closed the connection"),
            (Error::Disconnected(Why::Protocol("x".into())), false, "not a chat server"),
        ] {
            let said = explain(&error, secure);
            assert!(said.contains(hint), "{error:?}: {said}");
        }
    }
}
