//! What friends see of each other when everything is over.

use super::RECOVERED;
use super::cast::Circle;
use crate::users::{Online, Record};
use anyhow::{Result, ensure};
use chat_protocol::conversation::UserId;
use chat_protocol::message::State;
use futures_util::future::{join_all, try_join_all};
use judge::history::Event;
use services::within;
use std::sync::Arc;

/// One of each circle leaves; the others look until they see it, or have looked for long enough, and write down the
/// last look.
///
/// # Errors
/// If somebody cannot look.
pub(super) async fn everybody_looks(record: &Record, circles: Vec<Circle>) -> Result<()> {
    try_join_all(circles.into_iter().map(|circle| look(record, circle))).await.map(|_| ())
}

type Look = (UserId, UserId, bool);

async fn look(record: &Record, mut circle: Circle) -> Result<()> {
    if let Some(leaver) = circle.online.pop().and_then(Arc::into_inner) {
        leaver.leave_or_vanish().await;
    }
    let online: Vec<UserId> = circle.online.iter().map(|user| user.user.id).collect();
    let looks = online.len() * (circle.users.len() - 1);
    let mut last = Vec::new();
    let has_converged = async || {
        last = join_all(circle.online.iter().map(|user| friends_of(user))).await.concat();
        let as_it_is = |(_, friend, seen): &Look| *seen == online.contains(friend);
        (last.len() == looks && last.iter().all(as_it_is)).then_some(())
    };
    // Where it does not, the last look tells.
    let _ = within(RECOVERED, "friends see each other as they are", has_converged).await;
    ensure!(last.len() == looks, "not everybody is told how their friends are: {} of {looks} states", last.len());
    for (user, friend, online) in last {
        record.note(Event::Sees { user, friend, online });
    }
    Ok(())
}

/// Empty where the node does not tell.
async fn friends_of(user: &Online) -> Vec<Look> {
    let Ok(roster) = user.client().roster().await else { return Vec::new() };
    roster.friends.iter().map(|friend| (user.user.id, friend.id, friend.state == State::Online)).collect()
}
