//! Before the measured time: accounts, friends and groups are made, as far as they do not exist yet.

use crate::accounts::{self, Book};
use crate::dialect::{Ask, Incoming, Wire};
use crate::link;
use crate::run::Run;
use crate::user::{Answer, PASSWORD};
use chat::protocol::errno::Errno;
use futures_util::StreamExt;
use futures_util::stream;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use uuid::Uuid;

/// Connections that register accounts.
const REGISTRARS: u32 = 16;
/// Requests for friends and groups under way at once.
const REQUESTS: usize = 256;
/// Why there is nothing to run with. The run is over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("register: {0}")]
    Register(String),
    #[error("{what}: {why}")]
    Ask { what: &'static str, why: String },
}

/// Registers the users from the `known`-th on; `progress` is told each one.
pub async fn register(run: &Run, known: u32, progress: impl Fn() + Sync) -> Result<(), Error> {
    let registrars = (0..REGISTRARS).map(|registrar| {
        let mine = (known..run.plan.users).filter(move |user| user % REGISTRARS == registrar);
        register_on_one_connection(run, registrar, mine.collect(), &progress)
    });
    futures_util::future::try_join_all(registrars).await.map(|_| ())
}

async fn register_on_one_connection(
    run: &Run,
    registrar: u32,
    users: Vec<u32>,
    progress: &(impl Fn() + Sync),
) -> Result<(), Error> {
    if users.is_empty() {
        return Ok(());
    }
    let failed = |why: String| Error::Register(why);
    let mut link = tokio::time::timeout(run.plan.connect_timeout(), run.dialer.connect(registrar))
        .await
        .map_err(|_| failed("connect: no answer within the time allowed".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let mut input = Vec::new();
    for user in users {
        let name = &run.users[user as usize].name;
        let mut out = Vec::new();
        run.wire.ask(0, Ask::Register { name, password: PASSWORD }, Uuid::now_v7(), &mut out);
        poll_fn(|cx| link.poll_write_all(cx, &mut out)).await.map_err(|error| failed(error.to_string()))?;
        let answer =
            tokio::time::timeout(run.plan.patience(), next_answer(run.wire.as_ref(), &mut link, &mut input)).await;
        match answer.map_err(|_| failed("no answer within the time allowed".into()))?.map_err(failed)? {
            Err(refusal) if refusal.code != u64::from(Errno::Exists.code()) => return Err(failed(refusal.to_string())),
            _ => progress(),
        }
    }
    Ok(())
}

async fn next_answer(wire: &dyn Wire, link: &mut link::Link, input: &mut Vec<u8>) -> Result<Answer, String> {
    loop {
        if let Some((payload, end)) = wire.split(input)? {
            let answer = match wire.read(&input[payload])? {
                Incoming::Answer { result, .. } => Some(Ok(result)),
                Incoming::Notice(refusal) => Some(Err(refusal.to_string())),
                _ => None,
            };
            link::discard_front(input, end);
            if let Some(answer) = answer {
                return answer;
            }
            continue;
        }
        let read = poll_fn(|cx| link.poll_read(cx, |bytes| input.extend_from_slice(bytes))).await;
        read.map_err(|error| error.to_string())?.ok_or("the server closed the connection")?;
    }
}

/// Makes the friends and groups that the world has and the book does not know; all users must be online.
pub async fn befriend(run: &Run, book: &Book, progress: impl Fn() + Sync) -> Result<(), Error> {
    let known: std::collections::HashSet<_> = book.friends.iter().copied().collect();
    let missing = run.world.friends.iter().filter(|pair| !known.contains(pair));
    let mut requests = stream::iter(missing)
        .map(|&(one, other)| async move {
            let friend = run.users[other as usize].id();
            ask(run, one, "make friends", Ask::AddFriend { friend }).await
        })
        .buffer_unordered(REQUESTS);
    while let Some(answer) = requests.next().await {
        answer?;
        progress();
    }
    Ok(())
}

/// Makes the groups, and lets their members join.
pub async fn make_groups(run: &Run, book: &Book, progress: impl Fn() + Sync) -> Result<(), Error> {
    let groups = 0..run.world.groups.len();
    let mut making = stream::iter(groups).map(|group| make_group(run, book, group)).buffer_unordered(REQUESTS / 8);
    while let Some(made) = making.next().await {
        made?;
        progress();
    }
    Ok(())
}

async fn make_group(run: &Run, book: &Book, number: usize) -> Result<(), Error> {
    let members = &run.world.groups[number].members;
    let name = accounts::group_name(&run.plan, members[0], members.len());
    if let Some((_, id)) = book.groups.iter().find(|(known, _)| *known == name) {
        run.group_ids[number].store(*id, Ordering::Relaxed);
        return Ok(());
    }
    let creator = &run.users[members[0] as usize];
    let known = creator.groups.lock().iter().find(|(known, _)| *known == name).map(|(_, id)| *id);
    let id = match known {
        Some(id) => id,
        None => ask(run, members[0], "make a group", Ask::CreateGroup { name: &name }).await?,
    };
    run.group_ids[number].store(id, Ordering::Relaxed);
    for &member in &members[1..] {
        ask(run, member, "join a group", Ask::JoinGroup { group: id }).await?;
    }
    Ok(())
}

/// Asks; that something exists already is as good as done.
async fn ask(run: &Run, user: u32, what: &'static str, ask: Ask<'_>) -> Result<u64, Error> {
    let failed = |why: &dyn ToString| Error::Ask { what, why: why.to_string() };
    let answer = tokio::time::timeout(run.plan.patience(), run.users[user as usize].ask(run, ask)).await;
    let answer = answer.map_err(|_| failed(&"no answer within the time allowed"))?;
    match answer.map_err(|_| failed(&"the connection ended"))? {
        Ok(id) => Ok(id),
        Err(refusal) if refusal.code == u64::from(Errno::Exists.code()) => Ok(0),
        Err(refusal) => Err(failed(&refusal)),
    }
}
