//! The driver that only counts: a task for each user, which sends a message for each that was acknowledged.

use crate::bare::ACK;
use crate::wire::Relayed;
use anyhow::{Result, ensure};
use loadgen::plan::Plan;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const READ_BYTES: usize = 64 * 1024;

/// Keeps the plan's window full for its duration; returns how many messages arrived a second.
pub async fn run(relay: SocketAddr, plan: &Plan, relayed: &Relayed) -> Result<f64> {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut users = JoinSet::new();
    let mut connections = Vec::new();
    for user in 0..plan.users {
        let mut socket = TcpStream::connect(relay).await?;
        socket.set_nodelay(true)?;
        let mut greeting = Vec::new();
        relayed.greet(user, &mut greeting);
        socket.write_all(&greeting).await?;
        socket.read_exact(&mut [0; ACK.len()]).await?;
        connections.push((socket, relayed.message(plan, user)));
    }
    let began = Instant::now();
    for (socket, frame) in connections {
        users.spawn(chat(socket, frame, plan.window.unwrap_or(1) as usize, delivered.clone()));
    }
    tokio::select! {
        () = tokio::time::sleep(plan.duration()) => {}
        Some(ended) = users.join_next() => ended??,
    }
    Ok(delivered.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

async fn chat(mut socket: TcpStream, frame: Vec<u8>, window: usize, delivered: Arc<AtomicU64>) -> Result<()> {
    let mut input = vec![0; READ_BYTES];
    let mut output = frame.repeat(window);
    let mut kept = 0;
    loop {
        socket.write_all(&output).await?;
        output.clear();
        let read = socket.read(&mut input[kept..]).await?;
        ensure!(read > 0, "the relay closed the connection");
        let (mut at, end) = (0, kept + read);
        let mut arrived = 0;
        while let Some(header) = input[at..end].first_chunk::<4>() {
            let next = at + header.len() + u32::from_be_bytes(*header) as usize;
            if next > end {
                break;
            }
            // An acknowledgement is the only kind of frame that has its length.
            match next - at == ACK.len() {
                true => output.extend_from_slice(&frame),
                false => arrived += 1,
            }
            at = next;
        }
        delivered.fetch_add(arrived, Ordering::Relaxed);
        input.copy_within(at..end, 0);
        kept = end - at;
    }
}
