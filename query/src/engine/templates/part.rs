//! One part being counted: a row group, or a live batch.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use headrope_analysis::change::SLICES;
use headrope_analysis::pattern::{is_telling, mask};

use super::{Counting, Kind, MARK, Place, SLOTS, TEMPLATE};
use crate::column::Texts;
use crate::engine::fault::fault;
use crate::error::QueryError;

/// Records kept of each kind for examples.
const EXAMPLES: usize = 3;

/// What is gathered of a service, a severity and a template while a part is read.
#[derive(Debug, Default)]
struct Gathered {
    counts: [u64; SLOTS],
    /// Of records whose bodies are wanted: row and slot, those of a hash that `stride` divides.
    bodies: Vec<(u32, u8)>,
    stride: u64,
    examples: Vec<u32>,
    from_window: usize,
}

/// One of some bodies, how often they were seen, and where some are.
type Form = (Arc<str>, [u64; SLOTS], Vec<Place>);

/// Service, severity and template by their numbers in a part; no template is [`NONE`].
type Key = (u32, i32, u32);
const NONE: u32 = u32::MAX;

/// A part being counted.
pub(super) struct Part<'a> {
    counting: &'a Counting,
    source: usize,
    services: Names,
    templates: Names,
    places: HashMap<Key, usize>,
    found: Vec<(Key, Gathered)>,
}

impl<'a> Part<'a> {
    pub(super) fn new(counting: &'a Counting, source: usize) -> Self {
        let (services, templates) = (Names::default(), Names::default());
        Self { counting, source, services, templates, places: HashMap::new(), found: Vec::new() }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch, first: u32) -> Result<(), QueryError> {
        let column = |name: &str| batch.column_by_name(name);
        let missing = |name: &str| fault(format!("log records lack the column {name}"));
        let services = column("service_name").ok_or_else(|| missing("service_name"))?;
        let services = self.services.codes(services)?;
        let templates = match column(TEMPLATE) {
            Some(templates) => Some(self.templates.codes(templates)?),
            None => None,
        };
        let severity = column("severity_number").ok_or_else(|| missing("severity_number"))?;
        let severity = cast(severity, &DataType::Int32).map_err(fault)?;
        let severity = severity.as_primitive::<Int32Type>();
        let times = match column("time") {
            Some(times) => Some(cast(times, &DataType::Int64).map_err(fault)?),
            None => None,
        };
        let times = times.as_ref().map(|times| times.as_primitive::<Int64Type>().values());
        let wanted = self.counting.service.as_deref().map(|name| self.services.number(name));
        let mut last: Option<(Key, usize)> = None;
        for (at, row) in (0..batch.num_rows()).zip(first..) {
            let time = times.and_then(|times| times.get(at));
            let Some(slot) = time.map_or(Some(SLICES), |time| self.counting.slot(*time)) else {
                continue;
            };
            let service = services.get(at).copied().unwrap_or(NONE);
            let severity = if severity.is_valid(at) { severity.value(at) } else { 0 };
            let least = self.counting.min_severity;
            if wanted.is_some_and(|wanted| wanted != Some(service))
                || least.is_some_and(|least| severity < least)
            {
                continue;
            }
            let template = templates.as_ref().and_then(|all| all.get(at)).copied().unwrap_or(NONE);
            let key = (service, severity, template);
            let place = match last {
                Some((same, place)) if same == key => place,
                _ => *self.places.entry(key).or_insert_with(|| {
                    self.found.push((key, Gathered::default()));
                    self.found.len() - 1
                }),
            };
            last = Some((key, place));
            if let Some((_, gathered)) = self.found.get_mut(place) {
                let says = self.templates.says(template);
                gathered.add(
                    Place { source: self.source, row },
                    slot,
                    self.counting.most_bodies,
                    says,
                );
            }
        }
        Ok(())
    }

    /// The kinds, with the bodies that have to be read.
    pub(super) fn finish(
        self,
        bodies: impl Fn(&[u32]) -> Result<Texts, QueryError>,
    ) -> Result<Vec<Kind>, QueryError> {
        let mut rows: Vec<u32> =
            self.found.iter().flat_map(|(_, g)| g.bodies.iter().map(|(row, _)| *row)).collect();
        rows.sort_unstable();
        let texts = if rows.is_empty() { None } else { Some(bodies(&rows)?) };
        let mut kinds = Vec::new();
        for ((service, severity, template), gathered) in self.found {
            let service = self.services.name(service);
            let place = |row: u32| Place { source: self.source, row };
            if self.templates.says(template) {
                kinds.push(Kind {
                    service,
                    severity,
                    text: self.templates.name(template),
                    masked: None,
                    counts: gathered.counts,
                    stand_for: 1,
                    places: gathered.examples.into_iter().map(place).collect(),
                });
                continue;
            }
            let mut by_form: HashMap<String, Form> = HashMap::new();
            for (row, slot) in &gathered.bodies {
                let at = rows.binary_search(row).ok();
                let body = at.zip(texts.as_ref()).map_or("", |(at, texts)| texts.text(at));
                let new = || (body.into(), [0; SLOTS], Vec::new());
                let (_, counts, places) = by_form.entry(mask(body)).or_insert_with(new);
                if let Some(count) = counts.get_mut(usize::from(*slot)) {
                    *count += 1;
                }
                if places.len() < EXAMPLES {
                    places.push(place(*row));
                }
            }
            let stand_for = gathered.stride.max(1);
            kinds.extend(by_form.into_iter().map(|(masked, (text, counts, places))| Kind {
                service: Arc::clone(&service),
                severity,
                text,
                masked: Some(masked),
                counts,
                stand_for,
                places,
            }));
        }
        Ok(kinds)
    }
}

impl Gathered {
    fn add(&mut self, place: Place, slot: usize, most: usize, says: bool) {
        let Place { source, row } = place;
        if let Some(count) = self.counts.get_mut(slot) {
            *count += 1;
        }
        if says {
            let is_window = slot == SLICES;
            if is_window && self.from_window < EXAMPLES {
                self.examples.insert(self.from_window, row);
                self.from_window += 1;
                self.examples.truncate(EXAMPLES);
            } else if self.examples.len() < EXAMPLES {
                self.examples.push(row);
            }
            return;
        }
        self.stride = self.stride.max(1);
        if spread(source, row).is_multiple_of(self.stride) {
            self.bodies.push((row, u8::try_from(slot).unwrap_or_default()));
            if self.bodies.len() > most.max(1) {
                self.stride *= 2;
                let stride = self.stride;
                self.bodies.retain(|(row, _)| spread(source, *row).is_multiple_of(stride));
            }
        }
    }
}

/// A hash of a record's place (the finaliser of SplitMix64).
const fn spread(source: usize, row: u32) -> u64 {
    let z = ((source as u64) << 32 | row as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Texts of a part by number.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    /// Text, and whether it says enough of its records to be all that is known of them.
    names: Vec<(Arc<str>, bool)>,
    /// The dictionary of the batch before, and its numbers: batches of a page share one.
    last: Option<(ArrayRef, Vec<u32>)>,
}

impl Names {
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let (text, number): (Arc<str>, _) =
            (text.into(), u32::try_from(self.names.len()).unwrap_or(NONE));
        self.names.push((Arc::clone(&text), is_telling(&text, MARK)));
        self.numbers.insert(text, number);
        number
    }

    /// The numbers of a column's texts; [`NONE`] for null.
    fn codes(&mut self, column: &ArrayRef) -> Result<Vec<u32>, QueryError> {
        let coded = column.as_dictionary_opt::<Int32Type>();
        let Some(coded) = coded else {
            let texts = Texts::of(column).map_err(fault)?;
            return Ok((0..column.len())
                .map(|row| texts.get(row).map_or(NONE, |t| self.intern(t)))
                .collect());
        };
        let numbers = match self.last.take() {
            Some((values, numbers)) if Arc::ptr_eq(&values, coded.values()) => numbers,
            _ => {
                let texts = Texts::of(coded.values()).map_err(fault)?;
                let number = |at| texts.get(at).map_or(NONE, |text| self.intern(text));
                (0..coded.values().len()).map(number).collect()
            }
        };
        let number = |key: Option<i32>| {
            let at = key.and_then(|key| usize::try_from(key).ok());
            at.and_then(|at| numbers.get(at)).copied().unwrap_or(NONE)
        };
        let codes = coded.keys().iter().map(number).collect();
        self.last = Some((Arc::clone(coded.values()), numbers));
        Ok(codes)
    }

    fn number(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    fn name(&self, number: u32) -> Arc<str> {
        let name = usize::try_from(number).ok().and_then(|at| self.names.get(at));
        name.map_or_else(|| "".into(), |(name, _)| Arc::clone(name))
    }

    fn says(&self, number: u32) -> bool {
        let name = usize::try_from(number).ok().and_then(|at| self.names.get(at));
        name.is_some_and(|(_, says)| *says)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::arrow::array::{Int32Array, Int64Array, StringArray};
    use headrope_model::TimeRange;
    use proptest::prelude::*;

    use super::*;

    /// Time, service, severity, body.
    type Row = (i64, usize, Option<i32>, usize);

    const SERVICES: [&str; 3] = ["a", "b", "c"];
    const BODIES: [&str; 4] = ["took 5 ms", "took 17 ms", "no room", ""];

    fn batch(rows: &[Row]) -> RecordBatch {
        let times: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>());
        let services = rows.iter().map(|r| Some(SERVICES[r.1]));
        let services: ArrayRef = Arc::new(services.collect::<StringArray>());
        let severity: ArrayRef = Arc::new(rows.iter().map(|r| r.2).collect::<Int32Array>());
        let columns = [("time", times), ("service_name", services), ("severity_number", severity)];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
    }

    /// Counts by service, severity and masked body.
    type Counts = BTreeMap<(String, i32, String), [u64; SLOTS]>;

    fn by_the_book(rows: &[Row], counting: &Counting) -> Counts {
        let mut counts = Counts::new();
        for (time, service, severity, body) in rows {
            let slot = match *time {
                t if (80..100).contains(&t) => SLICES,
                t if (0..80).contains(&t) => usize::try_from(t / 10).unwrap(),
                _ => continue,
            };
            let severity = severity.unwrap_or(0);
            let is_asked = counting.service.as_ref().is_none_or(|s| s == SERVICES[*service]);
            if is_asked && counting.min_severity.is_none_or(|least| severity >= least) {
                let key = (SERVICES[*service].to_owned(), severity, mask(BODIES[*body]));
                counts.entry(key).or_default()[slot] += 1;
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn rows_without_templates_are_counted_by_their_bodies(
            rows in prop::collection::vec((-20i64..120, 0usize..3, prop::option::of(8i32..11), 0usize..4), 0..300),
            cut in 0usize..300, service in prop::option::of(0usize..3), min_severity in prop::option::of(9i32..11),
            most_bodies in 1usize..400,
        ) {
            let counting = Counting {
                reference: TimeRange::new(0, 80).unwrap(),
                window: TimeRange::new(80, 100).unwrap(),
                service: service.map(|at| SERVICES[at].to_owned()),
                min_severity,
                most_bodies,
            };
            let mut part = Part::new(&counting, 3);
            let (one, two) = rows.split_at(cut.min(rows.len()));
            part.add(&batch(one), 0).unwrap();
            part.add(&batch(two), u32::try_from(one.len()).unwrap()).unwrap();
            let kinds = part.finish(|wanted| {
                let bodies = wanted.iter().map(|row| Some(BODIES[rows[*row as usize].3]));
                let bodies: ArrayRef = Arc::new(bodies.collect::<StringArray>());
                Ok(Texts::of(&bodies).unwrap())
            }).unwrap();
            let want = by_the_book(&rows, &counting);
            let mut seen = 0;
            for kind in &kinds {
                let key = (kind.service.to_string(), kind.severity, kind.masked.clone().unwrap());
                let all = want[&key];
                if kind.stand_for == 1 {
                    prop_assert_eq!(kind.counts, all);
                } else {
                    prop_assert!(kind.counts.iter().zip(all).all(|(some, all)| *some <= all));
                }
                for place in &kind.places {
                    prop_assert_eq!(place.source, 3);
                    prop_assert_eq!(mask(BODIES[rows[place.row as usize].3]), key.2.clone());
                }
                seen += usize::from(kind.stand_for == 1);
            }
            if most_bodies >= rows.len() {
                prop_assert_eq!((kinds.len(), seen), (want.len(), want.len()));
            }
        }
    }

    #[test]
    fn a_sample_stands_for_all() {
        let counting = Counting {
            reference: TimeRange::new(0, 80).unwrap(),
            window: TimeRange::new(80, 100).unwrap(),
            service: None,
            min_severity: None,
            most_bodies: 1_000,
        };
        let rows: Vec<Row> =
            (0..100_000).map(|i| (i % 100, 0, None, usize::from(i % 10 == 0) * 2)).collect();
        let mut part = Part::new(&counting, 0);
        part.add(&batch(&rows), 0).unwrap();
        let kinds = part.finish(|wanted| {
            assert_few(wanted.len());
            let bodies = wanted.iter().map(|row| Some(BODIES[rows[*row as usize].3]));
            let bodies: ArrayRef = Arc::new(bodies.collect::<StringArray>());
            Ok(Texts::of(&bodies).unwrap())
        });
        let estimate = |masked: &str| {
            let kinds = kinds.as_ref().unwrap();
            let kind = kinds.iter().find(|k| k.masked.as_deref() == Some(masked)).unwrap();
            kind.stand_for * kind.counts.iter().sum::<u64>()
        };
        // Four standard errors of so many of one kind.
        assert!(estimate("took <num> ms").abs_diff(90_000) < 16_000);
        assert!(estimate("no room").abs_diff(10_000) < 7_000);
    }

    fn assert_few(bodies: usize) {
        assert!((250..=1_000).contains(&bodies), "{bodies} bodies are read");
    }
}
