use super::*;

fn plan(classic: Classic) -> (Plan, MigrationReport) {
    super::plan(classic, MigrationReport::default())
}

fn user(id: i64, name: &str) -> User {
    User { id, name: name.into(), password: "123456".into() }
}

fn group(id: i64, name: &str) -> Group {
    Group { id, name: name.into(), description: String::new() }
}

fn member(group: i64, user: i64, role: &str) -> Member {
    Member { group, user, role: role.into() }
}

fn offline(user: i64, message: &str) -> Offline {
    Offline { user, message: message.into() }
}

fn names(users: &[(i64, &str)]) -> Vec<String> {
    let users = users.iter().map(|(id, name)| user(*id, name)).collect();
    let (plan, _) = plan(Classic { users, ..Default::default() });
    plan.users.into_iter().map(|user| user.name).collect()
}

#[test]
fn repeated_and_unlawful_names_are_mended() {
    assert_eq!(names(&[(1, "a"), (2, "a"), (3, "a-2"), (4, "a")]), ["a", "a-3", "a-2", "a-4"]);
    assert_eq!(names(&[(1, " a "), (2, ""), (3, "\t"), (4, "x\u{7}y")]), ["a", "2", "3", "xy"]);
    // Composed and decomposed are one name to us.
    assert_eq!(names(&[(1, "\u{e9}"), (2, "e\u{301}")]), ["\u{e9}", "\u{e9}-2"]);
    let long = "世".repeat(60);
    let mended = names(&[(1, &long), (2, &long)]);
    assert_eq!(mended.iter().map(|name| name.chars().count()).collect::<Vec<_>>(), [50, 50]);
    assert_ne!(mended[0], mended[1]);
}

#[test]
fn one_sided_friendship_becomes_mutual_and_ghosts_are_reported() {
    let users = vec![user(1, "a"), user(2, "b")];
    let friends = vec![(2, 1), (1, 2), (1, 1), (1, 9), (-3, 2)];
    let (plan, report) = plan(Classic { users, friends, ..Default::default() });
    assert_eq!(plan.friends, BTreeSet::from([(1, 2)]));
    assert_eq!(plan.conversations[&Conversation::direct(1, 2)].members, BTreeSet::from([1, 2]));
    assert_eq!(report.problems.len(), 3, "{:?}", report.problems);
}

#[test]
fn every_group_has_one_creator() {
    let users = (1..=4).map(|id| user(id, &id.to_string())).collect();
    let groups = vec![group(1, "one"), group(2, "two"), group(3, "nobody's")];
    let members = vec![
        member(1, 1, "normal"),
        member(1, 2, "creator"),
        member(1, 3, "creator"),
        member(2, 4, "normal"),
        member(2, 3, ""),
        member(9, 1, "creator"),
    ];
    let (plan, report) = plan(Classic { users, groups, members, ..Default::default() });
    let creators: Vec<_> =
        plan.roles.iter().filter(|(_, is_creator)| **is_creator).map(|(member, _)| *member).collect();
    assert_eq!(creators, [(1, 2), (2, 3)]);
    assert_eq!(plan.roles.len(), 5);
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
}

#[test]
fn message_to_a_group_is_said_once_and_waits_for_those_who_were_away() {
    let users = (1..=3).map(|id| user(id, &id.to_string())).collect();
    let members = (1..=3).map(|id| member(7, id, "normal")).collect();
    let hello = r#"{"msgid":10,"id":1,"groupid":7,"msg":"hello"}"#;
    let again = r#"{"msgid":10,"id":1,"groupid":7,"msg":"again"}"#;
    // User 2 was away for three messages, of which two are the same; user 3 for the last.
    let offline = vec![offline(2, hello), offline(2, hello), offline(2, again), offline(3, again)];
    let (plan, report) = plan(Classic { users, groups: vec![group(7, "g")], members, offline, ..Default::default() });
    let conversation = &plan.conversations[&Conversation::Group(7)];
    let said: Vec<&str> = conversation.messages.iter().map(|message| &*message.msg).collect();
    assert_eq!(said, ["hello", "hello", "again"]);
    assert_eq!((conversation.cursor(1), conversation.cursor(2), conversation.cursor(3)), (3, 0, 2));
    assert_eq!((report.messages, report.problems), (3, vec![]));
}

#[test]
fn message_that_cannot_be_taken_over_is_reported_in_full() {
    let users = vec![user(1, "a"), user(2, "b")];
    let rows = [
        (2, r#"{"id":1,"toid":2,"msg":"cut of"#),
        (2, r#"{"id":9,"toid":2,"msg":"from nobody"}"#),
        (9, r#"{"id":1,"toid":9,"msg":"to nobody"}"#),
        (2, r#"{"id":1,"groupid":7,"msg":"to no group"}"#),
        (2, r#"{"id":1,"groupid":8,"msg":"not a member"}"#),
    ];
    let offline = rows.iter().map(|(user, message)| offline(*user, message)).collect();
    let (plan, report) = plan(Classic { users, groups: vec![group(8, "g")], offline, ..Default::default() });
    assert!(plan.conversations.values().all(|conversation| conversation.messages.is_empty()));
    assert_eq!(report.problems.len(), rows.len());
    for ((_, message), problem) in rows.iter().zip(&report.problems) {
        assert!(problem.to_string().contains(message), "{problem}");
    }
}

#[test]
fn strangers_message_waits_in_a_closed_conversation() {
    let users = vec![user(1, "a"), user(2, "b")];
    let offline = vec![offline(2, r#"{"id":1,"toid":2,"msg":"still there"}"#)];
    let (plan, _) = plan(Classic { users, offline, ..Default::default() });
    let conversation = &plan.conversations[&Conversation::direct(1, 2)];
    assert_eq!((conversation.cursor(1), conversation.cursor(2), conversation.members.len()), (1, 0, 2));
    assert!(plan.friends.is_empty());
}
