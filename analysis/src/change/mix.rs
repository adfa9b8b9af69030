//! Another mix of work, or the same work got slower.

use std::collections::BTreeMap;

/// What a group of work (an operation, a tenant, a size class) came to in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Sum of what the mean is of, for instance seconds.
    pub sum: f64,
}

/// What a group adds to the change of the mean.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupChange {
    /// Its name.
    pub name: String,
    /// Because its share of the calls changed: `Δshare · (its reference mean - the reference mean of all)`.
    pub mix: f64,
    /// Because its own mean changed: `share in the window · Δmean`.
    pub performance: f64,
}

/// The change of a mean, split.
#[derive(Debug, Clone, PartialEq)]
pub struct MixSplit {
    /// Mean of all calls in the reference.
    pub reference_mean: f64,
    /// Mean of all calls in the window.
    pub window_mean: f64,
    /// Part of the difference that is due to another mix.
    pub mix: f64,
    /// Part of the difference that is due to groups whose own mean changed.
    pub performance: f64,
    /// The same by group, the greatest contribution of either sign first, then by name.
    pub groups: Vec<GroupChange>,
}

/// Splits the difference of the means of two windows: `Σ Δshare · reference mean + Σ share · Δmean`, which
/// is the difference exactly, up to rounding (the decomposition of Kitagawa, *Components of a difference
/// between two rates*, JASA 50, 1955, with the mix at the reference's means and the change of means at the
/// window's shares). Since the shares' differences sum to zero, the mean of all may be taken off each
/// group's, so that a group with a growing share counts by how much slower than the rest it is. A group
/// that only one window has did not change its own mean: all it adds is mix. Groups of one name are added up,
/// those without calls left out. `None` if either window is without calls or a sum is not finite.
#[must_use]
pub fn mix_split(reference: &[Group], window: &[Group]) -> Option<MixSplit> {
    let (before, after) = (Totals::of(reference)?, Totals::of(window)?);
    let names: std::collections::BTreeSet<&str> =
        before.groups.keys().chain(after.groups.keys()).copied().collect();
    let mut groups: Vec<GroupChange> = names
        .into_iter()
        .map(|name| {
            let (was, is) = (before.group(name), after.group(name));
            let (share_was, share_is) = (was.map_or(0.0, |g| g.0), is.map_or(0.0, |g| g.0));
            let mean = |g: (f64, f64)| g.1;
            let usual = was.or(is).map_or(0.0, mean);
            let now = is.or(was).map_or(0.0, mean);
            GroupChange {
                name: name.to_owned(),
                mix: (share_is - share_was) * (usual - before.mean),
                performance: share_is * (now - usual),
            }
        })
        .collect();
    groups.sort_by(|a, b| {
        let size = |g: &GroupChange| (g.mix + g.performance).abs();
        size(b).total_cmp(&size(a)).then(a.name.cmp(&b.name))
    });
    let sound = groups.iter().all(|g| g.mix.is_finite() && g.performance.is_finite());
    sound.then(|| MixSplit {
        reference_mean: before.mean,
        window_mean: after.mean,
        mix: groups.iter().map(|g| g.mix).sum(),
        performance: groups.iter().map(|g| g.performance).sum(),
        groups,
    })
}

/// One window by group.
struct Totals<'a> {
    groups: BTreeMap<&'a str, (u64, f64)>,
    calls: f64,
    mean: f64,
}

impl<'a> Totals<'a> {
    fn of(groups: &'a [Group]) -> Option<Self> {
        let mut sorted: Vec<&Group> = groups.iter().filter(|g| g.calls > 0).collect();
        // Sums of floats depend on their order.
        sorted.sort_by(|a, b| {
            a.name.cmp(&b.name).then(a.sum.total_cmp(&b.sum)).then(a.calls.cmp(&b.calls))
        });
        let mut by_name: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
        for group in sorted {
            let total = by_name.entry(&group.name).or_default();
            total.0 = total.0.saturating_add(group.calls);
            total.1 += group.sum;
        }
        let calls: f64 = by_name.values().map(|g| g.0 as f64).sum();
        let mean = by_name.values().map(|g| g.1).sum::<f64>() / calls;
        (calls > 0.0 && mean.is_finite()).then_some(Self { groups: by_name, calls, mean })
    }

    /// Share of the calls, and mean.
    fn group(&self, name: &str) -> Option<(f64, f64)> {
        let (calls, sum) = self.groups.get(name)?;
        Some((*calls as f64 / self.calls, sum / *calls as f64))
    }
}
