//! One node's settings: built-in defaults, then a TOML file, then the environment; the later wins.
//!
//! `conf/server.toml` shows every key with its default and says what it is for; it is read only where it is named. A
//! key `section.key` is overridden by the variable `CHAT_SECTION__KEY`. What nobody knows (a key, or a variable of a
//! known section) is an error and never ignored, since a misspelt limit is a missing limit.
//!
//! Reading is in `load`, with the environment in `variables`; what values are allowed in `validate`; which of them can
//! change while a node runs in `reload`.

pub mod database_url;
pub mod limits;
pub mod log_filter;
pub mod networks;
pub mod retention;

mod current;
mod keys;
mod load;
mod problems;
mod reload;
mod validate;
mod variables;

pub use current::Current;
pub use variables::{MIGRATE_FROM, unknown_variables};

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// The most memory of one hash, in KiB: for the settings, and for what stands in the database. A hash with more is not
/// computed.
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// The most passes of one hash, likewise.
pub const MAX_ITERATIONS: u32 = 64;

/// The most Redis that `bus.url` may name: a node keeps two connections to each, and sends it its heartbeats.
pub const MAX_BUSES: usize = 8;
/// Between the URLs of a list.
const URL_SEPARATOR: char = ',';

/// Why there are no settings. Stop, and show the text. It names the key; values that may hold a password are masked,
/// except that an error in a file quotes the line it is in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("environment: {0}")]
    Variable(String),
    /// One line for each key.
    #[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

/// All settings. Durations are in the unit their name ends in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub listen: Listen,
    pub database: Database,
    pub bus: Bus,
    pub password: Password,
    pub limits: limits::Limits,
    pub retention: retention::Retention,
    pub tls: Tls,
    pub admin: Admin,
    pub log: Log,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Unique in the cluster; empty: `hostname:port`.
    pub id: String,
    /// Where the node keeps a file locked, by which its next run knows that it is dead. Empty: nowhere.
    #[serde(deserialize_with = "empty_is_none")]
    pub lock_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The address to bind; a host name or IP.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// Require a PROXY protocol header (v1 or v2) on every connection.
    pub proxy_protocol: bool,
    /// Require one on every connection from these networks, and take none from others. Not beside `proxy_protocol`.
    pub proxy_from: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `mysql://user:password@host:port,host:port/database`, the preferred server first.
    pub url: String,
    /// Connections in the pool (MySQL).
    pub connections: u32,
    /// Tasks that commit messages (MySQL; SQLite always has one).
    pub writers: usize,
    /// The longest any one call to the database may take.
    pub timeout_ms: u64,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// `redis://[:password@]host:port`, or `rediss://…` over TLS; several that know nothing of each other with commas
    /// between them, in TOML also as a list. Empty: in-process only, one node.
    #[serde(deserialize_with = "text_or_list")]
    pub url: String,
    /// Prefix of the channel names, so that clusters can share one Redis. Empty: `chat`.
    pub channel_prefix: String,
    /// PEM file of the authorities to trust with `rediss://`. Empty: those of the system.
    #[serde(deserialize_with = "empty_is_none")]
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Password {
    /// argon2id memory cost in KiB.
    pub memory_kib: u32,
    /// argon2id passes.
    pub iterations: u32,
    /// How long a login token stays valid.
    pub token_days: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM certificate chain; with `key`, switches TLS on (on the same port, beside plain). Empty: none.
    #[serde(deserialize_with = "empty_is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM private key of the certificate. Empty: none.
    #[serde(deserialize_with = "empty_is_none")]
    pub key: Option<PathBuf>,
    /// Refuse connections that are not TLS.
    pub required: bool,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// `host:port` of `/metrics`, `/healthz`, `/readyz` and, with a secret, `/admin/v1`; empty: off.
    pub address: String,
    /// Whoever knows it may do what `chat-server admin` does. Empty: nobody.
    pub secret: String,
    /// The file that holds it, instead. Empty: none.
    #[serde(deserialize_with = "empty_is_none")]
    pub secret_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A tracing filter, for example `info` or `chat=debug`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { host: "0.0.0.0".into(), port: 12345, proxy_protocol: false, proxy_from: String::new() }
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

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Database { url, connections, writers, timeout_ms } = self;
        f.debug_struct("Database")
            .field("url", &without_password(url))
            .field("connections", connections)
            .field("writers", writers)
            .field("timeout_ms", timeout_ms)
            .finish()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bus { url, channel_prefix, ca } = self;
        f.debug_struct("Bus")
            .field("url", &without_passwords(url))
            .field("channel_prefix", channel_prefix)
            .field("ca", ca)
            .finish()
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Admin { address, secret, secret_file } = self;
        let shown = if secret.is_empty() { "" } else { "***" };
        f.debug_struct("Admin")
            .field("address", address)
            .field("secret", &shown)
            .field("secret_file", secret_file)
            .finish()
    }
}

impl Admin {
    /// Whether accounts and nodes can be administered.
    pub fn has_secret(&self) -> bool {
        !self.secret.is_empty() || self.secret_file.is_some()
    }

    /// Whether only this machine can reach `address`.
    pub fn is_loopback(&self) -> bool {
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

impl Bus {
    /// The Redis one by one.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        // An empty entry is an error of `validate`, not nothing.
        self.url.split(URL_SEPARATOR).map(str::trim).take(if self.url.is_empty() { 0 } else { usize::MAX })
    }
}

/// The URL as it may be shown: its password replaced by `***`.
pub fn without_password(url: &str) -> String {
    // By hand, since what cannot be parsed as a URL is what most needs to be shown.
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let Some((user, host)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    if scheme.is_empty() {
        return format!("***@{host}");
    }
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    format!("{scheme}://{user}:***@{host}")
}

/// The same of several URLs with commas between them.
pub fn without_passwords(urls: &str) -> String {
    if urls.split(URL_SEPARATOR).all(|url| url.contains("://")) {
        return urls.split(URL_SEPARATOR).map(without_password).collect::<Vec<_>>().join(",");
    }
    // Perhaps a comma belongs to a password: all between the first scheme and the last host is hidden.
    without_password(urls)
}

fn text_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string or a list of strings")]
    enum TextOrList {
        Text(String),
        List(Vec<String>),
    }
    Ok(match TextOrList::deserialize(deserializer)? {
        TextOrList::Text(text) => text,
        TextOrList::List(list) => list.join(&URL_SEPARATOR.to_string()),
    })
}

fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}
