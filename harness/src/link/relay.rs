//! One connection through a proxy: both directions, as good as the link is at the moment.

use super::trouble::Quality;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The most that is read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way in one direction; beyond it the sender is not read, as with a full window.
const CHUNKS: usize = 64;
/// A thin link passes at most this part of a second's bytes at once.
pub(super) const SLICES_PER_SECOND: u64 = 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Until both directions have ended, or all connections are reset.
pub(super) async fn relay(
    mut client: TcpStream,
    target: SocketAddr,
    quality: watch::Receiver<Quality>,
    mut resets: watch::Receiver<u64>,
) {
    let Some(mut server) = connect(target).await else {
        // Refused there is refused here.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Borrowed halves: owned ones end their direction in good order when dropped, which must not come before a reset.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let forth = pass(from_client, to_server, quality.clone());
    let back = pass(from_server, to_client, quality);
    let both = async { tokio::join!(forth, back) };
    tokio::select! {
        _ = both => {}
        // Lingering for no time makes a reset of the close that follows.
        _ = resets.changed() => {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
    }
}

async fn connect(target: SocketAddr) -> Option<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    timeout(CONNECT_WITHIN, socket.connect(target)).await.ok()?.ok()
}

/// One direction, until its sender ends or its receiver is gone.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, quality: watch::Receiver<Quality>) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let reading = async {
        let mut quality = quality.clone();
        loop {
            let _ = quality.wait_for(|quality| !quality.is_silent()).await;
            let (latency, rate) = {
                let now = quality.borrow();
                (now.latency(), now.bytes_per_second())
            };
            let most = rate.map_or(CHUNK_BYTES, |rate| CHUNK_BYTES.min((rate / SLICES_PER_SECOND) as usize));
            let mut chunk = vec![0; most.max(1)];
            match from.read(&mut chunk).await {
                Ok(length) if length > 0 => chunk.truncate(length),
                _ => break,
            }
            if sender.send((Instant::now() + latency, chunk)).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let writing = async {
        let mut quality = quality.clone();
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            let _ = quality.wait_for(|quality| !quality.is_silent()).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
            let rate = quality.borrow().bytes_per_second();
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(chunk.len() as f64 / rate as f64)).await;
            }
        }
        // The end passes like the bytes before it.
        let _ = quality.wait_for(|quality| !quality.is_silent()).await;
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
