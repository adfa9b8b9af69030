//! The window of time a page looks at: relative ends stay relative in the address.

use std::fmt;

use headrope_model::TimeRange;

use crate::zone::{Zone, parse_rfc3339, rfc3339};

const MINUTE: i64 = 60_000_000_000;
/// Quick ranges: parameter and words.
pub(crate) const QUICK: [(&str, &str); 9] = [
    ("now-5m", "Last 5 minutes"),
    ("now-15m", "Last 15 minutes"),
    ("now-30m", "Last 30 minutes"),
    ("now-1h", "Last hour"),
    ("now-3h", "Last 3 hours"),
    ("now-6h", "Last 6 hours"),
    ("now-24h", "Last 24 hours"),
    ("now-2d", "Last 2 days"),
    ("now-7d", "Last 7 days"),
];

/// One end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// So many nanoseconds before now.
    Ago(i64),
    /// An instant, Unix nanoseconds.
    At(i64),
}

impl End {
    /// Reads `now`, `now-15m`, RFC 3339, Unix nanoseconds, or a wall-clock time of the zone.
    #[must_use]
    pub fn parse(text: &str, zone: &Zone) -> Option<Self> {
        let text = text.trim();
        if text == "now" {
            return Some(Self::Ago(0));
        }
        if let Some(back) = text.strip_prefix("now-") {
            return ago(back).map(Self::Ago);
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().map(Self::At);
        }
        parse_rfc3339(text).or_else(|| zone.parse(text)).map(Self::At)
    }

    /// The instant meant at `now`.
    #[must_use]
    pub const fn resolve(self, now: i64) -> i64 {
        match self {
            Self::Ago(back) => now.saturating_sub(back),
            Self::At(at) => at,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, char); 4] =
            [(24 * 60 * MINUTE, 'd'), (60 * MINUTE, 'h'), (MINUTE, 'm'), (1_000_000_000, 's')];
        match *self {
            Self::Ago(0) => f.write_str("now"),
            // A day is written in hours up to 24, so that the quick ranges read back as they are.
            Self::Ago(back) => {
                let unit = UNITS
                    .into_iter()
                    .find(|(n, name)| back % n == 0 && !(*name == 'd' && back == *n))
                    .unwrap_or((1_000_000_000, 's'));
                write!(f, "now-{}{}", back / unit.0, unit.1)
            }
            Self::At(at) => f.write_str(&rfc3339(at)),
        }
    }
}

fn ago(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|n| *n >= 0)?;
    let ns = match unit {
        's' => 1_000_000_000,
        'm' => MINUTE,
        'h' => 60 * MINUTE,
        'd' => 24 * 60 * MINUTE,
        'w' => 7 * 24 * 60 * MINUTE,
        _ => return None,
    };
    number.checked_mul(ns)
}

/// A window: from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Start.
    pub from: End,
    /// End.
    pub to: End,
}

impl Window {
    /// The last hour.
    pub const DEFAULT: Self = Self { from: End::Ago(60 * MINUTE), to: End::Ago(0) };

    /// Reads the parameters `from` and `to`; what is absent is the default.
    ///
    /// # Errors
    /// A sentence that says which parameter is wrong and what would be right.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        zone: &Zone,
        now: i64,
    ) -> Result<Self, String> {
        let end = |name: &str, text: Option<&str>, default: End| {
            match text.filter(|t| !t.is_empty()) {
            None => Ok(default),
            Some(text) => End::parse(text, zone).ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                format!(
                    "The {name} “{shown}” is not a time: write now-1h, 2026-11-21T02:00:00 or RFC 3339. \
                     Showing the last hour."
                )
            }),
        }
        };
        let to = end("end", to, End::Ago(0))?;
        let from = match (from.filter(|t| !t.is_empty()), to) {
            (None, End::At(at)) => End::At(at.saturating_sub(60 * MINUTE)),
            (text, _) => end("start", text, Self::DEFAULT.from)?,
        };
        if from.resolve(now) >= to.resolve(now) {
            return Err("The window ends before it starts. Showing the last hour.".to_owned());
        }
        Ok(Self { from, to })
    }

    /// Whether any end moves with the clock.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        matches!(self.from, End::Ago(_)) || matches!(self.to, End::Ago(_))
    }

    /// The instants meant at `now`.
    #[must_use]
    pub fn resolve(&self, now: i64) -> TimeRange {
        TimeRange::new(self.from.resolve(now), self.to.resolve(now)).unwrap_or(TimeRange::ALL)
    }

    /// The same window with both ends fixed.
    #[must_use]
    pub const fn pinned(&self, now: i64) -> Self {
        Self { from: End::At(self.from.resolve(now)), to: End::At(self.to.resolve(now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_226_733_000_000_000;

    #[test]
    fn quick_ranges_read_back_as_written() {
        for (text, _) in QUICK {
            assert_eq!(End::parse(text, &Zone::utc()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_windows_are_explained() {
        let utc = Zone::utc();
        let wrong = Window::parse(Some("yesterdayish"), None, &utc, NOW).unwrap_err();
        assert!(wrong.contains("start “yesterdayish”"), "{wrong}");
        assert!(Window::parse(Some("now"), Some("now-1h"), &utc, NOW).is_err());
        let day = Window::parse(None, Some("2026-11-20T00:00:00Z"), &utc, NOW).unwrap();
        assert_eq!(day.resolve(NOW).duration_ns(), 60 * MINUTE);
        assert!(!day.is_relative());
    }

    proptest! {
        #[test]
        fn ends_survive_the_address_bar(back in 0i64..100_000_000, at: i64) {
            for end in [End::Ago(back * 1_000_000_000), End::At(at)] {
                prop_assert_eq!(End::parse(&end.to_string(), &Zone::utc()), Some(end));
            }
        }

        #[test]
        fn pinning_keeps_the_instants(a in 1i64..10_000, b in 0i64..10_000) {
            prop_assume!(a > b);
            let window = Window { from: End::Ago(a), to: End::Ago(b) };
            prop_assert_eq!(window.pinned(NOW).resolve(NOW + 5), window.resolve(NOW));
        }
    }
}
