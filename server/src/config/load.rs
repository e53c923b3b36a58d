//! Reads the settings from their three sources.
//!
//! The file is read on its own first, so that its errors come with line and column; the environment is then laid over
//! it.

use super::keys::{Kind, keys, nearest};
use super::variables::{is_of_a_section, is_ours, override_key};
use super::{Config, Error};
use serde::Deserialize as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

impl Config {
    /// Defaults, then the file at `path` if one is given, then the environment of this process. The result is not yet
    /// checked: see [`Config::validate`].
    ///
    /// Variables that belong to the test harness (`CHAT_TEST_*`, and `CHAT_*_IMAGE`, which name container images), and
    /// [`MIGRATE_FROM`](super::MIGRATE_FROM), are left alone; so are those of
    /// [`unknown_variables`](super::unknown_variables).
    ///
    /// # Errors
    /// A file that does not exist or is not TOML; a key, or a variable of a known section, that is not known or has a
    /// value of the wrong kind.
    pub fn load(path: Option<&Path>) -> Result<Config, Error> {
        Self::load_with(path, std::env::vars_os())
    }

    /// As [`Config::load`], with the variables given.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, Error> {
        let keys = keys();
        let mut table = match path {
            Some(path) => read_file(path, &keys)?,
            None => Table::new(),
        };
        let mut overridden = Vec::new();
        for (name, value) in variables {
            if let Some(name) = name.to_str().filter(|name| is_ours(name) && is_of_a_section(&keys, name)) {
                override_key(&mut table, &keys, name, value.to_str())?;
                overridden.push(name.to_owned());
            }
        }
        // The file was fine by itself, so what is wrong now came from a variable.
        Config::deserialize(table).map_err(|error| {
            Error::Variable(format!("{} (set are {})", one_line(&error.to_string()), overridden.join(", ")))
        })
    }
}

fn read_file(path: &Path, keys: &BTreeMap<String, Kind>) -> Result<Table, Error> {
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|cause| Error::Read { path: path.to_owned(), cause })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    for (section, value) in &table {
        let Value::Table(values) = value else {
            return Err(wrong(format!("{section} stands outside of a section{}", nearest(keys, section))));
        };
        for key in values.keys() {
            let name = format!("{section}.{key}");
            if !keys.contains_key(&name) {
                return Err(wrong(format!("unknown key {name}{}", nearest(keys, &name))));
            }
        }
        if !keys.keys().any(|key| key.split('.').next() == Some(section)) {
            return Err(wrong(format!("unknown section {section}{}", nearest(keys, section))));
        }
    }
    toml::from_str::<Config>(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(table)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::config::variables::{MIGRATE_FROM, unknown_among, variable};
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use tempfile::NamedTempFile;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/server.toml");

    fn file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Config::load_with(Some(file(text).path()), variables)
    }

    #[track_caller]
    fn refused(text: &str, variables: &[(&str, &str)], parts: &[&str]) {
        let error = load(text, variables).expect_err("must be refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }

    #[test]
    fn shipped_file_is_the_default_key_by_key() {
        let shipped = Config::load_with(Some(Path::new(SHIPPED)), []).unwrap();
        assert_eq!(shipped, Config::default());

        let table: Table = fs::read_to_string(SHIPPED).unwrap().parse().unwrap();
        let written: BTreeSet<String> = table
            .iter()
            .flat_map(|(section, values)| values.as_table().unwrap().keys().map(move |key| format!("{section}.{key}")))
            .collect();
        assert_eq!(written, keys().into_keys().collect());
    }

    #[test]
    fn shipped_file_explains_every_key() {
        let text = fs::read_to_string(SHIPPED).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (place, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(lines[place - 1].starts_with("# "), "no comment above {line}");
                let comment: String =
                    lines[..place].iter().rev().take_while(|line| line.starts_with('#')).copied().collect();
                assert!(comment.contains("Default"), "the comment above {line} does not say the default");
            }
        }
    }

    #[test]
    fn without_file_and_variables_defaults_hold() {
        assert_eq!(Config::load_with(None, []).unwrap(), Config::default());
    }

    #[test]
    fn file_wins_over_default_and_variable_over_file() {
        let text = "[listen]\nport = 1\nhost = 'here'\n[limits]\nheartbeat_s = 5";

        let config = load(text, &[("CHAT_LISTEN__PORT", "2"), ("PATH", "/bin")]).unwrap();

        assert_eq!((config.listen.port, config.listen.host.as_str()), (2, "here"));
        assert_eq!((config.limits.heartbeat_s, config.limits.drain_s), (5, 10));
    }

    #[test]
    fn variables_reach_every_key() {
        for (key, kind) in keys() {
            let value = match (key.as_str(), kind) {
                ("log.format", _) => "json",
                (_, Kind::Integer) => "77",
                (_, Kind::Switch) => "true",
                (_, Kind::Text) => "changed",
            };
            let config = load("", &[(&variable(&key), value)]).unwrap_or_else(|error| panic!("{key}: {error}"));
            let changed = serde_json::to_value(&config).unwrap();
            let (section, name) = key.split_once('.').unwrap();
            assert_eq!(changed[section][name].to_string().trim_matches('"'), value, "{key}");
        }
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let config = load(
            "",
            &[
                ("CHAT_LISTEN__PROXY_PROTOCOL", "true"),
                ("CHAT_LIMITS__QUEUE_BYTES", " 4096 "),
                ("CHAT_LOG__FORMAT", "json"),
                ("CHAT_TLS__CERTIFICATE", "/etc/chat.pem"),
                ("CHAT_TLS__KEY", ""),
                ("CHAT_NODE__ID", "007"),
            ],
        )
        .unwrap();

        assert!(config.listen.proxy_protocol);
        assert_eq!(config.limits.queue_bytes, 4096);
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!((config.tls.certificate, config.tls.key), (Some(PathBuf::from("/etc/chat.pem")), None));
        assert_eq!(config.node.id, "007");
    }

    #[test]
    fn bus_may_be_a_text_or_a_list() {
        for written in ["'redis://a,redis://b'", "['redis://a', 'redis://b']"] {
            let config = load(&format!("[bus]\nurl = {written}"), &[]).unwrap();
            assert_eq!(config.bus.urls().collect::<Vec<_>>(), ["redis://a", "redis://b"], "{written}");
        }
        let config = load("", &[("CHAT_BUS__URL", "redis://a, redis://b")]).unwrap();
        assert_eq!(config.bus.urls().collect::<Vec<_>>(), ["redis://a", "redis://b"]);
        assert_eq!(Config::default().bus.urls().count(), 0);
        refused("[bus]\nurl = 3", &[], &["line 2", "a string or a list of strings"]);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        refused("[listen]\nprot = 1", &[], &["unknown key listen.prot", "did you mean listen.port?"]);
        refused("[limits]\nport = 1", &[], &["unknown key limits.port", "listen.port"]);
        refused("[limit]\nheartbeat_s = 1", &[], &["limit.heartbeat_s", "did you mean limits.heartbeat_s?"]);
        refused("heartbeat_s = 1", &[], &["heartbeat_s", "outside of a section", "limits.heartbeat_s"]);
        refused("[listne]", &[], &["unknown section listne"]);
    }

    #[test]
    fn nothing_is_suggested_where_no_key_is_near() {
        for file in ["[limits]\nfoo = 1", "[foo]\na = 1"] {
            let error = load(file, &[]).unwrap_err().to_string();

            assert!(error.contains("unknown key") && !error.contains("did you mean"), "{error}");
        }
    }

    /// An error where the section is known, else a warning, with what was probably meant.
    #[test]
    fn variables_that_name_no_setting_are_refused_in_a_section_and_told_elsewhere() {
        let refusals = [
            ("CHAT_LISTEN__PRT", "did you mean CHAT_LISTEN__PORT?"),
            ("CHAT_listen__port", "did you mean CHAT_LISTEN__PORT?"),
            ("CHAT_LIMITS__", "unknown variable CHAT_LIMITS__"),
            ("CHAT_LIMITS__A__B", "unknown variable CHAT_LIMITS__A__B"),
        ];
        for (name, expected) in refusals {
            refused("", &[(name, "1")], &[name, expected]);
            assert_eq!(unknown_among([name.into()].into_iter()), None, "{name} is told twice");
        }
        for (name, expected) in [
            ("CHAT_SERVICE_HOST", "CHAT_SERVICE_HOST"),
            ("CHAT_SERVICE_PORT_CLIENTS", "CHAT_SERVICE_PORT_CLIENTS"),
            ("CHAT_PORT", "CHAT_PORT"),
            ("CHAT_PORT_12345_TCP_ADDR", "CHAT_PORT_12345_TCP_ADDR"),
            ("CHAT_ADMIN_PORT", "CHAT_ADMIN_PORT"),
            ("CHAT_PASSWORD", "CHAT_PASSWORD"),
            ("CHAT_", "CHAT_"),
            ("CHAT_LISTNE__PORT", "CHAT_LISTNE__PORT"),
            ("CHAT_DATABASE_URL", "CHAT_DATABASE_URL (did you mean CHAT_DATABASE__URL?)"),
        ] {
            assert_eq!(load("", &[(name, "1")]).unwrap(), Config::default(), "{name}");
            let told = unknown_among([name.into()].into_iter()).unwrap_or_default();
            assert_eq!(told.split_once(": ").map(|(_, told)| told), Some(expected));
        }
        assert_eq!(unknown_among(["CHAT_LISTEN__PORT", "PATH", "CHAT_TEST_X"].map(OsString::from).into_iter()), None);
    }

    #[test]
    fn variables_of_the_harness_and_of_migrate_are_left_alone() {
        let variables = [
            ("CHAT_MYSQL_IMAGE", "mysql:8.4"),
            ("CHAT_TEST_MYSQL_URL", "x"),
            ("OTHER_CHAT_X", "y"),
            (MIGRATE_FROM, "mysql://x"),
        ];

        assert_eq!(load("", &variables).unwrap(), Config::default());
    }

    #[test]
    fn wrong_values_are_refused_with_place_or_name() {
        refused("[listen]\nport = 'x'", &[], &["line 2", "port", "string \"x\""]);
        refused("[listen]\nport = 70000", &[], &["line 2", "70000"]);
        refused("[log]\nformat = 'xml'", &[], &["line 2", "xml", "json"]);
        refused("[listen\n", &[], &["line 1"]);
        refused("", &[("CHAT_LISTEN__PORT", "x")], &["CHAT_LISTEN__PORT (listen.port)", "an integer"]);
        refused("", &[("CHAT_LISTEN__PORT", "70000")], &["CHAT_LISTEN__PORT", "70000"]);
        refused("", &[("CHAT_LIMITS__CONNECTIONS", "-1")], &["CHAT_LIMITS__CONNECTIONS", "-1"]);
        refused("", &[("CHAT_LISTEN__PROXY_PROTOCOL", "yes")], &["listen.proxy_protocol", "true or false"]);
        refused("", &[("CHAT_LOG__FORMAT", "xml")], &["CHAT_LOG__FORMAT", "json"]);
    }

    #[test]
    fn values_of_variables_that_may_be_secret_are_not_shown() {
        let variables = [("CHAT_DATABASE__URL", "mysql://u:hidden@h/d"), ("CHAT_LOG__FORMAT", "xml")];

        let error = load("", &variables).unwrap_err().to_string();

        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_named_file_must_exist() {
        let error = Config::load_with(Some(Path::new("/nonexistent/server.toml")), []).unwrap_err();

        assert!(matches!(error, Error::Read { .. }));
        assert!(error.to_string().contains("/nonexistent/server.toml"));
        // Whoever prints the error with its causes says each once.
        assert!(std::error::Error::source(&error).is_none());
    }
}
