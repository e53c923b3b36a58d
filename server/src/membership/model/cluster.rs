//! The nodes, and what goes on between them and their database, one [`TICK_MS`] after another.

use super::database::Database;
use crate::cluster::NodeKey;
use crate::membership::lease::Lease;
use crate::membership::lease::{LEASE_RENEWAL, LEASE_WATCH};
use crate::membership::standing::{Counted, Standing};
use crate::membership::watch::Watch;
use crate::storage::{Peer, Release, Renewal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

pub const NODES: usize = 3;
pub const USERS: u64 = 2;
/// There and back in fair weather, and what the ticks add to it.
pub const ROUND_TRIP_MS: u64 = 10 * TICK_MS;
const TICK_MS: u64 = 20;
/// As `lease_keeper` has them.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(500);
/// Without the database for this long, everybody watches anew.
const OUTAGE_MS: u64 = 4_500;
/// After an outage nobody is called gone before this: the watch by the fastest clock, in a second more.
const GRACE_MS: u64 = LEASE_WATCH.as_millis() as u64 - 1_000;

/// How it goes with a node's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    Slow {
        there: u64,
        back: u64,
    },
    Refused,
    AnswersLost,
    /// The whole node stands still.
    Paused,
}

struct UnderWay {
    sent: Instant,
    /// The sessions here before it, if it compares.
    local: Option<BTreeMap<u64, u64>>,
    reaches_at: u64,
    answer: Option<Answer>,
}

struct Answer {
    at: u64,
    /// When the database gave it.
    given_at: u64,
    heard: Heard,
}

enum Heard {
    Renewed(Renewal),
    /// The row is another run's.
    Replaced,
    Refused,
}

pub struct Node {
    pub weather: Weather,
    key: NodeKey,
    rate: f64,
    is_running: bool,
    starts_again: bool,
    lease: Lease,
    watch: Watch,
    standing: Standing,
    is_suspended: bool,
    /// Users and epochs.
    sessions: BTreeMap<u64, u64>,
    renewal: Option<UnderWay>,
    due: Instant,
    /// When the database gave the latest good answer.
    heard_at: u64,
    renewals: u64,
    /// The connection has broken: the renewal that uses it next fails.
    is_broken: bool,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    start: Instant,
    now_ms: u64,
    db: Database,
    copy: Database,
    failed_over_at: u64,
    is_there: bool,
    changed_at: u64,
    /// The end of the latest long outage.
    back_at: u64,
    /// Renewals that were given up, and arrive all the same; and calls that a node is gone.
    late: Vec<(u64, NodeKey)>,
    /// Node and user.
    logins: BTreeSet<(usize, u64)>,
    calls: Vec<(u64, Peer)>,
}

impl Cluster {
    pub fn new(drifts: &[f64]) -> Self {
        let start = Instant::now();
        let node = |(at, drift): (usize, &f64)| Node {
            weather: Weather::Fair,
            key: NodeKey { id: format!("node{at}").as_str().into(), boot: 0 },
            rate: 1.0 + drift,
            is_running: false,
            starts_again: true,
            lease: Lease::default(),
            watch: Watch::default(),
            standing: Standing::new(0),
            is_suspended: false,
            sessions: BTreeMap::new(),
            renewal: None,
            due: start,
            heard_at: 0,
            renewals: 0,
            is_broken: false,
        };
        Cluster {
            nodes: drifts.iter().enumerate().map(node).collect(),
            start,
            now_ms: 0,
            db: Database::default(),
            copy: Database::default(),
            failed_over_at: 0,
            is_there: true,
            changed_at: 0,
            back_at: 0,
            late: Vec::new(),
            logins: BTreeSet::new(),
            calls: Vec::new(),
        }
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(TICK_MS) {
            self.now_ms += TICK_MS;
            self.arrive_late();
            for at in 0..self.nodes.len() {
                // Before it does anything: a node that wakes goes on where it was.
                self.check();
                self.tick(at);
            }
            self.try_logins();
        }
        self.check();
    }

    fn local_now(&self, node: &Node) -> Instant {
        self.start + Duration::from_secs_f64(self.now_ms as f64 / 1_000.0 * node.rate)
    }

    fn arrive_late(&mut self) {
        if !self.is_there {
            return;
        }
        let now = self.now_ms;
        for (_, key) in self.late.extract_if(.., |(at, _)| *at <= now) {
            self.db.renew(&key);
        }
        for (_, peer) in self.calls.extract_if(.., |(at, _)| *at <= now) {
            let gone = self.db.call_gone(&peer);
            assert!(!gone || now >= self.back_at + GRACE_MS, "{peer:?} is called gone right after an outage");
        }
    }

    fn tick(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.is_running && node.starts_again && self.is_there {
            self.start(at);
        }
        let now = self.local_now(&self.nodes[at]);
        let node = &mut self.nodes[at];
        if !node.is_running || node.weather == Weather::Paused {
            return;
        }
        if node.lease.left_at(now).is_zero() {
            node.is_suspended = true;
        }
        let Some(under_way) = &mut node.renewal else {
            if now >= node.due {
                node.send(now, self.now_ms);
            }
            return;
        };
        if self.now_ms >= under_way.reaches_at {
            let heard = match node.weather == Weather::Refused || !self.is_there {
                true => Heard::Refused,
                false => self.db.renew(&node.key).map_or(Heard::Replaced, Heard::Renewed),
            };
            let back = if let Weather::Slow { back, .. } = node.weather { back } else { TICK_MS };
            let answer = Answer { at: self.now_ms + back, given_at: self.now_ms, heard };
            under_way.answer = (node.weather != Weather::AnswersLost).then_some(answer);
            under_way.reaches_at = u64::MAX;
        }
        self.hear(at, now);
    }

    /// Takes the answer to a renewal, if it is there, or waits no longer; as `lease_keeper` does.
    fn hear(&mut self, at: usize, now: Instant) {
        let node = &mut self.nodes[at];
        let Some(mut under_way) = node.renewal.take() else { return };
        let is_late = now >= under_way.sent + RENEWAL_TIMEOUT;
        match under_way.answer.take_if(|answer| self.now_ms >= answer.at) {
            Some(Answer { heard: Heard::Replaced, .. }) => self.kill(at),
            Some(Answer { heard: Heard::Renewed(renewal), given_at, .. }) if !node.is_broken => {
                let gone = node.renewed(now, under_way, renewal, given_at);
                let there = if let Weather::Slow { there, .. } = node.weather { there } else { TICK_MS };
                self.calls.extend(gone.into_iter().map(|peer| (self.now_ms + there, peer)));
            }
            Some(_) => {
                node.is_broken = false;
                node.standing.failed();
                node.watch.begin_anew();
                node.due = now + RETRY;
            }
            None if is_late => {
                if under_way.reaches_at != u64::MAX {
                    self.late.push((under_way.reaches_at, node.key.clone()));
                }
                node.is_broken = false;
                node.standing.failed();
                node.watch.begin_anew();
                node.due = now;
            }
            None => node.renewal = Some(under_way),
        }
    }

    fn start(&mut self, at: usize) {
        let now = self.local_now(&self.nodes[at]);
        let node = &mut self.nodes[at];
        let key = NodeKey { id: node.key.id.clone(), boot: node.key.boot + 1 };
        match self.db.start(&key) {
            Ok(takeovers) => {
                node.standing = Standing::new(takeovers);
                (node.lease, node.watch) = (Lease::default(), Watch::default());
                (node.key, node.is_running, node.is_suspended, node.due) = (key, true, false, now);
                node.renewals = 0;
            }
            Err(earlier) => {
                for gone in node.watch.look([earlier].into_iter(), now, now) {
                    self.db.call_gone(&gone);
                }
            }
        }
    }

    /// The user tries again and again until it is in.
    pub fn login(&mut self, at: usize, user: u64) {
        self.logins.insert((at, user));
    }

    fn try_logins(&mut self) {
        for (at, user) in self.logins.clone() {
            let now = self.local_now(&self.nodes[at]);
            let node = &mut self.nodes[at];
            let may_claim = self.is_there && node.weather == Weather::Fair && node.may_act(now);
            if may_claim && let Some(epoch) = self.db.claim(&node.key, user) {
                node.sessions.insert(user, epoch);
                self.logins.remove(&(at, user));
                self.check();
            }
        }
    }

    pub fn logout(&mut self, at: usize, user: u64) {
        let node = &mut self.nodes[at];
        if node.weather != Weather::Paused
            && let Some(epoch) = node.sessions.remove(&user)
            && self.is_there
        {
            self.db.release(&node.key, user, epoch);
        }
    }

    pub fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.is_running = false;
        node.sessions.clear();
        node.renewal = None;
        node.watch = Watch::default();
    }

    pub fn kill_for_good(&mut self, at: usize) {
        self.kill(at);
        self.nodes[at].starts_again = false;
    }

    pub fn set_database(&mut self, is_there: bool) {
        if is_there && !self.is_there && self.now_ms - self.changed_at >= OUTAGE_MS {
            self.back_at = self.now_ms;
        }
        if is_there != self.is_there {
            self.late.clear();
            self.calls.clear();
            (self.is_there, self.changed_at) = (is_there, self.now_ms);
        }
    }

    pub fn copy(&mut self) {
        self.copy = self.db.clone();
    }

    /// Also where connections do not break, all nodes notice: their counts go back. A session that is lost though its
    /// node's latest renewal is not, and no renewal fails, is not found.
    pub fn fail_over(&mut self, breaks: bool) {
        self.db = self.copy.clone();
        self.failed_over_at = self.now_ms;
        self.late.clear();
        self.calls.clear();
        for node in &mut self.nodes {
            node.is_broken = breaks || self.db.renewals(&node.key) >= node.renewals;
        }
    }

    /// All is well from here on.
    pub fn calm_down(&mut self) {
        self.set_database(true);
        self.nodes.iter_mut().for_each(|node| node.weather = Weather::Fair);
    }

    fn check(&self) {
        for user in 0..USERS {
            let acts = |node: &&Node| {
                let is_excused = self.failed_over_at > 0 && node.heard_at <= self.failed_over_at;
                let is_paused = node.weather == Weather::Paused;
                node.sessions.contains_key(&user) && node.may_act(self.local_now(node)) && !is_paused && !is_excused
            };
            let acting: Vec<&NodeKey> = self.nodes.iter().filter(acts).map(|node| &node.key).collect();
            assert!(acting.len() <= 1, "{acting:?} act for user {user} at {} ms", self.now_ms);
        }
    }

    pub fn check_all_act(&self) {
        for node in &self.nodes {
            assert!(node.may_act(self.local_now(node)), "{} does not act", node.key.id);
            for (user, epoch) in &node.sessions {
                assert!(self.db.holds(&node.key, *user, *epoch), "{} acts for {user}, whom it has lost", node.key.id);
            }
        }
    }

    pub fn is_gone(&self, at: usize) -> bool {
        self.db.is_gone(&self.nodes[at].key)
    }
}

impl Node {
    fn may_act(&self, now: Instant) -> bool {
        self.is_running && !self.is_suspended && !self.lease.left_at(now).is_zero()
    }

    fn send(&mut self, now: Instant, now_ms: u64) {
        let there = if let Weather::Slow { there, .. } = self.weather { there } else { TICK_MS };
        let local = self.standing.must_compare().then(|| self.sessions.clone());
        self.renewal = Some(UnderWay { sent: now, local, reaches_at: now_ms + there, answer: None });
    }

    /// As `lease_keeper` takes a renewal; returns who is gone.
    fn renewed(&mut self, now: Instant, under_way: UnderWay, renewal: Renewal, given_at: u64) -> Vec<Peer> {
        let UnderWay { sent, local, .. } = under_way;
        if self.standing.answered(&self.key, &renewal, local.is_some()) == Counted::WentBack {
            self.watch.begin_anew();
        }
        self.renewals = renewal.live.iter().find(|peer| peer.key == self.key).map_or(0, |peer| peer.renewals);
        if self.standing.must_compare() {
            self.is_suspended = true;
            self.due = now;
            return Vec::new();
        }
        for (user, epoch) in local.into_iter().flatten() {
            if !renewal.held.contains(&Release { user, epoch }) {
                self.sessions.remove(&user);
            }
        }
        self.heard_at = given_at;
        self.lease.renewed(sent);
        if !self.lease.left_at(now).is_zero() {
            self.is_suspended = false;
        }
        let own = self.key.id.clone();
        let gone = self.watch.look(renewal.live.into_iter().filter(|peer| peer.key.id != own), sent, now);
        self.due = self.watch.next_due().map_or(sent + LEASE_RENEWAL, |due| due.min(sent + LEASE_RENEWAL));
        gone
    }
}
