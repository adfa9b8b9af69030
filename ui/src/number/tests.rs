use super::*;
use proptest::prelude::*;

#[test]
fn durations_read_well() {
    for (ns, want) in [
        (0, "0"),
        (870, "870 ns"),
        (41_234, "41.2 µs"),
        (999_600, "1 ms"),
        (412_345_678, "412 ms"),
        (3_912_000_000, "3.91 s"),
        (59_960_000_000, "1 m 00 s"),
        (125_000_000_000, "2 m 05 s"),
        (12_000_000_000_000, "3 h 20 m"),
        (187_200_000_000_000, "2 d 4 h"),
        (-1_500_000, "−1.5 ms"),
    ] {
        assert_eq!(duration(ns), want, "{ns}");
    }
}

#[test]
fn shares_and_changes_do_not_overstate() {
    assert_eq!(percent(0.0), "0 %");
    assert_eq!(percent(0.000_01), "<0.01 %");
    assert_eq!(percent(0.999_99), ">99.9 %");
    assert_eq!(percent(1.0), "100 %");
    assert_eq!(percent(0.045), "4.5 %");
    assert_eq!(percent(0.001_99), "0.2 %");
    assert_eq!(change(1.0, 0.0), "new");
    assert_eq!(change(3.4, 1.0), "×3.4");
    assert_eq!(change(0.88, 1.0), "−12 %");
    assert_eq!(change(1.0, 1.0), "±0 %");
    assert_eq!(change(0.0, 0.0), "–");
    assert_eq!(rate(12.44), "12.4/s");
    assert_eq!(rate(0.05), "3/min");
    assert_eq!(with_unit(1_610_612_736.0, "By"), "1.5 GiB");
}

proptest! {
    #[test]
    fn exact_keeps_every_digit(value: u64) {
        let text = exact(value);
        prop_assert_eq!(text.replace(',', ""), value.to_string());
        prop_assert!(text.split(',').skip(1).all(|g| g.len() == 3));
    }

    /// What is printed differs from the truth by at most half a unit of the third digit.
    #[test]
    fn scaled_is_within_half_a_percent(value in 1f64..1e15) {
        let text = scaled(value);
        let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
        let factor = match unit { "k" => 1e3, "M" => 1e6, "G" => 1e9, "T" => 1e12, _ => 1.0 };
        let back = number.parse::<f64>().unwrap() * factor;
        prop_assert!((back - value).abs() <= value * 0.005_001, "{} -> {}", value, text);
    }

    #[test]
    fn durations_below_a_minute_are_within_half_a_percent(ns in 1i64..59_000_000_000) {
        let text = duration(ns);
        let (number, unit) = text.split_once(' ').unwrap();
        let factor = match unit { "ns" => 1.0, "µs" => 1e3, "ms" => 1e6, _ => 1e9 };
        let back = number.parse::<f64>().unwrap() * factor;
        prop_assert!((back - ns as f64).abs() <= ns as f64 * 0.005_001, "{} -> {}", ns, text);
    }

    #[test]
    fn duration_parameters_round_trip(ns in 0i64..10_000_000_000_000) {
        prop_assert_eq!(parse_duration(&duration_param(ns)), Some(ns));
    }

    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = parse_duration(&text);
    }
}
