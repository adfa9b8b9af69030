//! The lives of each instance: its versions and restarts, one after another.

use super::spot::{Harmless, Shift, Spot, Trouble};
use crate::catalogue::services::{Instance, REPLICAS};
use crate::config::Incident;

/// Seconds from the kill of an instance until the balancer no longer sends it requests.
const REFUSING: i64 = 3;
/// Seconds from the kill of an instance until it serves again.
const RESTART: i64 = 8;
/// Longest time in which a leak fills the memory, seconds.
const LONGEST_LEAK: i64 = 600;

/// A process from its start to its replacement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Life {
    /// First second.
    pub(crate) from: i64,
    /// Which version it runs.
    pub(crate) version: Version,
    /// Number of its pod: a restarted container stays in its pod.
    pub(crate) pod: u8,
    /// The fault its version carries.
    pub(crate) carries: Option<Trouble>,
}

/// A version relative to the catalogue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Usual,
    /// The next minor version.
    Minor,
    /// The next patch version.
    Patch,
}

#[derive(Clone, Copy)]
enum Event {
    Release(Version, Option<Trouble>),
    Restart,
}

/// The instance's lives in the order of time; the first begins with the shop.
pub(crate) fn lives(instance: Instance, troubles: &[Trouble], shifts: &[Shift]) -> Vec<Life> {
    let replica = instance.replica() as i64;
    let svc = instance.service().svc;
    let turn = |from: i64, to: i64| from + (to - from) / 8 * replica;
    let mut events: Vec<(i64, Event)> = Vec::new();
    for trouble in troubles {
        let released = matches!(trouble.incident, Incident::BadDeploy | Incident::NPlusOne);
        if released && trouble.spot == Spot::Service(svc) {
            let at = turn(trouble.from, trouble.to);
            events.push((at, Event::Release(Version::Minor, Some(*trouble))));
            events.push((trouble.to, Event::Release(Version::Usual, None)));
        }
        events.extend(restarts(trouble, instance).map(|at| (at, Event::Restart)));
    }
    for shift in shifts {
        if shift.what == Harmless::Deploy(svc) {
            let at = turn(shift.from, shift.to);
            events.push((at, Event::Release(Version::Patch, None)));
        }
    }
    events.sort_by_key(|event| event.0);
    let first = Life { from: i64::MIN, version: Version::Usual, pod: 0, carries: None };
    let mut all = vec![first];
    for (number, (from, event)) in events.into_iter().enumerate() {
        let before = all[number];
        all.push(match event {
            Event::Restart => Life { from, ..before },
            Event::Release(version, carries) => {
                let pod = u8::try_from(number + 1).unwrap_or(u8::MAX);
                Life { from, version, pod, carries }
            }
        });
    }
    all.truncate(usize::from(u8::MAX));
    all
}

/// What a leak has done to an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Leak {
    /// This part of the free memory is lost.
    Growing(f64),
    /// Killed; callers do not know yet.
    Refusing,
    /// Killed and not ready.
    Starting,
}

/// First second of the leak in the instance, and seconds until its memory is full.
fn course(trouble: &Trouble, instance: Instance) -> Option<(i64, i64)> {
    if trouble.incident != Incident::MemoryLeak || !trouble.spot.holds(instance) {
        return None;
    }
    let length = trouble.to - trouble.from;
    let stagger = (length / 12).min(LONGEST_LEAK / 10);
    let late = match trouble.spot {
        Spot::Service(_) => stagger * (instance.replica() % REPLICAS) as i64,
        _ => 0,
    };
    Some((trouble.from + late, (length * 13 / 20).clamp(1, LONGEST_LEAK)))
}

/// The leak at a second.
pub(crate) fn leak(trouble: &Trouble, instance: Instance, second: i64) -> Option<Leak> {
    let (from, fills) = course(trouble, instance)?;
    if second < from || second >= trouble.to {
        return None;
    }
    let phase = (second - from) % (fills + RESTART);
    Some(match phase - fills {
        late if late < 0 => Leak::Growing(phase as f64 / fills as f64),
        late if late < REFUSING => Leak::Refusing,
        _ => Leak::Starting,
    })
}

/// The seconds at which a killed instance serves again.
fn restarts(trouble: &Trouble, instance: Instance) -> impl Iterator<Item = i64> + use<> {
    let to = trouble.to;
    let course = course(trouble, instance);
    course.into_iter().flat_map(move |(from, fills)| {
        (1..i64::from(u8::MAX))
            .map(move |n| from + n * (fills + RESTART))
            .take_while(move |at| *at < to)
    })
}

/// Whether the instance is killed at the second.
pub(crate) fn killed(trouble: &Trouble, instance: Instance, second: i64) -> bool {
    let growing = |at| matches!(leak(trouble, instance, at), Some(Leak::Growing(_)));
    growing(second - 1) && leak(trouble, instance, second) == Some(Leak::Refusing)
}
