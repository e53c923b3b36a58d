//! Redis over TLS: nodes meet at one that they trust, and tell nothing to any other.

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A certificate of its own authority.
struct Certificate {
    pem: String,
    key: String,
    directory: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = Certificate {
            pem: pair.cert.pem(),
            key: pair.signing_key.serialize_pem(),
            directory: tempfile::tempdir().expect("a directory"),
        };
        std::fs::write(certificate.path(), &certificate.pem).expect("the file is written");
        std::fs::write(certificate.key_path(), &certificate.key).expect("the file is written");
        certificate
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn key_path(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}

fn connect(redis: &Redis, name: &str, ca: Option<PathBuf>) -> Node {
    let config = config::Bus { ca, ..settings(redis.tls_url().expect("a redis with TLS")) };
    connect_with(&config, NodeKey { id: name.into(), boot: 1 }, &SECRET)
}

#[tokio::test]
async fn nodes_meet_at_a_redis_they_trust() {
    let certificate = Certificate::new();
    let redis = Redis::start_with_tls(&certificate.pem, &certificate.key).await.expect("redis starts");
    let mut one = connect(&redis, "one", Some(certificate.path()));
    let mut two = connect(&redis, "two", Some(certificate.path()));
    assert_eq!(one.arrival().await, Arrival::Resubscribed);
    assert_eq!(two.arrival().await, Arrival::Resubscribed);

    one.send(&two, 1);

    assert_eq!(two.receive(&one, 1).await, [1]);
    assert!(one.bus.describe().contains("localhost"), "{}", one.bus.describe());
}

#[tokio::test]
async fn redis_that_is_not_trusted_is_told_nothing() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let tls = config::Tls { certificate: Some(certificate.path()), key: Some(certificate.key_path()), required: true };
    let acceptor = chat::tls::acceptor(&tls).expect("the files are good").expect("there is a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("rediss://localhost:{}", listener.local_addr().expect("it is bound").port());
    let next = async || {
        let (stream, _) = timeout(SOON, listener.accept()).await.expect("it tries in time").expect("it connects");
        acceptor.accept(stream).await
    };

    // One trusts another authority, one those of the system.
    for ca in [Some(other.path()), None] {
        let config = config::Bus { ca, ..settings(url.clone()) };
        let wary = connect_with(&config, NodeKey { id: "one".into(), boot: 1 }, &SECRET);
        for _ in 0..4 {
            assert!(next().await.is_err(), "a handshake that came to its end");
        }
        assert!(!wary.bus.is_connected());
        wary.bus.close().await;
    }

    let config = config::Bus { ca: Some(certificate.path()), ..settings(url) };
    let _trusting = connect_with(&config, NodeKey { id: "one".into(), boot: 1 }, &SECRET);
    eventually(SOON, "who trusts it talks to it", async || next().await.ok()).await;
}

#[tokio::test]
async fn authorities_that_cannot_be_used_stop_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, "no certificate").expect("the file is written");
    for ca in [path, directory.path().join("missing.pem")] {
        let config = config::Bus { ca: Some(ca), ..settings("rediss://localhost:1".into()) };
        let key = NodeKey { id: "one".into(), boot: 1 };
        let Err(error) = redis::connect(&config, &key, &SECRET, &Environment::default()) else {
            panic!("it was taken")
        };
        assert!(error.to_string().contains(".pem"), "{error}");
    }
}
