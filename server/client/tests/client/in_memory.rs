//! The real client over bytes in memory, in virtual time: nothing of it asks the operating system.

use crate::scripted_node::login_ack;
use chat_client::{Bytes, Client, Connect, Connecting, Credentials, Event, Options};
use chat_environment::{Entropy, Environment, NoEntropy, Tasks, WallClock};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Gives the other end of each connection to the test.
struct InMemory(mpsc::UnboundedSender<DuplexStream>);

impl Connect for InMemory {
    fn connect(&self, _address: &str) -> Connecting {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let accepted = self.0.send(theirs).is_ok();
        assert!(accepted, "the node is there");
        Box::pin(async { Ok(Box::new(ours) as Box<dyn Bytes>) })
    }
}

/// Where nothing happens by chance.
struct Fixed;

impl WallClock for Fixed {
    fn now_us(&self) -> i64 {
        1_767_323_045_678_000
    }
}

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        bytes.fill(0);
        Ok(())
    }
}

type Peer = Framed<DuplexStream, LengthDelimitedCodec>;

/// Accepts a connection and lets user 1 log in; returns LOGIN as well.
async fn accept(connections: &mut mpsc::UnboundedReceiver<DuplexStream>) -> (Peer, Value) {
    let stream = connections.recv().await.expect("a connection");
    let mut peer = Framed::new(stream, LengthDelimitedCodec::new());
    let login = peer.next().await.expect("LOGIN").expect("a frame");
    let login: Value = serde_json::from_slice(&login).expect("JSON");
    let mut ack = login_ack(1, "ann");
    ack["mid"] = login["mid"].clone();
    peer.send(bytes::Bytes::from(ack.to_string())).await.expect("the client is there");
    (peer, login)
}

#[tokio::test(start_paused = true)]
async fn client_runs_in_memory_and_virtual_time() {
    let (sender, mut connections) = mpsc::unbounded_channel();
    let environment = Environment { clock: Arc::new(Fixed), entropy: Arc::new(Fixed), tasks: Tasks::default() };
    let connect: Option<Arc<dyn Connect>> = Some(Arc::new(InMemory(sender)));
    let options = Options { connect, environment, heartbeat: Duration::from_secs(3_600), ..Options::new(["anywhere"]) };
    let connecting = Client::connect(options.login(Credentials::password("ann", "secret")));
    let (connected, (peer, login)) = tokio::join!(connecting, accept(&mut connections));
    let (_client, mut events) = connected.expect("a connection");
    assert_eq!(login["mid"], json!("019b7ca9-8f2e-7000-8000-000000000000"));
    assert!(matches!(events.next().await, Some(Event::LoggedIn(_))));

    let start = Instant::now();
    drop(peer);
    let _second = accept(&mut connections).await;

    // The whole first wait, to the millisecond: no chance took anything off it.
    assert_eq!(start.elapsed().as_millis(), 100);
    assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
}
