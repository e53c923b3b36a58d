//! One connection of a probe: whole objects in one framing, each waited for in a bounded time.

use crate::dialect::profile::{Framing, Profile};
use crate::dialect::{Classic, Wire, shorten};
use crate::link::{self, Dialer, Link};
use serde_json::Value;
use std::future::poll_fn;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// No answer to a probe is longer: what is, is no answer.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Bytes of something strange that are shown.
const SHOWN_BYTES: usize = 24;

/// What came, or why nothing did.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Object(Value),
    Silence,
    Closed,
    Broken(String),
    Strange(Strange),
}

/// Bytes that are no object in the framing that was spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strange {
    Tls,
    Http,
    Other(String),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLine {
    Refused,
    TimedOut,
    Failed(String),
}

pub(super) struct Line {
    link: Link,
    wire: Classic,
    input: Vec<u8>,
    patience: Duration,
}

impl Line {
    pub async fn open(dialer: &Dialer, framing: Framing, patience: Duration) -> Result<Line, NoLine> {
        let link = match timeout(patience, dialer.connect(0)).await {
            Ok(Ok(link)) => link,
            Ok(Err(link::Error::Connect(error))) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(NoLine::Refused);
            }
            Ok(Err(error)) => return Err(NoLine::Failed(error.to_string())),
            Err(_) => return Err(NoLine::TimedOut),
        };
        let wire = Classic::new(Profile { framing, ..Profile::default() });
        Ok(Line { link, wire, input: Vec::new(), patience })
    }

    pub async fn say(&mut self, message: &Value) {
        let mut out = Vec::new();
        self.wire.enclose(&mut out, |out| out.extend_from_slice(message.to_string().as_bytes()));
        // A connection that takes nothing gives nothing either: that is heard.
        let _ = timeout(self.patience, poll_fn(|cx| self.link.poll_write_all(cx, &mut out))).await;
    }

    /// The next object.
    pub async fn hear_for(&mut self, patience: Duration) -> Heard {
        let until = Instant::now() + patience;
        loop {
            match self.take() {
                Ok(Some(object)) => return Heard::Object(object),
                Ok(None) => {}
                Err(strange) => return Heard::Strange(strange),
            }
            let input = &mut self.input;
            let read = poll_fn(|cx| self.link.poll_read(cx, |bytes| input.extend_from_slice(bytes)));
            match timeout_at(until, read).await {
                Ok(Ok(Some(()))) => {}
                Ok(Ok(None)) => return Heard::Closed,
                Ok(Err(error)) => return Heard::Broken(error.kind().to_string()),
                Err(_) => return Heard::Silence,
            }
        }
    }

    /// Asks, and hears the first object that `wanted` takes for the answer.
    pub async fn ask(&mut self, message: &Value, wanted: impl Fn(&Value) -> bool) -> Heard {
        self.say(message).await;
        self.wait_for(wanted).await
    }

    pub async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Heard {
        let until = Instant::now() + self.patience;
        loop {
            match self.hear_for(until.saturating_duration_since(Instant::now())).await {
                Heard::Object(object) if !wanted(&object) => {}
                other => return other,
            }
        }
    }

    /// Takes the first object off what has been read.
    fn take(&mut self) -> Result<Option<Value>, Strange> {
        let strange = strange(&self.input);
        match self.wire.split(&self.input) {
            Ok(Some((payload, end))) => {
                let object = serde_json::from_slice::<Value>(&self.input[payload]).map_err(|_| strange)?;
                link::discard_front(&mut self.input, end);
                Ok(Some(object))
            }
            Ok(None) if self.input.len() <= MAX_ANSWER_BYTES => Ok(None),
            _ => Err(strange),
        }
    }
}

fn strange(bytes: &[u8]) -> Strange {
    // A TLS record: an alert or a part of a handshake.
    if matches!(bytes, [0x15 | 0x16, 3, ..]) {
        return Strange::Tls;
    }
    if bytes.starts_with(b"HTTP/") || bytes.starts_with(b"<!DOCTYPE") || bytes.starts_with(b"<html") {
        return Strange::Http;
    }
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    Strange::Other(shorten(&shown.escape_ascii().to_string()))
}
