//! Why is it slow or failing, who is to blame, what to do.

use headrope_model::TimeRange;
use serde::Serialize;

use super::Time;

/// A question for a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictQuery {
    /// The window that is judged.
    pub range: TimeRange,
    /// What it is compared with; without, the time just before the window, as long as it and at least ten minutes.
    pub reference: Option<TimeRange>,
    /// Requests as this service sees them; without, requests as users see them.
    pub service: Option<String>,
    /// Only requests of this operation.
    pub operation: Option<String>,
}

/// A range in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// First instant.
    pub from: Time,
    /// First instant after it.
    pub to: Time,
}

impl From<TimeRange> for Window {
    fn from(range: TimeRange) -> Self {
        Self { from: Time(range.from()), to: Time(range.to()) }
    }
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// One sentence.
    pub summary: String,
    /// What to do: `scale_out`, `raise_limit`, `throttle_caller`, `degrade_dependency`, `fix_statement`, `roll_back`,
    /// `repair`, `wait_for_external`, `none` or `unknown`.
    pub action: &'static str,
    /// Whether the first culprit is blamed; if not, the list is what was looked at.
    pub confident: bool,
    /// Why the verdict abstains, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstains: Option<&'static str>,
    /// Who, the likeliest first.
    pub culprits: Vec<CulpritRow>,
    /// What was added to the mean request, part by part.
    pub ledger: LedgerRows,
    /// What proves it.
    pub evidence: Vec<Evidence>,
    /// Other explanations, and what speaks against them.
    pub refuted: Vec<Refuted>,
    /// What requests can do without: dependencies whose failures most requests survived, those they spend most time on first.
    pub degradable: Vec<DegradeRow>,
    /// What it rests on.
    pub trust: Trust,
    /// The window.
    pub window: Window,
    /// The reference.
    pub reference: Window,
    /// Who chose the reference: `asked` or `before`.
    pub reference_chosen: &'static str,
    /// Version of the rules.
    pub rules_version: u32,
}

/// A weak dependency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DegradeRow {
    /// The service, store or outside service.
    pub name: String,
    /// Callers' requests in which every call of it failed, both windows.
    pub failed: u64,
    /// Of these, those that failed, too.
    pub failed_too: u64,
    /// Time on the critical path that goes to it: calls, ways and its own work, mean of a request of the window.
    pub time_ns: i64,
    /// The share of that in the time of all requests.
    pub share: f64,
}

/// A culprit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CulpritRow {
    /// The service; of a store or something outside, the service that calls it most.
    pub service: String,
    /// The instance that has it alone, if one does.
    pub instance: Option<String>,
    /// Its host.
    pub host: Option<String>,
    /// The operation with most of it.
    pub operation: Option<String>,
    /// The database, cache, queue or outside service, if that is the culprit.
    pub peer: Option<String>,
    /// The statement with most of it.
    pub statement: Option<String>,
    /// Why: `cpu`, `cpu_throttling`, `garbage_collection`, `memory`, `disk`, `lock`, `statement`, `more_calls`, `pool`,
    /// `network`, `external`, `release`, `code`, `load` or `unknown`.
    pub cause: &'static str,
    /// What to do about it.
    pub action: &'static str,
    /// Share of what all suspects explain, 0 to 1.
    pub share: f64,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// Nanoseconds it added to the mean request.
    pub added_ns: i64,
    /// Its harm, as a share of what affected requests took, by kind.
    pub harm: Harm,
}

/// What a culprit did to requests, each as a share of what affected requests took in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Harm {
    /// All of it.
    pub total: f64,
    /// By its own work.
    pub work: f64,
    /// On the way to it or from it.
    pub way: f64,
    /// By calling more often.
    pub calls: f64,
    /// By failing.
    pub failure: f64,
    /// By doing something else.
    pub shape: f64,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerRows {
    /// Nanoseconds the mean request of the window takes longer than the same requests in the reference.
    pub excess_ns: i64,
    /// What the same requests took in the reference.
    pub reference_ns: i64,
    /// The lines with most, either way; with `others` they add up to 100 %.
    pub lines: Vec<LedgerRow>,
    /// What all other lines add up to.
    pub others_ns: i64,
    /// Share of the requests whose entry the reference knows.
    pub compared: f64,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerRow {
    /// Whose span.
    pub service: String,
    /// Its name.
    pub operation: String,
    /// `work`, `way` or `remote`.
    pub wait: &'static str,
    /// What is waited for, unless it is the span's own work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Nanoseconds added to the mean request.
    pub added_ns: i64,
    /// Of these, by more such spans.
    pub by_count_ns: i64,
    /// Share of the excess; negative for what got faster while requests got slower.
    pub share: f64,
    /// What the mean request of the window would take less if each such span took its typical time: the geometric mean, which
    /// is the p50 of times that are spread evenly on the scale of logarithms.
    pub gain_ns: i64,
    /// Standard errors.
    pub z: f64,
    /// Mean time for each such span on the path, reference and window, nanoseconds.
    pub each_ns: [i64; 2],
    /// Such spans in the sample, reference and window.
    pub spans: [u64; 2],
}

/// Something seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// What it says.
    pub text: String,
    /// Of whom.
    pub entity: String,
    /// The metric or figure.
    pub metric: String,
    /// In the reference; absent if it was not measured.
    pub reference: Option<f64>,
    /// In the window.
    pub window: f64,
}

/// An explanation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refuted {
    /// The cause.
    pub cause: &'static str,
    /// What speaks against it.
    pub because: String,
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trust {
    /// Requests of the sample, reference and window.
    pub requests: [u64; 2],
    /// Spans stored in both, reference and window.
    pub spans: [u64; 2],
    /// Of these, those that were read.
    pub read: [u64; 2],
    /// Share of the requests that were looked at.
    pub sampled: [f64; 2],
    /// Call chains whose root was not received, as a share of those of the sample.
    pub rootless: f64,
    /// Share of the services that signals of machines or processes are known of.
    pub covered: f64,
    /// What would make it better.
    pub advice: Vec<String>,
}
