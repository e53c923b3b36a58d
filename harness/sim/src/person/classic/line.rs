//! A classic client's connection once it is logged in: what it sends, and the history of what comes.

use super::wire::{Reader, Said};
use crate::coverage;
use crate::record::Record;
use chat_client::{Error, RawConnection, Why};
use judge::history::{Event, Who};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Dropped, it closes the connection.
pub struct Line {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
}

impl Line {
    pub fn start(connection: RawConnection, reader: Reader, who: Who, record: Arc<Record>) -> Line {
        let (outgoing, sent) = mpsc::unbounded_channel();
        // It belongs to the world and not to the client: what was told is written down.
        tokio::spawn(talk(connection, reader, sent, who, record));
        Line { outgoing }
    }

    /// Queues what there are few of: as many as a schedule has steps.
    pub fn send(&self, bytes: Vec<u8>) {
        // Where the line is closed it is lost, as anything may be.
        let _ = self.outgoing.send(bytes);
    }

    pub fn is_open(&self) -> bool {
        !self.outgoing.is_closed()
    }
}

async fn talk(
    mut connection: RawConnection,
    mut reader: Reader,
    mut sent: mpsc::UnboundedReceiver<Vec<u8>>,
    who: Who,
    record: Arc<Record>,
) {
    let why = loop {
        let talked = tokio::select! {
            biased;
            bytes = sent.recv() => match bytes {
                Some(bytes) => connection.send_bytes(&bytes).await,
                None => break Why::Ended,
            },
            bytes = connection.next_bytes() => bytes.and_then(|bytes| {
                if bytes.is_empty() {
                    return Err(Error::Disconnected(Why::Closed));
                }
                reader.take(&bytes)?.into_iter().for_each(|said| see(said, who, &record));
                Ok(())
            }),
        };
        match talked {
            // Silence is no end.
            Ok(()) | Err(Error::TimedOut) => {}
            Err(Error::Disconnected(why)) => break why,
            Err(error) => break Why::Protocol(error.to_string()),
        }
    };
    let Who { user, session } = who;
    record.note(Event::End { user, session, why: why.to_string() });
}

pub(super) fn see(said: Said, who: Who, record: &Record) {
    match said {
        // A line from the node itself.
        Said::Chat(line) if line.from == 0 => record.reach(coverage::CLASSIC_REFUSED),
        Said::Chat(line) => record.sees_line(who, line.from, &line.text),
        _ => {}
    }
}
