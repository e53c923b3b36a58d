//! What the admin port asks the node.

use super::answer::Answer;
use super::call::{Call, Guest};
use super::port::{AdminState, Readiness};
use super::refusal::Refusal;
use super::routes;
use crate::auth::operators::Refused;
use crate::bus::Link;
use crate::context::Context;
use crate::storage::ServerState;
use async_trait::async_trait;
use hyper::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

#[async_trait]
impl AdminState for Context {
    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    fn readiness(&self) -> Readiness {
        let servers = self.storage.servers();
        let links = self.bus.links();
        Readiness {
            lease: (!self.lease.is_held()).then(|| "not held".into()),
            database: (!self.database_answers.load(Ordering::Acquire)).then(|| why_not(&servers)),
            bus: bus_trouble(self.bus.is_connected(), &links),
            bus_used: links
                .iter()
                .filter(|link| link.works && link.channels > 0)
                .map(|link| link.name.clone())
                .collect(),
            draining: self.shutdown.is_draining().then(|| "yes".into()),
            database_server: servers.into_iter().find(|server| server.is_used).map(|server| server.place),
        }
    }

    fn tls(&self) -> Arc<Option<TlsAcceptor>> {
        self.tls.get()
    }

    fn admit(&self, guest: &Guest, offered: Option<&str>) -> Result<(), Refusal> {
        let address = guest.address;
        if !guest.is_private {
            // Before it is looked at: whoever is on the way may have seen it, and learns nothing of it from this node.
            self.metrics.admin_refused_total.inc();
            tracing::warn!(from = %address, "an operator came over the network without TLS");
            let error = "over the network only under TLS: use https, or come from this machine";
            return Err(Refusal::new(StatusCode::FORBIDDEN, error));
        }
        self.operators.admit(address, offered, Instant::now()).map_err(|refused| {
            if refused != Refused::Off {
                self.metrics.admin_refused_total.inc();
            }
            if refused == Refused::Wrong {
                tracing::warn!(from = %address, "a wrong secret was offered to the admin port");
            }
            Refusal::from(refused)
        })
    }

    async fn operate(&self, call: Call) -> Answer {
        routes::answer(self, &call).await
    }

    fn drain(&self) {
        self.shutdown.drain();
    }
}

/// Why the database does not answer, as far as its servers say.
fn why_not(servers: &[ServerState]) -> String {
    let trouble = |server: &ServerState| Some(format!("{}: {}", server.place, server.trouble.as_ref()?));
    let troubles: Vec<String> = servers.iter().filter_map(trouble).collect();
    if troubles.is_empty() { "does not answer".into() } else { troubles.join("; ") }
}

fn bus_trouble(is_connected: bool, links: &[Link]) -> Option<String> {
    if !is_connected {
        return Some("not connected".into());
    }
    let broken: Vec<&str> = links.iter().filter(|link| !link.works).map(|link| link.name.as_str()).collect();
    (!broken.is_empty()).then(|| format!("nothing comes back through {}", broken.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_redis_that_does_not_work_is_named() {
        let link = |name: &str, works| Link { name: name.into(), works, channels: 1 };
        let trouble = |is_connected, works: [bool; 2]| {
            bus_trouble(is_connected, &[link("redis at a:1", works[0]), link("redis at b:1", works[1])])
        };
        assert_eq!(trouble(true, [true, true]), None);
        assert_eq!(trouble(true, [true, false]).as_deref(), Some("nothing comes back through redis at b:1"));
        assert_eq!(trouble(false, [false, false]).as_deref(), Some("not connected"));
        assert_eq!(bus_trouble(true, &[]), None);
    }
}
