//! Promise: what a server refuses before the measured time is told with the request, the server's own words, and no
//! secret.

mod support;

use loadgen::measure::Outcome;
use loadgen::plan::Plan;
use loadgen::user::PASSWORD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::tongue::Tongue;
use support::{classic, friends, run, told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server says to a request of the course, if anything.
type Answer = fn(request: &Value, ids: &AtomicU64) -> Option<Value>;

async fn listen(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("bound").to_string();
    let ids = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, answer, ids.clone()));
        }
    });
    target
}

async fn serve(mut socket: TcpStream, answer: Answer, ids: Arc<AtomicU64>) {
    let tongue = Tongue::course();
    let mut input = Vec::new();
    while socket.read_buf(&mut input).await.is_ok_and(|count| count > 0) {
        for request in tongue.decode(&mut input) {
            if let Some(answer) = answer(&request, &ids)
                && socket.write_all(&tongue.encode(&answer)).await.is_err()
            {
                return;
            }
        }
    }
}

/// Registers and logs in, as it should.
fn welcome(request: &Value, ids: &AtomicU64) -> Option<Value> {
    match request["msgid"].as_u64() {
        Some(1) => Some(json!({ "msgid": 2, "errno": 0, "id": request["id"] })),
        Some(4) => Some(json!({ "msgid": 5, "errno": 0, "id": ids.fetch_add(1, Ordering::Relaxed) + 1 })),
        _ => None,
    }
}

async fn outcome_of(profile: &str, answer: Answer) -> Outcome {
    let plan = Plan { connect_timeout_s: 1.0, ..friends(4, 10.0, 0.5) };
    run(classic(profile, plan), &[listen(answer).await]).await
}

#[track_caller]
fn assert_tells(outcome: &Outcome, parts: &[&str]) {
    let reason = outcome.reasons.first().expect("a reason");
    for part in parts {
        assert!(reason.contains(part), "{part:?}: {}", told(outcome));
    }
    assert!(!told(outcome).contains(PASSWORD), "{}", told(outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_refused_is_shown_with_the_servers_words() {
    let outcome = outcome_of("course", |request, ids| match request["msgid"].as_u64() {
        Some(4) => Some(json!({ "msgid": 5, "errno": 3, "errmsg": "names are of two characters" })),
        _ => welcome(request, ids),
    });
    assert_tells(
        &outcome.await,
        &["register: ", "names are of two characters", r#"{"msgid":4,"name":"lg"#, r#""password":"***""#],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn words_in_a_field_that_nobody_told_us_of_are_shown_as_well() {
    let outcome = outcome_of("course", |request, ids| match request["msgid"].as_u64() {
        Some(4) => Some(json!({ "msgid": 5, "errno": 3, "grund": "der Name ist vergeben" })),
        _ => welcome(request, ids),
    });
    assert_tells(&outcome.await, &["register: ", "errno is 3", "der Name ist vergeben"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_is_shown_with_the_servers_words() {
    let outcome = outcome_of("course", |request, ids| match request["msgid"].as_u64() {
        Some(1) => Some(json!({ "msgid": 2, "errno": 2, "errmsg": "this account is using, input another" })),
        _ => welcome(request, ids),
    });
    let words = ["nobody could log in: ", "this account is using", r#"{"msgid":1,"id":"#, r#""password":"***""#];
    assert_tells(&outcome.await, &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friendship_that_is_refused_is_shown_with_the_servers_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let profile = directory.path().join("friendly.toml");
    let text = "answered = [\"login\", \"register\", \"add_friend\"]\n[types]\nadd_friend_ack = 17\n";
    std::fs::write(&profile, text).expect("written");
    let outcome = outcome_of(profile.to_str().expect("a plain path"), |request, ids| match request["msgid"].as_u64() {
        Some(7) => Some(json!({ "msgid": 17, "errno": 9, "errmsg": "friends come from the same school" })),
        _ => welcome(request, ids),
    });
    assert_tells(
        &outcome.await,
        &["make friends: ", "friends come from the same school", r#"{"msgid":7,"id":"#, r#""friendid":"#],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_an_answer_is_shown() {
    let outcome = outcome_of("course", |_, _| None);
    assert_tells(&outcome.await, &["no answer within the time allowed to {\"msgid\":4", r#""password":"***""#]);
}
