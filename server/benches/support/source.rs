//! Many connections from one machine: their descriptors and their source addresses.

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// Connections from one source address; the ports of one would run out.
const PER_ADDRESS: usize = 4_000;

/// Allows this process as many descriptors as the system lets it have.
pub fn raise_descriptor_limit() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit on descriptors")?;
    Ok(())
}

/// Connects from 127.0.0.2, 127.0.0.3 …, so many from each.
pub fn connect(address: SocketAddr, place: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let on: libc::c_int = 1;
    // SAFETY: the option is one int, and `on` outlives the call. Without it every bind searches all ports for a free
    // one.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    ensure!(result == 0, "IP_BIND_ADDRESS_NO_PORT: {}", std::io::Error::last_os_error());
    let last = 2 + u8::try_from(place / PER_ADDRESS)?;
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    socket.bind(&source.into())?;
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
