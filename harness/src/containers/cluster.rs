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
use super::topology::{self, Topology};
use crate::containers::images::{self, Part};
use crate::fault::Fault;
use crate::link::{Links, Proxy};
use crate::program::Program;
use anyhow::{Context, Result, ensure};
use futures_util::future::{try_join, try_join_all};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::thread;
use testcontainers::bollard::Docker;

/// Settings of a cluster to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    nodes: usize,
    flavour: Flavour,
    database_options: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    name: Option<String>,
    is_proxied: bool,
    /// For nodes built with failpoints: what is on, as FAILPOINTS has it.
    failpoints: Option<String>,
}

/// A running cluster. Dropping it removes it, which takes about a second; where a test failed, what tells why is kept
/// first, and named: see [`evidence`].
pub struct Cluster {
    topology: Topology,
    /// `None` without [`Builder::proxied`].
    links: Option<Links>,
    is_removed: bool,
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

    /// One more option for the database server, as its manual has it but for the dashes in front.
    pub fn database_option(mut self, option: &str, value: &str) -> Self {
        self.database_options.push((option.into(), value.into()));
        self
    }

    /// One more setting for every node: a key of `conf/server.toml` as `section.key`. nginx sends PROXY headers, which
    /// nodes require from it and, with `listen.proxy_protocol`, from everybody.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// A file for every node, at an absolute path, as for a certificate that a setting names.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// A name to find the cluster by, instead of a random one.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Nodes reach the database and Redis through relays that can be made bad: with [`Fault::Link`], or at a finer
    /// grain with [`Cluster::link`].
    ///
    /// [`Fault::Link`]: crate::fault::Fault::Link
    pub fn proxied(mut self) -> Self {
        self.is_proxied = true;
        self
    }

    /// Nodes of a build that has faults built in, with those on that `FAILPOINTS` would name; see [`chat::failpoint`].
    pub fn failpoints(mut self, failpoints: &str) -> Self {
        self.failpoints = Some(failpoints.into());
        self
    }

    /// What these faults take.
    pub fn for_faults<'f>(self, faults: impl IntoIterator<Item = &'f Fault>) -> Self {
        if faults.into_iter().any(Fault::takes_relays) { self.proxied() } else { self }
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
        let is_there = topology::list(&docker).await?.iter().any(|entry| entry.cluster == name);
        ensure!(!is_there, "a cluster {name} runs already: choose another name, or harness down {name}");
        let labels = HashMap::from([(RUN.to_owned(), run.to_owned()), (CLUSTER.to_owned(), name.clone())]);
        match self.launch(&docker, &name, labels).await {
            Ok((topology, links)) => Ok(Cluster { topology, links, is_removed: false }),
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
            (0..self.nodes).map(|place| network.address(FIRST_NODE_HOST + place as u8)).collect();
        // What takes longest, a server to be built, goes on beside the rest.
        let services = self.launch_services(docker, &network, &labels, &addresses);
        let ([database, redis, nginx], node_image) = try_join(services, images::node(docker, self.program())).await?;
        let services = [
            ("database", SocketAddr::from((database.address, DATABASE_PORT))),
            ("redis", SocketAddr::from((redis.address, REDIS_PORT))),
        ];
        let links = match self.is_proxied {
            true => Some(Links::start(name, network.gateway().into(), self.nodes, services).await?),
            false => None,
        };
        let nodes = addresses.iter().enumerate().map(|(place, address)| {
            let mut settings = self.settings(place + 1, services, links.as_ref());
            let is_said = settings.iter().any(|(key, _)| key == "listen.proxy_from");
            if !is_said && !self.is_on("listen.proxy_protocol") {
                settings.push(("listen.proxy_from".to_owned(), nginx.address.to_string()));
            }
            let mut plan = parts::node(place + 1, node_image.clone(), *address, &settings);
            plan.files.clone_from(&self.files);
            plan.environment.extend(self.failpoints.iter().map(|on| ("FAILPOINTS".to_owned(), on.clone())));
            Machine::launch(docker, &network, labels.clone(), plan)
        });
        let nodes = try_join_all(nodes).await?;
        let mut topology = Topology::new(network, database, redis, nginx, nodes);
        topology.requires_proxy_header = self.is_on("listen.proxy_protocol");
        topology.requires_tls = self.is_on("tls.required");
        try_join_all(topology.nodes().iter().map(|node| topology.ready(node))).await?;
        topology.ready(&topology.nginx).await?;
        Ok((topology, links))
    }

    /// Database, Redis and nginx; the first two answer when this returns.
    async fn launch_services(
        &self,
        docker: &Docker,
        network: &Network,
        labels: &HashMap<String, String>,
        nodes: &[Ipv4Addr],
    ) -> Result<[Machine; 3]> {
        let part = match self.flavour {
            Flavour::Mysql => Part::Mysql,
            Flavour::Mariadb => Part::Mariadb,
        };
        let parts = [part, Part::Redis, Part::Nginx].map(|part| images::acquire(docker, part));
        let [database, redis, nginx]: [String; 3] =
            try_join_all(parts).await?.try_into().ok().context("three images")?;
        let plans = [
            parts::database(self.flavour, database, network.address(DATABASE_HOST), &self.database_options),
            parts::redis(redis, network.address(REDIS_HOST)),
            parts::nginx(nginx, network.address(NGINX_HOST), nodes)?,
        ];
        let machines = try_join_all(plans.map(|plan| Machine::launch(docker, network, labels.clone(), plan))).await?;
        let [database, redis, nginx]: [Machine; 3] = machines.try_into().ok().context("three machines")?;
        try_join(topology::serves(&database), topology::serves(&redis)).await?;
        Ok([database, redis, nginx])
    }

    fn program(&self) -> Program {
        if self.failpoints.is_some() { Program::WithFailpoints } else { Program::Server }
    }

    fn is_on(&self, setting: &str) -> bool {
        self.settings.iter().any(|(key, value)| key == setting && value == "true")
    }

    fn settings(
        &self,
        number: usize,
        services: [(&'static str, SocketAddr); 2],
        links: Option<&Links>,
    ) -> Vec<(String, String)> {
        let node = format!("node-{number}");
        let [database, redis] = services.map(|(service, direct)| {
            links.and_then(|links| links.between(&node, service)).map_or(direct, Proxy::address)
        });
        let mut settings = vec![
            ("database.url".to_owned(), format!("mysql://chat:chat@{database}/chat")),
            ("bus.url".to_owned(), format!("redis://{redis}")),
        ];
        settings.extend(QUICK.map(|(key, value)| (key.to_owned(), value.to_owned())));
        settings.retain(|(key, _)| !self.settings.iter().any(|(own, _)| own == key));
        settings.extend(self.settings.iter().cloned());
        settings
    }
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder {
            nodes: 2,
            flavour: Flavour::default(),
            database_options: Vec::new(),
            settings: Vec::new(),
            files: Vec::new(),
            name: None,
            is_proxied: false,
            failpoints: None,
        }
    }

    /// The relay between a node (`node-1`) and a service (`database` or `redis`).
    ///
    /// # Panics
    /// If there is none: the cluster was not started with [`Builder::proxied`].
    pub fn link(&self, node: &str, service: &str) -> &Proxy {
        let link = self.links.as_ref().and_then(|links| links.between(node, service));
        link.unwrap_or_else(|| panic!("there is no relay between {node} and {service}"))
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
    pub async fn keep_evidence(&self, again: &str) -> Result<std::path::PathBuf> {
        evidence::keep(&self.topology, Some(again)).await
    }

    /// The same for a test that is failing in this thread; says where on standard error.
    pub(super) fn keep_evidence_at_once(&self) {
        let topology = self.topology.clone();
        // Tests run in threads that carry their names, which are paths.
        let test = thread::current().name().filter(|name| name.contains("::")).map(str::to_owned);
        let again = test.map(|test| format!("cargo test -p harness --test containers -- --exact {test}"));
        let kept = in_own_runtime(async move {
            let docker = docker::connect().await?;
            evidence::keep(&topology.through(&docker), again.as_deref()).await
        });
        match kept {
            Ok(directory) => eprintln!("harness: histories, logs and configurations are in {}", directory.display()),
            Err(error) => eprintln!("harness: cannot keep what tells why: {error:#}"),
        }
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
        if self.is_removed {
            return;
        }
        if thread::panicking() {
            self.keep_evidence_at_once();
        }
        let topology = self.topology.clone();
        let removed = in_own_runtime(async move {
            let docker = docker::connect().await?;
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
