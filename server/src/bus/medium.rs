//! What carries envelopes from node to node: one Redis of the list, or what a test or a simulation puts in its place.
//!
//! A medium may lose, delay, repeat and reorder what it is given, hang, and say that it works when it does not: the
//! [`exchange`](super::exchange) above finds out. Its calls are bounded in time there.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::sync::Arc;

#[async_trait]
pub(super) trait Medium: Send + Sync + 'static {
    /// For log and metrics: kind and address, no password. Where a channel goes depends on it, so all nodes should
    /// know a medium by the same name.
    fn name(&self) -> &str;
    /// A connection to publish through.
    async fn connect(&self) -> Result<Box<dyn Publisher>, Failure>;
    /// What is published to the channel from now on; it ends when the connection breaks.
    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, Vec<u8>>, Failure>;
}

/// One connection to publish through; not used any more after an error.
#[async_trait]
pub(super) trait Publisher: Send {
    /// Publishes all, and says of each how many listened to its channel.
    async fn publish(&mut self, letters: Vec<Letter>) -> Result<Vec<u64>, Failure>;
}

/// One envelope, encoded.
pub(super) struct Letter {
    pub(super) channel: Arc<str>,
    pub(super) envelope: Vec<u8>,
}

/// Why a medium could not do something. Leave it, and try again later.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub(super) String);
