//! Serves the page, its events, and what is asked to be done, on a thread of its own.
//!
//! A connection serves one request, within [`REQUEST_TIMEOUT`], save that a viewer's lasts as long as the viewer does.

use super::board::{Board, Views};
use super::guard::{Address, Guard, Refused};
use super::{Error, page};
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections open at once, viewers' included; beyond it a new one is closed at once.
const MAX_CONNECTIONS: usize = 64;
/// The longest a connection lives that is no viewer's; and its request's head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The head of a request; beyond it 431. As much is written ahead for a viewer.
const HEADER_BYTES: usize = 16 * 1024;
/// What is asked to be done; beyond it 413.
const BODY_BYTES: usize = 4 * 1024;
/// Wait after `accept` failed, mostly for want of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// For viewers to be told the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Does what a viewer asks for.
pub trait Hands: Send + Sync + 'static {
    /// Does what the JSON says; answers with what was done, or why not.
    ///
    /// # Errors
    /// What is not known, or cannot be done now.
    fn act(&self, json: &[u8]) -> Result<String, String>;
}

/// A page that is served until it is closed, or dropped.
pub struct Live {
    url: String,
    over: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// A connection, as whoever answers on it knows it.
#[derive(Default)]
struct Visit {
    /// A viewer's, so that it lasts.
    views: AtomicBool,
    /// The viewer was dropped.
    gone: CancellationToken,
}

struct Site {
    guard: Guard,
    page: Bytes,
    board: Arc<dyn Views>,
    hands: Arc<dyn Hands>,
}

impl Live {
    /// Serves `page` from now on, to which the board's events go.
    ///
    /// # Errors
    /// An address that cannot be had: nothing is served.
    pub fn open<S: Serialize + Send + 'static>(
        address: &Address,
        page: String,
        board: Arc<Board<S>>,
        hands: Arc<dyn Hands>,
    ) -> Result<Live, Error> {
        let failed = |cause| Error::Listen { address: format!("{}:{}", address.host, address.port), cause };
        let listener = std::net::TcpListener::bind((address.host.as_str(), address.port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(&address.host);
        let url = format!("http://{bound}{}", guard.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let over = CancellationToken::new();
        let (site, until) = (Arc::new(Site { guard, page: page.into(), board, hands }), over.clone());
        let serving = move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, site, until).await,
                    Err(error) => tracing::warn!(%error, "cannot serve the live page"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("live".into()).spawn(serving).map_err(Error::Thread)?;
        Ok(Live { url, over, thread: Some(thread) })
    }

    /// What to open in a browser; the key is in it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Live {
    /// Viewers get what waits for them, within a bounded time.
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, site: Arc<Site>, over: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = over.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    let site = site.clone();
                    connections.spawn(async move {
                        serve_connection(stream, site).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the live page");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    let _ = tokio::time::timeout(CLOSE_PATIENCE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn serve_connection(stream: TcpStream, site: Arc<Site>) {
    let visit = Arc::new(Visit::default());
    let answered = visit.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, visit) = (site.clone(), answered.clone());
        async move { Ok::<_, Infallible>(site.respond(request, &visit).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let too_long = async {
        tokio::time::sleep(REQUEST_TIMEOUT).await;
        if visit.views.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = connection => {}
        () = too_long => {}
        () = visit.gone.cancelled() => {}
    }
}

impl Site {
    async fn respond(&self, request: Request<Incoming>, visit: &Visit) -> Response<Body> {
        let method = request.method().clone();
        let asked_for = match self.guard.admit(request.uri().path(), request.headers()) {
            Ok(asked_for) => asked_for.to_owned(),
            Err(refused) => return plain(status_of(refused), &refused.to_string()),
        };
        match (asked_for.as_str(), method) {
            ("", Method::GET) => whole(StatusCode::OK, "text/html; charset=utf-8", self.page.clone()),
            ("events", Method::GET) => match self.board.view(visit.gone.clone()) {
                Some(new) => {
                    visit.views.store(true, Ordering::Relaxed);
                    events(new)
                }
                None => plain(StatusCode::SERVICE_UNAVAILABLE, "too many look already, or all is over"),
            },
            ("act", Method::POST) => self.act(request).await,
            ("" | "events" | "act", _) => plain(StatusCode::METHOD_NOT_ALLOWED, "GET the page, POST to act"),
            _ => plain(StatusCode::NOT_FOUND, "not here"),
        }
    }

    async fn act(&self, request: Request<Incoming>) -> Response<Body> {
        // A form of another page cannot say this without asking first.
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if !is_json {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json is wanted");
        }
        let body = match Limited::new(request.into_body(), BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "that is too long, or was broken off"),
        };
        match self.hands.act(&body) {
            Ok(done) => plain(StatusCode::OK, &done),
            Err(why) => plain(StatusCode::CONFLICT, &why),
        }
    }
}

fn status_of(refused: Refused) -> StatusCode {
    match refused {
        Refused::Key => StatusCode::NOT_FOUND,
        Refused::Host | Refused::Origin => StatusCode::FORBIDDEN,
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    whole(status, "text/plain; charset=utf-8", text.to_owned().into())
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    answer(status, kind, Full::new(body).boxed_unsync())
}

fn events(events: mpsc::Receiver<Bytes>) -> Response<Body> {
    let events = stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), events))
    });
    answer(StatusCode::OK, "text/event-stream", StreamBody::new(events).boxed_unsync())
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    // The key is in the address.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
