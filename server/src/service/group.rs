//! CREATE_GROUP, ADD_GROUP (join) and LEAVE_GROUP.

use super::events;
use crate::context::Context;
use crate::delivery::member_changes::Outcome;
use crate::session::Session;
use crate::session::failure::change_failure;
use crate::storage::{Joined, Left};
use chat_protocol::conversation::{Conversation, GroupId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Event, GroupCreated, GroupLeft, JoinedGroup, Reply};
use std::sync::Arc;

pub async fn create(
    context: &Arc<Context>,
    session: &Session,
    name: String,
    description: String,
) -> Result<Reply, Failure> {
    let created = context.storage.create_group(&session.actor(&context.key), &name, &description).await;
    let created = created.map_err(|error| change_failure(session, error))?;
    let groupid = created.ok_or_else(|| Failure::new(Errno::Exists, "this group name is taken"))?;
    Ok(Reply::CreateGroup(GroupCreated { groupid }))
}

pub async fn join(context: &Arc<Context>, session: &Arc<Session>, group: GroupId) -> Result<Reply, Failure> {
    let limit = context.config.get().limits.group_members;
    let change = context.member_changes.begin(session, Conversation::Group(group))?;
    let (outcome, reply) = match context.storage.join_group(&session.actor(&context.key), group, limit).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(Joined::NoSuchGroup) => (Outcome::Absent, Err(Errno::NoSuchGroup.into())),
        Ok(Joined::Already) => (Outcome::Stayed, Err(Failure::new(Errno::Exists, "a member already"))),
        Ok(Joined::Full) => {
            (Outcome::Absent, Err(Failure::new(Errno::TooLarge, format!("the group is full ({limit} members)"))))
        }
        Ok(Joined::Done { name: groupname, description: groupdesc, end, version }) => (
            Outcome::Joined { end, version },
            Ok(Reply::JoinGroup(JoinedGroup { groupid: group, groupname, groupdesc })),
        ),
    };
    change.done(outcome).await;
    if reply.is_ok() {
        tell_members(
            context,
            group,
            Event::Joined { groupid: group, id: session.user, name: session.name.to_string() },
        );
    }
    reply
}

pub async fn leave(context: &Arc<Context>, session: &Arc<Session>, group: GroupId) -> Result<Reply, Failure> {
    let change = context.member_changes.begin(session, Conversation::Group(group))?;
    let (outcome, reply) = match context.storage.leave_group(&session.actor(&context.key), group).await {
        Err(error) => return Err(change.unknown(error)),
        Ok(Left::NoSuchGroup) => (Outcome::Absent, Err(Errno::NoSuchGroup.into())),
        Ok(Left::NotMember) => (Outcome::Absent, Err(Failure::new(Errno::NotAllowed, "not a member of this group"))),
        Ok(Left::Done { version }) => (Outcome::Left { version }, Ok(Reply::LeaveGroup(GroupLeft { groupid: group }))),
    };
    change.done(outcome).await;
    if reply.is_ok() {
        tell_members(context, group, Event::Left { groupid: group, id: session.user, name: session.name.to_string() });
    }
    reply
}

fn tell_members(context: &Arc<Context>, group: GroupId, event: Event) {
    if let Some(audience) = context.delivery.members.cached(Conversation::Group(group)) {
        events::tell(&context.delivery, audience.members.to_vec(), event);
    }
}
