//! What all members of a swarm must have in common: the plan as a whole, and what else decides what is measured.

use crate::dialect::profile::{self, Profile};
use crate::plan::Plan;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Differences told, as many as fit into one message; how many more there are is told as a number.
const SHOWN: usize = 3;
/// What belongs to a machine, and not to the run: files and directories of each, and what is agreed on later.
const OF_EACH_MACHINE: [&str; 5] = ["accounts", "keep", "tls_ca", "start_at_ms", "shard"];

/// The terms, as members compare them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(Map<String, Value>);

impl Terms {
    /// Those of a plan that `shards` members have parts of, and in the end assert this of the whole.
    ///
    /// # Errors
    /// A profile that cannot be read.
    pub fn of(plan: &Plan, shards: u32, assertions: &[String]) -> Result<Terms, profile::Error> {
        let settings = serde_json::to_value(plan).ok().and_then(|value| value.as_object().cloned());
        let mut terms = settings.expect("a plan is a struct of settings with names");
        OF_EACH_MACHINE.iter().for_each(|name| drop(terms.remove(*name)));
        // A file may have another name, or another content, elsewhere.
        if let Some(name) = &plan.profile {
            let profile = serde_json::to_value(Profile::find(name)?).expect("a profile is words and numbers by name");
            terms.insert("profile".into(), profile);
        }
        terms.insert("shards".into(), shards.into());
        terms.insert("assert".into(), assertions.into());
        terms.insert("loadgen".into(), env!("CARGO_PKG_VERSION").into());
        Ok(Terms(terms))
    }

    /// As it stands in Redis.
    pub fn text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// In what these differ from the terms that others wrote down, in words; `None` if in nothing.
    pub fn difference(&self, theirs: &str) -> Option<String> {
        let Ok(Value::Object(theirs)) = serde_json::from_str(theirs) else {
            return Some("its terms cannot be read: another version of loadgen wrote them".into());
        };
        let names: BTreeSet<&String> = self.0.keys().chain(theirs.keys()).collect();
        let shown = |value: Option<&Value>| value.map_or("not known".to_owned(), Value::to_string);
        let mut differences = names.into_iter().filter(|name| self.0.get(*name) != theirs.get(*name)).map(|name| {
            let name_there = name.strip_suffix("_s").unwrap_or(name);
            format!("{name_there} is {} here, and {} there", shown(self.0.get(name)), shown(theirs.get(name)))
        });
        let first: Vec<String> = differences.by_ref().take(SHOWN).collect();
        let more = differences.count();
        let more = if more > 0 { format!("; and {more} further differences") } else { String::new() };
        (!first.is_empty()).then(|| first.join("; ") + &more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(change: impl FnOnce(&mut Plan)) -> Terms {
        let mut plan = Plan { targets: vec!["10.0.0.1:8000".into()], ..Plan::default() };
        change(&mut plan);
        Terms::of(&plan, 3, &["lost == 0".to_owned()]).expect("no profile")
    }

    #[test]
    fn what_is_of_one_machine_makes_no_difference() {
        let other = terms(|plan| (plan.accounts, plan.keep) = (Some("here.json".into()), Some("there".into())));
        assert_eq!(terms(|_| {}).difference(&other.text()), None);
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let check = |other: Terms, expected: &str| {
            assert_eq!(terms(|_| {}).difference(&other.text()).as_deref(), Some(expected));
        };
        check(terms(|plan| plan.rate = 200.0), "rate is 1000.0 here, and 200.0 there");
        check(terms(|plan| plan.duration_s = 5.0), "duration is 20.0 here, and 5.0 there");
        check(Terms::of(&terms_plan(), 2, &["lost == 0".into()]).expect("no profile"), "shards is 3 here, and 2 there");
        let many = terms(|plan| {
            (plan.users, plan.qos, plan.body, plan.seed, plan.nodes) = (7, 0, 100, 9, 5);
        });
        check(
            many,
            "body is 64 here, and 100 there; nodes is 2 here, and 5 there; qos is 1 here, and 0 there; and 2 further \
             differences",
        );
    }

    fn terms_plan() -> Plan {
        Plan { targets: vec!["10.0.0.1:8000".into()], ..Plan::default() }
    }

    #[test]
    fn a_profile_counts_by_what_it_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("copy.toml");
        std::fs::write(&file, include_str!("../../profiles/course.toml")).expect("written");
        let shipped = terms(|plan| plan.profile = Some("course".into()));
        let copied = terms(|plan| plan.profile = Some(file.display().to_string()));
        assert_eq!(shipped.difference(&copied.text()), None);
        assert!(shipped.difference(&terms(|plan| plan.profile = Some("camel".into())).text()).is_some());
        let missing = Plan { profile: Some("no/such.toml".into()), ..Plan::default() };
        assert!(Terms::of(&missing, 3, &[]).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_a_difference() {
        assert!(terms(|_| {}).difference("[1").is_some());
        assert!(terms(|_| {}).difference("{}").is_some());
    }
}
