//! What runs got to, and how often: claims of the sort "sometimes". A simulator that never reaches a state proves
//! nothing about it, so every name is known beforehand, and those that no run reached can be told.

use crate::counters;
use crate::schedule::{Breaking, Doing, Workload};
use chat_protocol::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::VariantNames;

/// How often what was reached, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reached(BTreeMap<String, u64>);

impl Reached {
    pub fn count(&mut self, name: impl Into<String>) {
        self.add(name, 1);
    }

    /// Nothing is reached no times.
    pub fn add(&mut self, name: impl Into<String>, times: u64) {
        if times > 0 {
            *self.0.entry(name.into()).or_default() += times;
        }
    }

    pub fn merge(&mut self, other: &Reached) {
        other.0.iter().for_each(|(name, times)| self.add(name, *times));
    }

    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, times)| (name.as_str(), *times))
    }

    /// Those of the names that were never reached.
    pub fn missing(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| !self.0.contains_key(*name)).cloned().collect()
    }
}

/// What people notice.
pub(crate) const STORED: &str = "message: acknowledged as stored";
pub(crate) const RELAYED: &str = "message: acknowledged as relayed";
pub(crate) const ACKED_AGAIN: &str = "message: acknowledged once more";
pub(crate) const SENT_AGAIN: &str = "message: sent again by the client";
pub(crate) const PUSHED_AGAIN: &str = "message: pushed again in another session";
pub(crate) const RECONNECTED: &str = "client: connected again";
pub(crate) const SILENT_NODE: &str = "client: its node was silent for too long";
pub(crate) const EVENT: &str = "client: told an EVENT";
/// Of workloads with classic clients.
pub(crate) const CLASSIC_REFUSED: &str = "classic: refused";
const NOTICED: &[&str] = &[STORED, RELAYED, ACKED_AGAIN, SENT_AGAIN, PUSHED_AGAIN, RECONNECTED, SILENT_NODE, EVENT];

/// What people are told: of the others some cannot come of what they do (unknown msgids, strangers who guess), and some
/// never reach whoever they are for.
const ERRNOS: &[Errno] = &[Errno::LoggedIn, Errno::Unavailable];
const ERRNOS_OF_REQUESTS: &[Errno] = &[Errno::WrongCredentials, Errno::NotAllowed, Errno::Exists, Errno::MidReused];
/// Whoever is idle for too long cannot be reached either.
const NOTICES: &[Errno] = &[Errno::Replaced, Errno::Draining, Errno::SlowReader];

/// All that enough runs of this workload must reach.
pub fn names(workload: Workload) -> Vec<String> {
    let faults = Breaking::VARIANTS.iter().map(|fault| name_of_fault(fault));
    let steps = Doing::VARIANTS.iter().filter(|step| workload.does(step)).map(|step| name_of_step(step));
    let asked = if workload.has_requests() { ERRNOS_OF_REQUESTS } else { &[] };
    let errnos = ERRNOS.iter().chain(asked).map(|errno| name_of_errno(*errno));
    let notices = NOTICES.iter().map(|errno| name_of_notice(*errno));
    let classic = workload.has_classic().then_some(CLASSIC_REFUSED);
    let noticed = NOTICED.iter().copied().chain(classic).map(str::to_owned);
    faults.chain(steps).chain(errnos).chain(notices).chain(noticed).chain(counters::names()).collect()
}

/// The fault struck while it mattered.
pub(crate) fn name_of_fault(fault: &str) -> String {
    format!("fault: {fault}")
}

/// It was a user's turn to do it.
pub(crate) fn name_of_step(step: &str) -> String {
    format!("step: {step}")
}

/// A request was refused so.
pub(crate) fn name_of_errno(errno: Errno) -> String {
    format!("errno {}: {}", errno.code(), errno.text())
}

/// A NOTICE said so.
pub(crate) fn name_of_notice(errno: Errno) -> String {
    format!("notice {}: {}", errno.code(), errno.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn what_was_never_reached_is_named() {
        let (mut one, mut other) = (Reached::default(), Reached::default());
        one.count("a");
        other.add("a", 2);
        other.add("b", 0);
        one.merge(&other);

        assert_eq!(one.of("a"), 3);
        assert_eq!(one.missing(&["a".into(), "b".into()]), ["b"]);
        assert_eq!(serde_json::to_string(&one).expect("plain data"), r#"{"a":3}"#);
    }

    #[test]
    fn every_name_stands_for_one_thing() {
        for workload in Workload::value_variants() {
            let mut names = names(*workload);
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all);
        }
    }
}
