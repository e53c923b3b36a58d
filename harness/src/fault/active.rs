//! A fault that is there.

use super::{Fault, Lasting};
use crate::cluster::Cluster;
use crate::own_runtime;
use anyhow::{Context, Result};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// A fault that is there until healed, by [`Active::heal`] or a drop.
#[must_use = "a fault heals when dropped"]
pub struct Active {
    fault: Fault,
    cluster: Arc<dyn Cluster>,
    lasting: Lasting,
    is_over: bool,
}

impl Active {
    pub(super) fn new(fault: Fault, cluster: Arc<dyn Cluster>, lasting: Lasting) -> Active {
        Active { fault, cluster, lasting, is_over: false }
    }

    /// Ends the fault; returns when what was broken does its work again.
    ///
    /// # Errors
    /// If it does not.
    pub async fn heal(mut self) -> Result<()> {
        self.is_over = true;
        heal(&self.fault, &*self.cluster, self.lasting.take()).await
    }

    /// Leaves it broken: for the last fault of a story, whose cluster ends with it.
    pub fn leave(mut self) {
        self.is_over = true;
        // Some faults are there only as long as what they last as long as.
        std::mem::forget(self.lasting.take());
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (fault, cluster, lasting) = (self.fault.clone(), self.cluster.handle(), self.lasting.take());
        if let Err(error) = own_runtime::run(async move { heal(&fault, &*cluster, lasting).await }) {
            eprintln!("harness: {error:#}");
        }
    }
}

async fn heal(fault: &Fault, cluster: &dyn Cluster, lasting: Lasting) -> Result<()> {
    let healed = async {
        if let Some(lasting) = lasting {
            spawn_blocking(|| lasting.release()).await??;
        }
        fault.breakage.heal(cluster).await
    };
    healed.await.with_context(|| format!("cannot heal {fault}"))
}
