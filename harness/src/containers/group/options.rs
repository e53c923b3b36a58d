//! What makes a server a member of a replication group: the settings that are shipped, with each member's own.

use std::net::Ipv4Addr;

const SHIPPED: &str = include_str!("../../../../conf/group-replication.cnf");
/// Where members talk to each other.
const PORT: u16 = 33_061;

/// The options of a member, by its place from 0 among the addresses of all.
pub fn options(place: usize, addresses: &[Ipv4Addr]) -> Vec<String> {
    let at = |address: &Ipv4Addr| format!("{address}:{PORT}");
    let own = [
        ("server_id", (place + 1).to_string()),
        ("report_host", addresses[place].to_string()),
        ("loose_group_replication_local_address", at(&addresses[place])),
        ("loose_group_replication_group_seeds", addresses.iter().map(at).collect::<Vec<_>>().join(",")),
    ];
    let option = |(name, shipped): (&str, &str)| {
        let value = own.iter().find(|(own, _)| *own == name).map_or(shipped, |(_, value)| value);
        format!("--{name}={value}")
    };
    SHIPPED.lines().filter_map(setting).map(option).collect()
}

/// The name and the value of a line that sets something.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
    Some((name.trim(), value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_the_settings_that_are_shipped_and_their_own_addresses() {
        let addresses = [1, 2, 3].map(|last| Ipv4Addr::new(10, 213, 7, last));
        insta::assert_snapshot!(options(1, &addresses).join("\n"));
    }
}
