//! What whoever runs a replication group of MySQL does to it: founds it, brings members back, changes its primary.
//!
//! Unlike Galera, a group does not do that by itself: a member that was away does not come back unless it is told to,
//! and a group that has lost its majority does not come back at all. Then it is founded anew at the member that has the
//! most, once all of them can be asked.

mod options;

pub(super) use options::options;

use super::machine::Machine;
use crate::cluster;
use anyhow::{Context, Error, Result, anyhow, bail};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

const INTERVAL: Duration = Duration::from_millis(200);
/// Joining and founding, on a busy machine, after the seconds that it takes a member to see that it has been put out.
const READY: Duration = Duration::from_secs(180);
/// For what is under way at the old primary, and for a dead member to be put out before.
const HANDED_OVER: Duration = Duration::from_secs(60);
/// Starting replication, which waits until the others have taken the member in.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// A look: a member that stands still takes connections, and answers nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Its state, whether it sees a majority, all that it has committed or is going to, and whether any of that is the
/// group's.
const LOOK: &str = "\
    SELECT state, sees_majority, has, has LIKE CONCAT('%', LOWER(@@group_replication_group_name), '%') FROM \
        (SELECT COALESCE(MAX(IF(member_id = @@server_uuid, member_state, NULL)), 'OFFLINE') AS state, \
            SUM(member_state <> 'UNREACHABLE') * 2 > COUNT(*) AS sees_majority, \
            CONCAT_WS(',', NULLIF(@@GLOBAL.gtid_executed, ''), \
                (SELECT NULLIF(received_transaction_set, '') FROM performance_schema.replication_connection_status \
                WHERE channel_name = 'group_replication_applier')) AS has \
        FROM performance_schema.replication_group_members) AS look";
/// Before a server is in the group for the first time: as conf/group-replication.cnf says, but as root, who may do
/// everything.
const FIRST: [&str; 3] = [
    "GRANT SELECT ON performance_schema.replication_group_members TO 'chat'@'%'",
    "RESET BINARY LOGS AND GTIDS",
    "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = '' FOR CHANNEL 'group_replication_recovery'",
];

/// Within this process only one at a time founds a group.
static FOUNDING: Mutex<()> = Mutex::const_new(());

/// The servers of a group, in the order in which nodes have them.
pub(super) struct Group<'a>(pub &'a [Machine]);

/// A member, as it sees itself.
struct Look {
    state: String,
    sees_majority: bool,
    /// The set of its transactions; empty if it has never been in the group.
    has: String,
}

impl Look {
    fn is_in(&self) -> bool {
        self.state == "ONLINE" && self.sees_majority
    }

    /// It neither is in a group nor about to be.
    fn is_out(&self) -> bool {
        self.state == "OFFLINE" || self.state == "ERROR"
    }
}

/// What became of a server that is to be in the group.
enum Outcome {
    In,
    /// It may be at the next look.
    NotYet,
    /// It never will be by what is done here.
    Never(Error),
}

impl Group<'_> {
    /// Waits until a server is in the group with the others, and does what that takes.
    ///
    /// # Errors
    /// If it ends, or is not in the group within its budget; at once where no member could found the group.
    pub async fn ready(&self, member: &Machine) -> Result<()> {
        let deadline = Instant::now() + READY;
        let mut said = anyhow!("no answer");
        loop {
            match timeout_at(deadline, self.bring_back(member)).await {
                Ok(Ok(Outcome::In)) => return Ok(()),
                Ok(Ok(Outcome::NotYet)) => said = anyhow!("it is not online"),
                Ok(Ok(Outcome::Never(error))) => return Err(error),
                Ok(Err(error)) => said = error,
                Err(_) => return Err(said.context(format!("not in its group within {READY:?}"))),
            }
            member.check_running().await?;
            sleep(INTERVAL).await;
        }
    }

    /// Looks whether it is in the group; if it is out, starts it there.
    async fn bring_back(&self, member: &Machine) -> Result<Outcome> {
        let look = look(member).await?;
        if !look.is_out() {
            return Ok(if look.is_in() { Outcome::In } else { Outcome::NotYet });
        }
        if !self.lives().await {
            return self.found().await;
        }
        // Whoever began to found it may have been interrupted.
        execute(member, "SET GLOBAL group_replication_bootstrap_group = OFF").await?;
        join(member, &look).await?;
        Ok(Outcome::NotYet)
    }

    /// Whether there is a group.
    async fn lives(&self) -> bool {
        for member in self.0 {
            if look(member).await.is_ok_and(|look| look.is_in()) {
                return true;
            }
        }
        false
    }

    /// Founds it at the first of those that have the most: what was acknowledged is there. Refuses where none has all.
    async fn found(&self) -> Result<Outcome> {
        let _one_at_a_time = FOUNDING.lock().await;
        let mut looks = Vec::new();
        for member in self.0 {
            let look = look(member).await.with_context(|| format!("there is no group, and no {}", member.role))?;
            if !look.is_out() {
                // Somebody else was first, or it is about to see that it has lost the others.
                return Ok(Outcome::NotYet);
            }
            looks.push(look);
        }
        let mut most = 0;
        for (place, look) in looks.iter().enumerate() {
            if !has_all(&self.0[place], &looks[most].has, &look.has).await? {
                most = place;
            }
        }
        for (other, look) in self.0.iter().zip(&looks) {
            if !has_all(&self.0[most], &looks[most].has, &look.has).await? {
                return Ok(Outcome::Never(none_has_all(&other.role, &self.0[most].role)));
            }
        }
        let (member, look) = (&self.0[most], &looks[most]);
        execute(member, "SET GLOBAL group_replication_bootstrap_group = ON").await?;
        let founded = join(member, look).await;
        execute(member, "SET GLOBAL group_replication_bootstrap_group = OFF").await?;
        founded.map(|()| Outcome::NotYet)
    }

    /// A member takes no more writes, in good order: where there is one primary, another becomes it.
    ///
    /// # Errors
    /// If no other could be the primary, or none becomes it in time.
    pub async fn demote(&self, member: &Machine) -> Result<()> {
        if has_several_primaries(member).await? {
            return execute(member, "SET GLOBAL super_read_only = 1").await;
        }
        for other in self.0.iter().filter(|other| other.role != member.role) {
            if look(other).await.is_ok_and(|look| look.is_in()) {
                return make_primary(other).await;
            }
        }
        bail!("there is no member but {} that could be the primary", member.role)
    }

    /// It takes writes again.
    ///
    /// # Errors
    /// If it is not in the group, or does not become the primary in time.
    pub async fn promote(&self, member: &Machine) -> Result<()> {
        match has_several_primaries(member).await? {
            true => execute(member, "SET GLOBAL read_only = 0").await,
            false => make_primary(member).await,
        }
    }
}

/// Waiting does not mend it: while there is no group nobody gets the transactions of another.
fn none_has_all(one: &str, other: &str) -> Error {
    anyhow!(
        "{one} has transactions that {other} lacks, and no member has all, so none can found the group: give up those \
         of one (harness fault replace {one}), or the cluster (harness down)"
    )
}

/// Whether all members take writes, and not a primary alone.
async fn has_several_primaries(member: &Machine) -> Result<bool> {
    let statement = "SELECT @@group_replication_single_primary_mode = 0";
    Ok(cluster::ask(&member.administration(), ANSWER_WITHIN, statement).await? == [["1"]])
}

/// It is refused while a member is dead that has not been put out yet, or joins.
async fn make_primary(member: &Machine) -> Result<()> {
    let deadline = Instant::now() + HANDED_OVER;
    loop {
        match execute(member, "SELECT group_replication_set_as_primary(@@server_uuid)").await {
            Err(_) if Instant::now() < deadline => sleep(INTERVAL).await,
            handed_over => return handed_over,
        }
    }
}

/// Starts the group's replication at a server that is out, for the first time or again.
async fn join(member: &Machine, look: &Look) -> Result<()> {
    if look.state == "ERROR" {
        execute(member, "STOP GROUP_REPLICATION").await?;
    }
    if look.has.is_empty() {
        for statement in FIRST {
            execute(member, statement).await?;
        }
    }
    execute(member, "START GROUP_REPLICATION").await
}

async fn look(member: &Machine) -> Result<Look> {
    let rows = cluster::ask(&member.administration(), ANSWER_WITHIN, LOOK).await?;
    let [state, sees_majority, has, was_member] = &rows.first().context("no row")?[..] else {
        bail!("{} describes itself as {rows:?}", member.role)
    };
    let has = if was_member == "1" { has.clone() } else { String::new() };
    Ok(Look { state: state.clone(), sees_majority: sees_majority == "1", has })
}

/// Whether one set of transactions holds all of another.
async fn has_all(member: &Machine, one: &str, other: &str) -> Result<bool> {
    let statement = format!("SELECT GTID_SUBSET('{other}', '{one}')");
    let rows = cluster::ask(&member.administration(), ANSWER_WITHIN, &statement).await?;
    Ok(rows.first().and_then(|row| row.first()).is_some_and(|value| value == "1"))
}

async fn execute(member: &Machine, statement: &str) -> Result<()> {
    let done = cluster::ask(&member.administration(), DONE_WITHIN, statement).await;
    done.map(|_| ()).with_context(|| format!("{} refuses {statement}", member.role))
}
