//! The Redis that a swarm meets in: commands that end within a set time, over a connection that is made anew after
//! whatever went wrong.

use super::Error;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError};
use std::time::Duration;

/// For connecting, and for the answers to one batch of commands.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Why a batch of commands had no answer. Try again for as long as it makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis at {address} cannot be used: {reason}")]
pub struct Unreachable {
    pub address: String,
    pub reason: String,
}

impl From<Unreachable> for Error {
    fn from(Unreachable { address, reason }: Unreachable) -> Error {
        Error::Unreachable { address, reason }
    }
}

/// One user's way to it.
pub struct Store {
    client: Client,
    address: String,
    connection: Option<MultiplexedConnection>,
}

impl Clone for Store {
    /// To the same Redis, over a connection of its own.
    fn clone(&self) -> Store {
        Store { client: self.client.clone(), address: self.address.clone(), connection: None }
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
        Ok(Store { client: Client::open(info).map_err(bad_url)?, address, connection: None })
    }

    /// Where it is, without a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Has all commands carried out, one after the other.
    ///
    /// # Errors
    /// No answer in time, or one that says no.
    pub async fn ask<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Unreachable> {
        let asked = self.try_ask(commands).await;
        asked.map_err(|error| {
            self.connection = None;
            Unreachable { address: self.address.clone(), reason: error.to_string() }
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
    }
}
