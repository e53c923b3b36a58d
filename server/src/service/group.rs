//! CREATE_GROUP, ADD_GROUP (join) and LEAVE_GROUP.

use super::{news, storage_failure};
use crate::core::Core;
use crate::protocol::conversation::{Conversation, GroupId};
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::{Event, Reply};
use crate::session::Session;
use crate::storage::{Joined, Left};
use std::sync::Arc;

pub async fn create(core: &Arc<Core>, session: &Session, name: String, description: String) -> Result<Reply, Failure> {
    let created = core.storage.create_group(session.user, &name, &description).await.map_err(storage_failure)?;
    let groupid = created.ok_or_else(|| Failure::new(Errno::Exists, "this group name is taken"))?;
    Ok(Reply::CreateGroup { groupid })
}

pub async fn join(core: &Arc<Core>, session: &Session, group: GroupId) -> Result<Reply, Failure> {
    let limit = core.config.limits.group_members;
    match core.storage.join_group(session.user, group, limit).await.map_err(storage_failure)? {
        Joined::NoSuchGroup => Err(Errno::NoSuchGroup.into()),
        Joined::Already => Err(Failure::new(Errno::Exists, "a member already")),
        Joined::Full => Err(Failure::new(Errno::TooLarge, format!("the group is full ({limit} members)"))),
        Joined::Done { name: groupname, description: groupdesc, .. } => {
            // A cursor from an earlier membership would start in the wrong place.
            session.forget(Conversation::Group(group));
            let _ = core.audience_changed(Conversation::Group(group)).await;
            let name = session.name.to_string();
            tell_members(core, group, Event::Joined { groupid: group, id: session.user, name });
            Ok(Reply::JoinGroup { groupid: group, groupname, groupdesc })
        }
    }
}

pub async fn leave(core: &Arc<Core>, session: &Session, group: GroupId) -> Result<Reply, Failure> {
    match core.storage.leave_group(session.user, group).await.map_err(storage_failure)? {
        Left::NoSuchGroup => Err(Errno::NoSuchGroup.into()),
        Left::NotMember => Err(Failure::new(Errno::NotAllowed, "not a member of this group")),
        Left::Done => {
            session.forget(Conversation::Group(group));
            let _ = core.audience_changed(Conversation::Group(group)).await;
            let name = session.name.to_string();
            tell_members(core, group, Event::Left { groupid: group, id: session.user, name });
            Ok(Reply::LeaveGroup { groupid: group })
        }
    }
}

fn tell_members(core: &Arc<Core>, group: GroupId, event: Event) {
    if let Some(audience) = core.audiences.cached(Conversation::Group(group)) {
        news::tell(core, audience.members.to_vec(), event);
    }
}
