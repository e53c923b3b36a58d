//! `--json`: commands in, results and events out, one JSON object a line.

use crate::{Arguments, connect};
use anyhow::Context;
use chat_client::{Client, Credentials, Error, Event, Events, Message};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::message::{LoginAck, Secret, Who};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// The end of `--help`.
pub const HELP: &str = r#"Examples:
  chat-client 127.0.0.1                              a server on this machine; then: register ann
  chat-client chat.example.org 12345 --user ann --tls
  echo '/msg bob dinner is ready' | CHAT_PASSWORD=secret chat-client 127.0.0.1 --user ann
  echo '{"do":"history","to":2}' | CHAT_PASSWORD=secret chat-client 127.0.0.1 --user ann --json

Scripts (--json):
  Each line of standard input is a command; they are done one after the other:
    {"do":"register","name":"ann","password":"…"}
    {"do":"login","name":"ann" (or "id":1),"password":"…" (or "token":"…"),"takeover":false}
    {"do":"logout","revoke":false}
    {"do":"send","to":2 (or "group":5),"text":"hi","qos":1}
    {"do":"add_friend","id":2 (or "name":"bob")}   {"do":"remove_friend","id":2}
    {"do":"create_group","name":"tea","desc":""}   {"do":"join_group","id":5}   {"do":"leave_group","id":5}
    {"do":"roster"}   {"do":"group_users","group":5,"after":0,"limit":100}
    {"do":"history","to":2 (or "group":5),"before":9,"limit":50}
    {"do":"change_password","old":"…","new":"…"}   {"do":"ping"}
    {"do":"wait","for":"message","count":1,"timeout_ms":10000}
  Any command may have a "tag", which its result repeats. wait is done when as many events of a kind have come since
  the start, not counting those an earlier wait was for.
  Results:  {"result":"send","ok":true,"conv":"…","seq":1,"time":…}
            {"result":"send","ok":false,"errno":7,"error":"not allowed"}
  Events:   {"event":"message","conv":"…","seq":1,"id":2,"name":"bob","to":1,"text":"hi","time":…}, and
            logged_in, notice, disconnected, reconnecting, reconnected, news
  At the end of input it acknowledges what was received, and leaves.

Exit codes:
  0  everything was done
  1  something was refused, failed or timed out
  2  no connection, or wrong usage

Environment:
  CHAT_PASSWORD  the password for --user
  NO_COLOR       no colours"#;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Command {
    Register {
        name: String,
        password: String,
    },
    Login {
        id: Option<UserId>,
        name: Option<String>,
        password: Option<String>,
        token: Option<String>,
        #[serde(default)]
        takeover: bool,
    },
    Logout {
        #[serde(default)]
        revoke: bool,
    },
    Send {
        to: Option<UserId>,
        group: Option<GroupId>,
        text: String,
        #[serde(default = "stored")]
        qos: u8,
    },
    AddFriend {
        id: Option<UserId>,
        name: Option<String>,
    },
    RemoveFriend {
        id: UserId,
    },
    CreateGroup {
        name: String,
        #[serde(default)]
        desc: String,
    },
    JoinGroup {
        id: GroupId,
    },
    LeaveGroup {
        id: GroupId,
    },
    Roster,
    GroupUsers {
        group: GroupId,
        #[serde(default)]
        after: UserId,
        #[serde(default = "page")]
        limit: u32,
    },
    History {
        to: Option<UserId>,
        group: Option<GroupId>,
        before: Option<u64>,
        limit: Option<u32>,
    },
    ChangePassword {
        old: String,
        new: String,
    },
    Ping,
    Wait {
        #[serde(rename = "for", default = "message")]
        kind: String,
        #[serde(default = "one")]
        count: usize,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
}

fn stored() -> u8 {
    1
}
fn page() -> u32 {
    100
}
fn message() -> String {
    "message".into()
}
fn one() -> usize {
    1
}
fn patience() -> u64 {
    10_000
}

/// What a command came to: the result's fields, or those of its failure.
type Outcome = Result<Value, Value>;

struct Script {
    client: Client,
    events: Events,
    /// The client has ended and all its events are out.
    ended: bool,
    /// Events seen and not yet waited for, by kind.
    seen: HashMap<&'static str, usize>,
}

/// Runs commands until standard input ends. Returns whether all were done.
pub async fn run(arguments: &Arguments, client: Client, events: Events) -> anyhow::Result<bool> {
    let mut script = Script { client, events, ended: false, seen: HashMap::new() };
    let mut all_done = true;
    if let Some(name) = &arguments.user {
        let password = connect::password_from_environment().context("--user with --json needs CHAT_PASSWORD")?;
        let credentials = connect::credentials(arguments, name, &password);
        let outcome = script.log_in(credentials).await;
        all_done &= report("login", None, outcome);
    }
    let mut lines = lines();
    while let Some(line) = script.next_line(&mut lines).await {
        if !line.trim().is_empty() {
            all_done &= script.line(&line).await;
        }
    }
    script.client.close().await;
    while let Some(event) = script.events.next().await {
        script.show(event);
    }
    Ok(all_done)
}

/// Standard input, read by a thread since reading blocks.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Script {
    /// The next command, showing events meanwhile.
    async fn next_line(&mut self, lines: &mut mpsc::Receiver<String>) -> Option<String> {
        self.meanwhile(lines.recv()).await
    }

    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let event = tokio::select! {
                biased;
                event = self.events.next(), if !self.ended => event,
                result = &mut future => return result,
            };
            match event {
                Some(event) => self.show(event),
                None => self.ended = true,
            }
        }
    }

    fn show(&mut self, event: Event) {
        if let Some((kind, mut fields)) = describe(event) {
            *self.seen.entry(kind).or_default() += 1;
            fields["event"] = json!(kind);
            println!("{fields}");
        }
    }

    /// Does one line and prints its result; returns whether it was done.
    async fn line(&mut self, line: &str) -> bool {
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => return report("", None, Err(json!({"error": format!("not JSON: {error}")}))),
        };
        let tag = value.get("tag").cloned();
        let name = value.get("do").and_then(Value::as_str).unwrap_or_default().to_owned();
        let outcome = match serde_json::from_value(value) {
            Ok(command) => self.execute(command).await,
            Err(error) => Err(json!({"error": error.to_string()})),
        };
        report(&name, tag, outcome)
    }

    async fn execute(&mut self, command: Command) -> Outcome {
        match command {
            Command::Wait { kind, count, timeout_ms } => self.wait(&kind, count, timeout_ms).await,
            Command::Login { id, name, password, token, takeover } => {
                let who = match (id, name) {
                    (Some(id), None) => Who::Id(id),
                    (None, Some(name)) => Who::Name(name),
                    _ => return Err(json!({"error": "login needs either id or name"})),
                };
                let (password, token) = (password.map(Secret), token.map(Secret));
                self.log_in(Credentials { who, password, token, takeover }).await
            }
            other => {
                let client = self.client.clone();
                self.meanwhile(ask(&client, other)).await
            }
        }
    }

    async fn log_in(&mut self, credentials: Credentials) -> Outcome {
        let client = self.client.clone();
        let ack = self.meanwhile(client.login(credentials)).await.map_err(|error| failure(&error))?;
        Ok(login(&ack))
    }

    async fn wait(&mut self, kind: &str, count: usize, timeout_ms: u64) -> Outcome {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout_ms);
        loop {
            let seen = self.seen.get(kind).copied().unwrap_or(0);
            if seen >= count {
                if let Some(seen) = self.seen.get_mut(kind) {
                    *seen -= count;
                }
                return Ok(json!({}));
            }
            match tokio::time::timeout_at(deadline, self.events.next()).await {
                Ok(Some(event)) => self.show(event),
                Ok(None) => return Err(json!({"error": "the connection has ended", "seen": seen})),
                Err(_) => return Err(json!({"error": "timed out", "seen": seen})),
            }
        }
    }
}

async fn ask(client: &Client, command: Command) -> Outcome {
    let result = match command {
        Command::Register { name, password } => client.register(&name, &password).await.map(|id| json!({"id": id})),
        Command::Logout { revoke } => client.logout(revoke).await.map(|()| json!({})),
        Command::Send { to, group, text, qos } => {
            client.send(target(to, group)?, &text, qos).await.map(|ack| json!(ack))
        }
        Command::AddFriend { id, name } => match (id, name) {
            (Some(id), None) => client.add_friend(id).await.map(|friend| json!(friend)),
            (None, Some(name)) => client.add_friend_named(&name).await.map(|friend| json!(friend)),
            _ => return Err(json!({"error": "either id or name is needed"})),
        },
        Command::RemoveFriend { id } => client.remove_friend(id).await.map(|()| json!({})),
        Command::CreateGroup { name, desc } => client.create_group(&name, &desc).await.map(|id| json!({"id": id})),
        Command::JoinGroup { id } => client.join_group(id).await.map(|group| json!(group)),
        Command::LeaveGroup { id } => client.leave_group(id).await.map(|()| json!({})),
        Command::Roster => client.roster().await.map(|roster| json!(roster)),
        Command::GroupUsers { group, after, limit } => {
            let page = client.group_users(group, after, limit).await;
            page.map(|page| json!({"users": page.users, "more": page.more}))
        }
        Command::History { to, group, before, limit } => {
            let page = client.history(target(to, group)?, before, limit).await;
            page.map(|page| {
                let messages: Vec<_> = page.messages.iter().map(describe_message).collect();
                json!({"conv": &*page.conv, "messages": messages, "more": page.more})
            })
        }
        Command::ChangePassword { old, new } => client.change_password(&old, &new).await.map(|()| json!({})),
        Command::Ping => client.ping().await.map(|time| json!({"time": time})),
        Command::Login { .. } | Command::Wait { .. } => return Err(json!({"error": "not a request"})),
    };
    result.map_err(|error| failure(&error))
}

fn target(to: Option<UserId>, group: Option<GroupId>) -> Result<Target, Value> {
    match (to, group) {
        (Some(user), None) => Ok(Target::User(user)),
        (None, Some(group)) => Ok(Target::Group(group)),
        _ => Err(json!({"error": "either to or group is needed"})),
    }
}

fn failure(error: &Error) -> Value {
    match error {
        Error::Refused(failure) => {
            json!({"errno": failure.errno.code(), "error": failure.text, "retry_ms": failure.retry_ms()})
        }
        other => json!({"error": other.to_string()}),
    }
}

/// Prints a result; returns whether it was a good one.
fn report(command: &str, tag: Option<Value>, outcome: Outcome) -> bool {
    let ok = outcome.is_ok();
    let mut fields = outcome.unwrap_or_else(|failure| failure);
    fields["result"] = json!(command);
    fields["ok"] = json!(ok);
    if let Some(tag) = tag {
        fields["tag"] = tag;
    }
    println!("{fields}");
    ok
}

/// An event's kind and fields. Acks are results here, never events; nothing is traced.
fn describe(event: Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Message(message) => ("message", describe_message(&message)),
        Event::Acked { .. } | Event::Trace(_) => return None,
        Event::Notice(notice) => ("notice", failure(&Error::Refused(notice))),
        Event::Disconnected { why } => ("disconnected", json!({"why": why.to_string()})),
        Event::Reconnecting { after } => ("reconnecting", json!({"after_ms": after.as_millis() as u64})),
        Event::Reconnected => ("reconnected", json!({})),
        Event::LoggedIn(ack) => ("logged_in", login(&ack)),
        Event::News(news) => ("news", json!(news)),
    })
}

fn describe_message(message: &Message) -> Value {
    let mut fields = json!({"conv": &*message.conv, "seq": message.seq, "id": message.id, "name": message.name,
        "text": message.msg, "time": message.time, "mid": message.mid, "own": message.own});
    match message.target {
        Target::User(user) => fields["to"] = json!(user),
        Target::Group(group) => fields["group"] = json!(group),
    }
    fields
}

fn login(ack: &LoginAck) -> Value {
    json!({"id": ack.id, "name": ack.name, "token": ack.token, "node": ack.node, "server": ack.server,
        "offline": ack.offline, "friends": ack.roster.friends, "groups": ack.roster.groups})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_the_help_are_understood() {
        let commands = HELP.lines().filter(|line| line.trim_start().starts_with("{\"do\""));
        let mut understood = 0;
        for line in commands {
            for command in line.trim().split("   ") {
                // What stands in brackets is the alternative.
                let mut plain = command.to_owned();
                while let (Some(open), Some(close)) = (plain.find(" ("), plain.find(')')) {
                    plain.replace_range(open..=close, "");
                }
                let parsed: Result<Command, _> = serde_json::from_str(&plain);
                assert!(parsed.is_ok(), "{plain}: {parsed:?}");
                understood += 1;
            }
        }
        assert_eq!(understood, 15);
    }

    #[test]
    fn a_target_is_one_of_two() {
        assert_eq!(target(Some(1), None), Ok(Target::User(1)));
        assert!(target(None, None).is_err() && target(Some(1), Some(1)).is_err());
    }
}
