//! The bus between processes: Redis, or several that know nothing of each other; publish and subscribe only.
//!
//! Redis keeps nothing for us, and is not trusted with more than carrying: what it brings counts only with the
//! signature of a node of this cluster. When to leave one for another is decided in `exchange`.

use super::exchange;
use super::medium::{Failure, Letter, Medium, Publisher};
use super::{Arrival, Bus, Error};
use crate::cluster::{ClusterSecret, NodeKey};
use crate::config;
use crate::tls;
use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, TlsCertificates};
use async_trait::async_trait;
use chat_environment::Environment;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Starts this node's end of the bus; must be called inside a Tokio runtime. While every Redis is out of reach, items
/// queue up to their limit and [`Bus::is_connected`] is false.
///
/// # Errors
/// A bad setting, and nothing else.
pub fn connect(
    config: &config::Bus,
    key: &NodeKey,
    secret: &ClusterSecret,
    environment: &Environment,
) -> Result<(Arc<dyn Bus>, mpsc::Receiver<Arrival>), Error> {
    let mut media: Vec<Box<dyn Medium>> = Vec::new();
    for (place, url) in config.urls().enumerate() {
        media.push(Box::new(Redis::new(url, place + 1, config)?));
    }
    if media.is_empty() {
        return Err(Error::NoUrl);
    }
    let prefix = if config.channel_prefix.is_empty() { exchange::CHANNEL_PREFIX } else { &config.channel_prefix };
    Ok(exchange::start(media, prefix, key, secret, environment))
}

struct Redis {
    name: String,
    client: Client,
}

impl Redis {
    fn new(url: &str, place: usize, config: &config::Bus) -> Result<Redis, Error> {
        // The URL may hold a password, so it is not repeated.
        let bad_url = |error: RedisError| Error::BadUrl { place, reason: error.to_string() };
        let info = url.into_connection_info().map_err(bad_url)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let name = format!("redis at {}", info.addr());
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Ok(Redis { name, client: Client::open(info).map_err(bad_url)? });
        }
        // The client can only be given the process's own provider. Where an embedder has set another, that serves as
        // well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root_cert = config.ca.as_deref().map(tls::authorities_pem).transpose()?;
        let certificates = TlsCertificates { client_tls: None, root_cert };
        Ok(Redis { name, client: Client::build_with_tls(info, certificates).map_err(bad_url)? })
    }
}

#[async_trait]
impl Medium for Redis {
    fn name(&self) -> &str {
        &self.name
    }

    async fn connect(&self) -> Result<Box<dyn Publisher>, Failure> {
        // The exchange bounds both, so that every medium is waited for alike.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        Ok(Box::new(Connection(self.client.get_multiplexed_async_connection_with_config(&config).await?)))
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, Vec<u8>>, Failure> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription.into_on_message().map(|message| message.get_payload_bytes().to_vec()).boxed())
    }
}

struct Connection(MultiplexedConnection);

#[async_trait]
impl Publisher for Connection {
    async fn publish(&mut self, letters: Vec<Letter>) -> Result<Vec<u64>, Failure> {
        let mut pipeline = ::redis::Pipeline::with_capacity(letters.len());
        for Letter { channel, envelope } in letters {
            pipeline.cmd("PUBLISH").arg(&*channel).arg(envelope);
        }
        Ok(pipeline.query_async(&mut self.0).await?)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Failure(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Item;

    fn connect_to(url: &str) -> Result<(Arc<dyn Bus>, mpsc::Receiver<Arrival>), Error> {
        let config = config::Bus { url: url.into(), ..config::Bus::default() };
        connect(&config, &NodeKey { id: "one".into(), boot: 1 }, &ClusterSecret([7; 32]), &Environment::default())
    }

    #[tokio::test]
    async fn bad_url_is_an_error_that_keeps_the_password() {
        for url in ["", "localhost", "http://:geheim@localhost", "redis://:geheim@localhost:port", "redis://:geheim@"] {
            let Err(error) = connect_to(url) else { panic!("{url} was taken") };
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
        let Err(error) = connect_to("redis://127.0.0.1:1,http://:geheim@localhost") else { panic!("taken") };
        assert!(error.to_string().contains("entry 2") && !error.to_string().contains("geheim"), "{error}");
    }

    #[tokio::test]
    async fn description_keeps_the_passwords() {
        let (bus, _arrivals) =
            connect_to("redis://:geheim@127.0.0.1:1, redis://:geheim@127.0.0.1:2").expect("the URLs are good");
        assert_eq!(bus.describe(), "redis at 127.0.0.1:1, redis at 127.0.0.1:2");
        assert!(!bus.is_connected());
    }

    #[tokio::test]
    async fn close_ends_although_redis_is_out_of_reach() {
        let (bus, mut arrivals) = connect_to("redis://127.0.0.1:1").expect("the URL is good");
        bus.send(&"two".into(), Item::Yielded { user: 1 });
        bus.close().await;
        assert_eq!(arrivals.recv().await, None);
    }
}
