//! A cluster's own network, with fixed addresses: nginx looks its upstreams up only once, and without a fixed one a
//! container may come back from a restart at another's address.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};

/// Where the networks are laid out: 10.213.0.0/24 to 10.213.255.0/24.
const FIRST: [u8; 2] = [10, 213];
/// Networks tried before giving up; other test processes choose from the same.
const ATTEMPTS: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub name: String,
    third: u8,
}

impl Network {
    /// Makes one, in a range that no other network has.
    pub async fn create(docker: &Docker, name: &str, labels: HashMap<String, String>) -> Result<Network> {
        let start = super::reaper::rand() as usize;
        for attempt in 0..ATTEMPTS {
            let third = ((start + attempt) % 256) as u8;
            let network = Network { name: name.to_owned(), third };
            match docker.create_network(network.request(labels.clone())).await {
                Ok(_) => return Ok(network),
                Err(error) if is_taken(&error.to_string()) => {}
                Err(error) => return Err(error).context("cannot create a network"),
            }
        }
        let [a, b] = FIRST;
        bail!("{ATTEMPTS} networks within {a}.{b}.0.0/16 are taken: harness down removes what earlier runs left")
    }

    /// The one a container is in that has this address.
    pub fn of(name: &str, address: Ipv4Addr) -> Network {
        Network { name: name.to_owned(), third: address.octets()[2] }
    }

    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(FIRST[0], FIRST[1], self.third, last)
    }

    /// This machine, as the containers see it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn request(&self, labels: HashMap<String, String>) -> NetworkCreateRequest {
        let pool = IpamConfig {
            subnet: Some(format!("{}/24", self.address(0))),
            gateway: Some(self.gateway().to_string()),
            ..IpamConfig::default()
        };
        NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".into()),
            ipam: Some(Ipam { config: Some(vec![pool]), ..Ipam::default() }),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        }
    }
}

fn is_taken(error: &str) -> bool {
    error.contains("overlap") || error.contains("conflicts with")
}
