//! ADD_FRIEND and REMOVE_FRIEND. Friendship is mutual.

use super::events;
use crate::context::Context;
use crate::delivery::member_changes::{Change, Outcome};
use crate::session::Session;
use crate::session::failure::storage_failure;
use crate::storage::Befriended;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Event, FriendRemoved, Reply, Who};
use std::sync::Arc;

pub async fn add(context: &Arc<Context>, session: &Arc<Session>, friend: Who) -> Result<Reply, Failure> {
    let friend = match friend {
        Who::Id(id) => id,
        Who::Name(_) => context.storage.account(&friend).await.map_err(storage_failure)?.ok_or(Errno::NoSuchUser)?.id,
    };
    let change = begin(context, session, friend)?;
    let user = session.user;
    let added = match context.storage.add_friend(&session.actor(&context.key), friend).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(Befriended::NoSuchUser) => return Err(Errno::NoSuchUser.into()),
        Ok(Befriended::Already) => {
            change.done(Outcome::FriendsAlready(true)).await;
            return Err(Failure::new(Errno::Exists, "friends already"));
        }
        Ok(Befriended::Done(added)) => added,
    };
    change.done(Outcome::Friends(true)).await;
    events::tell(&context.delivery, vec![friend], Event::FriendAdded { id: user, name: session.name.to_string() });
    Ok(Reply::AddFriend(added))
}

pub async fn remove(context: &Arc<Context>, session: &Arc<Session>, friend: UserId) -> Result<Reply, Failure> {
    let change = begin(context, session, friend)?;
    let user = session.user;
    match context.storage.remove_friend(&session.actor(&context.key), friend).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(true) => change.done(Outcome::Friends(false)).await,
        Ok(false) => {
            change.done(Outcome::FriendsAlready(false)).await;
            let known = context.storage.account(&Who::Id(friend)).await.map_err(storage_failure)?;
            return Err(match known {
                Some(_) => Failure::new(Errno::NotAllowed, "not a friend"),
                None => Errno::NoSuchUser.into(),
            });
        }
    }
    events::tell(&context.delivery, vec![friend], Event::FriendRemoved { id: user, name: session.name.to_string() });
    Ok(Reply::RemoveFriend(FriendRemoved { friendid: friend }))
}

fn begin(context: &Arc<Context>, session: &Arc<Session>, friend: UserId) -> Result<Change, Failure> {
    if friend == session.user {
        return Err(Failure::field("friendid", "someone else"));
    }
    context.member_changes.begin(session, Conversation::direct(session.user, friend))
}
