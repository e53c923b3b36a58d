//! One end of a link, as a client or a node holds it.

use super::link::{CLIENT, Link, Way};
use bytes::Bytes;
use chat::net::entrance::Channel;
use parking_lot::Mutex;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// One write in so many is cut.
const CUT_ONCE_IN: u64 = 3;

pub(super) struct End {
    link: Arc<Link>,
    side: usize,
    timer: Pin<Box<Sleep>>,
}

impl End {
    pub(super) fn new(link: Arc<Link>, side: usize) -> Self {
        End { link, side, timer: Box::pin(tokio::time::sleep_until(Instant::now())) }
    }

    fn outgoing(&self) -> &Mutex<Way> {
        &self.link.ways[self.side]
    }

    fn incoming(&self) -> &Mutex<Way> {
        &self.link.ways[1 - self.side]
    }

    /// Ends our direction.
    fn finish(&self) {
        let mut way = self.outgoing().lock();
        if way.ends.is_none() && !self.has_lost(&way) {
            let at = self.link.arrival(&mut way);
            way.ends = Some(at);
            if let Some(reader) = way.reader.take() {
                reader.wake();
            }
        }
    }

    /// Whether this side's machine is gone.
    fn has_lost(&self, way: &Way) -> bool {
        way.is_lost && self.side == CLIENT
    }

    /// Reads some of what is due; 0 bytes at the end of the stream.
    fn read_due(&self, way: &mut Way, buffer: &mut ReadBuf<'_>) -> usize {
        let now = Instant::now();
        let before = buffer.filled().len();
        while let Some((at, piece)) = way.flying.front_mut() {
            // The first is due; whether more is read with it is for chance to say.
            let is_first = buffer.filled().len() == before;
            if buffer.remaining() == 0 || (!is_first && (*at > now || self.link.chance.once_in(2))) {
                break;
            }
            let take = buffer.remaining().min(piece.len());
            let read = piece.split_to(take);
            buffer.put_slice(&read);
            if piece.is_empty() {
                way.flying.pop_front();
            }
        }
        let read = buffer.filled().len() - before;
        way.bytes -= read;
        read
    }
}

fn reset_error() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut way = self.incoming().lock();
            if way.is_reset || self.has_lost(&way) {
                return Poll::Ready(Err(reset_error()));
            }
            // What nobody can send any more does not come, and neither does its end.
            let due = if way.is_lost { None } else { self.link.due(&way, 1 - self.side) };
            let Some(due) = due else {
                way.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if due <= Instant::now() {
                let before = buffer.filled().len();
                let read = self.read_due(&mut way, buffer);
                let hash = judge::history::body(&String::from_utf8_lossy(&buffer.filled()[before..]));
                self.link.trace.note("read", format_args!("{} {} {read} {hash:x}", self.link.number, self.side));
                if let Some(writer) = way.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            way.reader = Some(cx.waker().clone());
            drop(way);
            self.timer.as_mut().reset(due);
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.outgoing().lock();
        if way.is_reset || self.has_lost(&way) {
            return Poll::Ready(Err(reset_error()));
        }
        if self.link.breaks() {
            drop(way);
            self.link.reset();
            return Poll::Ready(Err(reset_error()));
        }
        if way.is_deaf || way.ends.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = self.link.capacity(self.side).saturating_sub(way.bytes).min(bytes.len());
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let is_cut = room > 1 && self.link.chance.once_in(CUT_ONCE_IN);
        let written = if is_cut { 1 + self.link.chance.below(room as u64 - 1) as usize } else { room };
        let at = self.link.arrival(&mut way);
        way.flying.push_back((at, Bytes::copy_from_slice(&bytes[..written])));
        way.bytes += written;
        if let Some(reader) = way.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Channel for End {
    fn unacknowledged(&self) -> Option<u64> {
        Some(self.outgoing().lock().bytes as u64)
    }

    fn failure(&self) -> Option<io::Error> {
        self.incoming().lock().is_reset.then(reset_error)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.finish();
        let mut way = self.incoming().lock();
        way.is_deaf = !self.has_lost(&way);
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
    }
}
