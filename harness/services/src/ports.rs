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

/// Ports tried before giving up, since another process may take one first.
pub(crate) const ATTEMPTS: usize = 5;

/// Starts something on a free port, and on another where it does not start.
///
/// # Errors
/// What the last attempt came to.
pub async fn on_free_port<T>(mut start: impl AsyncFnMut(u16) -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match start(free_port()?).await {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            started => return started,
        }
    }
}

/// A port on 127.0.0.1 that nobody listens on, a different one each time. Another process may still be quicker to take
/// it: see [`on_free_port`].
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
