//! What a user asks for beside messages, and what is known afterwards.

use super::{Circle, PASSWORDS, Person};
use crate::schedule::Doing;
use chat_client::{Client, Error, RawConnection};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::errno::Errno;
use judge::history::Event;
use serde_json::{Value, json};

/// Messages asked for at a time.
const PAGE: u32 = 20;
const LOGIN_ACK: u64 = 2;
const CHAT_ACK: u64 = 12;

/// What a user knows of its membership in the club.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Club {
    #[default]
    Stranger,
    Member,
    /// It has asked to join, and nobody knows what came of it.
    MayHaveJoined,
    MayHaveLeft,
}

/// Whether a request was done, be it now or before; `None` where nobody knows.
fn is_done<T>(result: &Result<T, Error>, before: Errno) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(Error::Refused(failure)) if failure.errno == before => Some(true),
        Err(Error::Refused(failure)) if !failure.errno.is_retryable() => Some(false),
        Err(Error::Full | Error::TooLarge { .. }) => Some(false),
        Err(_) => None,
    }
}

impl Person {
    pub(super) async fn ask(&mut self, what: Doing, circle: &Circle) {
        if let Doing::Forge { friend } = what {
            // A node that does not answer is none that was taken in.
            let _ = self.forge(circle.users[friend], circle.group).await;
            return;
        }
        let Some(online) = self.online.take() else { return };
        if !online.client.is_ended() {
            self.ask_for(what, &online.client, circle).await;
        }
        self.online = Some(online);
    }

    async fn ask_for(&mut self, what: Doing, client: &Client, circle: &Circle) {
        match (what, self.club) {
            // As long as it is unknown what came of a request, the same is asked again.
            (Doing::Join, Club::MayHaveLeft) | (Doing::Leave, _) => self.leave(client, circle.club).await,
            (Doing::Join, _) => self.join(client, circle.club).await,
            (Doing::Befriend { friend }, _) => {
                let _ = self.counted(client.add_friend(circle.users[friend]).await);
            }
            (Doing::Unfriend { friend }, _) => {
                let _ = self.counted(client.remove_friend(circle.users[friend]).await);
            }
            (Doing::ChangePassword, _) => {
                let (old, new) = (PASSWORDS[self.password], PASSWORDS[1 - self.password]);
                if self.counted(client.change_password(old, new).await).is_ok() {
                    self.password = 1 - self.password;
                }
            }
            (Doing::Look, _) => {
                let _ = self.counted(client.history(Target::Group(circle.group), None, Some(PAGE)).await);
                let _ = self.counted(client.history(Target::Group(circle.club), None, Some(PAGE)).await);
                let _ = self.counted(client.roster().await);
                let _ = self.counted(client.group_users(circle.club, 0, PAGE).await);
            }
            _ => {}
        }
    }

    async fn join(&mut self, client: &Client, club: GroupId) {
        self.record.joining(club, self.id);
        let losses = self.record.losses();
        let result = self.counted(client.join_group(club).await);
        match is_done(&result, Errno::Exists).filter(|_| self.record.losses() == losses) {
            Some(true) => {
                self.club = Club::Member;
                self.record.joined(club, self.id);
            }
            Some(false) => {}
            None => self.club = Club::MayHaveJoined,
        }
    }

    async fn leave(&mut self, client: &Client, club: GroupId) {
        if self.club == Club::MayHaveJoined {
            return self.join(client, club).await;
        }
        self.record.leaving(club, self.id);
        let losses = self.record.losses();
        let result = self.counted(client.leave_group(club).await);
        match is_done(&result, Errno::NotAllowed).filter(|_| self.record.losses() == losses) {
            Some(true) => {
                self.club = Club::Stranger;
                self.record.left(club, self.id);
            }
            Some(false) if self.club == Club::Member => self.record.joined(club, self.id),
            Some(false) => {}
            None => self.club = Club::MayHaveLeft,
        }
    }

    /// Claims to be somebody else, on a connection of its own.
    async fn forge(&mut self, claimed: UserId, group: GroupId) -> Result<(), Error> {
        let mut connection = RawConnection::connect(&self.options).await?;
        let password = PASSWORDS[self.password];
        self.record.note(Event::LoginAsked { user: self.id });
        connection.send(&json!({"msgid": 1, "id": self.id, "password": password, "takeover": true})).await?;
        if answer(&mut connection, LOGIN_ACK).await?["errno"] != 0 {
            return Ok(());
        }
        let mid = self.process.environment.uuid();
        let forged = json!({"msgid": 10, "mid": mid, "id": claimed, "groupid": group, "msg": "forged"});
        connection.send(&forged).await?;
        let done = answer(&mut connection, CHAT_ACK).await?["errno"] == 0;
        self.record.note(Event::Claim { user: self.id, claimed, done });
        Ok(())
    }
}

/// The next of this kind; every frame has its own time.
async fn answer(connection: &mut RawConnection, msgid: u64) -> Result<Value, Error> {
    loop {
        let frame = connection.next().await?;
        if frame["msgid"] == msgid {
            return Ok(frame);
        }
    }
}
