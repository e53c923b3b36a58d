//! Logs that get shorter while people chat: keeps what is removed aside for the judge, and checks that messages go at
//! all, and enough of them by the end.

use crate::cluster::{Cluster, MID_WINDOW, SHORT_LOG};
use crate::users::{Record, rows};
use anyhow::{Context, Result};
use judge::history::Event;
use judge::recovery;
use services::within;
use std::time::Duration;

/// Until more is removed: the window for resends, and where the node that removed is gone, the longest way back.
const REMOVAL_BUDGET: Duration = recovery::BOUND;

/// The logs of a cluster with [`Setup::short_logs`](crate::cluster::Setup::short_logs).
pub struct ShortLogs<'a> {
    cluster: &'a dyn Cluster,
    /// For how long every message is kept.
    kept: Duration,
}

impl<'a> ShortLogs<'a> {
    /// Before anybody chats.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn begin(cluster: &'a dyn Cluster, record: &Record) -> Result<Self> {
        if cluster.is_replicated() {
            record.note(Event::HistoryMayLag);
        }
        for statement in rows::KEEP_REMOVED {
            cluster.query(statement).await?;
        }
        Ok(ShortLogs { cluster, kept: MID_WINDOW })
    }

    /// From here on all that was said so far is many years old, by the clock: as if said before ages were counted.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn make_old(&mut self) -> Result<()> {
        self.kept = Duration::ZERO;
        self.cluster.query("UPDATE message SET time = 1, cluster_age = 0").await?;
        Ok(())
    }

    /// How many messages were removed so far.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn removed(&self) -> Result<u64> {
        self.count("SELECT COUNT(*) FROM removed").await
    }

    /// Waits until something is removed that is still there.
    ///
    /// # Errors
    /// If nothing is.
    pub async fn get_shorter(&self) -> Result<()> {
        let before = self.removed().await?;
        let is_more = async || (self.removed().await.ok()? > before).then_some(());
        within(REMOVAL_BUDGET, "logs get shorter", is_more).await
    }

    /// Once everybody has everything: waits until nothing is left but what is always kept.
    ///
    /// # Errors
    /// If more is.
    pub async fn are_short(&self) -> Result<()> {
        let longest =
            "SELECT COALESCE(MAX(messages), 0) FROM (SELECT COUNT(*) messages FROM message GROUP BY conv) log";
        let is_short = async || (self.count(longest).await.ok()? <= SHORT_LOG).then_some(());
        within(REMOVAL_BUDGET, &format!("no log has more than {SHORT_LOG} messages"), is_short).await
    }

    /// Writes down what the database holds and has held.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn read_rows(&self, record: &Record) -> Result<()> {
        let rows = self.cluster.query(rows::QUERY_ALL).await?;
        let removed = self.cluster.query(rows::QUERY_REMOVED).await?;
        let removed = removed.iter().map(|row| rows::read_removed(row, self.kept.as_secs()));
        let removed = removed.collect::<Result<_>>()?;
        record.rows(rows.iter().map(|row| rows::read(row)).collect::<Result<_>>()?, removed);
        Ok(())
    }

    async fn count(&self, statement: &str) -> Result<u64> {
        let rows = self.cluster.query(statement).await?;
        let count = rows.first().and_then(|row| row.first()).context("a count is a row")?;
        count.parse().with_context(|| format!("not a number: {count}"))
    }
}
