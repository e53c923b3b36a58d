//! What a run is to do: the flags of `loadgen run` and the keys of a plan file, which are the same.
//!
//! A plan is stored with its result, so that a run can be made again. Durations are in seconds.

mod layout;
mod shard;

pub use layout::{Cast, Layout};
pub use shard::{MAX_SHARDS, Shard, parse_start, show_time};

use crate::scenario::Kind;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How intended send times follow one another in the open model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At random, as independent people would.
    #[default]
    Poisson,
    /// Evenly spaced.
    Constant,
}

/// Who sends when a message is due (open model).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// One thread: the least lateness, the highest rates.
    #[default]
    Native,
    /// goose, with its dashboard, thresholds, baselines and reports; only where it is built in (cargo feature `goose`).
    Goose,
}

/// Where the nodes of an embedded cluster run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum NodesAs {
    /// On threads of the generator's process.
    Threads,
    /// All in one process of their own, with a file limit, CPU and memory apart from the generator's.
    Process,
}

/// Which wire protocol to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DialectName {
    #[default]
    Framed,
    Checked,
    Bare,
}

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// `host:port` of nodes or of a load balancer; none: an embedded cluster.
    pub targets: Vec<String>,
    pub dialect: DialectName,
    /// A profile file or the name of a shipped one, for classic servers.
    pub profile: Option<String>,
    pub users: u32,
    /// Messages per second in all (open model).
    pub rate: f64,
    pub arrivals: Arrivals,
    pub driver: Driver,
    /// Flags for goose itself.
    pub goose: Vec<String>,
    /// Messages outstanding per stream (closed model), instead of `rate`.
    pub window: Option<u32>,
    /// Messages on their way per stream to a server that acknowledges nothing (open model); none: what the profile
    /// says.
    pub outstanding: Option<u32>,
    /// How long such a message may be on its way before the next is sent without it.
    pub lost_after_s: f64,
    /// The measured time.
    pub duration_s: f64,
    /// Time over which the users log in.
    pub ramp_s: f64,
    /// The longest wait for what is still on its way after the measured time.
    pub drain_s: f64,
    /// Scenarios and their shares of users and of messages.
    pub mix: BTreeMap<Kind, f64>,
    pub qos: u8,
    /// Bytes of text in a message.
    pub body: usize,
    pub seed: u64,
    /// Members of a group.
    pub group_size: u32,
    /// Members of each group who also send.
    pub group_senders: u32,
    /// Friends whom each user writes to.
    pub friends: u32,
    /// How long users of `offline` are away, and between two storms of `login_storm` and `reconnect_storm`.
    pub away_s: f64,
    pub tls: bool,
    /// PEM file of the authorities to trust; none with `tls`: any certificate.
    pub tls_ca: Option<PathBuf>,
    /// Where accounts are kept between runs.
    pub accounts: Option<PathBuf>,
    /// Names of the accounts begin with this.
    pub prefix: String,
    /// Nodes of the embedded cluster.
    pub nodes: u32,
    /// None: as the number of users asks for.
    pub nodes_as: Option<NodesAs>,
    /// Where the history and HDR logs are kept.
    pub keep: Option<PathBuf>,
    /// For connecting and logging in, each try.
    pub connect_timeout_s: f64,
    /// When the measured time is to begin, in milliseconds since the Unix epoch; none: as soon as everybody is ready.
    pub start_at_ms: Option<i64>,
    /// Which part of a plan this is, where several processes share one.
    pub shard: Option<Shard>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            targets: Vec::new(),
            dialect: DialectName::Framed,
            profile: None,
            users: 400,
            rate: 1_000.0,
            arrivals: Arrivals::Poisson,
            driver: Driver::Native,
            goose: Vec::new(),
            window: None,
            outstanding: None,
            lost_after_s: 5.0,
            duration_s: 20.0,
            ramp_s: 2.0,
            drain_s: 25.0,
            mix: Kind::default_mix(),
            qos: 1,
            body: 64,
            seed: 1,
            group_size: 10,
            group_senders: 2,
            friends: 1,
            away_s: 3.0,
            tls: false,
            tls_ca: None,
            accounts: None,
            prefix: "lg".into(),
            nodes: 2,
            nodes_as: None,
            keep: None,
            connect_timeout_s: 10.0,
            start_at_ms: None,
            shard: None,
        }
    }
}

/// Why a plan cannot be carried out. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the plan {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{0}")]
    Invalid(String),
}

impl Plan {
    /// Reads a plan file.
    pub fn load(path: &Path) -> Result<Plan, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::Read { path: path.to_owned(), cause })?;
        toml::from_str(&text).map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })
    }

    /// Finds what cannot be carried out.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |text: &str| Err(Error::Invalid(text.to_owned()));
        let shares = self.mix.values().all(|share| share.is_finite() && *share >= 0.0);
        if !shares || self.mix.values().sum::<f64>() <= 0.0 {
            return fail("the mix needs at least one scenario with a share above 0");
        }
        if self.users < 2 {
            return fail("at least 2 users are needed: one to send, one to receive");
        }
        if self.qos > 1 {
            return fail("qos is 0 or 1");
        }
        if !(self.rate.is_finite() && self.rate >= 0.0 && self.rate <= 10_000_000.0) {
            return fail("rate should be from 0 to 10000000 messages per second");
        }
        if self.driver == Driver::Goose && self.window.is_some() {
            return fail("goose sends at a rate: leave out either window or goose");
        }
        if self.driver == Driver::Native && !self.goose.is_empty() {
            return fail("flags for goose need the driver goose");
        }
        if self.window == Some(0) || self.outstanding == Some(0) {
            return fail("window and outstanding should be at least 1");
        }
        if !(self.lost_after_s.is_finite() && (0.01..=3_600.0).contains(&self.lost_after_s)) {
            return fail("lost_after should be from 0.01 to 3600 seconds");
        }
        for (name, value) in
            [("duration", self.duration_s), ("ramp", self.ramp_s), ("drain", self.drain_s), ("away", self.away_s)]
        {
            if !(value.is_finite() && (0.0..=864_000.0).contains(&value)) {
                return Err(Error::Invalid(format!("{name} should be from 0 to 864000 seconds")));
            }
        }
        if self.group_size < 2 || self.group_size > 10_000 || self.group_senders < 1 {
            return fail("a group has from 2 to 10000 members, and at least 1 sender");
        }
        if self.body > 32_768 {
            return fail("body should be at most 32768 bytes");
        }
        Ok(())
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration_s)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.connect_timeout_s)
    }

    /// How long one who waits in turn (for a password to be hashed, for a slow start) is waited for.
    pub fn patience(&self) -> Duration {
        2 * self.connect_timeout()
    }

    /// A shard's part of the plan: its users, its rate, and names and files that no other shard uses.
    pub fn part(&self, shard: Shard) -> Plan {
        let tag = shard.tag();
        Plan {
            users: shard.share(self.users),
            rate: self.rate / f64::from(shard.count),
            prefix: format!("{}-{tag}", self.prefix),
            seed: self.seed.wrapping_add(u64::from(shard.index) - 1),
            accounts: self.accounts.as_deref().map(|path| beside(path, &tag)),
            keep: self.keep.as_deref().map(|path| path.join(&tag)),
            shard: Some(shard),
            ..self.clone()
        }
    }

    /// The scenarios and their shares, in one line.
    pub fn mix_in_words(&self) -> String {
        let shares = self.mix.iter().map(|(kind, share)| format!("{} {share}", kind.name()));
        shares.collect::<Vec<_>>().join(", ")
    }
}

/// `accounts.json` becomes `accounts-2of4.json`.
fn beside(path: &Path, tag: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}-{tag}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_and_share_nothing() {
        let plan = Plan { users: 4_003, rate: 1_000.0, accounts: Some("dir/a.json".into()), ..Plan::default() };
        let parts: Vec<Plan> = (1..=4).map(|index| plan.part(Shard { index, count: 4 })).collect();
        assert_eq!(parts.iter().map(|part| part.users).collect::<Vec<_>>(), [1_001, 1_001, 1_001, 1_000]);
        assert_eq!(parts.iter().map(|part| part.rate).sum::<f64>(), 1_000.0);
        assert_eq!(parts[1].accounts.as_deref(), Some(Path::new("dir/a-2of4.json")));
        assert_eq!(parts[1].prefix, "lg-2of4");
        assert_ne!(parts[0].seed, parts[1].seed);
    }
}
