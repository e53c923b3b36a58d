//! The log is process-wide, so the tests that install it have a process of their own.

use chat::config::{Log, LogFormat};
use chat::telemetry::logging::{self, Error};

#[test]
fn the_log_is_installed_once() {
    let log = Log { filter: "warn,chat=debug".into(), format: LogFormat::Json };

    logging::init(&log).unwrap();

    assert!(matches!(logging::init(&log), Err(Error::AlreadySet(_))));
    assert!(tracing::enabled!(target: "chat", tracing::Level::DEBUG));
    assert!(!tracing::enabled!(target: "sqlx", tracing::Level::INFO));
}
