//! When the daily peak reaches a rate.

use crate::statistics::{Interval, Z_90, median, seasonal_slope};

/// Days ahead within which an exhaustion is told; beyond two years a straight line says nothing.
pub const HORIZON_DAYS: i64 = 730;
/// Days from the first peak to the last from which on there is a trend: three weeks give each weekday
/// three values.
const LEAST_DAYS: i64 = 20;
/// Most days looked at, the latest ones: two years.
const MOST_DAYS: usize = 730;
const WEEK: usize = 7;

/// The greatest rate of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyPeak {
    /// Days since 1970-01-01 in the time zone that the peaks were cut by.
    pub day: i64,
    /// Requests per second.
    pub rate: f64,
}

/// Trend and season of the daily peak, and when it gets too high.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Requests per second more from one day to the next.
    pub per_day: f64,
    /// 90 % interval of it, which takes the days as independent.
    pub interval: Interval,
    /// Peak to be expected on the last day without its season, requests per second.
    pub level: f64,
    /// What each weekday adds, Monday first, requests per second; 0 where nothing was seen.
    pub weekday: [f64; WEEK],
    /// Last day of the data.
    pub last_day: i64,
    /// First day from the last one on whose peak is expected to reach the limit; `None` for never, which
    /// is not within [`HORIZON_DAYS`].
    pub exhausted: Option<i64>,
    /// The same if growth is at the upper end of its interval: no later than `exhausted`.
    pub earliest: Option<i64>,
    /// The same if growth is at the lower end of its interval: no sooner than `exhausted`.
    pub latest: Option<i64>,
}

/// Trend of the daily peaks and the day on which they reach `limit` requests per second.
///
/// The trend is the seasonal Kendall slope with the weekday as the season: peaks are compared with those
/// of the same weekday only, which takes the week out without bending the trend. What is left has a
/// median per weekday, the season. `None` for less than three weeks of data, gaps that leave the trend
/// without an interval, or a limit that is not finite. Several peaks of one day count by the greatest; those that are not finite or negative are left
/// out.
#[must_use]
pub fn growth(peaks: &[DailyPeak], limit: f64) -> Option<Growth> {
    let days = daily(peaks);
    let (first, last) = (days.first()?.day, days.last()?.day);
    if last - first < LEAST_DAYS || !limit.is_finite() {
        return None;
    }
    // Counted from the last day, so that the intercept is the level there.
    let point = |p: &DailyPeak| ((p.day - last) as f64, p.rate);
    let mut seasons: [Vec<(f64, f64)>; WEEK] = Default::default();
    for peak in &days {
        seasons.get_mut(weekday(peak.day))?.push(point(peak));
    }
    let trend = seasonal_slope(&seasons.each_ref().map(Vec::as_slice), Z_90)?;
    let level = trend.intercept;
    let season = |points: &Vec<(f64, f64)>| {
        let left: Vec<f64> = points.iter().map(|(x, y)| y - trend.slope * x - level).collect();
        median(&left)
    };
    let seen = seasons.each_ref().map(season);
    let reach = |slope: f64| exhausted(limit, last, slope, level, &seen);
    let interval = trend.interval?;
    Some(Growth {
        per_day: trend.slope,
        interval,
        level,
        weekday: seen.map(Option::unwrap_or_default),
        last_day: last,
        exhausted: reach(trend.slope),
        earliest: reach(interval.high),
        latest: reach(interval.low),
    })
}

/// One sound peak per day, ascending, the latest [`MOST_DAYS`].
fn daily(peaks: &[DailyPeak]) -> Vec<DailyPeak> {
    /// Days whose differences cannot overflow.
    const SANE: std::ops::Range<i64> = -200_000..200_000;
    let sound = |p: &&DailyPeak| p.rate.is_finite() && p.rate >= 0.0 && SANE.contains(&p.day);
    let mut days: Vec<DailyPeak> = peaks.iter().filter(sound).copied().collect();
    days.sort_by(|a, b| a.day.cmp(&b.day).then(b.rate.total_cmp(&a.rate)));
    days.dedup_by_key(|p| p.day);
    days.split_off(days.len().saturating_sub(MOST_DAYS))
}

/// 0 for a Monday; 1970-01-01 was a Thursday.
fn weekday(day: i64) -> usize {
    (day + 3).rem_euclid(WEEK as i64) as usize
}

/// The first day whose expected peak is at least the limit. A weekday of which nothing was seen has no
/// expectation.
fn exhausted(
    limit: f64,
    last: i64,
    slope: f64,
    level: f64,
    season: &[Option<f64>; WEEK],
) -> Option<i64> {
    (0..=HORIZON_DAYS).map(|ahead| (ahead, last + ahead)).find_map(|(ahead, day)| {
        let season = season.get(weekday(day)).copied().flatten()?;
        (level + slope * ahead as f64 + season >= limit).then_some(day)
    })
}
