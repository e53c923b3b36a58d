//! What the admin port asks the node.

use crate::context::Context;
use crate::telemetry::admin::{AdminState, Readiness};
use std::sync::atomic::Ordering;

impl AdminState for Context {
    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            lease: (!self.lease.is_held()).then(|| "not held".into()),
            database: (!self.database_answers.load(Ordering::Acquire)).then(|| "does not answer".into()),
            bus: (!self.bus.is_connected()).then(|| "not connected".into()),
            draining: self.shutdown.is_draining().then(|| "yes".into()),
        }
    }
}
