//! One plan carried out by several processes, on one machine or many: which part each has, and when all begin.
//!
//! A shard has its share of the users and of the rate, and accounts of its own, so that shards need to know nothing of
//! one another. Shares add up to the whole exactly. What they measured is added by [`crate::analyse::merge`].

use crate::plan::Plan;
use jiff::civil::Time;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// More processes than this are a slip of the pen.
const MAX_SHARDS: u32 = 10_000;

/// The `index`-th, from 1, of `count` parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    pub index: u32,
    pub count: u32,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').map(|(index, count)| (index.parse(), count.parse()));
        let Some((Ok(index), Ok(count))) = parts else {
            return Err(format!("{text:?} is not a shard; write K/N, as in 2/4"));
        };
        if count == 0 || count > MAX_SHARDS || index == 0 || index > count {
            return Err(format!("shard {text}: K is from 1 to N, and N is at most {MAX_SHARDS}"));
        }
        Ok(Shard { index, count })
    }
}

impl Shard {
    /// This shard's part of a plan: its users, its rate, and names and files that no other shard uses.
    pub fn part(self, plan: &Plan) -> Plan {
        let tag = self.tag();
        Plan {
            users: self.share(plan.users),
            rate: plan.rate / f64::from(self.count),
            prefix: format!("{}-{tag}", plan.prefix),
            seed: plan.seed.wrapping_add(u64::from(self.index) - 1),
            accounts: plan.accounts.as_deref().map(|path| beside(path, &tag)),
            keep: plan.keep.as_deref().map(|path| path.join(&tag)),
            shard: Some(self),
            ..plan.clone()
        }
    }

    /// What tells this shard's names from those of the others.
    pub fn tag(self) -> String {
        format!("{}of{}", self.index, self.count)
    }

    /// Whole users; the first shards have one more where it does not come out even.
    fn share(self, users: u32) -> u32 {
        users / self.count + u32::from(self.index <= users % self.count)
    }
}

/// `accounts.json` becomes `accounts-2of4.json`.
fn beside(path: &Path, tag: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}-{tag}{extension}"))
}

/// Reads a start time, in milliseconds since the Unix epoch: RFC 3339 (`2030-01-31T15:40:00Z`), the next such time of
/// day on this machine's clock (`15:40` or `15:40:30`), or seconds since the epoch (`@1700000000`).
pub fn parse_start(text: &str) -> Result<i64, String> {
    parse_start_from(text, &ZonedDateTime::now())
}

fn parse_start_from(text: &str, now: &ZonedDateTime) -> Result<i64, String> {
    let wrong =
        || format!("{text:?} is not a time; write 2030-01-31T15:40:00Z, 15:40:30 (local) or @SECONDS of Unix time");
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds: f64 = seconds.parse().map_err(|_| wrong())?;
        return if seconds.is_finite() { Ok((seconds * 1e3) as i64) } else { Err(wrong()) };
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let time: Time = text.parse().ok().filter(|_| text.contains(':')).ok_or_else(wrong)?;
    let today = now.date().to_datetime(time).to_zoned_datetime(now.time_zone().clone()).map_err(|_| wrong())?;
    let next = if today < *now { today.checked_add(1.day()).map_err(|_| wrong())? } else { today };
    Ok(next.timestamp().as_millisecond())
}

/// A time as a person reads it, in UTC.
pub fn show_time(millis: i64) -> String {
    let timestamp = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_written_k_of_n() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        assert_eq!("1/1".parse::<Shard>().expect("the least").to_string(), "1/1");
        for wrong in ["", "2", "0/4", "5/4", "1/0", "a/b", "-1/2", "1/2/3", "1/10001"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_add_up_to_the_whole_and_share_nothing() {
        let plan = Plan { users: 4_003, rate: 1_000.0, accounts: Some("dir/a.json".into()), ..Plan::default() };
        let parts: Vec<Plan> = (1..=4).map(|index| Shard { index, count: 4 }.part(&plan)).collect();
        assert_eq!(parts.iter().map(|part| part.users).collect::<Vec<_>>(), [1_001, 1_001, 1_001, 1_000]);
        assert_eq!(parts.iter().map(|part| part.rate).sum::<f64>(), 1_000.0);
        assert_eq!(parts[1].accounts.as_deref(), Some(Path::new("dir/a-2of4.json")));
        assert_eq!(parts[1].prefix, "lg-2of4");
        assert_ne!(parts[0].seed, parts[1].seed);
    }

    #[test]
    fn a_start_is_a_moment_or_the_next_such_time_of_day() {
        let now: ZonedDateTime = "2030-01-31T15:40:00+01:00[+01:00]".parse().expect("a lawful time");
        for (text, expected) in [
            ("2030-01-31T15:00:00Z", "2030-01-31T15:00:00Z"),
            ("2030-01-31T15:00:00+02:00", "2030-01-31T13:00:00Z"),
            ("15:41", "2030-01-31T14:41:00Z"),
            ("15:40:30", "2030-01-31T14:40:30Z"),
            ("15:39", "2030-02-01T14:39:00Z"),
            ("@1896102000.5", "2030-01-31T15:00:00.5Z"),
        ] {
            let expected: Timestamp = expected.parse().expect("a lawful time");
            assert_eq!(parse_start_from(text, &now), Ok(expected.as_millisecond()), "{text}");
        }
        for wrong in ["", "now", "25:00", "@", "@inf", "15"] {
            assert!(parse_start_from(wrong, &now).is_err(), "{wrong}");
        }
    }
}
