//! One plan carried out by several processes, on one machine or many: which part each has, and when all begin.
//!
//! A shard has its share of the users and of the rate, and accounts of its own, so that shards need to know nothing of
//! one another. Shares add up to the whole exactly. What they measured is added by `loadgen merge`.

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// More processes than this are a slip of the pen.
pub const MAX_SHARDS: u32 = 10_000;

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
    /// What tells this shard's names from those of the others.
    pub fn tag(self) -> String {
        format!("{}of{}", self.index, self.count)
    }

    /// Whole users; the first shards have one more where it does not come out even.
    pub fn share(self, users: u32) -> u32 {
        users / self.count + u32::from(self.index <= users % self.count)
    }
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
