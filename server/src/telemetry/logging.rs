//! Where the node's log goes: to standard error, as text for people or as JSON lines for machines.
//!
//! Called once by a `main`; a library or a test never installs a subscriber by itself. Standard output stays free for
//! results. Colours appear only on a terminal and where `NO_COLOR` is unset or empty.

use crate::config::{Log, LogFormat, log_filter};
use std::io::IsTerminal;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

/// Why there is no log. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Filter(#[from] log_filter::Error),
    #[error("the log is already set up: {0}")]
    AlreadySet(String),
}

/// What the log that was installed lets through, as it can be changed.
pub struct Filter(reload::Handle<Targets, Registry>);

impl Filter {
    /// Lets through what `log` says from now on; a filter that cannot be read changes nothing.
    pub fn set(&self, log: &Log) {
        match log_filter::parse(&log.filter) {
            Ok(filter) => {
                if let Err(error) = self.0.reload(filter) {
                    tracing::error!(%error, "the log's filter stays as it was");
                }
            }
            Err(error) => tracing::error!(%error, "the log's filter stays as it was"),
        }
    }
}

/// Installs the log for the whole process.
///
/// # Errors
/// A filter that cannot be read, or a second call in one process.
pub fn init(log: &Log) -> Result<Filter, Error> {
    let filter = log_filter::parse(&log.filter)?;
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let installed = tracing_subscriber::registry().with(filter).with(lines).try_init();
    installed.map(|()| Filter(handle)).map_err(|error| Error::AlreadySet(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named_before_anything_is_installed() {
        let log = Log { filter: "chat=loud".into(), ..Log::default() };

        assert!(matches!(init(&log), Err(Error::Filter(_))));
    }
}
