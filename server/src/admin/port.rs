//! The admin port: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and routes to nodes, and
//! below [`API`](super::API) what operators do.
//!
//! Healthy means that the process answers; ready means that this node should be given clients, and where it should not,
//! the answer says of each part why. The port keeps answering through a drain, so that the drain can be watched, and
//! ends when the shutdown is forced. It is off by default. The first three paths ask for no secret and belong on a
//! private address; the API asks for one, and is served to this machine or under TLS alone. Where the node has a
//! certificate, TLS is told by the first byte, as at the clients' port. A connection serves one request within
//! [`CONNECTION_TIMEOUT`], an operation within [`OPERATION_TIMEOUT`] more; other request bodies are never read.

use super::answer::Answer;
use super::call::{Call, Guest, read};
use super::refusal::Refusal;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;
use crate::tls;
use async_trait::async_trait;
use chat_environment::Tasks;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Admin connections open at once; beyond it a new one is closed at once.
pub const ADMIN_CONNECTIONS: usize = 64;
/// The longest an admin connection lives, request and answer included; then it is closed.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// What an operation may take beyond that; then the connection is closed, and its outcome is unknown.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The head of a request must be complete within this, and so must a handshake; then the connection is closed.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The head of a request; beyond it 431.
const HEADER_BYTES: usize = 16 * 1024;
/// Wait after `accept` failed, mostly for want of descriptors; trying on at once would only burn a core.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the admin port asks the node.
#[async_trait]
pub trait AdminState: Send + Sync + 'static {
    /// As in [`crate::telemetry::metrics::Metrics::encode`].
    fn metrics(&self) -> String;
    fn readiness(&self) -> Readiness;
    /// As in the settings now.
    fn tls(&self) -> Arc<Option<TlsAcceptor>>;
    /// Whether the guest may call operations.
    fn admit(&self, guest: &Guest, offered: Option<&str>) -> Result<(), Refusal>;
    /// Does what an operator asks for.
    async fn operate(&self, call: Call) -> Answer;
    /// The node is to drain; its answer is out.
    fn drain(&self);
}

/// Whether the node should be given clients; `None` where a part is fine, else why it is not. And which server of the
/// database it uses, `None` where there is no such choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub lease: Option<String>,
    pub database: Option<String>,
    pub bus: Option<String>,
    pub draining: Option<String>,
    /// The Redis that nodes are reached through now.
    pub bus_used: Vec<String>,
    pub database_server: Option<String>,
}

impl Readiness {
    /// The bus does not count: without it nodes serve on, and a balancer that believed otherwise would lose all at
    /// once.
    pub fn is_ready(&self) -> bool {
        let Readiness { lease, database, bus: _, draining, bus_used: _, database_server: _ } = self;
        [lease, database, draining].into_iter().all(Option::is_none)
    }
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct ReadinessBody<'a> {
    ready: bool,
    #[serde(flatten)]
    parts: &'a Readiness,
}

/// Binds the admin port; `address` as in the setting `admin.address`.
///
/// # Errors
/// An address that cannot be resolved or is taken.
pub async fn listen(address: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the shutdown is forced. Then open connections are dropped.
pub async fn serve(listener: TcpListener, state: Arc<dyn AdminState>, shutdown: Shutdown, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.forced() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    let (state, shutdown) = (state.clone(), shutdown.clone());
                    tasks.spawn_short("admin connection", async move {
                        tokio::select! {
                            () = greet(stream, state) => {}
                            () = shutdown.forced() => {}
                        }
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Finds out whether it speaks TLS.
async fn greet(stream: TcpStream, state: Arc<dyn AdminState>) {
    let Ok(mut guest) = Guest::of(&stream) else { return };
    let Some(acceptor) = state.tls().as_ref().clone() else { return serve_connection(stream, guest, state).await };
    let mut first = [0];
    match timeout(HEADER_TIMEOUT, stream.peek(&mut first)).await {
        Ok(Ok(1..)) if first == [tls::FIRST_BYTE] => {}
        Ok(Ok(_)) => return serve_connection(stream, guest, state).await,
        Ok(Err(error)) => return tracing::debug!(%error, "admin connection failed"),
        Err(_) => return tracing::debug!("admin connection took too long"),
    }
    match timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            guest.is_private = true;
            serve_connection(stream, guest, state).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        Err(_) => tracing::debug!("a handshake on the admin port took too long"),
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    guest: Guest,
    state: Arc<dyn AdminState>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (state, guest) = (state.as_ref(), &guest);
        async move { Ok::<_, Infallible>(respond(request, guest, state).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = match timeout(CONNECTION_TIMEOUT, &mut connection).await {
        Err(_) if guest.operates() => timeout(OPERATION_TIMEOUT, connection).await,
        ended => ended,
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        Err(_) => tracing::debug!("admin connection took too long"),
    }
    if guest.drains() {
        state.drain();
    }
}

async fn respond(request: Request<Incoming>, guest: &Guest, state: &dyn AdminState) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (method, path) = (request.method(), request.uri().path());
    if path.starts_with(super::API) {
        return operate(request, guest, state).await.into_response();
    }
    let known = matches!(path, "/metrics" | "/healthz" | "/readyz");
    if known && method != Method::GET && method != Method::HEAD {
        let refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        return refusal.with(ALLOW, HeaderValue::from_static("GET, HEAD")).into_response();
    }
    let answer = match path {
        "/metrics" => Answer::text(StatusCode::OK, metrics::CONTENT_TYPE, state.metrics()),
        "/healthz" => Answer::text(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => readyz(&state.readiness()),
        _ => Answer::text(StatusCode::NOT_FOUND, TEXT, "try /metrics, /healthz, /readyz or /admin/v1/nodes\n".into()),
    };
    answer.into_response()
}

/// Whoever may not operate has no body read.
async fn operate(request: Request<Incoming>, guest: &Guest, state: &dyn AdminState) -> Answer {
    let offered = super::call::secret_of(&request);
    if let Err(refused) = state.admit(guest, offered) {
        return refused.into();
    }
    guest.begins_operation();
    match read(request, guest).await {
        Ok(call) => {
            let answer = state.operate(call).await;
            guest.is_answered(&answer);
            answer
        }
        Err(refused) => refused.into(),
    }
}

fn readyz(readiness: &Readiness) -> Answer {
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Answer::json(status, &ReadinessBody { ready, parts: readiness })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::local::LocalHub;
    use crate::cluster::NodeKey;
    use crate::telemetry::metrics::Metrics;
    use parking_lot::Mutex;
    use prometheus_client::metrics::counter::Counter;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    struct Node {
        metrics: Metrics,
        readiness: Mutex<Readiness>,
        is_sick: bool,
    }

    #[async_trait]
    impl AdminState for Node {
        fn metrics(&self) -> String {
            assert!(!self.is_sick, "injected by a test");
            self.metrics.encode()
        }

        fn readiness(&self) -> Readiness {
            self.readiness.lock().clone()
        }

        fn tls(&self) -> Arc<Option<TlsAcceptor>> {
            Arc::default()
        }

        fn admit(&self, _: &Guest, _: Option<&str>) -> Result<(), Refusal> {
            Err(Refusal::not_found("nothing to be administered"))
        }

        async fn operate(&self, _: Call) -> Answer {
            unreachable!("nobody is admitted")
        }

        fn drain(&self) {}
    }

    struct Server {
        address: SocketAddr,
        node: Arc<Node>,
        shutdown: Shutdown,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start() -> Self {
            Server::start_in(Tasks::default(), false).await
        }

        /// One that is sick panics when it is asked for its metrics.
        async fn start_in(tasks: Tasks, is_sick: bool) -> Self {
            let listener = listen("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (bus, _arrivals) = LocalHub::default().join(NodeKey { id: "a".into(), boot: 1 }, &tasks);
            let node = Arc::new(Node { metrics: Metrics::new(bus), readiness: Mutex::default(), is_sick });
            let shutdown = Shutdown::new();
            let task = tokio::spawn(serve(listener, node.clone(), shutdown.clone(), tasks));
            Server { address, node, shutdown, task }
        }

        /// Sends `request` and reads until the server closes.
        async fn send(&self, request: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        }

        async fn get(&self, path: &str) -> String {
            self.send(&format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n")).await
        }
    }

    #[track_caller]
    fn check(response: &str, status: u16, parts: &[&str]) {
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        for part in parts {
            assert!(response.contains(part), "{part:?} is not in {response}");
        }
    }

    #[tokio::test]
    async fn metrics_show_what_was_counted() {
        let server = Server::start().await;
        server.node.metrics.pushes_total.inc_by(5);

        let response = server.get("/metrics").await;

        check(&response, 200, &["content-type: application/openmetrics-text", "chat_pushes_total 5\n", "# EOF\n"]);
    }

    #[tokio::test]
    async fn panic_while_answering_ends_that_connection_alone() {
        let tasks = Tasks::default();
        let panics = Counter::<u64>::default();
        let counter = panics.clone();
        tasks.on_panic(move || {
            counter.inc();
        });
        let server = Server::start_in(tasks.clone(), true).await;

        for (path, answered) in [("/metrics", false), ("/readyz", true)] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: n\r\n\r\n").as_bytes()).await.unwrap();
            let mut response = String::new();
            let _ = stream.read_to_string(&mut response).await;
            assert_eq!(response.starts_with("HTTP/1.1 200 "), answered, "{path}: {response}");
        }
        assert_eq!((panics.get(), tasks.dead()), (1, None));
    }

    #[tokio::test]
    async fn a_live_node_is_healthy_though_not_ready() {
        let server = Server::start().await;
        server.node.readiness.lock().database = Some("connection refused".into());

        check(&server.get("/healthz").await, 200, &["\r\n\r\nok\n"]);
        check(
            &server.get("/readyz").await,
            503,
            &["\"ready\":false", "\"database\":\"connection refused\"", "\"bus\":null"],
        );

        server.node.readiness.lock().database = None;
        server.node.readiness.lock().database_server = Some("h2:3306".into());
        let parts = ["\"ready\":true", "\"database_server\":\"h2:3306\""];
        check(&server.get("/readyz?verbose").await, 200, &parts);
    }

    #[test]
    fn any_part_but_the_bus_makes_a_node_unready() {
        let why = || Some("why".to_owned());
        for readiness in [
            Readiness { lease: why(), ..Readiness::default() },
            Readiness { database: why(), ..Readiness::default() },
            Readiness { draining: why(), ..Readiness::default() },
        ] {
            assert!(!readiness.is_ready(), "{readiness:?}");
        }
        assert!(Readiness { bus: why(), ..Readiness::default() }.is_ready());
    }

    #[tokio::test]
    async fn other_paths_methods_and_bytes_are_refused() {
        let server = Server::start().await;

        check(&server.get("/").await, 404, &["/metrics"]);
        check(&server.get("/metrics/").await, 404, &[]);
        check(
            &server.send("POST /metrics HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n{}").await,
            405,
            &["allow: GET"],
        );
        check(&server.send("nonsense\r\n\r\n").await, 400, &[]);
        check(&server.send("HEAD /healthz HTTP/1.1\r\nHost: n\r\n\r\n").await, 200, &["content-length: 3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_and_half_finished_requests_are_closed() {
        let server = Server::start().await;
        for beginning in ["", "GET /healthz HT"] {
            let response = server.send(beginning).await;
            assert!(!response.contains("200"), "{response}");
        }
    }

    #[tokio::test]
    async fn connections_over_the_cap_are_closed_and_places_come_back() {
        let server = Server::start().await;
        let mut held = Vec::new();
        for _ in 0..ADMIN_CONNECTIONS {
            held.push(TcpStream::connect(server.address).await.unwrap());
        }

        let mut over = TcpStream::connect(server.address).await.unwrap();
        let mut byte = [0];
        assert_eq!(over.read(&mut byte).await.unwrap_or(0), 0, "closed without a word");

        let mut first = held.swap_remove(0);
        first.write_all(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n").await.unwrap();
        let mut response = String::new();
        first.read_to_string(&mut response).await.unwrap();
        check(&response, 200, &[]);
    }

    #[tokio::test]
    async fn a_drain_can_be_watched_and_force_ends_the_server() {
        let server = Server::start().await;

        server.shutdown.drain();
        check(&server.get("/healthz").await, 200, &[]);
        server.shutdown.force();

        server.task.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
