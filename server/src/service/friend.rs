//! ADD_FRIEND and REMOVE_FRIEND. Friendship is mutual.

use super::{events, storage_failure};
use crate::context::Core;
use crate::delivery::doubts::{Change, Outcome};
use crate::session::Session;
use crate::storage::Befriended;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Event, Reply, Who};
use std::sync::Arc;

pub async fn add(core: &Arc<Core>, session: &Arc<Session>, friend: UserId) -> Result<Reply, Failure> {
    let change = begin(core, session, friend)?;
    let user = session.user;
    match core.storage.add_friend(&session.actor(&core.key), friend).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(Befriended::NoSuchUser) => return Err(Errno::NoSuchUser.into()),
        Ok(Befriended::Already) => {
            change.done(Outcome::FriendsAlready(true)).await;
            return Err(Failure::new(Errno::Exists, "friends already"));
        }
        Ok(Befriended::Done) => change.done(Outcome::Friends(true)).await,
    }
    events::tell(core, vec![friend], Event::FriendAdded { id: user, name: session.name.to_string() });
    let friend = core.storage.friend(user, friend).await.map_err(storage_failure)?.ok_or(Errno::NoSuchUser)?;
    Ok(Reply::AddFriend(friend))
}

pub async fn remove(core: &Arc<Core>, session: &Arc<Session>, friend: UserId) -> Result<Reply, Failure> {
    let change = begin(core, session, friend)?;
    let user = session.user;
    match core.storage.remove_friend(&session.actor(&core.key), friend).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(true) => change.done(Outcome::Friends(false)).await,
        Ok(false) => {
            change.done(Outcome::FriendsAlready(false)).await;
            let known = core.storage.account(&Who::Id(friend)).await.map_err(storage_failure)?;
            return Err(match known {
                Some(_) => Failure::new(Errno::NotAllowed, "not a friend"),
                None => Errno::NoSuchUser.into(),
            });
        }
    }
    events::tell(core, vec![friend], Event::FriendRemoved { id: user, name: session.name.to_string() });
    Ok(Reply::RemoveFriend { friendid: friend })
}

fn begin(core: &Arc<Core>, session: &Arc<Session>, friend: UserId) -> Result<Change, Failure> {
    if friend == session.user {
        return Err(Failure::field("friendid", "someone else's id"));
    }
    Change::begin(core, session, Conversation::direct(session.user, friend))
}
