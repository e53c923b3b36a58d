//! Where a stranger comes from, as far as limits are concerned.
//!
//! One household, or one rented machine, has a whole IPv6 network of 64 bits to itself, so all addresses of such a
//! network are one origin. An IPv4 address that a socket shows in its IPv6 form is the IPv4 address that it is.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The time in which an address that has registered as often as it may can do so as often again.
pub const REGISTRATIONS_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Addresses whose registrations, and whose failed logins, are remembered (about 100 bytes each); beyond it the oldest
/// are forgotten, half of them at most.
pub const KEPT_ORIGINS: usize = 65_536;

/// The bits of an IPv6 address that tell origins apart.
const ORIGIN_BITS: u32 = 64;
/// The bits of an IPv6 address that name, by custom, a provider, and one of its customers.
const WIDER_BITS: [u32; 2] = [32, 48];
/// Those of an IPv4 address for a larger and the smallest network that is routed by itself, counted in its IPv6 form.
const WIDER_BITS_V4: [u32; 2] = [96 + 16, 96 + 24];

/// Whom limits per address count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    pub const fn of(address: IpAddr) -> Self {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(first_bits(address.to_bits(), ORIGIN_BITS))),
            address => address,
        })
    }

    /// The networks it stands in, the widest first, and itself: one who has many addresses has them in few networks.
    pub fn path(self) -> [u128; 3] {
        let (bits, [widest, wide]) = match self.0 {
            IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), WIDER_BITS_V4),
            IpAddr::V6(address) => (address.to_bits(), WIDER_BITS),
        };
        [first_bits(bits, widest), first_bits(bits, wide), bits]
    }
}

const fn first_bits(bits: u128, count: u32) -> u128 {
    bits & (u128::MAX << (128 - count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(address.parse().expect("an address"))
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_mapped_ipv4_as_ipv4() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(origin(one) == origin(other), same, "{one} {other}");
        }
    }

    #[test]
    fn networks_widen_and_those_of_the_two_families_differ() {
        let path = |address| origin(address).path();
        let shared = |one, other| path(one).iter().zip(path(other)).take_while(|(one, other)| *one == other).count();
        assert_eq!(shared("192.0.2.1", "192.0.2.2"), 2);
        assert_eq!(shared("192.0.2.1", "192.0.3.1"), 1);
        assert_eq!(shared("192.0.2.1", "192.1.2.1"), 0);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:1:3::1"), 2);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:2:2::1"), 1);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db9:1:2::1"), 0);
        assert_eq!(shared("192.0.2.1", "::1"), 0);
    }
}
