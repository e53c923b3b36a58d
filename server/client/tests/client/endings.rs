//! How connections and sessions end, and what the client does then: it comes back, goes elsewhere, or says why not.

use super::*;

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
