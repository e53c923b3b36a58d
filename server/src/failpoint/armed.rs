//! Switching failpoints on, and asking them. They hold for the whole process, as everything in the crate `fail` does.

use super::Failpoint;
use std::env::{self, VarError};

/// Why failpoints cannot be set. Stop, and show the text: a fault that silently is none would prove nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("FAILPOINTS: expected name=actions, not {0:?}")]
    NoActions(String),
    #[error("FAILPOINTS: there is no failpoint {name:?}; there are {}", Failpoint::ALL.map(Failpoint::name).join(", "))]
    Unknown { name: String },
    #[error("FAILPOINTS: bad actions for {}: {why}", .point.name())]
    BadActions { point: Failpoint, why: String },
    #[error("FAILPOINTS is not UTF-8")]
    NotUtf8,
}

/// Whether the fault is to happen, this time.
pub(crate) fn hits(point: Failpoint) -> bool {
    fail::fail_point!(point.name(), |_| true);
    false
}

/// Sets what the environment variable `FAILPOINTS` names.
///
/// # Errors
/// As [`set`].
pub fn set_from_environment() -> Result<(), Error> {
    match env::var("FAILPOINTS") {
        Ok(points) => set(&points),
        Err(VarError::NotPresent) => Ok(()),
        Err(VarError::NotUnicode(_)) => Err(Error::NotUtf8),
    }
}

/// Sets failpoints, written as `name=actions;name=actions`; those that are not named stay as they are.
///
/// # Errors
/// A name that no failpoint has, or actions that `fail` does not know. Those before it are set.
pub fn set(points: &str) -> Result<(), Error> {
    for setting in points.split(';').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (name, actions) = setting.split_once('=').ok_or_else(|| Error::NoActions(setting.into()))?;
        let known = Failpoint::ALL.into_iter().find(|point| point.name() == name.trim());
        let point = known.ok_or_else(|| Error::Unknown { name: name.into() })?;
        fail::cfg(point.name(), actions).map_err(|why| Error::BadActions { point, why })?;
        tracing::warn!(failpoint = point.name(), actions, "this node breaks its promises on purpose");
    }
    Ok(())
}

/// Switches all of them off.
pub fn clear() {
    Failpoint::ALL.into_iter().for_each(|point| fail::remove(point.name()));
}
