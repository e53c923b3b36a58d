//! The connection to the container engine, and what to do where there is none.

use anyhow::{Result, anyhow};
use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;
use testcontainers::bollard::{Docker, errors::Error};
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::error::ClientError;

/// A call that takes longer is given up: the engine hangs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// The engine this machine is set up for (`DOCKER_HOST`, or the usual socket). Each call makes a connection pool of its
/// own, which belongs to the runtime that is running.
///
/// # Errors
/// Where there is none, or it may not be used: says what to do.
pub async fn connect() -> Result<Docker> {
    let docker = docker_client_instance().await.map_err(|error| explain(&error))?.with_timeout(ANSWERS_WITHIN);
    // Engines refuse clients newer than themselves.
    docker.negotiate_version().await.map_err(|error| explain(&error))
}

/// What to tell about an engine that does not answer.
fn explain(error: &(dyn StdError + 'static)) -> anyhow::Error {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let advice = match io_kind(error) {
        Some(ErrorKind::PermissionDenied) => {
            "you may not use its socket: join the group docker (usermod -aG docker $USER, then log in anew), or run as \
             root"
        }
        Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            "it does not run there: start it (systemctl start docker), or set DOCKER_HOST to where it does"
        }
        _ => "start it, or set DOCKER_HOST to where it runs",
    };
    anyhow!("the cluster tests need Docker, and {host} does not answer: {advice} ({error})")
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        // Neither names its source as one.
        if let Some(Error::IOError { err }) = error.downcast_ref::<Error>() {
            return Some(err.kind());
        }
        if let Some(ClientError::Init(Error::SocketNotFoundError(_))) = error.downcast_ref::<ClientError>() {
            return Some(ErrorKind::NotFound);
        }
        cause = error.source();
    }
    None
}

/// Whether the engine says that there is no such thing.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Whether the engine says that it is so already, or being done.
pub(crate) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 304 | 409, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_engine_is_told_from_a_forbidden_one() {
        let check = |kind: ErrorKind, advice: &str| {
            let text = explain(&Error::IOError { err: kind.into() }).to_string();
            assert!(text.contains(advice), "{text}");
        };
        let missing = ClientError::Init(Error::SocketNotFoundError("/nowhere".into()));
        assert!(explain(&missing).to_string().contains("systemctl start docker"));
        check(ErrorKind::NotFound, "systemctl start docker");
        check(ErrorKind::ConnectionRefused, "systemctl start docker");
        check(ErrorKind::PermissionDenied, "group docker");
        check(ErrorKind::TimedOut, "DOCKER_HOST");
    }
}
