//! The relays between nodes and what they need, and the channel over which faults reach them.
//!
//! Relays live in the process that started the cluster; a fault may come from another one (`harness fault`). So every
//! fault of a link is asked for over a Unix socket, whose name follows from the cluster's: one request a connection, a
//! line that names both ends of the link and its trouble. It lasts as long as the connection, so it heals however the
//! asking process ends. The socket is an abstract one: no file is left of it, whatever ends this process; only this
//! user and root are served.

mod proxy;
mod relay;
mod trouble;

pub use proxy::{Bad, Proxy};
pub use trouble::Trouble;

use crate::held::Held;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as Name, UnixListener as StdListener, UnixStream as StdStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Wait after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Longer than any fault is written.
const MAX_REQUEST_BYTES: u64 = 256;
/// Faults at the same time; whoever asks for one more gets no answer until another heals.
const MAX_FAULTS: usize = 64;
/// Both sides are on this machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const DONE: &str = "done";

/// All relays of a cluster. Dropping it closes them.
pub(crate) struct Links {
    links: Arc<Vec<Link>>,
    /// Relays go on while a test's own runtime stands still, as it does in a drop. `None` once dropped.
    runtime: Option<Runtime>,
}

/// What a node reaches the database or Redis through.
struct Link {
    node: String,
    /// As `database` or `redis-2`.
    service: String,
    proxy: Proxy,
}

impl Links {
    /// Starts a relay from each node to each service, by its role and address, and listens for faults.
    pub async fn start(
        cluster: &str,
        gateway: IpAddr,
        nodes: usize,
        services: Vec<(String, SocketAddr)>,
    ) -> Result<Links> {
        let listener = StdListener::bind_addr(&name(cluster)?).context("cannot listen for faults of links")?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let starting = runtime.spawn(async move {
            let mut links = Vec::new();
            for number in 1..=nodes {
                for (service, address) in &services {
                    let proxy = Proxy::start(gateway, *address).await?;
                    links.push(Link { node: format!("node-{number}"), service: service.clone(), proxy });
                }
            }
            let links = Arc::new(links);
            tokio::spawn(serve(UnixListener::from_std(listener)?, links.clone()));
            anyhow::Ok(links)
        });
        let started = starting.await.context("the relays' runtime panicked").flatten();
        // Made first, so that an error drops the runtime in the way that is allowed here.
        let mut this = Links { links: Arc::default(), runtime: Some(runtime) };
        this.links = started.context("cannot start relays")?;
        Ok(this)
    }

    /// Where a node reaches a service: its relay's address.
    pub fn address(&self, node: &str, service: &str) -> Option<SocketAddr> {
        self.between(node, service).map(Proxy::address)
    }

    /// The relay between two machines, in either order.
    fn between(&self, one: &str, other: &str) -> Option<&Proxy> {
        between(&self.links, one, other)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn between<'a>(links: &'a [Link], one: &str, other: &str) -> Option<&'a Proxy> {
    let is_it = |link: &&Link| [(one, other), (other, one)].contains(&(link.node.as_str(), link.service.as_str()));
    links.iter().find(is_it).map(|link| &link.proxy)
}

fn name(cluster: &str) -> Result<Name> {
    let name = Name::from_abstract_name(format!("chat.harness.links/{cluster}"));
    name.with_context(|| format!("{cluster} is too long a name for a cluster with relays"))
}

async fn serve(listener: UnixListener, links: Arc<Vec<Link>>) {
    let places = Arc::new(Semaphore::new(MAX_FAULTS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((asker, _)) = listener.accept().await else {
            // Out of open files, for example; some will be free again.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let links = links.clone();
        tokio::spawn(async move {
            // Whoever does not keep to the protocol, or is gone, has nothing to be told.
            let _ = answer(asker, &links).await;
            drop(place);
        });
    }
}

async fn answer(mut asker: UnixStream, links: &[Link]) -> Result<()> {
    let user = asker.peer_cred()?.uid();
    let (reading, mut writing) = asker.split();
    let mut reading = tokio::io::BufReader::new(reading);
    let mut request = String::new();
    timeout(ANSWER_WITHIN, (&mut reading).take(MAX_REQUEST_BYTES).read_line(&mut request)).await??;
    match inflict(user, &request, links) {
        Ok(bad) => {
            writing.write_all(format!("{DONE}\n").as_bytes()).await?;
            // The end, in good order or not; more words would be a second request, which ends it too.
            let _ = reading.read(&mut [0]).await;
            drop(bad);
        }
        Err(error) => writing.write_all(format!("{error:#}\n").as_bytes()).await?,
    }
    Ok(())
}

fn inflict(user: u32, request: &str, links: &[Link]) -> Result<Option<Bad>> {
    // SAFETY: geteuid touches no memory and cannot fail.
    let own = unsafe { libc::geteuid() };
    ensure!([own, 0].contains(&user), "the cluster is another user's: try as that user, or as root");
    let mut words = request.trim_end().splitn(3, ' ');
    let (Some(one), Some(other), Some(trouble)) = (words.next(), words.next(), words.next()) else {
        bail!("{request:?} is no trouble of a link")
    };
    let link = between(links, one, other).with_context(|| {
        format!(
            "there is no relay between {one} and {other}, but between each node and database, and each node and redis"
        )
    })?;
    Ok(link.inflict(trouble.parse()?))
}

/// Trouble of a link, until released or dropped.
struct Asked(StdStream);

/// Asks the process that started the cluster for trouble on a link. Blocks, but not for long.
pub(crate) fn ask(cluster: &str, one: &str, trouble: Trouble, other: &str) -> Result<Box<dyn Held>> {
    let stream = match StdStream::connect_addr(&name(cluster)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => bail!(
            "{cluster} has no relays between its nodes and what they need: start it with harness up --proxied (in a \
             test, Setup::relays)"
        ),
        connected => connected.with_context(|| format!("cannot reach the process that started {cluster}"))?,
    };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    (&stream).write_all(format!("{one} {other} {trouble}\n").as_bytes())?;
    let mut answer = String::new();
    let answered = BufReader::new(&stream).read_line(&mut answer);
    answered.with_context(|| format!("the process that started {cluster} does not answer"))?;
    ensure!(answer.trim_end() == DONE, "{}", answer.trim_end());
    Ok(Box::new(Asked(stream)))
}

impl Held for Asked {
    fn release(mut self: Box<Self>) -> Result<()> {
        // If that process is gone, so are the relays.
        let _ = self.0.shutdown(Shutdown::Write);
        match self.0.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("the process that keeps the relays hangs"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::spawn_blocking;

    async fn links(cluster: &str) -> (Links, TcpListener) {
        let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port to listen on");
        let address = service.local_addr().expect("it is bound");
        let services = ["database", "redis"].map(|service| (service.to_owned(), address)).into();
        let links = Links::start(cluster, Ipv4Addr::LOCALHOST.into(), 2, services).await.expect("relays start");
        (links, service)
    }

    async fn inflict(
        cluster: &'static str,
        one: &'static str,
        trouble: Trouble,
        other: &'static str,
    ) -> Result<Box<dyn Held>> {
        spawn_blocking(move || ask(cluster, one, trouble, other)).await.expect("it does not panic")
    }

    #[tokio::test]
    async fn fault_lasts_until_the_asker_goes() {
        let (links, service) = links("test-lasting").await;
        let link = links.between("node-2", "redis").expect("there is such a link");
        let mut node = TcpStream::connect(link.address()).await.expect("it accepts");
        let (mut service, _) = service.accept().await.expect("it relays");

        let held = inflict("test-lasting", "redis", Trouble::Silent, "node-2").await.expect("it can be inflicted");
        node.write_all(b"x").await.expect("it takes bytes");
        assert!(timeout(Duration::from_millis(100), service.read_u8()).await.is_err());
        drop(held);

        assert_eq!(service.read_u8().await.expect("it passes"), b'x');
    }

    #[tokio::test]
    async fn released_fault_has_ended_and_may_come_again() {
        let (links, _service) = links("test-released").await;
        for trouble in [Trouble::Slow(Duration::from_secs(1)), Trouble::Thin(10), Trouble::Reset] {
            let held = inflict("test-released", "node-1", trouble, "database").await.expect("it can be inflicted");
            spawn_blocking(|| held.release()).await.expect("it does not panic").expect("it heals");
            assert!(links.between("node-1", "database").expect("there is such a link").is_good(), "{trouble}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_inflicted_is_explained() {
        let (_links, _service) = links("test-explained").await;
        let check = async |cluster: &'static str, one: &'static str, why: &str| {
            let error =
                inflict(cluster, one, Trouble::Silent, "node-1").await.err().expect("it is refused").to_string();
            assert!(error.contains(why), "{error}");
        };
        check("test-explained", "nginx", "between each node and database").await;
        check("test-nowhere", "redis", "harness up --proxied").await;
    }
}
