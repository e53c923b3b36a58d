//! A node that was killed, and is started again under its name.

use crate::Node;
use tempfile::TempDir;

const WAITS: &str = "waiting for an earlier run";

#[tokio::test]
async fn killed_node_with_a_lock_does_not_wait_out_its_lease() {
    let mut node = Node::start(TempDir::new().unwrap(), "[node]\nid = 'a'\nlock_dir = '.'\n", &[]).await;

    for _ in 0..2 {
        node.kill_and_start_again().await;
        assert!(node.log().contains("an earlier run is dead"), "{}", node.log());
        assert!(!node.log().contains(WAITS), "{}", node.log());
    }
}

#[tokio::test]
async fn killed_node_without_a_lock_waits_out_its_lease() {
    let mut node = Node::start(TempDir::new().unwrap(), "[node]\nid = 'a'\n", &[]).await;

    node.kill_and_start_again().await;

    assert!(node.log().contains(WAITS), "{}", node.log());
}
