//! A Redis of one's own: `redis-server` as a child process that keeps nothing on disk.

use crate::ports::{free_port, on_free_port};
use crate::process::Process;
use anyhow::{Context, Result, bail, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long Redis may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_INTERVAL: Duration = Duration::from_millis(5);
/// How long one command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(10);

/// Where in its directory a Redis with TLS finds what it needs.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// A Redis, running or not. It ends when it is dropped.
pub struct Redis {
    /// `None` after [`Redis::kill`].
    process: Option<Process>,
    port: u16,
    tls_port: Option<u16>,
    directory: TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub async fn start() -> Result<Redis> {
        Redis::start_in(tempfile::tempdir()?, false).await
    }

    /// Starts one that can also be reached over TLS, with this certificate and key (PEM).
    pub async fn start_with_tls(certificate: &str, key: &str) -> Result<Redis> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join(CERTIFICATE), certificate)?;
        std::fs::write(directory.path().join(KEY), key)?;
        Redis::start_in(directory, true).await
    }

    async fn start_in(directory: TempDir, with_tls: bool) -> Result<Redis> {
        let start = async |port| {
            let tls_port = with_tls.then(free_port).transpose()?;
            anyhow::Ok((run(port, tls_port, directory.path()).await?, port, tls_port))
        };
        let (process, port, tls_port) = on_free_port(start).await?;
        Ok(Redis { process: Some(process), port, tls_port, directory })
    }

    /// Takes a port for one that is down until [`Redis::restart_empty`].
    pub fn down() -> Result<Redis> {
        Ok(Redis { process: None, port: free_port()?, tls_port: None, directory: tempfile::tempdir()? })
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `redis://host:port`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `rediss://localhost:port`, of one started with TLS.
    pub fn tls_url(&self) -> Result<String> {
        Ok(format!("rediss://localhost:{}", self.tls_port.context("redis was started without TLS")?))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Kills it if it runs, starts it anew at the same address, without anything it knew, and waits until it answers.
    pub async fn restart_empty(&mut self) -> Result<()> {
        self.kill()?;
        self.process = Some(run(self.port, self.tls_port, self.directory.path()).await?);
        Ok(())
    }

    /// Stops it in its tracks: connections stay open and nothing is answered, until [`Redis::resume`].
    pub fn pause(&self) -> Result<()> {
        self.running()?.signal(libc::SIGSTOP)
    }

    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal(libc::SIGCONT)
    }

    /// Runs one command through a connection of its own. The reply must be a status, a number or a string; an error
    /// reply is an error.
    pub async fn command(&self, parts: &[&[u8]]) -> Result<String> {
        command(self.address(), parts).await
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("redis is down")
    }
}

async fn run(port: u16, tls_port: Option<u16>, directory: &Path) -> Result<Process> {
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string()]).args(["--save", "", "--appendonly", "no"]);
    server.arg("--dir").arg(directory);
    if let Some(tls_port) = tls_port {
        server.args(["--tls-port", &tls_port.to_string(), "--tls-auth-clients", "no"]);
        server.arg("--tls-cert-file").arg(directory.join(CERTIFICATE));
        server.arg("--tls-key-file").arg(directory.join(KEY));
    }
    let mut process = Process::start(server, "redis-server", directory.join("redis.log"), libc::SIGKILL)?;
    let deadline = Instant::now() + READY_WITHIN;
    // Whoever else holds the port could answer too.
    let identity = format!("process_id:{}\r\n", process.id());
    loop {
        process.check_running().context("redis-server")?;
        match command((Ipv4Addr::LOCALHOST, port).into(), &[b"INFO", b"server"]).await {
            Ok(info) if info.contains(&identity) => return Ok(process),
            answer if Instant::now() >= deadline => bail!("redis-server is not ready, it says {answer:?}"),
            _ => sleep(READY_INTERVAL).await,
        }
    }
}

async fn command(address: SocketAddr, parts: &[&[u8]]) -> Result<String> {
    let mut request = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    let exchange = async {
        let mut stream = BufStream::new(TcpStream::connect(address).await?);
        stream.write_all(&request).await?;
        stream.flush().await?;
        read_reply(&mut stream).await
    };
    timeout(COMMAND_WITHIN, exchange).await.context("redis does not answer")?
}

async fn read_reply(stream: &mut BufStream<TcpStream>) -> Result<String> {
    let mut line = String::new();
    ensure!(stream.read_line(&mut line).await? > 0, "redis closed the connection");
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let mut text = vec![0; length.parse()?];
            stream.read_exact(&mut text).await?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        _ => bail!("redis said {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn restart_forgets_everything() {
        let mut redis = Redis::start().await.expect("redis starts");
        redis.command(&[b"SET", b"key", b"value"]).await.expect("redis takes a value");
        assert_eq!(redis.command(&[b"GET", b"key"]).await.expect("redis has the value"), "value");

        redis.restart_empty().await.expect("redis starts again");

        assert_eq!(redis.command(&[b"DBSIZE"]).await.expect("redis answers"), "0");
    }

    #[tokio::test]
    async fn redis_ends_with_its_value() {
        let redis = Redis::start().await.expect("redis starts");
        let address = redis.address();
        drop(redis);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
