//! Minutes in a row that are unlike their reference.

/// A scored minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minute {
    /// Number of the minute since the epoch, or of any other even step.
    pub at: i64,
    /// Robust z-score; see [`super::score()`].
    pub z: f64,
}

/// When a window opens and closes. Scores are those of one series, whose number of references is about the
/// same throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// A minute with a score at least this far from zero counts towards opening a window; see
    /// [`super::threshold`].
    pub enter: f64,
    /// A minute with a score at least this far from zero, on the same side, keeps an open window open.
    /// Not more than `enter`.
    pub leave: f64,
    /// Minutes one after the other that open a window, at least 1. When nothing changed and minutes are
    /// independent, a window opens at a given minute with probability at most `2 (alpha / 2)^in_a_row`.
    pub in_a_row: usize,
    /// Minutes one after the other without a score of at least `leave` that an open window bridges;
    /// missing minutes count as such.
    pub bridge: i64,
}

/// Minutes that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// First minute.
    pub from: i64,
    /// Minute after the last one.
    pub to: i64,
    /// Whether the values are above what was expected.
    pub above: bool,
    /// The score furthest from zero.
    pub peak: f64,
    /// Minutes whose score is at least `leave` from zero.
    pub minutes: usize,
}

/// The windows of a series by a rule with hysteresis, in order of time. The order of minutes does not
/// matter; of a minute given twice the score further from zero counts, scores that are not numbers are
/// left out. Windows of one side do not overlap, and one side never bridges the other.
#[must_use]
pub fn windows(minutes: &[Minute], rule: &Rule) -> Vec<Window> {
    let mut sorted: Vec<Minute> = minutes.iter().filter(|m| !m.z.is_nan()).copied().collect();
    sorted.sort_by(|a, b| {
        let further = b.z.abs().total_cmp(&a.z.abs());
        a.at.cmp(&b.at).then(further).then(b.z.total_cmp(&a.z))
    });
    sorted.dedup_by_key(|m| m.at);
    let leave = rule.leave.min(rule.enter);
    // Runs of minutes on one side, each no further from the next than may be bridged.
    let strong: Vec<Minute> = sorted.iter().filter(|m| m.z.abs() >= leave).copied().collect();
    let joined = |a: &Minute, b: &Minute| {
        let between = b.at.saturating_sub(a.at).saturating_sub(1);
        (a.z > 0.0) == (b.z > 0.0) && between <= rule.bridge.max(0)
    };
    strong.chunk_by(joined).filter_map(|run| window(run, rule)).collect()
}

/// A run as a window, if enough minutes in a row open it.
fn window(run: &[Minute], rule: &Rule) -> Option<Window> {
    let (mut row, mut longest, mut before) = (0, 0, None);
    for minute in run {
        let follows = before.is_some_and(|b: i64| b.checked_add(1) == Some(minute.at));
        row = match minute.z.abs() >= rule.enter {
            true if follows => row + 1,
            true => 1,
            false => 0,
        };
        longest = longest.max(row);
        before = Some(minute.at);
    }
    let (first, last) = (run.first()?, run.last()?);
    let peak = run.iter().map(|m| m.z).reduce(|a, b| if b.abs() > a.abs() { b } else { a })?;
    (longest >= rule.in_a_row.max(1)).then_some(Window {
        from: first.at,
        to: last.at.saturating_add(1),
        above: peak > 0.0,
        peak,
        minutes: run.len(),
    })
}
