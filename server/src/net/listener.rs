//! Accepts connections, within the limits, and starts a task for each.
//!
//! What comes before the first message happens here: the PROXY header, if required, and the TLS handshake.

use crate::auth::origin::Origin;
use crate::config;
use crate::config::networks::Networks;
use crate::connection::{Accepted, Connection};
use crate::context::Core;
use crate::net::proxy_protocol::{self, MAX_V1_BYTES, MAX_V2_BYTES, Parsed};
use crate::net::stream::Stream;
use crate::session::outbound::Outbound;
use chat_protocol::errno::{Errno, Failure};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Connections that the kernel may hold for us; beyond it clients try again by themselves.
const BACKLOG: u32 = 4_096;
/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// The first byte of a TLS handshake.
const TLS_FIRST_BYTE: u8 = 0x16;
/// Either version of the PROXY header is at least this long.
const PROXY_SHORTEST: usize = 12;
const PROXY_V2_FIRST_BYTE: u8 = b'\r';

/// The node's port, taken but closed: whoever connects is refused, so that a load balancer goes on to another node.
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

/// Everything that is open, so that limits can be kept.
#[derive(Default)]
pub struct Open {
    state: Mutex<OpenState>,
}

#[derive(Default)]
struct OpenState {
    next: u64,
    all: HashMap<u64, Entry>,
    per_ip: HashMap<Origin, usize>,
    /// Those that have not logged in, oldest first.
    prelogin: BTreeMap<u64, Arc<Outbound>>,
}

struct Entry {
    outbound: Arc<Outbound>,
    /// Under which address it is counted; behind a proxy known only once its header has come.
    counted_as: Option<Origin>,
}

/// Who must begin with a PROXY header.
enum Proxies {
    Everybody,
    These(Networks),
}

impl Proxies {
    fn of(settings: &config::Listen) -> Self {
        match settings.proxy_protocol {
            true => Proxies::Everybody,
            // A node that is started by its settings has had them checked.
            false => Proxies::These(Networks::parse(&settings.proxy_from).unwrap_or_default()),
        }
    }

    fn contain(&self, peer: IpAddr) -> bool {
        match self {
            Proxies::Everybody => true,
            Proxies::These(networks) => networks.contains(peer),
        }
    }
}

/// A connection as the kernel hands it over.
struct Arrival {
    socket: TcpStream,
    peer: IpAddr,
    /// A header comes first, and says for whom the peer speaks.
    is_proxy: bool,
}

/// Accepts until the node drains.
pub async fn run(core: Arc<Core>, listener: TcpListener, tls: Option<TlsAcceptor>, open: Arc<Open>) {
    let proxies = Proxies::of(&core.config.listen);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.shutdown.draining() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let peer = peer.ip().to_canonical();
                let is_proxy = proxies.contain(peer);
                accept(&core, Arrival { socket, peer, is_proxy }, tls.clone(), &open);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn accept(core: &Arc<Core>, arrival: Arrival, tls: Option<TlsAcceptor>, open: &Arc<Open>) {
    core.metrics.connections_total.inc();
    let outbound = Arc::new(Outbound::new(core.config.limits.queue_bytes, core.metrics.clone()));
    let Some(number) = open.admit(core, &outbound, &arrival) else {
        core.metrics.connections_refused_total.inc();
        return;
    };
    let place = Place::taken(core, open, number);
    // Without it Nagle's algorithm and delayed acknowledgements add 40 ms to a second small write.
    if let Err(error) = arrival.socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    core.tasks.clone().spawn_short("connection", async move {
        let Place { core, open, number } = &place;
        let served = core.tasks.catch("connection", serve(core, arrival, tls, &outbound, open, *number)).await;
        if served.is_err() {
            core.clean_up_after(&outbound).await;
        }
    });
}

/// A connection's place among all that are open, until it is dropped: also where its task panics.
struct Place {
    core: Arc<Core>,
    open: Arc<Open>,
    number: u64,
}

impl Place {
    fn taken(core: &Arc<Core>, open: &Arc<Open>, number: u64) -> Self {
        core.metrics.connections.inc();
        Place { core: core.clone(), open: open.clone(), number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.closed(self.number);
        self.core.metrics.connections.dec();
    }
}

async fn serve(
    core: &Arc<Core>,
    arrival: Arrival,
    tls: Option<TlsAcceptor>,
    outbound: &Arc<Outbound>,
    open: &Arc<Open>,
    number: u64,
) {
    let (peer, is_proxy) = (arrival.peer, arrival.is_proxy);
    // Boxed: what the greeting needs is not carried through the connection's life.
    let greeted = {
        let greeting = Box::pin(greet(core, arrival, tls));
        tokio::select! {
            greeted = greeting => greeted,
            () = outbound.close_wanted() => return,
        }
    };
    let (stream, address) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => return tracing::debug!(%error, %peer, "connection ended before its first message"),
    };
    if is_proxy && !open.count(number, address, core.config.limits.connections_per_ip) {
        core.metrics.connections_refused_total.inc();
        return tracing::debug!(%address, "too many connections from one address");
    }
    let admitted = {
        let open = open.clone();
        Box::new(move || open.logged_in(number))
    };
    let accepted = Accepted { stream, address, outbound: outbound.clone(), admitted };
    Box::pin(Connection::new(core.clone(), accepted).run()).await;
}

/// The PROXY header and the TLS handshake, within the time that a connection may be silent.
async fn greet(core: &Core, arrival: Arrival, tls: Option<TlsAcceptor>) -> io::Result<(Stream, IpAddr)> {
    let limits = &core.config.limits;
    let patience = Duration::from_secs(limits.prelogin_timeout_s);
    let Arrival { mut socket, peer: mut address, is_proxy } = arrival;
    if is_proxy {
        let source = within(Duration::from_secs(limits.frame_timeout_s), read_proxy_header(&mut socket)).await?;
        address = source.map_or(address, |source| source.ip().to_canonical());
    }
    let Some(tls) = tls else { return Ok((Stream::Plain(socket), address)) };
    let mut first = [0];
    if within(patience, socket.peek(&mut first)).await? == 1 && first[0] != TLS_FIRST_BYTE {
        if core.config.tls.required {
            return Err(io::Error::other("not TLS, which is required"));
        }
        return Ok((Stream::Plain(socket), address));
    }
    let stream = within(Duration::from_secs(limits.frame_timeout_s), tls.accept(socket)).await?;
    Ok((Stream::Tls(Box::new(stream)), address))
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Reads exactly the header: a byte more would belong to the client's first message.
async fn read_proxy_header(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; PROXY_SHORTEST];
    socket.read_exact(&mut header).await?;
    let longest = if header[0] == PROXY_V2_FIRST_BYTE { MAX_V2_BYTES } else { MAX_V1_BYTES };
    loop {
        match proxy_protocol::parse(&header) {
            Parsed::Done { source, .. } => return Ok(source),
            Parsed::Bad(why) => return Err(io::Error::other(why)),
            Parsed::NeedMore if header.len() >= longest => return Err(io::Error::other("PROXY header too long")),
            Parsed::NeedMore => header.push(socket.read_u8().await?),
        }
    }
}

impl Open {
    /// `None`: no more connections are allowed, in all or from this address. Behind a proxy the peer's address is not
    /// the client's: that is counted later.
    fn admit(&self, core: &Core, outbound: &Arc<Outbound>, arrival: &Arrival) -> Option<u64> {
        let limits = &core.config.limits;
        let mut state = self.state.lock();
        if state.all.len() >= limits.connections {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.all.insert(number, Entry { outbound: outbound.clone(), counted_as: None });
        if !arrival.is_proxy && !state.count(number, arrival.peer, limits.connections_per_ip) {
            state.all.remove(&number);
            return None;
        }
        if state.prelogin.len() >= limits.prelogin_connections
            && let Some((_, oldest)) = state.prelogin.pop_first()
        {
            oldest.close(Failure::new(Errno::Idle, "too many connections that have not logged in"));
        }
        state.prelogin.insert(number, outbound.clone());
        Some(number)
    }

    /// False: there are as many connections from this address as allowed (0: no bound).
    fn count(&self, number: u64, address: IpAddr, per_ip: usize) -> bool {
        self.state.lock().count(number, address, per_ip)
    }

    fn logged_in(&self, number: u64) {
        self.state.lock().prelogin.remove(&number);
    }

    fn closed(&self, number: u64) {
        let mut state = self.state.lock();
        state.prelogin.remove(&number);
        let Some(address) = state.all.remove(&number).and_then(|entry| entry.counted_as) else { return };
        if let Some(count) = state.per_ip.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                state.per_ip.remove(&address);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.state.lock().all.len()
    }

    /// Every open connection's queue.
    pub fn all(&self) -> Vec<Arc<Outbound>> {
        self.state.lock().all.values().map(|entry| entry.outbound.clone()).collect()
    }
}

impl OpenState {
    fn count(&mut self, number: u64, address: IpAddr, per_ip: usize) -> bool {
        let origin = Origin::of(address);
        let count = self.per_ip.entry(origin).or_default();
        if per_ip > 0 && *count >= per_ip {
            return false;
        }
        *count += 1;
        if let Some(entry) = self.all.get_mut(&number) {
            entry.counted_as = Some(origin);
        }
        true
    }
}
