//! Starting a cluster of processes: what nodes need side by side, then the nodes.

use super::Parts;
use super::database::Database;
use super::machine::Bus;
use super::node::Node;
use crate::cluster::{Setup, bus_url};
use crate::link::Links;
use crate::users::Records;
use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use services::nginx::Nginx;
use services::nginx_config::PROXY_ADDRESS;
use services::redis::Redis;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub(super) async fn start_in(directory: TempDir, setup: Setup) -> Result<Parts> {
    setup.check()?;
    let (database, redises) = start_services(&setup).await?;
    let name = directory.path().file_name().context("a directory has a name")?.to_string_lossy().into_owned();
    let databases: Vec<_> = database.servers.iter().map(|server| (server.role.clone(), server.address)).collect();
    let buses: Vec<_> = redises.iter().map(|redis| (redis.role.clone(), redis.address)).collect();
    let links = match setup.has_relays {
        true => {
            let services = [databases.clone(), buses.clone()].concat();
            Some(Links::start(&name, IpAddr::from(Ipv4Addr::LOCALHOST), setup.nodes, services).await?)
        }
        false => None,
    };
    let urls = |node: &str| {
        let at = |services: &[(String, SocketAddr)]| -> Vec<SocketAddr> {
            let relayed = |service: &str| links.as_ref().and_then(|links| links.address(node, service));
            services.iter().map(|(service, direct)| relayed(service).unwrap_or(*direct)).collect()
        };
        [("database.url", database.url_at(&at(&databases))), ("bus.url", bus_url(&at(&buses)))]
    };
    let nodes = start_nodes(&setup, urls, directory.path()).await?;
    let nginx = Nginx::start(&nodes.iter().map(Node::address).collect::<Vec<_>>()).await?;
    let entry = nginx.address();
    Ok(Parts {
        nodes,
        nginx: Mutex::new(nginx),
        entry,
        is_guarded: setup.is_guarded(),
        redises,
        database,
        _links: links,
        directory,
        name,
        records: Records::default(),
    })
}

async fn start_services(setup: &Setup) -> Result<(Database, Vec<Bus>)> {
    let wanted = setup.clone();
    let database = spawn_blocking(move || Database::start(&wanted));
    let mut redises = Vec::new();
    for role in setup.redises() {
        let redis = if setup.is_redis_down { Redis::down()? } else { Redis::start().await? };
        redises.push(Bus { role, address: redis.address(), server: Mutex::new(redis) });
    }
    Ok((database.await??, redises))
}

/// All at the same time, as after a power failure; `urls` says where each finds what it needs.
async fn start_nodes(
    setup: &Setup,
    urls: impl Fn(&str) -> [(&'static str, String); 2],
    directory: &Path,
) -> Result<Vec<Node>> {
    let files = write_files(setup, directory)?;
    let start = |number| {
        let id = format!("node-{number}");
        let mut settings = setup.settings(&urls(&id), &PROXY_ADDRESS.to_string());
        settings.iter_mut().for_each(|(_, value)| in_directory(&files, value));
        Node::start(id, settings, setup.is_guarded(), directory)
    };
    try_join_all((1..=setup.nodes).map(start)).await
}

/// Writes the setup's files; returns where each is instead.
fn write_files(setup: &Setup, directory: &Path) -> Result<Vec<(String, String)>> {
    let write = |(path, content): &(String, Vec<u8>)| {
        let place = directory.join(path.trim_start_matches('/'));
        fs::write(&place, content)?;
        Ok((path.clone(), place.display().to_string()))
    };
    setup.files.iter().map(write).collect()
}

/// A setting that names a file gets where that really is.
fn in_directory(files: &[(String, String)], value: &mut String) {
    if let Some((_, place)) = files.iter().find(|(path, _)| path == value) {
        value.clone_from(place);
    }
}
