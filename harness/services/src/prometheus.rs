//! A Prometheus of one's own: what a node's metrics look like to those who watch it.

use crate::ports::on_free_port;
use crate::process::Process;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long it may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it scrapes and evaluates.
const INTERVAL: &str = "200ms";

/// A Prometheus that scrapes. It ends when it is dropped.
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these as the job `chat`, and evaluates the rules in a file.
    pub async fn start(targets: &[SocketAddr], rules: &Path) -> Result<Prometheus> {
        let directory = tempfile::tempdir()?;
        let rules = rules.canonicalize().with_context(|| rules.display().to_string())?;
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let settings = format!(
            "global: {{ scrape_interval: {INTERVAL}, scrape_timeout: {INTERVAL}, evaluation_interval: {INTERVAL} }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs: [{{ job_name: chat, static_configs: [{{ targets: [{}] }}] }}]\n",
            rules.display(),
            targets.join(", ")
        );
        std::fs::write(directory.path().join("prometheus.yml"), settings)?;
        let start = async |port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            anyhow::Ok((run(address, directory.path()).await?, address))
        };
        let (process, address) = on_free_port(start).await?;
        Ok(Prometheus { _process: process, address, _directory: directory })
    }

    /// The series that an expression gives now; an expression that cannot be evaluated is an error.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = get(self.address, &format!("/api/v1/query?query={}", escaped(expression))).await?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        match &answer["data"]["result"] {
            Value::Array(series) if answer["data"]["resultType"] == "vector" => Ok(series.clone()),
            _ => bail!("{expression} gives no series: {answer}"),
        }
    }

    /// All rules as Prometheus sees them: `name`, `query`, `health`, `lastError` among others.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let answer = get(self.address, "/api/v1/rules").await?;
        let groups = answer["data"]["groups"].as_array().with_context(|| answer.to_string())?;
        Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect())
    }
}

async fn run(address: SocketAddr, directory: &Path) -> Result<Process> {
    let mut command = Command::new("prometheus");
    command.current_dir(directory).arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data");
    command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn");
    let mut process = Process::start(command, "prometheus", directory.join("prometheus.log"), libc::SIGKILL)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        process.check_running().context("prometheus")?;
        match get(address, "/api/v1/status/buildinfo").await {
            Ok(_) => return Ok(process),
            Err(error) if Instant::now() >= deadline => return Err(error.context("prometheus is not ready")),
            Err(_) => sleep(READY_INTERVAL).await,
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // In HTTP 1.0 the answer ends with the connection.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(ANSWER_WITHIN, exchange).await.context("prometheus does not answer")??;
    let (_, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer}"))?;
    serde_json::from_str(body).with_context(|| answer.clone())
}

/// As it stands in a query string.
fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
