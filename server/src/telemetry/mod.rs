//! What operators see: log, metrics, and the admin port.

pub mod admin;
pub mod admin_health;
pub mod logging;
pub mod metrics;
