//! What values the settings may have, alone and together.
//!
//! All problems are reported at once, each with key, value and what is allowed. What is lawful but probably not meant
//! comes back as a warning.

use super::log_filter;
use super::problems::Problems;
use super::{
    Admin, Bus, Config, Database, Error, Listen, MAX_BUSES, MAX_ITERATIONS, MAX_MEMORY_KIB, Node, Password, Tls,
    without_password, without_passwords,
};
use crate::cluster::MAX_NODE_ID_BYTES;
use crate::config::database_url::{self, DatabaseUrl};
use crate::config::networks::Networks;
use std::collections::BTreeSet;

/// Where a Redis URL names no port.
const REDIS_PORT: u16 = 6379;

impl Config {
    /// Checks every value; returns warnings for the log.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all that is wrong.
    pub fn validate(&self) -> Result<Vec<String>, Error> {
        let mut problems = Problems::default();
        let Config { node, listen, database, bus, password, limits, retention, tls, admin, log } = self;
        node.check(&mut problems);
        listen.check(&mut problems);
        database.check(&mut problems);
        bus.check(&mut problems);
        password.check(&mut problems);
        limits.check(&mut problems);
        retention.check(&mut problems);
        tls.check(&mut problems);
        admin.check(tls, &mut problems);
        if let Err(error) = log_filter::parse(&log.filter) {
            problems.say(error);
        }
        if database.is_sqlite() && !bus.url.is_empty() {
            let url = without_passwords(&bus.url);
            problems.text("bus.url", &url, false, "empty with a sqlite database, which only one node can use");
        }
        let problems = problems.all();
        if problems.is_empty() { Ok(self.warnings()) } else { Err(Error::Invalid(problems)) }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.database.is_mysql() && self.bus.url.is_empty() {
            warnings.push(format!(
                "database.url is mysql but bus.url is empty: messages between nodes wait for the repair every {} s; \
                 set bus.url unless this is the only node",
                self.limits.repair_interval_s
            ));
        }
        let default = Password::default();
        if self.password.memory_kib < default.memory_kib || self.password.iterations < default.iterations {
            warnings.push(format!(
                "password.memory_kib = {} and password.iterations = {} make password hashes cheap to guess: for tests \
                 only",
                self.password.memory_kib, self.password.iterations
            ));
        }
        warnings.extend(self.retention.warning());
        warnings
    }
}

impl Node {
    fn check(&self, problems: &mut Problems) {
        let is_fine = self.id.len() <= MAX_NODE_ID_BYTES && self.id.bytes().all(is_name_byte);
        problems.text(
            "node.id",
            &self.id,
            is_fine,
            format_args!("at most {MAX_NODE_ID_BYTES} characters of a-z A-Z 0-9 . _ : -"),
        );
    }
}

impl Listen {
    fn check(&self, problems: &mut Problems) {
        problems.text("listen.host", &self.host, is_host(&self.host), "a host name or IP address");
        let is_fine = Networks::parse(&self.proxy_from).is_ok();
        let allowed = "addresses and networks with commas between them, as in 10.0.0.0/8, ::1";
        problems.text("listen.proxy_from", &self.proxy_from, is_fine, allowed);
        let is_fine = self.proxy_from.is_empty() || !self.proxy_protocol;
        let allowed = "nothing beside listen.proxy_protocol = true, which requires the header from everybody";
        problems.text("listen.proxy_from", &self.proxy_from, is_fine, allowed);
    }
}

impl Database {
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub fn is_mysql(&self) -> bool {
        self.url.starts_with("mysql://")
    }

    fn check(&self, problems: &mut Problems) {
        let wrong = match self.url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => None,
            Some(("mysql", _)) => DatabaseUrl::parse(&self.url).err().map(|why| format!("; {why}")),
            _ => Some(String::new()),
        };
        if let Some(why) = wrong {
            let allowed = format!("sqlite:PATH or {}{why}", database_url::FORM);
            problems.text("database.url", &without_password(&self.url), false, allowed);
        }
        problems.range("database.connections", self.connections, 1..=1_000);
        problems.range("database.writers", self.writers, 1..=64);
        problems.range("database.timeout_ms", self.timeout_ms, 100..=600_000);
    }
}

impl Bus {
    fn check(&self, problems: &mut Problems) {
        let shown = without_passwords(&self.url);
        let count = self.urls().count();
        problems.text("bus.url", &shown, count <= MAX_BUSES, format_args!("at most {MAX_BUSES} entries, not {count}"));
        let mut places = BTreeSet::new();
        for (entry, url) in (1..).zip(self.urls()) {
            let place = redis_place(url);
            let is_new = place.as_ref().is_none_or(|place| places.insert(place.clone()));
            let allowed = "redis://[:password@]host:port, the same with rediss:// for TLS, or several with commas \
                           between them, or empty";
            problems.text("bus.url", &shown, place.is_some(), format_args!("{allowed} (entry {entry})"));
            problems.text("bus.url", &shown, is_new, format_args!("each Redis once (entry {entry})"));
        }
        if let Some(ca) = self.ca.as_ref().filter(|_| !self.urls().any(|url| url.starts_with("rediss://"))) {
            problems.add("bus.ca", ca.display(), "bus.url = rediss://… with it, or empty");
        }
        let is_fine = self.channel_prefix.len() <= 64 && self.channel_prefix.bytes().all(is_name_byte);
        let allowed = "at most 64 characters of a-z A-Z 0-9 . _ : -";
        problems.text("bus.channel_prefix", &self.channel_prefix, is_fine, allowed);
    }
}

/// Host and port of a usable Redis URL.
fn redis_place(url: &str) -> Option<(String, u16)> {
    let url = url::Url::parse(url).ok()?;
    // A fragment would switch checks of the certificate off, which is not supported.
    let is_lawful = matches!(url.scheme(), "redis" | "rediss") && url.fragment().is_none();
    let host = url.host_str().filter(|host| is_lawful && !host.is_empty())?;
    Some((host.to_lowercase(), url.port().unwrap_or(REDIS_PORT)))
}

impl Password {
    fn check(&self, problems: &mut Problems) {
        let least_memory_kib = argon2::Params::MIN_M_COST;
        problems.range("password.memory_kib", self.memory_kib, least_memory_kib..=MAX_MEMORY_KIB);
        problems.range("password.iterations", self.iterations, 1..=MAX_ITERATIONS);
        problems.range("password.token_days", self.token_days, 1..=3_650);
    }
}

impl Tls {
    fn check(&self, problems: &mut Problems) {
        match (&self.certificate, &self.key) {
            (Some(certificate), None) => {
                problems.add("tls.certificate", certificate.display(), "tls.key with it, or neither");
            }
            (None, Some(key)) => problems.add("tls.key", key.display(), "tls.certificate with it, or neither"),
            (None, None) if self.required => {
                problems.add("tls.required", true, "tls.certificate and tls.key with it, or false");
            }
            _ => {}
        }
    }
}

impl Admin {
    fn check(&self, tls: &Tls, problems: &mut Problems) {
        let is_fine = self.address.is_empty()
            || self
                .address
                .rsplit_once(':')
                .is_some_and(|(host, port)| is_bracketed_host(host) && port.parse::<u16>().is_ok());
        problems.text("admin.address", &self.address, is_fine, "host:port (an IPv6 address in brackets), or empty");
        if !self.secret.is_empty()
            && let Some(file) = &self.secret_file
        {
            problems.add("admin.secret_file", file.display(), "empty beside admin.secret");
        }
        if !self.has_secret() {
            return;
        }
        if self.address.is_empty() {
            problems.add("admin.address", "\"\"", "host:port for whoever knows admin.secret, or no secret");
        } else if is_fine && !self.is_loopback() && tls.certificate.is_none() {
            let allowed = "an address of this machine alone, as in 127.0.0.1:9100; or set tls.certificate and tls.key, \
                           so that admin.secret crosses the network under TLS; or set no secret";
            problems.add("admin.address", format_args!("{:?}", self.address), allowed);
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)
}

/// A host name or a bare IP address, as `listen.host` is.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte))
}

/// A host as it stands before a port.
fn is_bracketed_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(text) && !text.contains(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{Limits, MAX_FRAME_BYTES_CEILING};

    /// A change to the defaults must be refused with a text that contains all `parts`.
    #[track_caller]
    fn refused(change: impl FnOnce(&mut Config), parts: &[&str]) {
        let mut config = Config::default();
        change(&mut config);
        let error = config.validate().expect_err("must be refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }

    #[track_caller]
    fn accepted(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap_or_else(|error| panic!("{error}"))
    }

    fn limits(change: impl FnOnce(&mut Limits)) -> impl FnOnce(&mut Config) {
        |config| change(&mut config.limits)
    }

    #[test]
    fn defaults_are_lawful_without_warning() {
        assert_eq!(accepted(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn messages_say_key_value_and_range() {
        refused(
            limits(|limits| limits.max_frame_bytes = 63),
            &["limits.max_frame_bytes = 63: expected a number from 64 to 16777215"],
        );
        refused(limits(|limits| limits.max_frame_bytes = MAX_FRAME_BYTES_CEILING + 1), &["16777216"]);
        accepted(limits(|limits| limits.max_frame_bytes = MAX_FRAME_BYTES_CEILING));
        accepted(limits(|limits| limits.max_frame_bytes = 64));
    }

    #[test]
    fn no_timeout_may_be_zero() {
        refused(limits(|limits| limits.prelogin_timeout_s = 0), &["limits.prelogin_timeout_s = 0"]);
        refused(limits(|limits| limits.frame_timeout_s = 0), &["limits.frame_timeout_s = 0"]);
        refused(limits(|limits| limits.heartbeat_s = 0), &["limits.heartbeat_s = 0"]);
        refused(limits(|limits| limits.write_timeout_s = 0), &["limits.write_timeout_s = 0"]);
        refused(limits(|limits| limits.close_linger_ms = 0), &["limits.close_linger_ms = 0"]);
        refused(limits(|limits| limits.repair_interval_s = 0), &["limits.repair_interval_s = 0"]);
        refused(|config| config.database.timeout_ms = 0, &["database.timeout_ms = 0"]);
    }

    #[test]
    fn counts_have_a_least_and_a_most() {
        refused(limits(|limits| limits.connections = 0), &["limits.connections = 0"]);
        refused(limits(|limits| limits.prelogin_connections = 0), &["limits.prelogin_connections = 0"]);
        refused(limits(|limits| limits.queue_bytes = 1_023), &["limits.queue_bytes = 1023"]);
        refused(limits(|limits| limits.message_burst = 0), &["limits.message_burst = 0"]);
        refused(limits(|limits| limits.failed_logins_per_minute = 0), &["limits.failed_logins_per_minute = 0"]);
        refused(limits(|limits| limits.group_members = 1), &["limits.group_members = 1"]);
        refused(limits(|limits| limits.drain_s = 3_601), &["limits.drain_s = 3601"]);
        refused(limits(|limits| limits.messages_per_second = 1_000_001), &["limits.messages_per_second"]);
        refused(limits(|limits| limits.connections_per_ip = 10_000_001), &["limits.connections_per_ip"]);
        refused(|config| config.database.connections = 0, &["database.connections = 0"]);
        refused(|config| config.database.writers = 0, &["database.writers = 0"]);
        accepted(limits(|limits| limits.messages_per_second = 0));
        accepted(limits(|limits| limits.drain_s = 0));
    }

    #[test]
    fn password_costs_are_bounded_and_cheap_ones_warned_of() {
        refused(|config| config.password.memory_kib = 7, &["password.memory_kib = 7", "8"]);
        refused(|config| config.password.memory_kib = u32::MAX, &["password.memory_kib"]);
        refused(|config| config.password.iterations = 0, &["password.iterations = 0"]);
        refused(|config| config.password.iterations = 65, &["password.iterations = 65"]);
        refused(|config| config.password.token_days = 0, &["password.token_days = 0"]);
        assert!(accepted(|config| config.password.memory_kib = 8)[0].contains("password.memory_kib = 8"));
    }

    #[test]
    fn addresses_are_checked() {
        for url in ["", "postgres://h/d", "sqlite:", "mysql:chat", "mysql://", "mysql://u:p@h", "mysql://u:p@h/"] {
            refused(|config| config.database.url = url.into(), &["database.url", "sqlite:PATH or mysql://"]);
        }
        refused(|config| config.database.url = "mysql://u:p@h1,h2:x/d".into(), &["host 2: \":x\" is no port"]);
        accepted(|config| config.database.url = "mysql://u:p@h1,h2:3307,[::1]/d".into());
        for url in ["redis", "http://h", "redis://", "rediss://", "rediss://h#insecure"] {
            refused(|config| config.bus.url = url.into(), &["bus.url", "redis://"]);
        }
        refused(|config| config.bus.ca = Some("ca.pem".into()), &["bus.ca = ca.pem", "rediss://"]);
        for address in ["9100", ":9100", "host:", "host:70000", "::1:9100", "[x]:1", "a b:1"] {
            refused(|config| config.admin.address = address.into(), &["admin.address", "host:port"]);
        }
        for address in ["", "127.0.0.1:9100", "[::1]:0", "node-1.internal:9100"] {
            accepted(|config| config.admin.address = address.into());
        }
        refused(|config| config.listen.host = String::new(), &["listen.host = \"\""]);
        refused(|config| config.listen.host = "a b".into(), &["listen.host"]);
        accepted(|config| config.listen.host = "::".into());
    }

    #[test]
    fn secret_of_operators_needs_an_address_of_this_machine_or_tls() {
        let with = |address: &'static str| {
            move |config: &mut Config| {
                config.admin.address = address.into();
                config.admin.secret = "hidden-hidden-hidden".into();
            }
        };
        for address in ["127.0.0.1:9100", "127.7.7.7:0", "[::1]:9100", "[::ffff:127.0.0.1]:1", "localhost:9100"] {
            accepted(with(address));
        }
        for address in ["0.0.0.0:9100", "[::]:9100", "10.0.0.1:9100", "node-1:9100", "127.0.0.1.example.org:9100"] {
            refused(with(address), &["admin.address", address, "127.0.0.1:9100", "tls.certificate"]);
            accepted(|config| {
                with(address)(config);
                (config.tls.certificate, config.tls.key) = (Some("c.pem".into()), Some("k.pem".into()));
            });
        }
        refused(with(""), &["admin.address = \"\"", "admin.secret"]);
        let both = |config: &mut Config| {
            with("127.0.0.1:9100")(config);
            config.admin.secret_file = Some("secret".into());
        };
        refused(both, &["admin.secret_file = secret", "beside admin.secret"]);
        let in_file = |config: &mut Config| {
            config.admin.address = "0.0.0.0:9100".into();
            config.admin.secret_file = Some("secret".into());
        };
        refused(in_file, &["admin.address", "tls.certificate"]);
        let mut config = Config::default();
        with("0.0.0.0:9100")(&mut config);
        assert!(!format!("{config:?} {}", config.validate().unwrap_err()).contains("hidden"));
    }

    #[test]
    fn proxies_are_named_by_network_or_everybody_is_one() {
        accepted(|config| config.listen.proxy_from = "10.0.0.0/8, 127.0.0.1,::1".into());
        refused(
            |config| config.listen.proxy_from = "balancer".into(),
            &["listen.proxy_from = \"balancer\"", "10.0.0.0/8"],
        );
        let both = |config: &mut Config| {
            config.listen.proxy_protocol = true;
            config.listen.proxy_from = "::1".into();
        };
        refused(both, &["listen.proxy_from = \"::1\"", "listen.proxy_protocol"]);
    }

    #[test]
    fn node_names_fit_their_column() {
        accepted(|config| config.node.id = "n".repeat(64));
        accepted(|config| config.node.id = "chat-1.example.org:8001".into());
        refused(|config| config.node.id = "n".repeat(65), &["node.id", "at most 64"]);
        refused(|config| config.node.id = "a b".into(), &["node.id = \"a b\""]);
        refused(|config| config.node.id = "é".into(), &["node.id"]);
        refused(|config| config.bus.channel_prefix = "a*".into(), &["bus.channel_prefix"]);
    }

    #[test]
    fn tls_needs_both_files() {
        refused(|config| config.tls.certificate = Some("c.pem".into()), &["tls.certificate = c.pem", "tls.key"]);
        refused(|config| config.tls.key = Some("k.pem".into()), &["tls.key = k.pem", "tls.certificate"]);
        refused(|config| config.tls.required = true, &["tls.required = true", "tls.certificate"]);
    }

    #[test]
    fn redis_goes_with_mysql_only() {
        let mysql = |config: &mut Config| config.database.url = "mysql://u:p@h/d".into();
        refused(|config| config.bus.url = "redis://h:6379".into(), &["bus.url", "sqlite"]);
        assert!(accepted(mysql)[0].contains("bus.url is empty"));
        let with_bus = |config: &mut Config| {
            mysql(config);
            config.bus.url = "redis://:p@h:6379".into();
        };
        assert_eq!(accepted(with_bus), Vec::<String>::new());
        let with_tls = |config: &mut Config| {
            mysql(config);
            config.bus.url = "rediss://:p@h:6379".into();
            config.bus.ca = Some("ca.pem".into());
        };
        assert_eq!(accepted(with_tls), Vec::<String>::new());
    }

    #[test]
    fn every_redis_of_a_list_is_checked_and_no_password_shown() {
        let with_buses = |urls: &'static str| {
            move |config: &mut Config| {
                config.database.url = "mysql://u:p@h/d".into();
                config.bus.url = urls.into();
            }
        };
        accepted(with_buses("redis://:p@a, rediss://b:6380,redis://c/1"));
        refused(with_buses("redis://:geheim@a,http://b"), &["bus.url", "redis://:***@a,http://b", "(entry 2)"]);
        refused(with_buses("redis://a,"), &["(entry 2)"]);
        refused(with_buses("redis://a,redis://b,rediss://:p@A:6379"), &["each Redis once (entry 3)"]);
        refused(
            with_buses(
                "redis://a:1,redis://a:2,redis://a:3,redis://a:4,redis://a:5,redis://a:6,redis://a:7,\
                            redis://a:8,redis://a:9",
            ),
            &["at most 8 entries, not 9"],
        );
        for urls in
            ["redis://:ge,heim@a", "redis://:geheim@a,redis://:ge,heim@b", "localhost,http://:geheim@a", ":geheim@a"]
        {
            let mut config = Config::default();
            with_buses(urls)(&mut config);
            let error = config.validate().expect_err("must be refused").to_string();
            assert!(!error.contains("heim") && !format!("{:?}", config.bus).contains("heim"), "{error}");
        }
    }

    #[test]
    fn a_bad_filter_is_a_problem_of_the_configuration() {
        refused(|config| config.log.filter = "inof".into(), &["log.filter", "inof"]);
    }

    #[test]
    fn all_problems_are_reported_at_once_and_no_password_is_shown() {
        let change = |config: &mut Config| {
            config.database.url = "postgres://u:hidden@h/d".into();
            config.bus.url = "http://:hidden@h".into();
            config.limits.heartbeat_s = 0;
        };
        refused(change, &["database.url = \"postgres://u:***@h/d\"", "bus.url", "limits.heartbeat_s"]);
        let mut config = Config::default();
        change(&mut config);
        assert!(!format!("{config:?} {}", config.validate().unwrap_err()).contains("hidden"));
    }
}
