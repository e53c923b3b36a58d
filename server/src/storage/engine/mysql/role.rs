//! What a server is just now: one to commit at, or not.
//!
//! Asked with statements that even a member answers which has lost its group. A server is ready where it takes writes
//! and what it commits is its group's: it is not read-only; on Galera it is ready and in the primary component; in a
//! replication group it is online, a primary, and sees the majority.

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};
use std::collections::BTreeMap;

/// How what a server commits gets to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// Not at all, or behind our back.
    None,
    Galera,
    Group,
}

/// Whether a server can be committed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Ready(Replication),
    /// With the reason.
    NotReady(String),
}

const SETTINGS: &str = "\
    SHOW GLOBAL VARIABLES WHERE Variable_name IN \
        ('read_only', 'super_read_only', 'wsrep_on', 'group_replication_group_name'); \
    SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status')";
/// Needs SELECT on that table.
const MEMBERS: &str = "\
    SELECT member_id = @@server_uuid, member_state, member_role FROM performance_schema.replication_group_members";

/// Asks a server what it is just now.
pub async fn ask(connection: &mut MySqlConnection) -> sqlx::Result<Role> {
    let settings = named_values(connection, SETTINGS).await?;
    if settings.get("group_replication_group_name").is_none_or(String::is_empty) {
        return Ok(role(&settings, None));
    }
    let rows = sqlx::raw_sql(MEMBERS).fetch_all(connection).await?;
    Ok(role(&settings, Some(&rows.iter().map(member).collect::<sqlx::Result<Vec<_>>>()?)))
}

/// What SHOW statements answer: names and values.
pub async fn named_values(connection: &mut MySqlConnection, show: &str) -> sqlx::Result<BTreeMap<String, String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(show)).fetch_all(connection).await?;
    let pair = |row: &MySqlRow| Ok((row.try_get_unchecked(0)?, row.try_get_unchecked(1)?));
    rows.iter().map(pair).collect()
}

/// One of a replication group.
struct Member {
    is_this: bool,
    state: String,
    role: String,
}

fn member(row: &MySqlRow) -> sqlx::Result<Member> {
    let is_this: i64 = row.try_get_unchecked(0)?;
    Ok(Member { is_this: is_this != 0, state: row.try_get_unchecked(1)?, role: row.try_get_unchecked(2)? })
}

fn role(settings: &BTreeMap<String, String>, group: Option<&[Member]>) -> Role {
    let is_on = |name: &str| settings.get(name).is_some_and(|value| !matches!(value.as_str(), "OFF" | "0"));
    if let Some(setting) = ["super_read_only", "read_only"].into_iter().find(|name| is_on(name)) {
        return Role::NotReady(format!("{setting} is on"));
    }
    if is_on("wsrep_on") {
        return galera(settings);
    }
    group.map_or(Role::Ready(Replication::None), group_member)
}

fn galera(settings: &BTreeMap<String, String>) -> Role {
    let status = |name: &str| settings.get(name).map_or("unknown", String::as_str);
    match (status("wsrep_cluster_status"), status("wsrep_ready")) {
        ("Primary", "ON") => Role::Ready(Replication::Galera),
        ("Primary", ready) => Role::NotReady(format!("wsrep_ready is {ready}")),
        (cluster, _) => Role::NotReady(format!("wsrep_cluster_status is {cluster}")),
    }
}

fn group_member(group: &[Member]) -> Role {
    let Some(this) = group.iter().find(|member| member.is_this) else {
        return Role::NotReady("it is not in its replication group".into());
    };
    let unreachable = group.iter().filter(|member| member.state == "UNREACHABLE").count();
    if this.state != "ONLINE" {
        Role::NotReady(format!("its state in the replication group is {}", this.state))
    } else if unreachable * 2 >= group.len() {
        Role::NotReady("it sees no majority of its replication group".into())
    } else if this.role != "PRIMARY" {
        Role::NotReady(format!("its role in the replication group is {}", this.role))
    } else {
        Role::Ready(Replication::Group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], group: Option<&[(&str, &str)]>, expected: Result<Replication, &str>) {
        // The first is the one that is asked.
        let members: Option<Vec<Member>> = group.map(|group| {
            let member = |(nth, (state, role)): (usize, &(&str, &str))| Member {
                is_this: nth == 0,
                state: (*state).into(),
                role: (*role).into(),
            };
            group.iter().enumerate().map(member).collect()
        });
        let expected = expected.map_or_else(|why| Role::NotReady(why.into()), Role::Ready);
        assert_eq!(role(&settings(pairs), members.as_deref()), expected, "{pairs:?} {group:?}");
    }

    #[test]
    fn servers_that_take_no_writes_are_not_ready() {
        check(&[], None, Ok(Replication::None));
        check(&[("read_only", "OFF"), ("super_read_only", "OFF"), ("wsrep_on", "OFF")], None, Ok(Replication::None));
        check(&[("read_only", "ON")], None, Err("read_only is on"));
        check(&[("read_only", "NO_LOCK_NO_ADMIN")], None, Err("read_only is on"));
        check(&[("read_only", "ON"), ("super_read_only", "ON")], None, Err("super_read_only is on"));
    }

    #[test]
    fn galera_member_is_ready_in_the_primary_component_only() {
        let galera = |cluster: &'static str, ready: &'static str| {
            [("wsrep_on", "ON"), ("wsrep_cluster_status", cluster), ("wsrep_ready", ready)]
        };
        check(&galera("Primary", "ON"), None, Ok(Replication::Galera));
        check(&galera("Primary", "OFF"), None, Err("wsrep_ready is OFF"));
        check(&galera("non-Primary", "OFF"), None, Err("wsrep_cluster_status is non-Primary"));
        check(&galera("Disconnected", "ON"), None, Err("wsrep_cluster_status is Disconnected"));
        check(&[("wsrep_on", "ON")], None, Err("wsrep_cluster_status is unknown"));
        check(&[&galera("Primary", "ON")[..], &[("read_only", "ON")]].concat(), None, Err("read_only is on"));
    }

    #[test]
    fn group_member_is_ready_as_a_primary_that_sees_the_majority() {
        let check = |group: &[(&str, &str)], expected| check(&[("read_only", "OFF")], Some(group), expected);
        let (primary, secondary, lost) = (("ONLINE", "PRIMARY"), ("ONLINE", "SECONDARY"), ("UNREACHABLE", "SECONDARY"));
        check(&[primary, secondary, secondary], Ok(Replication::Group));
        check(&[primary, primary, primary], Ok(Replication::Group));
        check(&[primary, secondary, lost], Ok(Replication::Group));
        check(&[primary], Ok(Replication::Group));
        check(&[primary, lost, lost], Err("it sees no majority of its replication group"));
        check(&[primary, lost], Err("it sees no majority of its replication group"));
        check(&[secondary, primary], Err("its role in the replication group is SECONDARY"));
        check(&[("OFFLINE", "")], Err("its state in the replication group is OFFLINE"));
        check(&[("RECOVERING", "SECONDARY"), primary], Err("its state in the replication group is RECOVERING"));
        check(&[], Err("it is not in its replication group"));
    }
}
