//! Promise: a target that is none, or not what was asked for, is told by name, within a bounded time, in every dialect.

mod support;

use judge::Verdict;
use loadgen::plan::{DialectName, Plan};
use std::time::Duration;
use support::fault::Fault;
use support::server::Server;
use support::tongue::Tongue;
use support::{classic, friends, run, told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The run never measures anything, and says why.
async fn fails(plan: Plan, target: &str, why: &str) {
    let outcome = run(plan, &[target.to_owned()]).await;
    assert_eq!(outcome.verdict, Verdict::Invalid);
    let reason = outcome.reasons.first().expect("a reason").to_lowercase();
    assert!(reason.contains(why), "{why:?}: {}", told(&outcome));
}

fn short() -> Plan {
    Plan { connect_timeout_s: 0.5, ..friends(4, 100.0, 0.5) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_never_answers_is_told() {
    let server = Server::start(Tongue::course(), Fault::Silent).await;
    fails(classic("course", short()), &server.targets()[0], "no answer within the time allowed").await;
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
    for dialect in [DialectName::Framed, DialectName::Bare, DialectName::Checked] {
        fails(Plan { dialect, ..short() }, &http().await, "not the expected protocol").await;
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
