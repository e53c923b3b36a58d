//! A user's task: connects when wished to, then reads, answers and checks all that arrives until the session ends.

mod batch;
mod ending;
mod events;
mod incoming;

use super::establish::{self, Established};
use super::run::Run;
use super::state::{User, Wish};
use crate::dialect::{Ask, Incoming, Refusal, message_of};
use crate::link::Link;
use crate::measure::LatencyKind;
use crate::measure::ledger::Visit;
use batch::{Batch, Message};
use incoming::Cursor;
use judge::history::{Event, IN_DOUBT, Who};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

/// Between two tries to log in: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long logging out may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Runs a user until it is [`Wish::Gone`].
pub async fn live(user: Arc<User>, run: Arc<Run>) {
    let mut visit = Visit::default();
    let mut wait = BACKOFF.0;
    loop {
        match user.wished() {
            Wish::Gone => return,
            Wish::Away => wish_changes(&user, Wish::Away).await,
            Wish::Online => match Box::pin(establish::establish(&user, &run)).await {
                Ok(established) => {
                    (wait, visit.session) = (BACKOFF.0, visit.session + 1);
                    let session = Session::begin(&user, &run, established, visit);
                    visit.settled += u32::from(session.run().await);
                    // A connection that broke is wished back from this moment on.
                    user.wished_at.store(run.clock.now(), Ordering::Release);
                }
                Err(error) => {
                    run.login_failed(&error.to_string(), || establish::shown(&user, &run));
                    run.error(error.to_string());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
                        () = wish_changes(&user, Wish::Online) => {}
                    }
                }
            },
        }
    }
}

async fn wish_changes(user: &User, from: Wish) {
    poll_fn(|cx| {
        user.waker.register(cx.waker());
        if user.wished() == from { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Why a session ended.
enum End {
    Wished,
    Broken,
    Closed,
    Io(String),
    Protocol(String),
    Notice(Refusal),
}

/// How the end went of a session that this side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// The server ended it as well.
    Confirmed,
    /// It said nothing within the time allowed.
    Unanswered,
    /// The connection broke before.
    Broken,
}

struct Session<'a> {
    user: &'a User,
    run: &'a Run,
    /// Taken out only while it is read.
    link: Option<Link>,
    partial: Vec<u8>,
    visit: Visit,
    /// When the login was due.
    due: u64,
    /// Messages that waited at login and have not come yet, and the server's time of the login.
    waiting: u64,
    welcomed_at: i64,
    /// Messages that came with the welcome.
    backlog: Vec<String>,
    cursors: Vec<Cursor>,
}

impl<'a> Session<'a> {
    fn begin(user: &'a User, run: &'a Run, established: Established, visit: Visit) -> Session<'a> {
        let Established { link, rest, mut welcome } = established;
        let due = user.wished_at.load(Ordering::Acquire);
        user.welcomed(run, &welcome);
        if !run.is_closing() {
            run.logins.fetch_add(1, Ordering::Relaxed);
            run.record(user, LatencyKind::Login, run.clock.now().saturating_sub(due));
        }
        run.note(|| Event::Login {
            user: welcome.id,
            session: visit.session,
            node: welcome.node.clone(),
            waiting: welcome.waiting,
        });
        run.came_online(user, visit.session, link.direct());
        Session {
            user,
            run,
            link: Some(link),
            partial: rest,
            visit,
            due,
            waiting: welcome.waiting,
            welcomed_at: welcome.time,
            backlog: std::mem::take(&mut welcome.messages),
            cursors: Vec::new(),
        }
    }

    fn who(&self) -> Who {
        Who { user: self.user.id(), session: self.visit.session }
    }

    /// Serves until the end; true if it came in good order, so that the server knows what arrived.
    async fn run(mut self) -> bool {
        let mut fresh = !self.partial.is_empty() || !self.backlog.is_empty();
        let end = poll_fn(|cx| match self.turn(cx, std::mem::take(&mut fresh)) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        })
        .await;
        let parting = Box::pin(self.part(&end)).await;
        self.run.went_offline(self.user);
        let why = match end {
            End::Wished if parting == Parting::Confirmed => judge::history::LEFT.to_owned(),
            End::Wished | End::Broken if parting == Parting::Broken => {
                format!("{IN_DOUBT}: broken while logging out")
            }
            End::Wished => "logout unanswered".to_owned(),
            End::Broken => "broken off".to_owned(),
            End::Closed => format!("{IN_DOUBT}: closed by the server"),
            End::Io(text) => format!("{IN_DOUBT}: {text}"),
            End::Protocol(text) => format!("{IN_DOUBT}: not the expected protocol: {text}"),
            End::Notice(refusal) => format!("{IN_DOUBT}: notice: {refusal}"),
        };
        self.run.note(|| Event::End { user: self.user.id(), session: self.visit.session, why: why.clone() });
        let is_in_doubt = why.starts_with(IN_DOUBT);
        if is_in_doubt {
            self.run.error(why);
        }
        !is_in_doubt
    }

    /// Does all that can be done now; wakers are set for what can come next.
    fn turn(&mut self, cx: &mut Context<'_>, fresh: bool) -> Result<(), End> {
        self.user.waker.register(cx.waker());
        if fresh {
            self.read_backlog()?;
            self.handle(&[])?;
        }
        loop {
            if self.user.broken.swap(false, Ordering::AcqRel) {
                return Err(End::Broken);
            }
            if self.user.wished() != Wish::Online {
                return Err(End::Wished);
            }
            if self.user.tell.swap(false, Ordering::AcqRel) {
                self.tell();
            }
            if self.read_and_write(cx)?.is_pending() {
                return Ok(());
            }
        }
    }

    /// What waited and came with the welcome; there it is all at once.
    fn read_backlog(&mut self) -> Result<(), End> {
        let backlog = std::mem::take(&mut self.backlog);
        self.with_batch(|session, batch| {
            backlog.iter().try_for_each(|message| session.read_payload(message.as_bytes(), batch))
        })?;
        if !backlog.is_empty() && !self.run.is_closing() {
            let micros = self.run.clock.now().saturating_sub(self.due);
            self.run.record(self.user, LatencyKind::Drained, micros);
        }
        Ok(())
    }

    /// Ready: something was read, and there may be more.
    fn read_and_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        self.write(cx)?;
        if self.user.paused.load(Ordering::Acquire) {
            return Ok(Poll::Pending);
        }
        let mut link = self.link.take().ok_or(End::Closed)?;
        let read = link.poll_read(cx, |bytes| self.handle(bytes));
        self.link = Some(link);
        match read {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(Some(handled))) => handled.map(Poll::Ready),
            Poll::Ready(Ok(None)) => Err(End::Closed),
            Poll::Ready(Err(error)) => Err(End::Io(establish::describe(&error))),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Some(link) = &mut self.link else { return Err(End::Closed) };
        let mut outbox = self.user.outbox.lock();
        if outbox.bytes.is_empty() {
            outbox.blocked = false;
            return Ok(());
        }
        match link.poll_write_all(cx, &mut outbox.bytes) {
            Poll::Ready(Ok(())) => outbox.blocked = false,
            Poll::Ready(Err(error)) => return Err(End::Io(establish::describe(&error))),
            Poll::Pending => outbox.blocked = true,
        }
        Ok(())
    }

    /// Handles the whole frames of what is kept and `bytes`; keeps the rest.
    fn handle(&mut self, bytes: &[u8]) -> Result<(), End> {
        let joined;
        let mut rest = bytes;
        if !self.partial.is_empty() {
            let mut all = std::mem::take(&mut self.partial);
            all.extend_from_slice(bytes);
            joined = all;
            rest = &joined;
        }
        let rest = self.with_batch(|session, batch| {
            let mut rest = rest;
            while let Some((payload, end)) = session.run.wire.split(rest).map_err(End::Protocol)? {
                session.read_payload(&rest[payload], batch)?;
                rest = &rest[end..];
            }
            Ok(rest)
        })?;
        self.partial = rest.to_vec();
        Ok(())
    }

    fn read_payload(&mut self, payload: &[u8], batch: &mut Batch) -> Result<(), End> {
        match self.run.wire.read(payload) {
            Err(text) => return Err(End::Protocol(text)),
            Ok(Incoming::Push(push)) => self.on_push(&push, batch),
            Ok(Incoming::Settled { mid, place, result }) => {
                if let Some((stream, number)) = mid.and_then(|mid| message_of(self.run.id, mid)) {
                    self.on_settled(Message { stream, number }, place, result, batch);
                } else if mid.is_none() {
                    // Nobody can tell which message it was; one that was refused will be found missing.
                    match result {
                        Ok(()) => self.run.ledger.acknowledged_unnamed(),
                        Err(refusal) => self.run.error(format!("send: refused: {refusal}")),
                    }
                }
            }
            Ok(Incoming::Answer { mid, result }) => self.user.answered(mid, result),
            Ok(Incoming::Ping) => self.run.wire.pong(&mut self.user.outbox.lock().bytes),
            Ok(Incoming::Notice(refusal)) => return Err(End::Notice(refusal)),
            Ok(Incoming::Welcome(_) | Incoming::LoginRefused(_) | Incoming::Other) => {}
        }
        Ok(())
    }

    /// Says what has been received.
    fn tell(&mut self) {
        let mut outbox = self.user.outbox.lock();
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.seq > cursor.told) {
            cursor.told = cursor.seq;
            self.run.wire.received(&cursor.conv, cursor.seq, &mut outbox.bytes);
            let (user, session, conv, seq) = (self.user.id(), self.visit.session, cursor.conv.clone(), cursor.seq);
            self.run.note(|| Event::Received { user, session, conv: conv.into(), seq });
        }
    }

    /// Logs out; what is pushed meanwhile still counts as arrived, but is not said to be received: behind LOGOUT that
    /// counts for no session, and comes again in the next.
    async fn leave(&mut self) -> Parting {
        self.tell();
        let mut left = self.run.ask(self.user, Ask::Logout);
        let leaving = poll_fn(|cx| {
            loop {
                if Pin::new(&mut left).poll(cx).is_ready() {
                    return Poll::Ready(Parting::Confirmed);
                }
                self.user.paused.store(false, Ordering::Release);
                match self.read_and_write(cx) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) => return Poll::Pending,
                    Err(_) => return Poll::Ready(Parting::Broken),
                }
            }
        });
        let left = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
        if left.is_err() {
            self.run.error("logout: no answer within the time allowed");
        }
        left.unwrap_or(Parting::Unanswered)
    }
}
