//! docs/client.py, which who writes a client begins with.

use crate::{BUDGET, Node};
use services::eventually;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/client.py");

struct Person {
    child: Child,
    shown: PathBuf,
}

impl Person {
    fn start(node: &Node, name: &str) -> Person {
        let shown = node.path(name);
        let output = File::create(&shown).expect("a file for what it shows");
        let mut command = Command::new("python3");
        command.arg(CLIENT).args([name, "secret", "--register", "--node", &format!("localhost:{}", node.port)]);
        command.stdin(Stdio::piped()).stdout(output.try_clone().expect("a handle")).stderr(output);
        let child = command.spawn().expect("python3 is installed: ci/packages lists it");
        Person { child, shown }
    }

    fn types(&mut self, line: &str) {
        let mut keyboard = self.child.stdin.as_ref().expect("standard input is piped");
        writeln!(keyboard, "{line}").expect("the client reads");
    }

    fn shows(&self) -> String {
        std::fs::read_to_string(&self.shown).unwrap_or_default()
    }

    async fn sees(&self, text: &str) {
        eventually(BUDGET, &format!("the client shows {text:?}"), async || self.shows().contains(text).then_some(()))
            .await;
    }

    /// Closes its input, and waits for its end.
    async fn leaves(mut self) {
        drop(self.child.stdin.take());
        let status = eventually(BUDGET, "the client ends", async || self.child.try_wait().expect("a child")).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn example_in_python_loses_and_repeats_nothing_when_its_node_dies() {
    let mut node = Node::start(TempDir::new().unwrap(), "", &[]).await;
    let (mut ann, bob) = (Person::start(&node, "ann"), Person::start(&node, "bob"));
    ann.sees("ann is logged in").await;
    bob.sees("bob is logged in").await;

    ann.types("bob hello, 世界");
    bob.sees("ann: hello, 世界").await;
    node.kill_and_start_again().await;
    ann.types("bob and again");
    bob.sees("ann: and again").await;

    ann.leaves().await;
    let shown = bob.shows();
    assert_eq!(shown.matches("ann: ").count(), 2, "{shown}");
    bob.leaves().await;
}
