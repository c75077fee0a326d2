//! Comparisons of recommenders, for people (a terminal table) and for programs (JSON).

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use crate::{Bootstrap, Coverage, Difference, Evaluation, EvaluationError, Interval};

/// Several recommenders on the same cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub title: String,
    /// Cases that the means are over.
    pub n_cases: usize,
    /// Cases without a truth.
    pub n_left_out: usize,
    /// The metric that decides who is best.
    pub primary: String,
    /// In the order given.
    pub rows: Vec<Row>,
}

/// One recommender of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub metrics: BTreeMap<String, Interval>,
    pub coverage: BTreeMap<usize, Coverage>,
    /// This row minus the best row in the primary metric; absent for the best row itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vs_best: Option<Difference>,
}

impl Comparison {
    /// Compares by the first metric of the evaluations; among equals the earlier row is best.
    ///
    /// # Errors
    /// [`EvaluationError`] when nothing was evaluated, or not on the same cases.
    pub fn of(
        title: impl Into<String>,
        evaluations: &[Evaluation],
        bootstrap: &Bootstrap,
    ) -> Result<Self, EvaluationError> {
        let first = evaluations.first().ok_or(EvaluationError::NoCases)?;
        let primary = first.metrics.first().ok_or(EvaluationError::NoCases)?.clone();
        let mut best = first;
        for evaluation in evaluations {
            let mean = evaluation.mean(&primary).ok_or(EvaluationError::NoCases)?;
            if best.mean(&primary).is_some_and(|so_far| mean > so_far) {
                best = evaluation;
            }
        }
        let rows = evaluations
            .iter()
            .map(|evaluation| {
                let intervals = bootstrap.intervals(evaluation)?;
                let difference = bootstrap.difference(evaluation, best, &primary)?;
                Ok(Row {
                    name: evaluation.name.clone(),
                    metrics: evaluation.metrics.iter().cloned().zip(intervals).collect(),
                    coverage: evaluation.coverage.clone(),
                    vs_best: (!std::ptr::eq(evaluation, best)).then_some(difference),
                })
            })
            .collect::<Result<_, EvaluationError>>()?;
        Ok(Self {
            title: title.into(),
            n_cases: first.n_cases(),
            n_left_out: first.n_left_out,
            primary,
            rows,
        })
    }

    /// The row that is best in the primary metric.
    pub fn best(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.vs_best.is_none())
    }

    /// A table for a terminal, one row per recommender: of every metric in `metrics` the mean and half the width of its
    /// interval, `*` at the best mean of a column; then the difference to the best row with its p-value. Metrics that
    /// were not computed are left out.
    pub fn to_table(&self, metrics: &[&str]) -> String {
        let columns: Vec<&str> = metrics
            .iter()
            .copied()
            .filter(|name| self.rows.iter().all(|row| row.metrics.contains_key(*name)))
            .collect();
        let mut cells = vec![Vec::from([String::from("model")])];
        cells[0].extend(columns.iter().map(|&name| name.to_owned()));
        cells[0].push(format!("{} vs best", self.primary));
        for row in &self.rows {
            let mut line = vec![row.name.clone()];
            line.extend(columns.iter().map(|&name| self.figure(row, name)));
            line.push(row.vs_best.as_ref().map_or_else(
                || "best".to_owned(),
                |d| format!("{:+.4} [{:+.4}, {:+.4}] p={:.3}", d.value, d.low, d.high, d.p_value),
            ));
            cells.push(line);
        }
        let mut text = format!("{}  ({} cases", self.title, self.n_cases);
        if self.n_left_out > 0 {
            write!(text, ", {} without a truth left out", self.n_left_out)
                .expect("writing to a string succeeds");
        }
        text.push_str(")\n");
        text.push_str(&align(&cells));
        text
    }

    fn figure(&self, row: &Row, metric: &str) -> String {
        let interval = row.metrics[metric];
        let is_best = self.rows.iter().all(|other| other.metrics[metric].value <= interval.value);
        let half_width = (interval.high - interval.low) / 2.0;
        format!("{:.4} ±{half_width:.4}{}", interval.value, if is_best { "*" } else { " " })
    }
}

/// First column to the left, the others to the right, a rule below the heading.
fn align(cells: &[Vec<String>]) -> String {
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in cells.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            match column {
                0 => text.extend([cell.as_str(), &padding]),
                _ => text.extend(["  ", &padding, cell.as_str()]),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        if number == 0 {
            text.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
            text.push('\n');
        }
    }
    text
}
