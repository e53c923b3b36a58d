//! Looking at one server, over a connection kept for that.

use super::choice::Seen;
use super::connect::{ANSWER_WITHIN, Purpose};
use super::durability;
use super::fault::number;
use super::role::{self, Role};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, MySqlConnection};
use std::io::ErrorKind;
use tokio::time::timeout;

/// What the server says where nothing but another setting helps: wrong password, no access, no such database; and that
/// it is not ready.
const NOT_FOR_US: [u16; 4] = [1044, 1045, 1047, 1049];

/// What a look has shown.
pub struct Look {
    pub seen: Seen,
    /// The connection kept led to a server that is not ready any more, and another leads to one that is: so do others.
    pub moved: bool,
}

/// The one who looks.
pub struct Watcher {
    options: MySqlConnectOptions,
    purpose: Purpose,
    kept: Option<MySqlConnection>,
}

impl Watcher {
    pub fn new(options: MySqlConnectOptions, purpose: Purpose) -> Self {
        Watcher { options, purpose, kept: None }
    }

    pub async fn look(&mut self) -> Look {
        let kept = self.kept.take();
        match timeout(ANSWER_WITHIN, self.ask(kept)).await {
            Ok(look) => look,
            Err(_) => {
                Look { seen: Seen::Silent(format!("no answer within {} s", ANSWER_WITHIN.as_secs())), moved: false }
            }
        }
    }

    async fn ask(&mut self, kept: Option<MySqlConnection>) -> Look {
        let mut was_demoted = false;
        if let Some(mut connection) = kept {
            match self.role(&mut connection).await {
                Ok(Seen::Ready) => {
                    self.kept = Some(connection);
                    return Look { seen: Seen::Ready, moved: false };
                }
                // Perhaps this connection alone.
                asked => was_demoted = asked.is_ok(),
            }
        }
        let seen = self.ask_anew().await.unwrap_or_else(|error| seen(&error));
        Look { moved: was_demoted && seen == Seen::Ready, seen }
    }

    async fn ask_anew(&mut self) -> sqlx::Result<Seen> {
        let mut connection = self.options.connect().await?;
        let seen = self.role(&mut connection).await?;
        self.kept = Some(connection).filter(|_| seen == Seen::Ready);
        Ok(seen)
    }

    async fn role(&self, connection: &mut MySqlConnection) -> sqlx::Result<Seen> {
        Ok(match (role::ask(connection).await?, self.purpose) {
            (Role::NotReady(why), Purpose::Serving) => Seen::NotReady(why),
            (Role::Ready(_), _) | (_, Purpose::Reading) => Seen::Ready,
        })
    }

    /// The server's product and version, and what could lose there what is acknowledged; `None` if it does not say.
    pub async fn introduction(&mut self, servers: usize) -> Option<(String, Vec<String>)> {
        let mut connection = self.kept.take()?;
        let asked = timeout(ANSWER_WITHIN, durability::ask(&mut connection, servers)).await;
        let introduction = asked.ok()?.ok()?;
        self.kept = Some(connection);
        Some(introduction)
    }
}

fn seen(error: &sqlx::Error) -> Seen {
    match error {
        sqlx::Error::Io(cause) if cause.kind() != ErrorKind::TimedOut => Seen::Gone(error.to_string()),
        error if number(error).is_some_and(|number| NOT_FOR_US.contains(&number)) => Seen::NotReady(error.to_string()),
        error => Seen::Silent(error.to_string()),
    }
}
