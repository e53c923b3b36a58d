//! What makes a server a member of a Galera cluster.

/// Where Debian's galera-4 has it.
pub const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
/// A member that was silent for 1 s is asked about, and put out of the group after 3 s at most.
pub const DETECTION: &str = "evs.suspect_timeout=PT1S;evs.inactive_timeout=PT3S;evs.keepalive_period=PT0.3S;\
                         evs.inactive_check_period=PT0.3S";

/// Who gives its data to a new member, by name: the last first, since a donor commits nothing meanwhile, and the first
/// is the one that is written to.
pub fn donors(count: usize) -> String {
    (1..=count).rev().map(|number| format!("database-{number},")).collect()
}
