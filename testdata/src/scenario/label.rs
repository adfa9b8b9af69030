//! What a verdict on a scenario should say, and what it is measured by.

use serde::{Deserialize, Serialize};

use crate::config::Incident;
use crate::fault::{Action, Cause, Place};

/// Who is to blame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Entity {
    /// Nobody.
    None,
    /// A service, or a version of it.
    Service {
        /// `service.name`.
        service: String,
        /// `service.version`; empty when the fault is bound to none.
        version: String,
    },
    /// One instance.
    Instance {
        /// `service.name`.
        service: String,
        /// `service.instance.id` during the window.
        instance: String,
        /// `host.name`.
        host: String,
    },
    /// A host.
    Host {
        /// `host.name`.
        host: String,
    },
    /// A statement of a service.
    Statement {
        /// `service.name` of the caller.
        service: String,
        /// `db.query.summary`.
        statement: String,
        /// `db.query.text`.
        text: String,
        /// `server.address`.
        database: String,
    },
    /// The network between two services.
    Edge {
        /// `service.name` of the caller.
        caller: String,
        /// `service.name` of the callee.
        callee: String,
    },
    /// A system that is asked.
    Peer {
        /// `server.address`.
        address: String,
        /// `host.name`, where it has one.
        host: String,
    },
}

/// What a verdict on the window should say, and what it is measured by. Of two faults, what is said of
/// one is said of the one with the greater share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The fault's kind; `None` in a healthy scenario.
    pub fault: Option<Incident>,
    /// Where it was planned; for a traffic surge, what users ask for more often.
    pub place: Place,
    /// How strong it is, in the unit of [`Fault`]'s table.
    pub strength: f64,
    /// Who is to blame. For a traffic surge, the service that gives way: the one in which requests
    /// lose most.
    pub entity: Entity,
    /// Why.
    pub cause: Cause,
    /// What to do.
    pub action: Action,
    /// Further classes of action that would relieve users.
    pub also: Vec<Action>,
    /// Part of the affected requests' excess over the reference that the faults explain, 0 to 1: of
    /// their time if any is slow, else of their failures; 0 in a healthy scenario. The rest is noise,
    /// distractors and the mix of the draws.
    pub planted_share: f64,
    /// Part of the time that the faults add to the affected requests that lies at the entity, 0 to 1,
    /// by critical path; the rest lies where requests wait for the entity in ways that spans do not
    /// show. `None` if the fault makes requests fail but not slow, and in a healthy scenario.
    pub entity_share: Option<f64>,
    /// Entry operations that the faults make slow or failing, worst first.
    pub affected: Vec<Effect>,
    /// The other entry operations.
    pub unaffected: Vec<Effect>,
    /// Where on the critical paths of the affected requests the fault's time lies, most first, as
    /// far as it is a hundredth of all.
    pub excess: Vec<Excess>,
    /// Each fault with its cost, the one with the greatest share first.
    pub faults: Vec<FaultLabel>,
    /// The mean request of all entry operations.
    pub mean: MeanRequest,
}

/// One of the faults of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultLabel {
    /// Its kind.
    pub fault: Incident,
    /// Where it was planned.
    pub place: Place,
    /// How strong it is, in the unit of the table at [`crate::fault::Fault`].
    pub strength: f64,
    /// Who is to blame.
    pub entity: Entity,
    /// Why.
    pub cause: Cause,
    /// What to do.
    pub action: Action,
    /// Further classes of action that would relieve users.
    pub also: Vec<Action>,
    /// Its part of the harm of all faults, 0 to 1, where a failed request counts as
    /// [`FAILURE_NS`] more.
    pub share: f64,
    /// Nanoseconds that all faults together add to the mean request at the entity, by critical path:
    /// what a ledger can see there. `None` where the entity is a host, which no ledger has.
    pub entity_ns: Option<f64>,
    /// What it costs all requests.
    pub overall: Cost,
    /// What it costs the requests of each entry operation that has any.
    pub entries: Vec<EntryCost>,
}

/// What a failed request counts beside its time, nanoseconds: a user asks again, which takes about a
/// second.
pub const FAILURE_NS: f64 = 1e9;

/// What a fault costs some requests. Of two faults each has its Shapley value (Shapley, "A value for
/// n-person games", 1953): the mean of what it adds to no fault and of what it adds to the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Nanoseconds added to the mean request.
    pub added_ns: f64,
    /// Part of the requests that fail for it, or take a tenth longer.
    pub affected: f64,
    /// Requests that fail for it.
    pub failed: f64,
}

/// What a fault costs the requests of an entry operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryCost {
    /// Span name at the gateway.
    pub operation: String,
    /// Requests in the window.
    pub requests: u64,
    /// What it costs them.
    #[serde(flatten)]
    pub cost: Cost,
}

/// The mean request of the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanRequest {
    /// Requests in the window.
    pub requests: u64,
    /// What the same mix of requests takes in the reference range, nanoseconds.
    pub reference_ns: f64,
    /// What it takes more in the window, nanoseconds: faults, harmless changes and chance.
    pub excess_ns: f64,
    /// What the faults add, nanoseconds.
    pub added_ns: f64,
    /// What the faults add at each place on the critical paths, most first, as far as it is a
    /// hundredth of all.
    pub parts: Vec<Part>,
}

/// Time at one place, in the words of a verdict's ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// `service.name` of the span.
    pub service: String,
    /// `work` of the process itself, `way` to a service and back, or `remote` for a store, the broker
    /// or the provider.
    pub wait: String,
    /// The service or address that is waited for; empty for `work`.
    pub to: String,
    /// The statement's summary; empty if there is none.
    pub statement: String,
    /// Nanoseconds that the faults add here to the mean request.
    pub added_ns: f64,
}

/// What users of an entry operation saw. Times are means over all requests, failed ones too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Span name at the gateway.
    pub operation: String,
    /// Requests in the window.
    pub requests: u64,
    /// Mean time in the reference range, milliseconds.
    pub reference_ms: f64,
    /// Mean time in the window, milliseconds.
    pub window_ms: f64,
    /// Mean time the same requests would have taken without the fault, milliseconds.
    pub without_ms: f64,
    /// Part of the requests that failed (status of 500 and above) in the reference range.
    pub reference_failed: f64,
    /// The same in the window.
    pub window_failed: f64,
    /// The same of these requests without the fault.
    pub without_failed: f64,
}

impl Effect {
    /// Milliseconds the fault adds to a request.
    #[must_use]
    pub fn added_ms(&self) -> f64 {
        self.window_ms - self.without_ms
    }

    /// Part of the requests that the fault makes fail.
    #[must_use]
    pub fn added_failures(&self) -> f64 {
        self.window_failed - self.without_failed
    }

    /// Whether users notice that it is slower: by 15 ms and a fifth.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.added_ms() >= f64::max(15.0, 0.2 * self.without_ms)
    }

    /// Whether users notice that it fails: one request in fifty more.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.added_failures() >= 0.02
    }
}

/// Time of requests at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Excess {
    /// `service.name` of the span.
    pub service: String,
    /// `host.name` of the span.
    pub host: String,
    /// `own` for the process itself, a statement's summary, or what is called.
    pub part: String,
    /// Milliseconds that the fault adds here to all affected requests of the window together.
    pub excess_ms: f64,
}
