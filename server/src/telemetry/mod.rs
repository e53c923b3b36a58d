//! What operators see: log, metrics, and the admin port.

pub mod admin;
pub mod logging;
pub mod metrics;
