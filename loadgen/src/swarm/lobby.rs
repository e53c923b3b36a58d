//! Where members meet before a run: each takes a shard that no other has, and all wait until everybody is there.
//!
//! The list of who takes part is one hash in Redis, and scripts do all that is done to it, so two members never take
//! the same shard. A place is held for a few seconds and kept by asking again. Once all are taken, and each holder has
//! asked again since, the list is closed, and whoever comes later is refused: so nobody begins with a member that died
//! while it waited, and nobody whom the others begin with leaves without a word. The list goes by itself soon after the
//! last member was heard, and is removed as soon as the first has ended, so that no earlier run is in the way.

mod scripts;

use super::keys::{Keys, LOBBY_KEPT, millis};
use super::store::{REDIS_PATIENCE, Store, Unreachable};
use super::{Error, Terms};
use crate::plan::Shard;
use std::time::{Duration, Instant};

/// A member that is not heard for so long before all are there has given its place up.
const PLACE_HELD: Duration = Duration::from_secs(5);
/// Between two looks at who is there.
const POLL: Duration = Duration::from_millis(200);
/// Stands between what a person is shown of a member and what tells it from all others; no host's name has it.
const BEFORE_TOKEN: char = '#';

/// What a member asks for.
#[derive(Clone, Debug)]
pub struct Place {
    /// The swarm's name.
    pub name: String,
    /// Who asks, for a person. Others may be called the same: containers that share a host's name.
    pub member: String,
    pub terms: Terms,
    /// Members in all.
    pub count: u32,
    /// The shard that it is to be, from 1; none: any that is free.
    pub wanted: Option<u32>,
    /// The longest wait for Redis to answer, and from then on for the others.
    pub patience: Duration,
}

/// How meeting goes, for a person who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// This member has a place, and so many have.
    Here { shard: Shard, present: u32 },
    /// Redis does not answer, and is waited for as long as this.
    Away { why: Unreachable, patience: Duration },
}

/// What the list says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// All places, or the one wanted, are held by others: by somebody who died a moment ago, perhaps.
    Full {
        present: u32,
        holder: String,
    },
    Waiting {
        shard: u32,
        present: u32,
    },
    Closed {
        shard: u32,
        run: String,
    },
}

/// One member's way to a place.
pub struct Lobby<'a> {
    place: &'a Place,
    /// What the list calls it: unlike any other, even after a restart.
    me: String,
    /// The number of the run, if this member is the first of it.
    new_run: String,
}

impl<'a> Lobby<'a> {
    pub fn of(place: &'a Place) -> Lobby<'a> {
        let number = || format!("{:016x}", fastrand::u64(..));
        Lobby { place, me: format!("{}{BEFORE_TOKEN}{}", place.member, number()), new_run: number() }
    }

    /// Takes a place and waits until everybody is there; `told` hears how that goes, whenever it changes. Answers with
    /// the shard, and the names that all have in common.
    ///
    /// # Errors
    /// Another plan, no free place, too late, too few, or no Redis.
    pub async fn meet(&self, store: &mut Store, told: &dyn Fn(Meeting)) -> Result<(Shard, Keys), Error> {
        let Place { name, count, .. } = self.place;
        let mut begun = Instant::now();
        let mut last = None;
        let mut tell = |news: Meeting| {
            if last.as_ref() != Some(&news) {
                told(news.clone());
                last = Some(news);
            }
        };
        loop {
            let was_heard = store.heard().is_some();
            let answer = self.ask(store).await;
            if !was_heard {
                // However long Redis was waited for, the others have their time.
                begun = store.heard().unwrap_or(begun);
            }
            match answer {
                Err(Failed::Unreachable(error)) => tell(self.away(store, begun, error)?),
                Err(Failed::Refused(error)) => return Err(error),
                Ok(Said::Closed { shard, run }) => {
                    let shard = Shard { index: shard, count: *count };
                    tell(Meeting::Here { shard, present: *count });
                    return Ok((shard, Keys::new(name, &run)));
                }
                Ok(Said::Full { present, holder }) => {
                    if begun.elapsed() >= self.place.patience {
                        return Err(self.full(present, holder));
                    }
                }
                Ok(Said::Waiting { shard, present }) => {
                    // Whoever stands before a full list has all but begun.
                    let more = if present == *count { PLACE_HELD } else { Duration::ZERO };
                    if begun.elapsed() >= self.place.patience + more && self.give_up(store).await {
                        return Err(self.alone(present));
                    }
                    tell(Meeting::Here { shard: Shard { index: shard, count: *count }, present });
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How long Redis is waited for, or that it is no longer: before it was heard at all it may be about to start, just
    /// as the other members; but what is wrong about the address or the password stays wrong.
    fn away(&self, store: &Store, begun: Instant, why: Unreachable) -> Result<Meeting, Error> {
        let (since, patience) = store.heard().map_or((begun, self.place.patience), |at| (at, REDIS_PATIENCE));
        if since.elapsed() >= patience || (store.heard().is_none() && why.is_final) {
            return Err(why.into());
        }
        Ok(Meeting::Away { why, patience })
    }

    fn alone(&self, present: u32) -> Error {
        let Place { name, count, patience, .. } = self.place;
        Error::Alone { name: name.clone(), present, count: *count, seconds: patience.as_secs() }
    }

    fn full(&self, present: u32, holder: String) -> Error {
        match self.place.wanted {
            Some(shard) => Error::Taken { name: self.place.name.clone(), shard, holder },
            None => self.alone(present),
        }
    }

    /// Leaves before all are there. If the list was closed meanwhile the others begin with this member: answers with
    /// what [`Lobby::meet`] would, so that they can be told.
    pub async fn leave(&self, store: &mut Store) -> Option<(Shard, Keys)> {
        if self.give_up(store).await { None } else { self.meet(store, &|_| {}).await.ok() }
    }

    /// Leaves before all are there, so that another can have the place at once; without an answer it is free a few
    /// seconds later. Answers whether it is out: not if the list was closed meanwhile.
    async fn give_up(&self, store: &mut Store) -> bool {
        let lobby = Keys::new(&self.place.name, "").lobby();
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(scripts::GIVE_UP).arg(1).arg(lobby).arg(&self.me).arg(self.place.count);
        let answer: Result<(String,), Unreachable> = store.ask(&commands).await;
        answer.is_ok_and(|(word,)| word != "closed")
    }

    async fn ask(&self, store: &mut Store) -> Result<Said, Failed> {
        let Place { name, terms, count, wanted, .. } = self.place;
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(scripts::TAKE_A_PLACE).arg(1).arg(Keys::new(name, "").lobby());
        commands.arg(&self.me).arg(terms.text()).arg(count).arg(wanted.unwrap_or(0)).arg(&self.new_run);
        commands.arg(millis(PLACE_HELD)).arg(millis(LOBBY_KEPT));
        let (answer,): (Vec<String>,) = store.ask(&commands).await.map_err(Failed::Unreachable)?;
        read(&answer, self.place, store.address()).map_err(Failed::Refused)
    }
}

/// Adds to a batch that the run goes on: nobody else can meet.
pub fn keep(commands: &mut redis::Pipeline, keys: &Keys) {
    commands.cmd("EVAL").arg(scripts::KEEP).arg(1).arg(keys.lobby()).arg(keys.run()).arg(millis(LOBBY_KEPT)).ignore();
}

/// Adds to a batch that the run is ending: a next one under the same name can meet.
pub fn remove(commands: &mut redis::Pipeline, keys: &Keys) {
    commands.cmd("EVAL").arg(scripts::REMOVE).arg(1).arg(keys.lobby()).arg(keys.run()).ignore();
}

enum Failed {
    Unreachable(Unreachable),
    Refused(Error),
}

/// Members as the list calls them, for a person.
fn shown(members: &str) -> String {
    let names = members.split(", ").map(|member| member.rsplit_once(BEFORE_TOKEN).map_or(member, |(shown, _)| shown));
    names.collect::<Vec<_>>().join(", ")
}

/// Reads what the script says.
fn read(answer: &[String], place: &Place, address: &str) -> Result<Said, Error> {
    let name = place.name.clone();
    let strange = || Error::Unreachable { address: address.to_owned(), reason: format!("it says {answer:?}") };
    let words: Vec<&str> = answer.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["terms", theirs] => {
            let difference = place.terms.difference(theirs);
            Err(Error::Terms { name, difference: difference.unwrap_or_else(|| "in the order of its settings".into()) })
        }
        ["late", members] => Err(Error::Late { name, members: shown(members) }),
        ["taken", present, holder] => {
            let present = present.parse().map_err(|_| strange())?;
            Ok(Said::Full { present, holder: shown(holder) })
        }
        [word, shard, present, run] => {
            let shard: u32 =
                shard.parse().ok().filter(|shard| (1..=place.count).contains(shard)).ok_or_else(strange)?;
            let present = present.parse().map_err(|_| strange())?;
            match *word {
                "closed" => Ok(Said::Closed { shard, run: (*run).to_owned() }),
                _ => Ok(Said::Waiting { shard, present }),
            }
        }
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use services::redis::Redis;

    #[test]
    fn what_the_list_says_is_read_and_nothing_else_is_believed() {
        let terms = Terms::of(&Plan::default(), 3, &[]).expect("no profile");
        let (name, member) = ("night".to_owned(), "here:1".to_owned());
        let place = Place { name, member, terms, count: 3, wanted: Some(2), patience: Duration::ZERO };
        let said = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            read(&words, &place, "there:6379")
        };
        assert_eq!(said(&["waiting", "2", "1", "ab"]), Ok(Said::Waiting { shard: 2, present: 1 }));
        assert_eq!(said(&["closed", "3", "3", "ab"]), Ok(Said::Closed { shard: 3, run: "ab".into() }));
        let refused = |words: &[&str]| said(words).expect_err("refused").to_string();
        assert_eq!(said(&["taken", "2", "it#7f"]), Ok(Said::Full { present: 2, holder: "it".into() }));
        assert_eq!(Lobby::of(&place).full(2, "it".into()).to_string(), "shard 2 of swarm night is taken by it");
        assert!(
            refused(&["late", "there:7#1, there:8#2"])
                .starts_with("too late: swarm night has begun with there:7, there:8; ")
        );
        assert!(refused(&["terms", "{}"]).starts_with("swarm night carries out another plan: arrivals is "));
        for strange in [&["waiting", "4", "1", "ab"][..], &["waiting", "0", "1", "ab"], &["waiting", "1"], &[]] {
            assert!(refused(strange).contains("redis at there:6379 cannot be used: it says "), "{strange:?}");
        }
    }

    /// A place in a swarm of two; both members have the same host and the same process number.
    fn one_of_two(patience: Duration) -> Place {
        let terms = Terms::of(&Plan::default(), 2, &[]).expect("no profile");
        Place { name: "night".into(), member: "here:1".into(), terms, count: 2, wanted: None, patience }
    }

    const LONG: Duration = Duration::from_secs(60);

    async fn redis() -> (Redis, Store) {
        let redis = Redis::start().await.expect("a Redis");
        let store = Store::open(&redis.url()).expect("a good URL");
        (redis, store)
    }

    #[tokio::test]
    async fn two_of_the_same_name_are_two() {
        let (_redis, mut store) = redis().await;
        let place = one_of_two(LONG);
        let (one, other) = (Lobby::of(&place), Lobby::of(&place));
        let mut another_store = store.clone();
        let met = tokio::join!(one.meet(&mut store, &|_| {}), other.meet(&mut another_store, &|_| {}));
        let (Ok((one_shard, one_run)), Ok((other_shard, other_run))) = met else { panic!("{met:?}") };
        assert_eq!((one_shard.index + other_shard.index, &one_run), (3, &other_run));

        assert_eq!(one.leave(&mut store).await, Some((one_shard, one_run)), "the other begins with it");
        let late = Lobby::of(&place).meet(&mut store, &|_| {}).await.expect_err("a restarted one is another");
        assert!(late.to_string().starts_with("too late: swarm night has begun with here:1, here:1;"), "{late}");
    }

    #[tokio::test]
    async fn who_leaves_before_has_no_place_any_more() {
        let (_redis, mut store) = redis().await;
        let place = one_of_two(LONG);
        let (one, other) = (Lobby::of(&place), Lobby::of(&place));
        for _ in 0..2 {
            let said = one.ask(&mut store).await.unwrap_or_else(|_| panic!("it has a place"));
            assert_eq!(said, Said::Waiting { shard: 1, present: 1 });
            assert_eq!(one.leave(&mut store).await, None);
        }
        let said = other.ask(&mut store).await.unwrap_or_else(|_| panic!("it has a place"));
        assert_eq!(said, Said::Waiting { shard: 1, present: 1 });
    }

    #[tokio::test]
    async fn a_list_is_kept_by_its_own_run_only() {
        let (redis, mut store) = redis().await;
        let lobby = Keys::new("night", "old").lobby();
        redis.command(&[b"HSET", lobby.as_bytes(), b"run", b"new"]).await.expect("another run has begun");
        for (run, is_kept) in [("old", false), ("new", true)] {
            let mut commands = redis::pipe();
            keep(&mut commands, &Keys::new("night", run));
            store.ask::<()>(&commands).await.expect("it answers");
            let left = redis.command(&[b"PTTL", lobby.as_bytes()]).await.expect("it is there");
            assert_eq!(left != "-1", is_kept, "{run}: {left}");
        }
    }

    #[tokio::test]
    async fn nobody_gives_up_before_a_full_list() {
        let (_redis, mut store) = redis().await;
        let (place, hasty) = (one_of_two(LONG), one_of_two(Duration::ZERO));
        let (one, last) = (Lobby::of(&place), Lobby::of(&hasty));
        assert!(one.ask(&mut store).await.is_ok());
        let mut another_store = store.clone();
        let met = tokio::join!(one.meet(&mut store, &|_| {}), last.meet(&mut another_store, &|_| {}));
        assert!(met.0.is_ok() && met.1.is_ok(), "{met:?}");
    }

    #[tokio::test]
    async fn what_answers_and_says_no_is_not_waited_for() {
        let (redis, _) = redis().await;
        let mut store = Store::open(&format!("redis://:geheim@{}", redis.address())).expect("a good URL");
        let told = |news| panic!("{news:?}");
        let error = Lobby::of(&one_of_two(LONG)).meet(&mut store, &told).await.expect_err("it has no password");
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }
}
