//! `chat-server admin` against a running node, as an operator types it.

use crate::{BUDGET, NAME, Node, PASSWORD};
use chat_client::{Client, Credentials, Events, Options, Why};
use serde_json::{Value, json};
use services::{eventually, ports};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const SECRET: &str = "correct-horse-battery";

fn settings(address: &str) -> String {
    format!("[admin]\naddress = '{address}'\nsecret_file = 'secret'\n[limits]\ndrain_s = 1\n")
}

/// A node that can be administered.
async fn administered(host: &str, more: &str, directory: TempDir) -> (Node, String) {
    let address = format!("{host}:{}", ports::free_port().expect("a free port"));
    std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).expect("it is written");
    (Node::start(directory, &format!("{}{more}", settings(&address)), &[]).await, address)
}

fn admin(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    command.args(["admin", "--config", "server.toml"]).args(arguments).current_dir(directory).env("NO_COLOR", "1");
    command.output().expect("it runs")
}

#[track_caller]
fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = admin(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn refused(directory: &Path, arguments: &[&str], code: i32, words: &str) {
    let output = admin(directory, arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(words) && output.stdout.is_empty(), "{arguments:?}: {told}");
}

fn json_of(directory: &Path, arguments: &[&str]) -> Value {
    let text = done(directory, &[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn log_in(node: &Node, password: &str) -> (Client, Events) {
    let credentials = Credentials::password(NAME, password);
    let options = Options::new([format!("127.0.0.1:{}", node.port)]).login(credentials);
    Client::connect(options).await.expect("a login")
}

async fn registered(node: &Node) -> (Client, Events) {
    let (client, _events) = node.connect(None).await.expect("a connection");
    client.register(NAME, PASSWORD).await.expect("an account");
    log_in(node, PASSWORD).await
}

/// Waits for the client to end by itself: why it did.
async fn end_of(mut events: Events) -> Option<Why> {
    let mut why = None;
    let ended = async {
        while let Some(event) = events.next().await {
            if let chat_client::Event::Disconnected { why: reason } = event {
                why = Some(reason);
            }
        }
    };
    tokio::time::timeout(BUDGET, ended).await.expect("the client ends");
    why
}

#[tokio::test]
async fn user_is_seen_kicked_disabled_and_given_another_password() {
    let (mut node, _) = administered("127.0.0.1", "[node]\nid = 'node-1'\n", TempDir::new().unwrap()).await;
    let (_client, events) = registered(&node).await;
    let at = node.directory.path().to_owned();

    assert_eq!(done(&at, &["online"]), "ID  NAME  NODE\n 1  ann   node-1\n");
    assert_eq!(json_of(&at, &["online"]), json!({"sessions": [{"id": 1, "name": NAME, "node": "node-1"}]}));
    assert_eq!(done(&at, &["nodes"]), "NODE    SESSIONS\nnode-1         1  asked\n");
    let user = "ID  NAME  ACCOUNT  NODE    WAITING\n 1  ann   enabled  node-1        0\n";
    for who in ["1", NAME, "name:ann"] {
        assert_eq!(done(&at, &["user", who]), user);
    }

    assert_eq!(done(&at, &["kick", NAME]), "done: ann (id 1); its session on node-1 has ended\n");
    let why = end_of(events).await.expect("a reason");
    assert!(why.to_string().contains("ended by an operator"), "the client does not come back by itself: {why}");

    let (_client, events) = log_in(&node, PASSWORD).await;
    assert_eq!(json_of(&at, &["disable", "1"])["session"], "ended");
    assert!(end_of(events).await.expect("a reason").to_string().contains("disabled"));
    assert!(done(&at, &["user", NAME]).contains("disabled"));
    done(&at, &["enable", NAME]);

    let reset = json_of(&at, &["reset-password", NAME]);
    let by_chance = reset["password"].as_str().expect("a password").to_owned();
    log_in(&node, &by_chance).await.0.logout(false).await.expect("it leaves");
    std::fs::write(at.join("password"), "chosen one\n").unwrap();
    let chosen = done(&at, &["reset-password", NAME, "--password-file", "password"]);
    assert!(!chosen.contains("chosen one") && chosen.starts_with("done: ann"), "{chosen}");
    log_in(&node, "chosen one").await.0.logout(false).await.expect("it leaves");
    done(&at, &["end-tokens", NAME]);

    node.says("an operator gives an order from=127.0.0.1 order=\"reset-password\" user=1 name=\"ann\"").await;
    let log = node.log();
    for secret in [SECRET, "chosen one", &by_chance, "$argon2"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[tokio::test]
async fn refusals_and_silence_have_exit_codes_and_say_what_to_do() {
    let (mut node, address) = administered("127.0.0.1", "", TempDir::new().unwrap()).await;
    let at = node.directory.path().to_owned();

    refused(&at, &["kick", "nobody"], 1, "no user is called nobody");
    refused(&at, &["kick", "name:17"], 1, "no user is called 17");
    refused(&at, &["drain", "another"], 1, "ask the admin port of another");
    refused(&at, &["prune"], 1, "retention.days");
    assert_eq!(done(&at, &["prune", "--days", "1"]), "0 messages of 0 conversations removed, 0 of them unreceived\n");
    assert_eq!(done(&at, &["conversations"]).lines().count(), 1);
    std::fs::write(at.join("secret"), "another-secret-of-operators").unwrap();
    refused(&at, &["nodes"], 1, "not the secret of this node");
    std::fs::write(at.join("secret"), "short").unwrap();
    refused(&at, &["nodes"], 2, "openssl rand");
    std::fs::write(at.join("secret"), SECRET).unwrap();
    refused(&at, &["--tls", "nodes"], 2, &address);

    node.process.kill().unwrap();
    refused(&at, &["nodes"], 2, &format!("{address} cannot be reached"));
    crate::write_settings(&at, "");
    refused(&at, &["nodes"], 2, "admin.address");
    refused(&at, &["--address", "127.0.0.1:1", "nodes"], 2, "CHAT_ADMIN__SECRET");
}

#[tokio::test]
async fn drained_node_ends_with_exit_code_0() {
    let (mut node, _) = administered("127.0.0.1", "[node]\nid = 'node-1'\n", TempDir::new().unwrap()).await;
    let (_client, _events) = registered(&node).await;

    let told = done(node.directory.path(), &["drain", "node-1"]);

    assert_eq!(told, "node-1 drains: 1 users are sent elsewhere within 1 s, then it ends\n");
    let status = eventually(BUDGET, "it has ended", async || node.process.exit_status().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn secret_crosses_the_network_under_tls_or_the_node_does_not_start() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("secret"), SECRET).unwrap();
    crate::write_settings(directory.path(), &settings("0.0.0.0:0"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    let output = command.args(["0", "--config", "server.toml"]).current_dir(&directory).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["admin.address", "127.0.0.1:9100", "tls.certificate", "tls.key"] {
        assert!(told.contains(part), "{told}");
    }

    crate::reload::certify(directory.path(), "ca.pem");
    let (node, address) = administered("0.0.0.0", crate::reload::WITH_TLS, directory).await;
    let at = node.directory.path();
    let address = address.replace("0.0.0.0", "localhost");
    let nodes = done(at, &["--address", &address, "--tls", "--ca", "ca.pem", "nodes"]);
    assert!(nodes.starts_with("NODE"), "{nodes}");
    refused(at, &["--address", &address, "--tls", "nodes"], 2, "certificate");
    // Metrics and health stay what they were for those who scrape without TLS.
    assert!(done(at, &["--address", &address.replace("localhost", "127.0.0.1"), "nodes"]).starts_with("NODE"));
}

#[tokio::test]
async fn secret_changes_without_a_restart() {
    let (mut node, address) = administered("127.0.0.1", "", TempDir::new().unwrap()).await;
    let at = node.directory.path().to_owned();
    std::fs::write(at.join("secret"), "the-next-secret-of-operators").unwrap();
    refused(&at, &["nodes"], 1, "not the secret");

    node.reload(&settings(&address), 1).await;

    done(&at, &["nodes"]);
}
