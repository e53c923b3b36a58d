//! What each command asks of the node, and says of the answer.

use super::show::Shown;
use super::{Command, Session, User};
use anyhow::{Context, ensure};
use chat::admin::prune::Pruned;
use chat::admin::sessions::Page;
use chat::admin::{MOST_LISTED, conversations, drain, nodes, order, password, user};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

/// The longest password file that is read.
const PASSWORD_FILE_BYTES: u64 = 4 * 1024;

pub(super) async fn run(session: &Session, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Nodes => session.show::<nodes::Nodes>(session.client.get("nodes", &[]).await?),
        Command::Online { on, limit } => online(session, on, limit).await,
        Command::User(user) => session.show::<user::User>(session.client.get("user", &[user.pair()]).await?),
        Command::Kick(user) => session.order("kick", &user).await,
        Command::Disable(user) => session.order("disable", &user).await,
        Command::Enable(user) => session.order("enable", &user).await,
        Command::EndTokens(user) => session.order("end-tokens", &user).await,
        Command::ResetPassword { user, password_file } => {
            let mut body = user.body();
            if let Some(file) = password_file {
                body["password"] = password_in(&file)?.into();
            }
            session.show::<password::Reset>(session.client.post("reset-password", &body).await?)
        }
        Command::Drain { node } => {
            session.show::<drain::Draining>(session.client.post("drain", &json!({"node": node})).await?)
        }
        Command::Conversations { limit } => {
            let query = [("limit", limit.to_string())];
            session.show::<conversations::Conversations>(session.client.get("conversations", &query).await?)
        }
        Command::Prune { days, messages, unreceived_days } => {
            prune(session, json!({"days": days, "messages": messages, "unreceived_days": unreceived_days})).await
        }
    }
}

impl Session {
    async fn order(&self, operation: &str, user: &User) -> anyhow::Result<()> {
        self.show::<order::Done>(self.client.post(operation, &user.body()).await?)
    }

    fn show<T: DeserializeOwned + Shown>(&self, answer: Value) -> anyhow::Result<()> {
        match self.json {
            true => println!("{answer}"),
            false => print!("{}", read::<T>(answer)?.shown()),
        }
        Ok(())
    }
}

/// An answer that cannot be read is a node of another release.
fn read<T: DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer)
        .context("the node answers otherwise than this program expects: is it of another release?")
}

/// Page after page, until there are enough.
async fn online(session: &Session, on: Option<String>, limit: u64) -> anyhow::Result<()> {
    let mut all = Page { sessions: Vec::new(), next: Some(0) };
    while let Some(after) = all.next {
        let left = limit - all.sessions.len() as u64;
        if left == 0 {
            break;
        }
        let mut query = vec![("after", after.to_string()), ("limit", left.min(MOST_LISTED.into()).to_string())];
        query.extend(on.iter().map(|node| ("node", node.clone())));
        let page: Page = read(session.client.get("sessions", &query).await?)?;
        all.sessions.extend(page.sessions);
        all.next = page.next;
    }
    session.print(&all)
}

/// Part after part, until all has been looked at.
async fn prune(session: &Session, mut ask: Value) -> anyhow::Result<()> {
    let mut all = Pruned::default();
    loop {
        let part = session.client.post("prune", &ask).await;
        if part.is_err() && !ask["after"].is_null() {
            eprintln!("{} messages removed before this:", all.messages);
        }
        let part: Pruned = read(part?)?;
        all.conversations += part.conversations;
        all.messages += part.messages;
        all.unreceived += part.unreceived;
        let Some(next) = part.next else { break };
        if !session.json {
            eprintln!("{} messages removed, going on after {next}", all.messages);
        }
        ask["after"] = next.into();
    }
    session.print(&all)
}

impl Session {
    /// What was put together of several answers.
    fn print(&self, all: &(impl Serialize + Shown)) -> anyhow::Result<()> {
        match self.json {
            true => println!("{}", json!(all)),
            false => print!("{}", all.shown()),
        }
        Ok(())
    }
}

impl User {
    /// As numbers are written, without a sign or zeros in front.
    fn is_number(&self) -> bool {
        self.user.parse::<u64>().is_ok_and(|number| number.to_string() == self.user)
    }

    /// By name, if it is said to be one or is no number.
    fn pair(&self) -> (&'static str, String) {
        match self.user.strip_prefix("name:") {
            Some(name) => ("name", name.to_owned()),
            None if self.is_number() => ("id", self.user.clone()),
            None => ("name", self.user.clone()),
        }
    }

    fn body(&self) -> Value {
        match self.pair() {
            ("id", id) => json!({"id": id.parse::<u64>().unwrap_or_default()}),
            (_, name) => json!({"name": name}),
        }
    }
}

fn password_in(file: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?),
    };
    let mut text = String::new();
    let read = source.take(PASSWORD_FILE_BYTES).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", file.display()))?;
    let password = text.trim_end_matches(['\n', '\r']);
    ensure!(!password.is_empty(), "{} holds no password", file.display());
    Ok(password.to_owned())
}
