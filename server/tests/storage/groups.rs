//! Groups: who is in them, who leads them, and from where on a joiner reads.

use crate::database::{Database, audience, cursors, group, node, say, user};
use crate::on_every_database;
use chat::storage::{Claim, End, Joined, Left, Storage};
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use chat_protocol::message::{GroupPage, Role, State};
use std::sync::Arc;

on_every_database!(
    group_names_are_unique,
    joiner_starts_at_the_end,
    joining_is_refused_with_its_reason,
    leaving_ends_delivery,
    creator_who_leaves_hands_over_to_the_longest_standing,
    next_to_join_an_empty_group_leads_it,
    group_never_exceeds_its_bound,
    groups_list_their_first_users,
    users_are_paged_for_members_only,
);

async fn join(storage: &Arc<dyn Storage>, user: UserId, group: GroupId) {
    let joined = storage.join_group(&user.into(), group, 1_000).await.expect("joining works");
    assert!(matches!(joined, Joined::Done { .. }), "{joined:?}");
}

async fn roles(storage: &Arc<dyn Storage>, user: UserId, group: GroupId) -> Vec<(UserId, Role)> {
    let page = GroupPage { group, after: 0, limit: 100 };
    let page = storage.group_page(user, page).await.expect("reading works").expect("a member asks");
    let (users, more) = (page.users, page.more);
    assert!(!more);
    users.iter().map(|user| (user.id, user.role)).collect()
}

async fn group_names_are_unique(database: Database) {
    let storage = database.open().await;
    let creator = user(&storage, "creator").await;
    let id = group(&storage, creator, "名字 'x'").await;
    assert_eq!(storage.create_group(&creator.into(), "名字 'x'", "").await.expect("creating works"), None);
    assert_eq!(roles(&storage, creator, id).await, [(creator, Role::Creator)]);
    let joiner = user(&storage, "joiner").await;
    let joined = storage.join_group(&joiner.into(), id, 10).await.expect("joining works");
    assert_eq!(
        joined,
        Joined::Done {
            name: "名字 'x'".into(), description: "what it is for".into(), end: End::default(), version: 2
        }
    );
}

async fn joiner_starts_at_the_end(database: Database) {
    let storage = database.open().await;
    let (creator, joiner) = (user(&storage, "creator").await, user(&storage, "joiner").await);
    let id = group(&storage, creator, "group").await;
    let conv = Conversation::Group(id);
    say(&storage, conv, creator, 5).await;
    let before = audience(&storage, conv).await.expect("it exists");

    join(&storage, joiner, id).await;

    assert_eq!(cursors(&storage, &[(conv, joiner)]).await, [Some(5)]);
    assert_eq!(storage.waiting(&[joiner]).await.expect("reading works"), []);
    let after = audience(&storage, conv).await.expect("it exists");
    assert!(after.version > before.version && after.open);
    assert_eq!((&*before.members, &*after.members), (&[creator][..], &[creator, joiner][..]));
    say(&storage, conv, joiner, 1).await;
}

async fn joining_is_refused_with_its_reason(database: Database) {
    let storage = database.open().await;
    let (creator, joiner) = (user(&storage, "creator").await, user(&storage, "joiner").await);
    let id = group(&storage, creator, "group").await;
    let join =
        async |user: UserId, group, most| storage.join_group(&user.into(), group, most).await.expect("joining works");
    assert_eq!(join(joiner, id + 1, 10).await, Joined::NoSuchGroup);
    assert_eq!(join(creator, id, 10).await, Joined::Already);
    assert_eq!(join(joiner, id, 1).await, Joined::Full);
    assert_eq!(storage.leave_group(&joiner.into(), id).await.expect("leaving works"), Left::NotMember);
    assert_eq!(storage.leave_group(&joiner.into(), id + 1).await.expect("leaving works"), Left::NoSuchGroup);
}

async fn leaving_ends_delivery(database: Database) {
    let storage = database.open().await;
    let (creator, leaver) = (user(&storage, "creator").await, user(&storage, "leaver").await);
    let id = group(&storage, creator, "group").await;
    let conv = Conversation::Group(id);
    join(&storage, leaver, id).await;
    say(&storage, conv, creator, 2).await;
    assert_eq!(storage.count_waiting(leaver, 10).await.expect("counting works"), 2);

    assert!(matches!(storage.leave_group(&leaver.into(), id).await.expect("leaving works"), Left::Done { .. }));

    assert_eq!(storage.count_waiting(leaver, 10).await.expect("counting works"), 0);
    assert_eq!(storage.cursors(&[(conv, leaver, 0)]).await.expect("reading works"), [None]);
    assert_eq!(storage.groups(&[leaver], 10).await.expect("reading works"), [[]]);
    // Back again, what was said meanwhile is history.
    join(&storage, leaver, id).await;
    assert_eq!(storage.count_waiting(leaver, 10).await.expect("counting works"), 0);
}

async fn creator_who_leaves_hands_over_to_the_longest_standing(database: Database) {
    let storage = database.open().await;
    let creator = user(&storage, "creator").await;
    let (a, b, c) = (user(&storage, "a").await, user(&storage, "b").await, user(&storage, "c").await);
    let id = group(&storage, creator, "group").await;
    for joiner in [a, c, b] {
        join(&storage, joiner, id).await;
    }
    // Whoever comes back counts from then.
    storage.leave_group(&a.into(), id).await.expect("leaving works");
    join(&storage, a, id).await;

    storage.leave_group(&creator.into(), id).await.expect("leaving works");
    let normal = Role::Normal;
    assert_eq!(roles(&storage, a, id).await, [(a, normal), (b, normal), (c, Role::Creator)]);
    storage.leave_group(&c.into(), id).await.expect("leaving works");
    assert_eq!(roles(&storage, a, id).await, [(a, normal), (b, Role::Creator)]);
}

async fn next_to_join_an_empty_group_leads_it(database: Database) {
    let storage = database.open().await;
    let (creator, joiner) = (user(&storage, "creator").await, user(&storage, "joiner").await);
    let id = group(&storage, creator, "group").await;
    storage.leave_group(&creator.into(), id).await.expect("leaving works");
    let audience = audience(&storage, Conversation::Group(id)).await.expect("it exists");
    assert!(audience.members.is_empty());

    join(&storage, joiner, id).await;
    join(&storage, creator, id).await;
    assert_eq!(roles(&storage, joiner, id).await, [(creator, Role::Normal), (joiner, Role::Creator)]);
}

async fn group_never_exceeds_its_bound(database: Database) {
    let storage = database.open().await;
    let creator = user(&storage, "creator").await;
    let id = group(&storage, creator, "group").await;
    let mut joins = Vec::new();
    for nth in 0..10 {
        let joiner = user(&storage, &format!("joiner {nth}")).await;
        let storage = storage.clone();
        joins
            .push(tokio::spawn(async move { storage.join_group(&joiner.into(), id, 4).await.expect("joining works") }));
    }
    let mut joined = 0;
    for outcome in joins {
        match outcome.await.expect("no panic") {
            Joined::Done { .. } => joined += 1,
            other => assert_eq!(other, Joined::Full),
        }
    }
    assert_eq!((joined, roles(&storage, creator, id).await.len()), (3, 4));
}

async fn groups_list_their_first_users(database: Database) {
    let storage = database.open().await;
    let (me, friend) = (user(&storage, "me").await, user(&storage, "friend").await);
    let mut ids = Vec::new();
    // More than are read in one statement.
    for nth in 0..35 {
        let id = group(&storage, friend, &format!("group {nth}")).await;
        join(&storage, me, id).await;
        ids.push(id);
    }
    let third = user(&storage, "third").await;
    join(&storage, third, ids[2]).await;
    let one = node("one", 1);
    storage.start_node(&one).await.expect("starting works");
    storage
        .claim_sessions(&one, &[Claim { user: friend, takeover: None, token_generation: None }])
        .await
        .expect("claiming works");

    let groups = storage.groups(&[me, third, third + 1], 100).await.expect("reading works");
    let of: Vec<Vec<GroupId>> = groups.iter().map(|groups| groups.iter().map(|group| group.id).collect()).collect();
    assert_eq!(of, [ids.clone(), vec![ids[2]], vec![]]);
    assert_eq!((&*groups[0][0].groupname, &*groups[0][0].groupdesc), ("group 0", "what it is for"));
    let few = storage.groups(&[me, third], 3).await.expect("reading works");
    assert_eq!((few[0].len(), few[1].len()), (3, 1), "the limit is each user's own");

    for users in storage.group_users(&ids, 2).await.expect("reading works") {
        let users: Vec<_> = users.iter().map(|user| (user.id, user.state, user.role)).collect();
        assert_eq!(users, [(me, State::Offline, Role::Normal), (friend, State::Online, Role::Creator)]);
    }
    let all = storage.group_users(&[ids[3], ids[2], ids[2] + 1_000], 10).await.expect("reading works");
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 0]);
}

async fn users_are_paged_for_members_only(database: Database) {
    let storage = database.open().await;
    let creator = user(&storage, "creator").await;
    let id = group(&storage, creator, "group").await;
    let mut all = vec![creator];
    for nth in 0..6 {
        all.push(user(&storage, &format!("joiner {nth}")).await);
        join(&storage, all[nth + 1], id).await;
    }
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = GroupPage { group: id, after, limit: 3 };
        let page = storage.group_page(creator, page).await.expect("reading works").expect("a member asks");
        let (users, more) = (page.users, page.more);
        read.extend(users.iter().map(|user| user.id));
        after = *read.last().expect("pages are not empty");
        if !more {
            break;
        }
        assert_eq!(users.len(), 3);
    }
    assert_eq!(read, all);
    let stranger = user(&storage, "stranger").await;
    for (user, group) in [(stranger, id), (creator, id + 1)] {
        let page = GroupPage { group, after: 0, limit: 3 };
        assert_eq!(storage.group_page(user, page).await.expect("reading works"), None);
    }
}
