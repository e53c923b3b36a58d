//! Starting and ending a cluster.
//!
//! What can be started side by side is; nodes come when the database answers, since they do not start without it.

use super::docker;
use super::evidence;
use super::foundation::Foundation;
use super::images;
use super::machine::Machine;
use super::network::Network;
use super::parts::{self, FIRST_NODE_HOST, MAX_NODES};
use super::reaper::{self, CLUSTER, RUN};
use super::topology::{self, REPLICATION, Topology};
use crate::cluster::{Ability, Cluster, Flavour, Kind, Running, Setup, bus_url, database_url};
use crate::link::Links;
use crate::own_runtime;
use crate::program::Program;
use anyhow::{Result, ensure};
use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::thread;
use testcontainers::bollard::Docker;

/// Clusters in containers, with MySQL.
pub struct InContainers;

/// How a cluster in containers is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    setup: Setup,
    database_options: Vec<(String, String)>,
    name: Option<String>,
    /// For nodes built with failpoints: what is on, as FAILPOINTS has it.
    failpoints: Option<String>,
}

/// A running cluster. Dropping it removes it, which takes about a second; where a test failed, what tells why is kept
/// first, and named: see [`evidence`].
pub struct Containers {
    topology: Topology,
    /// `None` without [`Setup::relays`].
    _links: Option<Links>,
    is_removed: bool,
}

#[async_trait(?Send)]
impl Kind for InContainers {
    fn name(&self) -> &'static str {
        "containers"
    }

    fn cannot(&self) -> &'static [Ability] {
        &[Ability::SeveralClients]
    }

    async fn start(&self, setup: Setup) -> Result<Running> {
        let cluster = Containers::builder(setup).start().await?;
        Ok(Running::new(cluster.handle(), cluster))
    }
}

impl Builder {
    /// Which database server; MySQL if not said.
    pub fn database(mut self, flavour: Flavour) -> Self {
        self.setup = self.setup.database(flavour);
        self
    }

    /// One more option for the database server, as its manual has it but for the dashes in front.
    pub fn database_option(mut self, option: &str, value: &str) -> Self {
        self.database_options.push((option.into(), value.into()));
        self
    }

    /// A name to find the cluster by, instead of a random one.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Nodes of a build that has faults built in, with those on that `FAILPOINTS` would name; see [`chat::failpoint`].
    pub fn failpoints(mut self, failpoints: &str) -> Self {
        self.failpoints = Some(failpoints.into());
        self
    }

    /// Starts everything, and returns when everything answers.
    ///
    /// # Errors
    /// If part of it does not start: says which and why, and what was started is removed.
    pub async fn start(self) -> Result<Containers> {
        let nodes = self.setup.nodes;
        ensure!((1..=MAX_NODES).contains(&nodes), "a cluster has 1 to {MAX_NODES} nodes, not {nodes}");
        self.setup.check()?;
        let run = reaper::run()?;
        let docker = docker::connect().await?;
        let name = self.name.clone().unwrap_or_else(|| format!("chat-{:08x}", reaper::rand()));
        let is_there = topology::list(&docker).await?.iter().any(|entry| entry.cluster == name);
        ensure!(!is_there, "a cluster {name} runs already: choose another name, or harness down {name}");
        let replication = self.setup.flavour.replication().to_string();
        let labels = [(RUN, run.to_owned()), (CLUSTER, name.clone()), (REPLICATION, replication)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value)).into();
        match self.launch(&docker, &name, labels).await {
            Ok((topology, links)) => Ok(Containers { topology, _links: links, is_removed: false }),
            Err(error) => {
                // The first error is the one to tell.
                let _ = reaper::sweep(&docker, CLUSTER, Some(&name)).await;
                Err(error.context("the cluster does not start"))
            }
        }
    }

    async fn launch(
        &self,
        docker: &Docker,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<(Topology, Option<Links>)> {
        let network = Network::create(docker, name, labels.clone()).await?;
        let addresses: Vec<Ipv4Addr> =
            (0..self.setup.nodes).map(|place| network.address(FIRST_NODE_HOST + place as u8)).collect();
        // What takes longest, a server to be built, goes on beside the rest.
        let foundation = Foundation {
            docker,
            network: &network,
            labels: &labels,
            setup: &self.setup,
            options: &self.database_options,
        };
        let services = foundation.launch(&addresses);
        let program = if self.failpoints.is_some() { Program::WithFailpoints } else { Program::Server };
        let (mut topology, node_image) = try_join(services, images::node(docker, program)).await?;
        let links = match self.setup.has_relays {
            true => {
                let services = [topology.database_addresses(), topology.redis_addresses()].concat();
                Some(Links::start(name, network.gateway().into(), self.setup.nodes, services).await?)
            }
            false => None,
        };
        let nodes = addresses.iter().enumerate().map(|(place, address)| {
            let settings = self.settings(place + 1, &topology, links.as_ref());
            let mut plan = parts::node(place + 1, node_image.clone(), *address, &settings);
            plan.files.clone_from(&self.setup.files);
            plan.environment.extend(self.failpoints.iter().map(|on| ("FAILPOINTS".to_owned(), on.clone())));
            Machine::launch(docker, &network, labels.clone(), plan)
        });
        let nodes = try_join_all(nodes).await?;
        topology.add_nodes(nodes);
        topology.is_guarded = self.setup.is_guarded();
        topology.requires_tls = self.setup.is_on("tls.required");
        try_join_all(topology.nodes().iter().map(|node| topology.ready(&node.role))).await?;
        topology.ready("nginx").await?;
        Ok((topology, links))
    }

    fn settings(&self, number: usize, topology: &Topology, links: Option<&Links>) -> Vec<(String, String)> {
        let node = format!("node-{number}");
        let at = |services: Vec<(String, SocketAddr)>| -> Vec<SocketAddr> {
            let relayed = |service: &str| links.and_then(|links| links.address(&node, service));
            services.iter().map(|(service, direct)| relayed(service).unwrap_or(*direct)).collect()
        };
        let urls = [
            ("database.url", database_url(&at(topology.database_addresses()), "chat")),
            ("bus.url", bus_url(&at(topology.redis_addresses()))),
        ];
        self.setup.settings(&urls, &topology.nginx.address.to_string())
    }
}

impl Containers {
    pub fn builder(setup: Setup) -> Builder {
        let database_options = Vec::new();
        Builder { setup, database_options, name: None, failpoints: None }
    }

    /// Removes it, and returns when it is gone.
    ///
    /// # Errors
    /// If the engine does not answer; the reaper then tries again when this process ends.
    pub async fn stop(mut self) -> Result<()> {
        let docker = docker::connect().await?;
        let removed = reaper::sweep(&docker, CLUSTER, Some(self.name())).await;
        self.is_removed = removed.is_ok();
        removed.map(|_| ())
    }

    /// Keeps histories, logs and configurations, and `again`, the command that does the same again; returns where.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub async fn keep_evidence(&self, again: &str) -> Result<PathBuf> {
        evidence::keep(&self.topology, Some(again)).await
    }

    /// The same for a test that is failing in this thread; says where on standard error.
    fn keep_evidence_at_once(&self) {
        let topology = self.topology.clone();
        let again = test_command();
        match own_runtime::run(async move { evidence::keep(&topology, again.as_deref()).await }) {
            Ok(directory) => eprintln!("harness: histories, logs and configurations are in {}", directory.display()),
            Err(error) => eprintln!("harness: cannot keep what tells why: {error:#}"),
        }
    }
}

/// Runs the test again that this thread runs, and carries the name of.
fn test_command() -> Option<String> {
    let thread = thread::current();
    let test = thread.name().filter(|name| name.contains("::"))?;
    let program = std::env::current_exe().ok()?;
    let (target, _) = program.file_name()?.to_str()?.rsplit_once('-')?;
    Some(format!("cargo test -p harness --test {target} -- --exact {test}"))
}

impl Deref for Containers {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.topology
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        if thread::panicking() {
            self.keep_evidence_at_once();
        }
        let name = self.name().to_owned();
        let removed = own_runtime::run(async move {
            let docker = docker::connect().await?;
            reaper::sweep(&docker, CLUSTER, Some(&name)).await
        });
        if let Err(error) = removed {
            eprintln!("harness: {error:#}; the reaper tries again when this process ends");
        }
    }
}
