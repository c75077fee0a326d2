//! Comparisons that say what was expected and what came.

use std::fmt::Debug;

use anyhow::{Result, bail};

/// `got` must be `expected`.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, got: T, expected: T) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    bail!("{what}: expected {expected:?}, got {got:?}")
}

/// `holds` must be true of `got`; `expected` says in words what that means.
pub(crate) fn that(what: &str, holds: bool, expected: &str, got: impl Debug) -> Result<()> {
    if holds {
        return Ok(());
    }
    bail!("{what}: expected {expected}, got {got:?}")
}

/// The value below which a share of `sorted` lies (nearest rank).
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let is = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
        is(percentile(&hundred, 0.5), 50.0);
        is(percentile(&hundred, 0.99), 99.0);
        is(percentile(&hundred, 1.0), 100.0);
        is(percentile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn a_difference_names_both_sides() {
        assert_eq!(equal("status", 404, 200).unwrap_err().to_string(), "status: expected 200, got 404");
        assert!(equal("status", 200, 200).is_ok());
    }
}
