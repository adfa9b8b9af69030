//! Configuration: defaults < file < environment < flags. Unknown keys are mistakes, and every
//! mistake is reported at once.

mod keys;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use headrope_collector::CollectorConfig;
use headrope_storage::{Durability, StorageConfig};

use crate::cli::ConfigArgs;
use keys::{KEYS, Key};
use parse::{parse_bytes, parse_duration};

/// Prefix of environment variables: `HEADROPE_STORAGE__FLUSH_BYTES`.
const PREFIX: &str = "HEADROPE_";

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(String),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Every mistake in a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has mistakes:\n  {}", .0.join("\n  "))]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

/// Settings as text, with their origins. Keys are `section.name`.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

/// The resolved configuration of a node.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) storage: StorageConfig,
    pub(crate) collector: CollectorConfig,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) query: headrope_query::QueryConfig,
}

/// Reads and resolves the configuration.
pub(crate) fn load(args: &ConfigArgs) -> Result<(Settings, Config), ConfigErrors> {
    let environment = std::env::vars();
    let (settings, mut mistakes) = Settings::read(args, environment);
    let config = settings.resolve(&mut mistakes);
    match config {
        Some(config) if mistakes.is_empty() => Ok((settings, config)),
        _ => Err(ConfigErrors(mistakes)),
    }
}

impl Settings {
    /// Layers the sources; returns the mistakes found on the way.
    pub(crate) fn read(
        args: &ConfigArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Self, Vec<String>) {
        let values =
            KEYS.iter().map(|k| (k.name, (k.default.to_owned(), Origin::Default))).collect();
        let mut settings = Self { values };
        let mut mistakes = Vec::new();
        if let Some(path) = &args.config {
            settings.read_file(path, &mut mistakes);
        }
        for (name, value) in environment {
            let Some((section, key)) =
                name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let dotted = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            if !settings.set(&dotted, value, Origin::Environment(name.clone())) {
                mistakes.push(format!("environment {name}: there is no setting {dotted}"));
            }
        }
        settings.read_flags(args);
        (settings, mistakes)
    }

    fn read_flags(&mut self, args: &ConfigArgs) {
        let path = args.data_dir.as_ref().map(|dir| dir.display().to_string());
        let text = |addr: Option<std::net::SocketAddr>| addr.map(|a| a.to_string());
        let flags = [
            ("storage.data_dir", path, "--data-dir"),
            ("collector.otlp_grpc", text(args.otlp_grpc), "--otlp-grpc"),
            ("collector.otlp_http", text(args.otlp_http), "--otlp-http"),
            ("server.listen", text(args.listen), "--listen"),
        ];
        for (key, value, flag) in flags {
            if let Some(value) = value {
                self.set(key, value, Origin::Flag(flag));
            }
        }
    }

    fn set(&mut self, key: &str, value: String, origin: Origin) -> bool {
        match self.values.get_mut(key) {
            Some(slot) => {
                *slot = (value, origin);
                true
            }
            None => false,
        }
    }

    fn read_file(&mut self, path: &Path, mistakes: &mut Vec<String>) {
        let shown = path.display().to_string();
        let table = match std::fs::read_to_string(path) {
            Ok(text) => match text.parse::<toml::Table>() {
                Ok(table) => table,
                Err(error) => return mistakes.push(format!("{shown}: {error}")),
            },
            Err(error) => return mistakes.push(format!("{shown}: {error}")),
        };
        for (section, value) in table {
            let toml::Value::Table(entries) = value else {
                mistakes.push(format!("{shown}: {section} is not a section; write [{section}]"));
                continue;
            };
            for (name, value) in entries {
                let key = format!("{section}.{name}");
                let known = match scalar(&value) {
                    Some(text) => self.set(&key, text, Origin::File(shown.clone())),
                    None => {
                        mistakes.push(format!("{shown}: {key} must be a single value or a list"));
                        true
                    }
                };
                if !known {
                    mistakes.push(format!("{shown}: there is no setting {key}"));
                }
            }
        }
    }

    /// Every setting with its value and origin.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Key, &str, &Origin)> {
        KEYS.iter().filter_map(|key| {
            self.values.get(key.name).map(|(value, origin)| (key, value.as_str(), origin))
        })
    }

    /// Parses everything; `None` and mistakes if something does not parse.
    pub(crate) fn resolve(&self, mistakes: &mut Vec<String>) -> Option<Config> {
        let mut reader = Reader { settings: self, mistakes };
        let data_dir = reader.text("storage.data_dir").into();
        let mut storage = StorageConfig::new(data_dir);
        storage.durability = match reader.text("storage.durability").as_str() {
            "fsync" => Durability::Fsync,
            "page-cache" => Durability::PageCache,
            other => reader.mistake(
                "storage.durability",
                &format!("{other:?} is neither fsync nor page-cache"),
            )?,
        };
        reader.storage(&mut storage);
        let mut collector = CollectorConfig::default();
        reader.collector(&mut collector);
        let listen = reader.read(
            "server.listen",
            |text| text.parse().ok(),
            "an address such as 127.0.0.1:8080",
        )?;
        let mut query = headrope_query::QueryConfig::default();
        reader.query(&mut query);
        for problem in collector.validate() {
            reader.mistakes.push(format!("collector: {problem}"));
        }
        let need = collector.max_message_bytes.saturating_mul(4);
        if storage.memory_budget_bytes < need {
            reader.mistakes.push(format!(
                "storage.memory_budget must be at least four times collector.max_message ({need} bytes)"
            ));
        }
        Some(Config { storage, collector, listen, query })
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(n) => Some(n.to_string()),
        toml::Value::Float(n) => Some(n.to_string()),
        toml::Value::Boolean(b) => Some(b.to_string()),
        toml::Value::Array(items) => {
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        _ => None,
    }
}

/// Reads typed values and collects mistakes.
struct Reader<'a> {
    settings: &'a Settings,
    mistakes: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn text(&self, key: &str) -> String {
        self.settings.values.get(key).map(|(value, _)| value.clone()).unwrap_or_default()
    }

    fn mistake<T>(&mut self, key: &str, what: &str) -> Option<T> {
        let origin = self.settings.values.get(key).map(|(_, o)| o.to_string()).unwrap_or_default();
        self.mistakes.push(format!("{key} ({origin}): {what}"));
        None
    }

    fn read<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>, want: &str) -> Option<T> {
        let text = self.text(key);
        match parse(&text) {
            Some(value) => Some(value),
            None => self.mistake(key, &format!("{text:?} is not {want}")),
        }
    }

    fn bytes(&mut self, key: &str, into: &mut usize) {
        let parse = |text: &str| parse_bytes(text).and_then(|n| usize::try_from(n).ok());
        if let Some(value) = self.read(key, parse, "a size such as 128MiB") {
            *into = value;
        }
    }

    fn duration(&mut self, key: &str, into: &mut std::time::Duration) {
        if let Some(value) = self.read(key, parse_duration, "a duration such as 30s or 14d") {
            *into = value;
        }
    }

    fn number<T: std::str::FromStr>(&mut self, key: &str, into: &mut T) {
        if let Some(value) = self.read(key, |text| text.parse().ok(), "a whole number") {
            *into = value;
        }
    }

    fn age(&mut self, key: &str, into: &mut Option<std::time::Duration>) {
        let parse = |text: &str| match text {
            "forever" => Some(None),
            _ => parse_duration(text).map(Some),
        };
        if let Some(value) = self.read(key, parse, "a duration such as 14d, or forever") {
            *into = value;
        }
    }

    fn room(&mut self, key: &str, into: &mut Option<u64>) {
        let parse = |text: &str| match text {
            "unlimited" => Some(None),
            _ => parse_bytes(text).map(Some),
        };
        if let Some(value) = self.read(key, parse, "a size such as 100GiB, or unlimited") {
            *into = value;
        }
    }

    fn storage(&mut self, storage: &mut StorageConfig) {
        self.bytes("storage.memory_budget", &mut storage.memory_budget_bytes);
        self.bytes("storage.flush_bytes", &mut storage.flush_bytes);
        self.duration("storage.flush_age", &mut storage.flush_age);
        self.duration("storage.maintenance_interval", &mut storage.maintenance_interval);
        self.number("storage.compact_max_rows", &mut storage.compact_max_rows);
        self.number("storage.compact_fan_in", &mut storage.compact_fan_in);
        self.duration("storage.compact_settled", &mut storage.compact_settled);
        self.age("storage.retain_traces", &mut storage.retain_traces);
        self.age("storage.retain_logs", &mut storage.retain_logs);
        self.age("storage.retain_metrics", &mut storage.retain_metrics);
        self.room("storage.retain_traces_bytes", &mut storage.retain_traces_bytes);
        self.room("storage.retain_logs_bytes", &mut storage.retain_logs_bytes);
        self.room("storage.retain_metrics_bytes", &mut storage.retain_metrics_bytes);
        self.age("storage.retain_rollups", &mut storage.retain_rollups);
        if let Some(value) = self.read("storage.min_free", parse_bytes, "a size such as 512MiB") {
            storage.min_free_bytes = value;
        }
    }

    fn collector(&mut self, collector: &mut CollectorConfig) {
        let address = |text: &str| text.parse().ok();
        let want = "an address such as 127.0.0.1:4317";
        if let Some(value) = self.read("collector.otlp_grpc", address, want) {
            collector.grpc_addr = value;
        }
        if let Some(value) = self.read("collector.otlp_http", address, want) {
            collector.http_addr = value;
        }
        self.bytes("collector.max_message", &mut collector.max_message_bytes);
        self.bytes("collector.max_record", &mut collector.max_record_bytes);
        self.number("collector.max_concurrent_requests", &mut collector.max_concurrent_requests);
        let in_flight = |text: &str| match text {
            "auto" => Some(None),
            _ => parse_bytes(text).and_then(|n| usize::try_from(n).ok()).map(Some),
        };
        let want = "a size such as 512MiB, or auto";
        if let Some(value) = self.read("collector.max_in_flight", in_flight, want) {
            collector.max_in_flight_bytes = value;
        }
        self.number("collector.max_connections", &mut collector.max_connections);
        self.duration("collector.body_timeout", &mut collector.body_timeout);
        self.duration("collector.idle_timeout", &mut collector.idle_timeout);
        self.duration("collector.drain_timeout", &mut collector.drain_timeout);
        collector.cors_origins = self.list("collector.cors_origins");
        collector.cors_headers = self.list("collector.cors_headers");
    }

    /// Words between commas.
    fn list(&mut self, key: &str) -> Vec<String> {
        let text = self.text(key);
        text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    }

    fn query(&mut self, query: &mut headrope_query::QueryConfig) {
        self.bytes("query.memory_budget", &mut query.memory_bytes);
        self.bytes("query.metadata_cache", &mut query.metadata_cache_bytes);
        self.number("query.max_concurrent", &mut query.concurrent);
        self.duration("query.timeout", &mut query.timeout);
    }
}
