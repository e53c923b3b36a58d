//! `--generate`, and the check that a container makes of itself.

use crate::Node;
use std::process::Command;
use tempfile::TempDir;

fn chat_server() -> Command {
    Command::new(env!("CARGO_BIN_EXE_chat-server"))
}

#[test]
fn generate_writes_man_pages_and_completions_and_starts_nothing() {
    let directory = TempDir::new().unwrap();

    let output = chat_server().arg("--generate").arg("out").current_dir(&directory).output().unwrap();

    assert!(output.status.success(), "{output:?}");
    for name in [
        "chat-server.1",
        "chat-server-migrate.1",
        "chat-server-admin-kick.1",
        "chat-server.bash",
        "_chat-server",
        "chat-server.fish",
    ] {
        assert!(directory.path().join("out").join(name).exists(), "{name} is missing: {output:?}");
    }
    assert!(!directory.path().join("out/chat-server-help.1").exists(), "help has a page of its own");
    assert!(!directory.path().join("chat.db").exists(), "a node was started");
}

#[tokio::test]
async fn health_is_that_of_the_node_whose_settings_they_are() {
    let port = services::ports::free_port().unwrap();
    let settings = format!("[admin]\naddress = '127.0.0.1:{port}'\n");
    let mut node = Node::start(TempDir::new().unwrap(), &settings, &[]).await;
    let check = |node: &Node| {
        let mut command = chat_server();
        command.args(["health", "--config", "server.toml"]).current_dir(node.directory.path());
        command.output().unwrap()
    };

    let healthy = check(&node);
    assert!(healthy.status.success(), "{healthy:?}");
    node.process.kill().unwrap();

    let dead = check(&node);
    assert_eq!(dead.status.code(), Some(1), "{dead:?}");
    assert!(String::from_utf8_lossy(&dead.stderr).contains(&format!("127.0.0.1:{port}")), "{dead:?}");
}
