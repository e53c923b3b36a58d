//! Finds what the bus lost, by looking into the log.
//!
//! Every `repair_interval` the conversations that changed lately are compared with what the sessions here have been
//! pushed: the cost follows what was said, not who is online. A look at every session's conversations, in small steps,
//! is taken only after the subscription was broken or a node died.

use crate::context::Core;
use crate::failpoint::{self, Failpoint};
use crate::session::Delivery;
use crate::storage::{self, Change, End, Seen};
use chat_protocol::conversation::{Conversation, UserId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between reading what changed and comparing, so that what is on its way counts as pushed.
const GRACE: Duration = Duration::from_millis(500);
/// Looks are at least this far apart, however often they are asked for.
const PAUSE: Duration = Duration::from_millis(200);
/// Sessions looked at in one query of the full pass.
const STEP: usize = 256;

/// Runs until the node stops.
pub async fn run(core: Arc<Core>) {
    let interval = Duration::from_secs(core.config.limits.repair_interval_s);
    // From the start on: else the first look would find nothing, and what went astray until then would wait for the
    // second.
    let mut seen = core.storage.changes(None).await.ok().map(|changes| changes.seen);
    loop {
        let _ = tokio::time::timeout(interval, core.sweep_now.notified()).await;
        if core.suspend_unless_leased() || failpoint::hits(Failpoint::SweepSkip) {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let full = core.sweep_all.swap(false, Ordering::AcqRel);
        if let Err(error) = sweep(&core, &mut seen, full).await {
            tracing::warn!(%error, "cannot look for lost messages, trying again");
            core.sweep_all.fetch_or(full, Ordering::AcqRel);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn sweep(core: &Arc<Core>, seen: &mut Option<Seen>, full: bool) -> storage::Result<()> {
    let changes = core.storage.changes(seen.as_ref()).await?;
    if full {
        look_at_all(core).await?;
    }
    if !changes.changed.is_empty() {
        tokio::time::sleep(GRACE).await;
        for change in &changes.changed {
            look_at(core, change).await?;
        }
    }
    *seen = Some(changes.seen);
    if changes.more {
        core.sweep_now.notify_one();
    }
    core.metrics.sweeps_total.inc();
    Ok(())
}

async fn look_at(core: &Arc<Core>, change: &Change) -> storage::Result<()> {
    core.ends.saw(change.conv, change.end);
    if let Conversation::Direct(low, high) = change.conv {
        // Its name says who they are; who is not in it after all has no cursor and gets nothing.
        core.audiences.outdated(change.conv, change.version);
        note(core, low, change.conv, change.end);
        note(core, high, change.conv, change.end);
        return Ok(());
    }
    let Some(audience) = core.audiences.under(change.conv, change.version).await? else { return Ok(()) };
    for user in audience.members.iter() {
        note(core, *user, change.conv, change.end);
    }
    Ok(())
}

async fn look_at_all(core: &Arc<Core>) -> storage::Result<()> {
    let users: Vec<UserId> = core.registry.all().iter().map(|session| session.user).collect();
    for step in users.chunks(STEP) {
        for waiting in core.storage.waiting(step).await? {
            note(core, waiting.user, waiting.conv, waiting.end());
        }
    }
    Ok(())
}

fn note(core: &Core, user: UserId, conv: Conversation, end: End) {
    if end.seq == 0 {
        return;
    }
    core.registry.with(user, |session| {
        if session.note(conv, end) == Delivery::Behind {
            core.metrics.repairs_total.inc();
            core.catch_up.request(session.clone(), conv);
        }
    });
}
