//! Figures as people read them: three significant digits, a unit, no noise.

/// A whole number with thousands separated: `1,234,567`.
#[must_use]
pub fn exact(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count: exact below 10,000, then `12.3 k`, `4.56 M`, `7.89 G`.
#[must_use]
pub fn count(value: u64) -> String {
    if value < 10_000 { exact(value) } else { scaled(value as f64) }
}

/// Any number in three significant digits with a decimal prefix.
#[must_use]
pub fn scaled(value: f64) -> String {
    const PREFIXES: [(f64, &str); 4] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    for (unit, name) in PREFIXES {
        // 999.5 of a unit reads as 1,000 of it, so the greater unit takes over a little earlier.
        if size >= unit * 0.9995 {
            return format!("{}{name}", digits(value / unit));
        }
    }
    digits(value)
}

/// Three significant digits without an exponent, trailing zeros of the fraction dropped.
fn digits(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        s if s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    if text == "-0" { "0".to_owned() } else { text }
}

/// A duration in nanoseconds: `870 ns`, `41.2 µs`, `412 ms`, `3.91 s`, `2 m 05 s`, `3 h 20 m`, `2 d 4 h`.
#[must_use]
pub fn duration(ns: i64) -> String {
    let size = ns.unsigned_abs();
    let sign = if ns < 0 { "−" } else { "" };
    let text = match size {
        0 => "0".to_owned(),
        1..1_000 => format!("{size} ns"),
        1_000..999_500 => format!("{} µs", digits(size as f64 / 1e3)),
        999_500..999_500_000 => format!("{} ms", digits(size as f64 / 1e6)),
        999_500_000..59_950_000_000 => format!("{} s", digits(size as f64 / 1e9)),
        _ => long(size / 1_000_000_000 + u64::from(size % 1_000_000_000 >= 500_000_000)),
    };
    format!("{sign}{text}")
}

fn long(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h) {
        (0, 0) => format!("{m} m {s:02} s"),
        (0, _) => format!("{h} h {m:02} m"),
        _ => format!("{d} d {h} h"),
    }
}

/// A rate: `12.4/s`; per minute below one a second, per hour below one a minute.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        "0/s".to_owned()
    } else if per_second >= 1.0 {
        format!("{}/s", scaled(per_second))
    } else if per_second * 60.0 >= 1.0 {
        format!("{}/min", digits(per_second * 60.0))
    } else {
        format!("{}/h", digits(per_second * 3600.0))
    }
}

/// A share as a percentage: `0`, `<0.01 %`, `0.12 %`, `4.5 %`, `−4.5 %`, `100 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        "–".to_owned()
    } else if value == 0.0 {
        "0 %".to_owned()
    } else if value.abs() < 0.01 {
        "<0.01 %".to_owned()
    } else if value < 0.0 {
        format!("−{}", percent(-share))
    } else {
        // A little short of everything must not read as everything.
        let rounded =
            if value < 1.0 { digits((value * 100.0).round() / 100.0) } else { digits(value) };
        if rounded == "100" && value < 100.0 {
            ">99.9 %".to_owned()
        } else {
            format!("{rounded} %")
        }
    }
}

/// The change from `before` to `now`: `+12 %`, `×3.4` beyond a doubling, `±0 %`, `new`, `–`.
#[must_use]
pub fn change(now: f64, before: f64) -> String {
    if !now.is_finite() || !before.is_finite() || (now == 0.0 && before == 0.0) {
        return "–".to_owned();
    }
    if before <= 0.0 {
        return "new".to_owned();
    }
    let ratio = now / before;
    if ratio >= 2.0 {
        return format!("×{}", digits(ratio));
    }
    let points = ((ratio - 1.0) * 100.0).round();
    if points == 0.0 {
        "±0 %".to_owned()
    } else if points > 0.0 {
        format!("+{points:.0} %")
    } else {
        format!("−{:.0} %", -points)
    }
}

/// A metric's value with its UCUM unit as OpenTelemetry writes it (`By`, `1`, `s`, `{thread}`).
#[must_use]
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "By" => bytes(value),
        "By/s" => format!("{}/s", bytes(value)),
        "1" => percent(value),
        "s" => duration((value * 1e9) as i64),
        "ms" => duration((value * 1e6) as i64),
        _ => scaled(value),
    }
}

/// Bytes with a binary prefix: `1.5 GiB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [
        (1_099_511_627_776.0, "TiB"),
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
    ];
    for (unit, name) in UNITS {
        if value.abs() >= unit {
            return format!("{} {name}", digits(value / unit));
        }
    }
    format!("{} B", digits(value))
}

/// Reads a duration a person typed: `250ms`, `1.5s`, `2m`, `800us`, or a bare number of milliseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit.trim() {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "" | "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3_600e9,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * factor;
    (value.is_finite() && value < i64::MAX as f64).then_some(value.round() as i64)
}

/// Writes a duration so that [`parse_duration`] reads exactly it back.
#[must_use]
pub fn duration_param(ns: i64) -> String {
    const UNITS: [(i64, &str); 4] =
        [(60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    for (unit, name) in UNITS {
        if ns != 0 && ns % unit == 0 {
            return format!("{}{name}", ns / unit);
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests;
