//! What changed: versions, instances, kinds of work, what logs say, and what people recorded.

use headrope_model::TimeRange;
use serde::{Deserialize, Serialize};

use super::Time;
use super::verdict::Window;

/// A question for changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeQuery {
    /// Window.
    pub range: TimeRange,
    /// What it is compared with; without, the time just before the window, as long as it and at least ten minutes.
    pub reference: Option<TimeRange>,
    /// Only this service.
    pub service: Option<String>,
}

/// What can be recorded; the name of the OTLP event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// A version was deployed.
    Deployment,
    /// Configuration was changed.
    ConfigurationChange,
    /// A feature flag was changed.
    FeatureFlagChange,
    /// Instances were added or removed.
    Scaling,
    /// Instances were restarted.
    Restart,
    /// A schema or data were migrated.
    Migration,
    /// Work on what the system stands on.
    Maintenance,
    /// Anything else.
    OtherChange,
}

impl Recorded {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::ConfigurationChange,
        Self::FeatureFlagChange,
        Self::Scaling,
        Self::Restart,
        Self::Migration,
        Self::Maintenance,
        Self::OtherChange,
    ];

    /// Name of the event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::ConfigurationChange => "configuration_change",
            Self::FeatureFlagChange => "feature_flag_change",
            Self::Scaling => "scaling",
            Self::Restart => "restart",
            Self::Migration => "migration",
            Self::Maintenance => "maintenance",
            Self::OtherChange => "other_change",
        }
    }
}

/// A change to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChange {
    /// What it is.
    pub kind: Recorded,
    /// The service that changed, if it is one.
    pub service: Option<String>,
    /// Its version from then on.
    pub version: Option<String>,
    /// When, as parameters of time are written; now without.
    pub time: Option<String>,
    /// What was done.
    pub text: Option<String>,
    /// Where to read more: an address that begins with `https://` or `http://`.
    pub link: Option<String>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeRow {
    /// Recorded: a name of [`Recorded`]. Seen in the data: `version`, `restart`, `instance_started`, `instance_ended`, `new_operation`,
    /// `new_statement`, `new_log_pattern` or `new_error`.
    pub kind: &'static str,
    /// Whether somebody told it; otherwise it was seen in the data.
    pub recorded: bool,
    /// When; absent if only the window is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What it is, in words.
    pub text: String,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// A trace that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// How often it was seen in the window: requests, spans, lines or exceptions; 0 for what was recorded or ended.
    pub count: u64,
}

/// What an operation adds to the change of the mean request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationShift {
    /// Operation.
    pub operation: String,
    /// Nanoseconds by a greater or smaller share of the requests.
    pub mix_ns: i64,
    /// Nanoseconds by becoming slower or faster.
    pub performance_ns: i64,
}

/// The change of a service's mean request, split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyShift {
    /// Service.
    pub service: String,
    /// Mean in the reference.
    pub reference_mean_ns: i64,
    /// Mean in the window.
    pub window_mean_ns: i64,
    /// Part of the difference that is due to another mix of operations.
    pub mix_ns: i64,
    /// Part that is due to operations that became slower or faster.
    pub performance_ns: i64,
    /// The operations with most of it, at most five.
    pub operations: Vec<OperationShift>,
}

/// Changes in the order of time, those whose time is not known last; at most 500.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    /// Changes.
    pub changes: Vec<ChangeRow>,
    /// Changes found, also those cut off.
    pub total: u64,
    /// Mean requests of services, the greatest difference first.
    pub latency: Vec<LatencyShift>,
    /// The window.
    pub window: Window,
    /// The reference.
    pub reference: Window,
    /// Who chose the reference: `asked` or `before`.
    pub reference_chosen: &'static str,
}
