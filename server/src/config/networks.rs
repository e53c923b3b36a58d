//! A list of networks, as the settings name them: `10.0.0.0/8, 2001:db8::/32, 192.0.2.7`.

use std::net::IpAddr;

/// Which addresses are meant. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// Addresses that begin alike, as IPv6 has them: IPv4 stands in its IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    length: u32,
}

impl Networks {
    /// Reads addresses and networks with commas between them; an address without a length is meant alone. `Err` holds
    /// the first item that is neither.
    pub fn parse(text: &str) -> Result<Self, &str> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| Network::parse(item).ok_or(item)).collect::<Result<_, _>>().map(Networks)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = in_ipv6(address);
        self.0.iter().any(|network| (network.bits ^ bits).leading_zeros() >= network.length)
    }
}

impl Network {
    fn parse(item: &str) -> Option<Self> {
        let (address, length) = item.split_once('/').map_or((item, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= longest)?,
            None => longest,
        };
        Some(Network { bits: in_ipv6(address), length: 128 - longest + length })
    }
}

fn in_ipv6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &str, inside: &[&str], outside: &[&str]) {
        let parsed = Networks::parse(networks).expect("networks");
        let contains = |address: &&str| parsed.contains(address.parse().expect("an address"));
        for address in inside {
            assert!(contains(address), "{address} is in {networks}");
        }
        for address in outside {
            assert!(!contains(address), "{address} is not in {networks}");
        }
    }

    #[test]
    fn addresses_are_found_by_their_first_bits() {
        check("", &[], &["127.0.0.1", "::1"]);
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["11.0.0.0", "9.255.255.255", "::10"]);
        check("192.0.2.7 , ::1", &["192.0.2.7", "::1"], &["192.0.2.6", "::2", "127.0.0.1"]);
        check("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]);
        check("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "0.0.0.0"]);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1", "2001:db8::1"]);
        check("::/0", &["::1", "192.0.2.1"], &[]);
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in
            ["localhost", "10.0.0.0/33", "::1/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "/8", "10.0.0.0/8/8"]
        {
            assert_eq!(Networks::parse(&format!("192.0.2.1,{wrong},::1")), Err(wrong));
        }
    }
}
