//! Promise: what a server does wrong is found, and counted exactly; what it does slowly shows; what it does not do ends the run.
//!
//! Each server here has one fault, and says how often it did it. In the framed dialect acknowledgements tell what is owed; in the
//! bare one only what arrives does.

mod support;

use loadgen::outcome::{Outcome, Verdict};
use loadgen::plan::Plan;
use loadgen::recorder::Path;
use std::time::Duration;
use support::fault::Fault;
use support::server::Server;
use support::tongue::Tongue;
use support::{classic, friends, run, told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The same plan in both dialects.
fn both(plan: Plan) -> [(Tongue, Plan); 2] {
    [(Tongue::framed(), plan.clone()), (Tongue::course(), classic("course", plan))]
}

/// Runs against a server with this fault in both dialects, and lets `check` compare the outcome with how often it was done.
async fn with_fault(fault: Fault, plan: Plan, check: fn(&Outcome, u64)) {
    for (tongue, plan) in both(plan) {
        let server = Server::start(tongue, fault).await;
        let outcome = run(plan, &server.targets()).await;
        let done = server.faults_done().await;
        assert!(done > 0, "{fault:?} happened: {}", told(&outcome));
        assert_eq!(outcome.verdict, Verdict::Invalid, "{fault:?}: {}", told(&outcome));
        check(&outcome, done);
    }
}

/// All but these counts are as they should be.
#[track_caller]
fn assert_counts(outcome: &Outcome, lost: u64, duplicated: u64, reordered: u64, misdelivered: u64) {
    let account = &outcome.account;
    let found = (account.lost, account.duplicated, account.reordered, account.misdelivered);
    assert_eq!(found, (lost, duplicated, reordered, misdelivered), "{}", told(outcome));
    assert_eq!(account.delivered + account.lost, account.expected, "{}", told(outcome));
    assert_eq!(account.phantom + account.altered + account.unknown, 0, "{}", told(outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_in_a_thousand_is_found() {
    let plan = friends(8, 1_500.0, 3.0);
    with_fault(Fault::Drop(1_000), plan, |outcome, done| assert_counts(outcome, done, 0, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_is_found() {
    let plan = friends(8, 500.0, 1.0);
    with_fault(Fault::Double(50), plan, |outcome, done| assert_counts(outcome, 0, done, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_swapped_is_found() {
    let plan = friends(8, 500.0, 2.0);
    with_fault(Fault::Swap(7), plan, |outcome, done| assert_counts(outcome, 0, 0, done, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_the_wrong_user_is_found_there_and_missed_here() {
    let plan = friends(8, 500.0, 1.0);
    with_fault(Fault::Misdeliver(50), plan, |outcome, done| assert_counts(outcome, done, 0, 0, done)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_faults_is_valid() {
    for (tongue, plan) in both(friends(8, 500.0, 1.0)) {
        let server = Server::start(tongue, Fault::None).await;
        support::assert_nothing_lost(&run(plan, &server.targets()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_a_second_is_felt_by_all_that_was_due_in_it() {
    const RATE: f64 = 400.0;
    const HALF: u64 = 500_000;
    for (tongue, plan) in both(friends(8, RATE, 3.0)) {
        let stall = Fault::Stall { at: 500, lasting: Duration::from_secs(1) };
        let server = Server::start(tongue, stall).await;
        let outcome = run(plan, &server.targets()).await;
        let path = outcome.paths.get(&Path::Same).or(outcome.paths.get(&Path::Direct)).expect("friends were heard");
        assert!(path.max() >= 999_000, "{} {}", path.max(), told(&outcome));
        assert!(path.percentile(99.9) >= 900_000, "{} {}", path.percentile(99.9), told(&outcome));
        // Whatever was due in its first half waited for its second half at least.
        let waited: u64 = path.values().filter(|(micros, _)| *micros >= HALF - 1_000).map(|(_, count)| count).sum();
        assert!(waited as f64 >= RATE / 2.0 - 1.0, "{waited} {}", told(&outcome));
        assert_eq!(outcome.account.lost, 0, "{}", told(&outcome));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_received_is_never_valid() {
    with_fault(Fault::Swallow, friends(4, 100.0, 0.5), |outcome, done| {
        assert_eq!(outcome.account.delivered, 0);
        assert_eq!(outcome.account.lost, done, "{}", told(outcome));
        assert!(outcome.reasons.iter().any(|reason| reason == "nothing was received"), "{}", told(outcome));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_ends_the_run() {
    for (tongue, plan) in both(friends(4, 100.0, 0.5)) {
        let server = Server::start(tongue, Fault::Silent).await;
        fails(Plan { connect_timeout_s: 1.0, ..plan }, &server.targets()[0], "no answer within the time allowed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_midway_is_clear_in_the_result() {
    for (tongue, plan) in both(friends(8, 400.0, 2.0)) {
        let framed = tongue.framed;
        let server = Server::start(tongue, Fault::Die(300)).await;
        let outcome = run(plan, &server.targets()).await;
        let account = &outcome.account;
        assert!(account.delivered > 0 && outcome.unsent > 0, "{}", told(&outcome));
        // What was acknowledged is owed; without acknowledgements everything is.
        assert!(account.lost + account.unknown > 0, "{}", told(&outcome));
        assert!(framed || account.unknown == 0, "{}", told(&outcome));
        assert_ne!(outcome.verdict, Verdict::Valid);
        let kinds: Vec<&String> = outcome.errors.keys().collect();
        assert!(kinds.iter().any(|kind| kind.starts_with("connection: ")), "{}", told(&outcome));
        assert!(kinds.iter().any(|kind| kind.starts_with("connect: ")), "{}", told(&outcome));
        assert_eq!(outcome.online.1, 0, "{}", told(&outcome));
    }
}

/// The run never measures anything, and says why.
async fn fails(plan: Plan, target: &str, why: &str) {
    let outcome = run(plan, &[target.to_owned()]).await;
    assert_eq!(outcome.verdict, Verdict::Invalid);
    let reason = outcome.reasons.first().expect("a reason").to_lowercase();
    assert!(reason.contains(why), "{why:?}: {}", told(&outcome));
}

fn short() -> Plan {
    Plan { connect_timeout_s: 1.0, ..friends(4, 100.0, 0.5) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = nobody.local_addr().expect("bound").to_string();
    drop(nobody);
    fails(short(), &target, "connect: connection refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_exist_is_told() {
    fails(short(), "no-such-host.invalid:1", "no target no-such-host.invalid:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_resets_is_told() {
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an open socket");
        }
    });
    fails(short(), &target, "connection reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_accept_is_told() {
    use socket2::{Domain, Socket, Type};
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    full.listen(0).expect("listening");
    let address = full.local_addr().expect("bound").as_socket().expect("an address");
    // The queue takes one; whoever comes after it gets no answer.
    let mut first = Vec::new();
    while let Ok(Ok(socket)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        first.push(socket);
    }
    fails(short(), &address.to_string(), "connect: no answer within the time allowed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_told() {
    for plan in [short(), classic("course", short()), classic("checked", short())] {
        fails(plan, &http().await, "not the expected protocol").await;
    }
    fails(Plan { tls: true, ..short() }, &http().await, "tls: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_hold_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let pair = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (theirs, others) = (pair(), pair());
    let certificate = write("certificate.pem", theirs.cert.pem());
    let key = write("key.pem", theirs.signing_key.serialize_pem());
    let tls = chat::config::Tls { certificate: Some(certificate), key: Some(key), required: false };
    let acceptor = chat::tls::acceptor(&tls).expect("lawful").expect("configured");
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(acceptor.accept(socket));
        }
    });
    let wrong = write("other.pem", others.cert.pem());
    fails(Plan { tls: true, tls_ca: Some(wrong), ..short() }, &target, "certificate").await;
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("bound").to_string();
    (listener, target)
}

/// A server that has nothing to do with chat.
async fn http() -> String {
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1_024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                // The client closes once it has understood.
                let _ = socket.read(&mut request).await;
            });
        }
    });
    target
}
