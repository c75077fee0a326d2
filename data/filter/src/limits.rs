//! How large a filter may be. The text comes from whoever may ask for a list, and every answer pays for it.

/// Longest text, in bytes.
pub const MAX_BYTES: usize = 4_096;

/// How deeply parentheses may be nested.
pub const MAX_DEPTH: usize = 32;

/// How many comparisons a filter may have; `exists(…)` and a boolean property alone are comparisons.
pub const MAX_COMPARISONS: usize = 256;

/// How many values a list may have.
pub const MAX_LIST: usize = 1_000;

/// How far from `now` a time may be, in days.
pub const MAX_OFFSET_DAYS: u64 = 36_500;
