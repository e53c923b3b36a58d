//! ADD_FRIEND and REMOVE_FRIEND. Friendship is mutual.

use super::{news, storage_failure};
use crate::core::Core;
use crate::protocol::conversation::{Conversation, UserId};
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::{Event, Reply};
use crate::session::Session;
use crate::storage::Befriended;
use std::sync::Arc;

pub async fn add(core: &Arc<Core>, session: &Session, friend: UserId) -> Result<Reply, Failure> {
    let user = session.user;
    if friend == user {
        return Err(Failure::field("friendid", "someone else's id"));
    }
    match core.storage.add_friend(user, friend).await.map_err(storage_failure)? {
        Befriended::NoSuchUser => return Err(Errno::NoSuchUser.into()),
        Befriended::Already => return Err(Failure::new(Errno::Exists, "friends already")),
        Befriended::Done => {}
    }
    let _ = core.audience_changed(Conversation::direct(user, friend)).await;
    news::tell(core, vec![friend], Event::FriendAdded { id: user, name: session.name.to_string() });
    let friend = core.storage.friend(user, friend).await.map_err(storage_failure)?.ok_or(Errno::NoSuchUser)?;
    Ok(Reply::AddFriend(friend))
}

pub async fn remove(core: &Arc<Core>, session: &Session, friend: UserId) -> Result<Reply, Failure> {
    let user = session.user;
    if friend == user {
        return Err(Failure::field("friendid", "someone else's id"));
    }
    if !core.storage.remove_friend(user, friend).await.map_err(storage_failure)? {
        let known = core.storage.account(&crate::protocol::message::Who::Id(friend)).await.map_err(storage_failure)?;
        return Err(match known {
            Some(_) => Failure::new(Errno::NotAllowed, "not a friend"),
            None => Errno::NoSuchUser.into(),
        });
    }
    let _ = core.audience_changed(Conversation::direct(user, friend)).await;
    news::tell(core, vec![friend], Event::FriendRemoved { id: user, name: session.name.to_string() });
    Ok(Reply::RemoveFriend { friendid: friend })
}
