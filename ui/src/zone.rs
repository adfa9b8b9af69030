//! Time zones: one zone for the whole page, shown beside it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time zone by its IANA name.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// Finds a zone by IANA name; `None` if there is none of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(Self::utc());
        }
        if name.len() > 64 {
            return None;
        }
        let zone = TimeZone::get(name).ok()?;
        let name = zone.iana_name()?.to_owned();
        Some(Self { name, zone })
    }

    /// IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name with the offset in force at an instant: `Europe/Berlin (UTC+1)`.
    #[must_use]
    pub fn label(&self, at_ns: i64) -> String {
        if self.name == "UTC" {
            return self.name.clone();
        }
        let seconds = self.zone.to_offset(timestamp(at_ns)).seconds();
        let (sign, size) = if seconds < 0 { ('−', -seconds) } else { ('+', seconds) };
        let (hours, minutes) = (size / 3600, size / 60 % 60);
        if minutes == 0 {
            format!("{} (UTC{sign}{hours})", self.name)
        } else {
            format!("{} (UTC{sign}{hours}:{minutes:02})", self.name)
        }
    }

    /// `2026-11-21 02:05:33`.
    #[must_use]
    pub fn second(&self, ns: i64) -> String {
        self.format(ns, "%Y-%m-%d %H:%M:%S")
    }

    /// `2026-11-21 02:05:33.123`.
    #[must_use]
    pub fn milli(&self, ns: i64) -> String {
        self.format(ns, "%Y-%m-%d %H:%M:%S%.3f")
    }

    /// `2026-11-21 02:05:33.123456789`.
    #[must_use]
    pub fn nano(&self, ns: i64) -> String {
        self.format(ns, "%Y-%m-%d %H:%M:%S%.9f")
    }

    /// `21 Nov 02:05`.
    #[must_use]
    pub fn minute(&self, ns: i64) -> String {
        self.format(ns, "%-d %b %H:%M")
    }

    /// `02:05`.
    #[must_use]
    pub fn minute_of_day(&self, ns: i64) -> String {
        self.format(ns, "%H:%M")
    }

    /// `02:05:33.123`.
    #[must_use]
    pub fn clock(&self, ns: i64) -> String {
        self.format(ns, "%H:%M:%S%.3f")
    }

    /// What an `<input type="datetime-local">` takes: `2026-11-21T02:05:33`.
    #[must_use]
    pub fn input(&self, ns: i64) -> String {
        self.format(ns, "%Y-%m-%dT%H:%M:%S")
    }

    /// Reads a wall-clock time of this zone. A time that a clock change repeats is its first
    /// occurrence; one that it skips is moved forward.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<i64> {
        let civil: DateTime = text.parse().ok()?;
        let zoned = self.zone.to_ambiguous_zoned(civil).compatible().ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    }

    fn format(&self, ns: i64, pattern: &str) -> String {
        timestamp(ns).to_zoned(self.zone.clone()).strftime(pattern).to_string()
    }
}

fn timestamp(ns: i64) -> Timestamp {
    // Every i64 of nanoseconds (years 1677 to 2262) is inside jiff's range.
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3339 in UTC with nanoseconds.
#[must_use]
pub fn rfc3339(ns: i64) -> String {
    timestamp(ns).strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

/// Reads RFC 3339, with an offset.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // 2026-03-29T01:00:00Z: clocks in Berlin go from 02:00 to 03:00.
    const SPRING: i64 = 1_774_746_000_000_000_000;

    #[test]
    fn offsets_follow_clock_changes() {
        let berlin = Zone::find("europe/berlin").unwrap();
        assert_eq!(berlin.name(), "Europe/Berlin");
        assert_eq!(berlin.second(SPRING - 1_000_000_000), "2026-03-29 01:59:59");
        assert_eq!(berlin.second(SPRING), "2026-03-29 03:00:00");
        assert_eq!(berlin.label(SPRING - 1), "Europe/Berlin (UTC+1)");
        assert_eq!(berlin.label(SPRING), "Europe/Berlin (UTC+2)");
        let kathmandu = Zone::find("Asia/Kathmandu").unwrap();
        assert_eq!(kathmandu.label(SPRING), "Asia/Kathmandu (UTC+5:45)");
        assert!(Zone::find("Nowhere/Land").is_none());
    }

    #[test]
    fn skipped_and_repeated_times_have_one_meaning() {
        let berlin = Zone::find("Europe/Berlin").unwrap();
        assert_eq!(berlin.parse("2026-03-29T02:30:00"), Some(SPRING + 30 * 60 * 1_000_000_000));
        let autumn = parse_rfc3339("2026-10-25T00:30:00Z").unwrap();
        assert_eq!(berlin.parse("2026-10-25T02:30:00"), Some(autumn));
        let midnight = parse_rfc3339("2026-10-24T22:00:00Z").unwrap();
        assert_eq!(berlin.parse("2026-10-25"), Some(midnight));
    }

    proptest! {
        #[test]
        fn instants_survive_rfc3339(ns: i64) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(ns)), Some(ns));
        }

        #[test]
        fn wall_clock_of_utc_survives(s in 0i64..9_000_000_000) {
            let ns = s * 1_000_000_000;
            prop_assert_eq!(Zone::utc().parse(&Zone::utc().input(ns)), Some(ns));
        }

        #[test]
        fn hostile_text_is_refused_quietly(text in any::<String>()) {
            let _ = Zone::find(&text);
            let _ = Zone::utc().parse(&text);
            let _ = parse_rfc3339(&text);
        }
    }
}
