//! How a client's task parts with a connection, and with its application.

use super::driver::Driver;
use super::error::{Error, Why};
use super::event::Event;
use super::link::Link;
use super::options::CLOSE_TIMEOUT;
use super::shared::{Queued, Wish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

impl Driver {
    /// Ends what cannot outlive a connection, and says so.
    pub(super) fn lost(&mut self, why: &Why) {
        self.note_loss();
        self.tell_at = None;
        self.shared.lock().session = None;
        for request in std::mem::take(&mut self.requests) {
            self.answer(request.waiter, Err(Error::Disconnected(why.clone())));
        }
        for message in self.outbox.disconnected(self.options.max_tries) {
            self.settle(message, Err(Error::Disconnected(why.clone())), Instant::now());
        }
        self.staged.push(Event::Disconnected { why: why.clone() });
        self.hand_over();
    }

    /// Tells the node what was received, ends sending, and waits briefly for the node to end its own.
    pub(super) async fn close(&mut self, link: &mut Link) {
        if self.shared.lock().wish == Wish::Abort {
            return;
        }
        let now = Instant::now();
        let queued = std::mem::take(&mut self.shared.lock().queued);
        for queued in queued {
            self.take_queued(link, queued, now);
        }
        self.pump(link, now);
        self.tell(link, now, true);
        let goodbye = async {
            link.stream.write_all(&link.out[link.written..]).await?;
            link.stream.shutdown().await?;
            // Closing with bytes unread would reset the connection and could destroy what was just written.
            let mut discarded = [0; 1_024];
            while link.stream.read(&mut discarded).await? > 0 {}
            std::io::Result::Ok(())
        };
        // However it ends, there is nobody left to tell.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    pub(super) fn finish(&mut self, why: Why) {
        let now = Instant::now();
        for request in std::mem::take(&mut self.requests) {
            self.answer(request.waiter, Err(Error::Disconnected(why.clone())));
        }
        for queued in self.shared.stop() {
            match queued {
                Queued::Chat(message) => self.outbox.push(message),
                Queued::Request(ask) => self.answer(ask.waiter, Err(Error::Disconnected(why.clone()))),
            }
        }
        for message in self.outbox.drain() {
            self.settle(message, Err(Error::Disconnected(why.clone())), now);
        }
        self.hand_over();
        self.shared.ended(why);
    }
}
