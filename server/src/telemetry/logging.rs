//! Where the node's log goes: to standard error, as text for people or as JSON lines for machines.
//!
//! Called once by a `main`; a library or a test never installs a subscriber by itself. Standard output stays free for
//! results. Colours appear only on a terminal and where `NO_COLOR` is unset or empty.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Why there is no log. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log.filter is {filter:?}: {reason}; expected for example \"info\" or \"info,chat=debug\"")]
    Filter { filter: String, reason: String },
    #[error("the log is already set up: {0}")]
    AlreadySet(String),
}

/// Installs the log for the whole process.
///
/// # Errors
/// A filter that cannot be read, or a second call in one process.
pub fn init(log: &Log) -> Result<(), Error> {
    let filter = filter(&log.filter)?;
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match log.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|error| Error::AlreadySet(error.to_string()))
}

/// Reads a filter such as `info` or `info,chat=debug`.
///
/// # Errors
/// [`Error::Filter`] with the offending text. An empty filter is one: it would silence the node.
pub fn filter(text: &str) -> Result<EnvFilter, Error> {
    let refuse = |reason: String| Error::Filter { filter: text.to_owned(), reason };
    if text.trim().is_empty() {
        return Err(refuse("empty".into()));
    }
    // The parser takes no blanks; people write them.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in &directives {
        // A lone word that is no level would be taken for the name of a module and turn all others off: `inof` for
        // `info` would silence the node.
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && directive.parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
            return Err(refuse(format!("{directive:?} is no level (off, error, warn, info, debug, trace)")));
        }
    }
    EnvFilter::try_new(directives.join(",")).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused_with_the_offending_text() {
        for good in ["info", "OFF", "info,chat=debug", "warn, chat::bus=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "inof", "chat=loud", "info,chat[=debug"] {
            let error = filter(bad).expect_err(bad).to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_bad_filter_is_named_before_anything_is_installed() {
        let log = Log { filter: "chat=loud".into(), ..Log::default() };

        assert!(matches!(init(&log), Err(Error::Filter { .. })));
    }
}
