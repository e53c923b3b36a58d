//! Whether a server's settings keep what was acknowledged.

use super::role::named_values;
use sqlx::MySqlConnection;
use std::collections::BTreeMap;

/// A time-out of semi-synchronous replication that is as good as none: nobody waits for a day.
const NO_TIMEOUT_MS: u64 = 86_400_000;

/// MariaDB and MySQL name some of them differently; where both names are there, both mean the same.
const SETTINGS: &str = "\
    SHOW GLOBAL VARIABLES WHERE Variable_name IN (\
        'version', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'wsrep_on', 'wsrep_provider_options', \
        'group_replication_group_name', \
        'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_timeout', 'rpl_semi_sync_master_wait_point', \
        'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_timeout', 'rpl_semi_sync_source_wait_point'); \
    SHOW GLOBAL STATUS WHERE Variable_name IN (\
        'wsrep_cluster_size', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_source_clients')";
const MEMBERS: &str = "\
    SELECT 'group_members', CAST(COUNT(*) AS CHAR) FROM performance_schema.replication_group_members \
    WHERE member_state = 'ONLINE'";

/// Product and version, and the warnings.
pub async fn ask(connection: &mut MySqlConnection, servers: usize) -> sqlx::Result<(String, Vec<String>)> {
    let mut settings = named_values(connection, SETTINGS).await?;
    if settings.get("group_replication_group_name").is_some_and(|name| !name.is_empty()) {
        settings.extend(named_values(connection, MEMBERS).await?);
    }
    let version = settings.get("version").cloned().unwrap_or_default();
    let product = if version.contains("MariaDB") { "" } else { "MySQL " };
    let warnings = Settings { of: settings, servers }.warnings();
    Ok((format!("{product}{version}"), warnings))
}

struct Settings {
    of: BTreeMap<String, String>,
    /// In `database.url`.
    servers: usize,
}

impl Settings {
    fn text(&self, name: &str) -> Option<&str> {
        self.of.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.text(name), Some("ON" | "1"))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_group = self.text("group_replication_group_name").is_some_and(|name| !name.is_empty());
        if self.is_on("wsrep_on") {
            self.galera(&mut warnings);
        } else if is_group {
            self.unflushed("where all members lose power together", &mut warnings);
            self.unflushed_binlog("where all members lose power together", &mut warnings);
            if self.number("group_members").is_some_and(|members| members < 2) {
                warnings.push(alone("replication group"));
            }
        } else {
            self.unflushed("in a power cut", &mut warnings);
            self.unflushed_binlog("in a power cut", &mut warnings);
            self.semi_sync(&mut warnings);
        }
        warnings
    }

    fn unflushed(&self, when: &str, warnings: &mut Vec<String>) {
        let name = "innodb_flush_log_at_trx_commit";
        if let Some(flush) = self.number(name).filter(|flush| *flush != 1) {
            warnings.push(format!(
                "{name} is {flush}, so commits are not flushed: acknowledged messages can be lost {when}; set it to 1"
            ));
        }
    }

    fn unflushed_binlog(&self, when: &str, warnings: &mut Vec<String>) {
        if let Some(sync) = self.number("sync_binlog").filter(|sync| *sync != 1 && self.is_on("log_bin")) {
            warnings.push(format!(
                "sync_binlog is {sync}, so the binary log is not flushed: acknowledged messages can be lost {when}; \
                 set it to 1"
            ));
        }
    }

    /// Each commit is at every member before it is acknowledged; one that loses some gets them from another.
    fn galera(&self, warnings: &mut Vec<String>) {
        self.unflushed("where all members lose power together", warnings);
        if self.number("wsrep_cluster_size").is_some_and(|size| size < 2) {
            warnings.push(alone("Galera cluster"));
        }
        let options = self.text("wsrep_provider_options").unwrap_or_default();
        let is_set = |name: &str| {
            let pairs = options.split(';').filter_map(|option| option.split_once('='));
            pairs.map(|(name, value)| (name.trim(), value.trim())).any(|(found, value)| {
                found == name && matches!(value.to_lowercase().as_str(), "true" | "yes" | "on" | "1")
            })
        };
        for name in ["pc.ignore_quorum", "pc.ignore_sb"] {
            if is_set(name) {
                warnings.push(format!(
                    "{name} is set in wsrep_provider_options: two halves of the cluster can both take messages, of \
                     which one half's are lost; set it to false"
                ));
            }
        }
    }

    fn semi_sync(&self, warnings: &mut Vec<String>) {
        let found = ["source", "master"].into_iter().find(|word| self.is_on(&format!("rpl_semi_sync_{word}_enabled")));
        let Some(word) = found else {
            if self.servers > 1 {
                warnings.push(
                    "database.url lists several servers, but this one is in no Galera cluster and no replication \
                     group, and does not replicate semi-synchronously: acknowledged messages are lost when another \
                     takes its place; use one of these, or list one server"
                        .into(),
                );
            }
            return;
        };
        let name = format!("rpl_semi_sync_{word}_timeout");
        if let Some(timeout) = self.number(&name).filter(|timeout| *timeout < NO_TIMEOUT_MS) {
            warnings.push(format!(
                "{name} is {timeout} ms, after which commits wait for no replica: acknowledged messages can be lost in \
                 a failover; set it to 4294967295"
            ));
        }
        let name = format!("rpl_semi_sync_{word}_wait_point");
        if let Some(point) = self.text(&name).filter(|point| *point != "AFTER_SYNC") {
            warnings.push(format!(
                "{name} is {point}: messages can be delivered that are lost in a failover; set it to AFTER_SYNC"
            ));
        }
        if self.number(&format!("Rpl_semi_sync_{word}_clients")) == Some(0) {
            warnings.push("no replica is connected that commits wait for: start one".into());
        }
    }
}

fn alone(what: &str) -> String {
    format!("this is the only member of its {what}: acknowledged messages are lost with it; start others")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The warnings, each by what it begins with.
    #[track_caller]
    fn check(servers: usize, pairs: &[(&str, &str)], expected: &[&str]) {
        let of = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let warnings = Settings { of, servers }.warnings();
        let all_fit = warnings.iter().zip(expected).all(|(warning, expected)| warning.contains(expected));
        assert!(warnings.len() == expected.len() && all_fit, "{pairs:?}: {warnings:#?}");
    }

    #[test]
    fn unflushed_commits_are_warned_of() {
        let safe = [("innodb_flush_log_at_trx_commit", "1"), ("sync_binlog", "1"), ("log_bin", "ON")];
        check(1, &safe, &[]);
        check(1, &[("innodb_flush_log_at_trx_commit", "2")], &["innodb_flush_log_at_trx_commit is 2"]);
        check(1, &[("sync_binlog", "0"), ("log_bin", "ON")], &["sync_binlog is 0"]);
        check(1, &[("sync_binlog", "0"), ("log_bin", "OFF")], &[]);
    }

    #[test]
    fn servers_that_do_not_replicate_are_no_replacement() {
        check(2, &[], &["lists several servers"]);
        check(1, &[], &[]);
    }

    #[test]
    fn semi_sync_is_safe_only_without_time_out_and_after_sync() {
        for word in ["master", "source"] {
            let name = |rest: &str| format!("rpl_semi_sync_{word}_{rest}");
            let (enabled, timeout, point) = (name("enabled"), name("timeout"), name("wait_point"));
            let clients = format!("Rpl_semi_sync_{word}_clients");
            let safe = [(&*enabled, "ON"), (&*timeout, "4294967295"), (&*point, "AFTER_SYNC"), (&*clients, "1")];
            check(2, &safe, &[]);
            let unsafe_ = [(&*enabled, "ON"), (&*timeout, "10000"), (&*point, "AFTER_COMMIT"), (&*clients, "0")];
            check(2, &unsafe_, &["timeout is 10000 ms", "wait_point is AFTER_COMMIT", "no replica"]);
            check(1, &[(&*enabled, "OFF"), (&*timeout, "10000")], &[]);
        }
    }

    #[test]
    fn galera_keeps_what_one_member_has_not_flushed() {
        let galera = |rest: &[(&'static str, &'static str)]| [&[("wsrep_on", "ON")], rest].concat();
        check(3, &galera(&[("wsrep_cluster_size", "3"), ("sync_binlog", "0"), ("log_bin", "ON")]), &[]);
        check(3, &galera(&[("innodb_flush_log_at_trx_commit", "0")]), &["where all members lose power together"]);
        check(3, &galera(&[("wsrep_cluster_size", "1")]), &["only member of its Galera cluster"]);
        let options = "evs.suspect_timeout = PT1S; pc.ignore_quorum = true; pc.ignore_sb = false; pc.npvo = true";
        check(3, &galera(&[("wsrep_provider_options", options)]), &["pc.ignore_quorum is set"]);
    }

    #[test]
    fn group_of_one_is_no_group() {
        let group = |rest: &[(&'static str, &'static str)]| [&[("group_replication_group_name", "g")], rest].concat();
        check(3, &group(&[("group_members", "3")]), &[]);
        check(3, &group(&[("group_members", "1")]), &["only member of its replication group"]);
    }
}
