//! Where members meet before a run: each takes a shard that no other has, and all wait until everybody is there.
//!
//! The list of who takes part is one hash in Redis, and one script does all that is done to it, so two members never
//! take the same shard. A place is held for a few seconds and kept by asking again. Once all are taken, and each holder
//! has asked again since, the list is closed, and whoever comes later is refused: so nobody begins with a member that
//! died while it waited. The list goes by itself soon after the last member was heard, and is removed as soon as the
//! first has ended, so that no earlier run is in the way.

use super::keys::{Keys, LOBBY_KEPT, millis};
use super::store::{Store, Unreachable};
use super::{Error, Terms};
use crate::plan::Shard;
use std::time::{Duration, Instant};

/// A member that is not heard for so long before all are there has given its place up.
const PLACE_HELD: Duration = Duration::from_secs(5);
/// Between two looks at who is there.
const POLL: Duration = Duration::from_millis(200);
/// Redis may be away for so long while members meet.
const REDIS_PATIENCE: Duration = Duration::from_secs(10);

/// Takes or keeps a place. KEYS: the list. ARGV: who asks; the terms; how many places there are; the place wanted, or
/// 0; the number of the run if this begins one; how long a place is held, and the list kept, in milliseconds. Answers
/// with a word and what belongs to it, all as text.
const TAKE_A_PLACE: &str = "
local lobby, me, terms, count, wanted = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('EXISTS', lobby) == 0 then
  redis.call('HSET', lobby, 'run', ARGV[5], 'terms', terms)
end
local theirs = redis.call('HGET', lobby, 'terms')
if theirs ~= terms then return {'terms', theirs or ''} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine, free, present, longest_silent, holders = nil, nil, 0, now, {}
for place = 1, count do
  local holder = redis.call('HGET', lobby, 'holder:' .. place)
  local asked = tonumber(redis.call('HGET', lobby, 'asked:' .. place) or '0')
  if holder == me then mine = place
  elseif holder and asked + ARGV[6] > now then
    present = present + 1
    longest_silent = math.min(longest_silent, asked)
  elseif not free and (wanted == 0 or wanted == place) then free = place end
  if holder then holders[#holders + 1] = holder end
end
if redis.call('HEXISTS', lobby, 'closed') == 1 then
  if not mine then return {'late', table.concat(holders, ', ')} end
else
  mine = mine or free
  if not mine then return {'taken', tostring(present), redis.call('HGET', lobby, 'holder:' .. wanted) or ''} end
  redis.call('HSET', lobby, 'holder:' .. mine, me, 'asked:' .. mine, string.format('%.0f', now))
  local full = tonumber(redis.call('HGET', lobby, 'full') or '0')
  if present + 1 < count then redis.call('HDEL', lobby, 'full')
  elseif full == 0 then redis.call('HSET', lobby, 'full', string.format('%.0f', now))
  elseif longest_silent > full then redis.call('HSET', lobby, 'closed', '1') end
end
redis.call('PEXPIRE', lobby, ARGV[7])
local word = redis.call('HEXISTS', lobby, 'closed') == 1 and 'closed' or 'waiting'
return {word, tostring(mine), tostring(present + 1), redis.call('HGET', lobby, 'run')}
";

/// Gives a place up. KEYS: the list. ARGV: who had it; its number.
const GIVE_UP_THE_PLACE: &str = "
local place = 'holder:' .. ARGV[2]
if redis.call('HGET', KEYS[1], place) == ARGV[1] then redis.call('HDEL', KEYS[1], place, 'asked:' .. ARGV[2]) end
return 'OK'
";

/// Removes the list of a run that is over, unless it is another's by now. KEYS: the list. ARGV: the run's number.
const REMOVE: &str = "
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'OK'
";

/// What a member asks for.
#[derive(Clone, Debug)]
pub struct Place {
    /// The swarm's name.
    pub name: String,
    /// Who asks: unlike any other, and a person can tell who it is.
    pub member: String,
    pub terms: Terms,
    /// Members in all.
    pub count: u32,
    /// The shard that it is to be, from 1; none: any that is free.
    pub wanted: Option<u32>,
    /// The longest wait for the others.
    pub patience: Duration,
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

/// Takes a place and waits until everybody is there; `told` hears how many are, whenever that changes. Answers with the
/// shard, and the number of the run that all have in common.
///
/// # Errors
/// Another plan, no free place, too late, too few, or no Redis.
pub async fn meet(store: &mut Store, place: &Place, told: &dyn Fn(Shard, u32)) -> Result<(Shard, Keys), Error> {
    let begun = Instant::now();
    let new_run = format!("{:016x}", fastrand::u64(..));
    let (mut last, mut away_since) = (None, None);
    loop {
        let is_over = begun.elapsed() >= place.patience;
        match ask(store, place, &new_run).await {
            Err(Failed::Unreachable(error)) => {
                // A wrong address or password is told at once, a restart while members meet is waited for.
                let since = *away_since.get_or_insert_with(Instant::now);
                if last.is_none() || since.elapsed() >= REDIS_PATIENCE {
                    return Err(error.into());
                }
            }
            Err(Failed::Refused(error)) => return Err(error),
            Ok(Said::Closed { shard, run }) => {
                let shard = Shard { index: shard, count: place.count };
                told(shard, place.count);
                return Ok((shard, Keys::new(&place.name, &run)));
            }
            Ok(Said::Full { present, holder }) if is_over => return Err(full(place, present, holder)),
            Ok(Said::Full { .. }) => away_since = None,
            Ok(Said::Waiting { shard, present }) if is_over => {
                give_up(store, place, shard).await;
                return Err(alone(place, present));
            }
            Ok(Said::Waiting { shard, present }) => {
                away_since = None;
                if last.replace((shard, present)) != Some((shard, present)) {
                    told(Shard { index: shard, count: place.count }, present);
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn alone(place: &Place, present: u32) -> Error {
    let (name, count, seconds) = (place.name.clone(), place.count, place.patience.as_secs());
    Error::Alone { name, present, count, seconds }
}

fn full(place: &Place, present: u32, holder: String) -> Error {
    match place.wanted {
        Some(shard) => Error::Taken { name: place.name.clone(), shard, holder },
        None => alone(place, present),
    }
}

/// Leaves before all are there, so that another can have the place at once. Without an answer it is free a few seconds
/// later.
pub async fn leave(store: &mut Store, place: &Place) {
    for shard in 1..=place.count {
        give_up(store, place, shard).await;
    }
}

async fn give_up(store: &mut Store, place: &Place, shard: u32) {
    let lobby = Keys::new(&place.name, "").lobby();
    let mut commands = redis::pipe();
    commands.cmd("EVAL").arg(GIVE_UP_THE_PLACE).arg(1).arg(lobby).arg(&place.member).arg(shard);
    let _ = store.ask::<()>(&commands).await;
}

/// The run is ending: a next one under the same name can meet.
pub async fn remove(store: &mut Store, keys: &Keys) -> Result<(), Unreachable> {
    let mut commands = redis::pipe();
    commands.cmd("EVAL").arg(REMOVE).arg(1).arg(keys.lobby()).arg(keys.run());
    store.ask(&commands).await
}

enum Failed {
    Unreachable(Unreachable),
    Refused(Error),
}

async fn ask(store: &mut Store, place: &Place, new_run: &str) -> Result<Said, Failed> {
    let mut commands = redis::pipe();
    commands.cmd("EVAL").arg(TAKE_A_PLACE).arg(1).arg(Keys::new(&place.name, "").lobby());
    commands.arg(&place.member).arg(place.terms.text()).arg(place.count).arg(place.wanted.unwrap_or(0)).arg(new_run);
    commands.arg(millis(PLACE_HELD)).arg(millis(LOBBY_KEPT));
    let (answer,): (Vec<String>,) = store.ask(&commands).await.map_err(Failed::Unreachable)?;
    read(&answer, place, store.address()).map_err(Failed::Refused)
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
        ["late", members] => Err(Error::Late { name, members: (*members).to_owned() }),
        ["taken", present, holder] => {
            let present = present.parse().map_err(|_| strange())?;
            Ok(Said::Full { present, holder: (*holder).to_owned() })
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
        assert_eq!(said(&["taken", "2", "it"]), Ok(Said::Full { present: 2, holder: "it".into() }));
        assert_eq!(full(&place, 2, "it".into()).to_string(), "shard 2 of swarm night is taken by it");
        assert!(refused(&["late", "there:7, there:8"]).starts_with("too late: swarm night has begun with there:7, "));
        assert!(refused(&["terms", "{}"]).starts_with("swarm night carries out another plan: arrivals is "));
        for strange in [&["waiting", "4", "1", "ab"][..], &["waiting", "0", "1", "ab"], &["waiting", "1"], &[]] {
            assert!(refused(strange).contains("redis at there:6379 cannot be used: it says "), "{strange:?}");
        }
    }
}
