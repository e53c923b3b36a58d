//! What the parts of one member have in common: its run, its heartbeat, its gate and its end.
//!
//! Its row is changed by whoever knows something new, and told by the heartbeat, which alone writes the view of the
//! others. Locks are held for a moment and never across a wait.

use super::keys::Keys;
use super::row::{Row, Stage};
use crate::measure::ClockOffset;
use crate::plan::Shard;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What was seen of the swarm.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What each told last.
    pub rows: BTreeMap<u32, Row>,
    /// Who is not heard any more, and has not ended.
    pub dead: BTreeSet<u32>,
    /// Who has ended, and is not heard any more: what it handed in, nobody hands in again.
    pub left: BTreeSet<u32>,
    /// When measuring begins, in milliseconds since the Unix epoch by Redis' clock.
    pub start_ms: Option<i64>,
    /// Since when Redis does not answer, and what is wrong.
    pub away: Option<(Instant, String)>,
}

impl View {
    /// A shard as a person knows it.
    pub fn shown(&self, shard: u32) -> String {
        let member = self.rows.get(&shard).map_or("", |row| row.member.as_str());
        if member.is_empty() { format!("shard {shard}") } else { format!("shard {shard} ({member})") }
    }
}

/// One member's part.
pub struct State {
    pub shard: Shard,
    pub keys: Keys,
    own: Mutex<Row>,
    clock: Mutex<Option<ClockOffset>>,
    view: watch::Sender<View>,
    /// Wakes the heartbeat: there is news.
    pub news: Notify,
    /// Ends the heartbeat.
    pub over: CancellationToken,
    /// Ends the run, before its time.
    pub interrupt: CancellationToken,
}

impl State {
    pub fn new(shard: Shard, keys: Keys, member: String, interrupt: CancellationToken) -> State {
        State {
            shard,
            keys,
            own: Mutex::new(Row { member, ..Row::default() }),
            clock: Mutex::new(None),
            view: watch::Sender::new(View::default()),
            news: Notify::new(),
            over: CancellationToken::new(),
            interrupt,
        }
    }

    /// Changes what is told with the next heartbeat.
    pub fn change(&self, change: impl FnOnce(&mut Row)) {
        let mut own = self.own.lock();
        // Before it ends: a run that was stopped may be over before the next heartbeat.
        self.note_interrupt(&mut own);
        change(&mut own);
    }

    /// Changes what is told, and tells it at once.
    pub fn tell(&self, change: impl FnOnce(&mut Row)) {
        self.change(change);
        self.news.notify_one();
    }

    pub fn stage(&self) -> Stage {
        self.own.lock().stage
    }

    /// What the next heartbeat tells.
    pub fn next_row(&self) -> Row {
        let mut own = self.own.lock();
        own.beat += 1;
        self.note_interrupt(&mut own);
        own.clone()
    }

    /// Who has ended stops nobody else any more.
    fn note_interrupt(&self, own: &mut Row) {
        own.interrupted |= own.stage < Stage::Ended && self.interrupt.is_cancelled();
    }

    pub fn set_clock(&self, clock: ClockOffset) {
        *self.clock.lock() = Some(clock);
    }

    pub fn clock(&self) -> Option<ClockOffset> {
        self.clock.lock().clone()
    }

    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub fn see(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(change);
    }
}
