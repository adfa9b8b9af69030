//! The rate over the day, and its integral, so that a counter can be read at any instant.

/// Rate of each hour (UTC) relative to the mean; a linear course between the hours. They add up to
/// 24, so a day's mean is 1.
const HOURS: [f64; 24] = [
    0.66, 0.50, 0.43, 0.40, 0.40, 0.44, 0.56, 0.76, 0.96, 1.10, 1.20, 1.26, 1.28, 1.22, 1.16, 1.14,
    1.16, 1.24, 1.38, 1.54, 1.62, 1.52, 1.18, 0.89,
];
const DAY: i64 = 86_400;

/// Rate at a second of Unix time, relative to the mean.
pub(crate) fn rate(second: i64, diurnal: bool) -> f64 {
    if !diurnal {
        return 1.0;
    }
    let in_day = second.rem_euclid(DAY);
    let (hour, part) = ((in_day / 3600) as usize, (in_day % 3600) as f64 / 3600.0);
    let (a, b) = (HOURS[hour % 24], HOURS[(hour + 1) % 24]);
    a + (b - a) * part
}

/// Integral of [`rate`] from the epoch to a second, in seconds of mean traffic.
pub(crate) fn area(second: i64, diurnal: bool) -> f64 {
    if !diurnal {
        return second as f64;
    }
    let days = second.div_euclid(DAY) as f64 * DAY as f64;
    let in_day = second.rem_euclid(DAY);
    let hour = (in_day / 3600) as usize;
    let whole: f64 = (0..hour).map(|h| (HOURS[h] + HOURS[(h + 1) % 24]) * 1800.0).sum();
    let part = (in_day % 3600) as f64;
    let (a, b) = (HOURS[hour % 24], HOURS[(hour + 1) % 24]);
    days + whole + part * (a + (b - a) * part / 7200.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_mean_one_and_the_area_is_the_integral() {
        assert!((HOURS.iter().sum::<f64>() - 24.0).abs() < 1e-9, "{}", HOURS.iter().sum::<f64>());
        let from = 1_736_121_600;
        let sum: f64 =
            (0..7_000).map(|s| (rate(from + s, true) + rate(from + s + 1, true)) / 2.0).sum();
        let area = area(from + 7_000, true) - area(from, true);
        assert!((sum - area).abs() < 0.01, "{sum} {area}");
    }
}
