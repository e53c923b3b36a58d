//! Which server of the database this node uses: read when asked for, so that the storage knows nothing of metrics.

use crate::storage::{ServerState, Storage};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Reads [`Storage::servers`].
pub struct DatabaseCollector(pub Arc<dyn Storage>);

impl fmt::Debug for DatabaseCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseCollector").field(&self.0.describe()).finish()
    }
}

impl Collector for DatabaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&self.0.servers(), self.0.server_changes(), &mut encoder)
    }
}

fn encode(servers: &[ServerState], changes: u64, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let changes = ConstCounter::new(changes);
    let help = "Times that another server of the database was used than before, or none";
    changes.encode(encoder.encode_descriptor("database_server_changes", help, None, changes.metric_type())?)?;
    let is_used = |server: &ServerState| server.is_used;
    by_server("database_server_used", "1 for the server that this node uses", servers, is_used, encoder)?;
    let is_ready = |server: &ServerState| server.trouble.is_none();
    by_server("database_server_ready", "1 where a server could be used", servers, is_ready, encoder)
}

fn by_server(
    name: &str,
    help: &str,
    servers: &[ServerState],
    is_so: impl Fn(&ServerState) -> bool,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for server in servers {
        let labels = [("server", server.place.as_str())];
        ConstGauge::new(i64::from(is_so(server))).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    #[derive(Debug)]
    struct Fixed;

    impl Collector for Fixed {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let server = |place: &str, is_used, trouble: Option<&str>| ServerState {
                place: place.into(),
                is_used,
                trouble: trouble.map(str::to_owned),
            };
            let servers = [server("h1:3306", false, Some("read_only is on")), server("[::1]:3307", true, None)];
            encode(&servers, 2, &mut encoder)
        }
    }

    #[test]
    fn series_say_which_server_is_used() {
        let mut registry = Registry::with_prefix("chat");
        registry.register_collector(Box::new(Fixed));
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry).unwrap();

        for line in [
            "chat_database_server_changes_total 2",
            "chat_database_server_used{server=\"h1:3306\"} 0",
            "chat_database_server_used{server=\"[::1]:3307\"} 1",
            "chat_database_server_ready{server=\"h1:3306\"} 0",
            "chat_database_server_ready{server=\"[::1]:3307\"} 1",
        ] {
            assert!(encoded.lines().any(|found| found == line), "{line:?} is not in\n{encoded}");
        }
    }
}
