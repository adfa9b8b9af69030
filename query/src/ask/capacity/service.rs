//! From the classes, operations and days of a service to what it can take.

use std::collections::BTreeMap;

use headrope_analysis::capacity::{
    DailyPeak, MOST_OPERATIONS, Work, cpu_by_operation, growth as trend,
};

use super::fit::{BLOCKS, Class, Served, class, over, rates, scaled, together};
use super::load::{Day, Series, Steps};
use crate::answer::capacity::{
    Band, ClassCapacity, DayPeak, GrowthRow, OperationCpu, ServiceCapacity, Unknown, day_text,
};

/// Operations that are not told apart.
const OTHERS: &str = "(others)";
/// Length of a step of a daily peak, seconds.
const PEAK_S: f64 = 60.0;

/// What a service can take.
pub(super) fn service(
    name: String,
    classes: BTreeMap<Class, Vec<Served>>,
    operations: BTreeMap<String, Series<f64>>,
    days: &BTreeMap<i64, Day>,
    steps: Steps,
) -> ServiceCapacity {
    let (rate, peak_rate) = rates(&together(classes.values().flatten()), steps);
    let mut unknown = Vec::new();
    let operations = match costs(classes.values().flatten(), operations, steps) {
        Ok(costs) => costs,
        Err(because) => {
            unknown.push(Unknown { what: "operations", because: because.to_owned() });
            Vec::new()
        }
    };
    let classes: Vec<ClassCapacity> =
        classes.into_iter().map(|(key, served)| class(key, &served, steps)).collect();
    let capacity = match total(&classes) {
        Ok(capacity) => Some(capacity),
        Err(because) => {
            unknown.push(Unknown { what: "capacity", because });
            None
        }
    };
    let growth = growth(days, capacity);
    if growth.is_none() {
        let whole = days.values().filter(|day| day.is_whole).count();
        let because = format!("{whole} whole days in the window; three weeks tell a trend");
        unknown.push(Unknown { what: "growth", because });
    }
    ServiceCapacity {
        service: name,
        instances: classes.iter().map(|class| class.instances).sum(),
        rate,
        peak_rate,
        capacity,
        headroom: over(capacity, peak_rate),
        classes,
        operations,
        days: days.iter().map(|(day, peak)| day_row(*day, *peak)).collect(),
        growth,
        unknown,
    }
}

/// What the classes that serve now can take together. A class that replaced another at the end of the window may
/// have no safe rate yet.
fn total(classes: &[ClassCapacity]) -> Result<Band, String> {
    let present: Vec<&ClassCapacity> = classes.iter().filter(|c| c.instances > 0).collect();
    if present.is_empty() {
        return Err("no instance served at the end of the window".to_owned());
    }
    let mut sum = Band { value: 0.0, low: 0.0, high: 0.0 };
    for class in present {
        let Some(capacity) = class.capacity else {
            let version = class.version.as_deref().map(|v| format!(" of version {v}"));
            let why = class.unknown.iter().map(|u| format!("{}: {}", u.what, u.because));
            let why: Vec<String> = why.collect();
            let version = version.unwrap_or_default();
            return Err(format!("no safe rate{version}; {}", why.join("; ")));
        };
        sum = Band {
            value: sum.value + capacity.value,
            low: sum.low + capacity.low,
            high: sum.high + capacity.high,
        };
    }
    Ok(sum)
}

fn day_row(day: i64, peak: Day) -> DayPeak {
    DayPeak {
        day: day_text(day),
        calls: peak.calls,
        peak_rate: peak.peak_calls as f64 / PEAK_S,
        is_whole: peak.is_whole,
    }
}

/// The trend of the daily peaks; without a capacity it has no end.
fn growth(days: &BTreeMap<i64, Day>, capacity: Option<Band>) -> Option<GrowthRow> {
    let whole = days.iter().filter(|(_, peak)| peak.is_whole);
    let peaks: Vec<DailyPeak> = whole
        .map(|(day, peak)| DailyPeak { day: *day, rate: peak.peak_calls as f64 / PEAK_S })
        .collect();
    let limit = |rate: Option<f64>| rate.unwrap_or(f64::MAX);
    let found = trend(&peaks, limit(capacity.map(|c| c.value)))?;
    // The date is as unsure as the trend and the capacity together.
    let early = trend(&peaks, limit(capacity.map(|c| c.low)))?.earliest;
    let late = trend(&peaks, limit(capacity.map(|c| c.high)))?.latest;
    let per_day = Band { value: found.per_day, low: found.interval.low, high: found.interval.high };
    Some(GrowthRow {
        per_day,
        level: found.level,
        exhausted: found.exhausted.map(day_text),
        earliest: early.map(day_text),
        latest: late.map(day_text),
    })
}

/// The commonest operations, and all others as one.
fn chosen(operations: BTreeMap<String, Series<f64>>) -> Vec<(String, Series<f64>)> {
    let calls = |series: &Series<f64>| series.values().sum::<f64>();
    let mut all: Vec<(String, Series<f64>)> = operations.into_iter().collect();
    all.sort_by(|a, b| calls(&b.1).total_cmp(&calls(&a.1)));
    if all.len() <= MOST_OPERATIONS {
        return all;
    }
    let mut others = Series::new();
    for (_, series) in all.split_off(MOST_OPERATIONS - 1) {
        for (step, calls) in series {
            *others.entry(step).or_default() += calls;
        }
    }
    all.push((OTHERS.to_owned(), others));
    all
}

/// CPU time of a request of each operation, or why it is unknown.
fn costs<'a>(
    instances: impl Iterator<Item = &'a Served>,
    operations: BTreeMap<String, Series<f64>>,
    steps: Steps,
) -> Result<Vec<OperationCpu>, &'static str> {
    let mut used: BTreeMap<usize, Option<f64>> = BTreeMap::new();
    for served in instances {
        let cpu = served.cpu.as_ref().ok_or("an instance has no CPU metric")?;
        if cpu.host == Some(true) || cpu.usage.cpus.is_empty() {
            return Err("CPU is known in shares or of shared hosts only");
        }
        for step in served.done.keys() {
            let cpus = cpu.usage.cpus.get(step);
            let sum = used.entry(*step).or_insert(Some(0.0));
            *sum = sum.zip(cpus).map(|(sum, cpus)| sum + cpus);
        }
    }
    let operations = chosen(operations);
    let mut blocks = vec![Vec::new(); BLOCKS];
    for (step, cpus) in used {
        let (Some(cpus), Some(seconds)) = (cpus, steps.seconds(step)) else { continue };
        let calls = |(_, series): &(String, Series<f64>)| series.get(&step).copied();
        let calls = operations.iter().map(|one| calls(one).unwrap_or_default()).collect();
        if let Some(block) = blocks.get_mut(step * BLOCKS / steps.times.len().max(1)) {
            block.push(Work { cpu_s: cpus * seconds, calls });
        }
    }
    let found = cpu_by_operation(&blocks, operations.len());
    let row = |((operation, series), cost): (&(String, Series<f64>), _)| {
        let cost: headrope_analysis::capacity::OperationCost = cost?;
        let calls: f64 = series.values().sum();
        let (low, high) = (cost.interval.low, cost.interval.high);
        let cpu_ms_per_request = scaled(Band { value: cost.cpu_s, low, high }, 1e3);
        let operation = operation.clone();
        Some(OperationCpu { operation, calls: calls as u64, cpu_ms_per_request, share: 0.0 })
    };
    let mut rows: Vec<OperationCpu> = operations.iter().zip(found).filter_map(row).collect();
    if rows.is_empty() {
        return Err("too few minutes, or operations that rise and fall together");
    }
    let time = |row: &OperationCpu| row.calls as f64 * row.cpu_ms_per_request.value;
    let all: f64 = rows.iter().map(time).sum();
    rows.iter_mut().for_each(|row| row.share = if all > 0.0 { time(row) / all } else { 0.0 });
    rows.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(rows)
}
