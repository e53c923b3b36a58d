//! Who one is, and what strangers may do.

pub mod buckets;
pub mod login_limit;
pub mod origin;
pub mod password;
pub mod recent;
pub mod token;
