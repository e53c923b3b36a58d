//! What is kept of a cluster in which a test failed, in one directory: the histories and the verdicts on them, every
//! container's log and all the engine knows of it, nginx's configuration, and how to run the test again.

use super::topology::Topology;
use crate::cluster::Cluster;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the cluster's [`directory`], and returns where that is. `again` is the command that does the same again,
/// where one is known; several tests of a shared cluster add theirs.
pub(super) async fn keep(topology: &Topology, again: Option<&str>) -> Result<PathBuf> {
    let directory = directory(topology.name())?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for machine in topology.containers() {
        // One that is gone must not hide the others.
        let log = machine.log().await.unwrap_or_else(|error| format!("{error:#}\n"));
        fs::write(directory.join(format!("{}.log", machine.role)), log)?;
        let description = machine.description().await.unwrap_or_else(|error| format!("{error:#}\n"));
        fs::write(directory.join(format!("{}.container", machine.role)), description)?;
    }
    let nodes: Vec<_> = topology.nodes().iter().map(|node| node.address).collect();
    let config = super::parts::nginx_config(&nodes)?;
    fs::write(directory.join("nginx.conf"), config)?;
    let mut commands: Vec<String> = again.into_iter().map(str::to_owned).collect();
    for (number, record) in (1..).zip(topology.records().all()) {
        let history = directory.join(format!("history-{number}.jsonl.zst"));
        record.write(&history)?;
        commands.push(format!("cargo run -p loadgen -- check {}", history.display()));
        fs::write(directory.join(format!("verdict-{number}.txt")), record.conclude().to_string())?;
    }
    add(&directory.join("again.txt"), commands)?;
    Ok(directory)
}

/// Adds lines to a file, each once.
fn add(path: &Path, lines: Vec<String>) -> Result<()> {
    let mut text = fs::read_to_string(path).unwrap_or_default();
    for line in lines {
        if !text.lines().any(|known| known == line) {
            text += &line;
            text.push('\n');
        }
    }
    fs::write(path, text).with_context(|| path.display().to_string())
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
