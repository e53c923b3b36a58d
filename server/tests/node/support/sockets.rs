//! Finds sockets of this process: a client's own, and the node's end of a connection.

use socket2::SockRef;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// Runs `with` on the socket that is bound to `local`.
pub fn with_socket_from<T>(local: SocketAddr, with: impl FnOnce(SockRef<'_>) -> T) -> Option<T> {
    find(|socket| socket.local_addr().ok()?.as_socket(), local, with)
}

/// Runs `with` on the socket that is connected to `peer`.
pub fn with_socket_to<T>(peer: SocketAddr, with: impl FnOnce(SockRef<'_>) -> T) -> Option<T> {
    find(|socket| socket.peer_addr().ok()?.as_socket(), peer, with)
}

fn find<T>(
    address: impl Fn(&SockRef<'_>) -> Option<SocketAddr>,
    wanted: SocketAddr,
    with: impl FnOnce(SockRef<'_>) -> T,
) -> Option<T> {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("Linux");
    let numbers: Vec<i32> = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers {
        // SAFETY: a descriptor that was closed or used anew meanwhile is no socket of the address wanted, and so only
        // asked for its address.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = SockRef::from(&descriptor);
        if address(&socket) == Some(wanted) {
            return Some(with(socket));
        }
    }
    None
}
