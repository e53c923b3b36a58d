//! One container, seen as a machine: it has an address, it can be switched off and on, frozen and cut off.

use super::docker::{self, is_conflict};
use super::network::Network;
use super::parts::DATABASE_PORT;
use crate::cluster::{self, Probe};
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use testcontainers::bollard::models::{
    ContainerCreateBody, ContainerState, EndpointIpamConfig, EndpointSettings, HostConfig, NetworkConnectRequest,
    NetworkDisconnectRequest, NetworkingConfig,
};
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use testcontainers::bollard::{Docker, body_full};
use tokio::time::{Instant, sleep};

/// On every container: what it is in its cluster, as `node-1` or `redis`.
pub(crate) const ROLE: &str = "chat.harness.role";
/// On every container: its fixed address.
pub(crate) const ADDRESS: &str = "chat.harness.address";
/// Lines of a container's log that go into an error.
const TAIL_LINES: usize = 20;
/// How long the first member of a replicated database may take.
const MEMBER_READY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// What a container is made of.
pub(crate) struct Plan {
    pub role: String,
    pub image: String,
    pub address: Ipv4Addr,
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Files put into it before its start: absolute path and content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A container that exists, running or not. Cloning it makes another handle; dropping one does nothing.
///
/// It connects to the engine anew for each verb: connections belong to the runtime that made them, and faults heal in
/// another one where they are dropped.
#[derive(Clone)]
pub struct Machine {
    network: Network,
    /// The container's name with the engine: the cluster's, and its role.
    pub name: String,
    /// What it is in its cluster, as `node-1` or `redis`.
    pub role: String,
    pub address: Ipv4Addr,
}

impl Machine {
    /// Creates and starts one.
    pub(crate) async fn launch(
        docker: &Docker,
        network: &Network,
        mut labels: HashMap<String, String>,
        plan: Plan,
    ) -> Result<Machine> {
        let name = format!("{}-{}", network.name, plan.role);
        labels.insert(ROLE.into(), plan.role.clone());
        labels.insert(ADDRESS.into(), plan.address.to_string());
        let endpoints = HashMap::from([(network.name.clone(), endpoint(plan.address))]);
        let body = ContainerCreateBody {
            image: Some(plan.image.clone()),
            cmd: (!plan.command.is_empty()).then_some(plan.command),
            env: Some(plan.environment.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            labels: Some(labels),
            host_config: Some(HostConfig { network_mode: Some(network.name.clone()), ..HostConfig::default() }),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = docker.create_container(Some(options), body).await;
        created.with_context(|| format!("cannot create {name} from {}", plan.image))?;
        let machine = Machine { network: network.clone(), name, role: plan.role, address: plan.address };
        machine.put(&plan.files).await?;
        machine.start().await?;
        Ok(machine)
    }

    pub(crate) fn existing(network: Network, name: String, role: String, address: Ipv4Addr) -> Machine {
        Machine { network, name, role, address }
    }

    /// Writes files, also while it runs.
    pub(crate) async fn put(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let files: Vec<(&str, &[u8], u32)> =
            files.iter().map(|(path, content)| (path.trim_start_matches('/'), content.as_slice(), 0o644)).collect();
        let archive = crate::containers::images::archive(&files).await?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let written =
            docker::connect().await?.upload_to_container(&self.name, Some(options), body_full(archive.into())).await;
        written.with_context(|| format!("cannot write files into {}", self.name))
    }

    /// Switches it on; nothing happens if it is.
    pub async fn start(&self) -> Result<()> {
        match docker::connect().await?.start_container(&self.name, None).await {
            Err(error) if !is_conflict(&error) => Err(error).with_context(|| format!("cannot start {}", self.name)),
            _ => Ok(()),
        }
    }

    /// Sends the first process a signal, as `SIGKILL`; nothing happens if there is none.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        match docker::connect().await?.kill_container(&self.name, Some(options)).await {
            Err(error) if !is_conflict(&error) => Err(error).with_context(|| format!("cannot signal {}", self.name)),
            _ => Ok(()),
        }
    }

    /// Switches it off at once, and returns when it is.
    pub async fn kill(&self) -> Result<()> {
        self.signal("SIGKILL").await?;
        self.ended(Duration::from_secs(10)).await.map(|_| ())
    }

    /// Waits until it has ended, and returns its exit code.
    pub async fn ended(&self, budget: Duration) -> Result<i64> {
        let deadline = Instant::now() + budget;
        let docker = docker::connect().await?;
        loop {
            let state = docker.inspect_container(&self.name, None).await?.state.unwrap_or_default();
            if state.running != Some(true) {
                return Ok(state.exit_code.unwrap_or_default());
            }
            if Instant::now() >= deadline {
                bail!("{} has not ended within {budget:?}", self.name);
            }
            sleep(POLL).await;
        }
    }

    /// Removes the container with all that it kept, its log and the files put into it among that, and creates an empty
    /// one like it in its place, which is not started.
    pub(crate) async fn replace_by_an_empty_one(&self) -> Result<()> {
        let docker = docker::connect().await?;
        let old = docker.inspect_container(&self.name, None).await?;
        let config = old.config.with_context(|| format!("the engine does not say what {} is made of", self.name))?;
        let endpoints = HashMap::from([(self.network.name.clone(), endpoint(self.address))]);
        let body = ContainerCreateBody {
            image: config.image,
            cmd: config.cmd,
            env: config.env,
            labels: config.labels,
            host_config: old.host_config,
            networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
            ..ContainerCreateBody::default()
        };
        let with_all = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        docker.remove_container(&self.name, Some(with_all)).await?;
        let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
        let created = docker.create_container(Some(options), body).await;
        created.map(|_| ()).with_context(|| format!("cannot create {} anew", self.name))
    }

    /// The URL of a database server, for whoever may do everything there.
    pub(crate) fn administration(&self) -> String {
        format!("mysql://root@{}:{DATABASE_PORT}", self.address)
    }

    /// Waits until this member of a replicated database takes statements.
    pub(crate) async fn is_ready_member(&self) -> Result<()> {
        cluster::until(MEMBER_READY, Probe::Member(self.administration()), || self.check_running()).await
    }

    /// Freezes every process in it: connections stay open, and nothing is answered.
    pub async fn pause(&self) -> Result<()> {
        docker::connect()
            .await?
            .pause_container(&self.name)
            .await
            .with_context(|| format!("cannot pause {}", self.name))
    }

    pub async fn resume(&self) -> Result<()> {
        docker::connect()
            .await?
            .unpause_container(&self.name)
            .await
            .with_context(|| format!("cannot resume {}", self.name))
    }

    /// Pulls its network cable.
    pub(crate) async fn disconnect(&self) -> Result<()> {
        let request = NetworkDisconnectRequest { container: self.name.clone(), force: Some(true) };
        let pulled = docker::connect().await?.disconnect_network(&self.network.name, request).await;
        pulled.with_context(|| format!("cannot disconnect {}", self.name))
    }

    /// Plugs it in again, at the same address.
    pub(crate) async fn reconnect(&self) -> Result<()> {
        let endpoint_config = Some(endpoint(self.address));
        let request = NetworkConnectRequest { container: self.name.clone(), endpoint_config };
        let plugged = docker::connect().await?.connect_network(&self.network.name, request).await;
        plugged.with_context(|| format!("cannot reconnect {}", self.name))
    }

    async fn state(&self) -> Result<ContainerState> {
        Ok(docker::connect().await?.inspect_container(&self.name, None).await?.state.unwrap_or_default())
    }

    /// The first process's id on this machine; an error if it does not run.
    pub(crate) async fn pid(&self) -> Result<i64> {
        let state = self.state().await?;
        state.pid.filter(|pid| *pid > 0).with_context(|| format!("{} does not run", self.name))
    }

    /// An error with the log's end if it does not run any more.
    pub(crate) async fn check_running(&self) -> Result<()> {
        let state = self.state().await?;
        if state.running == Some(true) {
            return Ok(());
        }
        let log = self.log().await?;
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        bail!("{} ended with exit code {}; its log ends with:\n{tail}", self.name, state.exit_code.unwrap_or_default())
    }

    /// All it has written to its standard outputs, over all its restarts.
    pub async fn log(&self) -> Result<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let docker = docker::connect().await?;
        let mut chunks = docker.logs(&self.name, Some(options));
        let mut log = Vec::new();
        while let Some(chunk) = chunks.next().await {
            log.extend_from_slice(&chunk?.into_bytes());
        }
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// All the engine knows of it, as text.
    pub(crate) async fn description(&self) -> Result<String> {
        Ok(format!("{:#?}\n", docker::connect().await?.inspect_container(&self.name, None).await?))
    }
}

fn endpoint(address: Ipv4Addr) -> EndpointSettings {
    let fixed = EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() };
    EndpointSettings { ipam_config: Some(fixed), ..EndpointSettings::default() }
}
