//! Log patterns: what lines have in common, how often each comes, and what is new.
//!
//! Lines are counted by the templates that segments keep ([`crate::engine`]'s `templates`). The same kind of line has
//! several of these, and lines that are not in a segment have none: [`Covers`] and [`Learner`] make one of
//! what belongs together. `example` reads a line of each.

mod example;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use headrope_analysis::change::{Occurrences, Occurring, RateChange, SLICES, rate_changes};
use headrope_analysis::pattern::{Covers, Learner, PatternId, WILDCARD, as_masked};
use headrope_model::TimeRange;

use super::log::short_name;
use super::{limit, reference_of};
use crate::answer::pattern::{LogPattern, LogPatterns, PatternQuery};
use crate::engine::{Counting, Kind, MARK, Place, Session, TemplateCounts};
use crate::error::QueryError;

/// Expected share of patterns among those told as changed that are not.
pub(super) const FALSE_CHANGES: f64 = 0.01;
/// Most bodies read of each kind in each part of a segment, for a page.
const BODIES: usize = 4_000;
/// The same for an answer that has to be quick.
const FEW_BODIES: usize = 250;
/// Most patterns that [`changed`] tells.
const MOST_CHANGED: usize = 100;
/// Places kept of each pattern for examples.
const EXAMPLES: usize = 3;

/// A pattern that is new, or came more often than chance explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedPattern {
    pub(crate) service: String,
    pub(crate) template: String,
    /// Short name, empty if none was sent.
    pub(crate) severity: String,
    /// Lines in the reference, and in the window.
    pub(crate) reference: u64,
    pub(crate) window: u64,
    pub(crate) example_trace: Option<String>,
}

/// Lines of one service, severity and pattern.
#[derive(Debug, Clone, Default)]
struct Counted {
    slots: [f64; SLICES + 1],
    /// Sums of squares of what each counted line stands for, over reference and window.
    squares: f64,
    places: Vec<Place>,
}

/// Service, severity number, template.
type Key = (Arc<str>, i32, Arc<str>);

impl Counted {
    fn add(&mut self, kind: &Kind) {
        let stand_for = kind.stand_for as f64;
        for (sum, count) in self.slots.iter_mut().zip(kind.counts) {
            *sum += stand_for * count as f64;
            self.squares += stand_for * stand_for * count as f64;
        }
        let room = EXAMPLES.saturating_sub(self.places.len());
        match kind.counts.last().is_some_and(|count| *count > 0) {
            true => drop(self.places.splice(0..0, kind.places.iter().copied())),
            false => self.places.extend(kind.places.iter().copied().take(room)),
        }
        self.places.truncate(EXAMPLES);
    }

    fn window(&self) -> f64 {
        self.slots.last().copied().unwrap_or_default()
    }

    fn occurrences(&self) -> Occurrences {
        let reference = std::array::from_fn(|at| self.slots.get(at).copied().unwrap_or_default());
        let all = self.slots.iter().sum::<f64>();
        let weight = if all > 0.0 { self.squares / all } else { 1.0 };
        Occurrences { reference, window: self.window(), weight }
    }
}

/// The lines of two ranges by pattern.
async fn counted(
    session: &Session,
    counting: Counting,
) -> Result<BTreeMap<Key, Counted>, QueryError> {
    let (machine, snapshot) = (Arc::clone(session.machine()), session.shared_snapshot());
    let kinds = TemplateCounts::new(machine, snapshot, counting).count().await?;
    tokio::task::spawn_blocking(move || by_pattern(&kinds))
        .await
        .map_err(|e| QueryError::Engine(e.to_string()))
}

fn by_pattern(kinds: &[Kind]) -> BTreeMap<Key, Counted> {
    let seen = |kind: &&Kind| kind.counts.iter().any(|count| *count > 0);
    let kinds: Vec<&Kind> = kinds.iter().filter(seen).collect();
    let templates: BTreeSet<&str> =
        kinds.iter().filter(|k| k.masked.is_none()).map(|k| k.text.as_ref()).collect();
    let covers = Covers::new(templates, MARK);
    let mut forms: HashMap<&str, Arc<str>> = HashMap::new();
    let mut learner = Learner::default();
    let mut of_kind: Vec<Arc<str>> = Vec::with_capacity(kinds.len());
    for kind in &kinds {
        let form = forms.entry(kind.text.as_ref()).or_insert_with(|| {
            let form = match (covers.of(&kind.text), &kind.masked) {
                (Some(template), _) => as_masked(template, MARK),
                (None, Some(masked)) => masked.clone(),
                (None, None) => as_masked(&kind.text, MARK),
            };
            form.into()
        });
        learner.add_masked(form, kind.counts.iter().sum::<u64>().saturating_mul(kind.stand_for));
        of_kind.push(Arc::clone(form));
    }
    let patterns = learner.finish();
    let mut names: HashMap<Arc<str>, Arc<str>> = HashMap::new();
    let mut found: BTreeMap<Key, Counted> = BTreeMap::new();
    for (kind, form) in kinds.into_iter().zip(of_kind) {
        let name = names.entry(form).or_insert_with_key(|form| {
            patterns.template_of_masked(form).unwrap_or(WILDCARD).into()
        });
        let key = (Arc::clone(&kind.service), kind.severity, Arc::clone(name));
        found.entry(key).or_default().add(kind);
    }
    found
}

/// What became of each pattern, compared within its service.
fn changes(found: &BTreeMap<Key, Counted>, factor: f64) -> Vec<RateChange> {
    let all: Vec<(&Key, &Counted)> = found.iter().collect();
    let services = all.chunk_by(|(a, _), (b, _)| a.0 == b.0);
    services
        .flat_map(|of_service| {
            let kinds: Vec<Occurrences> = of_service.iter().map(|(_, c)| c.occurrences()).collect();
            rate_changes(&kinds, factor, FALSE_CHANGES)
        })
        .collect()
}

/// Length of the window over that of the reference.
pub(super) fn factor(reference: TimeRange, window: TimeRange) -> f64 {
    window.duration_ns() as f64 / (reference.duration_ns() as f64).max(1.0)
}

pub(super) const fn change_name(occurring: Occurring) -> &'static str {
    match occurring {
        Occurring::New => "new",
        Occurring::Gone => "gone",
        Occurring::More => "more",
        Occurring::Less => "less",
        Occurring::Steady => "steady",
    }
}

fn whole(count: f64) -> u64 {
    count.round() as u64
}

pub(crate) async fn patterns(
    session: &Session,
    query: &PatternQuery,
) -> Result<LogPatterns, QueryError> {
    let window = query.range;
    let (reference, reference_chosen) = reference_of(query.reference, window);
    let counting = Counting {
        reference,
        window,
        service: query.service.clone(),
        min_severity: query.min_severity,
        most_bodies: BODIES,
    };
    let found = counted(session, counting).await?;
    let changes = changes(&found, factor(reference, window));
    let (mut lines, mut reference_lines) = (0.0, 0.0);
    for counted in found.values() {
        lines += counted.window();
        reference_lines += counted.occurrences().before();
    }
    let total = found.len() as u64;
    let mut rows: Vec<_> = found.into_iter().zip(changes).collect();
    rows.sort_by(|((a_key, a), a_change), ((b_key, b), b_change)| {
        let count = |c: &Counted| c.window().max(c.occurrences().before());
        let order = a_change.occurring.cmp(&b_change.occurring);
        order.then(count(b).total_cmp(&count(a))).then_with(|| a_key.cmp(b_key))
    });
    rows.truncate(limit(query.limit));
    let places: Vec<&[Place]> = rows.iter().map(|((_, c), _)| c.places.as_slice()).collect();
    let examples = example::examples(session, &places).await?;
    let row = |(((service, severity, template), counted), change): ((Key, Counted), RateChange)| {
        let occurrences = counted.occurrences();
        LogPattern {
            id: PatternId::of_text(&template).to_string(),
            service: service.to_string(),
            severity: short_name(severity).to_owned(),
            template: template.to_string(),
            count: whole(counted.window()),
            share: if lines > 0.0 { counted.window() / lines } else { 0.0 },
            reference_count: whole(occurrences.before()),
            expected: change.expected,
            change: change_name(change.occurring),
            p_value: change.p_value,
            estimated: occurrences.weight > 1.0,
            example: None,
        }
    };
    let patterns = rows.into_iter().map(row).zip(examples);
    Ok(LogPatterns {
        patterns: patterns.map(|(row, example)| LogPattern { example, ..row }).collect(),
        total,
        lines: whole(lines),
        reference_lines: whole(reference_lines),
        window: window.into(),
        reference: reference.into(),
        reference_chosen,
    })
}

/// Patterns of each service, or of one, that are new in a window, or came more often than in the reference beyond chance (see
/// [`rate_changes`]), those with the smallest probability first; at most [`MOST_CHANGED`]. Only codes of segments are read, and
/// few bodies of lines without a template that says enough.
pub(crate) async fn changed(
    session: &Session,
    (reference, window): (TimeRange, TimeRange),
    service: Option<String>,
    min_severity: Option<i32>,
) -> Result<Vec<ChangedPattern>, QueryError> {
    let counting = Counting { reference, window, service, min_severity, most_bodies: FEW_BODIES };
    let found = counted(session, counting).await?;
    let changes = changes(&found, factor(reference, window));
    let risen = |change: &RateChange| matches!(change.occurring, Occurring::New | Occurring::More);
    let mut rows: Vec<_> = found.into_iter().zip(changes).filter(|(_, c)| risen(c)).collect();
    rows.sort_by(|((a_key, _), a), ((b_key, _), b)| {
        a.p_value.total_cmp(&b.p_value).then_with(|| a_key.cmp(b_key))
    });
    rows.truncate(MOST_CHANGED);
    let places: Vec<&[Place]> = rows.iter().map(|((_, c), _)| c.places.as_slice()).collect();
    let traces = example::traces(session, &places).await?;
    let row = |((key, counted), _): ((Key, Counted), RateChange)| ChangedPattern {
        service: key.0.to_string(),
        template: key.2.to_string(),
        severity: short_name(key.1).to_owned(),
        reference: whole(counted.occurrences().before()),
        window: whole(counted.window()),
        example_trace: None,
    };
    let rows = rows.into_iter().map(row).zip(traces);
    Ok(rows.map(|(row, example_trace)| ChangedPattern { example_trace, ..row }).collect())
}
