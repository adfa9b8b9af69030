//! Causes and what to do about them: closed lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reading::{Measure, Owner, Reading, Release};
use super::suspect::{Node, Suspect};

/// Why requests are slow or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The CPU of the service or its host is used up, or it uses far more than before.
    Cpu,
    /// A limit keeps the service from the CPU.
    CpuThrottling,
    /// Pauses of garbage collection.
    GarbageCollection,
    /// Memory is used up.
    Memory,
    /// A file system is full, or a disk busy.
    Disk,
    /// Statements wait for locks.
    Lock,
    /// A statement takes longer.
    Statement,
    /// More calls a request than before: a loop of statements or requests.
    MoreCalls,
    /// Connections of a pool are used up.
    Pool,
    /// The way between services takes longer.
    Network,
    /// Something outside is slow or fails.
    External,
    /// A new version.
    Release,
    /// Code answers otherwise than before: early, or with an error.
    Code,
    /// More requests than there is room for.
    Load,
    /// Another container takes the CPU of the host.
    NoisyNeighbour,
    /// Not proven.
    Unknown,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// More instances, or more CPU.
    ScaleOut,
    /// More of what a limit gives: CPU, memory, connections, disk.
    RaiseLimit,
    /// Fewer requests from whoever sends more.
    ThrottleCaller,
    /// Do without a dependency for now.
    DegradeDependency,
    /// Make a statement cheaper, or ask it less often.
    FixStatement,
    /// Go back to the version before.
    RollBack,
    /// Take an instance, host or way out of service and repair or replace it.
    Repair,
    /// Tell whoever runs it, and wait.
    WaitForExternal,
    /// Nothing is wrong.
    None,
    /// Not proven enough to say.
    Unknown,
}

impl Cause {
    /// The name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuThrottling => "cpu_throttling",
            Self::GarbageCollection => "garbage_collection",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Lock => "lock",
            Self::Statement => "statement",
            Self::MoreCalls => "more_calls",
            Self::Pool => "pool",
            Self::Network => "network",
            Self::External => "external",
            Self::Release => "release",
            Self::Code => "code",
            Self::Load => "load",
            Self::NoisyNeighbour => "noisy_neighbour",
            Self::Unknown => "unknown",
        }
    }

    /// What is done about it.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Cpu => Action::ScaleOut,
            Self::CpuThrottling | Self::GarbageCollection | Self::Pool => Action::RaiseLimit,
            Self::Disk | Self::Network | Self::Memory | Self::NoisyNeighbour => Action::Repair,
            Self::Lock | Self::Statement => Action::FixStatement,
            Self::MoreCalls | Self::Release | Self::Code => Action::RollBack,
            Self::External => Action::WaitForExternal,
            Self::Load => Action::ThrottleCaller,
            Self::Unknown => Action::Unknown,
        }
    }
}

impl Action {
    /// The name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScaleOut => "scale_out",
            Self::RaiseLimit => "raise_limit",
            Self::ThrottleCaller => "throttle_caller",
            Self::DegradeDependency => "degrade_dependency",
            Self::FixStatement => "fix_statement",
            Self::RollBack => "roll_back",
            Self::Repair => "repair",
            Self::WaitForExternal => "wait_for_external",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// Hosts of services and stores.
pub(super) type Hosts = BTreeMap<Arc<str>, Vec<Arc<str>>>;

/// Requests a second of the window over those of the reference from which on the load may be the cause.
const SURGE: f64 = 1.5;
/// CPU or garbage that grew by so many times more than the requests is not theirs alone.
const BY_LOAD: f64 = 1.3;
/// Least share of its harm that a starved process does itself.
const ITSELF: f64 = 0.02;
/// Share of a suspect's harm from which on a kind of it is what the suspect is about.
const MOST: f64 = 0.5;

/// Readings of a suspect that are raised.
struct Raised<'a> {
    readings: &'a [Reading],
    /// Hosts of each service and store.
    hosts: &'a Hosts,
    /// Their places.
    places: Vec<usize>,
    /// Places of all of its readings.
    known: Vec<usize>,
}

impl Raised<'_> {
    /// That the CPU of a host is used up: by a container that is none of the services, if one of them takes more.
    fn of_host(&self) -> Option<(Cause, Vec<usize>)> {
        let of_host =
            |at: &usize| self.readings.get(*at).is_some_and(|r| matches!(r.owner, Owner::Host(_)));
        let busy: Vec<usize> =
            self.of(&[Measure::CpuBusy]).into_iter().filter(|at| of_host(at)).collect();
        if busy.is_empty() {
            return None;
        }
        let hosts: Vec<&Owner> =
            busy.iter().filter_map(|at| self.readings.get(*at)).map(|r| &r.owner).collect();
        let others: Vec<usize> = self
            .of(&[Measure::OtherContainers])
            .into_iter()
            .filter(|at| self.readings.get(*at).is_some_and(|r| hosts.contains(&&r.owner)))
            .collect();
        let grown = |at: &usize| self.readings.get(*at).map_or(0.0, Reading::added);
        let by_others: f64 = others.iter().map(grown).sum();
        match by_others > 0.0 && by_others >= self.by_services(&hosts) {
            true => Some((Cause::NoisyNeighbour, [busy, others].concat())),
            false => Some((Cause::Cpu, busy)),
        }
    }

    /// How much more CPU services use on some hosts; of several metrics of one the most.
    fn by_services(&self, hosts: &[&Owner]) -> f64 {
        let is_there = |service: &Arc<str>| {
            let own = self.hosts.get(service);
            own.is_some_and(|own| own.iter().any(|h| hosts.contains(&&Owner::Host(Arc::clone(h)))))
        };
        let mut most: BTreeMap<&Owner, f64> = BTreeMap::new();
        for reading in self.readings.iter().filter(|r| r.measure == Measure::Cpu) {
            if let Owner::Service(service, _) = &reading.owner
                && is_there(service)
            {
                let grown = most.entry(&reading.owner).or_default();
                *grown = grown.max(reading.added());
            }
        }
        most.values().sum()
    }

    /// Memory or disk traffic that grew, where nothing is known of a limit; the one that grew more.
    fn grown(&self) -> Option<(Cause, Vec<usize>)> {
        let kinds = [(Cause::Memory, Measure::Memory), (Cause::Disk, Measure::DiskBusy)];
        let grown = kinds.into_iter().filter_map(|(cause, measure)| {
            let places = self.of(&[measure]);
            let growth = places.iter().filter_map(|at| self.readings.get(*at)).map(Reading::growth);
            Some((growth.reduce(f64::max)?, cause, places))
        });
        let most = grown.max_by(|a, b| a.0.total_cmp(&b.0));
        most.map(|(_, cause, places)| (cause, places))
    }

    /// Whether something grew with the requests, and no more.
    fn is_by_load(&self, measure: Measure, load: f64) -> bool {
        let grown = self.of(&[measure]);
        grown.iter().filter_map(|at| self.readings.get(*at)).all(|r| r.growth() <= load * BY_LOAD)
    }

    /// Whether what a process lacks can only be CPU: its memory is measured and either far from its limit or as before, and
    /// so is garbage collection if that is measured, too.
    fn leaves_cpu(&self) -> bool {
        let of = |measure: Measure| -> Vec<&Reading> {
            let known = self.known.iter().filter_map(|at| self.readings.get(*at));
            known.filter(|r| r.measure == measure).collect()
        };
        let (shares, memory) = (of(Measure::MemoryUsed), of(Measure::Memory));
        let lacks_memory = match shares.is_empty() {
            true => memory.is_empty() || memory.iter().any(|r| r.is_more()),
            false => shares.iter().any(|r| r.is_near_full() && r.is_more()),
        };
        !lacks_memory && !of(Measure::Gc).iter().any(|r| r.is_more())
    }

    fn of(&self, measures: &[Measure]) -> Vec<usize> {
        let one =
            |at: &usize| self.readings.get(*at).is_some_and(|s| measures.contains(&s.measure));
        self.places.iter().copied().filter(one).collect()
    }

    /// The first of some causes that readings prove, and the places of these.
    fn proven(&self, causes: &[Cause]) -> Option<(Cause, Vec<usize>)> {
        let proof = |cause: &Cause| {
            let found = self.of(match cause {
                Cause::Disk => &[Measure::DiskUsed],
                Cause::GarbageCollection => &[Measure::Gc],
                Cause::Memory => &[Measure::MemoryUsed, Measure::Restarts],
                Cause::Pool => &[Measure::PoolPending, Measure::PoolWait],
                Cause::Lock => &[Measure::Lock],
                Cause::CpuThrottling => &[Measure::Throttled],
                Cause::Cpu => &[Measure::Cpu, Measure::CpuBusy],
                _ => &[],
            });
            (!found.is_empty()).then_some((*cause, found))
        };
        causes.iter().find_map(proof)
    }
}

/// The cause a suspect's readings and harm prove, and the places among `readings` of those that do. `hosts` are those of all.
pub(super) fn cause(
    suspect: &Suspect,
    readings: &[Reading],
    releases: &[Release],
    hosts: &Hosts,
    load: f64,
) -> (Cause, Vec<usize>) {
    let (Node::Service(name) | Node::Peer(name)) = &suspect.node;
    let own_hosts = hosts.get(name).map_or(&[][..], Vec::as_slice);
    let own = |owner: &Owner| match (owner, &suspect.node) {
        (Owner::Service(service, _), Node::Service(name)) => service == name,
        (Owner::Host(host), _) => own_hosts.contains(host),
        (Owner::Store(store), Node::Peer(name)) => store == name,
        _ => false,
    };
    let known = readings.iter().enumerate().filter(|(_, reading)| own(&reading.owner));
    let known: Vec<usize> = known.map(|(at, _)| at).collect();
    let is_raised = |at: &usize| readings.get(*at).is_some_and(Reading::is_raised);
    let places = known.iter().copied().filter(is_raised).collect();
    let raised = Raised { readings, hosts, places, known };
    match &suspect.node {
        Node::Peer(_) => of_peer(suspect, &raised),
        Node::Service(service) => {
            let is_new = releases.iter().any(|release| release.service == *service);
            let found = of_service(suspect, &raised, load);
            // A version explains what its service does, but neither what others take from it, nor more requests, nor a way
            // that only some of its callers find slow.
            match found {
                (Cause::NoisyNeighbour, _) => found,
                (Cause::Load, ref proof)
                    if !proof.is_empty() && raised.is_by_load(Measure::Cpu, load) =>
                {
                    found
                }
                (Cause::Network, _) if suspect.inward <= MOST => found,
                _ if is_new => (Cause::Release, Vec::new()),
                _ => found,
            }
        }
    }
}

fn of_peer(suspect: &Suspect, raised: &Raised<'_>) -> (Cause, Vec<usize>) {
    if !suspect.is_store {
        // What sends no spans may still be measured.
        let measured = [Cause::Memory, Cause::GarbageCollection, Cause::CpuThrottling, Cause::Cpu];
        return raised.proven(&measured).unwrap_or((Cause::External, Vec::new()));
    }
    if let Some(found) = raised.proven(&[Cause::Disk, Cause::Lock]) {
        return found;
    }
    if suspect.failure / suspect.harm.max(f64::MIN_POSITIVE) >= MOST {
        return (Cause::External, Vec::new());
    }
    // What its host lacks slows most statements.
    if let Some(found) = raised.of_host().filter(|_| suspect.slower >= MOST) {
        return found;
    }
    if suspect.statement_share >= MOST {
        return (Cause::Statement, raised.of(&[Measure::DiskBusy]));
    }
    let proven = raised.proven(&[Cause::Memory, Cause::CpuThrottling, Cause::Cpu]);
    proven.or_else(|| raised.grown()).unwrap_or((Cause::Unknown, Vec::new()))
}

fn of_service(suspect: &Suspect, raised: &Raised<'_>, load: f64) -> (Cause, Vec<usize>) {
    let harm = suspect.harm.max(f64::MIN_POSITIVE);
    if (suspect.shape + suspect.failure) / harm >= MOST {
        // Requests fail where what they need has run out.
        let out = [Cause::Memory, Cause::Pool, Cause::GarbageCollection];
        let lacks =
            || raised.proven(&out).or_else(|| raised.of_host().filter(|_| suspect.slower >= MOST));
        let lacking = if suspect.failure > suspect.shape { lacks() } else { None };
        return lacking.unwrap_or((Cause::Code, Vec::new()));
    }
    if suspect.calls / harm >= MOST {
        return (Cause::MoreCalls, Vec::new());
    }
    let own = [Cause::Memory, Cause::GarbageCollection, Cause::Pool];
    let limits = [Cause::CpuThrottling, Cause::Cpu];
    // What starves a process slows most of what it does; a slow way slows none of it. What fails more besides, without any
    // sign of what it lacks, is another program. Of what is not measured nothing is said.
    let starved = || {
        let itself = suspect.work / harm >= ITSELF;
        let cause = match raised.leaves_cpu() {
            true if suspect.failure > 0.0 => Cause::Code,
            true => Cause::Cpu,
            false => Cause::Unknown,
        };
        (itself && suspect.slower > MOST).then_some((cause, Vec::new()))
    };
    // What a host lacks slows the work done on it, whatever limits there are beside.
    let works = suspect.slower >= MOST || suspect.work >= suspect.way;
    let host = || raised.of_host().filter(|_| works);
    let of_host =
        |at: &usize| raised.readings.get(*at).is_some_and(|r| matches!(r.owner, Owner::Host(_)));
    let of_process = || raised.proven(&limits).filter(|(_, proof)| !proof.iter().all(of_host));
    let proven = raised.proven(&own).or_else(host).or_else(of_process);
    // Growth alone of what has no limit says less.
    let grown = || {
        let slow = suspect.slower >= MOST || suspect.work / harm >= MOST;
        slow.then(|| raised.grown()).flatten()
    };
    let found = match proven.or_else(grown).or_else(starved) {
        Some(found) => found,
        None if suspect.way / harm >= MOST => {
            (Cause::Network, raised.of(&[Measure::NetworkErrors]))
        }
        None => (Cause::Unknown, Vec::new()),
    };
    match found {
        (Cause::Cpu | Cause::CpuThrottling | Cause::Pool | Cause::Unknown, proof)
            if load >= SURGE =>
        {
            (Cause::Load, proof)
        }
        // More requests leave more garbage.
        (Cause::GarbageCollection, proof)
            if load >= SURGE && raised.is_by_load(Measure::Gc, load) =>
        {
            (Cause::Load, proof)
        }
        found => found,
    }
}
