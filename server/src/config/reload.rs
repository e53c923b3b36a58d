//! Which settings can change while a node runs, and which wait for its next start.
//!
//! What is looked at each time it is needed can change: limits of connections, sessions and messages, certificates, the
//! balancers' addresses, the log's filter. What was given to a task or a pool at the start cannot.

use super::limits::Limits;
use super::{Admin, Config, Listen, Log, Password};
use serde_json::Value as Json;

impl Config {
    /// These settings with all of `new` that can change while the node runs.
    #[must_use]
    pub fn reloaded(&self, new: &Config) -> Config {
        let Config { node, listen, database, bus, password, limits, retention, tls: _, admin, log } = self.clone();
        // Given to tasks and counters at the start.
        let Limits {
            failed_logins_per_minute,
            failed_logins_per_minute_per_ip,
            registrations_per_hour_per_ip,
            repair_interval_s,
            ..
        } = limits;
        let limits = Limits {
            failed_logins_per_minute,
            failed_logins_per_minute_per_ip,
            registrations_per_hour_per_ip,
            repair_interval_s,
            ..new.limits.clone()
        };
        let Listen { proxy_protocol, proxy_from, .. } = new.listen.clone();
        Config {
            node,
            listen: Listen { proxy_protocol, proxy_from, ..listen },
            database,
            bus,
            password: Password { token_days: new.password.token_days, ..password },
            limits,
            retention,
            tls: new.tls.clone(),
            admin: Admin { address: admin.address, ..new.admin.clone() },
            log: Log { filter: new.log.filter.clone(), ..log },
        }
    }

    /// The keys, as `section.key`, whose values are others in `other`.
    pub fn differences(&self, other: &Config) -> Vec<String> {
        let json = |config| serde_json::to_value(config).expect("settings serialise");
        let (ours, theirs) = (json(self), json(other));
        let sections = ours.as_object().into_iter().flatten();
        let keys = sections.flat_map(|(section, values)| {
            values.as_object().into_iter().flatten().map(move |(key, value)| (section, key, value))
        });
        let differ =
            |(section, key, value): &(&String, &String, &Json)| theirs[section.as_str()][key.as_str()] != **value;
        keys.filter(differ).map(|(section, key, _)| format!("{section}.{key}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/server.toml");
    /// What conf/server.toml says of a key that waits for the next start.
    const AT_START: &str = "Read at start only.";

    /// Settings of which none is the default.
    fn changed() -> Config {
        let mut all = serde_json::to_value(Config::default()).unwrap();
        for (name, section) in all.as_object_mut().unwrap() {
            for (key, value) in section.as_object_mut().unwrap() {
                *value = match value {
                    Json::Bool(flag) => Json::Bool(!*flag),
                    Json::Number(number) => (number.as_u64().unwrap() + 1).into(),
                    _ if (name.as_str(), key.as_str()) == ("log", "format") => "json".into(),
                    _ => "changed".into(),
                };
            }
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn differences_are_named_by_their_keys() {
        let mut other = Config::default();
        (other.listen.port, other.limits.heartbeat_s) = (1, 2);

        assert_eq!(Config::default().differences(&other), ["limits.heartbeat_s", "listen.port"]);
        assert!(other.differences(&other).is_empty());
    }

    #[test]
    fn shipped_file_says_which_keys_wait_for_the_next_start() {
        let text = fs::read_to_string(Path::new(SHIPPED)).unwrap();
        let (mut section, mut comment, mut said) = (String::new(), String::new(), Vec::new());
        for line in text.lines() {
            match line.split_once(" = ") {
                _ if line.starts_with('#') => comment.push_str(line),
                _ if line.starts_with('[') => section = line.trim_matches(['[', ']']).to_owned(),
                Some((key, _)) if std::mem::take(&mut comment).contains(AT_START) => {
                    said.push(format!("{section}.{key}"))
                }
                _ => comment.clear(),
            }
        }
        said.sort_unstable();

        let reloaded = Config::default().reloaded(&changed());

        assert_eq!(reloaded.differences(&changed()), said);
    }
}
