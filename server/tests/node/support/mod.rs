//! Starts nodes, makes users, and speaks to them one frame at a time.

pub mod classic;
pub mod cluster;
pub mod faulty;
pub mod peer;
mod sockets;

pub use cluster::Cluster;
pub use peer::{Peer, fresh_mid, texts, wait_as_told};
pub use serde_json::{Value, json};
pub use services::eventually;
pub use sockets::{with_socket_from, with_socket_to};

use std::time::Duration;

/// How long anything that should happen may take on a busy machine; nothing that succeeds waits for it.
pub const BUDGET: Duration = Duration::from_secs(30);
/// Everyone's password.
pub const PASSWORD: &str = "correct horse";

/// Runs the future to its end, which must come within [`BUDGET`].
pub async fn within<T>(claim: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BUDGET, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {BUDGET:?}: {claim}"),
    }
}
