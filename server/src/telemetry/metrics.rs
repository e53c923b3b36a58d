//! What a node counts about itself, for `/metrics` in the OpenMetrics text format.
//!
//! Every counter is an atomic that is made at start, labels included: the hot path never looks a label up, and every
//! series exists from the first scrape on. Times are in seconds, sizes in bytes. The histograms take a short lock, so
//! they are fed once a batch, never once a message.

mod bus;
mod database;

use crate::bus::Bus;
use crate::storage::Storage;
use bus::BusCollector;
use chat_protocol::conversation::Conversation;
use chat_protocol::errno::{self, Errno};
use database::DatabaseCollector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::array;
use std::sync::Arc;

/// What `/metrics` is served as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Put before the name of every series.
const PREFIX: &str = "chat";

/// All series of one node. Fields are incremented where the thing happens.
#[derive(Debug)]
pub struct Metrics {
    /// Sockets open now.
    pub connections: Gauge,
    /// Sockets ever accepted.
    pub connections_total: Counter,
    /// Sockets closed at once: over a limit, or a first byte that is no dialect.
    pub connections_refused_total: Counter,
    /// Logins alive on this node now.
    pub sessions: Gauge,
    /// Logins that succeeded.
    pub logins_total: Counter,
    /// Sessions closed since they were taken over while this node was called gone.
    pub sessions_lost_total: Counter,
    /// Conversations whose log the database had lost the end of.
    pub log_losses_total: Counter,
    /// Chat messages written to clients.
    pub pushes_total: Counter,
    /// EVENTs that found their client's queue full.
    pub events_dropped_total: Counter,
    /// Bytes waiting in all outbound queues now.
    pub queue_bytes: Gauge,
    /// Times a session fell behind its queue and went on from the log.
    pub catch_ups_total: Counter,
    /// Stretches of messages that were missing from the log and skipped, once for each session that did.
    pub log_gaps_total: Counter,
    /// Messages that are kept no longer, and were removed.
    pub messages_removed_total: Counter,
    /// Those of them that some member had not received.
    pub unreceived_removed_total: Counter,
    /// Looks into the log for what the bus may have lost.
    pub sweeps_total: Counter,
    /// Sessions that such a look found behind.
    pub repairs_total: Counter,
    pub bytes_received_total: Counter,
    pub bytes_sent_total: Counter,
    /// What operators asked for over the admin port.
    pub admin_operations_total: Counter,
    /// Whoever was not let in there: a wrong secret, too many of them, or no TLS.
    pub admin_refused_total: Counter,
    /// Panics: of a long task, which end the node, and of a connection or an errand, which do not.
    pub task_panics_total: Counter,
    /// Messages in one commit.
    pub commit_batch_messages: Histogram,
    /// Time of one commit, from its first statement on.
    pub commit_seconds: Histogram,
    /// By [`Path`], then by qos.
    messages: [[Counter; 2]; 2],
    /// By code.
    errors: [Counter; errno::ALL.len()],
    registry: Registry,
}

/// What kind of conversation a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Direct,
    Group,
}

impl From<Conversation> for Path {
    fn from(conversation: Conversation) -> Self {
        match conversation {
            Conversation::Direct(..) => Path::Direct,
            Conversation::Group(_) => Path::Group,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    path: &'static str,
    qos: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    errno: u8,
}

impl Metrics {
    /// Those of a node without others.
    #[cfg(test)]
    pub fn alone() -> Self {
        let key = crate::cluster::NodeKey { id: "a".into(), boot: 1 };
        Metrics::new(crate::bus::local::LocalHub::default().join(key, &chat_environment::Tasks::default()).0)
    }

    /// All series, those of `bus` among them.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        let mut series = Series(Registry::with_prefix(PREFIX));
        series.0.register_collector(Box::new(BusCollector(bus)));
        Metrics {
            connections: series.gauge("connections", "Open connections"),
            connections_total: series.counter("connections_accepted", "Connections accepted"),
            connections_refused_total: series.counter("connections_refused", "Connections closed at once"),
            sessions: series.gauge("sessions", "Logged-in users"),
            logins_total: series.counter("logins", "Successful logins"),
            sessions_lost_total: series.counter("sessions_lost", "Sessions taken over while this node was called gone"),
            log_losses_total: series.counter("log_losses", "Logs whose end the database has lost"),
            pushes_total: series.counter("pushes", "Chat messages written to clients"),
            events_dropped_total: series.counter("events_dropped", "EVENTs dropped, since the client's queue was full"),
            queue_bytes: series.gauge("queue_bytes", "Bytes in the outbound queues"),
            catch_ups_total: series.counter("catch_ups", "Sessions that fell behind their queue"),
            log_gaps_total: series.counter("log_gaps", "Missing stretches of the log that sessions skipped"),
            messages_removed_total: series
                .counter("messages_removed", "Messages removed, since they are kept no longer"),
            unreceived_removed_total: series
                .counter("unreceived_messages_removed", "Messages removed that some member had not received"),
            sweeps_total: series.counter("sweeps", "Looks into the log for lost messages"),
            repairs_total: series.counter("repairs", "Sessions that such a look found behind"),
            bytes_received_total: series.counter("received_bytes", "Bytes read from clients"),
            bytes_sent_total: series.counter("sent_bytes", "Bytes written to clients"),
            admin_operations_total: series.counter("admin_operations", "Operations of operators"),
            admin_refused_total: series.counter("admin_refused", "Refused to whoever called itself an operator"),
            task_panics_total: series.counter("task_panics", "Tasks that panicked"),
            commit_batch_messages: series.batch_sizes("commit_batch_messages", "Messages in one commit"),
            commit_seconds: series.seconds("commit", "Time of one commit"),
            messages: series.messages(),
            errors: series.errors(),
            registry: series.0,
        }
    }

    /// Those of the database as well.
    pub fn with_database(mut self, storage: Arc<dyn Storage>) -> Self {
        self.registry.register_collector(Box::new(DatabaseCollector(storage)));
        self
    }

    /// Chat messages accepted. `qos` above 1 counts as 1.
    pub fn messages(&self, path: Path, qos: u8) -> &Counter {
        &self.messages[path as usize][usize::from(qos.min(1))]
    }

    /// Replies and notices with this code.
    pub fn errors(&self, errno: Errno) -> &Counter {
        &self.errors[usize::from(errno.code())]
    }

    /// The database has lost the end of this log: counted, and told to whoever reads the node's log.
    pub fn log_lost(&self, conv: Conversation) {
        self.log_losses_total.inc();
        tracing::error!(%conv, "the database has lost the end of a log, with messages that it had committed");
    }

    /// Everything, as of now, to be served as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry).expect("writing into a String does not fail");
        encoded
    }
}

/// The registry while it is filled.
struct Series(Registry);

impl Series {
    /// The encoder adds `_total` to the name.
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    /// 100 µs to 26 s. The encoder adds `_seconds` to the name.
    fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(0.000_1, 2.0, 19));
        self.0.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }

    /// 1 to 256, as many as a commit takes.
    fn batch_sizes(&mut self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(1.0, 2.0, 9));
        self.0.register(name, help, histogram.clone());
        histogram
    }

    fn messages(&mut self) -> [[Counter; 2]; 2] {
        let family = Family::<MessageLabels, Counter>::default();
        self.0.register("messages", "Chat messages accepted", family.clone());
        [Path::Direct, Path::Group].map(|path| {
            let path = match path {
                Path::Direct => "direct",
                Path::Group => "group",
            };
            [0, 1].map(|qos| family.get_or_create_owned(&MessageLabels { path, qos }))
        })
    }

    fn errors(&mut self) -> [Counter; errno::ALL.len()] {
        let family = Family::<ErrorLabels, Counter>::default();
        self.0.register("errors", "Replies and notices by errno", family.clone());
        array::from_fn(|place| family.get_or_create_owned(&ErrorLabels { errno: errno::ALL[place].code() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metrics: &Metrics, line: &str) {
        let encoded = metrics.encode();
        assert!(encoded.lines().any(|found| found == line), "{line:?} is not in\n{encoded}");
    }

    #[tokio::test]
    async fn every_series_exists_before_anything_happened() {
        let metrics = Metrics::alone();

        check(&metrics, "chat_connections 0");
        check(&metrics, "chat_messages_total{path=\"group\",qos=\"0\"} 0");
        for errno in errno::ALL {
            check(&metrics, &format!("chat_errors_total{{errno=\"{}\"}} 0", errno.code()));
        }
        check(&metrics, "chat_commit_seconds_count 0");
        assert!(metrics.encode().ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn what_is_counted_shows_under_its_labels() {
        let metrics = Metrics::alone();

        metrics.connections_total.inc();
        metrics.connections.inc();
        metrics.queue_bytes.inc_by(500);
        metrics.queue_bytes.dec_by(120);
        metrics.messages(Conversation::direct(1, 2).into(), 1).inc_by(3);
        metrics.messages(Path::Group, 0).inc();
        metrics.errors(Errno::TooFast).inc();
        metrics.bytes_received_total.inc_by(77);
        metrics.commit_batch_messages.observe(256.0);
        metrics.commit_seconds.observe(0.000_25);

        check(&metrics, "chat_connections_accepted_total 1");
        check(&metrics, "chat_connections 1");
        check(&metrics, "chat_queue_bytes 380");
        check(&metrics, "chat_messages_total{path=\"direct\",qos=\"1\"} 3");
        check(&metrics, "chat_messages_total{path=\"group\",qos=\"0\"} 1");
        check(&metrics, "chat_messages_total{path=\"group\",qos=\"1\"} 0");
        check(&metrics, "chat_errors_total{errno=\"10\"} 1");
        check(&metrics, "chat_received_bytes_total 77");
        check(&metrics, "chat_commit_batch_messages_bucket{le=\"128.0\"} 0");
        check(&metrics, "chat_commit_batch_messages_bucket{le=\"256.0\"} 1");
        check(&metrics, "chat_commit_seconds_bucket{le=\"0.0004\"} 1");
    }

    #[tokio::test]
    async fn no_name_is_used_twice() {
        let encoded = Metrics::alone().encode();
        let mut names: Vec<_> = encoded.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), all);
    }
}
