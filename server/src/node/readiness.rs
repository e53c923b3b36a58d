//! What the admin port asks the node.

use crate::bus::Link;
use crate::context::Context;
use crate::storage::ServerState;
use crate::telemetry::admin::{AdminState, Readiness};
use std::sync::atomic::Ordering;

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
