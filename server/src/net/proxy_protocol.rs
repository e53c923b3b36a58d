//! The PROXY protocol header, version 1 (a line) or 2 (binary), by which a load balancer says who the client is.
//!
//! The header comes before anything else on the connection and in as many pieces as the network likes: the caller
//! gathers bytes and asks again until the answer is not [`Parsed::NeedMore`]. How long it waits is its own business;
//! how many bytes it can be made to keep is bounded here by [`MAX_V2_BYTES`]. What follows the header is left
//! untouched.

use ppp::{v1, v2};
use std::net::SocketAddr;

/// The longest version 1 line, CR LF included, as its specification has it.
pub const MAX_V1_BYTES: usize = 107;
/// The longest version 2 header accepted. The format allows 64 KiB; addresses and the usual extensions take less than
/// 600 bytes, and these bytes are kept for a client of whom nothing is known yet. Beyond it the header is bad.
pub const MAX_V2_BYTES: usize = 2 * 1024;

/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
const V2_LENGTH_AT: usize = 14;
const V2_VERSION_AT: usize = 12;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; ask again with more bytes.
    NeedMore,
    /// A whole header in the first `header_len` bytes.
    Done {
        header_len: usize,
        /// The client's address. `None`: the proxy speaks for itself (health checks) or does not know; the address
        /// of the socket counts.
        source: Option<SocketAddr>,
    },
    /// Not a header, and no further bytes make it one: close. The text says why.
    Bad(&'static str),
}

/// Looks for a header at the beginning of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    if starts_alike(bytes, v2::PROTOCOL_PREFIX) {
        parse_v2(bytes)
    } else if starts_alike(bytes, v1::PROTOCOL_PREFIX.as_bytes()) {
        parse_v1(bytes)
    } else {
        Parsed::Bad("expected a PROXY protocol header")
    }
}

/// Whether `bytes` begin with `prefix`, as far as there are any.
fn starts_alike(bytes: &[u8], prefix: &[u8]) -> bool {
    let common = bytes.len().min(prefix.len());
    bytes[..common] == prefix[..common]
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    // The parser is asked only about whole lines: of a line cut after a blank it would say that the port is wrong.
    let within_limit = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(end) = within_limit.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_V1_BYTES {
            Parsed::NeedMore
        } else {
            Parsed::Bad("PROXY line longer than 107 bytes")
        };
    };
    let line = &bytes[..=end];
    let Ok(header) = v1::Header::try_from(line) else {
        return Parsed::Bad("malformed PROXY line");
    };
    if header.header.len() != line.len() {
        return Parsed::Bad("malformed end of the PROXY line");
    }
    let source = match header.addresses {
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Unknown => None,
    };
    Parsed::Done { header_len: line.len(), source }
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.get(..V2_FIXED_BYTES) else {
        return Parsed::NeedMore;
    };
    let length = usize::from(u16::from_be_bytes([fixed[V2_LENGTH_AT], fixed[V2_LENGTH_AT + 1]]));
    let header_len = V2_FIXED_BYTES + length;
    if header_len > MAX_V2_BYTES {
        return Parsed::Bad("PROXY header longer than 2 KiB");
    }
    let Some(whole) = bytes.get(..header_len) else {
        return Parsed::NeedMore;
    };
    // LOCAL: the rest is to be skipped whatever it says, also an address family nobody has heard of.
    if fixed[V2_VERSION_AT] == 0x20 {
        return Parsed::Done { header_len, source: None };
    }
    match v2::Header::try_from(whole) {
        Ok(header) if header.protocol == v2::Protocol::Datagram => Parsed::Bad("PROXY header for a datagram"),
        Ok(header) => Parsed::Done { header_len, source: v2_source(&header.addresses) },
        Err(v2::ParseError::Version(_)) => Parsed::Bad("unknown PROXY protocol version"),
        Err(v2::ParseError::Command(_)) => Parsed::Bad("unknown PROXY command"),
        Err(v2::ParseError::InvalidAddresses(..)) => Parsed::Bad("PROXY header too short for its addresses"),
        Err(_) => Parsed::Bad("malformed PROXY header"),
    }
}

fn v2_source(addresses: &v2::Addresses) -> Option<SocketAddr> {
    match addresses {
        v2::Addresses::IPv4(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v2::Addresses::IPv6(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The header alone, in single bytes, and followed by other data must all come to the same.
    #[track_caller]
    fn check(header: &[u8], source: Option<&str>) {
        let expected = Parsed::Done { header_len: header.len(), source: source.map(|text| text.parse().unwrap()) };
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Parsed::NeedMore, "after {cut} of {} bytes", header.len());
        }
        assert_eq!(parse(header), expected);
        assert_eq!(parse(&[header, b"\x00\x00\x00\x02{}\r\n"].concat()), expected);
    }

    #[track_caller]
    fn refused(header: &[u8]) {
        assert!(
            matches!(parse(header), Parsed::Bad(_)),
            "{:?}: {:?}",
            header.escape_ascii().to_string(),
            parse(header)
        );
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, payload].concat()
    }

    fn v2_ipv4_payload(extra: usize) -> Vec<u8> {
        let mut payload = vec![192, 0, 2, 7, 198, 51, 100, 1, 0xC8, 0x12, 0x1F, 0x40];
        payload.resize(12 + extra, 0);
        payload
    }

    #[test]
    fn v1_lines_are_read_in_any_pieces() {
        check(b"PROXY TCP4 192.0.2.7 198.51.100.1 51218 8000\r\n", Some("192.0.2.7:51218"));
        check(b"PROXY TCP6 2001:db8::7 2001:db8::1 51218 8000\r\n", Some("[2001:db8::7]:51218"));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None);
        let longest = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(longest.len(), MAX_V1_BYTES);
        check(longest, None);
    }

    #[test]
    fn malformed_v1_lines_are_refused() {
        refused(b"PROXY TCP4 192.0.2.7 198.51.100.1 51218 65536\r\n");
        refused(b"PROXY TCP4 192.0.2.7 198.51.100.1 051218 8000\r\n");
        refused(b"PROXY TCP4 2001:db8::7 2001:db8::1 51218 8000\r\n");
        refused(b"PROXY TCP4 192.0.2.7 198.51.100.1 51218\r\n");
        refused(b"PROXY TCP4 192.0.2.7 198.51.100.1 51218 8000\n");
        refused(b"PROXY TCP4 192.0.2.7 198.51.100.1 51218 8000\rx\n");
        refused(b"PROXY UDP4 192.0.2.7 198.51.100.1 51218 8000\r\n");
        refused(b"PROXY \xff\xff\r\n");
        refused(b"PROXYS UNKNOWN\r\n");
        refused(b"proxy UNKNOWN\r\n");
        refused(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat());
        refused(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat());
    }

    #[test]
    fn v2_headers_are_read_in_any_pieces() {
        check(&v2(0x21, 0x11, &v2_ipv4_payload(0)), Some("192.0.2.7:51218"));
        let mut ipv6 = [0; 36];
        ipv6[0] = 0xFE;
        ipv6[1] = 0x80;
        ipv6[33] = 9;
        check(&v2(0x21, 0x21, &ipv6), Some("[fe80::]:9"));
        check(&v2(0x21, 0x31, &[b'/'; 216]), None);
        check(&v2(0x21, 0x00, &[]), None);
        check(&v2(0x21, 0x00, &[1, 2, 3]), None);
    }

    #[test]
    fn v2_extensions_are_skipped_up_to_the_limit() {
        let room = MAX_V2_BYTES - V2_FIXED_BYTES - 12;
        check(&v2(0x21, 0x11, &v2_ipv4_payload(40)), Some("192.0.2.7:51218"));
        check(&v2(0x21, 0x11, &v2_ipv4_payload(room)), Some("192.0.2.7:51218"));
        refused(&v2(0x21, 0x11, &v2_ipv4_payload(room + 1)));
        refused(&v2(0x21, 0x11, &[])[..14].iter().copied().chain([0xFF, 0xFF]).collect::<Vec<_>>());
    }

    #[test]
    fn v2_local_ignores_what_it_carries() {
        check(&v2(0x20, 0x00, &[]), None);
        check(&v2(0x20, 0x11, &v2_ipv4_payload(0)), None);
        check(&v2(0x20, 0xF7, &[1, 2, 3]), None);
    }

    #[test]
    fn malformed_v2_headers_are_refused() {
        refused(&v2(0x11, 0x11, &v2_ipv4_payload(0)));
        refused(&v2(0x22, 0x11, &v2_ipv4_payload(0)));
        refused(&v2(0x21, 0x41, &v2_ipv4_payload(0)));
        refused(&v2(0x21, 0x13, &v2_ipv4_payload(0)));
        refused(&v2(0x21, 0x12, &v2_ipv4_payload(0)));
        refused(&v2(0x21, 0x11, &[0; 11]));
        refused(&v2(0x21, 0x21, &[0; 35]));
        refused(&v2(0x21, 0x31, &[0; 215]));
    }

    #[test]
    fn other_dialects_are_refused_at_their_first_byte() {
        for first in [b"\x00".as_slice(), b"\xFE", b"{", b" ", b"\x16", b"\n", b"GET / HTTP/1.1"] {
            refused(first);
        }
        assert_eq!(parse(b""), Parsed::NeedMore);
    }

    proptest! {
        #[test]
        fn no_input_panics_and_answers_never_change_with_more_bytes(
            start in prop_oneof![
                Just(Vec::new()),
                Just(b"PROXY ".to_vec()),
                Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
                Just(v2::PROTOCOL_PREFIX.to_vec()),
                Just([v2::PROTOCOL_PREFIX, b"\x21\x11\x00"].concat()),
            ],
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            let mut settled = None;
            for cut in 0..=bytes.len() {
                let parsed = parse(&bytes[..cut]);
                match settled {
                    Some(earlier) => prop_assert_eq!(parsed, earlier),
                    None if parsed != Parsed::NeedMore => settled = Some(parsed),
                    None => {}
                }
                if let Parsed::Done { header_len, .. } = parsed {
                    prop_assert!(header_len <= cut);
                }
            }
        }
    }
}
