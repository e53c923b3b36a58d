//! What each container of a cluster is started with.
//!
//! Official images and stand-ins are started alike: the former read the variables and make the database, the latter
//! have it made already and ignore them.

use super::group;
use super::machine::Plan;
use crate::cluster::Flavour;
use anyhow::Result;
use services::galera::{self, clock_text, clock_variables};
use services::nginx_config::with_upstreams;
use std::net::Ipv4Addr;

pub(crate) const DATABASE_PORT: u16 = 3306;
pub(crate) const REDIS_PORT: u16 = 6379;
pub(crate) const NGINX_PORT: u16 = 8000;
pub(crate) const NODE_PORT: u16 = 12345;
pub(crate) const ADMIN_PORT: u16 = 9100;

/// Last numbers of the addresses.
pub(crate) const DATABASE_HOST: u8 = 10;
pub(crate) const REDIS_HOST: u8 = 11;
pub(crate) const NGINX_HOST: u8 = 12;
pub(crate) const FIRST_NODE_HOST: u8 = 20;
pub(crate) const FIRST_MEMBER_HOST: u8 = 230;
pub(crate) const FIRST_BUS_HOST: u8 = 240;
/// A network has that many addresses left for nodes.
pub(crate) const MAX_NODES: usize = 200;

/// What a member's clock goes by, where that can be set.
pub(crate) const CLOCK: &str = "/tmp/clock";
/// Where it is there, a member forgets everything at its next start.
pub(crate) const FORGET: &str = "/tmp/forget";
pub(crate) const NGINX_CONFIG: &str = "/etc/nginx/nginx.conf";

/// The database: commits are flushed as they are by default; only what a small cluster has no use for is left out.
/// `options` come last, so that they count.
pub(crate) fn database(flavour: Flavour, image: String, address: Ipv4Addr, options: &[(String, String)]) -> Plan {
    let mut command: Vec<String> =
        ["--max-connections=1000", "--skip-name-resolve", "--innodb-buffer-pool-size=134217728"]
            .map(str::to_owned)
            .into();
    let (prefix, own): (_, &[&str]) = match flavour {
        Flavour::Mysql => ("MYSQL", &["--performance-schema=OFF", "--mysqlx=OFF", "--skip-log-bin"]),
        // Members of a group are asked who is in it, over the performance schema.
        Flavour::GroupReplication(_) => ("MYSQL", &["--mysqlx=OFF"]),
        Flavour::Mariadb | Flavour::Galera(_) => ("MARIADB", &[]),
    };
    command.extend(own.iter().map(|option| (*option).to_owned()));
    command.extend(options.iter().map(|(option, value)| format!("--{option}={value}")));
    let settings = [("DATABASE", "chat"), ("USER", "chat"), ("PASSWORD", "chat"), ("RANDOM_ROOT_PASSWORD", "yes")];
    let environment = settings.map(|(key, value)| (format!("{prefix}_{key}"), value.to_owned())).into();
    Plan { role: "database".into(), image, address, command, environment, files: Vec::new() }
}

/// A member of a Galera cluster, by its place from 0 among the addresses of all.
pub(crate) fn member(
    place: usize,
    image: String,
    addresses: &[Ipv4Addr],
    options: &[(String, String)],
    has_clock: bool,
) -> Plan {
    let mut plan = database(Flavour::Galera(addresses.len()), image, addresses[place], &[]);
    plan.role = galera::name(place);
    let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    plan.command.extend(galera::options(place, &peers, &[]));
    plan.command.extend(options.iter().map(|(option, value)| format!("--{option}={value}")));
    plan.environment = if place == 0 { vec![("BOOTSTRAP".to_owned(), "yes".to_owned())] } else { Vec::new() };
    if has_clock {
        plan.environment.extend(clock_variables(CLOCK).map(|(name, value)| (name.to_owned(), value)));
        plan.files.push((CLOCK.to_owned(), clock_text(0).into_bytes()));
    }
    plan
}

/// A member of a replication group, by its place from 0 among the addresses of all. It is in no group yet.
pub(crate) fn group_member(place: usize, image: String, addresses: &[Ipv4Addr], options: &[(String, String)]) -> Plan {
    let flavour = Flavour::GroupReplication(addresses.len());
    let mut plan = database(flavour, image, addresses[place], &[]);
    plan.role = galera::name(place);
    plan.command.extend(group::options(place, addresses));
    plan.command.extend(options.iter().map(|(option, value)| format!("--{option}={value}")));
    // Whoever runs a group is root there, from another machine; as in the stand-in.
    plan.environment.retain(|(name, _)| name != "MYSQL_RANDOM_ROOT_PASSWORD");
    plan.environment.push(("MYSQL_ALLOW_EMPTY_PASSWORD".to_owned(), "yes".to_owned()));
    plan
}

/// Redis, which keeps nothing: a restart is empty.
pub(crate) fn redis(role: String, image: String, address: Ipv4Addr) -> Plan {
    let options = "redis-server --bind 0.0.0.0 --protected-mode no --save  --appendonly no";
    // The value of --save is empty. The stand-in has the program as its entry point, the official image a script.
    let skip = usize::from(image.starts_with("chat-harness/"));
    let command = options.split(' ').skip(skip).map(str::to_owned).collect();
    Plan { role, image, address, command, environment: Vec::new(), files: Vec::new() }
}

/// nginx with the configuration as shipped, for these nodes.
pub(crate) fn nginx(image: String, address: Ipv4Addr, nodes: &[Ipv4Addr]) -> Result<Plan> {
    let config = nginx_config(nodes)?;
    let skip = usize::from(image.starts_with("chat-harness/"));
    let command = ["nginx", "-g", "daemon off;"].iter().skip(skip).map(|word| (*word).to_owned()).collect();
    let files = vec![(NGINX_CONFIG.to_owned(), config.into_bytes())];
    Ok(Plan { role: "nginx".into(), image, address, command, environment: Vec::new(), files })
}

/// The shipped configuration for these nodes.
pub(crate) fn nginx_config(nodes: &[Ipv4Addr]) -> Result<String> {
    with_upstreams(&nodes.iter().map(|node| (*node, NODE_PORT).into()).collect::<Vec<_>>())
}

/// A node; `settings` are keys of `conf/server.toml`, as `section.key`.
pub(crate) fn node(number: usize, image: String, address: Ipv4Addr, settings: &[(String, String)]) -> Plan {
    let role = format!("node-{number}");
    let own = [
        ("node.id", role.clone()),
        ("listen.port", NODE_PORT.to_string()),
        ("admin.address", format!("0.0.0.0:{ADMIN_PORT}")),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value));
    let variable = |key: &str| format!("CHAT_{}", key.replace('.', "__").to_uppercase());
    let environment = own.iter().chain(settings).map(|(key, value)| (variable(key), value.clone())).collect();
    Plan { role, image, address, command: Vec::new(), environment, files: Vec::new() }
}
