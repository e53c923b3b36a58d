//! The bus's own counters as series: read when asked for, so that the bus knows nothing of metrics.

use crate::bus::{Bus, Link};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
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
            ("bus_silences", "Times that a node which lives was not heard for too long", &stats.silences),
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
        let unheard = ConstGauge::new(stats.unheard.load(Ordering::Relaxed) as i64);
        let help = "Nodes that live and are not heard for too long, now";
        unheard.encode(encoder.encode_descriptor("bus_unheard", help, None, unheard.metric_type())?)?;
        let links = self.0.links();
        let works = "1 where this node's heartbeats come back through that Redis";
        encode_links(&mut encoder, &links, "bus_works", works, |link| i64::from(link.works))?;
        let channels = "Nodes that are reached through that Redis";
        encode_links(&mut encoder, &links, "bus_channels", channels, |link| link.channels as i64)
    }
}

/// One series a Redis.
fn encode_links(
    encoder: &mut DescriptorEncoder<'_>,
    links: &[Link],
    name: &str,
    help: &str,
    value: impl Fn(&Link) -> i64,
) -> fmt::Result {
    if links.is_empty() {
        return Ok(());
    }
    let mut series = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for link in links {
        let gauge = ConstGauge::new(value(link));
        gauge.encode(series.encode_family(&[("redis", link.name.as_str())])?)?;
    }
    Ok(())
}

fn seconds(micros: &AtomicU64) -> f64 {
    micros.load(Ordering::Relaxed) as f64 / MICROS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::local::LocalHub;
    use crate::bus::{BusStats, Item};
    use crate::cluster::{NodeId, NodeKey};
    use crate::telemetry::metrics::Metrics;
    use async_trait::async_trait;
    use chat_environment::Tasks;

    #[tokio::test]
    async fn series_of_the_bus_are_there() {
        let (bus, _arrivals) = LocalHub::default().join(NodeKey { id: "a".into(), boot: 1 }, &Tasks::default());

        let encoded = Metrics::new(bus).encode();

        let lines = [
            "chat_bus_gaps_total 0",
            "chat_bus_items_sent_total 0",
            "chat_bus_round_trip_seconds 0.0",
            "chat_bus_unheard 0",
        ];
        for line in lines {
            assert!(encoded.lines().any(|found| found == line), "{line:?} is not in\n{encoded}");
        }
    }

    /// A bus over two Redis.
    struct Pair(BusStats);

    #[async_trait]
    impl Bus for Pair {
        fn describe(&self) -> String {
            "a, b".into()
        }

        fn send(&self, _: &NodeId, _: Item) {}

        fn set_peers(&self, _: &[NodeKey]) {}

        fn is_connected(&self) -> bool {
            true
        }

        fn links(&self) -> Vec<Link> {
            let link = |name: &str, works, channels| Link { name: name.into(), works, channels };
            vec![link("redis at a:6379", true, 3), link("redis at b:6379", false, 0)]
        }

        fn stats(&self) -> &BusStats {
            &self.0
        }

        async fn close(&self) {}
    }

    #[test]
    fn each_redis_has_series_of_its_own() {
        let encoded = Metrics::new(Arc::new(Pair(BusStats::default()))).encode();

        let lines: Vec<&str> = encoded.lines().filter(|line| line.contains("{redis=")).collect();
        let expected = [
            "chat_bus_works{redis=\"redis at a:6379\"} 1",
            "chat_bus_works{redis=\"redis at b:6379\"} 0",
            "chat_bus_channels{redis=\"redis at a:6379\"} 3",
            "chat_bus_channels{redis=\"redis at b:6379\"} 0",
        ];
        assert_eq!(lines, expected);
    }
}
