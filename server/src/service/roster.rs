//! ROSTER, and the same lists in LOGIN_ACK: friends and groups with true presence.

use crate::context::Context;
use crate::session::failure::storage_failure;
use crate::storage::NamedGroup;
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use chat_protocol::errno::Failure;
use chat_protocol::message::{Group, GroupPage, GroupUser, Reply, Roster};

/// What is listed at most; past it `more` is set.
const FRIENDS: u32 = 200;
const GROUPS: u32 = 200;
const USERS_PER_GROUP: u32 = 100;
/// About how many bytes of group members are listed in all, so that the frame stays within a node's limit in every
/// dialect; past it groups come without the rest of their users.
const MEMBER_BYTES: usize = 200 * 1024;
/// About what one listed user costs beside its name.
const USER_BYTES: usize = 80;

pub async fn answer(
    context: &Context,
    user: UserId,
    page: Option<GroupPage>,
) -> Result<Reply, Failure> {
    let roster = match page {
        None => roster(context, user).await?,
        Some(page) => one_page(context, user, page).await?,
    };
    Ok(Reply::Roster(Box::new(roster)))
}

/// Everything, within the limits.
pub async fn roster(context: &Context, user: UserId) -> Result<Roster, Failure> {
    let friends = context
        .storage
        .friends(&[user], FRIENDS + 1)
        .await
        .map_err(storage_failure)?;
    let named = context
        .storage
        .groups(&[user], GROUPS + 1)
        .await
        .map_err(storage_failure)?;
    let (mut friends, mut named) = (friends.concat(), named.concat());
    let mut more = friends.len() > FRIENDS as usize || named.len() > GROUPS as usize;
    friends.truncate(FRIENDS as usize);
    named.truncate(GROUPS as usize);
    let ids: Vec<GroupId> = named.iter().map(|group| group.id).collect();
    let users = context
        .storage
        .group_users(&ids, USERS_PER_GROUP + 1)
        .await
        .map_err(storage_failure)?;
    let mut groups: Vec<Group> = named
        .into_iter()
        .zip(users)
        .map(|(named, users)| listed(named, users))
        .collect();
    let mut room = MEMBER_BYTES;
    for group in &mut groups {
        more |= shorten(group, &mut room);
    }
    Ok(Roster {
        friends,
        groups,
        more,
    })
}

fn listed(named: NamedGroup, mut users: Vec<GroupUser>) -> Group {
    let more = users.len() > USERS_PER_GROUP as usize;
    users.truncate(USERS_PER_GROUP as usize);
    Group {
        id: named.id,
        groupname: named.groupname,
        groupdesc: named.groupdesc,
        users,
        more,
    }
}

/// Cuts the list of users to what is allowed; true if it had to.
fn shorten(group: &mut Group, room: &mut usize) -> bool {
    let before = group.users.len();
    let fits = group.users.iter().take_while(|user| {
        let bytes = user.name.len() + USER_BYTES;
        let fits = bytes <= *room;
        *room = room.saturating_sub(bytes);
        fits
    });
    let fits = fits.count();
    group.users.truncate(fits);
    group.more |= fits < before;
    group.more
}

async fn one_page(context: &Context, user: UserId, page: GroupPage) -> Result<Roster, Failure> {
    match context
        .storage
        .group_page(user, page)
        .await
        .map_err(storage_failure)?
    {
        Some(group) => Ok(Roster {
            more: group.more,
            friends: Vec::new(),
            groups: vec![group],
        }),
        None => Err(context
            .delivery
            .members
            .why_not(Conversation::Group(page.group), user)
            .await
            .map_err(storage_failure)?),
    }
}
