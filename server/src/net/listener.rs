//! Accepts connections, within the limits, and starts a task for each.
//!
//! What comes before the first message happens here: the PROXY header, if required, and the TLS handshake.

use crate::config::networks::Networks;
use crate::config::{self, Config};
use crate::connection::stream::Stream;
use crate::connection::{Accepted, Connection};
use crate::context::Context;
use crate::net::entrance::{Opened, Visitor};
use crate::net::open::Open;
use crate::net::proxy_protocol::{self, MAX_V1_BYTES, MAX_V2_BYTES, Parsed};
use crate::service::login;
use crate::session::outbound::Outbound;
use crate::tls;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Either version of the PROXY header is at least this long.
const PROXY_SHORTEST: usize = 12;
const PROXY_V2_FIRST_BYTE: u8 = b'\r';

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

/// A connection as it comes in.
struct Arrival {
    config: Arc<Config>,
    visitor: Visitor,
    peer: IpAddr,
    /// A header comes first, and says for whom the peer speaks.
    is_proxy: bool,
}

/// Accepts until the node drains.
pub async fn run(context: Arc<Context>, mut entrance: Opened, open: Arc<Open>) {
    let mut config = context.config.get();
    let mut proxies = Proxies::of(&config.listen);
    loop {
        let accepted = tokio::select! {
            accepted = entrance.accept() => accepted,
            () = context.shutdown.draining() => return,
        };
        let now = context.config.get();
        if !Arc::ptr_eq(&now, &config) {
            (proxies, config) = (Proxies::of(&now.listen), now);
        }
        match accepted {
            Ok(visitor) => {
                let (peer, is_proxy) = match &visitor {
                    Visitor::Socket(_, peer) => (*peer, proxies.contain(*peer)),
                    Visitor::Channel(_, address) => (*address, false),
                };
                accept(&context, Arrival { config: config.clone(), visitor, peer, is_proxy }, &open);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn accept(context: &Arc<Context>, arrival: Arrival, open: &Arc<Open>) {
    let limits = &arrival.config.limits;
    context.metrics.connections_total.inc();
    let (clock, metrics) = (context.environment.clock.clone(), context.metrics.clone());
    let outbound = Arc::new(Outbound::new(limits.queue_bytes, clock, metrics));
    let Some(number) = open.admit(limits, &outbound, (!arrival.is_proxy).then_some(arrival.peer)) else {
        context.metrics.connections_refused_total.inc();
        return;
    };
    let place = Place::taken(context, open, number);
    // Without it Nagle's algorithm and delayed acknowledgements add 40 ms to a second small write.
    if let Visitor::Socket(socket, _) = &arrival.visitor
        && let Err(error) = socket.set_nodelay(true)
    {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let tasks = context.environment.tasks.clone();
    // Boxed, one after the other: a task is as large as the most it ever holds, and idle clients are many.
    let greeting = Box::pin(welcome(context.clone(), arrival, outbound.clone(), open.clone(), number));
    tasks.clone().spawn_short("connection", async move {
        let serving = async {
            if let Some(mut connection) = greeting.await {
                connection.run().await;
            }
        };
        if tasks.catch("connection", serving).await.is_err() {
            Box::pin(login::clean_up_after(&place.context, &outbound)).await;
        }
    });
}

/// A connection's place among all that are open, until it is dropped: also where its task panics.
struct Place {
    context: Arc<Context>,
    open: Arc<Open>,
    number: u64,
}

impl Place {
    fn taken(context: &Arc<Context>, open: &Arc<Open>, number: u64) -> Self {
        context.metrics.connections.inc();
        Place { context: context.clone(), open: open.clone(), number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.closed(self.number);
        self.context.metrics.connections.dec();
    }
}

/// What comes before the first message. `None` if nothing will.
async fn welcome(
    context: Arc<Context>,
    arrival: Arrival,
    outbound: Arc<Outbound>,
    open: Arc<Open>,
    number: u64,
) -> Option<Box<Connection>> {
    let (config, peer, is_proxy) = (arrival.config.clone(), arrival.peer, arrival.is_proxy);
    let greeted = tokio::select! {
        greeted = greet(arrival, context.tls.get()) => greeted,
        () = outbound.close_wanted() => return None,
    };
    let (stream, address) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            tracing::debug!(%error, %peer, "connection ended before its first message");
            return None;
        }
    };
    if is_proxy && !open.count(number, address, config.limits.connections_per_ip) {
        context.metrics.connections_refused_total.inc();
        tracing::debug!(%address, "too many connections from one address");
        return None;
    }
    let admitted = Box::new(move || open.logged_in(number));
    Some(Box::new(Connection::new(context, Accepted { config, stream, address, outbound, admitted })))
}

/// The PROXY header and the TLS handshake, within the time that a connection may be silent.
async fn greet(arrival: Arrival, tls: Arc<Option<TlsAcceptor>>) -> io::Result<(Stream, IpAddr)> {
    let Arrival { config, visitor, peer: mut address, is_proxy } = arrival;
    let limits = &config.limits;
    let patience = Duration::from_secs(limits.prelogin_timeout_s);
    let mut socket = match visitor {
        Visitor::Socket(socket, _) => socket,
        Visitor::Channel(channel, _) => return Ok((Stream::Channel(channel), address)),
    };
    if is_proxy {
        let source = within(Duration::from_secs(limits.frame_timeout_s), read_proxy_header(&mut socket)).await?;
        address = source.map_or(address, |source| source.ip().to_canonical());
    }
    let Some(tls) = tls.as_ref() else { return Ok((Stream::Plain(socket), address)) };
    let mut first = [0];
    if within(patience, socket.peek(&mut first)).await? == 1 && first != [tls::FIRST_BYTE] {
        if config.tls.required {
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
