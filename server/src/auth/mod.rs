//! Who one is, and what strangers may do.

pub(crate) mod buckets;
pub(crate) mod login_limit;
pub mod operators;
pub(crate) mod origin;
pub mod password;
pub(crate) mod recent;
pub(crate) mod token;
