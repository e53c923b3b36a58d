//! Where a node's clients come from: a port, or channels inside this process.

pub use crate::connection::stream::Channel;

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Connections that the kernel may hold for us; beyond it clients try again by themselves.
const BACKLOG: u32 = 4_096;

/// A way in that nobody can take yet.
pub enum Entrance {
    Port(Port),
    /// Clients inside this process, who connect to `address` by name only.
    Channels {
        address: SocketAddr,
        clients: mpsc::Receiver<(Box<dyn Channel>, IpAddr)>,
    },
}

/// A port, taken but closed: whoever connects is refused, so that a load balancer goes on to another node.
pub struct Port(TcpSocket);

impl Port {
    pub fn bind(address: SocketAddr) -> io::Result<Port> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Port(socket))
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub fn open(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}

/// A way in that is open.
pub enum Opened {
    Port(TcpListener),
    Channels(mpsc::Receiver<(Box<dyn Channel>, IpAddr)>),
}

/// A client that has come in, and its address.
pub enum Visitor {
    Socket(TcpStream, IpAddr),
    Channel(Box<dyn Channel>, IpAddr),
}

impl Entrance {
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Entrance::Port(port) => port.address(),
            Entrance::Channels { address, .. } => Ok(*address),
        }
    }

    pub fn open(self) -> io::Result<Opened> {
        Ok(match self {
            Entrance::Port(port) => Opened::Port(port.open()?),
            Entrance::Channels { clients, .. } => Opened::Channels(clients),
        })
    }
}

impl Opened {
    pub async fn accept(&mut self) -> io::Result<Visitor> {
        match self {
            Opened::Port(listener) => {
                let (socket, peer) = listener.accept().await?;
                Ok(Visitor::Socket(socket, peer.ip().to_canonical()))
            }
            Opened::Channels(clients) => match clients.recv().await {
                Some((channel, address)) => Ok(Visitor::Channel(channel, address)),
                // Nobody is left to come in.
                None => std::future::pending().await,
            },
        }
    }
}
