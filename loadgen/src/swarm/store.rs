//! The Redis that a swarm meets in: commands that end within a set time, over a connection that is made anew after
//! whatever went wrong.

use super::Error;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    ServerErrorKind,
};
use std::time::{Duration, Instant};

/// Redis may be away for so long once it was there: longer than a restart, or a failover, takes. Members who meet, who
/// wait at the gate or who exchange results then go on without it, or end; the load itself never waits for it.
pub const REDIS_PATIENCE: Duration = Duration::from_secs(10);
/// For connecting, and for the answers to one batch of commands: a busy network's delay, and a piece of a result on a
/// slow one, but not so long that a connection that is gone costs all of [`REDIS_PATIENCE`].
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Why a batch of commands had no answer. Try again for as long as it makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis at {address} cannot be used: {reason}")]
pub struct Unreachable {
    pub address: String,
    pub reason: String,
    /// It answers, and says no, or is no Redis: that does not change while somebody waits.
    pub is_final: bool,
}

impl From<Unreachable> for Error {
    fn from(Unreachable { address, reason, .. }: Unreachable) -> Error {
        Error::Unreachable { address, reason }
    }
}

/// One user's way to it.
pub struct Store {
    client: Client,
    address: String,
    connection: Option<MultiplexedConnection>,
    heard: Option<Instant>,
}

impl Clone for Store {
    /// To the same Redis, over a connection of its own.
    fn clone(&self) -> Store {
        Store { client: self.client.clone(), address: self.address.clone(), connection: None, heard: None }
    }
}

impl Store {
    /// Takes a URL: `redis://HOST[:PORT][/DB]`, with user and password where they are needed, or `rediss://` for TLS.
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// A URL that cannot be used. It may hold a password, so it is not repeated.
    pub fn open(url: &str) -> Result<Store, Error> {
        let bad_url = |error: RedisError| Error::Url { reason: error.to_string() };
        let info = url.into_connection_info().map_err(bad_url)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // The client can only be given the process's own provider; one that is set already serves as well.
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        }
        let address = info.addr().to_string();
        Ok(Store { client: Client::open(info).map_err(bad_url)?, address, connection: None, heard: None })
    }

    /// Where it is, without a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// When it answered last; `None`: never yet.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Has all commands carried out, one after the other.
    ///
    /// # Errors
    /// No answer in time, or one that says no.
    pub async fn ask<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Unreachable> {
        let asked = self.try_ask(commands).await;
        match &asked {
            Ok(_) => self.heard = Some(Instant::now()),
            Err(_) => self.connection = None,
        }
        asked.map_err(|error| Unreachable {
            address: self.address.clone(),
            reason: error.to_string(),
            is_final: is_final(&error),
        })
    }

    async fn try_ask<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let within = Some(ANSWER_WITHIN);
                let config = AsyncConnectionConfig::new().set_connection_timeout(within).set_response_timeout(within);
                none.insert(self.client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        commands.query_async(connection).await
    }
}

/// Whether waiting does not help.
fn is_final(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io => false,
        ErrorKind::Server(kind) => !matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
        ),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_an_error_that_keeps_the_password() {
        for url in ["", "localhost", "http://:geheim@localhost", "redis://:geheim@localhost:port"] {
            let Err(error) = Store::open(url) else { panic!("{url} was taken") };
            assert!(!error.to_string().contains("geheim"), "{error}");
            assert!(error.to_string().contains("redis://HOST"), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_with_the_address_and_without_the_password() {
        let mut store = Store::open("redis://:geheim@127.0.0.1:1/3").expect("a good URL");
        let error = store.ask::<()>(redis::pipe().cmd("PING")).await.expect_err("nobody listens there");
        assert!(error.to_string().starts_with("redis at 127.0.0.1:1 cannot be used: "), "{error}");
        assert!(!error.to_string().contains("geheim"), "{error}");
        assert!(!error.is_final && store.heard().is_none(), "it may be about to start");
    }

    #[tokio::test]
    async fn what_answers_and_says_no_does_so_again() {
        let redis = services::redis::Redis::start().await.expect("a Redis");
        let good = format!("redis://{}", redis.address());
        let mut store = Store::open(&good).expect("a good URL");
        store.ask::<()>(redis::pipe().cmd("PING")).await.expect("it answers");
        assert!(store.heard().is_some());
        for wrong in [format!("redis://:geheim@{}", redis.address()), format!("{good}/999")] {
            let error = Store::open(&wrong).expect("a good URL").ask::<()>(redis::pipe().cmd("PING")).await;
            let error = error.expect_err("it says no");
            assert!(error.is_final, "{error}");
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }
}
