//! One cluster for many tests of a process, for those that break nothing.

use super::cluster::Cluster;
use anyhow::Result;
use std::ops::Deref;
use std::sync::OnceLock;
use std::thread;
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, oneshot};

/// A test's hold on the shared cluster. Where the test fails, what the cluster has written until then is kept.
pub struct Shared {
    cluster: &'static Cluster,
}

/// The cluster of this process that all tests share: three nodes, MySQL. The first call starts it; it ends with the
/// process, by the reaper's hand.
///
/// # Errors
/// If it does not start.
pub async fn shared() -> Result<Shared> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_try_init(|| async { started_outside().await }).await?;
    Ok(Shared { cluster })
}

/// A test's runtime ends with the test; what the cluster needs must live longer.
async fn started_outside() -> Result<Cluster> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("a runtime can be made"));
        // Whoever asked may be gone; the cluster then goes with the answer.
        let _ = tell.send(runtime.block_on(Cluster::builder().nodes(3).start()));
    });
    told.await?
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            self.cluster.keep_evidence_at_once();
        }
    }
}
