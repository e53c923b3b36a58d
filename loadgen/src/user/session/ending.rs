//! How a session ends that this side ends: with a logout that is answered, or, in the classic dialects, by hanging up
//! such that nothing is lost on the way.

use super::{End, LEAVE_TIMEOUT, Parting, Session};
use crate::dialect::Ask;
use crate::user::state::UNANSWERED_PAUSE;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};

impl Session<'_> {
    /// Ends the session as `end` has it.
    pub(super) async fn part(&mut self, end: &End) -> Parting {
        let logout = matches!(end, End::Wished);
        let is_ours = logout || matches!(end, End::Broken);
        match is_ours && !self.run.wire.answers(&Ask::Logout) {
            true => self.hang_up(logout).await,
            false if logout => self.leave().await,
            // Dropped as it stands.
            false => Parting::Unanswered,
        }
    }

    /// Ends a session whose end the server does not confirm: says no more, and reads on until the server closes as
    /// well. What it sent before counts; closing at once would destroy that unseen, and the loss would be ours.
    async fn hang_up(&mut self, logout: bool) -> Parting {
        self.run.withdraw(self.user);
        if logout {
            // What was said last must not reach the server in one piece with the logout.
            if let Ok(closed) = tokio::time::timeout(UNANSWERED_PAUSE, self.read_to_end(false)).await {
                return closed;
            }
            self.run.say_goodbye(self.user);
        }
        let closed = tokio::time::timeout(LEAVE_TIMEOUT, self.read_to_end(true)).await;
        if closed.is_err() {
            self.run.error("hanging up: the server did not close within the time allowed");
        }
        closed.unwrap_or(Parting::Unanswered)
    }

    /// Reads until the connection ends, and with `shut` says that nothing more will come once all is written. Confirmed
    /// if the server closed in good order.
    async fn read_to_end(&mut self, shut: bool) -> Parting {
        let mut is_shut = !shut;
        poll_fn(|cx| {
            loop {
                self.user.paused.store(false, Ordering::Release);
                match self.read_and_write(cx) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) if is_shut || !self.user.has_written_all() => return Poll::Pending,
                    Ok(Poll::Pending) => {
                        let Some(link) = &mut self.link else { return Poll::Ready(Parting::Broken) };
                        is_shut = ready!(link.poll_shutdown(cx)).is_ok();
                        if !is_shut {
                            return Poll::Ready(Parting::Broken);
                        }
                    }
                    Err(End::Closed) => return Poll::Ready(Parting::Confirmed),
                    Err(_) => return Poll::Ready(Parting::Broken),
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Framed, Welcome, Wire};
    use crate::link::Dialer;
    use crate::measure::ledger::Visit;
    use crate::plan::Plan;
    use crate::user::establish::Established;
    use crate::user::run::Run;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn next(server: &mut TcpStream) -> Value {
        let bytes = server.read_u32().await.expect("a frame");
        let mut frame = vec![0; bytes as usize];
        server.read_exact(&mut frame).await.expect("all of it");
        serde_json::from_slice(&frame).expect("JSON")
    }

    async fn say(server: &mut TcpStream, frame: Value) {
        let frame = frame.to_string();
        server.write_u32(frame.len() as u32).await.expect("the user reads");
        server.write_all(frame.as_bytes()).await.expect("the user reads");
    }

    #[tokio::test]
    async fn nothing_is_said_to_be_received_behind_a_logout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let plan = Plan { users: 2, ..Plan::default() };
        let target = listener.local_addr().expect("it is bound").to_string();
        let dialer = Dialer::new(&plan, &[target]).await.expect("a target");
        let run = Run::new(plan, 1, Arc::new(Framed) as Arc<dyn Wire>, dialer, None);
        let user = run.users[0].clone();
        let link = run.dialer.connect(0).await.expect("a connection");
        let (mut server, _) = listener.accept().await.expect("a connection");
        let welcome =
            Welcome { id: 1, token: None, node: None, waiting: 0, time: 0, groups: Vec::new(), messages: Vec::new() };
        let established = Established { link, rest: Vec::new(), welcome: Box::new(welcome) };
        let mut session = Session::begin(&user, &run, established, Visit::default());

        let script = async {
            let logout = next(&mut server).await;
            assert_eq!(logout["msgid"], 3);
            let push = json!({"msgid": 6, "conv": "d1-2", "seq": 1, "id": 2, "name": "bob", "toid": 1, "msg": "late",
                "time": 1, "mid": "01890a5d-ac96-774b-bcce-b302099a8057"});
            say(&mut server, push).await;
            // What the second's turn of this user does, once the message is there.
            while !user.tell.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                user.tell();
            }
            say(&mut server, json!({"msgid": 19})).await;
            assert_eq!(next(&mut server).await["msgid"], 20);
            say(&mut server, json!({"msgid": 11, "errno": 0, "mid": logout["mid"]})).await;
        };
        let end = End::Wished;
        let (parting, ()) = tokio::join!(session.part(&end), script);

        assert_eq!(parting, Parting::Confirmed);
    }
}
