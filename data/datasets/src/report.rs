//! The account of every line a reader saw.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// Broken lines whose place and reason are kept; all are counted.
const EXAMPLES_KEPT: usize = 20;

/// What became of every line of a dataset's files: `lines = purchases + cancellations + Σ dropped + broken`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleaningReport {
    /// Data lines read, headers left out.
    pub lines: u64,
    /// Lines that became `purchase` events.
    pub purchases: u64,
    /// Lines that became `purchase_cancelled` events.
    pub cancellations: u64,
    /// Lines left out on purpose, each under the first reason that applies (in the order of [`DropReason`]).
    pub dropped: BTreeMap<DropReason, u64>,
    /// Lines that could not be understood.
    pub broken: u64,
    /// The first broken lines, with their places.
    pub broken_examples: Vec<BrokenLine>,
    pub users: u64,
    pub items: u64,
    /// The raw counts of each file or sheet, comparable with what the publisher states.
    pub files: Vec<FileReport>,
}

/// Raw counts of one file or sheet, before anything is dropped. One line may count under several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    pub file: String,
    pub lines: u64,
    pub without_customer: u64,
    pub cancelled: u64,
}

/// Why an understood line is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// A later file covers the same days.
    Overlap,
    WithoutCustomer,
    /// Postage, fees, vouchers, samples …: the stock code is not a product's.
    NotAProduct,
    /// A cancelled line of a customer or product without any kept purchase: there is nothing it could take back.
    CancellationOfNothing,
    QuantityNotPositive,
    PriceNotPositive,
}

impl DropReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "covered by a later file",
            Self::WithoutCustomer => "without a customer",
            Self::NotAProduct => "not a product (postage, fees, vouchers)",
            Self::CancellationOfNothing => "cancellation without a purchase",
            Self::QuantityNotPositive => "quantity not positive",
            Self::PriceNotPositive => "price not positive",
        }
    }
}

/// Where a line could not be understood, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLine {
    pub file: String,
    /// 1-based line of the text file or row of the sheet; the header is line 1.
    pub line: u64,
    pub reason: String,
}

impl CleaningReport {
    pub(crate) fn drop_line(&mut self, reason: DropReason) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    pub(crate) fn broken_line(&mut self, file: &str, line: u64, reason: String) {
        self.broken += 1;
        if self.broken_examples.len() < EXAMPLES_KEPT {
            self.broken_examples.push(BrokenLine { file: file.to_owned(), line, reason });
        }
    }

    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// Whether every line is accounted for exactly once.
    pub fn is_balanced(&self) -> bool {
        self.lines == self.purchases + self.cancellations + self.dropped.values().sum::<u64>() + self.broken
    }
}

impl fmt::Display for CleaningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |n: u64, text: &str| writeln!(f, "{:>12}  {text}", grouped(n));
        row(self.lines, "lines read")?;
        row(self.purchases, "kept as purchases")?;
        row(self.cancellations, "kept as cancelled purchases")?;
        for (reason, n) in &self.dropped {
            row(*n, &format!("dropped: {}", reason.as_str()))?;
        }
        row(self.broken, "broken")?;
        row(self.users, "customers")?;
        row(self.items, "products")?;
        for broken in &self.broken_examples {
            writeln!(f, "  {}:{}: {}", broken.file, broken.line, broken.reason)?;
        }
        let kept = self.broken_examples.len() as u64;
        if self.broken > kept {
            writeln!(f, "  … and {} more broken lines", grouped(self.broken - kept))?;
        }
        Ok(())
    }
}

/// `1044847` as `1,044,847`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
