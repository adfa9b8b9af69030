//! Points in time and durations as people and programs write them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use headrope_model::time::NANOS_PER_SECOND;

/// Integers below are seconds.
const SECONDS_BELOW: i64 = 100_000_000_000;
/// Integers below (and not seconds) are milliseconds.
const MILLIS_BELOW: i64 = 100_000_000_000_000;
/// Integers below (and neither) are microseconds, all others nanoseconds.
const MICROS_BELOW: i64 = 100_000_000_000_000_000;

/// Units of a duration, longest name first where one begins another.
const UNITS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
    ("w", 604_800e9),
];

/// A timestamp for SQL.
pub(crate) fn scalar(ns: i64) -> ScalarValue {
    ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into()))
}

/// RFC 3339, `now`, `now-1h`, or Unix seconds, milliseconds, microseconds or nanoseconds (told apart
/// by their size). The error says what is expected.
pub(crate) fn parse(text: &str, now_ns: i64) -> Result<i64, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        let offset = match rest.split_at_checked(1) {
            None => Some(0),
            Some(("-", span)) => duration(span).map(|ns| -ns),
            // A plus sign in a URL arrives as a space.
            Some(("+" | " ", span)) => duration(span),
            Some(_) => None,
        };
        return offset.map(|o| now_ns.saturating_add(o)).ok_or_else(|| wrong(text));
    }
    if let Ok(number) = text.parse::<i64>() {
        let scale = match number.saturating_abs() {
            n if n < SECONDS_BELOW => NANOS_PER_SECOND,
            n if n < MILLIS_BELOW => 1_000_000,
            n if n < MICROS_BELOW => 1_000,
            _ => 1,
        };
        return number.checked_mul(scale).ok_or_else(|| wrong(text));
    }
    rfc3339(text).ok_or_else(|| wrong(text))
}

fn rfc3339(text: &str) -> Option<i64> {
    // Arrow's parser takes dates without a time too; a `+` before the zone may have become a space.
    let cleaned = match text.rsplit_once(' ') {
        Some((time, zone)) if time.contains('T') && zone.contains(':') => format!("{time}+{zone}"),
        _ => text.to_owned(),
    };
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let parsed = ScalarValue::Utf8(Some(cleaned)).cast_to(&utc).ok()?;
    match parsed {
        ScalarValue::TimestampNanosecond(ns, _) => ns,
        _ => None,
    }
}

fn wrong(text: &str) -> String {
    let text: String = text.chars().take(60).collect();
    format!("{text:?} is not a time; use RFC 3339, now-1h, or Unix s, ms, µs or ns")
}

/// A duration in nanoseconds: a whole number of nanoseconds, or numbers with units as in `1.5ms`,
/// `1h30m`, `2d`.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(ns) = text.parse::<i64>() {
        return Some(ns);
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let number: f64 = number.parse().ok()?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number * scale;
        rest = tail;
    }
    let total = if negative { -total } else { total };
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (total.abs() < 9.2e18).then_some(total.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn times() {
        for (text, want) in [
            ("now", NOW),
            ("now-1h", NOW - 3_600_000_000_000),
            ("now+90s", NOW + 90_000_000_000),
            ("1700000000", NOW),
            ("1700000000000", NOW),
            ("1700000000000000", NOW),
            ("1700000000000000001", NOW + 1),
            ("0", 0),
            ("2023-11-14T22:13:20Z", NOW),
            ("2023-11-14T22:13:20.000000007Z", NOW + 7),
            ("2023-11-14T23:13:20+01:00", NOW),
            ("2023-11-14T23:13:20 01:00", NOW),
        ] {
            assert_eq!(parse(text, NOW), Ok(want), "{text}");
        }
        for text in ["", "yesterday", "now-", "now*2", "2023-99-01", "12:00"] {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("1500", Some(1500)),
            ("1.5ms", Some(1_500_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("2d", Some(172_800_000_000_000)),
            ("10µs", Some(10_000)),
            ("-3s", Some(-3_000_000_000)),
            ("", None),
            ("ms", None),
            ("1x", None),
            ("1.2.3s", None),
            ("999999999w", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = duration(&text);
            let _ = parse(&text, NOW);
        }

        #[test]
        fn our_own_times_come_back(ns in -1_000_000_000_000_000_000i64..4_000_000_000_000_000_000) {
            prop_assert_eq!(parse(&crate::answer::Time(ns).rfc3339(), NOW), Ok(ns));
        }
    }
}
