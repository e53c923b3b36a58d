//! Finds what the bus lost, by looking into the log.
//!
//! Every `repair_interval` the conversations that changed lately are compared with what the sessions here have been
//! pushed: the cost follows what was said, not who is online. A look at every session's conversations, in small steps,
//! is taken only after the subscription was broken, or a node died or started. While a node lives and is not heard on
//! the bus, what it has to tell is read here one look after the other.

use super::Delivery;
use crate::failpoint::{self, Failpoint};
use crate::session::Delivered;
use crate::storage::{self, Change, End, Seen};
use chat_protocol::conversation::{Conversation, UserId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Between reading what changed and comparing, so that what is on its way counts as pushed.
const GRACE: Duration = Duration::from_millis(500);
/// The same while a node is not heard: what others have on its way is seldom later, and only costs a read.
const UNHEARD_GRACE: Duration = Duration::from_millis(100);
/// Looks are at least this far apart, however often they are asked for.
const PAUSE: Duration = Duration::from_millis(200);
/// The same after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Sessions looked at in one query of the full pass.
const STEP: usize = 256;

/// Looks every `interval`, and whenever it is asked to. Runs until the node stops.
pub async fn run(delivery: Arc<Delivery>, interval: Duration) {
    // From the start on: else the first look would find nothing, and what went astray until then would wait for the
    // second.
    let mut seen = delivery.storage.changes(None).await.ok().map(|changes| changes.seen);
    loop {
        let is_heard = delivery.bus.stats().unheard.load(Ordering::Relaxed) == 0;
        delivery.repair.wait(if is_heard { interval } else { Duration::ZERO }).await;
        if delivery.registry.suspend_unless_leased() || failpoint::hits(Failpoint::SweepSkip) {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let full = delivery.repair.take_everything();
        let began = Instant::now();
        let pause = match look(&delivery, &mut seen, full, if is_heard { GRACE } else { UNHEARD_GRACE }).await {
            Ok(()) if is_heard => PAUSE,
            // The database carries all messages between nodes: the slower it is, the less often it is asked.
            Ok(()) => PAUSE.max(began.elapsed()),
            Err(error) => {
                tracing::warn!(%error, "cannot look for lost messages, trying again");
                delivery.repair.put_back(full);
                PAUSE_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn look(delivery: &Arc<Delivery>, seen: &mut Option<Seen>, full: bool, grace: Duration) -> storage::Result<()> {
    let changes = delivery.storage.changes(seen.as_ref()).await?;
    if full || changes.has_new_run {
        look_at_all(delivery).await?;
    }
    if !changes.changed.is_empty() {
        tokio::time::sleep(grace).await;
        for change in &changes.changed {
            look_at(delivery, change).await?;
        }
    }
    *seen = Some(changes.seen);
    if changes.more {
        delivery.repair.look_soon();
    }
    delivery.metrics.sweeps_total.inc();
    Ok(())
}

async fn look_at(delivery: &Arc<Delivery>, change: &Change) -> storage::Result<()> {
    delivery.log_ends.saw(change.conv, change.end);
    if let Conversation::Direct(low, high) = change.conv {
        // Its name says who they are; who is not in it after all has no cursor and gets nothing.
        delivery.members.outdated(change.conv, change.version);
        note(delivery, low, change.conv, change.end);
        note(delivery, high, change.conv, change.end);
        return Ok(());
    }
    let Some(audience) = delivery.members.under(change.conv, change.version).await? else { return Ok(()) };
    for user in audience.members.iter() {
        note(delivery, *user, change.conv, change.end);
    }
    Ok(())
}

async fn look_at_all(delivery: &Arc<Delivery>) -> storage::Result<()> {
    for step in delivery.registry.users().chunks(STEP) {
        for waiting in delivery.storage.waiting(step).await? {
            note(delivery, waiting.user, waiting.conv, waiting.end());
        }
    }
    Ok(())
}

fn note(delivery: &Delivery, user: UserId, conv: Conversation, end: End) {
    if end.seq == 0 {
        return;
    }
    delivery.registry.with(user, |session| {
        if session.note(conv, end) == Delivered::Behind {
            delivery.metrics.repairs_total.inc();
            delivery.catch_up.request(session.clone(), conv);
        }
    });
}
