//! Every node in turn is asked to end and started again, as in a deployment: the next only when the one before answers.

use super::{kill, terminate};
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology) -> Result<()> {
    for node in topology.nodes() {
        terminate::end(topology, &node.role).await?;
        kill::start(topology, &node.role).await?;
    }
    Ok(())
}
