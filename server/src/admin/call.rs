//! What an operator asks for, as it comes in.

use super::answer::Answer;
use super::refusal::Refusal;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// The body of a request; beyond it 413.
const BODY_BYTES: usize = 16 * 1024;
/// The body must be complete within this; then 408.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever is at the other end of a connection.
pub struct Guest {
    pub address: IpAddr,
    /// Nobody on the way can read or change what is said: the guest is on this machine, or speaks TLS.
    pub is_private: bool,
    operates: AtomicBool,
    drains: AtomicBool,
}

impl Guest {
    pub(super) fn of(stream: &TcpStream) -> std::io::Result<Self> {
        let address = stream.peer_addr()?.ip().to_canonical();
        // Only this machine reaches that.
        let is_private = stream.local_addr()?.ip().to_canonical().is_loopback();
        Ok(Guest::new(address, is_private))
    }

    pub fn new(address: IpAddr, is_private: bool) -> Self {
        Guest { address, is_private, operates: AtomicBool::new(false), drains: AtomicBool::new(false) }
    }

    pub(super) fn begins_operation(&self) {
        self.operates.store(true, Ordering::Release);
    }

    /// Whether it has been admitted, and waits for what it asked for.
    pub(super) fn operates(&self) -> bool {
        self.operates.load(Ordering::Acquire)
    }

    pub(super) fn is_answered(&self, answer: &Answer) {
        self.drains.store(answer.drains, Ordering::Release);
    }

    /// Whether the node is to drain once the answer is out.
    pub(super) fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }
}

/// One request, read.
pub struct Call {
    pub address: IpAddr,
    pub method: Method,
    pub path: String,
    query: BTreeMap<String, String>,
    body: Bytes,
}

/// The secret that a request offers.
pub(super) fn secret_of<B>(request: &Request<B>) -> Option<&str> {
    let (scheme, secret) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// Reads a request to its end.
pub(super) async fn read(request: Request<Incoming>, guest: &Guest) -> Result<Call, Refusal> {
    let (head, body) = request.into_parts();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {BODY_BYTES} bytes"));
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(too_large());
    }
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => return Err(Refusal::malformed(format!("the body cannot be read: {error}"))),
        Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    Ok(Call { address: guest.address, method: head.method, path: head.uri.path().to_owned(), query, body })
}

impl Call {
    /// What the body asks for; an empty one is an empty object.
    pub(super) fn asks<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body = if self.body.is_empty() { b"{}".as_slice() } else { &self.body };
        // A list of the values would do for serde as well.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Refusal::malformed("the body: expected a JSON object"));
        }
        serde_json::from_slice(body).map_err(|error| Refusal::malformed(format!("the body: {error}")))
    }

    /// What the query asks for, which has these keys at most.
    pub(super) fn query(&self, known: &[&str]) -> Result<Query<'_>, Refusal> {
        match self.query.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Refusal::malformed(format!("unknown key {key:?}: expected {}", known.join(", ")))),
            None => Ok(Query(&self.query)),
        }
    }
}

pub(super) struct Query<'c>(&'c BTreeMap<String, String>);

impl Query<'_> {
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let wrong = |text: &str| Refusal::malformed(format!("{key} = {text:?}: expected a number"));
        self.text(key).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }
}
