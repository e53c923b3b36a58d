//! Starting and ending a cluster.
//!
//! What can be started side by side is; nodes come when the database answers, since they do not start without it.

use super::docker;
use super::evidence;
use super::machine::Machine;
use super::network::Network;
use super::parts::{
    self, DATABASE_HOST, DATABASE_PORT, FIRST_NODE_HOST, Flavour, MAX_NODES, NGINX_HOST, QUICK, REDIS_HOST, REDIS_PORT,
};
use super::reaper::{self, CLUSTER, RUN};
use super::topology::Topology;
use crate::images::{self, Part};
use anyhow::{Context, Result, ensure};
use futures_util::future::{try_join_all, try_join3};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::thread;
use testcontainers::bollard::Docker;

/// Settings of a cluster to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    nodes: usize,
    flavour: Flavour,
    settings: Vec<(String, String)>,
    name: Option<String>,
}

/// A running cluster. Dropping it removes it, which takes about a second; where a test failed, the containers' logs and
/// configurations are kept first, and named.
pub struct Cluster {
    topology: Topology,
}

impl Builder {
    /// How many nodes; two if not said.
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// Which database server; MySQL if not said.
    pub fn database(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// One more setting for every node: a key of `conf/server.toml` as `section.key`. With `listen.proxy_protocol`, nginx
    /// sends the header.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// A name to find the cluster by, instead of a random one.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts everything, and returns when everything answers.
    ///
    /// # Errors
    /// If part of it does not start: says which and why, and what was started is removed.
    pub async fn start(self) -> Result<Cluster> {
        ensure!((1..=MAX_NODES).contains(&self.nodes), "a cluster has 1 to {MAX_NODES} nodes, not {}", self.nodes);
        let run = reaper::run()?;
        let docker = docker::connect().await?;
        let name = self.name.clone().unwrap_or_else(|| format!("chat-{:08x}", reaper::rand()));
        let labels = HashMap::from([(RUN.to_owned(), run.to_owned()), (CLUSTER.to_owned(), name.clone())]);
        match self.launch(&docker, &name, labels).await {
            Ok(topology) => Ok(Cluster { topology }),
            Err(error) => {
                // The first error is the one to tell.
                let _ = reaper::sweep(&docker, CLUSTER, Some(&name)).await;
                Err(error.context("the cluster does not start"))
            }
        }
    }

    async fn launch(&self, docker: &Docker, name: &str, labels: HashMap<String, String>) -> Result<Topology> {
        let part = match self.flavour {
            Flavour::Mysql => Part::Mysql,
            Flavour::Mariadb => Part::Mariadb,
        };
        let (database, redis, nginx) = try_join3(
            images::acquire(docker, part),
            images::acquire(docker, Part::Redis),
            images::acquire(docker, Part::Nginx),
        )
        .await?;
        let node_image = images::node(docker);
        let network = Network::create(docker, name, labels.clone()).await?;
        let addresses: Vec<Ipv4Addr> =
            (0..self.nodes).map(|place| network.address(FIRST_NODE_HOST + place as u8)).collect();
        let plans = [
            parts::database(self.flavour, database, network.address(DATABASE_HOST)),
            parts::redis(redis, network.address(REDIS_HOST)),
            parts::nginx(nginx, network.address(NGINX_HOST), &addresses, self.sends_proxy_protocol())?,
        ];
        let machines = try_join_all(plans.map(|plan| Machine::launch(docker, &network, labels.clone(), plan)));
        let (machines, node_image) = futures_util::future::try_join(machines, node_image).await?;
        let [database, redis, nginx] = machines.try_into().ok().context("three machines were planned")?;
        let mut topology = Topology::new(network.clone(), database, redis, nginx, Vec::new());
        futures_util::future::try_join(topology.ready(&topology.database), topology.ready(&topology.redis)).await?;
        let settings = self.settings(&topology);
        let nodes = try_join_all(addresses.iter().enumerate().map(|(place, address)| {
            let plan = parts::node(place + 1, node_image.clone(), *address, &settings);
            Machine::launch(docker, &network, labels.clone(), plan)
        }))
        .await?;
        topology = Topology::new(network, topology.database, topology.redis, topology.nginx, nodes);
        topology.sends_proxy_protocol = self.sends_proxy_protocol();
        try_join_all(topology.nodes().iter().map(|node| topology.ready(node))).await?;
        topology.ready(&topology.nginx).await?;
        Ok(topology)
    }

    fn sends_proxy_protocol(&self) -> bool {
        self.settings.iter().any(|(key, value)| key == "listen.proxy_protocol" && value == "true")
    }

    fn settings(&self, topology: &Topology) -> Vec<(String, String)> {
        let (database, redis) = (topology.database.address, topology.redis.address);
        let mut settings = vec![
            ("database.url".to_owned(), format!("mysql://chat:chat@{database}:{DATABASE_PORT}/chat")),
            ("bus.url".to_owned(), format!("redis://{redis}:{REDIS_PORT}")),
        ];
        settings.extend(QUICK.map(|(key, value)| (key.to_owned(), value.to_owned())));
        settings.retain(|(key, _)| !self.settings.iter().any(|(own, _)| own == key));
        settings.extend(self.settings.iter().cloned());
        settings
    }
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder { nodes: 2, flavour: Flavour::default(), settings: Vec::new(), name: None }
    }

    /// Removes it, and returns when it is gone.
    ///
    /// # Errors
    /// If the engine does not answer; the reaper then tries again when this process ends.
    pub async fn stop(self) -> Result<()> {
        let docker = docker::connect().await?;
        let removed = reaper::sweep(&docker, CLUSTER, Some(self.name())).await;
        // It is done; a drop would only look for it again.
        std::mem::forget(self);
        removed.map(|_| ())
    }

    /// Keeps the containers' logs and configurations, and returns where.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub async fn keep_evidence(&self) -> Result<std::path::PathBuf> {
        evidence::keep(&self.topology).await
    }
}

impl Deref for Cluster {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.topology
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let has_failed = thread::panicking();
        let topology = self.topology.clone();
        let removed = in_own_runtime(async move {
            let docker = docker::connect().await?;
            if has_failed {
                match evidence::keep(&topology.through(&docker)).await {
                    Ok(directory) => eprintln!("harness: logs and configurations are in {}", directory.display()),
                    Err(error) => eprintln!("harness: cannot keep the logs: {error:#}"),
                }
            }
            reaper::sweep(&docker, CLUSTER, Some(topology.name())).await
        });
        if let Err(error) = removed {
            eprintln!("harness: {error:#}; the reaper tries again when this process ends");
        }
    }
}

/// Runs something to its end where one cannot await, as in a drop: in a thread with a runtime of its own, since the one
/// that is running may have no thread left to go on with. Connections of the outer runtime would hang there.
pub(crate) fn in_own_runtime<T: Send + 'static>(task: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(task)
    };
    thread::spawn(run).join().map_err(|_| anyhow::anyhow!("the clean-up panicked"))?
}
