//! Faults as they are written: on the command line, in stories, and from one process to another.

use super::{Direction, Fault};
use crate::link::proxy::Trouble;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Every fault: how it is written, and what it does.
const FAULTS: [(&str, &str); 14] = [
    ("kill MACHINE", "ends at once, as in a power failure; heals by starting again"),
    ("term MACHINE", "is asked to end, and given the time for it; heals by starting again"),
    ("pause MACHINE", "stands still with its connections open"),
    ("restart MACHINE", "ends at once and starts again; nothing is left to heal"),
    ("rolling-restart", "every node in turn is asked to end, and started again; nothing is left to heal"),
    ("isolate MACHINE", "has no network at all: its cable is out"),
    ("cut ONE OTHER", "packets between two machines are lost, both ways (takes root and iptables)"),
    ("cut-from ONE OTHER", "packets from one machine to another are lost"),
    ("slow ONE OTHER MILLISECONDS", "each way between a node and database or redis takes that much longer"),
    ("thin ONE OTHER BYTES_PER_SECOND", "each connection between them passes at most that much, each way"),
    ("silent ONE OTHER", "nothing passes between them, and neither is told; afterwards it all does"),
    ("reset ONE OTHER", "every open connection between them is broken off; nothing is left to heal"),
    ("exhaust database", "every connection of the database is taken, the nodes' own among them"),
    ("reload", "nginx reads its configuration again; nothing is left to heal"),
];

/// What can be broken, a line each, for a help text.
pub fn help() -> String {
    let mut text = "Faults:\n".to_owned();
    for (usage, effect) in FAULTS {
        text += &format!("  {usage:<32} {effect}\n");
    }
    text + "\nA MACHINE is node-1, node-2 …, database, redis or nginx. The links of slow, thin, silent and reset are those between \
            a node\nand database or redis, in a cluster started with harness up --proxied."
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(role) => write!(f, "kill {role}"),
            Fault::Terminate(role) => write!(f, "term {role}"),
            Fault::Pause(role) => write!(f, "pause {role}"),
            Fault::Restart(role) => write!(f, "restart {role}"),
            Fault::RollingRestart => write!(f, "rolling-restart"),
            Fault::Isolate(role) => write!(f, "isolate {role}"),
            Fault::Cut { one, direction: Direction::Both, other } => write!(f, "cut {one} {other}"),
            Fault::Cut { one, direction: Direction::Forth, other } => write!(f, "cut-from {one} {other}"),
            Fault::Link { one, trouble, other } => match trouble {
                Trouble::Slow(latency) => write!(f, "slow {one} {other} {}", latency.as_millis()),
                Trouble::Thin(bytes_per_second) => write!(f, "thin {one} {other} {bytes_per_second}"),
                Trouble::Silent => write!(f, "silent {one} {other}"),
                Trouble::Reset => write!(f, "reset {one} {other}"),
            },
            Fault::Exhaust => write!(f, "exhaust database"),
            Fault::Reload => write!(f, "reload"),
        }
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["kill", role] => Fault::Kill(role.into()),
            ["term", role] => Fault::Terminate(role.into()),
            ["pause", role] => Fault::Pause(role.into()),
            ["restart", role] => Fault::Restart(role.into()),
            ["rolling-restart"] => Fault::RollingRestart,
            ["isolate", role] => Fault::Isolate(role.into()),
            ["cut", one, other] => Fault::cut(one, other),
            ["cut-from", one, other] => {
                Fault::Cut { one: one.into(), direction: Direction::Forth, other: other.into() }
            }
            ["slow", one, other, milliseconds] => {
                Fault::link(one, Trouble::Slow(Duration::from_millis(number(milliseconds, "milliseconds")?)), other)
            }
            ["thin", one, other, rate] => Fault::link(one, Trouble::Thin(number(rate, "bytes a second")?), other),
            ["silent", one, other] => Fault::link(one, Trouble::Silent, other),
            ["reset", one, other] => Fault::link(one, Trouble::Reset, other),
            ["exhaust", "database"] => Fault::Exhaust,
            ["reload"] => Fault::Reload,
            _ => {
                let usages: Vec<&str> = FAULTS.iter().map(|(usage, _)| *usage).collect();
                bail!("there is no fault {text:?}, but: {}", usages.join("; "))
            }
        })
    }
}

/// A number that a link's trouble is measured in: not 0, which would be no trouble, or silence.
fn number(text: &str, unit: &str) -> Result<u64> {
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    number.map(u64::from).with_context(|| format!("{unit} are a whole number from 1 to {}, not {text:?}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for (usage, _) in FAULTS {
            let text = usage.replace("MACHINE", "node-2").replace("ONE", "node-1").replace("OTHER", "redis");
            let text = text.replace("MILLISECONDS", "100").replace("BYTES_PER_SECOND", "4000");
            let fault: Fault = text.parse().expect("it is a fault");
            assert_eq!(fault.to_string(), text);
            assert!(help().contains(usage), "{usage}");
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        let check = |text: &str, why: &str| {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        };
        for text in ["", "kill", "kill a b", "explode node-1", "slow node-1 redis", "exhaust redis"] {
            check(text, "exhaust database");
        }
        check("slow node-1 redis 0", "milliseconds are a whole number from 1");
        check("thin node-1 redis 1.5", "bytes a second are a whole number from 1");
    }
}
