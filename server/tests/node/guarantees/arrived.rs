//! What a classic client's kernel acknowledged counts as received, however the session ends; the rest comes again.

use crate::support::classic::{Bare, Checked, unpack};
use crate::support::{Cluster, Peer, json, with_socket_from, within};
use std::time::Duration;

/// Messages in a test.
const MESSAGES: usize = 6;

/// How a session of a classic client ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    LogOut,
    LogOutAndClose,
    EndOfFile,
    Reset,
    Takeover,
}

const ENDINGS: [Ending; 5] =
    [Ending::LogOut, Ending::LogOutAndClose, Ending::EndOfFile, Ending::Reset, Ending::Takeover];

/// Ends the session of user `bob`, without a pause; returns once it has ended.
async fn end(cluster: &Cluster, ending: Ending, mut bare: Bare, bob: u64) {
    let log_out = json!({"msgid": 3, "id": bob});
    match ending {
        Ending::LogOut => bare.send(log_out).await,
        Ending::LogOutAndClose => {
            bare.send(log_out).await;
            drop(bare);
            return cluster.gone(bob).await;
        }
        Ending::EndOfFile => bare.raw.shutdown().await.expect("the direction ends"),
        Ending::Reset => {
            reset(bare);
            return cluster.gone(bob).await;
        }
        Ending::Takeover => {
            cluster.connect().await.take_over("bob").await;
        }
    }
    cluster.gone(bob).await;
}

/// Closes the connection with a reset.
fn reset(bare: Bare) {
    let local = bare.raw.local_address().expect("an address");
    with_socket_from(local, |socket| socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket"));
}

async fn tell_all(ann: &mut Peer, bob: u64, count: usize) {
    for n in 0..count {
        ann.tell(bob, &n.to_string()).await;
    }
}

/// What comes again at the next login.
async fn waiting(cluster: &Cluster, user: u64) -> u64 {
    cluster.storage.count_waiting(user, 10_000).await.expect("a count")
}

#[tokio::test]
async fn what_came_with_the_login_does_not_come_again_however_the_session_ends_at_once() {
    for ending in ENDINGS {
        let cluster = Cluster::one().await;
        let (mut ann, bob) = cluster.friend_offline().await;
        tell_all(&mut ann, bob, MESSAGES).await;

        let mut bare = Bare::connect(cluster.address(0)).await;
        let ack = bare.login(bob).await;
        assert_eq!(unpack(&ack["offlinemsg"]).len(), MESSAGES);
        end(&cluster, ending, bare, bob).await;

        assert_eq!(waiting(&cluster, bob).await, 0, "{ending:?}");
        let ack = Bare::connect(cluster.address(0)).await.login(bob).await;
        assert_eq!(ack.get("offlinemsg"), None, "{ending:?}");
    }
}

#[tokio::test]
async fn what_was_pushed_and_read_does_not_come_again_however_the_session_ends_at_once() {
    for ending in ENDINGS {
        let cluster = Cluster::one().await;
        let (mut ann, bob) = cluster.friend_offline().await;
        let mut bare = Bare::connect(cluster.address(0)).await;
        bare.login(bob).await;

        tell_all(&mut ann, bob, MESSAGES).await;
        for n in 0..MESSAGES {
            assert_eq!(bare.next().await["msg"], n.to_string());
        }
        end(&cluster, ending, bare, bob).await;

        assert_eq!(waiting(&cluster, bob).await, 0, "{ending:?}");
    }
}

#[tokio::test]
async fn what_a_checked_client_read_before_it_logged_out_does_not_come_again() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    tell_all(&mut ann, bob, MESSAGES).await;

    let mut checked = Checked::connect(cluster.address(0)).await;
    let ack = checked.login(bob).await;
    assert_eq!(unpack(&ack["offlinemessage"]).len(), MESSAGES);
    checked.send(json!({"msgType": 3, "id": bob})).await;
    cluster.gone(bob).await;

    // On the same connection.
    let ack = checked.login(bob).await;
    assert_eq!(ack.get("offlinemessage"), None, "{ack}");
}

#[tokio::test]
async fn what_was_read_before_the_node_drains_does_not_come_again() {
    let mut cluster = Cluster::two().await;
    let mut ann = cluster.user_on(1, "ann").await;
    let bob = cluster.account("bob").await;
    ann.befriend(bob).await;
    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(bob).await;
    tell_all(&mut ann, bob, MESSAGES).await;
    for _ in 0..MESSAGES {
        bare.next().await;
    }

    let node = cluster.take(0);
    node.shutdown().drain();
    within("the node stops", node.stopped()).await.expect("in good order");

    assert_eq!(waiting(&cluster, bob).await, 0);
}

/// One's own messages between those of others are nobody's to receive.
#[tokio::test]
async fn own_messages_after_what_was_read_do_not_wait() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(bob).await;
    ann.tell(bob, "hello").await;
    bare.next().await;
    bare.send(json!({"msgid": 6, "id": bob, "toid": ann.id, "msg": "hello yourself"})).await;
    ann.push().await;

    end(&cluster, Ending::LogOut, bare, bob).await;

    assert_eq!(cluster.storage.waiting(&[bob]).await.expect("conversations"), []);
}

#[tokio::test]
async fn what_the_kernel_did_not_take_comes_again_and_only_that() {
    const TEXT_BYTES: usize = 30_000;
    const LARGE: usize = 40;
    const RECEIVE_BUFFER: usize = 64 * 1024;
    for ending in ENDINGS {
        let cluster = Cluster::one().await;
        let (mut ann, bob) = cluster.friend_offline().await;
        let mut bare = Bare::connect(cluster.address(0)).await;
        let local = bare.raw.local_address().expect("an address");
        with_socket_from(local, |socket| socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a TCP socket"));
        bare.login(bob).await;
        let text = |n: usize| format!("{n} {}", "x".repeat(TEXT_BYTES));
        for n in 0..LARGE {
            ann.tell(bob, &text(n)).await;
        }
        // Bob looks at the first only; his kernel takes some more, and the rest stays with the node.
        assert_eq!(bare.next().await["msg"], text(0));

        end(&cluster, ending, bare, bob).await;

        let again = waiting(&cluster, bob).await as usize;
        assert!(0 < again && again < LARGE, "{ending:?}: {again} of {LARGE} come again");
        let ack = Bare::connect(cluster.address(0)).await.login(bob).await;
        assert_eq!(unpack(&ack["offlinemsg"])[0]["msg"], text(LARGE - again), "{ending:?}");
    }
}
