//! Faults as they are written, for every place where they can happen.

use crate::cluster::Setup;

/// What a node needs: Redis, the database, and who passes clients on to it.
fn services(setup: &Setup) -> Vec<String> {
    [setup.services(), vec!["nginx".to_owned()]].concat()
}

fn nodes(setup: &Setup) -> impl Iterator<Item = String> + use<> {
    (1..=setup.nodes).map(|number| format!("node-{number}"))
}

/// One for each machine.
pub(super) fn on_machines(name: &str, setup: &Setup) -> Vec<String> {
    services(setup).into_iter().chain(nodes(setup)).map(|machine| format!("{name} {machine}")).collect()
}

/// One for each node.
pub(super) fn on_nodes(name: &str, setup: &Setup) -> Vec<String> {
    nodes(setup).map(|node| format!("{name} {node}")).collect()
}

/// One for each member of a replicated database; `measure` says how bad it is.
pub(super) fn on_members(name: &str, setup: &Setup, measure: &str) -> Vec<String> {
    members(setup).map(|member| format!("{name} {member} {measure}").trim_end().to_owned()).collect()
}

/// The servers of a replicated database.
pub(super) fn members(setup: &Setup) -> impl Iterator<Item = String> + use<> {
    setup.databases().into_iter().filter(|database| database != "database")
}

/// Each node with each that it needs.
pub(super) fn pairs(setup: &Setup) -> impl Iterator<Item = (String, String)> + use<> {
    let services = services(setup);
    nodes(setup).flat_map(move |node| services.clone().into_iter().map(move |service| (node.clone(), service)))
}

/// One for each link of a cluster with relays; `measure` is how bad it is.
pub(super) fn on_links(name: &str, setup: &Setup, measure: &str) -> Vec<String> {
    let links = pairs(setup).filter(|(_, service)| service != "nginx");
    links.map(|(node, service)| format!("{name} {node} {service} {measure}").trim_end().to_owned()).collect()
}
