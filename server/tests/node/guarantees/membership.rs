//! G2 and G5 while who is in a conversation changes: with requests whose answer is lost, late or wrong, and on nodes
//! that have not heard of it.

use crate::support::cluster::{database, start_node};
use crate::support::faulty::{Fate, Faulty};
use crate::support::{BUDGET, PASSWORD, Peer, Value, eventually, json, texts};
use chat::bus::local::LocalHub;
use chat::node::Node;
use chat::storage::{Conversations, Cursors, Friends, Storage};
use chat_protocol::conversation::Conversation;
use std::sync::Arc;

/// Ann's group, of which her friend Bob is a member, both on one node.
struct Group {
    faulty: Arc<Faulty>,
    node: Node,
    ann: Peer,
    bob: Peer,
    id: u64,
}

async fn account(node: &Node, name: &str) {
    Peer::connect(node.address()).await.done(json!({"msgid": 4, "name": name, "password": PASSWORD})).await;
}

async fn login(node: &Node, name: &str) -> Peer {
    let mut peer = Peer::connect(node.address()).await;
    peer.login(name).await;
    peer
}

async fn group() -> Group {
    let faulty = Faulty::new(database().await);
    let node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
    account(&node, "ann").await;
    account(&node, "bob").await;
    let (mut ann, mut bob) = (login(&node, "ann").await, login(&node, "bob").await);
    ann.befriend(bob.id).await;
    let id = ann.create_group("go").await;
    bob.join(id).await;
    ann.tell_group(id, "hello").await;
    assert_eq!(bob.push().await["msg"], "hello");
    Group { faulty, node, ann, bob, id }
}

impl Group {
    fn join(&self) -> Value {
        json!({"msgid": 9, "groupid": self.id})
    }

    fn leave(&self) -> Value {
        json!({"msgid": 24, "groupid": self.id})
    }

    /// Waits until the database says whether Bob is a member.
    async fn bob_is_member(&self, is_member: bool) {
        let of = [(Conversation::Group(self.id), self.bob.id, 0)];
        eventually(BUDGET, "the request is done", async || {
            let cursors = self.faulty.cursors(&of).await.expect("the database is there");
            (cursors[0].is_some() == is_member).then_some(())
        })
        .await;
    }

    /// What was pushed to Bob by the time this message comes.
    async fn bob_hears_until(&mut self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let push = self.bob.push().await;
            let text = push["msg"].as_str().expect("a text").to_owned();
            if text == last {
                return heard;
            }
            heard.push(text);
        }
    }

    /// What is under way to Bob is pushed by then, as far as anything can tell.
    async fn bob_is_told(&mut self, marker: &str) {
        self.ann.tell(self.bob.id, marker).await;
    }
}

#[tokio::test]
async fn nothing_is_relayed_to_who_has_left_though_the_answer_was_lost() {
    let mut all = group().await;
    all.faulty.changes_are(Fate::Lost);
    let leave = all.leave();
    all.bob.refused(leave, 11).await;
    all.faulty.heal();

    all.ann.done(json!({"msgid": 10, "groupid": all.id, "msg": "said afterwards", "qos": 0})).await;
    all.ann.done(json!({"msgid": 6, "toid": all.bob.id, "msg": "end", "qos": 0})).await;

    assert_eq!(all.bob_hears_until("end").await, [] as [&str; 0]);
}

/// Errno 7 says that the user has left, errno 8 that it has joined.
#[tokio::test]
async fn what_is_said_between_leaving_and_joining_is_not_pushed_though_both_answers_were_lost() {
    for resends in [true, false] {
        let mut all = group().await;
        let (join, leave) = (all.join(), all.leave());
        if resends {
            all.faulty.settle_nothing();
        }
        for (request, errno) in [(leave, 7), (join, 8)] {
            all.faulty.changes_are(Fate::Lost);
            all.bob.refused(request.clone(), 11).await;
            all.faulty.changes_are_well();
            if resends {
                all.bob.refused(request, errno).await;
            }
            if errno == 7 {
                all.ann.tell_group(all.id, "between").await;
            }
        }
        all.faulty.heal();

        all.ann.tell_group(all.id, "again").await;

        assert_eq!(all.bob_hears_until("again").await, [] as [&str; 0], "resends: {resends}");
    }
}

#[tokio::test]
async fn nothing_is_pushed_while_a_leave_may_still_be_done() {
    for (fate, heard) in [(Fate::DoneLate, &[][..]), (Fate::UndoneLate, &["in doubt", "afterwards"])] {
        let mut all = group().await;
        let (join, leave) = (all.join(), all.leave());
        all.faulty.changes_are(fate);
        all.bob.refused(leave, 11).await;
        all.ann.tell_group(all.id, "in doubt").await;
        all.bob_is_told("marker").await;
        assert_eq!(all.bob_hears_until("marker").await, [] as [&str; 0], "{fate:?}");

        all.faulty.heal();
        all.bob_is_member(fate == Fate::UndoneLate).await;
        all.ann.tell_group(all.id, "afterwards").await;
        let rejoined = all.bob.ask(join).await["errno"].clone();
        all.ann.tell_group(all.id, "end").await;

        assert_eq!(rejoined, if fate == Fate::DoneLate { 0 } else { 8 });
        assert_eq!(all.bob_hears_until("end").await, heard, "{fate:?}");
    }
}

#[tokio::test]
async fn messages_that_come_before_the_answer_to_a_join_are_pushed_once() {
    let mut all = group().await;
    let (mut join, leave) = (all.join(), all.leave());
    all.bob.done(leave).await;
    all.faulty.changes_are(Fate::AnsweredLate);
    join["mid"] = json!("the join");
    all.bob.send(join).await;
    all.bob_is_member(true).await;

    for text in ["first", "second"] {
        all.ann.tell_group(all.id, text).await;
        all.bob_is_told(&format!("after {text}")).await;
    }
    let conv = Conversation::Group(all.id);
    eventually(BUDGET, "the node knows that Bob is a member", async || {
        let audiences = all.faulty.audiences(&[conv]).await.expect("the database is there");
        audiences[&conv].members.contains(&all.bob.id).then_some(())
    })
    .await;
    all.faulty.heal();
    assert_eq!(all.bob.reply(&json!("the join")).await["errno"], 0);
    all.ann.tell_group(all.id, "end").await;

    let heard = all.bob_hears_until("end").await;
    let of_group: Vec<&String> = heard.iter().filter(|text| !text.starts_with("after")).collect();
    assert_eq!(of_group, ["first", "second"]);
}

#[tokio::test]
async fn nothing_that_was_read_while_leaving_is_pushed() {
    let mut all = group().await;
    all.bob.log_out().await;
    for text in ["one", "two"] {
        all.ann.tell_group(all.id, text).await;
    }
    all.faulty.hold_pages(true);
    all.bob = login(&all.node, "bob").await;

    // Bob's messages wait to be read; meanwhile he leaves, and the answer is on its way.
    all.faulty.changes_are(Fate::AnsweredLate);
    let mut leave = all.leave();
    leave["mid"] = json!("the leave");
    all.bob.send(leave).await;
    all.bob_is_member(false).await;
    all.ann.tell_group(all.id, "after").await;
    all.faulty.hold_pages(false);
    for marker in ["a", "b", "c"] {
        all.bob_is_told(marker).await;
    }
    assert_eq!(all.bob_hears_until("c").await, ["a", "b"]);
    all.faulty.heal();
    assert_eq!(all.bob.reply(&json!("the leave")).await["errno"], 0);

    all.bob_is_told("end").await;
    assert_eq!(all.bob_hears_until("end").await, [] as [&str; 0]);
}

#[tokio::test]
async fn nobody_relays_to_who_ended_the_friendship_though_the_answer_was_lost() {
    let Group { faulty, mut ann, mut bob, node: _node, .. } = group().await;
    let chat = json!({"msgid": 6, "toid": bob.id, "msg": "still friends?", "qos": 0});
    ann.done(chat.clone()).await;
    assert_eq!(bob.push().await["msg"], "still friends?");
    let remove = json!({"msgid": 22, "friendid": ann.id});

    faulty.changes_are(Fate::Lost);
    bob.refused(remove.clone(), 11).await;
    faulty.heal();

    ann.refused(chat.clone(), 7).await;
    bob.refused(remove, 7).await;
    // And the other way round.
    faulty.changes_are(Fate::Lost);
    bob.refused(json!({"msgid": 7, "friendid": ann.id}), 11).await;
    faulty.heal();
    bob.refused(json!({"msgid": 7, "friendid": ann.id}), 8).await;
    ann.done(chat).await;
    assert_eq!(texts(&bob.pushed_by_now().await), ["still friends?"]);
}

/// What was done is answered as done, whatever somebody else has done since.
#[tokio::test]
async fn friend_is_added_though_the_other_ends_it_before_the_answer() {
    let Group { faulty, mut ann, mut bob, node: _node, .. } = group().await;
    bob.done(json!({"msgid": 22, "friendid": ann.id})).await;
    faulty.changes_are(Fate::AnsweredLate);
    ann.send(json!({"msgid": 7, "friendid": bob.id, "mid": "the friendship"})).await;
    eventually(BUDGET, "they are friends", async || {
        let friends = faulty.friends(&[ann.id], 1).await.expect("the database is there");
        (!friends[0].is_empty()).then_some(())
    })
    .await;

    faulty.changes_are_well();
    bob.done(json!({"msgid": 22, "friendid": ann.id})).await;
    faulty.heal();

    let answer = ann.reply(&json!("the friendship")).await;
    assert_eq!((&answer["errno"], &answer["name"], &answer["state"]), (&json!(0), &json!("bob"), &json!("online")));
}

/// What a node has read of a group is not relied on for long where nobody could tell it of a change.
#[tokio::test]
async fn former_member_cannot_post_on_a_node_that_heard_nothing_of_the_leave() {
    let storage = database().await;
    let never = |config: &mut chat::config::Config| config.limits.repair_interval_s = 3_600;
    let here = start_node("a", &storage, &LocalHub::default(), never).await;
    let deaf = start_node("b", &storage, &LocalHub::default(), never).await;
    account(&here, "ann").await;
    account(&here, "bob").await;
    let (mut ann, mut bob) = (login(&deaf, "ann").await, login(&deaf, "bob").await);
    let group = ann.create_group("go").await;
    bob.join(group).await;
    let chat = json!({"msgid": 10, "groupid": group, "msg": "as a member", "qos": 0});
    bob.done(chat.clone()).await;
    assert_eq!(ann.push().await["msg"], "as a member");
    bob.log_out().await;
    let mut bob = login(&here, "bob").await;
    bob.done(json!({"msgid": 24, "groupid": group})).await;
    bob.log_out().await;
    let mut bob = login(&deaf, "bob").await;

    let errno = eventually(BUDGET, "the node looks into the database", async || {
        let errno = bob.ask(chat.clone()).await["errno"].clone();
        (errno != 0).then_some(errno)
    })
    .await;

    assert_eq!(errno, 7);
}
