//! The client keeps the contract's promises on its side, whatever the node does: nothing lost, nothing twice, in order.

mod endings;
mod in_memory;
mod messages;
mod scripted_node;
mod traced;

use chat_client::{Client, Credentials, Error, Event, Events, Options, RawConnection, Reconnect, Why};
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use scripted_node::{Peer, ScriptedNode, login_ack, push, within};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn options(nodes: &[&ScriptedNode]) -> Options {
    let quick = Reconnect { first: Duration::from_millis(1), most: Duration::from_millis(20), tries: None };
    Options { reconnect: Some(quick), ..Options::new(nodes.iter().map(|node| node.address())) }
}

fn ann() -> Credentials {
    Credentials::password("ann", "secret")
}

/// A client logged in as user 1, its node's end, and LOGIN_ACK taken from the events.
async fn logged_in(node: &ScriptedNode, options: Options) -> (Client, Events, Peer) {
    let (connected, (peer, _)) = tokio::join!(Client::connect(options.login(ann())), node.accept_login(1, "ann"));
    let (client, mut events) = connected.expect("a login");
    assert!(matches!(events.next().await, Some(Event::LoggedIn(ack)) if ack.id == 1));
    (client, events, peer)
}

async fn next(events: &mut Events) -> Event {
    within("an event", events.next()).await.expect("the client has not ended")
}

/// The next event that is a message, as (seq, text).
async fn next_message(events: &mut Events) -> (u64, String) {
    loop {
        if let Event::Message(message) = next(events).await {
            return (message.seq, message.msg);
        }
    }
}

/// Reads RECEIVED until it says `seq`; a slow run may split in two what is usually told at once.
async fn received_up_to(peer: &mut Peer, seq: u64) {
    loop {
        let received = peer.expect(16).await;
        let told = received["seq"].as_u64().expect("a number");
        assert!(received["conv"] == "d1-2" && told <= seq, "{received}");
        if told == seq {
            return;
        }
    }
}

#[tokio::test]
async fn typed_requests_get_typed_replies() {
    let node = ScriptedNode::start().await;
    let (client, _events, mut peer) = logged_in(&node, options(&[&node])).await;
    let script = async {
        for reply in [
            json!({"msgid": 5, "errno": 0, "id": 9}),
            json!({"msgid": 13, "errno": 0, "id": 3, "name": "cem", "state": "offline"}),
            json!({"msgid": 14, "errno": 0, "groupid": 6}),
            json!({"msgid": 15, "errno": 0, "groupid": 7, "groupname": "go", "groupdesc": "d"}),
            json!({"msgid": 27, "errno": 0, "friends": [], "groups": [], "more": true}),
            json!({"msgid": 18, "errno": 0, "conv": "d1-2", "more": false, "messages":
                [{"msgid": 6, "conv": "d1-2", "seq": 1, "id": 1, "name": "ann", "toid": 2, "msg": "mine", "time": 5}]}),
            json!({"msgid": 20, "errno": 0, "time": 77}),
            json!({"msgid": 29, "errno": 0, "token": "another"}),
        ] {
            let request = peer.next().await.expect("a request");
            peer.reply(&request, reply).await;
        }
        let request = peer.next().await.expect("a request");
        peer.refuse(&request, 15, 6, None).await;
    };
    let calls = async {
        assert_eq!(client.register("new", "secret").await, Ok(9));
        assert_eq!(client.add_friend(3).await.map(|friend| friend.name), Ok("cem".into()));
        assert_eq!(client.create_group("g", "").await, Ok(6));
        assert_eq!(client.join_group(7).await.map(|group| group.groupname), Ok("go".into()));
        assert_eq!(client.roster().await.map(|roster| roster.more), Ok(true));
        let history = client.history(Target::User(2), None, None).await.expect("a page");
        assert!(history.messages[0].own && !history.more);
        assert_eq!(client.ping().await, Ok(77));
        assert_eq!(client.change_password("secret", "other").await, Ok(()));
        assert_eq!(client.session().map(|session| session.name.clone()), Some("ann".into()));
        match client.join_group(8).await {
            Err(Error::Refused(failure)) => assert_eq!(failure.errno, Errno::NoSuchGroup),
            other => panic!("{other:?}"),
        }
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn replies_to_nothing_are_ignored() {
    let node = ScriptedNode::start().await;
    let (_client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    for frame in [
        json!({"msgid": 12, "errno": 0, "mid": "01890a5d-ac96-774b-bcce-b302099a8057", "seq": 1}),
        json!({"msgid": 12, "errno": 0, "mid": "not a uuid"}),
        json!({"msgid": 5, "errno": 0, "id": 4}),
        json!({"msgid": 1234, "new": true}),
        push(1, "still here"),
    ] {
        peer.send(frame).await;
    }
    assert_eq!(next_message(&mut events).await, (1, "still here".into()));
}

#[tokio::test]
async fn login_can_come_after_registering_on_the_same_connection() {
    let node = ScriptedNode::start().await;
    let (connected, mut peer) = tokio::join!(Client::connect(options(&[&node])), node.accept());
    let (client, _events) = connected.expect("a connection");
    let script = async {
        let request = peer.expect(4).await;
        peer.reply(&request, json!({"msgid": 5, "errno": 0, "id": 1})).await;
        let login = peer.expect(1).await;
        peer.reply(&login, login_ack(1, "ann")).await;
        // Dropping every handle closes the connection.
        assert_eq!(peer.next().await, None);
    };
    let calls = async {
        client.register("ann", "secret").await.expect("an account");
        let ack = client.login(ann()).await.expect("a session");
        assert_eq!(ack.roster.friends.len(), 1);
        drop(client);
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn raw_connections_send_anything_and_see_the_close() {
    let node = ScriptedNode::start().await;
    let settings = options(&[&node]);
    let (raw, peer) = tokio::join!(RawConnection::connect(&settings), node.accept());
    let (mut raw, mut stream) = (raw.expect("a connection"), peer.into_stream());
    raw.send_bytes(b"\0\0").await.unwrap();
    raw.send(&json!({"a": 1})).await.unwrap();
    let mut got = [0; 13];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"\0\0\0\0\0\x07{\"a\":1}");
    stream.write_all(b"\0\0\0\x02{}\0\0\0\x02[]\0").await.unwrap();
    drop(stream);
    assert_eq!(raw.next().await, Ok(json!({})));
    assert_eq!(raw.expect_close().await, Ok(vec![json!([])]));
}

#[tokio::test]
async fn connections_can_come_from_a_chosen_address() {
    let node = ScriptedNode::start().await;
    let local = std::net::IpAddr::from([127, 0, 0, 9]);
    let settings = Options { local_address: Some(local), ..options(&[&node]) };
    let (raw, _peer) = tokio::join!(RawConnection::connect(&settings), node.accept());
    assert_eq!(raw.and_then(|raw| raw.local_address()).map(|address| address.ip()), Ok(local));
}
