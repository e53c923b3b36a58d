//! What can be done to each process of a cluster.

use super::node::Node;
use anyhow::Result;
use async_trait::async_trait;
use services::nginx::Nginx;
use services::redis::Redis;
use std::net::SocketAddr;
use tokio::sync::Mutex;

#[async_trait]
pub(super) trait Machine: Sync {
    async fn kill(&self) -> Result<()>;
    async fn start(&self) -> Result<()>;
    async fn pause(&self) -> Result<()>;
    async fn resume(&self) -> Result<()>;
}

/// One Redis.
pub(super) struct Bus {
    pub role: String,
    pub address: SocketAddr,
    pub server: Mutex<Redis>,
}

#[async_trait]
impl Machine for Mutex<Redis> {
    async fn kill(&self) -> Result<()> {
        self.lock().await.kill()
    }

    async fn start(&self) -> Result<()> {
        self.lock().await.restart_empty().await
    }

    async fn pause(&self) -> Result<()> {
        self.lock().await.pause()
    }

    async fn resume(&self) -> Result<()> {
        self.lock().await.resume()
    }
}

#[async_trait]
impl Machine for Mutex<Nginx> {
    async fn kill(&self) -> Result<()> {
        self.lock().await.kill()
    }

    async fn start(&self) -> Result<()> {
        self.lock().await.restart().await
    }

    async fn pause(&self) -> Result<()> {
        self.lock().await.pause()
    }

    async fn resume(&self) -> Result<()> {
        self.lock().await.resume()
    }
}

#[async_trait]
impl Machine for Node {
    async fn kill(&self) -> Result<()> {
        self.end()
    }

    async fn start(&self) -> Result<()> {
        self.spawn()
    }

    async fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    async fn resume(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }
}
