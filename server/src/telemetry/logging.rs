//! Where the node's log goes: to standard error, as text for people or as JSON lines for machines.
//!
//! Called once by a `main`; a library or a test never installs a subscriber by itself. Standard output stays free for
//! results. Colours appear only on a terminal and where `NO_COLOR` is unset or empty.

use crate::config::{Log, LogFormat, log_filter};
use std::io::IsTerminal;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

/// Why there is no log. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Filter(#[from] log_filter::Error),
    #[error("the log is already set up: {0}")]
    AlreadySet(String),
}

/// What the log that was installed lets through, as it can be changed.
pub struct Filter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Filter {
    /// Lets through what `log` says from now on; a filter that cannot be read changes nothing.
    pub fn set(&self, log: &Log) {
        match log_filter::parse(&log.filter) {
            Ok(filter) => {
                if let Err(error) = self.0(filter) {
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
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let (installed, filter) = match log.format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().try_init(), Filter(Box::new(move |filter| handle.reload(filter))))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().try_init(), Filter(Box::new(move |filter| handle.reload(filter))))
        }
    };
    installed.map(|()| filter).map_err(|error| Error::AlreadySet(error.to_string()))
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
