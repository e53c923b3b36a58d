//! What a connection does with its requests, one after the other.
//!
//! Chats go on without waiting and are answered when they are committed; any other request, and a relayed chat behind
//! committed ones, is waited for before the next is looked at. So a connection's requests take effect in the order
//! sent.

use super::{Answered, Connection, Outcome};
use crate::failpoint::{self, Failpoint};
use crate::service::{self, Caller, SessionChange, chat};
use crate::session::Session;
use crate::session::pace::{Pace, Verdict};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Chat, Command, Incoming, Kind, MidText, Received, Reply, Request, ServerTime};
use std::sync::Arc;
use std::task::{self, Poll};
use tokio::time::Instant;

impl Connection {
    pub(super) fn handle(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Refused { kind, mid, failure } => {
                let failure =
                    if self.session.is_none() && needs_login(kind) { Errno::NotLoggedIn.into() } else { failure };
                self.reply(kind, mid, Err(failure));
            }
            Incoming::Request(request) => self.handle_request(request),
        }
    }

    fn handle_request(&mut self, Request { mid, claimed_id, command }: Request) {
        let kind = command.kind();
        if let Some(failure) = self.not_permitted(claimed_id, &command) {
            return self.reply(kind, mid, Err(failure));
        }
        match command {
            Command::Chat(chat) => self.chat(kind, mid, chat),
            Command::Received(Received { conv, seq }) => {
                if let (Some(session), Ok(log)) = (&self.session, conv.parse())
                    && session.received(log, seq)
                {
                    self.context.cursor_saver.add(session.clone());
                }
            }
            Command::Ping(_) => {
                let time = self.context.environment.now_ms();
                self.reply(kind, mid, Ok(Reply::Ping(ServerTime { time })));
            }
            Command::Pong(_) => {}
            command => self.begin(kind, mid, command),
        }
    }

    /// Errno 3 before login, errno 7 for somebody else's id.
    fn not_permitted(&self, claimed_id: Option<u64>, command: &Command) -> Option<Failure> {
        match (&self.session, command) {
            (Some(session), _) => claimed_id
                .filter(|id| *id != session.user && !failpoint::hits(Failpoint::IdentityTrust))
                .map(|_| Failure::new(Errno::NotAllowed, "field id: not your own")),
            (None, command) => needs_login(command.kind()).then(|| Errno::NotLoggedIn.into()),
        }
    }

    fn chat(&mut self, kind: Kind, mid: Option<MidText>, chat: Chat) {
        if let Verdict::Refuse(retry) = self.pace.take(self.input_at) {
            return self.reply(kind, mid, Err(Failure::from(Errno::TooFast).retry_after(retry)));
        }
        let Some(session) = &self.session else { return };
        let stored = chat.stored || failpoint::hits(Failpoint::RelayOvertake);
        if !stored && self.outbound.unanswered() > 0 {
            return self.chat_later(session.clone(), mid, chat);
        }
        chat::send(&self.context, session, &self.outbound, mid, chat);
        if !stored && self.outbound.unanswered() > 0 {
            // It takes the long way, on which the next message must not overtake it.
            self.wait_for_answers();
        }
    }

    /// A relayed message must not overtake those that wait for their commit.
    fn chat_later(&mut self, session: Arc<Session>, mid: Option<MidText>, chat: Chat) {
        let (context, outbound) = (self.context.clone(), self.outbound.clone());
        self.in_progress = Some(Box::pin(async move {
            outbound.answered().await;
            chat::send(&context, &session, &outbound, mid, chat);
            outbound.answered().await;
            Outcome::Nothing
        }));
    }

    fn wait_for_answers(&mut self) {
        let outbound = self.outbound.clone();
        self.in_progress = Some(Box::pin(async move {
            outbound.answered().await;
            Outcome::Nothing
        }));
    }

    fn begin(&mut self, kind: Kind, mid: Option<MidText>, command: Command) {
        if let (Some(session), Command::Logout(_)) = (&self.session, &command) {
            self.keep_pace(session);
        }
        let caller = Caller {
            config: self.config.clone(),
            address: self.address,
            outbound: self.outbound.clone(),
            session: self.session.clone(),
        };
        let context = self.context.clone();
        if matches!(command, Command::Logout(_)) {
            // Usually all has arrived with the request, and the session need not wait for the next look.
            self.see_what_arrived();
        }
        self.in_progress = Some(Box::pin(async move {
            // A request takes effect after all chats sent before it.
            caller.outbound.answered().await;
            Outcome::Answered(Answered { kind, mid, answer: service::answer(context, caller, command).await })
        }));
    }

    pub(super) fn poll_in_progress(&mut self, cx: &mut task::Context<'_>) -> bool {
        let Some(in_progress) = &mut self.in_progress else { return false };
        let Poll::Ready(outcome) = in_progress.as_mut().poll(cx) else { return false };
        self.in_progress = None;
        match outcome {
            Outcome::Nothing => {}
            Outcome::Answered(Answered { kind, mid, answer }) => {
                self.reply(kind, mid, answer.result);
                self.session_changed(answer.session);
            }
            Outcome::Left => self.session_changed(SessionChange::Ended),
        }
        true
    }

    pub(super) fn session_changed(&mut self, change: SessionChange) {
        match change {
            SessionChange::Same => {}
            SessionChange::Ended => {
                self.session = None;
                self.outbound.forget_arrivals();
                self.pace = Pace::new(&self.config.limits);
                self.deadlines.logged_out(Instant::now());
                self.arm();
            }
            SessionChange::Began(session) => {
                self.session = Some(session.clone());
                if !session.acknowledges {
                    // They travel inside LOGIN_ACK, the end of what is queued.
                    session.unreceived().into_iter().for_each(|(log, seq)| self.outbound.note(log, seq));
                }
                let spent = self.context.paces.take(session.user);
                self.pace = Pace::resumed(&self.config.limits, spent, Instant::now());
                self.deadlines.logged_in();
                self.arm();
                if let Some(admitted) = self.admitted.take() {
                    admitted();
                }
                self.context.registry.go_live(&session);
            }
        }
    }

    /// Before the session ends, so that the user's next one finds it, however soon it begins.
    pub(super) fn keep_pace(&self, session: &Session) {
        let now = Instant::now();
        self.context.paces.keep(session.user, self.pace.spent(now), now);
    }

    fn reply(&mut self, kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure>) {
        self.outbound.reply_quietly(kind, mid, result);
    }
}

/// Whether a request means nothing before login. RECEIVED is then ignored, as it has no reply.
fn needs_login(kind: Kind) -> bool {
    !matches!(kind, Kind::Unknown | Kind::Login | Kind::Register | Kind::Received | Kind::Ping | Kind::Pong)
}
