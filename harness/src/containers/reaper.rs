//! Leaves nothing behind, whatever ends this process.
//!
//! All that a process makes carries the label of its run. Beside the first cluster it starts a second process, the
//! reaper (`harness reap RUN`), and holds the one end of a pipe to it. When the pipe closes, because the process ended,
//! panicked or was killed, the reaper removes everything with that label. It is in a session of its own, so that a
//! Ctrl-C or the end of a process group does not take it along.

use super::docker::{self, is_conflict, is_missing};
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};

/// On everything: the process it belongs to.
pub const RUN: &str = "chat.harness.run";
/// On everything: the cluster it belongs to, unique on the machine.
pub const CLUSTER: &str = "chat.harness.cluster";

/// What the engine was asked to make as the process died may appear a moment after.
const LATECOMERS: Duration = Duration::from_secs(2);
const BETWEEN_SWEEPS: Duration = Duration::from_millis(250);
/// The engine being busy is no reason to leave things behind.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// The name of this process's run. The first call starts the reaper.
///
/// # Errors
/// If the reaper does not start.
pub fn run() -> Result<&'static str> {
    static RUN: OnceLock<Result<(String, Child), String>> = OnceLock::new();
    let started = RUN.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    started.as_ref().map(|(run, _)| run.as_str()).map_err(|error| anyhow::anyhow!("no reaper: {error}"))
}

fn start() -> Result<(String, Child)> {
    let run = format!("{}-{:08x}", std::process::id(), rand());
    let program = program()?;
    let mut command = Command::new(&program);
    command.args(["reap", &run]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: setsid is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        })
    };
    let reaper = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    Ok((run, reaper))
}

/// Enough to tell runs apart whose process ids are the same.
pub(super) fn rand() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}

/// The `harness` program beside this one, which `cargo test` builds together with the tests.
fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory = this.parent().context("this program has no directory")?;
    let profile = if directory.ends_with("deps") { directory.parent().context("no profile")? } else { directory };
    let program = profile.join("harness");
    ensure!(program.exists(), "{} is missing: cargo build -p harness --bin harness", program.display());
    Ok(program)
}

/// The reaper's life: waits until the pipe closes, then removes everything of `run`.
///
/// # Errors
/// If the engine does not answer, or something stays.
pub async fn reap(run: &str) -> Result<()> {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    read.await?.context("cannot read the pipe")?;
    let began = Instant::now();
    let mut empty_since = None;
    loop {
        let found = match docker::connect().await {
            Ok(docker) => sweep(&docker, RUN, Some(run)).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(0) => {
                let since = *empty_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= LATECOMERS {
                    return Ok(());
                }
            }
            Ok(_) => empty_since = None,
            Err(error) if began.elapsed() > GIVE_UP_AFTER => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(BETWEEN_SWEEPS).await;
    }
}

/// Removes every container (with its volumes) and network whose `label` is `value`, or which has it at all; returns how
/// many there were.
pub async fn sweep(docker: &Docker, label: &str, value: Option<&str>) -> Result<usize> {
    let filter = value.map_or(label.to_owned(), |value| format!("{label}={value}"));
    let filters = HashMap::from([("label".to_owned(), vec![filter])]);
    let list = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(list)).await?;
    let ids: Vec<String> = containers.into_iter().filter_map(|container| container.id).collect();
    let removals = ids.iter().map(|id| remove_container(docker, id));
    for removed in futures_util::future::join_all(removals).await {
        removed?;
    }
    let list = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = docker.list_networks(Some(list)).await?;
    for id in networks.iter().filter_map(|network| network.id.as_deref()) {
        match docker.remove_network(id).await {
            Err(error) if !is_missing(&error) => return Err(error).context("cannot remove a network"),
            _ => {}
        }
    }
    Ok(ids.len() + networks.len())
}

pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        // Somebody else removes it: also well.
        Err(error) if !is_missing(&error) && !is_conflict(&error) => Err(error).context("cannot remove a container"),
        _ => Ok(()),
    }
}
