//! What is kept of a cluster in which a test failed, in one directory: the histories and the verdicts on them, every
//! container's log and all the engine knows of it, nginx's configuration, and how to run the test again.

use super::topology::Topology;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the cluster's [`directory`], and returns where that is. `test` is the test that failed, where one did.
pub(super) async fn keep(topology: &Topology, test: Option<&str>) -> Result<PathBuf> {
    let directory = directory(topology.name())?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for machine in topology.machines() {
        // One that is gone must not hide the others.
        let log = machine.log().await.unwrap_or_else(|error| format!("{error:#}\n"));
        fs::write(directory.join(format!("{}.log", machine.role)), log)?;
        let description = machine.description().await.unwrap_or_else(|error| format!("{error:#}\n"));
        fs::write(directory.join(format!("{}.container", machine.role)), description)?;
    }
    let nodes: Vec<_> = topology.nodes().iter().map(|node| node.address).collect();
    let config = super::parts::nginx_config(&nodes, topology.sends_proxy_protocol)?;
    fs::write(directory.join("nginx.conf"), config)?;
    for (number, record) in (1..).zip(topology.records()) {
        record.write(&directory.join(format!("history-{number}.jsonl.zst")))?;
        fs::write(directory.join(format!("verdict-{number}.txt")), record.conclude().to_string())?;
    }
    fs::write(directory.join("again.txt"), again(test, &directory))?;
    Ok(directory)
}

fn again(test: Option<&str>, directory: &Path) -> String {
    let judge = format!("cargo run -p loadgen -- check {}\n", directory.join("history-1.jsonl.zst").display());
    match test {
        Some(test) => format!("cargo test -p harness --test containers -- --exact {test}\n{judge}"),
        None => judge,
    }
}

/// Where what is kept of a cluster goes: `target/harness/CLUSTER`.
///
/// # Errors
/// If this program cannot tell where it is.
pub fn directory(cluster: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let target = this.ancestors().find(|path| path.ends_with("target"));
    Ok(target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("harness").join(cluster))
}
