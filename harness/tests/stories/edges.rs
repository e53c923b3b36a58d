//! Promise: what stands between client and node changes nothing, and every dialect is served: PROXY headers from nginx,
//! TLS that ends at the node, bare JSON. Limits count the clients' own addresses: who guesses passwords locks out
//! nobody else.
//! Fault: none, but a guesser.

use crate::suite::stories;
use chat_client::{Client, Credentials, Options, RawConnection, Tls};
use chat_protocol::conversation::Target;
use harness::cluster::{Kind, Setup};
use harness::users::{everybody_logs_in, meet};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

stories![
    chat_works_with_proxy_protocol_through_nginx,
    tls_ends_at_the_node_behind_nginx,
    bare_json_clients_chat_across_the_cluster,
    guesser_behind_the_balancer_locks_out_nobody_else needs SeveralClients,
];

async fn chat_works_with_proxy_protocol_through_nginx(kind: &dyn Kind) {
    let setup = Setup::nodes(2).setting("listen.proxy_protocol", "true");
    let cluster = kind.start(setup).await.expect("a cluster of two nodes behind PROXY headers");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 3).await;
    let online = everybody_logs_in(&users, &[vec![cluster.entry()]]).await;

    for user in &online {
        user.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    }

    cluster.settle(&record, SOON).await;
}

async fn tls_ends_at_the_node_behind_nginx(kind: &dyn Kind) {
    let made = rcgen::generate_simple_self_signed(["chat.test".to_owned()]).expect("a certificate");
    let setup = Setup::nodes(2).setting("tls.required", "true");
    let setup = setup.setting("tls.certificate", "/certificate.pem").file("/certificate.pem", made.cert.pem());
    let setup = setup.setting("tls.key", "/key.pem").file("/key.pem", made.signing_key.serialize_pem());
    let cluster = kind.start(setup).await.expect("a cluster of two nodes that want TLS");

    let mut options = Options::new([cluster.entry().to_string()]);
    options.tls = Some(trusting(made.cert.der().clone()));
    let (client, _events) = Client::connect(options.clone()).await.expect("TLS works");
    let name = format!("user-{}", Uuid::new_v4().simple());
    client.register(&name, "correct horse").await.expect("the name is free");
    client.login(Credentials::password(&name, "correct horse")).await.expect("the password is right");

    options.tls = None;
    let plain = options.without_reconnect().login(Credentials::password(&name, "correct horse").taking_over());
    assert!(Client::connect(plain).await.is_err(), "a connection without TLS was served");
}

fn trusting(certificate: CertificateDer<'static>) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate just made");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Tls { config: Arc::new(config), server_name: Some("chat.test".into()) }
}

/// A client of the classic course project.
struct Bare {
    connection: RawConnection,
    /// Received and not yet taken.
    partial: Vec<u8>,
}

impl Bare {
    async fn connect(address: SocketAddr) -> Bare {
        let options = Options::new([address.to_string()]);
        Bare { connection: RawConnection::connect(&options).await.expect("nginx accepts"), partial: Vec::new() }
    }

    async fn send(&mut self, value: Value) {
        self.connection.send_bytes(value.to_string().as_bytes()).await.expect("the node takes bytes");
    }

    /// The next object; they end with a NUL.
    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.partial.iter().position(|byte| *byte == 0) {
                let object: Vec<u8> = self.partial.drain(..=end).collect();
                return serde_json::from_slice(&object[..end]).expect("an object");
            }
            let bytes = self.connection.next_bytes().await.expect("the node answers");
            assert!(!bytes.is_empty(), "the node closed the connection");
            self.partial.extend(bytes);
        }
    }

    /// Registers and logs in; returns the id.
    async fn join(&mut self) -> u64 {
        let name = format!("bare-{}", Uuid::new_v4().simple());
        self.send(json!({"msgid": 4, "name": name, "password": "secret"})).await;
        let registered = self.next().await;
        let id = registered["id"].as_u64().unwrap_or_else(|| panic!("no id: {registered}"));
        self.send(json!({"msgid": 1, "id": id, "password": "secret"})).await;
        let reply = self.next().await;
        assert_eq!((&reply["msgid"], &reply["errno"]), (&json!(2), &json!(0)), "{reply}");
        id
    }
}

async fn bare_json_clients_chat_across_the_cluster(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(3)).await.expect("a cluster of three nodes");
    let (mut one, mut other) =
        (Bare::connect(cluster.node_address(0)).await, Bare::connect(cluster.node_address(1)).await);
    let (sender, recipient) = (one.join().await, other.join().await);
    one.send(json!({"msgid": 7, "id": sender, "friendid": recipient})).await;

    let time = "2024-01-01 12:00:00";
    for number in 0..10 {
        let text = format!("message {number}");
        one.send(json!({"msgid": 6, "id": sender, "name": "one", "toid": recipient, "msg": text, "time": time})).await;
    }

    for number in 0..10 {
        let push = other.next().await;
        let expected = json!([6, sender, recipient, format!("message {number}"), time]);
        assert_eq!(json!([push["msgid"], push["id"], push["toid"], push["msg"], push["time"]]), expected, "{push}");
    }
}

async fn ask(node: SocketAddr, from: u8, request: &Value) -> Value {
    let options = Options { local_address: Some([127, 0, 0, from].into()), ..Options::new([node.to_string()]) };
    let mut connection = RawConnection::connect(&options).await.expect("nginx accepts");
    connection.send(request).await.expect("nginx takes it");
    connection.next().await.expect("a node answers")
}

async fn guesser_behind_the_balancer_locks_out_nobody_else(kind: &dyn Kind) {
    let setup = Setup::nodes(1).setting("limits.failed_logins_per_minute_per_ip", "3");
    let setup = setup.setting("limits.failed_logins_per_minute", "3");
    let cluster = kind.start(setup).await.expect("a cluster of one node");
    let balancer = cluster.entry();
    let registered = ask(balancer, 2, &json!({"msgid": 4, "name": "ann", "password": "correct horse"})).await;
    assert_eq!(registered["errno"], 0, "{registered}");
    for errno in [1, 1, 1, 10] {
        let guessed = ask(balancer, 3, &json!({"msgid": 1, "name": "ann", "password": "guess"})).await;
        assert_eq!(guessed["errno"], errno, "{guessed}");
    }

    let login = ask(balancer, 2, &json!({"msgid": 1, "name": "ann", "password": "correct horse"})).await;

    assert_eq!(login["errno"], 0, "{login}");
    // And past the balancer nodes are reached without a header.
    let login = json!({"msgid": 1, "name": "ann", "password": "correct horse", "takeover": true});
    assert_eq!(ask(cluster.node_address(0), 4, &login).await["errno"], 0);
}
