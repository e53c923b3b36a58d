//! What requests, and what they lead to, ask of the database: through a whole node, from a client's frame on.

use crate::database::Asked;
use crate::people::Person;
use crate::stored::{Count, Unit};
use crate::world::World;
use anyhow::{Context, Result};
use serde_json::json;
use std::time::Duration;

/// Messages sent at once.
const MANY: usize = 100;
/// Within it all is done that a request leads to at once; what is done each second is not.
const SOON: Duration = Duration::from_millis(100);
/// Longer than cursors wait to be saved.
const SAVED: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// Members of the groups that are joined.
const GROUPS: [usize; 2] = [10, 1_000];

/// Counts for one request after the other.
///
/// # Errors
/// A request that is refused, or a node that does not start.
pub fn count() -> Result<Vec<Count>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let mut measured = Vec::new();
    runtime.block_on(async {
        let world = World::of(1).await?;
        messages(&world, &mut measured).await?;
        logins(&world, &mut measured).await?;
        logins_at_once(&world, &mut measured).await?;
        let cluster = World::of(2).await?;
        joins(&cluster, &mut measured).await
    })?;
    Ok(measured.into_iter().flat_map(|(what, asked)| counts_of(&what, asked)).collect())
}

type Measured = Vec<(String, Asked)>;

fn counts_of(what: &str, asked: Asked) -> [Count; 3] {
    [(Unit::Statements, asked.statements), (Unit::Commits, asked.commits), (Unit::Rows, asked.rows)]
        .map(|(unit, value)| Count { what: what.into(), unit, value: value as f64 })
}

async fn messages(world: &World, measured: &mut Measured) -> Result<()> {
    let mut pairs = Vec::new();
    for number in 0..MANY {
        let mut sender = newcomer(world, 0, &format!("sender {number}")).await?;
        let recipient = newcomer(world, 0, &format!("recipient {number}")).await?;
        sender.ask(json!({"msgid": 7, "friendid": recipient.id})).await?;
        pairs.push((sender, recipient));
    }
    // Members and routes are known then.
    for pair in &mut pairs {
        say(pair, 1, 1).await?;
    }
    tokio::time::sleep(SAVED).await;
    let (asked, ()) = world.count(SOON, async || say(&mut pairs[0], 1, 1).await).await?;
    measured.push(("commit a message".into(), asked));
    let (asked, ()) = world.count(SOON, async || say(&mut pairs[0], 1, MANY).await).await?;
    measured.push((format!("commit {MANY} messages to one friend, sent at once"), asked));
    let (asked, ()) = world.count(SOON, async || all_say(&mut pairs).await).await?;
    measured.push((format!("commit {MANY} messages of as many pairs, sent at once"), asked));
    tokio::time::sleep(SAVED).await;
    let (asked, ()) = world.count(SOON, async || say(&mut pairs[0], 0, 1).await).await?;
    measured.push(("relay a message".into(), asked));
    for receivers in [1, MANY] {
        let asked = received(world, &mut pairs[..receivers]).await?;
        measured.push((format!("save RECEIVED of {receivers}"), asked));
    }
    let (asked, ()) = world.count(MINUTE, async || Ok(())).await?;
    measured.push((format!("a node with {} idle sessions, a minute", 2 * MANY), asked));
    Ok(())
}

/// Somebody new, logged in.
async fn newcomer(world: &World, node: usize, name: &str) -> Result<Person> {
    let mut person = world.connect(node).await?;
    person.register(name).await?;
    person.log_in(name).await?;
    Ok(person)
}

async fn say((sender, recipient): &mut (Person, Person), qos: u8, messages: usize) -> Result<()> {
    sender.say(recipient.id, qos, messages).await?;
    for _ in 0..messages {
        sender.reply().await?;
        recipient.push().await?;
    }
    Ok(())
}

async fn all_say(pairs: &mut [(Person, Person)]) -> Result<()> {
    for (sender, recipient) in &mut *pairs {
        sender.say(recipient.id, 1, 1).await?;
    }
    for (sender, recipient) in pairs {
        sender.reply().await?;
        recipient.push().await?;
    }
    Ok(())
}

async fn received(world: &World, pairs: &mut [(Person, Person)]) -> Result<Asked> {
    let mut messages = Vec::new();
    for (sender, recipient) in &mut *pairs {
        sender.say(recipient.id, 1, 1).await?;
        sender.reply().await?;
        messages.push(recipient.push().await?);
    }
    // The senders have cursors of their own, which move with what they say.
    tokio::time::sleep(SAVED).await;
    let receiving = async || {
        for ((_, recipient), message) in pairs.iter_mut().zip(&messages) {
            recipient.has(message).await?;
        }
        Ok(())
    };
    Ok(world.count(SAVED, receiving).await?.0)
}

async fn logins(world: &World, measured: &mut Measured) -> Result<()> {
    const NAME: &str = "guest";
    let mut guest = newcomer(world, 0, NAME).await?;
    let friend = newcomer(world, 0, "host").await?;
    guest.ask(json!({"msgid": 7, "friendid": friend.id})).await?;
    guest.ask(json!({"msgid": 8, "groupname": "house", "groupdesc": ""})).await?;
    let token = guest.token.clone();
    let (asked, ()) = world.count(SOON, async || guest.log_out().await).await?;
    measured.push(("log out".into(), asked));
    let (asked, ()) = world.count(SOON, async || guest.log_in_by_token(NAME, &token).await).await?;
    measured.push(("log in by token".into(), asked));
    guest.log_out().await?;
    let (asked, ()) = world.count(SOON, async || guest.log_in(NAME).await).await?;
    measured.push(("log in by password".into(), asked));
    let (asked, ()) = world.count(SOON, async || world.connect(0).await?.register("another").await).await?;
    measured.push(("register".into(), asked));
    Ok(())
}

/// Each with a friend of its own who is online, in a group with nine others.
async fn logins_at_once(world: &World, measured: &mut Measured) -> Result<()> {
    let mut guests = Vec::new();
    let mut group = json!(null);
    for number in 0..MANY {
        let mut guest = newcomer(world, 0, &format!("guest {number}")).await?;
        let host = newcomer(world, 0, &format!("host {number}")).await?;
        guest.ask(json!({"msgid": 7, "friendid": host.id})).await?;
        if number % 10 == 0 {
            let name = format!("house {number}");
            group = guest.ask(json!({"msgid": 8, "groupname": name, "groupdesc": ""})).await?["groupid"].clone();
        } else {
            guest.ask(json!({"msgid": 9, "groupid": group})).await?;
        }
        guests.push((format!("guest {number}"), guest, host));
    }
    for (_, guest, _) in &mut guests {
        guest.log_out().await?;
    }
    let logging_in = async || {
        for (name, guest, _) in &mut guests {
            let token = guest.token.clone();
            guest.send(&json!({"msgid": 1, "name": name, "token": token, "caps": ["events"]})).await?;
        }
        for (_, guest, _) in &mut guests {
            guest.reply().await?;
        }
        Ok(())
    };
    let (asked, ()) = world.count(SOON, logging_in).await?;
    measured.push((format!("log in by token, {MANY} at once"), asked));
    Ok(())
}

async fn joins(world: &World, measured: &mut Measured) -> Result<()> {
    let mut creator = newcomer(world, 0, "creator").await?;
    for members in GROUPS {
        let name = format!("group of {members}");
        let group = creator.ask(json!({"msgid": 8, "groupname": name, "groupdesc": ""})).await?["groupid"].clone();
        let id = group.as_u64().context("a group has an id")?;
        for number in 1..members {
            let user = world.storage.register(&format!("{number} of {members}"), "-").await?.context("a free name")?;
            world.storage.join_group(&user.into(), id, u32::MAX).await?;
        }
        let join = json!({"msgid": 9, "groupid": group});
        // Once nothing is known of the group, and once both nodes know who is in it and where.
        for which in ["first", "next"] {
            let mut joiner = newcomer(world, 0, &format!("{which} into {name}")).await?;
            let (asked, _) = world.count(SOON, async || joiner.ask(join.clone()).await).await?;
            measured.push((format!("join a {name}, one of two nodes, {which}"), asked));
        }
    }
    Ok(())
}
