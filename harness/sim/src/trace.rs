//! All that happens in a simulation, as one hash: two runs of a schedule that differ anywhere differ here.
//!
//! What stands in it: every statement, every piece of every byte stream, every envelope and its fate, every line of the
//! history. Kept as text as well where somebody wants to see where two runs part.

use crate::coverage::Reached;
use parking_lot::Mutex;
use std::fmt::{Display, Write};
use tokio::time::Instant;

/// As in FNV-1a, 64 bits, but eight bytes at a time.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

pub struct Trace {
    start: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
    reached: Reached,
    /// Kept for its room.
    line: String,
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
        let (lines, reached) = (keep.then(Vec::new), Reached::default());
        let inner = Inner { hash: FNV_OFFSET, events: 0, lines, reached, line: String::new() };
        Trace { start: Instant::now(), inner: Mutex::new(inner) }
    }

    pub fn note(&self, kind: &str, what: impl Display) {
        let now = self.now_us();
        let mut inner = self.inner.lock();
        let mut line = std::mem::take(&mut inner.line);
        line.clear();
        // Writing into a String does not fail.
        let _ = writeln!(line, "{now} {kind} {what}");
        inner.hash = fold(inner.hash, line.as_bytes());
        inner.events += 1;
        if let Some(lines) = &mut inner.lines {
            lines.push(line.trim_end().to_owned());
        }
        inner.line = line;
    }

    /// Counts something that the run got to.
    pub fn reach(&self, name: impl Into<String>) {
        self.reach_times(name, 1);
    }

    pub fn reach_times(&self, name: impl Into<String>, times: u64) {
        self.inner.lock().reached.add(name, times);
    }

    /// What the run got to so far.
    pub fn take_reached(&self) -> Reached {
        std::mem::take(&mut self.inner.lock().reached)
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

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FNV_PRIME).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| add(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)))
}
