//! How a client gets a connection, the first one and those after a loss, login included.

use super::driver::Driver;
use super::error::{Error, Why};
use super::event::Event;
use super::link::Link;
use super::options::{Credentials, MAX_RETRY, Options, Reconnect, STABLE};
use super::raw::RawConnection;
use chat_environment::Environment;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::from_node::{self, FromNode, Reply};
use chat_protocol::message::{Command, Login, LoginAck, Pong, Proof};
use std::future::poll_fn;
use std::time::Duration;
use tokio::time::Instant;

/// How long a reconnect waits at a time for an application that does not take its events.
const APPLICATION_BEHIND: Duration = Duration::from_secs(1);

/// A connection, and the login made on it.
pub(super) struct Established {
    pub link: Link,
    pub login: Option<(Box<Credentials>, Box<LoginAck>)>,
}

/// Connects to the `place`-th address and logs in, with the token first where there is one.
pub(super) async fn establish(
    options: &Options,
    place: usize,
    credentials: Option<Box<Credentials>>,
) -> Result<Established, Error> {
    let mut connection = RawConnection::connect_to(options, place).await?;
    let login = match credentials {
        None => None,
        Some(credentials) => {
            let ack = log_in(&mut connection, options, &credentials).await?;
            Some((credentials, ack))
        }
    };
    Ok(Established { link: Link::new(connection.stream, connection.partial), login })
}

async fn log_in(
    connection: &mut RawConnection,
    options: &Options,
    credentials: &Credentials,
) -> Result<Box<LoginAck>, Error> {
    let first = credentials.proof()?;
    let by_token = matches!(first, Proof::Token(_));
    match (log_in_with(connection, options, credentials, first).await, &credentials.password) {
        (Err(Error::Refused(Failure { errno: Errno::WrongCredentials, .. })), Some(password)) if by_token => {
            log_in_with(connection, options, credentials, Proof::Password(password.clone())).await
        }
        (result, _) => result,
    }
}

async fn log_in_with(
    connection: &mut RawConnection,
    options: &Options,
    credentials: &Credentials,
    proof: Proof,
) -> Result<Box<LoginAck>, Error> {
    let mid = options.environment.uuid();
    let mut frame = Vec::new();
    credentials.login(proof, options.news).write(Some(mid), &mut frame);
    connection.send_bytes(&frame).await?;
    loop {
        let frame = connection.next_frame().await?;
        match from_node::parse(&frame).map_err(Error::Protocol)? {
            FromNode::Reply { mid: Some(reply), result } if reply == mid => match result {
                Ok(Reply::Login(ack)) => return Ok(ack),
                Ok(_) => return Err(Error::Protocol("LOGIN got another request's reply".into())),
                Err(failure) => return Err(Error::Refused(failure)),
            },
            FromNode::Notice(failure) => return Err(Error::Disconnected(Why::Notice(failure))),
            FromNode::Ping => {
                let mut pong = Vec::new();
                Command::Pong(Pong {}).write(None, &mut pong);
                connection.send_bytes(&pong).await?;
            }
            _ => {}
        }
    }
}

impl Credentials {
    /// What is tried first. Errors: as a node would refuse a login that proves nothing.
    pub(super) fn proof(&self) -> Result<Proof, Error> {
        let token = self.token.clone().map(Proof::Token);
        let proof = token.or_else(|| self.password.clone().map(Proof::Password));
        proof.ok_or_else(|| Error::Refused(Proof::missing()))
    }

    /// LOGIN as this client says it.
    pub(super) fn login(&self, proof: Proof, events: bool) -> Command {
        let (who, takeover) = (self.who.clone(), self.takeover);
        Command::Login(Login { who, proof, takeover, events, acknowledges: true })
    }
}

/// Whether trying again by itself is the client's business after this end.
fn is_worth_another_try(why: &Why) -> bool {
    match why {
        Why::Ended | Why::Refused(_) => false,
        // Somebody wants this session to be over.
        Why::Notice(Failure { errno, .. }) => {
            !matches!(errno, Errno::Replaced | Errno::EndedByOperator | Errno::AccountDisabled)
        }
        _ => true,
    }
}

/// What a failed try means: `Ok` to wait that long (`None`: as the backoff says) and try again, `Err` to end.
fn after_failure(error: Error) -> Result<Option<Duration>, Why> {
    match error {
        Error::Refused(failure) if failure.errno.is_retryable() || failure.retry.is_some() => {
            Ok(failure.retry.map(|wait| wait.min(MAX_RETRY)))
        }
        Error::Refused(failure) => Err(Why::Refused(failure)),
        Error::Disconnected(why) if !is_worth_another_try(&why) => Err(why),
        _ => Ok(None),
    }
}

/// The wait before the `tries`-th try in a row (from 0): doubling, with up to half taken off at random, so that a
/// node's clients do not all come back at once.
fn backoff(policy: &Reconnect, tries: u32, environment: &Environment) -> Duration {
    let full = policy.first.saturating_mul(1 << tries.min(20)).min(policy.most);
    full - environment.part_of(full / 2)
}

impl Driver {
    /// Makes a new connection, as the options allow. Errors: why the client must end.
    pub(super) async fn reconnect(&mut self, why: Why) -> Result<Link, Why> {
        let policy = self.options.reconnect.filter(|_| is_worth_another_try(&why)).ok_or_else(|| why.clone())?;
        let mut wait = match &why {
            Why::Notice(failure) => failure.retry.map(|wait| wait.min(MAX_RETRY)),
            _ => None,
        };
        let mut failed = 0;
        while policy.tries.is_none_or(|tries| failed < tries) {
            let after = wait.unwrap_or_else(|| backoff(&policy, self.tries, &self.options.environment));
            self.tries = self.tries.saturating_add(1);
            self.place = self.place.wrapping_add(1);
            self.announce(Event::Reconnecting { after });
            match self.try_after(after).await.ok_or(Why::Ended)? {
                Ok(established) => return Ok(self.resume(established)),
                Err(error) => wait = after_failure(error)?,
            }
            failed += 1;
        }
        Err(Why::GaveUp)
    }

    /// `None`: the application wants the client to end.
    async fn try_after(&mut self, wait: Duration) -> Option<Result<Established, Error>> {
        let (options, place) = (self.options.clone(), self.place);
        let credentials = self.identity.clone().map(|mut credentials| {
            credentials.takeover = true;
            credentials
        });
        let shared = self.shared.clone();
        let attempt = Box::pin(async move {
            tokio::time::sleep(wait).await;
            while shared.event_room() == 0 {
                // Each connection brings more events; whoever takes none needs no connection.
                tokio::time::sleep(APPLICATION_BEHIND).await;
            }
            establish(&options, place, credentials).await
        });
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_offline(cx)) => None,
            result = attempt => Some(result),
        }
    }

    /// Goes on with a new connection.
    fn resume(&mut self, established: Established) -> Link {
        self.announce(Event::Reconnected);
        self.begin(established)
    }

    /// Takes over a connection that was just made.
    pub(super) fn begin(&mut self, established: Established) -> Link {
        self.connected_at = Instant::now();
        if let Some((credentials, ack)) = established.login {
            self.logged_in(credentials, &ack);
            self.shared.push_events([Event::LoggedIn(ack)]);
        }
        established.link
    }

    /// Resets the backoff if the lost connection was a good one.
    pub(super) fn note_loss(&mut self) {
        if self.connected_at.elapsed() >= STABLE {
            self.tries = 0;
        }
    }

    /// News of the connection, left out while the application is far behind: it could do nothing with them.
    fn announce(&self, event: Event) {
        if self.shared.event_room() > 0 {
            self.shared.push_events([event]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_within_its_bounds() {
        let policy = Reconnect { first: Duration::from_millis(100), most: Duration::from_secs(1), tries: None };
        for (tries, full_ms) in [(0, 100), (1, 200), (3, 800), (4, 1_000), (u32::MAX, 1_000)] {
            let wait = backoff(&policy, tries, &Environment::default());
            let full = Duration::from_millis(full_ms);
            assert!(wait <= full && wait >= full / 2, "{tries}: {wait:?}");
        }
    }

    #[test]
    fn only_some_failures_are_tried_again() {
        let soon = Duration::from_millis(20);
        let refused = |errno: Errno| Error::Refused(errno.into());
        let check = |error: Error, expected: Result<Option<Duration>, ()>| {
            assert_eq!(after_failure(error.clone()).map_err(|_| ()), expected, "{error:?}");
        };
        check(refused(Errno::Unavailable), Ok(None));
        check(Error::Refused(Failure::from(Errno::LoggedIn).retry_after(soon)), Ok(Some(soon)));
        check(Error::Refused(Failure::from(Errno::Unavailable).retry_after(Duration::MAX)), Ok(Some(MAX_RETRY)));
        check(refused(Errno::WrongCredentials), Err(()));
        for errno in [Errno::Replaced, Errno::EndedByOperator, Errno::AccountDisabled] {
            check(Error::Disconnected(Why::Notice(errno.into())), Err(()));
        }
        check(refused(Errno::AccountDisabled), Err(()));
        check(Error::Disconnected(Why::Notice(Errno::Draining.into())), Ok(None));
        check(Error::TimedOut, Ok(None));
    }
}
