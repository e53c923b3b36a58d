//! Asks a node's admin port whether the node is healthy: what a container does with itself, where there is no other
//! program to do it.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a healthy node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond this no answer is read.
const ANSWER_BYTES: u64 = 4 * 1024;

/// Why a node does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("admin.address is empty: nobody can be asked")]
    Off,
    #[error("{address} does not answer: {cause}")]
    Silent { address: String, cause: io::Error },
    #[error("{address} answers {answer:?}")]
    Unwell { address: String, answer: String },
}

/// Whether the node whose `admin.address` this is says that it is healthy.
///
/// # Errors
/// It does not, or says nothing in time.
pub async fn ask(address: &str) -> Result<(), Unhealthy> {
    if address.is_empty() {
        return Err(Unhealthy::Off);
    }
    let address = address.to_owned();
    let answer = match tokio::time::timeout(PATIENCE, exchange(&address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(cause)) => return Err(Unhealthy::Silent { address, cause }),
        Err(_) => return Err(Unhealthy::Silent { address, cause: io::ErrorKind::TimedOut.into() }),
    };
    let status = answer.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(Unhealthy::Unwell { address, answer: status.to_owned() }),
    }
}

async fn exchange(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
