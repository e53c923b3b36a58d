//! What systemd is told through NOTIFY_SOCKET, and the variables that Kubernetes adds.

use crate::{BUDGET, Node};
use std::collections::VecDeque;
use std::path::Path;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// A supervisor's ear.
struct Supervisor {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl Supervisor {
    fn listen(path: &Path) -> Self {
        Supervisor { socket: UnixDatagram::bind(path).expect("it is bound"), heard: VecDeque::new() }
    }

    /// The next thing said that is no sign of life.
    async fn next(&mut self) -> String {
        loop {
            match self.any().await {
                said if said == "WATCHDOG=1" => {}
                said => return said,
            }
        }
    }

    async fn any(&mut self) -> String {
        while self.heard.is_empty() {
            let mut buffer = [0; 1024];
            let received = timeout(BUDGET, self.socket.recv(&mut buffer)).await.expect("it says something");
            let count = received.expect("a datagram");
            self.heard.extend(String::from_utf8_lossy(&buffer[..count]).lines().map(str::to_owned));
        }
        self.heard.pop_front().expect("something was heard")
    }

    async fn sign_of_life(&mut self) {
        while self.any().await != "WATCHDOG=1" {}
    }
}

#[tokio::test]
async fn supervisor_hears_of_start_reload_end_and_signs_of_life() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let mut supervisor = Supervisor::listen(&path);
    let variables = [("NOTIFY_SOCKET", path.as_path()), ("WATCHDOG_USEC", Path::new("100000"))];
    let mut node = Node::start(directory, "[limits]\ndrain_s = 0\n", &variables).await;

    assert_eq!(supervisor.next().await, "READY=1");
    supervisor.sign_of_life().await;

    node.process.signal(libc::SIGHUP).unwrap();
    assert_eq!(supervisor.next().await, "RELOADING=1");
    assert!(supervisor.next().await.starts_with("MONOTONIC_USEC="));
    assert_eq!(supervisor.next().await, "READY=1");
    supervisor.sign_of_life().await;

    node.process.signal(libc::SIGTERM).unwrap();
    assert_eq!(supervisor.next().await, "STOPPING=1");
    let ended = async || node.process.exit_status().unwrap();
    let status = services::eventually(BUDGET, "it has ended", ended).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn node_beside_a_kubernetes_service_of_its_name_starts_and_tells_of_the_variables() {
    let variables = [
        ("CHAT_SERVICE_HOST", Path::new("10.0.0.7")),
        ("CHAT_PORT", Path::new("tcp://10.0.0.7:12345")),
        ("CHAT_PORT_12345_TCP", Path::new("tcp://10.0.0.7:12345")),
    ];

    let node = Node::start(TempDir::new().unwrap(), "", &variables).await;

    let warning = "count for nothing: CHAT_PORT, CHAT_PORT_12345_TCP, CHAT_SERVICE_HOST";
    assert!(node.log().contains(warning), "{}", node.log());
}
