//! ROSTER, and the same lists in LOGIN_ACK: friends and groups with true presence.

use crate::context::Context;
use crate::session::failure::storage_failure;
use crate::session::login_reads::{FRIENDS, GROUPS, LoginReads, USERS_PER_GROUP};
use crate::storage::{self, NamedGroup};
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::errno::Failure;
use chat_protocol::message::{Group, GroupPage, Reply, Roster};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Groups whose users one caller asks for at once: many callers are to get their turns.
const GROUPS_AT_ONCE: usize = 16;
/// About how many bytes of group members are listed in all, so that the frame stays within a node's limit in every
/// dialect; past it groups come without the rest of their users.
const MEMBER_BYTES: usize = 200 * 1024;
/// About what one listed user costs beside its name.
const USER_BYTES: usize = 80;

pub async fn answer(context: &Context, user: UserId, page: Option<GroupPage>) -> Result<Reply, Failure> {
    let roster = match page {
        None => roster(context, user).await?,
        Some(page) => one_page(context, user, page).await?,
    };
    Ok(Reply::Roster(Box::new(roster)))
}

/// Everything, within the limits.
pub async fn roster(context: &Context, user: UserId) -> Result<Roster, Failure> {
    let reads = &context.login_reads;
    let both = tokio::try_join!(reads.friends.read(user), groups(reads, user));
    let (mut friends, (mut groups, more_groups)) = both.map_err(storage_failure)?;
    let mut more = friends.len() > FRIENDS as usize || more_groups;
    friends.truncate(FRIENDS as usize);
    let mut room = MEMBER_BYTES;
    for group in &mut groups {
        more |= shorten(group, &mut room);
    }
    Ok(Roster { friends, groups, more })
}

/// As many groups as are listed, and whether there are more.
async fn groups(reads: &LoginReads, user: UserId) -> storage::Result<(Vec<Group>, bool)> {
    let mut named = reads.groups.read(user).await?;
    let more = named.len() > GROUPS as usize;
    named.truncate(GROUPS as usize);
    let groups = stream::iter(named).map(|group| with_users(reads, group)).buffered(GROUPS_AT_ONCE);
    Ok((groups.try_collect().await?, more))
}

async fn with_users(reads: &LoginReads, group: NamedGroup) -> storage::Result<Group> {
    let mut users = reads.group_users.read(group.id).await?;
    let more = users.len() > USERS_PER_GROUP as usize;
    users.truncate(USERS_PER_GROUP as usize);
    Ok(Group { id: group.id, groupname: group.groupname, groupdesc: group.groupdesc, users, more })
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
    match context.storage.group_page(user, page).await.map_err(storage_failure)? {
        Some(group) => Ok(Roster { more: group.more, friends: Vec::new(), groups: vec![group] }),
        None => Err(context
            .delivery
            .members
            .why_not(Conversation::Group(page.group), user)
            .await
            .map_err(storage_failure)?),
    }
}
