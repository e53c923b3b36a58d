//! The nginx in front of the nodes, run with the project's own `nginx/nginx.conf`.
//!
//! What is tested is the file that is shipped: only where it listens, whom it passes to, from where, and where it
//! writes are replaced.

use crate::nginx_config::for_processes;
use crate::ports::on_free_port;
use crate::process::{Process, explain};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Debian keeps nginx where only root's search path leads.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];
const PACKAGES: &str = "nginx libnginx-mod-stream";
/// How long nginx may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long workers that were killed may take to be gone.
const END_WITHIN: Duration = Duration::from_secs(5);
const READY_INTERVAL: Duration = Duration::from_millis(5);

/// An nginx, running or not. It ends when it is dropped.
pub struct Nginx {
    /// `None` after [`Nginx::kill`].
    process: Option<Process>,
    address: SocketAddr,
    upstreams: Vec<SocketAddr>,
    directory: TempDir,
}

impl Nginx {
    /// Starts one on a free port of 127.0.0.1 in front of `upstreams`, and waits until it listens.
    pub async fn start(upstreams: &[SocketAddr]) -> Result<Nginx> {
        ensure!(!upstreams.is_empty(), "nginx needs at least one upstream");
        let directory = tempfile::tempdir()?;
        let start = async |port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            anyhow::Ok((run(address, upstreams, directory.path()).await?, address))
        };
        let (process, address) = on_free_port(start).await?;
        Ok(Nginx { process: Some(process), address, upstreams: upstreams.to_vec(), directory })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it pass new connections to `upstreams` from now on, as an operator would who adds or removes a node. Returns
    /// before the new workers are up; open connections stay where they are.
    pub fn reload(&mut self, upstreams: &[SocketAddr]) -> Result<()> {
        ensure!(!upstreams.is_empty(), "nginx needs at least one upstream");
        self.upstreams = upstreams.to_vec();
        let config = for_processes(self.address, upstreams, self.directory.path())?;
        fs::write(self.directory.path().join("nginx.conf"), config)?;
        self.running()?.signal(libc::SIGHUP)
    }

    /// Ends it at once with all its workers, as a crash of its machine would.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal_group(libc::SIGKILL)?;
        process.kill()?;
        // Only the master has been waited for.
        let deadline = Instant::now() + END_WITHIN;
        while TcpStream::connect(self.address).is_ok() {
            ensure!(Instant::now() < deadline, "workers of nginx have outlived it");
            thread::sleep(READY_INTERVAL);
        }
        Ok(())
    }

    /// Kills it if it runs, starts it again at the same address, and waits until it listens.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = Some(run(self.address, &self.upstreams, self.directory.path()).await?);
        Ok(())
    }

    /// Stops it and its workers in their tracks, until [`Nginx::resume`].
    pub fn pause(&self) -> Result<()> {
        self.running()?.signal_group(libc::SIGSTOP)
    }

    /// Lets them go on, with all that was sent to them meanwhile.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal_group(libc::SIGCONT)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("nginx is down")
    }
}

/// Has nginx check a configuration file; the error is what nginx says.
pub fn check(config: &Path) -> Result<()> {
    let mut nginx = program()?;
    let output = nginx.arg("-t").arg("-c").arg(config).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn run(address: SocketAddr, upstreams: &[SocketAddr], directory: &Path) -> Result<Process> {
    let config = directory.join("nginx.conf");
    fs::write(&config, for_processes(address, upstreams, directory)?)?;
    let mut nginx = program()?;
    nginx.arg("-c").arg(&config).args(["-g", "daemon off;"]);
    // Killed alone, the master would leave its workers behind; SIGTERM it passes on.
    nginx.process_group(0);
    let mut process = Process::start(nginx, PACKAGES, directory.join("nginx.log"), libc::SIGTERM)?;
    let deadline = Instant::now() + READY_WITHIN;
    // It is written once nginx listens, and unlike a connection it reaches no node.
    let pid = directory.join("nginx.pid");
    loop {
        process.check_running().context("nginx")?;
        if fs::read_to_string(&pid).is_ok_and(|text| text.trim() == process.id().to_string()) {
            return Ok(process);
        }
        ensure!(Instant::now() < deadline, "nginx does not listen");
        sleep(READY_INTERVAL).await;
    }
}

fn program() -> Result<Command> {
    for program in PROGRAMS {
        match Command::new(program).arg("-v").output() {
            Ok(_) => return Ok(Command::new(program)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(explain(error, program, PACKAGES)),
        }
    }
    Err(explain(std::io::ErrorKind::NotFound.into(), "nginx", PACKAGES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx_config::PROXY_ADDRESS;
    use crate::ports::free_port;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    /// An upstream that answers each connection with its own first byte, then with where it and its PROXY header say it
    /// comes from, and then with whatever it is sent.
    async fn echo(mark: u8) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port to listen on");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                tokio::spawn(async move {
                    let (reader, mut writer) = stream.split();
                    let mut reader = BufReader::new(reader);
                    let mut header = String::new();
                    reader.read_line(&mut header).await?;
                    writer.write_all(&[mark]).await?;
                    writer.write_all(format!("{} {header}", peer.ip()).as_bytes()).await?;
                    tokio::io::copy_buf(&mut reader, &mut writer).await
                });
            }
        });
        address
    }

    async fn connect(nginx: &Nginx) -> (TcpStream, u8) {
        let (stream, mark, _) = connect_and_see(nginx).await;
        (stream, mark)
    }

    /// Also returns what the upstream was told of the client.
    async fn connect_and_see(nginx: &Nginx) -> (TcpStream, u8, String) {
        let mut stream = TcpStream::connect(nginx.address()).await.expect("nginx accepts");
        let mark = stream.read_u8().await.expect("an upstream says its mark");
        let mut seen = Vec::new();
        while seen.last() != Some(&b'\n') {
            seen.push(stream.read_u8().await.expect("and what it sees"));
        }
        (stream, mark, String::from_utf8(seen).expect("a text"))
    }

    #[tokio::test]
    async fn upstream_is_told_the_clients_address() {
        let nginx = Nginx::start(&[echo(b'1').await]).await.expect("nginx starts");

        let (stream, _, seen) = connect_and_see(&nginx).await;

        let client = stream.local_addr().expect("it is connected");
        let (ip, port) = (client.ip(), client.port());
        assert_eq!(seen, format!("{PROXY_ADDRESS} PROXY TCP4 {ip} {ip} {port} {}\r\n", nginx.address().port()));
    }

    #[test]
    fn shipped_configuration_is_valid() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nginx/nginx.conf");
        check(&shipped).expect("nginx takes the shipped configuration");
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_connections_spread() {
        let nginx = Nginx::start(&[echo(b'1').await, echo(b'2').await]).await.expect("nginx starts");

        let (mut stream, one) = connect(&nginx).await;
        let (_open, other) = connect(&nginx).await;
        stream.write_all(b"hello").await.expect("nginx takes bytes");
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.expect("the bytes come back");

        assert_eq!(&back, b"hello");
        assert_ne!(one, other, "the second connection goes where there are fewer");
    }

    #[tokio::test]
    async fn refusing_upstream_is_passed_over() {
        let refusing = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
        let nginx = Nginx::start(&[refusing, echo(b'2').await]).await.expect("nginx starts");
        for _ in 0..4 {
            assert_eq!(connect(&nginx).await.1, b'2');
        }
    }

    #[tokio::test]
    async fn reload_moves_new_connections_and_keeps_open_ones() {
        let mut nginx = Nginx::start(&[echo(b'1').await]).await.expect("nginx starts");
        let (mut open, mark) = connect(&nginx).await;
        assert_eq!(mark, b'1');

        nginx.reload(&[echo(b'2').await]).expect("nginx is told");

        let moved = async || (connect(&nginx).await.1 == b'2').then_some(());
        crate::eventually(READY_WITHIN, "new connections reach the new upstream", moved).await;
        open.write_all(b"x").await.expect("the open connection takes bytes");
        assert_eq!(open.read_u8().await.expect("and gives them back"), b'x');
    }

    #[tokio::test]
    async fn killed_nginx_serves_nobody_until_it_is_restarted() {
        let mut nginx = Nginx::start(&[echo(b'1').await]).await.expect("nginx starts");

        nginx.kill().expect("nginx dies");
        assert!(TcpStream::connect(nginx.address()).await.is_err(), "a worker has outlived its master");
        nginx.restart().await.expect("nginx starts again");

        assert_eq!(connect(&nginx).await.1, b'1');
    }
}
