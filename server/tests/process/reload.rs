//! SIGHUP: certificates are renewed, and settings change, while clients stay connected.

use crate::{NAME, Node, PASSWORD};
use chat_client::Credentials;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const WITH_TLS: &str = "[tls]\ncertificate = 'certificate.pem'\nkey = 'key.pem'\n";

/// Puts a new certificate where the node looks for it; returns who vouches for it.
pub fn certify(directory: &Path, authority: &str) -> PathBuf {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).expect("it is written");
    write("certificate.pem", pair.cert.pem());
    write("key.pem", pair.signing_key.serialize_pem());
    write(authority, pair.cert.pem());
    directory.join(authority)
}

#[tokio::test]
async fn renewed_certificate_is_served_at_once_and_open_connections_stay() {
    let directory = TempDir::new().unwrap();
    let old = certify(directory.path(), "old.pem");
    let mut node = Node::start(directory, WITH_TLS, &[]).await;
    let (before, _events) = node.connect(Some(&old)).await.unwrap();

    let new = certify(node.directory.path(), "new.pem");
    node.reload(WITH_TLS, 1).await;

    let (after, _events) = node.connect(Some(&new)).await.unwrap();
    after.ping().await.unwrap();
    before.ping().await.unwrap();
    assert!(node.connect(Some(&old)).await.is_err(), "the old certificate is still served");
}

#[tokio::test]
async fn broken_certificate_leaves_the_old_one_in_use_and_is_named_in_the_log() {
    let directory = TempDir::new().unwrap();
    let old = certify(directory.path(), "old.pem");
    let mut node = Node::start(directory, WITH_TLS, &[]).await;

    std::fs::write(node.path("certificate.pem"), "nonsense").unwrap();
    node.reload(&format!("{WITH_TLS}required = true\n[limits]\nheartbeat_s = 7\n"), 1).await;

    node.says("the old certificate stays in use error=certificate.pem").await;
    let (client, _events) = node.connect(Some(&old)).await.unwrap();
    client.ping().await.unwrap();
    // What has nothing to do with it has changed; [tls] goes with the certificate.
    let log = node.log();
    assert!(log.contains("settings read again changed=\"limits.heartbeat_s\" tls=true"), "{log}");
}

#[tokio::test]
async fn tls_can_be_switched_on_and_be_required() {
    let mut node = Node::start(TempDir::new().unwrap(), "", &[]).await;
    let authority = certify(node.directory.path(), "authority.pem");

    node.reload(&format!("{WITH_TLS}required = true\n"), 1).await;

    let (client, _events) = node.connect(Some(&authority)).await.unwrap();
    client.ping().await.unwrap();
    let (plain, _events) = node.connect(None).await.unwrap();
    assert!(plain.ping().await.is_err(), "a connection without TLS is still served");
}

#[tokio::test]
async fn what_can_change_does_and_the_log_names_what_waits_for_a_restart() {
    let mut node = Node::start(TempDir::new().unwrap(), "[limits]\nheartbeat_s = 30\n", &[]).await;
    let (early, _early_events) = node.connect(None).await.unwrap();

    node.reload("[limits]\nheartbeat_s = 7\nrepair_interval_s = 9\n[bus]\nchannel_prefix = 'x'\n", 1).await;

    node.says("wait for a restart keys=\"bus.channel_prefix, limits.repair_interval_s\"").await;
    let (late, _late_events) = node.connect(None).await.unwrap();
    late.register(NAME, PASSWORD).await.unwrap();
    assert_eq!(late.login(Credentials::password(NAME, PASSWORD)).await.unwrap().heartbeat_s, 7);
    late.logout(false).await.unwrap();
    // A client is told what its connection keeps to.
    assert_eq!(early.login(Credentials::password(NAME, PASSWORD)).await.unwrap().heartbeat_s, 30);
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let mut node = Node::start(TempDir::new().unwrap(), "[limits]\nheartbeat_s = 30\n", &[]).await;

    for (settings, complaint) in [("[limits]\nheartbeat_s = 0\n", "limits.heartbeat_s"), ("nonsense", "server.toml")] {
        crate::write_settings(node.directory.path(), settings);
        node.process.signal(libc::SIGHUP).unwrap();
        node.says(complaint).await;
    }

    assert_eq!(node.log().matches("nothing has changed").count(), 2, "{}", node.log());
    let (client, _events) = node.connect(None).await.unwrap();
    client.register(NAME, PASSWORD).await.unwrap();
    assert_eq!(client.login(Credentials::password(NAME, PASSWORD)).await.unwrap().heartbeat_s, 30);
}

#[tokio::test]
async fn log_says_more_once_it_is_told_to() {
    let mut node = Node::start(TempDir::new().unwrap(), "[log]\nfilter = 'info'\n", &[]).await;
    assert!(!node.log().contains("DEBUG"), "{}", node.log());

    node.reload("[log]\nfilter = 'debug'\n", 1).await;

    let (client, _events) = node.connect(None).await.unwrap();
    client.register(NAME, PASSWORD).await.unwrap();
    node.says("DEBUG").await;
}
