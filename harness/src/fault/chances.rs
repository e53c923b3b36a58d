//! Faults as they are written, for every place where they can happen.

/// What a node needs.
const SERVICES: [&str; 3] = ["redis", "database", "nginx"];

fn nodes(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|number| format!("node-{number}"))
}

/// One for each machine.
pub(super) fn on_machines(name: &str, count: usize) -> Vec<String> {
    SERVICES.map(str::to_owned).into_iter().chain(nodes(count)).map(|machine| format!("{name} {machine}")).collect()
}

/// One for each node.
pub(super) fn on_nodes(name: &str, count: usize) -> Vec<String> {
    nodes(count).map(|node| format!("{name} {node}")).collect()
}

/// Each node with each that it needs.
pub(super) fn pairs(count: usize) -> impl Iterator<Item = (String, &'static str)> {
    nodes(count).flat_map(|node| SERVICES.map(|service| (node.clone(), service)))
}

/// One for each link of a cluster with relays; `measure` is how bad it is.
pub(super) fn on_links(name: &str, count: usize, measure: &str) -> Vec<String> {
    let links = pairs(count).filter(|(_, service)| *service != "nginx");
    links.map(|(node, service)| format!("{name} {node} {service} {measure}").trim_end().to_owned()).collect()
}
