//! Every failpoint breaks the promise that it says it does: the same story is told without the fault, and keeps it, and
//! with the fault, and does not.
//!
//! Faults hold for the whole process, so these tests have one to themselves and take turns in it.

#[path = "node/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with another test binary, which uses all of it")]
mod support;

use chat::bus::local::LocalHub;
use chat::failpoint;
use chat::node::Node;
use chat::storage::Storage;
use std::fmt::Debug;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use support::cluster::{database, start_node};
use support::faulty::Faulty;
use support::{BUDGET, Cluster, PASSWORD, Peer, eventually, fresh_mid, json};
use tokio::sync::{Mutex, MutexGuard};

/// What is not heard within ten of a test node's `repair_interval` is not going to be.
const SILENCE: Duration = Duration::from_secs(10);

static TURN: Mutex<()> = Mutex::const_new(());

/// Faults that are switched on; dropping it heals them.
struct Faults {
    _turn: MutexGuard<'static, ()>,
}

impl Faults {
    async fn on(points: &str) -> Faults {
        let _turn = TURN.lock().await;
        failpoint::set(points).expect("failpoints");
        Faults { _turn }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        failpoint::clear();
    }
}

/// Tells the story twice: what comes of it without faults, and with these.
async fn check<T: Debug + PartialEq>(points: &str, story: impl AsyncFn() -> T, kept: T, broken: T) {
    let faults = Faults::on("").await;
    assert_eq!(story().await, kept, "without {points}");
    drop(faults);
    let _faults = Faults::on(points).await;
    assert_eq!(story().await, broken, "with {points}");
}

/// The texts pushed up to `end`.
async fn heard(peer: &mut Peer) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|last| last != "end") {
        texts.push(peer.push().await["msg"].as_str().expect("a text").to_owned());
    }
    texts
}

/// What Bob hears of three messages.
async fn three_messages() -> Vec<String> {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    for text in ["one", "two", "end"] {
        ann.tell(bob.id, text).await;
    }
    heard(&mut bob).await
}

async fn check_pushes(points: &str, broken: &[&str]) {
    let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    check(points, three_messages, owned(&["one", "two", "end"]), owned(broken)).await;
}

#[tokio::test]
async fn push_drop_loses_a_message() {
    check_pushes("push::drop=1*return", &["two", "end"]).await;
}

#[tokio::test]
async fn push_twice_repeats_a_message() {
    check_pushes("push::twice=1*off->1*return", &["one", "two", "two", "end"]).await;
}

#[tokio::test]
async fn push_swap_disorders_messages_and_loses_none() {
    check_pushes("push::swap=1*return", &["two", "one", "end"]).await;
}

#[tokio::test]
async fn push_alter_cuts_a_text() {
    check_pushes("push::alter=1*return", &["o", "two", "end"]).await;
}

#[tokio::test]
async fn push_misdeliver_reaches_a_stranger() {
    let story = async || {
        let cluster = Cluster::one().await;
        let mut eve = cluster.user("eve").await;
        let (mut ann, mut bob) = cluster.friends().await;
        ann.tell(bob.id, "end").await;
        let bobs = heard(&mut bob).await.len();
        (bobs, eve.pushed_by_now().await.len())
    };
    check("push::misdeliver=return", story, (1, 0), (1, 1)).await;
}

/// Two nodes without a bus, of which the first can be cut off from the database.
struct Cut {
    faulty: Arc<Faulty>,
    first: Node,
    second: Node,
}

impl Cut {
    async fn cluster() -> Cut {
        let storage = database().await;
        let faulty = Faulty::new(storage.clone());
        let first = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
        let second = start_node("b", &storage, &LocalHub::default(), |_| {}).await;
        Cut { faulty, first, second }
    }

    /// Ann on the first node and Bob on the second.
    async fn users(&self) -> (Peer, Peer) {
        (Peer::new_user(self.first.address(), "ann").await, Peer::new_user(self.second.address(), "bob").await)
    }
}

#[tokio::test]
async fn writer_ack_early_acknowledges_what_is_lost() {
    let story = async || {
        let cut = Cut::cluster().await;
        let (mut ann, mut bob) = cut.users().await;
        ann.befriend(bob.id).await;
        ann.tell(bob.id, "before").await;
        cut.faulty.cut();
        let ack = ann.ask(json!({"msgid": 6, "toid": bob.id, "msg": "meanwhile"})).await;
        cut.faulty.heal();
        ann.tell(bob.id, "end").await;
        let heard = heard(&mut bob).await.join(", ");
        (ack["errno"].as_u64(), ack["seq"].as_u64(), heard)
    };
    let heard = || "before, end".to_owned();
    check("writer::ack_early=return", story, (Some(11), None, heard()), (Some(0), Some(2), heard())).await;
}

#[tokio::test]
async fn writer_forget_mid_gives_a_resend_a_second_place() {
    let story = async || {
        let cluster = Cluster::two().await;
        let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
        let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});
        let mut places = Vec::new();
        for _ in 0..2 {
            let ack = ann.done(message.clone()).await;
            assert_eq!(ack["mid"], message["mid"]);
            places.push(ack["seq"].as_u64().expect("a place"));
        }
        ann.tell(bob.id, "end").await;
        (places, heard(&mut bob).await.len())
    };
    check("writer::forget_mid=return", story, (vec![1, 1], 2), (vec![1, 2], 3)).await;
}

#[tokio::test]
async fn lease_stale_keeps_a_session_that_was_taken_over() {
    let story = async || {
        let cut = Cut::cluster().await;
        let (mut ann, mut bob) = cut.users().await;
        ann.befriend(bob.id).await;
        cut.faulty.cut();
        let mut second_ann = Peer::connect(cut.second.address()).await;
        let login = json!({"msgid": 1, "name": "ann", "password": PASSWORD});
        eventually(BUDGET, "the lease ends and Ann gets in elsewhere", async || {
            let reply = second_ann.ask(login.clone()).await;
            (reply["errno"] == 0).then_some(())
        })
        .await;
        cut.faulty.heal();
        bob.tell(ann.id, "which one?").await;
        assert_eq!(second_ann.push().await["msg"], "which one?");
        // The same message, or the NOTICE that this session was replaced.
        ann.frame().await["msgid"].as_u64()
    };
    check("lease::stale=return", story, Some(21), Some(6)).await;
}

#[tokio::test]
async fn sweep_skip_leaves_a_message_where_no_bus_brings_it() {
    let story = async || {
        let cluster = Cluster::two_without_a_bus().await;
        let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
        ann.tell(bob.id, "end").await;
        let heard = tokio::time::timeout(SILENCE, heard(&mut bob)).await;
        // It is there: the next session gets it.
        bob.log_out().await;
        bob.login("bob").await;
        bob.push().await;
        heard.is_ok()
    };
    check("sweep::skip=return", story, true, false).await;
}

#[tokio::test]
async fn session_offline_lost_passes_over_what_waited() {
    let story = async || {
        let cluster = Cluster::one().await;
        let (mut ann, bob) = cluster.friend_offline().await;
        ann.tell(bob, "while you were away").await;
        let mut bob = cluster.login("bob").await;
        ann.tell(bob.id, "end").await;
        let first = heard(&mut bob).await.len();
        bob.log_out().await;
        bob.login("bob").await;
        (first, heard(&mut bob).await.len())
    };
    check("session::offline_lost=1*return", story, (2, 2), (1, 2)).await;
}

#[tokio::test]
async fn identity_trust_refuses_no_foreign_id() {
    let story = async || {
        let cluster = Cluster::two().await;
        let mut eve = cluster.user("eve").await;
        let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
        eve.befriend(bob.id).await;
        let ack = eve.ask(json!({"msgid": 6, "id": ann.id, "toid": bob.id, "msg": "from Ann"})).await;
        ann.tell(bob.id, "end").await;
        let heard = heard(&mut bob).await.len();
        (ack["errno"].as_u64(), heard)
    };
    check("identity::trust=return", story, (Some(7), 1), (Some(0), 2)).await;
}

#[test]
fn a_wrong_failpoint_is_refused_at_the_start() {
    for (points, told) in [
        ("push::dorp=return", "there is no failpoint \"push::dorp\""),
        ("push::drop", "expected name=actions, not \"push::drop\""),
        ("push::twice=off; push::drop=retrun", "bad actions for push::drop"),
    ] {
        let mut node = Command::new(env!("CARGO_BIN_EXE_chat-server-failpoints"));
        let output = node.arg("0").env("FAILPOINTS", points).output().expect("the program starts");

        assert!(!output.status.success(), "{points}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(told), "{points}: {stderr}");
    }
}
