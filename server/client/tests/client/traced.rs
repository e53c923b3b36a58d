//! What a client does by itself: told where it is asked for, and not done where nobody can hear it any more.

use crate::scripted_node::{ScriptedNode, push};
use crate::{logged_in, next, next_message, options};
use chat_client::{Event, Options, Trace};
use chat_protocol::conversation::Target;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn nothing_is_told_as_received_after_a_logout() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    let logout = async { client.logout(false).await.expect("the node agrees") };
    let script = async {
        let request = peer.expect(3).await;
        // On its way when the client asked to leave.
        peer.send(push(1, "one")).await;
        assert_eq!(next_message(&mut events).await.0, 1);
        peer.reply(&request, json!({"msgid": 11, "errno": 0})).await;
    };
    tokio::join!(logout, script);

    client.close().await;

    assert_eq!(peer.next().await, None);
}

/// The node counts it for no session, so whoever took the client's word would expect it not to come again.
#[tokio::test]
async fn nothing_is_told_as_received_while_a_logout_waits_for_its_answer() {
    let node = ScriptedNode::start().await;
    let (client, mut events, mut peer) = logged_in(&node, options(&[&node])).await;
    let logout = async { client.logout(false).await };
    let script = async {
        let request = peer.expect(3).await;
        // On its way when the client asked to leave, and the answer takes more than the second between two RECEIVED.
        peer.send(push(1, "one")).await;
        assert_eq!(next_message(&mut events).await.0, 1);
        let silence = tokio::time::timeout(Duration::from_millis(1_200), peer.next()).await;
        assert!(silence.is_err(), "{silence:?}");
        peer.refuse(&request, 11, 11, None).await;
    };
    let (refused, ()) = tokio::join!(logout, script);

    assert!(refused.is_err());
    // The session goes on, and so does what is told in it.
    assert_eq!(peer.expect(16).await["seq"], 1);
}

#[tokio::test]
async fn traced_client_tells_what_it_does_by_itself() {
    let node = ScriptedNode::start().await;
    let traced = Options { trace: true, ..options(&[&node]) };
    let (client, mut events, mut peer) = logged_in(&node, traced).await;
    let mid = client.send_nowait(Target::User(2), "hello", 1).expect("there is room");

    let chat = peer.expect(6).await;
    peer.refuse(&chat, 12, 11, Some(1)).await;
    let again = peer.expect(6).await;
    peer.ack(&again, 1).await;
    peer.send(push(2, "two")).await;
    peer.send(push(2, "two")).await;

    let mut told = Vec::new();
    while told.len() < 7 {
        told.push(match next(&mut events).await {
            Event::Trace(Trace::Sent { mid: sent, tries }) => format!("sent {} {tries}", sent == mid),
            Event::Trace(Trace::Deferred { mid: sent, failure }) => {
                format!("deferred {} {}", sent == mid, failure.errno as u8)
            }
            Event::Acked { result, .. } => format!("acked {}", result.is_ok()),
            Event::Message(message) => format!("message {}", message.seq),
            Event::Trace(Trace::Repeated(message)) => format!("repeated {}", message.seq),
            Event::Trace(Trace::Received { conv, seq }) => format!("received {conv} {seq}"),
            other => panic!("{other:?}"),
        });
    }
    let expected =
        ["sent true 1", "deferred true 11", "sent true 2", "acked true", "message 2", "repeated 2", "received d1-2 2"];
    assert_eq!(told, expected);
}
