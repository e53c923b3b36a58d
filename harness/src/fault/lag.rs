//! A member of a replicated database lags behind: it applies what the others commit only now and then, and whoever
//! reads there sees the past. It takes no part in flow control meanwhile, so that the others do not wait for it.
//!
//! It is done with a lock that is held ([`Holder`]).

use super::holder::{Holder, Tell};
use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Cluster, statement};
use anyhow::{Context, Result};
use async_trait::async_trait;
use sqlx::Executor;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

pub(super) const KIND: Kind = Kind {
    usage: "lag MACHINE SECONDS",
    effect: "a member of the database applies what others commit up to that much later, as in 3s",
    needs: None,
    table: &[("lag database-3 3s", 7)],
    chances: |setup| chances::on_members("lag", setup, "3s"),
    read: |words| {
        let seconds = words[1].strip_suffix('s').and_then(|number| number.parse::<u8>().ok());
        let seconds = seconds.filter(|seconds| *seconds > 0);
        let seconds = seconds.with_context(|| format!("a lag is 1s to 255s, not {:?}", words[1]))?;
        Ok(Arc::new(Lag { machine: words[0].into(), by: Duration::from_secs(seconds.into()) }))
    },
};

/// Between two locks: enough to apply what has waited.
const CATCHING_UP: Duration = Duration::from_millis(100);

struct Lag {
    machine: String,
    by: Duration,
}

#[async_trait]
impl Breakage for Lag {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        // What went before may have put it out of its cluster for a while.
        cluster.ready(&self.machine).await?;
        let (url, by) = (cluster.administration(&self.machine)?, self.by);
        let hold = async move |tell| hold_back(&url, by, tell).await;
        Ok(Some(Holder::start("holds a member back", hold).await?))
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.ready(&self.machine).await
    }
}

/// Locks and lets go until dropped; tells when the first lock is there. If the server is killed meanwhile, it is over.
async fn hold_back(url: &str, by: Duration, tell: Tell) {
    let locked = async {
        let mut connection = statement::connect(url).await?;
        connection.execute("FLUSH TABLES WITH READ LOCK").await?;
        anyhow::Ok(connection)
    };
    let (mut connection, told) = match locked.await {
        Ok(connection) => (connection, tell.send(Ok(()))),
        Err(error) => {
            // Whoever asked may be gone.
            let _ = tell.send(Err(error));
            return;
        }
    };
    while told.is_ok() {
        sleep(by).await;
        if connection.execute("UNLOCK TABLES").await.is_err() {
            return;
        }
        sleep(CATCHING_UP).await;
        if connection.execute("FLUSH TABLES WITH READ LOCK").await.is_err() {
            return;
        }
    }
}
