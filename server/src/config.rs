//! One node's settings: `conf/server.toml`, overridden by the environment.

use serde::Deserialize;
use std::path::PathBuf;

/// All settings. Durations are in the unit their name ends in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub listen: Listen,
    pub database: Database,
    pub bus: Bus,
    pub password: Password,
    pub limits: crate::limits::Limits,
    pub tls: Tls,
    pub admin: Admin,
    pub log: Log,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Unique in the cluster; empty: `hostname:port`.
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The address to bind; a host name or IP.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// Require a PROXY protocol header (v1 or v2) on every connection.
    pub proxy_protocol: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `mysql://user:password@host:port/database`.
    pub url: String,
    /// Connections in the pool (MySQL).
    pub connections: u32,
    /// Tasks that commit messages (MySQL; SQLite always has one).
    pub writers: usize,
    /// The longest any one call to the database may take.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// `redis://[:password@]host:port`; empty: in-process only, one node.
    pub url: String,
    /// Prefix of the channel names, so that clusters can share one Redis. Empty: `chat`.
    pub channel_prefix: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Password {
    /// argon2id memory cost in KiB.
    pub memory_kib: u32,
    /// argon2id passes.
    pub iterations: u32,
    /// How long a login token stays valid.
    pub token_days: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM certificate chain; with `key`, switches TLS on (on the same port, beside plain).
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Refuse connections that are not TLS.
    pub required: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// `host:port` of `/metrics`, `/healthz` and `/readyz`; empty: off.
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A tracing filter, for example `info` or `chat=debug`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { host: "0.0.0.0".into(), port: 12345, proxy_protocol: false }
    }
}

impl Default for Database {
    fn default() -> Self {
        Database { url: "sqlite:chat.db".into(), connections: 10, writers: 2, timeout_ms: 5_000 }
    }
}

impl Default for Password {
    fn default() -> Self {
        Password { memory_kib: 19 * 1024, iterations: 2, token_days: 30 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".into(), format: LogFormat::Text }
    }
}
