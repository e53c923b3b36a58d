//! Every bound the node keeps, by name: settable ones in [`Limits`], fixed ones as constants.
//!
//! Each says what happens beyond it.

use super::problems::Problems;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settable bounds, the `[limits]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest frame a client may send; beyond it NOTICE 9.
    pub max_frame_bytes: usize,
    /// Open connections; beyond it a new one is closed at once.
    pub connections: usize,
    /// Open connections from one address; 0: no bound. Beyond it a new one is closed at once.
    pub connections_per_ip: usize,
    /// Connections before login; beyond it the oldest silent one is closed.
    pub prelogin_connections: usize,
    /// Silence allowed before login, in seconds; then NOTICE 16.
    pub prelogin_timeout_s: u64,
    /// A frame once begun must be complete within this, in seconds; then NOTICE 16.
    pub frame_timeout_s: u64,
    /// Seconds without a byte received until PING; after two unanswered NOTICE 16.
    pub heartbeat_s: u64,
    /// Seconds in which a client with waiting bytes must take at least one; then NOTICE 15.
    pub write_timeout_s: u64,
    /// Milliseconds that a closing connection waits for the client's end of file.
    pub close_linger_ms: u64,
    /// Outbound bytes per connection; beyond it live copies are dropped and the log is read on as the queue drains;
    /// EVENTs are dropped for good.
    pub queue_bytes: usize,
    /// Sustained chat messages per second, user and node; 0: no bound. Beyond it the node reads more slowly.
    pub messages_per_second: u32,
    /// Messages a user may send at once before `messages_per_second` counts.
    pub message_burst: u32,
    /// Failed logins per minute for one (address, user); beyond it errno 10.
    pub failed_logins_per_minute: u32,
    /// Failed logins per minute from one address, whoever they are for; 0: no bound. Beyond it errno 10.
    pub failed_logins_per_minute_per_ip: u32,
    /// Registrations per hour from one address; 0: no bound. Beyond it errno 10.
    pub registrations_per_hour_per_ip: u32,
    /// Members of one group; beyond it joining gets errno 9.
    pub group_members: u32,
    /// Seconds between two looks into the log for what the bus lost.
    pub repair_interval_s: u64,
    /// Seconds that a draining node gives its clients to move.
    pub drain_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame_bytes: 65_536,
            connections: 100_000,
            connections_per_ip: 0,
            prelogin_connections: 10_000,
            prelogin_timeout_s: 120,
            frame_timeout_s: 10,
            heartbeat_s: 30,
            write_timeout_s: 10,
            close_linger_ms: 1_000,
            queue_bytes: 256 * 1024,
            messages_per_second: 1_000,
            message_burst: 2_000,
            failed_logins_per_minute: 20,
            failed_logins_per_minute_per_ip: 200,
            registrations_per_hour_per_ip: 1_000,
            group_members: 10_000,
            repair_interval_s: 10,
            drain_s: 10,
        }
    }
}

impl Limits {
    /// Reports every value outside its range.
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("limits.max_frame_bytes", self.max_frame_bytes, 64..=MAX_FRAME_BYTES_CEILING);
        problems.range("limits.connections", self.connections, 1..=10_000_000);
        problems.range("limits.connections_per_ip", self.connections_per_ip, 0..=10_000_000);
        problems.range("limits.prelogin_connections", self.prelogin_connections, 1..=10_000_000);
        problems.range("limits.prelogin_timeout_s", self.prelogin_timeout_s, 1..=86_400);
        problems.range("limits.frame_timeout_s", self.frame_timeout_s, 1..=3_600);
        problems.range("limits.heartbeat_s", self.heartbeat_s, 1..=3_600);
        problems.range("limits.write_timeout_s", self.write_timeout_s, 1..=3_600);
        problems.range("limits.close_linger_ms", self.close_linger_ms, 1..=60_000);
        problems.range("limits.queue_bytes", self.queue_bytes, 1_024..=1024 * 1024 * 1024);
        problems.range("limits.messages_per_second", self.messages_per_second, 0..=1_000_000);
        problems.range("limits.message_burst", self.message_burst, 1..=1_000_000);
        problems.range("limits.failed_logins_per_minute", self.failed_logins_per_minute, 1..=10_000);
        let per_ip = self.failed_logins_per_minute_per_ip;
        problems.range("limits.failed_logins_per_minute_per_ip", per_ip, 0..=1_000_000);
        let per_ip = self.registrations_per_hour_per_ip;
        problems.range("limits.registrations_per_hour_per_ip", per_ip, 0..=1_000_000);
        problems.range("limits.group_members", self.group_members, 2..=1_000_000);
        problems.range("limits.repair_interval_s", self.repair_interval_s, 1..=3_600);
        problems.range("limits.drain_s", self.drain_s, 0..=3_600);
    }
}

/// `max_frame_bytes` can be set up to here, so that a frame's first byte is always 0.
pub const MAX_FRAME_BYTES_CEILING: usize = 16 * 1024 * 1024 - 1;

/// Within this the users of a node that has died can log in elsewhere.
pub const LEASE: Duration = Duration::from_secs(8);
/// Time between two renewals, and between two looks at those of the other nodes.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(1);
/// A node whose renewals have stood still for this long, to the eyes of another, is gone.
pub const LEASE_WATCH: Duration = Duration::from_secs(LEASE.as_secs() - LEASE_RENEWAL.as_secs());
/// A node acts for its sessions this long after it sent its latest renewal: shorter, since a commit on its way needs
/// time to arrive, and seconds are not equally long on all machines.
pub const LEASE_HOLD: Duration = Duration::from_secs(LEASE_WATCH.as_secs() - 1);

/// The time in which an address that has registered as often as it may can do so as often again.
pub const REGISTRATIONS_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Addresses whose registrations, and whose failed logins, are remembered (about 100 bytes each); beyond it the oldest
/// are forgotten, half of them at most.
pub const KEPT_ORIGINS: usize = 65_536;

/// Messages in one commit; what is queued beyond it goes into the next.
pub const BATCH_MESSAGES: usize = 256;
/// Bytes of text in one commit (past the first message).
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Users whose spent message rate is remembered between two sessions; beyond it those are forgotten who have spent
/// least, and their next session has its whole burst.
pub const RESTING_PACES: usize = 65_536;

/// Members up to which an envelope lists its recipients; beyond it each node filters by its own members.
pub const LISTED_RECIPIENTS: usize = 64;
/// Items waiting for one node on the bus; beyond it they are dropped and the receiver looks into the log.
pub const BUS_QUEUE_ITEMS: usize = 65_536;
/// Bytes waiting for one node on the bus; beyond it items are dropped and the receiver looks into the log.
pub const BUS_QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes after which an envelope takes no further item (one item may be longer than this); the rest goes into the next.
pub const BUS_ENVELOPE_BYTES: usize = 1024 * 1024;
/// Arrivals from the bus that wait to be handled; beyond it they are dropped and count as lost.
pub const BUS_ARRIVALS: usize = 4_096;
