//! The shipped `nginx/nginx.conf` with other upstreams, for what it is tested with.

use anyhow::{Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// Where connections of nginx to nodes come from: not the address that all else on this machine comes from, so that
/// nodes can ask it for a PROXY header and tests, which connect past it, for none.
pub const PROXY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);
/// The configuration as shipped.
const SHIPPED: &str = include_str!("../../../nginx/nginx.conf");

/// The shipped configuration for these upstreams; the parameters of the first one stay.
pub fn with_upstreams(upstreams: &[SocketAddr]) -> Result<String> {
    let mut config = String::new();
    let mut servers = 0;
    for line in SHIPPED.lines() {
        match words(line) {
            ("server", rest) if rest != "{" => {
                servers += 1;
                if servers == 1 {
                    let lines = upstreams.iter().map(|upstream| format!("server {upstream} {}\n", parameters(rest)));
                    config.extend(lines);
                }
            }
            _ => config += &format!("{line}\n"),
        }
    }
    ensure!(servers > 0, "nginx.conf has no server lines");
    Ok(config)
}

/// The same for a listener and a directory to write to of one's own, and for nodes that know it by [`PROXY_ADDRESS`].
pub(crate) fn for_processes(listen: SocketAddr, upstreams: &[SocketAddr], directory: &Path) -> Result<String> {
    let mut config = String::new();
    let (mut listens, mut pids) = (0, 0);
    for line in with_upstreams(upstreams)?.lines() {
        match words(line) {
            ("listen", rest) => {
                listens += 1;
                config += &format!("listen {listen} {}\n", parameters(rest));
            }
            ("pid", _) => {
                pids += 1;
                config += &format!("pid {};\n", directory.join("nginx.pid").display());
            }
            ("proxy_pass", _) => config += &format!("{line}\nproxy_bind {PROXY_ADDRESS};\n"),
            _ => config += &format!("{line}\n"),
        }
    }
    ensure!((listens, pids) == (1, 1), "nginx.conf has {listens} listen and {pids} pid lines: one of each expected");
    Ok(config)
}

/// A line's directive, and what follows it.
fn words(line: &str) -> (&str, &str) {
    line.trim().split_once(' ').unwrap_or_default()
}

/// What stands behind an address.
fn parameters(rest: &str) -> &str {
    rest.split_once(' ').map_or(";", |(_, parameters)| parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_differs_from_the_shipped_one_only_where_it_must() {
        let (listen, upstreams) = ("127.0.0.1:20001", ["127.0.0.1:20002", "10.0.0.1:12345"]);
        let address = |text: &str| text.parse().expect("an address");
        let config = for_processes(address(listen), &upstreams.map(address), Path::new("/nowhere"));
        let config = config.expect("it can be derived");

        let new: Vec<&str> = config.lines().filter(|line| !SHIPPED.contains(line)).collect();
        assert_eq!(
            new,
            [
                "pid /nowhere/nginx.pid;",
                "server 127.0.0.1:20002 max_fails=1 fail_timeout=2s;",
                "server 10.0.0.1:12345 max_fails=1 fail_timeout=2s;",
                "listen 127.0.0.1:20001 backlog=4096 so_keepalive=60s:10s:3;",
                "proxy_bind 127.0.0.8;",
            ]
        );
        assert!(config.lines().any(|line| line.trim() == "proxy_protocol on;"));
    }

    #[test]
    fn only_upstreams_are_replaced_for_containers() {
        let config = with_upstreams(&["10.0.0.1:12345".parse().expect("an address")]).expect("it can be derived");
        let new: Vec<&str> = config.lines().filter(|line| !SHIPPED.contains(line)).collect();
        assert_eq!(new, ["server 10.0.0.1:12345 max_fails=1 fail_timeout=2s;"]);
    }
}
