use super::*;

fn arrivals(rate: &str, seconds: f64) -> Vec<f64> {
    let rate = rate.parse().unwrap();
    Poisson::new(rate, Duration::from_secs_f64(seconds), 7).map(|a| a.at.as_secs_f64()).collect()
}

/// Mean and variance of the number of arrivals per tenth of a second.
fn moments(times: &[f64], seconds: f64) -> (f64, f64) {
    let mut counts = vec![0.0; (seconds * 10.0) as usize];
    for t in times {
        counts[(t * 10.0) as usize] += 1.0;
    }
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    (mean, counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[test]
fn counts_per_interval_have_the_mean_and_the_variance_of_poisson() {
    let (mean, variance) = moments(&arrivals("200", 1000.0), 1000.0);
    // 20 per interval over 10 000 intervals: the standard errors are 0.045 and 0.29.
    assert!((mean - 20.0).abs() < 0.2, "mean {mean}");
    assert!((variance - 20.0).abs() < 1.2, "variance {variance}");
}

#[test]
fn arrivals_ascend_and_stay_within_the_run() {
    for rate in ["500", "10..900", "900..10", "0..300", "300..0"] {
        let times = arrivals(rate, 10.0);
        assert!(times.is_sorted(), "{rate}");
        assert!(times.iter().all(|t| (0.0..10.0).contains(t)), "{rate}");
    }
}

#[test]
fn a_ramp_sends_the_mean_of_its_ends_and_a_quarter_of_the_change_less_in_its_first_half() {
    // Rate 100 + 19·t over 100 s: 105 000 expected, of them 100·50 + 19·50²/2 = 28 750 in the first half.
    let times = arrivals("100..2000", 100.0);
    let first_half = times.iter().filter(|t| **t < 50.0).count();
    assert!((times.len() as f64 - 105_000.0).abs() < 4.0 * 105_000_f64.sqrt(), "{}", times.len());
    assert!((first_half as f64 - 28_750.0).abs() < 4.0 * 28_750_f64.sqrt(), "{first_half}");
}

#[test]
fn the_same_seed_gives_the_same_arrivals() {
    assert_eq!(arrivals("50..80", 5.0), arrivals("50..80", 5.0));
}

#[test]
fn impossible_rates_are_refused() {
    for text in ["0", "-1", "NaN", "inf", "many", "1..", "0..0", "2000000"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn a_closed_loop_hands_out_now_until_the_end() {
    let mut schedule = Schedule::closed(Duration::from_secs(2));
    let second = Duration::from_secs(1);
    for index in 0..2 {
        assert_eq!(schedule.claim(second), Some(Arrival { index, step: 0, at: second }));
    }
    assert_eq!(schedule.claim(2 * second), None);
}

#[test]
fn requests_of_one_grain_leave_together_at_its_end_and_none_is_lost() {
    let poisson = || Poisson::new("1000".parse().unwrap(), Duration::from_secs(10), 7);
    let grain = Duration::from_millis(2);
    let grouped: Vec<_> = grouped(poisson(), grain).collect();
    for (before, after) in poisson().zip(&grouped) {
        assert_eq!(after.at.as_nanos() % grain.as_nanos(), 0);
        assert!(after.at >= before.at && after.at - before.at < grain, "{before:?} {after:?}");
    }
    assert_eq!(grouped.len(), poisson().count());
    assert!(super::grouped(poisson(), Duration::ZERO).eq(poisson()));
}
