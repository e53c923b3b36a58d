//! The bus's own counters as series: read when asked for, so that the bus knows nothing of metrics.

use crate::bus::Bus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// Reads [`crate::bus::BusStats`] of one bus.
pub struct BusCollector(pub Arc<dyn Bus>);

impl fmt::Debug for BusCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BusCollector").field(&self.0.describe()).finish()
    }
}

impl Collector for BusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let counters = [
            ("bus_items_sent", "Items handed over to other nodes", &stats.sent_items),
            ("bus_items_received", "Items from other nodes", &stats.received_items),
            ("bus_items_dropped", "Items given up", &stats.dropped_items),
            ("bus_envelopes_sent", "Envelopes published", &stats.sent_envelopes),
            ("bus_envelopes_received", "Envelopes received", &stats.received_envelopes),
            ("bus_undecodable", "Payloads that are no envelope", &stats.undecodable),
            ("bus_forged", "Envelopes that no node of this cluster has signed", &stats.forged),
            ("bus_gaps", "Gaps in the numbering of other nodes", &stats.gaps),
            ("bus_reconnects", "Connections that broke and came back", &stats.reconnects),
            ("bus_publish_failures", "Pipelines of PUBLISH that failed", &stats.publish_failures),
        ];
        for (name, help, counter) in counters {
            let counter = ConstCounter::new(counter.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let gauges = [
            ("bus_publish", "How long the latest pipeline of PUBLISH took", &stats.last_publish_micros),
            ("bus_round_trip", "How long this node's latest own heartbeat took", &stats.round_trip_micros),
        ];
        for (name, help, micros) in gauges {
            let gauge = ConstGauge::new(seconds(micros));
            gauge.encode(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn seconds(micros: &AtomicU64) -> f64 {
    micros.load(Ordering::Relaxed) as f64 / MICROS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use crate::bus::local::LocalHub;
    use crate::cluster::NodeKey;
    use crate::telemetry::metrics::Metrics;
    use chat_environment::Tasks;

    #[tokio::test]
    async fn series_of_the_bus_are_there() {
        let (bus, _arrivals) = LocalHub::default().join(NodeKey { id: "a".into(), boot: 1 }, &Tasks::default());

        let encoded = Metrics::new(bus).encode();

        for line in ["chat_bus_gaps_total 0", "chat_bus_items_sent_total 0", "chat_bus_round_trip_seconds 0.0"] {
            assert!(encoded.lines().any(|found| found == line), "{line:?} is not in\n{encoded}");
        }
    }
}
