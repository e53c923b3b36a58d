//! Connecting and logging in, bounded in time, with a name for every way it can fail.

use super::run::Run;
use super::state::User;
use crate::dialect::{Incoming, Login, Refusal, Welcome, shown_login};
use crate::link::{self, Link};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;

/// The password of every account that a load generator makes.
pub const PASSWORD: &str = "load-generator";

/// A connection with a session on it, and bytes that came after the welcome.
pub(super) struct Established {
    pub link: Link,
    pub rest: Vec<u8>,
    pub welcome: Box<Welcome>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Connect(String),
    #[error("login: no answer within the time allowed")]
    TimedOut,
    #[error("login: refused: {0}")]
    Refused(Refusal),
    #[error("login: closed before an answer")]
    Closed,
    #[error("login: {0}")]
    Io(String),
    #[error("login: not the expected protocol: {0}")]
    Protocol(String),
}

/// One try.
pub(super) async fn establish(user: &User, run: &Run) -> Result<Established, Error> {
    let token = user.token.lock().clone();
    match tokio::time::timeout(run.plan.connect_timeout(), try_once(user, run, token.as_deref())).await {
        Ok(Err(Error::Refused(refusal))) if token.is_some() && !refusal.retryable => {
            // A token that no longer holds; the password still does.
            *user.token.lock() = None;
            Err(Error::Refused(refusal))
        }
        Ok(result) => result,
        Err(_) => Err(Error::TimedOut),
    }
}

/// What is said to log in, for a person: without what opens the account.
pub(super) fn shown(user: &User, run: &Run) -> String {
    let token = user.token.lock().clone();
    shown_login(run.wire.as_ref(), login_of(user, token.as_deref()))
}

fn login_of<'a>(user: &'a User, token: Option<&'a str>) -> Login<'a> {
    let id = Some(user.id()).filter(|id| *id > 0);
    Login { id, name: &user.name, password: PASSWORD, token, takeover: true }
}

async fn try_once(user: &User, run: &Run, token: Option<&str>) -> Result<Established, Error> {
    let mut link = run.dialer.connect(user.index).await.map_err(|error| Error::Connect(kind_of(&error)))?;
    let mut out = Vec::new();
    run.wire.login(login_of(user, token), &mut out);
    poll_fn(|cx| link.poll_write_all(cx, &mut out)).await.map_err(|error| Error::Io(describe(&error)))?;
    let mut input = Vec::new();
    loop {
        if let Some((payload, end)) = run.wire.split(&input).map_err(Error::Protocol)? {
            let answer = match run.wire.read(&input[payload]).map_err(Error::Protocol)? {
                Incoming::Welcome(welcome) => Some(Ok(welcome)),
                Incoming::LoginRefused(refusal) | Incoming::Notice(refusal) => Some(Err(Error::Refused(refusal))),
                _ => None,
            };
            link::discard_front(&mut input, end);
            if let Some(answer) = answer {
                user.groups.lock().clear();
                return answer.map(|welcome| Established { link, rest: input, welcome });
            }
            continue;
        }
        let read = poll_fn(|cx| link.poll_read(cx, |bytes| input.extend_from_slice(bytes))).await;
        match read {
            Ok(Some(())) => {}
            Ok(None) => return Err(Error::Closed),
            Err(error) => return Err(Error::Io(describe(&error))),
        }
    }
}

impl User {
    /// Takes over what the welcome says.
    pub(super) fn welcomed(&self, run: &Run, welcome: &Welcome) {
        // Not every server says it; then it is known from registering.
        if welcome.id > 0 {
            self.id.store(welcome.id, Ordering::Relaxed);
        }
        if let Some(token) = &welcome.token {
            *self.token.lock() = Some(token.as_str().into());
        }
        if let Some(node) = welcome.node.clone().or_else(|| run.dialer.only_node(self.index)) {
            self.node.store(run.node(&node), Ordering::Relaxed);
        }
        let ours = welcome.groups.iter().filter(|(name, _)| name.starts_with(&run.plan.prefix));
        *self.groups.lock() = ours.cloned().collect();
    }
}

fn kind_of(error: &link::Error) -> String {
    match error {
        link::Error::Connect(error) => format!("connect: {}", describe(error)),
        link::Error::Handshake(error) => format!("tls: {error}"),
        other => other.to_string(),
    }
}

/// An error without numbers that differ from case to case, so that equal ones count together.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}
