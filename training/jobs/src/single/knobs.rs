//! What a search tries: for every model some settings, each with values in order.

use serde_json::{Value, json};

use super::SingleModel;
use crate::{fit::Interactions, models::ModelParams};

/// One setting and the values that it may take, in order.
#[derive(Debug, Clone, Copy)]
pub struct Knob {
    /// Where it stands in the settings, as a JSON pointer.
    pub pointer: &'static str,
    pub values: &'static [f64],
    /// Whether it is counted: `100`, not `100.0`.
    pub is_count: bool,
    /// A fit takes this power of it.
    cost_exponent: f64,
}

const fn knob(pointer: &'static str, values: &'static [f64]) -> Knob {
    Knob { pointer, values, is_count: false, cost_exponent: 0.0 }
}

const fn count(pointer: &'static str, cost_exponent: f64, values: &'static [f64]) -> Knob {
    Knob { pointer, values, is_count: true, cost_exponent }
}

const EXPONENTS: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
const DROPOUTS: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const L2: &[f64] = &[
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0, 700.0, 1000.0,
    2000.0,
];
const STEPS: &[f64] = &[0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0];

const ITEM_ITEM: &[Knob] = &[
    knob("/target_exponent", EXPONENTS),
    knob("/source_exponent", EXPONENTS),
    knob("/history_exponent", &[0.0, 0.25, 0.5, 0.75, 1.0, 1.2, 1.5]),
    knob("/power", &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5]),
    knob("/shrink", &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]),
    count("/n_neighbours", 0.5, &[25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0]),
];
const IALS: &[Knob] = &[
    knob("/unobserved_weight", &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0]),
    knob("/regularization", &[0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1]),
    count("/n_factors", 2.0, &[32.0, 64.0, 128.0, 256.0, 512.0]),
    count("/n_iterations", 1.0, &[4.0, 8.0, 12.0, 16.0, 24.0]),
];
const VMIS_KNN: &[Knob] = &[
    count("/scoring/n_neighbours", 0.2, &[20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
    knob("/scoring/length_exponent", EXPONENTS),
    count("/scoring/n_recent", 1.0, &[200.0, 500.0, 1000.0, 2000.0, 5000.0]),
];
const CONTENT: &[Knob] = &[
    knob("/content/l2", &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]),
    knob("/content/half_trust", &[0.0, 1.0, 3.0, 10.0, 30.0]),
    knob("/als/unobserved_weight", &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0]),
    knob("/als/regularization", &[0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1]),
    count("/als/n_factors", 2.5, &[32.0, 64.0, 128.0, 256.0]),
    count("/als/n_iterations", 1.0, &[4.0, 8.0, 12.0, 16.0, 24.0]),
];
const SASREC: &[Knob] = &[
    count("/n_epochs", 1.0, &[10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0]),
    knob("/dropout", &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
    count("/n_blocks", 0.7, &[1.0, 2.0, 3.0]),
    count("/width", 1.0, &[32.0, 64.0, 128.0, 256.0]),
];
const EASE: &[Knob] = &[
    knob("/l2", L2),
    knob("/dropout", DROPOUTS),
    knob("/diagonal", &[0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
    knob("/history_exponent", EXPONENTS),
];
const SLIM: &[Knob] = &[
    knob("/l2", L2),
    knob("/dropout", DROPOUTS),
    knob("/history_exponent", EXPONENTS),
    knob("/candidate_exponent", EXPONENTS),
    count("/n_candidates", 1.8, &[25.0, 50.0, 100.0, 200.0, 400.0, 800.0]),
];
const SLIM_SEQUENCE: &[Knob] = &[
    knob("/sequence/share", &[0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    knob("/scoring/steps", STEPS),
    knob("/sequence/steps", STEPS),
    knob("/l2", L2),
    knob("/dropout", DROPOUTS),
    knob("/history_exponent", EXPONENTS),
    knob("/candidate_exponent", EXPONENTS),
    count("/n_candidates", 1.8, &[25.0, 50.0, 100.0, 200.0, 400.0, 800.0]),
];

impl SingleModel {
    /// Every model that a search may choose, and blend.
    const OF_SEQUENCES: &[Self] = &[
        Self::Popularity,
        Self::ItemKnn,
        Self::VmisKnn,
        Self::TurboCf,
        Self::Ials,
        Self::Ease,
        Self::Slim,
        Self::SasRec,
    ];
    /// The same where a list is in no order.
    const OF_HISTORIES: &[Self] =
        &[Self::Popularity, Self::ItemKnn, Self::VmisKnn, Self::TurboCf, Self::Ials, Self::Ease, Self::Slim];
    /// The same for items that nobody touched: models of histories know nothing of them.
    const OF_CONTENT: &[Self] = &[Self::Newest, Self::ContentKnn, Self::Content];

    /// Every model that a search may choose; `is_ordered`: whether lists are sequences, `is_cold`: whether only items may be
    /// recommended that nobody touched.
    pub fn choices(is_ordered: bool, is_cold: bool) -> &'static [Self] {
        match (is_ordered, is_cold) {
            (_, true) => Self::OF_CONTENT,
            (true, false) => Self::OF_SEQUENCES,
            (false, false) => Self::OF_HISTORIES,
        }
    }

    /// What a search begins with, in place of the model's own settings.
    pub fn start(self, train: &Interactions, is_ordered: bool) -> Value {
        match self {
            // As for what is served: see there.
            Self::Ials => json!({
                "unobserved_weight": ModelParams::default().als_for(train).unobserved_weight
            }),
            Self::Content => json!({ "als": Self::Ials.start(train, is_ordered) }),
            Self::Slim if is_ordered => json!({
                "l2": 20.0,
                "dropout": 0.3,
                "sequence": { "share": 0.5, "steps": 3.0 },
                "scoring": { "steps": 3.0 }
            }),
            _ => json!({}),
        }
    }

    /// Whether it has a vector for every item. Models of one form are right and wrong about the same; a blend gains by
    /// models of another.
    pub fn has_factors(self) -> bool {
        matches!(self, Self::Ials | Self::SasRec | Self::Content)
    }

    /// What a search turns, what matters most first. `is_ordered`: whether lists are sequences.
    pub fn knobs(self, is_ordered: bool) -> &'static [Knob] {
        match self {
            Self::Popularity | Self::ContentKnn | Self::Newest | Self::Blend => &[],
            Self::Content => CONTENT,
            Self::ItemKnn | Self::TurboCf => ITEM_ITEM,
            Self::Ials => IALS,
            Self::Ease => EASE,
            Self::VmisKnn => VMIS_KNN,
            Self::SasRec => SASREC,
            Self::Slim if is_ordered => SLIM_SEQUENCE,
            Self::Slim => SLIM,
        }
    }
}

impl Knob {
    /// The settings with the next greater value (`up`) or the next smaller; `None` at the end.
    pub fn turned(&self, settings: &Value, up: bool) -> Option<Value> {
        let now = settings.pointer(self.pointer)?.as_f64()?;
        // Settings are single precision: 0.3 comes back as something else.
        let is_same = |value: f64| (value - now).abs() <= 1e-6 * value.abs().max(1e-3);
        let value = if up {
            self.values.iter().copied().find(|&value| value > now && !is_same(value))
        } else {
            self.values.iter().rev().copied().find(|&value| value < now && !is_same(value))
        }?;
        let mut turned = settings.clone();
        *turned.pointer_mut(self.pointer)? = if self.is_count { json!(value as u64) } else { json!(value) };
        Some(turned)
    }

    /// How many times as long a fit takes after the turn, about.
    pub fn cost(&self, settings: &Value, turned: &Value) -> f64 {
        let value = |settings: &Value| settings.pointer(self.pointer).and_then(Value::as_f64).unwrap_or(1.0);
        if self.is_count { (value(turned) / value(settings)).powf(self.cost_exponent) } else { 1.0 }
    }
}
