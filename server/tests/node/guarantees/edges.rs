//! What surrounds the conversation: TLS, the PROXY header, draining, and the admin port.

use crate::support::peer::options;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, Value, eventually, fresh_mid, json, within};
use chat_client::{Options, RawConnection, Tls};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate for `localhost`, as files; they live as long as the directory.
fn certificate() -> (tempfile::TempDir, chat::config::Tls, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = chat::config::Tls { certificate: Some(certificate), key: Some(key), required: false };
    (directory, server, client)
}

fn secure(address: SocketAddr, client: rustls::ClientConfig) -> Options {
    Options { tls: Some(Tls { config: client.into(), server_name: Some("localhost".into()) }), ..options(address) }
}

#[tokio::test]
async fn tls_and_plain_clients_share_the_port() {
    let (_files, server, client) = certificate();
    let cluster = Cluster::of(1, |config| config.tls = server.clone()).await;
    let mut bob = cluster.user("bob").await;
    cluster.account("ann").await;

    let mut ann = Peer::connect_with(&secure(cluster.address(0), client)).await;
    ann.login("ann").await;
    ann.befriend(bob.id).await;
    ann.tell(bob.id, "over TLS").await;
    bob.tell(ann.id, &"x".repeat(60_000)).await;

    assert_eq!(bob.push().await["msg"], "over TLS");
    assert_eq!(ann.push().await["msg"].as_str().map(str::len), Some(60_000));
}

#[tokio::test]
async fn where_tls_is_required_plain_clients_are_closed() {
    let (_files, mut server, client) = certificate();
    server.required = true;
    let cluster = Cluster::of(1, |config| config.tls = server.clone()).await;

    let mut plain = cluster.connect().await;
    plain.send(json!({"msgid": 19})).await;
    assert_eq!(plain.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
    Peer::connect_with(&secure(cluster.address(0), client)).await.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn a_proxy_header_is_required_in_either_version() {
    let cluster = Cluster::of(1, |config| config.listen.proxy_protocol = true).await;
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 12345\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 48, 57]);
    for header in [v1.clone(), v2, b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut peer = cluster.connect().await;
        peer.raw.send_bytes(&header).await.expect("sends");
        peer.done(json!({"msgid": 19})).await;
    }
    for not_a_header in [&b"\0\0\0\x0c{\"msgid\":19}"[..], b"{\"msgid\":1}    ", b"PROXY nonsense\r\n", &[0xFE; 20]] {
        let mut peer = cluster.connect().await;
        peer.raw.send_bytes(not_a_header).await.expect("sends");
        assert_eq!(peer.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
    }
    // In one segment with the first message, and byte by byte.
    let mut whole = v1;
    chat_client::append_frame(&json!({"msgid": 19}), &mut whole);
    let mut peer = cluster.connect().await;
    peer.raw.send_bytes(&whole).await.expect("sends");
    assert_eq!(peer.frame().await["msgid"], 20);
    let mut peer = cluster.connect().await;
    for byte in whole {
        peer.raw.send_bytes(&[byte]).await.expect("sends");
    }
    assert_eq!(peer.frame().await["msgid"], 20);
}

#[tokio::test]
async fn a_proxy_header_is_required_from_the_proxies_named_and_an_error_from_others() {
    let cluster = Cluster::of(1, |config| {
        config.listen.proxy_from = "127.0.0.8/30, ::1".into();
        config.limits.connections_per_ip = 1;
    })
    .await;
    let from = async |last: u8| {
        let local_address = Some([127, 0, 0, last].into());
        Peer::connect_with(&Options { local_address, ..options(cluster.address(0)) }).await
    };
    let behind = async |proxy: u8, client: u8| {
        let mut peer = from(proxy).await;
        let header = format!("PROXY TCP4 192.0.2.{client} 192.0.2.200 1000 12345\r\n");
        peer.raw.send_bytes(header.as_bytes()).await.expect("sends");
        peer
    };
    let mut open = vec![from(1).await, behind(9, 1).await, behind(9, 2).await, behind(11, 3).await];
    for peer in &mut open {
        peer.done(json!({"msgid": 19})).await;
    }

    let mut without = from(9).await;
    without.raw.send_bytes(b"\0\0\0\x0c{\"msgid\":19}").await.expect("sends");
    for peer in [&mut without, &mut behind(12, 4).await, &mut behind(9, 1).await] {
        assert_eq!(peer.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
    }
}

#[tokio::test]
async fn without_the_setting_a_proxy_header_is_an_error() {
    let cluster = Cluster::one().await;
    let mut peer = cluster.connect().await;

    peer.raw.send_bytes(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 12345\r\n").await.expect("sends");

    assert_eq!(peer.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
}

#[tokio::test]
async fn drain_sends_everyone_elsewhere_and_loses_nothing() {
    const MESSAGES: usize = 200;
    let mut cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let mut silent = cluster.connect().await;
    let mids: Vec<String> = (0..MESSAGES).map(|_| fresh_mid()).collect();
    let message = |n: usize, mid: &str, toid: u64| json!({"msgid": 6, "toid": toid, "msg": n.to_string(), "mid": mid});
    for (n, mid) in mids.iter().enumerate() {
        ann.send(message(n, mid, bob.id)).await;
    }
    let drained = cluster.take(0);
    drained.shutdown().drain();
    let address = drained.address();

    let frames = ann.raw.expect_close().await.expect("closes");
    within("the node stops", drained.stopped()).await.expect("in good order");

    let notice = frames.last().expect("a notice");
    assert_eq!((&notice["msgid"], &notice["errno"]), (&json!(21), &json!(14)));
    assert!(notice["retry_ms"].is_u64(), "{notice}");
    assert_eq!(silent.raw.expect_close().await.expect("closes"), [] as [Value; 0], "no dialect, no notice");
    assert!(TcpStream::connect(address).await.is_err());
    // What was not acknowledged goes again, under its mid, through the other node.
    let mut ann = cluster.login_on(0, "ann").await;
    for (n, mid) in mids.iter().enumerate() {
        ann.done(message(n, mid, bob.id)).await;
    }
    let numbers: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(crate::support::texts(&bob.pushes(MESSAGES).await), numbers);
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn drain_keeps_what_was_received() {
    let mut cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(1, 0).await;
    ann.tell(bob.id, "1").await;
    ann.tell(bob.id, "2").await;
    let pushes = bob.pushes(2).await;
    bob.received(&pushes[0]).await;
    bob.done(json!({"msgid": 19})).await;

    let drained = cluster.take(0);
    drained.shutdown().drain();
    assert_eq!(bob.notice().await, 14);
    within("the node stops", drained.stopped()).await.expect("in good order");

    let mut bob = cluster.connect().await;
    assert_eq!(bob.login("bob").await["offline"], 1);
    assert_eq!(bob.push().await["msg"], "2");
}

/// Asks the admin port; returns the whole response.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("the admin port is open");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sends");
    let mut response = String::new();
    within("a response", socket.read_to_string(&mut response)).await.expect("a response");
    response
}

#[tokio::test]
async fn admin_port_tells_health_readiness_and_metrics() {
    let cluster = Cluster::of(1, |config| config.admin.address = "127.0.0.1:0".into()).await;
    let admin = cluster.node(0).admin_address().expect("an admin port");
    let (mut ann, mut bob) = cluster.friends().await;
    ann.tell(bob.id, "counted").await;
    bob.push().await;
    ann.refused(json!({"msgid": 6, "toid": 999_999, "msg": "x"}), 5).await;

    assert!(get(admin, "/healthz").await.starts_with("HTTP/1.1 200"));
    let ready = get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"ready\":true"), "{ready}");
    let metrics = get(admin, "/metrics").await;
    for line in [
        "chat_sessions 2",
        "chat_logins_total 2",
        "chat_pushes_total 1",
        "chat_errors_total{errno=\"5\"} 1",
        "chat_queue_bytes 0",
    ] {
        assert!(metrics.lines().any(|is| is == line), "{line} is not in:\n{metrics}");
    }
}

#[tokio::test]
async fn admin_port_counts_commits_and_what_goes_over_the_bus() {
    let cluster = Cluster::of(2, |config| config.admin.address = "127.0.0.1:0".into()).await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    ann.tell(bob.id, "over the bus").await;
    bob.push().await;

    let sent = get(cluster.node(0).admin_address().expect("an admin port"), "/metrics").await;

    let value = |name: &str| {
        let line = sent.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in:\n{sent}"));
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
    };
    assert!(value("chat_commit_batch_messages_count") >= 1.0);
    assert!(value("chat_bus_items_sent_total") >= 1.0);
}

#[tokio::test]
async fn a_draining_node_is_not_ready() {
    let cluster = Cluster::of(1, |config| config.admin.address = "127.0.0.1:0".into()).await;
    let admin = cluster.node(0).admin_address().expect("an admin port");
    // A login under way keeps the node from stopping before it was asked.
    let mut held = RawConnection::connect(&options(cluster.address(0))).await.expect("connects");
    held.send(&json!({"msgid": 1, "name": "nobody", "password": PASSWORD})).await.expect("sends");
    held.next().await.expect("refused");

    cluster.node(0).shutdown().drain();

    let unready = eventually(BUDGET, "the node says that it drains", async || {
        let ready = get(admin, "/readyz").await;
        ready.starts_with("HTTP/1.1 503").then_some(ready)
    })
    .await;
    assert!(unready.contains("\"draining\":\"yes\""), "{unready}");
}
