//! What the admin port answers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// An answer, whole: none is longer than [`MOST_LISTED`](super::MOST_LISTED) rows or the node's metrics.
pub struct Answer {
    response: Response<Full<Bytes>>,
    /// Once it is out, the node drains.
    pub drains: bool,
}

impl Answer {
    pub fn text(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Answer { response, drains: false }
    }

    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("plain data serialises");
        Answer::text(status, "application/json", body + "\n")
    }

    /// The same with one header more.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }

    /// The same, after which the node drains.
    pub fn and_drains(self) -> Self {
        Answer { drains: true, ..self }
    }

    pub fn into_response(self) -> Response<Full<Bytes>> {
        self.response
    }
}
