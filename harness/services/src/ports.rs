//! Free ports for local services.

use anyhow::{Result, bail};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections, of which tests make very many: so a
/// service that is restarted finds its port free.
const PORTS: Range<u16> = 20_000..32_000;

/// Random, so that test processes beside each other rarely try the same ports.
static NEXT: LazyLock<AtomicUsize> =
    LazyLock::new(|| AtomicUsize::new(RandomState::new().hash_one(std::process::id()) as usize % PORTS.len()));

/// A port on 127.0.0.1 that nobody listens on, a different one each time. Another process may still be quicker to take
/// it: whoever starts a service on it tries again with another if it does not start.
pub fn free_port() -> Result<u16> {
    for _ in 0..PORTS.len() {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len();
        let port = PORTS.start + u16::try_from(offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let (one, other) = (free_port().expect("a free port"), free_port().expect("another free port"));
        assert_ne!(one, other);
        assert!(PORTS.contains(&one) && PORTS.contains(&other));
    }
}
