//! The same figures for some of the people, and for some of the items.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use waggle_model::ItemIdx;

use crate::{Bootstrap, Case, Evaluation, EvaluationError, Interval};

/// Figures over a part of the cases, or of what they are about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    pub name: String,
    pub n_cases: usize,
    pub metrics: BTreeMap<String, Interval>,
}

/// Items that at most so many touched are cold.
pub const COLD_ITEMS: usize = 5;

/// People by how much is known of them: about equally many in each of `n_groups`, the least active first. People of whom as
/// much is known stay together, so there may be fewer groups.
///
/// # Errors
/// As [`Bootstrap::intervals`].
pub fn by_activity(
    evaluation: &Evaluation,
    cases: &[Case],
    n_groups: usize,
    bootstrap: &Bootstrap,
) -> Result<Vec<Slice>, EvaluationError> {
    let lengths: Vec<usize> = asked(cases).map(|case| case.history.len()).collect();
    let mut sorted = lengths.clone();
    sorted.sort_unstable();
    let mut slices = Vec::new();
    let mut from = 0;
    for group in 1..=n_groups {
        let last = (sorted.len() * group / n_groups).saturating_sub(1);
        let Some(&to) = sorted.get(last).filter(|to| **to >= from) else { continue };
        let part = evaluation.of_cases(|case| (from..=to).contains(&lengths[case]));
        if part.n_cases() > 0 {
            slices.push(slice(format!("{from} to {to} known items"), &part, bootstrap)?);
        }
        from = to + 1;
    }
    Ok(slices)
}

/// What people chose among the items that at most [`COLD_ITEMS`] touched, and among all others: each as if it were all they
/// chose. The lists are the same. A part that nobody chose from is left out.
///
/// # Errors
/// As [`Bootstrap::intervals`].
pub fn by_item_age(
    evaluation: &Evaluation,
    cases: &[Case],
    counts: &[usize],
    bootstrap: &Bootstrap,
) -> Result<Vec<Slice>, EvaluationError> {
    let is_cold = |item: ItemIdx| counts.get(item.row()).is_none_or(|count| *count <= COLD_ITEMS);
    let truths = |is_kept: &dyn Fn(ItemIdx) -> bool| -> Vec<Vec<ItemIdx>> {
        asked(cases).map(|case| case.truth.iter().copied().filter(|item| is_kept(*item)).collect()).collect()
    };
    let parts = [
        (format!("items that at most {COLD_ITEMS} touched"), truths(&is_cold)),
        (format!("items that more than {COLD_ITEMS} touched"), truths(&|item| !is_cold(item))),
    ];
    let mut slices = Vec::new();
    for (name, truths) in parts {
        let part = evaluation.with_truths(&truths);
        if part.n_cases() > 0 {
            slices.push(slice(name, &part, bootstrap)?);
        }
    }
    Ok(slices)
}

/// The cases that are evaluated, in their order.
fn asked(cases: &[Case]) -> impl Iterator<Item = &Case> {
    cases.iter().filter(|case| !case.truth.is_empty())
}

fn slice(name: String, part: &Evaluation, bootstrap: &Bootstrap) -> Result<Slice, EvaluationError> {
    let intervals = bootstrap.intervals(part)?;
    let metrics = part.metrics.iter().cloned().zip(intervals).collect();
    Ok(Slice { name, n_cases: part.n_cases(), metrics })
}
