//! Why an operation is not done: a status of HTTP, and words that say what to do.

use super::answer::Answer;
use crate::auth::operators::Refused;
use crate::storage;
use chat_protocol::errno::Failure;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a caller is told to wait where the database does not answer.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub error: String,
    /// When it may succeed.
    pub retry: Option<Duration>,
}

/// Its body.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    pub error: String,
}

impl Refusal {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Refusal { status, error: error.into(), retry: None }
    }

    pub fn malformed(error: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    pub fn not_found(error: impl Into<String>) -> Self {
        Refusal::new(StatusCode::NOT_FOUND, error)
    }

    pub fn conflict(error: impl Into<String>) -> Self {
        Refusal::new(StatusCode::CONFLICT, error)
    }

    fn after(self, wait: Duration) -> Self {
        Refusal { retry: Some(wait), ..self }
    }
}

impl From<storage::Error> for Refusal {
    fn from(error: storage::Error) -> Self {
        let error = format!("the database: {error}; it is unknown whether it was done, and harmless to ask again");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error).after(RETRY)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, failure.text.clone());
        refusal.after(failure.retry.unwrap_or(RETRY))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Off => Refusal::not_found("set admin.secret or admin.secret_file to administer this node"),
            Refused::Wrong => Refusal::new(StatusCode::UNAUTHORIZED, "not the secret of this node (admin.secret)"),
            Refused::TooOften(wait) => {
                let error = "too many wrong secrets from this address";
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, error).after(wait)
            }
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut answer = Answer::json(refusal.status, &Told { error: refusal.error });
        if let Some(wait) = refusal.retry {
            // Whole seconds, as HTTP has it.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            answer = answer.with(RETRY_AFTER, seconds.into());
        }
        if refusal.status == StatusCode::UNAUTHORIZED {
            answer = answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}
