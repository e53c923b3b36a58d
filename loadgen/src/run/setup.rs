//! Before the measured time: accounts, friends and groups are made, as far as they do not exist yet.

use crate::dialect::{Ask, Incoming, Wire, shown_ask};
use crate::link;
use crate::user::accounts::{self, Account, Book};
use crate::user::{Answer, PASSWORD, Run, UNANSWERED_PAUSE, Wish, describe};
use chat_protocol::errno::Errno;
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

/// Connections that register accounts.
const REGISTRARS: u32 = 16;
/// Requests for friends and groups under way at once.
const REQUESTS: usize = 256;
/// Connections that break in a row before registering is given up, and the pause after each.
const REGISTER_TRIES: u32 = 3;
const REGISTER_PAUSE: Duration = Duration::from_millis(200);
/// For users to log out and in again.
const RETURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at whether they have.
const POLL: Duration = Duration::from_millis(20);

/// Why there is nothing to run with. The run is over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("register: {0}")]
    Register(String),
    /// The connection is no more; another may do.
    #[error("register: {0}")]
    Broken(String),
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

/// Registers `users` one after the other, on a new connection where one breaks.
async fn register_on_one_connection(
    run: &Run,
    registrar: u32,
    users: Vec<u32>,
    progress: &(impl Fn() + Sync),
) -> Result<(), Error> {
    let mut left: VecDeque<u32> = users.into();
    let mut tries = 0;
    while !left.is_empty() {
        let before = left.len();
        match register_while_connected(run, registrar, &mut left, progress).await {
            Err(Error::Broken(why)) if left.len() == before && tries + 1 == REGISTER_TRIES => {
                return Err(Error::Register(why));
            }
            Err(Error::Broken(why)) => {
                run.error(format!("register: {why}"));
                tries = if left.len() == before { tries + 1 } else { 0 };
                tokio::time::sleep(REGISTER_PAUSE).await;
            }
            other => other?,
        }
    }
    Ok(())
}

async fn register_while_connected(
    run: &Run,
    registrar: u32,
    users: &mut VecDeque<u32>,
    progress: &(impl Fn() + Sync),
) -> Result<(), Error> {
    let broken = |error: std::io::Error| Error::Broken(describe(&error));
    let failed = |why: String| Error::Register(why);
    let mut link = tokio::time::timeout(run.plan.connect_timeout(), run.dialer.connect(registrar))
        .await
        .map_err(|_| failed("connect: no answer within the time allowed".into()))?
        .map_err(|error| Error::Broken(error.to_string()))?;
    let mut input = Vec::new();
    while let Some(&user) = users.front() {
        let name = &run.users[user as usize].name;
        let mut out = Vec::new();
        run.wire.ask(0, Ask::Register { name, password: PASSWORD }, Uuid::now_v7(), &mut out);
        poll_fn(|cx| link.poll_write_all(cx, &mut out)).await.map_err(broken)?;
        if !run.wire.answers(&Ask::Register { name, password: PASSWORD }) {
            users.pop_front();
            progress();
            continue;
        }
        let request = || shown_ask(run.wire.as_ref(), 0, Ask::Register { name, password: PASSWORD });
        let answer =
            tokio::time::timeout(run.plan.patience(), next_answer(run.wire.as_ref(), &mut link, &mut input)).await;
        let late = |_| failed(format!("no answer within the time allowed to {}", request()));
        match answer.map_err(late)?? {
            Err(refusal) if refusal.code != u64::from(Errno::Exists.code()) => {
                return Err(failed(format!("refused: {refusal}, in answer to {}", request())));
            }
            Ok(id) if id > 0 => run.users[user as usize].remember(&Account { name: name.clone(), id, token: None }),
            _ => {}
        }
        users.pop_front();
        progress();
    }
    Ok(())
}

async fn next_answer(wire: &dyn Wire, link: &mut link::Link, input: &mut Vec<u8>) -> Result<Answer, Error> {
    let strange = |why: String| Error::Register(format!("not the expected protocol: {why}"));
    loop {
        if let Some((payload, end)) = wire.split(input).map_err(strange)? {
            let answer = match wire.read(&input[payload]).map_err(strange)? {
                Incoming::Answer { result, .. } => Some(Ok(result)),
                Incoming::Notice(refusal) => Some(Err(Error::Register(refusal.to_string()))),
                _ => None,
            };
            link::discard_front(input, end);
            if let Some(answer) = answer {
                return answer;
            }
            continue;
        }
        let read = poll_fn(|cx| link.poll_read(cx, |bytes| input.extend_from_slice(bytes))).await;
        let closed = || Error::Broken("the server closed the connection".into());
        read.map_err(|error| Error::Broken(describe(&error)))?.ok_or_else(closed)?;
    }
}

/// Makes the friends and groups that the world has and the book does not know; all users must be online.
pub async fn befriend(run: &Run, book: &Book, progress: impl Fn() + Sync) -> Result<(), Error> {
    let known: HashSet<_> = book.friends.iter().copied().collect();
    let missing = run.world.friends.iter().filter(|pair| !known.contains(pair));
    let mut by_user: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    missing.for_each(|(one, other)| by_user.entry(*one).or_default().push(*other));
    let progress = &progress;
    let mut requests = stream::iter(&by_user)
        .map(|(user, friends)| async move {
            for friend in friends {
                let friend = run.users[*friend as usize].id();
                ask(run, *user, "make friends", Ask::AddFriend { friend }).await?;
                progress();
            }
            Ok::<_, Error>(())
        })
        .buffer_unordered(REQUESTS);
    while let Some(answer) = requests.next().await {
        answer?;
    }
    drop(requests);
    settle(run, &Ask::AddFriend { friend: 0 }, by_user.into_keys()).await
}

/// Waits until the server has done what `users` asked, where it does not answer `ask`: they log out, which comes after
/// the request on the same connection, and in again, which tells them what they are in.
async fn settle(run: &Run, ask: &Ask<'_>, users: impl Iterator<Item = u32>) -> Result<(), Error> {
    if run.wire.answers(ask) {
        return Ok(());
    }
    let users: HashSet<u32> = users.collect();
    let users = || users.iter().map(|user| &run.users[*user as usize]);
    let all = async |online: bool| {
        while users().any(|user| user.is_online() != online) {
            tokio::time::sleep(POLL).await;
        }
    };
    let returned = async {
        users().for_each(|user| run.wish(user, Wish::Away));
        all(false).await;
        users().for_each(|user| run.wish(user, Wish::Online));
        all(true).await;
    };
    let late = |_| {
        let failed = run.first_failed_login().map_or(String::new(), |why| format!("; the first to fail: {why}"));
        Error::Ask { what: "log in again", why: format!("not all users came back within the time allowed{failed}") }
    };
    tokio::time::timeout(RETURN_TIMEOUT, returned).await.map_err(late)
}

/// Makes the groups, and lets their members join; groups of earlier runs are complete.
pub async fn make_groups(run: &Run, book: &Book, progress: impl Fn() + Sync) -> Result<(), Error> {
    let known = |group: &usize| {
        let name = group_name(run, *group);
        book.groups.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
    };
    let (old, new): (Vec<usize>, Vec<usize>) = (0..run.world.groups.len()).partition(|group| known(group).is_some());
    for group in old {
        run.group_ids[group].store(known(&group).unwrap_or(0), Ordering::Relaxed);
        progress();
    }
    let mut making = stream::iter(&new).map(|group| create(run, *group)).buffer_unordered(REQUESTS / 8);
    while let Some(made) = making.next().await {
        made?;
    }
    drop(making);
    let creators = new.iter().map(|group| run.world.groups[*group].members[0]);
    settle(run, &Ask::CreateGroup { name: "" }, creators).await?;
    let mut joining = stream::iter(&new).map(|group| join(run, *group)).buffer_unordered(REQUESTS / 8);
    while let Some(joined) = joining.next().await {
        joined?;
        progress();
    }
    drop(joining);
    let members = new.iter().flat_map(|group| run.world.groups[*group].members[1..].iter().copied());
    settle(run, &Ask::JoinGroup { group: 0 }, members).await
}

fn group_name(run: &Run, number: usize) -> String {
    let members = &run.world.groups[number].members;
    accounts::group_name(&run.plan, members[0], members.len())
}

/// The id of a group as its creator's login told it.
fn listed_id(run: &Run, number: usize) -> Option<u64> {
    let name = group_name(run, number);
    let creator = &run.users[run.world.groups[number].members[0] as usize];
    creator.groups.lock().iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

async fn create(run: &Run, number: usize) -> Result<(), Error> {
    if listed_id(run, number).is_some() {
        return Ok(());
    }
    let creator = run.world.groups[number].members[0];
    let id = ask(run, creator, "make a group", Ask::CreateGroup { name: &group_name(run, number) }).await?;
    run.group_ids[number].store(id, Ordering::Relaxed);
    Ok(())
}

async fn join(run: &Run, number: usize) -> Result<(), Error> {
    let made = Some(run.group_ids[number].load(Ordering::Relaxed)).filter(|id| *id > 0);
    let why = "the server neither answers with the group's id nor lists the group at login";
    let id = made.or_else(|| listed_id(run, number));
    let id = id.ok_or_else(|| Error::Ask { what: "make a group", why: why.into() })?;
    run.group_ids[number].store(id, Ordering::Relaxed);
    for &member in &run.world.groups[number].members[1..] {
        ask(run, member, "join a group", Ask::JoinGroup { group: id }).await?;
    }
    Ok(())
}

/// Asks; that something exists already is as good as done.
async fn ask(run: &Run, user: u32, what: &'static str, ask: Ask<'_>) -> Result<u64, Error> {
    let request = shown_ask(run.wire.as_ref(), run.users[user as usize].id(), ask);
    let failed = |why: String| Error::Ask { what, why: format!("{why}, in answer to {request}") };
    let is_answered = run.wire.answers(&ask);
    let answer = tokio::time::timeout(run.plan.patience(), run.ask(&run.users[user as usize], ask)).await;
    let answer = answer.map_err(|_| failed("no answer within the time allowed".into()))?;
    if !is_answered {
        tokio::time::sleep(UNANSWERED_PAUSE).await;
    }
    match answer.map_err(|_| failed("the connection ended".into()))? {
        Ok(id) => Ok(id),
        Err(refusal) if refusal.code == u64::from(Errno::Exists.code()) => Ok(0),
        Err(refusal) => Err(failed(format!("refused: {refusal}"))),
    }
}
