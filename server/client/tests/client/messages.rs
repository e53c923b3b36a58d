//! Messages on their way out and in: none is lost, none comes twice, and what is not taken is not acknowledged.

use super::*;

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
