//! What operators see: log and metrics.

pub mod logging;
pub mod metrics;
