//! Starting what nodes need: the database, Redis and nginx.

use super::images::{self, Part};
use super::machine::{Machine, Plan};
use super::network::Network;
use super::parts::{self, DATABASE_HOST, FIRST_BUS_HOST, FIRST_MEMBER_HOST, NGINX_HOST, REDIS_HOST};
use super::topology::Topology;
use crate::cluster::{Cluster, Flavour, Setup};
use anyhow::{Context, Result};
use futures_util::future::{try_join, try_join_all};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use testcontainers::bollard::Docker;

/// What a cluster stands on, before it is there.
pub(super) struct Foundation<'a> {
    pub docker: &'a Docker,
    pub network: &'a Network,
    pub labels: &'a HashMap<String, String>,
    pub setup: &'a Setup,
    /// For the database server.
    pub options: &'a [(String, String)],
}

impl Foundation<'_> {
    /// Database, Redis and nginx; the first two answer when this returns, or Redis is down, as the setup has it.
    pub async fn launch(&self, nodes: &[Ipv4Addr]) -> Result<Topology> {
        let part = match self.setup.flavour {
            Flavour::Mysql | Flavour::GroupReplication(_) => Part::Mysql,
            Flavour::Mariadb => Part::Mariadb,
            Flavour::Galera(_) => Part::Galera,
        };
        let parts = [part, Part::Redis, Part::Nginx].map(|part| images::acquire(self.docker, part));
        let [database, redis, nginx]: [String; 3] =
            try_join_all(parts).await?.try_into().ok().context("three images")?;
        let redises = self.redises(&redis).into_iter().map(|plan| self.machine(plan));
        let redises = try_join_all(redises);
        let nginx = self.machine(parts::nginx(nginx, self.network.address(NGINX_HOST), nodes)?);
        let (mut databases, (redises, nginx)) = try_join(self.databases(&database), try_join(redises, nginx)).await?;
        databases.sort_by_key(|database| database.address);
        let replication = self.setup.flavour.replication();
        let topology = Topology::new(self.network.clone(), replication, databases, redises, nginx);
        try_join_all(self.setup.services().iter().map(|service| topology.ready(service))).await?;
        if self.setup.is_redis_down {
            try_join_all(self.setup.redises().iter().map(|redis| topology.kill(redis))).await?;
        }
        Ok(topology)
    }

    fn redises(&self, image: &str) -> Vec<Plan> {
        let roles = self.setup.redises();
        let host = |place: usize| if roles.len() == 1 { REDIS_HOST } else { FIRST_BUS_HOST + place as u8 };
        let plan = |(place, role): (usize, &String)| {
            parts::redis(role.clone(), image.to_owned(), self.network.address(host(place)))
        };
        roles.iter().enumerate().map(plan).collect()
    }

    /// One, or several.
    async fn databases(&self, image: &str) -> Result<Vec<Machine>> {
        match self.setup.flavour {
            Flavour::Mysql | Flavour::Mariadb => {
                let address = self.network.address(DATABASE_HOST);
                let plan = parts::database(self.setup.flavour, image.to_owned(), address, self.options);
                Ok(vec![self.machine(plan).await?])
            }
            Flavour::Galera(count) => self.galera(image, count).await,
            // They find together when they are waited for.
            Flavour::GroupReplication(count) => {
                let addresses = self.members(count);
                let member =
                    |place| self.machine(parts::group_member(place, image.to_owned(), &addresses, self.options));
                try_join_all((0..count).map(member)).await
            }
        }
    }

    /// The first makes the cluster, and the others get its data.
    async fn galera(&self, image: &str, count: usize) -> Result<Vec<Machine>> {
        let addresses = self.members(count);
        let member = |place| {
            let has_clock = self.setup.has_clocks;
            self.machine(parts::member(place, image.to_owned(), &addresses, self.options, has_clock))
        };
        let first = member(0).await?;
        first.is_ready_member().await?;
        let others = try_join_all((1..count).map(member)).await?;
        Ok([vec![first], others].concat())
    }

    /// The addresses of the servers of a replicated database.
    fn members(&self, count: usize) -> Vec<Ipv4Addr> {
        (0..count).map(|place| self.network.address(FIRST_MEMBER_HOST + place as u8)).collect()
    }

    fn machine(&self, plan: Plan) -> impl Future<Output = Result<Machine>> {
        Machine::launch(self.docker, self.network, self.labels.clone(), plan)
    }
}
