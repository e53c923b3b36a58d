//! Lives through schedules in processes of their own, several at a time, and ends those that hang.

use crate::Schedule;
use crate::worker::{Order, Report};
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, stream};
use std::borrow::Borrow;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// What a schedule may take of real time; usual is less than a second. One that takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What became of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lived {
    Told(Report),
    /// It panicked, or could not begin; its last words.
    Died(String),
    /// It was ended after [`LIMIT`].
    Hung,
}

/// How a worker is started, and how many of them at once.
#[derive(Clone, Debug)]
pub struct Workers {
    /// Its `main` calls [`crate::worker::serve`].
    pub program: PathBuf,
    /// Variables that it finds in its environment, beside ours.
    pub environment: Vec<(String, String)>,
    pub at_once: usize,
    pub limit: Duration,
}

impl Workers {
    /// One for each core.
    pub fn of(program: PathBuf) -> Workers {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Workers { program, environment: Vec::new(), at_once, limit: LIMIT }
    }

    /// # Errors
    /// If no worker can be started, or one says what is not a report.
    pub async fn live(&self, schedule: &Schedule, keeps_trace: bool) -> Result<Lived> {
        let order = serde_json::to_vec(&Order { schedule: schedule.clone(), keeps_trace })?;
        let Ok(output) = timeout(self.limit, self.ask(&order)).await else { return Ok(Lived::Hung) };
        let Output { status, stdout, stderr } = output?;
        if !status.success() {
            let words = String::from_utf8_lossy(&stderr);
            return Ok(Lived::Died(format!("{}\n{status}", words.trim_end())));
        }
        Ok(Lived::Told(serde_json::from_slice(&stdout).context("a worker says what is not a report")?))
    }

    /// The first of the schedules that comes to such an end, by its place; those behind it may not have been tried.
    ///
    /// # Errors
    /// As [`Workers::live`].
    pub async fn first_that(
        &self,
        schedules: impl IntoIterator<Item = impl Borrow<Schedule>>,
        ends: impl Fn(&Lived) -> bool,
    ) -> Result<Option<(usize, Lived)>> {
        let lives = stream::iter(schedules).map(async |schedule| self.live(schedule.borrow(), false).await);
        let mut lives = pin!(lives.buffered(self.at_once.max(1)).enumerate());
        while let Some((place, lived)) = lives.next().await {
            let lived = lived?;
            if ends(&lived) {
                return Ok(Some((place, lived)));
            }
        }
        Ok(None)
    }

    async fn ask(&self, order: &[u8]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Errors are everyday life in there, and naming the frames behind each takes up to a quarter of a run.
        command.env("RUST_LIB_BACKTRACE", "0").envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Who stops waiting ends it.
        let mut child = command.kill_on_drop(true).spawn().context("cannot start a worker")?;
        let mut input = child.stdin.take().context("a worker without standard input")?;
        // One that died already tells why.
        let _ = input.write_all(order).await;
        drop(input);
        let output = child.wait_with_output().await.context("cannot wait for a worker")?;
        ensure!(output.status.code().is_some() || !output.stderr.is_empty(), "a worker was ended: {}", output.status);
        Ok(output)
    }
}
