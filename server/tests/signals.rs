//! What the process does with signals that come at awkward moments.

use services::eventually;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a process may take to end on a busy machine.
const BUDGET: Duration = Duration::from_secs(30);

/// Killed with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn node_told_to_stop_while_it_starts_ends_at_once_and_in_order() {
    // A database that takes connections and never says a word.
    let database = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("mysql://chat:chat@{}/chat", database.local_addr().expect("its address"));
    let mut server = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    server.arg("0").env("CHAT_DATABASE__URL", url).env("CHAT_DATABASE__TIMEOUT_MS", "60000");
    server.env("CHAT_BUS__URL", "redis://127.0.0.1:1").stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process(server.spawn().expect("the program starts"));
    let _connection = tokio::task::spawn_blocking(move || database.accept().expect("the node connects")).await;

    let pid = i32::try_from(process.0.id()).expect("a process id");
    // SAFETY: `kill` takes no pointers, and the process is a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);

    let status = eventually(BUDGET, "the process has ended", async || process.0.try_wait().expect("a child")).await;
    assert_eq!(status.code(), Some(0), "{status}");
}
