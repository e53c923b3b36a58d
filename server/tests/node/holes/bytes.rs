//! Bytes that kill a classic server, or wedge a connection to it, without a login.

use crate::support::classic::{Bare, Checked, checked_frame};
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, Value, eventually, json, with_socket_to};

/// The node still serves: somebody new can register, log in and talk to a friend.
async fn is_well(cluster: &Cluster, name: &str) {
    let mut user = cluster.user(name).await;
    let friend = cluster.account(&format!("friend of {name}")).await;
    user.befriend(friend).await;
    user.tell(friend, "all is well").await;
}

#[tokio::test]
async fn a_missing_field_or_a_wrong_type_kills_the_node() {
    let cluster = Cluster::one().await;
    let id = cluster.account("ann").await;
    let wrong = [json!(null), json!(true), json!(-1), json!(1.5), json!("x"), json!([]), json!({}), json!([[1]])];
    let fields = ["id", "name", "password", "toid", "groupid", "friendid", "groupname", "msg", "time"];
    let requests = || {
        (1..=11).flat_map(|kind| {
            let empty = std::iter::once(json!({"kind": kind}));
            let odd = fields.iter().flat_map(|field| wrong.iter().map(move |value| (field, value)));
            empty.chain(odd.map(move |(field, value)| json!({"kind": kind, *field: value})))
        })
    };

    let mut bare = Bare::connect(cluster.address(0)).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    let mut framed = cluster.connect().await;
    for request in requests() {
        let text = request.to_string();
        bare.raw.send_bytes(text.replace("\"kind\"", "\"msgid\"").as_bytes()).await.expect("the node reads");
        let frame = checked_frame(text.replace("\"kind\"", "\"msgType\"").as_bytes());
        checked.raw.send_bytes(&frame).await.expect("the node reads");
        let mut asked: Value = request;
        asked["msgid"] = asked["kind"].take();
        let reply = framed.ask(asked.clone()).await;
        assert_ne!(reply["errno"], 0, "{asked}");
    }

    // Each connection has had an answer to everything, and can still log in.
    bare.send(json!({"msgid": 1, "id": id, "password": PASSWORD})).await;
    while bare.next().await["errno"] != 0 {}
    bare.send(json!({"msgid": 3, "id": id})).await;
    cluster.gone(id).await;
    checked.send(json!({"msgType": 1, "id": id, "password": PASSWORD})).await;
    while checked.next().await["code"] != 200 {}
    is_well(&cluster, "eve").await;
}

#[tokio::test]
async fn bad_utf8_a_split_frame_length_minus_one_or_70_kb_kills_the_node() {
    let cluster = Cluster::one().await;
    let long = json!({"msgid": 1, "id": 1, "password": "x".repeat(70_000)}).to_string();
    let mut framed_long = (long.len() as u32).to_be_bytes().to_vec();
    framed_long.extend(long.as_bytes());
    let closed: [&[u8]; 10] = [
        b"\0\0\0\x0e{\"msgid\":\"\xff\"}\n",
        b"{\"msgid\": 1, \"name\": \"\xff\xfe\"}",
        &checked_frame(b"{\"msgType\": 1, \"name\": \"\xc3\x28\"}"),
        b"\xfe\xff\xff\xff\xff\xff",
        b"\xfe\xff\x80\0\0\0",
        b"\xfe\xff\x7f\xff\xff\xff",
        b"\0\xff\xff\xff{}",
        &framed_long,
        long.as_bytes(),
        &checked_frame(long.as_bytes()),
    ];
    for bytes in closed {
        let mut peer = cluster.connect().await;
        peer.raw.send_bytes(bytes).await.expect("sends");
        let framed = bytes[0] == 0;
        let notices = peer.raw.expect_close().await.expect("closes");
        assert_eq!(notices.len(), usize::from(framed), "only the framed dialect says why: {notices:?}");
        assert!(notices.iter().all(|notice| matches!(notice["errno"].as_u64(), Some(4 | 9))), "{notices:?}");
    }
    let mut split = Peer::connect(cluster.address(0)).await;
    let mut frame = Vec::new();
    chat_client::append_frame(&json!({"msgid": 19}), &mut frame);
    for byte in frame {
        split.raw.send_bytes(&[byte]).await.expect("sends");
    }
    assert_eq!(split.frame().await["msgid"], 20);
    is_well(&cluster, "ann").await;
}

#[tokio::test]
async fn a_bad_checksum_wedges_the_connection() {
    let cluster = Cluster::one().await;
    let id = cluster.account("ann").await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.login(id).await;
    let mut frame = checked_frame(json!({"msgType": 3, "id": id}).to_string().as_bytes());
    *frame.last_mut().expect("a checksum") ^= 1;

    checked.raw.send_bytes(&frame).await.expect("sends");

    assert!(checked.raw.next_bytes().await.expect("end of file").is_empty());
    cluster.gone(id).await;
    Checked::connect(cluster.address(0)).await.login(id).await;
}

#[tokio::test]
async fn unfinished_frames_grow_without_bound() {
    let cluster = Cluster::one().await;
    let endless = vec![b'x'; 512 * 1024];
    for start in [&b"{\"msgid\":1,\"name\":\""[..], b"\xfe\xff\0\xff\xff\xff", b"\0\x01\0\x01{\"", b"{{{{{{{{{{{{"] {
        let mut peer = cluster.connect().await;
        peer.raw.send_bytes(start).await.expect("sends");
        // The node closes long before it has read all this; how the write ends does not matter.
        let _ = peer.raw.send_bytes(&endless).await;
        peer.raw.expect_close().await.expect("closes");
    }
    eventually(BUDGET, "the node has let go of all of them", async || {
        (cluster.node(0).metrics().connections.get() == 0).then_some(())
    })
    .await;
}

/// Nagle's algorithm and delayed acknowledgements together hold a small reply back for 40 ms.
#[tokio::test]
async fn nagle_and_delayed_acks_hold_replies_back() {
    let cluster = Cluster::one().await;
    let mut peer = cluster.connect().await;
    peer.done(json!({"msgid": 19})).await;
    let client = peer.raw.local_address().expect("an address");

    // The node lives in this process, and so does its end of the connection.
    let nodelay = with_socket_to(client, |socket| socket.tcp_nodelay().expect("a TCP socket"));
    assert_eq!(nodelay, Some(true));
}
