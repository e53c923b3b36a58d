//! All that happens in a simulation, as one hash: two runs of a schedule that differ anywhere differ here.
//!
//! What stands in it: every statement, every piece of every byte stream, every envelope and its fate, every line of the
//! history. Kept as text as well where somebody wants to see where two runs part.

use parking_lot::Mutex;
use std::fmt::Display;
use tokio::time::Instant;

pub struct Trace {
    start: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub hash: u64,
    pub events: u64,
}

impl Trace {
    /// A trace that begins now; `keep`: as text, too.
    pub fn start(keep: bool) -> Self {
        let lines = keep.then(Vec::new);
        Trace { start: Instant::now(), inner: Mutex::new(Inner { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines }) }
    }

    pub fn note(&self, kind: &str, what: impl Display) {
        let line = format!("{} {kind} {what}", self.now_us());
        let mut inner = self.inner.lock();
        // FNV-1a, a line ending with each.
        inner.hash = line
            .bytes()
            .chain([b'\n'])
            .fold(inner.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        inner.events += 1;
        if let Some(lines) = &mut inner.lines {
            lines.push(line);
        }
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        judge::clock::micros(self.start.elapsed())
    }

    /// The same of another moment.
    pub fn micros(&self, at: Instant) -> u64 {
        judge::clock::micros(at.saturating_duration_since(self.start))
    }

    pub fn digest(&self) -> Digest {
        let inner = self.inner.lock();
        Digest { hash: inner.hash, events: inner.events }
    }

    /// The lines, where they were kept.
    pub fn take_lines(&self) -> Vec<String> {
        self.inner.lock().lines.take().unwrap_or_default()
    }
}
