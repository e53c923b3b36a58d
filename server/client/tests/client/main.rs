//! The client keeps the contract's promises on its side, whatever the node does: nothing lost, nothing twice, in order.

mod in_memory;
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
async fn unacknowledged_messages_go_out_again_in_order_under_their_mids() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;

    let mids: Vec<_> = (0..5).map(|n| client.send_nowait(Target::User(2), &n.to_string(), 1).unwrap()).collect();
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(peer.expect(6).await);
    }
    peer.ack(&sent[1], 2).await;
    assert!(matches!(next(&mut events).await, Event::Acked { mid, result: Ok(_), .. } if mid == mids[1]));
    drop(peer);

    let (mut peer, login) = node.accept_login(1, "ann").await;
    assert_eq!((&login["token"], &login["takeover"]), (&json!("token of ann"), &json!(true)));
    for n in [0, 2, 3, 4] {
        let again = peer.expect(6).await;
        assert_eq!(again, sent[n]);
        peer.ack(&again, n as u64 + 1).await;
    }
    let mut acked = Vec::new();
    while acked.len() < 4 {
        if let Event::Acked { mid, result: Ok(_), .. } = next(&mut events).await {
            acked.push(mid);
        }
    }
    assert_eq!(acked, [mids[0], mids[2], mids[3], mids[4]]);
}

#[tokio::test]
async fn a_message_refused_for_now_is_sent_again_and_holds_back_its_conversation() {
    let node = ScriptedNode::start().await;
    let (client, _events, mut peer) = logged_in(&node, options(&[&node])).await;
    let script = async {
        let first = peer.expect(6).await;
        peer.refuse(&first, 12, 11, Some(1)).await;
        assert_eq!(peer.expect(6).await, first);
        peer.ack(&first, 1).await;
    };
    let (acked, ()) = tokio::join!(client.send(Target::User(2), "hi", 1), script);
    assert_eq!(acked.map(|ack| ack.seq), Ok(Some(1)));
}

#[tokio::test]
async fn a_message_refused_for_good_or_too_often_is_an_error() {
    let node = ScriptedNode::start().await;
    let settings = Options { max_tries: 2, ..options(&[&node]) };
    let (client, _events, mut peer) = logged_in(&node, settings).await;
    let script = async {
        for errno in [7, 11, 11] {
            let chat = peer.expect(6).await;
            peer.refuse(&chat, 12, errno, Some(1)).await;
        }
    };
    let calls = async {
        for errno in [Errno::NotAllowed, Errno::Unavailable] {
            match client.send(Target::User(2), "hi", 1).await {
                Err(Error::Refused(failure)) => assert_eq!(failure.errno, errno),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn unacknowledged_messages_are_bounded_until_their_acks_are_taken() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, Options { max_unacked: 1, ..options(&[&node]) }).await;
    client.send_nowait(Target::User(2), "1", 1).unwrap();
    assert_eq!(client.send_nowait(Target::User(2), "2", 1), Err(Error::Full));
    let chat = peer.expect(6).await;
    peer.ack(&chat, 1).await;
    assert!(matches!(next(&mut events).await, Event::Acked { .. }));
    client.send_nowait(Target::User(2), "2", 1).unwrap();
    let too_long = "x".repeat(65_536);
    assert!(matches!(client.send_nowait(Target::User(2), &too_long, 1), Err(Error::TooLarge { limit: 65_536, .. })));
}

#[tokio::test]
async fn messages_come_once_and_only_what_was_taken_is_acknowledged() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    for seq in [1, 2, 2, 1, 4] {
        peer.send(push(seq, "x")).await;
    }
    assert_eq!(next_message(&mut events).await.0, 1);
    assert_eq!(next_message(&mut events).await.0, 2);
    received_up_to(&mut peer, 2).await;
    drop(peer);

    // The next session pushes from its cursor on, of which the client has all but the last.
    let (mut peer, _) = node.accept_login(1, "ann").await;
    for seq in [2, 4, 5] {
        peer.send(push(seq, "x")).await;
    }
    assert_eq!(next_message(&mut events).await.0, 4);
    assert_eq!(next_message(&mut events).await.0, 5);
    let closing = client.close();
    let script = async {
        received_up_to(&mut peer, 5).await;
        assert_eq!(peer.next().await, None);
        drop(peer);
    };
    tokio::join!(closing, script);
    assert!(within("the end", events.next()).await.is_none());
}

#[tokio::test]
async fn logout_acknowledges_first_and_ends_reconnecting_with_a_login() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    peer.send(push(1, "x")).await;
    next_message(&mut events).await;
    let script = async {
        assert_eq!(peer.expect(16).await["seq"], 1);
        let logout = peer.expect(3).await;
        peer.reply(&logout, json!({"msgid": 11, "errno": 0})).await;
    };
    let (result, ()) = tokio::join!(client.logout(false), script);
    assert_eq!(result, Ok(()));
    assert_eq!(client.session(), None);
    drop(peer);
    let mut peer = node.accept().await;
    while !matches!(next(&mut events).await, Event::Reconnected) {}
    let (_, frame) = tokio::join!(client.ping(), async {
        let ping = peer.expect(19).await;
        peer.reply(&ping, json!({"msgid": 20, "errno": 0, "time": 1})).await;
    });
    let () = frame;
}

#[tokio::test]
async fn a_replaced_client_does_not_come_back() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    peer.send(json!({"msgid": 21, "errno": 13, "errmsg": "replaced"})).await;
    assert!(matches!(next(&mut events).await, Event::Notice(failure) if failure.errno == Errno::Replaced));
    assert!(matches!(next(&mut events).await, Event::Disconnected { why: Why::Notice(_) }));
    assert!(within("the end", events.next()).await.is_none());
    assert!(client.is_ended());
    assert!(matches!(client.send(Target::User(2), "x", 1).await, Err(Error::Disconnected(Why::Notice(_)))));
}

#[tokio::test]
async fn a_draining_nodes_client_goes_elsewhere() {
    let (one, other) = (ScriptedNode::start().await, ScriptedNode::start().await);
    let (_client, mut events, mut peer) = logged_in(&one, options(&[&one, &other])).await;
    peer.send(json!({"msgid": 21, "errno": 14, "retry_ms": 1})).await;
    let (_peer, login) = other.accept_login(1, "ann").await;
    assert_eq!(login["takeover"], true);
    while !matches!(next(&mut events).await, Event::LoggedIn(_)) {}
}

#[tokio::test]
async fn a_refused_token_falls_back_to_the_password() {
    let node = ScriptedNode::start().await;
    let (_client, mut events, peer) = logged_in(&node, options(&[&node])).await;
    drop(peer);
    let mut peer = node.accept().await;
    let login = peer.expect(1).await;
    peer.refuse(&login, 2, 1, None).await;
    let login = peer.expect(1).await;
    assert_eq!((&login["password"], &login["token"]), (&json!("secret"), &Value::Null));
    peer.refuse(&login, 2, 1, None).await;
    while !matches!(next(&mut events).await, Event::Disconnected { .. }) {}
    while let Some(event) = within("the end", events.next()).await {
        assert!(matches!(event, Event::Reconnecting { .. } | Event::Disconnected { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn without_reconnect_the_first_loss_is_the_end() {
    let node = ScriptedNode::start().await;
    let (client, mut events, peer) = logged_in(&node, options(&[&node]).without_reconnect()).await;
    client.send_nowait(Target::User(2), "x", 1).unwrap();
    drop(peer);
    let mut seen = Vec::new();
    while let Some(event) = within("the end", events.next()).await {
        seen.push(event);
    }
    assert!(seen.iter().any(|event| matches!(event, Event::Disconnected { .. })), "{seen:?}");
    assert!(seen.iter().any(|event| matches!(event, Event::Acked { result: Err(_), .. })), "{seen:?}");
}

#[tokio::test]
async fn a_full_event_queue_stops_reading_and_loses_nothing() {
    let node = ScriptedNode::start().await;
    let (_client, mut events, mut peer) = logged_in(&node, Options { max_events: 3, ..options(&[&node]) }).await;
    const MESSAGES: u64 = 20_000;
    let text = "x".repeat(500);
    let sending = async {
        for seq in 1..=MESSAGES {
            peer.send(push(seq, &text)).await;
        }
        peer
    };
    let taking = async {
        for seq in 1..=MESSAGES {
            assert_eq!(next_message(&mut events).await.0, seq);
        }
    };
    tokio::join!(sending, taking);
}

#[tokio::test]
async fn ping_is_answered_and_silence_is_noticed() {
    let node = ScriptedNode::start().await;
    let settings = Options { heartbeat: Duration::from_millis(50), ..options(&[&node]).without_reconnect() };
    let (_client, mut events, mut peer) = logged_in(&node, settings).await;
    peer.send(json!({"msgid": 19})).await;
    while peer.next().await.expect("a frame")["msgid"] != 20 {}
    assert_eq!(peer.expect(19).await["msgid"], 19);
    peer.expect(19).await;
    assert!(matches!(next(&mut events).await, Event::Disconnected { why: Why::Silent }));
}

#[tokio::test]
async fn hostile_bytes_end_the_connection_with_a_reason() {
    let bomb = "[".repeat(200_000);
    let node = ScriptedNode::start().await;
    for body in [&b"\xff\xfe"[..], b"[]", b"{\"msgid\":6}", b"{\"msgid\":{}}", bomb.as_bytes()] {
        let (_client, mut events, mut peer) = logged_in(&node, options(&[&node]).without_reconnect()).await;
        peer.send_bytes(body).await;
        assert!(matches!(next(&mut events).await, Event::Disconnected { why: Why::Protocol(_) }));
    }
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\0\0\0\0", b"\0\x10\0\x01"] {
        let (_client, mut events, peer) = logged_in(&node, options(&[&node]).without_reconnect()).await;
        peer.into_stream().write_all(bytes).await.unwrap();
        assert!(matches!(next(&mut events).await, Event::Disconnected { why: Why::Protocol(_) }));
    }
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
async fn a_reply_that_never_comes_times_out() {
    let node = ScriptedNode::start().await;
    let short = Duration::from_millis(30);
    let settings = Options { request_timeout: short, send_timeout: short, ..options(&[&node]) };
    let (client, _events, _peer) = logged_in(&node, settings).await;
    assert_eq!(client.roster().await, Err(Error::TimedOut));
    assert_eq!(client.send(Target::User(2), "x", 1).await, Err(Error::TimedOut));
}

#[tokio::test]
async fn refused_connections_and_logins_are_told_apart() {
    let node = ScriptedNode::start().await;
    let gone = ScriptedNode::start().await.address();
    match Client::connect(Options::new([gone.clone()])).await {
        Err(Error::Connect { kind, .. }) => assert_eq!(kind, std::io::ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
    let both = Options::new([gone, node.address()]).login(ann());
    let (connected, ()) = tokio::join!(Client::connect(both), async {
        let mut peer = node.accept().await;
        let login = peer.expect(1).await;
        peer.refuse(&login, 2, 2, Some(40)).await;
    });
    assert_eq!(connected.err().and_then(|error| error.retry()), Some(Duration::from_millis(40)));
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

#[tokio::test]
async fn an_aborted_client_acknowledges_nothing() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    peer.send(push(1, "x")).await;
    next_message(&mut events).await;
    client.abort().await;
    assert_eq!(peer.next().await, None);
    assert_eq!(client.ping().await, Err(Error::Disconnected(Why::Ended)));
}

#[tokio::test]
async fn an_application_without_events_can_still_send() {
    let node = ScriptedNode::start().await;
    let settings = Options { max_events: 1, max_unacked: 2, ..options(&[&node]) };
    let (client, events, mut peer) = logged_in(&node, settings).await;
    drop(events);
    for seq in 1..=5 {
        peer.send(push(seq, "unheard")).await;
        let script = async {
            let chat = peer.expect(6).await;
            peer.ack(&chat, seq).await;
        };
        let (sent, ()) = tokio::join!(client.send(Target::User(2), "x", 1), script);
        assert_eq!(sent.map(|ack| ack.seq), Ok(Some(seq)));
    }
}
