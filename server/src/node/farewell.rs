//! How the clients of a draining node are told to go: some at a time, so that the other nodes are not overrun.
//!
//! No session is that of a node any more whose name another run has. Then users may log in elsewhere before their turn
//! comes, and are told that instead: their clients must not come back by themselves.

use super::tenants::NodeTenants;
use crate::context::Context;
use crate::membership::lease_keeper::Tenants;
use crate::session::outbound::Outbound;
use crate::shutdown::Shutdown;
use crate::storage::Release;
use chat_protocol::errno::Errno;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Turns in which all are told: of ten thousand clients a hundred at once.
const TURNS: usize = 100;
/// How far looks at who has logged in elsewhere may delay a turn. After one that delays it further, or fails, there is
/// no other: whoever is not known by then is told to reconnect.
const LATEST: Duration = Duration::from_millis(500);

/// Tells all to go, over the time `spread`, or at once if the shutdown is forced.
pub async fn send_away(context: &Arc<Context>, connections: &[Arc<Outbound>], spread: Duration, name_is_lost: bool) {
    let clients = clients(context, connections, name_is_lost);
    let mut looks = name_is_lost;
    let mut turns = Turns::new(&clients, spread);
    while let Some(turn) = turns.next(&context.shutdown).await {
        looks = looks && turns.in_time(tell_replaced(context, turn)).await;
        turn.iter().for_each(|client| client.outbound.close(Errno::Draining.into()));
    }
}

struct Client {
    outbound: Arc<Outbound>,
    session: Option<Release>,
}

/// The connections, with their sessions where `name_is_lost`: on a node without a lease none begins any more.
fn clients(context: &Context, connections: &[Arc<Outbound>], name_is_lost: bool) -> Vec<Client> {
    let sessions = if name_is_lost { context.registry.all() } else { Vec::new() };
    let sessions: HashMap<*const Outbound, Release> =
        sessions.iter().map(|session| (session.connection(), session.release())).collect();
    let client = |outbound: &Arc<Outbound>| {
        let session = sessions.get(&Arc::as_ptr(outbound)).copied();
        Client { outbound: outbound.clone(), session }
    };
    connections.iter().map(client).collect()
}

/// Tells those whose users have logged in since. False: the database does not say who they are.
async fn tell_replaced(context: &Arc<Context>, clients: &[Client]) -> bool {
    let sessions: Vec<Release> = clients.iter().filter_map(|client| client.session).collect();
    let looking = async {
        match context.storage.superseded(&sessions).await {
            Ok(superseded) => {
                NodeTenants(context.clone()).lose(&superseded);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell whose users have logged in elsewhere");
                false
            }
        }
    };
    tokio::select! {
        looked = looking => looked,
        () = context.shutdown.forced() => false,
    }
}

/// Items in as many turns as there may be, spread evenly.
struct Turns<'a, T> {
    turns: std::iter::Enumerate<std::slice::Chunks<'a, T>>,
    began: Instant,
    between: Duration,
    /// When the latest turn was to come.
    due: Instant,
}

impl<'a, T> Turns<'a, T> {
    fn new(items: &'a [T], spread: Duration) -> Self {
        let at_once = items.len().div_ceil(TURNS).max(1);
        let turns = items.chunks(at_once);
        let between = spread / turns.len().max(1) as u32;
        let now = Instant::now();
        Turns { turns: turns.enumerate(), began: now, between, due: now }
    }

    /// The next items, when it is their turn.
    async fn next(&mut self, shutdown: &Shutdown) -> Option<&'a [T]> {
        let (nth, items) = self.turns.next()?;
        self.due = self.began + self.between * nth as u32;
        tokio::select! {
            () = sleep_until(self.due) => {}
            () = shutdown.forced() => {}
        }
        Some(items)
    }

    /// What the look comes to; false if this turn has to wait too long for it.
    async fn in_time(&self, look: impl Future<Output = bool>) -> bool {
        timeout_at(self.due + LATEST, look).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds after which the turn of each came.
    async fn turns(count: usize, spread: Duration, shutdown: &Shutdown) -> Vec<u64> {
        let (items, started) = (vec![(); count], Instant::now());
        let mut told: Vec<u64> = Vec::new();
        let mut turns = Turns::new(&items, spread);
        while let Some(turn) = turns.next(shutdown).await {
            told.extend(turn.iter().map(|()| started.elapsed().as_secs()));
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_spread_evenly() {
        let shutdown = Shutdown::new();
        assert!(turns(0, Duration::from_secs(10), &shutdown).await.is_empty());
        assert_eq!(turns(1, Duration::from_secs(10), &shutdown).await, [0]);
        assert_eq!(turns(4, Duration::from_secs(10), &shutdown).await, [0, 2, 5, 7]);
        assert_eq!(turns(100_000, Duration::ZERO, &shutdown).await, [0; 100_000]);
        let many = turns(100_000, Duration::from_secs(10), &shutdown).await;
        let seconds = (0..10).map(|second| many.iter().filter(|told| **told == second).count());
        assert_eq!(seconds.collect::<Vec<_>>(), [10_000; 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn forced_drain_spreads_nothing() {
        let shutdown = Shutdown::new();
        shutdown.force();
        assert_eq!(turns(10, Duration::from_secs(3_600), &shutdown).await, [0; 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_looks_delay_all_turns_by_no_more_than_one_may_be_late() {
        let (shutdown, between, started) = (Shutdown::new(), Duration::from_millis(100), Instant::now());
        let mut turns = Turns::new(&[(); TURNS], between * TURNS as u32);
        let mut looks = true;
        for nth in 0..TURNS as u32 {
            assert!(turns.next(&shutdown).await.is_some());
            let look = async {
                sleep_until(Instant::now() + LATEST / 2).await;
                true
            };
            looks = looks && turns.in_time(look).await;
            let late_ms = started.elapsed().as_millis().saturating_sub((between * nth).as_millis());
            assert!(late_ms <= LATEST.as_millis(), "turn {nth} is {late_ms} ms late");
        }
    }
}
