//! Calls the API of a node: what `chat-server admin` does.
//!
//! The secret goes over the network under TLS alone: without it only to this machine.

use super::port::{CONNECTION_TIMEOUT, OPERATION_TIMEOUT};
use super::{API, refusal};
use crate::config::Admin;
use crate::tls;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A node that is there takes a connection within this.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A node that works answers within this.
const PATIENCE: Duration = CONNECTION_TIMEOUT.saturating_add(OPERATION_TIMEOUT);
/// The longest answer that is read: [`MOST_LISTED`](super::MOST_LISTED) rows of the longest names.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Why a call was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node said no: nothing was done, unless the words say otherwise.
    #[error("{0}")]
    Refused(String),
    #[error(
        "{address} cannot be reached: {cause}; is admin.address that of the node, and does the node run? (--address \
         names another)"
    )]
    Unreachable { address: String, cause: io::Error },
    #[error("{address} does not answer: {reason}; whether it was done is unknown, and it is harmless to ask again")]
    Silent { address: String, reason: String },
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// How to come to a node.
pub struct Client {
    address: String,
    secret: String,
    tls: Option<TlsConnector>,
}

impl Client {
    /// Calls `address` under TLS if it is not this machine's, or `tls` wants it; whoever is to be trusted is in the
    /// file `ca`, or else known to the system.
    ///
    /// # Errors
    /// Authorities that cannot be used.
    pub fn new(address: String, secret: String, tls: bool, ca: Option<&Path>) -> Result<Self, Error> {
        let is_loopback = Admin { address: address.clone(), ..Admin::default() }.is_loopback();
        let tls = (tls || ca.is_some() || !is_loopback).then(|| tls::connector(ca)).transpose()?;
        Ok(Client { address, secret, tls })
    }

    /// Asks for what changes nothing.
    ///
    /// # Errors
    /// The node refuses, or does not answer.
    pub async fn get(&self, operation: &str, query: &[(&str, String)]) -> Result<Value, Error> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.call(Method::GET, format!("{API}{operation}?{query}"), Bytes::new()).await
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, operation: &str, body: &impl Serialize) -> Result<Value, Error> {
        let body = serde_json::to_vec(body).expect("plain data serialises");
        self.call(Method::POST, format!("{API}{operation}"), body.into()).await
    }

    async fn call(&self, method: Method, path: String, body: Bytes) -> Result<Value, Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(AUTHORIZATION, format!("Bearer {}", self.secret))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.silent(error))?;
        let unreachable = |cause| Error::Unreachable { address: self.address.clone(), cause };
        let connecting = timeout(CONNECT_PATIENCE, TcpStream::connect(&self.address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
        let (status, body) = match &self.tls {
            None => self.exchange(stream, request).await?,
            Some(connector) => {
                let connecting = timeout(CONNECT_PATIENCE, connector.connect(self.server_name()?, stream)).await;
                let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
                self.exchange(stream, request).await?
            }
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| self.silent(error));
        }
        let told = serde_json::from_slice::<refusal::Told>(&body).map(|told| told.error);
        Err(Error::Refused(told.unwrap_or_else(|_| format!("{} answers {status}", self.address))))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let talking = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.silent(e))?;
            let asking = async move {
                let response = sender.send_request(request).await?;
                let status = response.status();
                Ok::<_, hyper::Error>((status, Limited::new(response.into_body(), ANSWER_BYTES).collect().await))
            };
            // What is wrong with the connection is told to the request.
            let (answer, _) = tokio::join!(asking, connection);
            let (status, body) = answer.map_err(|error| self.silent(error))?;
            Ok((status, body.map_err(|error| self.silent(error))?.to_bytes()))
        };
        timeout(PATIENCE, talking).await.unwrap_or_else(|_| Err(self.silent(format!("not within {PATIENCE:?}"))))
    }

    fn server_name(&self) -> Result<ServerName<'static>, Error> {
        let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(host).map_err(|error| self.silent(error))
    }

    fn silent(&self, reason: impl ToString) -> Error {
        Error::Silent { address: self.address.clone(), reason: reason.to_string() }
    }
}
