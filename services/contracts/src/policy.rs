//! How a placement's slate is made: `[placements.NAME]` of the configuration, and what a request adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
pub use waggle_model::{AppliedRule, SeenRule};
use waggle_model::{ItemId, Timestamp};

/// Most rules that boost or bury, of placement and request together: each has a bit in [`Matches`].
pub const MAX_ODDS_RULES: usize = 32;
/// Most attributes with a cap.
pub const MAX_CAPS: usize = 8;
/// Odds may be multiplied by this or its inverse at most.
pub const MAX_ODDS: f32 = 1_000.0;
/// Most impressions that cost nothing.
pub const MAX_FATIGUE_AFTER: f32 = 100.0;
/// Most that rotation multiplies odds by.
pub const MAX_ROTATION: f32 = 10.0;
/// Longest window of a rotation, in hours.
pub const MAX_ROTATION_H: u32 = 720;
/// Which of the rules that boost or bury an item meets, by their places.
pub type Matches = u32;

/// Rules beyond the score. Every rule that moved an item names itself in the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Only items that this expression lets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Never shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<ItemId>,
    /// Shown first, in this order, whatever the other rules say; what cannot be bought is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pin: Vec<ItemId>,
    /// What becomes of items that the person knows.
    pub seen: SeenRule,
    /// Items that are more, or less, likely to be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boost: Vec<OddsRule>,
    /// Items that were shown to the person again and again without an act on them are less likely to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fatigue: Option<Fatigue>,
    /// Items of nearly equal value take turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// At most so many items with the same value of an attribute (`category`, `brand` or a property of the shop).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub max_per: BTreeMap<String, usize>,
    /// Share of the places that go to items of the last 30 days, as far as there are any; 0 to 1.
    pub new_share: f32,
    /// 0 keeps the order of the scores, 1 looks at variety alone (`1 − λ` of maximal marginal relevance).
    pub diversity: f32,
    /// Share of the places that are drawn by chance, better items more often, so that what is never shown can be learned
    /// of; 0 to 1. The propensity of every place is recorded.
    pub exploration: f32,
}

/// Multiplies the odds of the items that a condition lets through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OddsRule {
    /// The condition, an expression as in a filter.
    #[schema(max_length = 4096)]
    pub when: String,
    /// Above 1 boosts, below 1 buries; 2 doubles the odds that the ranker sees in the item.
    #[schema(minimum = 0.001, maximum = 1000)]
    pub by: f32,
}

/// Each impression beyond the first few multiplies the odds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fatigue {
    /// So many impressions since the last act on the item cost nothing; 0 to 100.
    pub after: f32,
    /// What each further one multiplies the odds by; [`MAX_ODDS`]⁻¹ to 1. Together they take that least at most.
    pub by: f32,
}

impl Fatigue {
    /// What the odds are multiplied by after so many impressions.
    pub fn factor(&self, shown: f32) -> f32 {
        self.by.powf((shown - self.after).max(0.0)).max(1.0 / MAX_ODDS)
    }
}

/// The odds are multiplied by a number between `1/by` and `by` that depends on person, item and window of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// 1 to 10; items whose odds differ by more than `by²` never change places.
    pub by: f32,
    /// How long a person sees the same order, in hours; 1 to 720.
    #[serde(default = "a_day")]
    pub every_h: u32,
}

fn a_day() -> u32 {
    24
}

impl Rotation {
    /// Hours since 1970 in windows of `every_h`.
    pub fn window(&self, now: Timestamp) -> i64 {
        const HOUR_MS: i64 = 3_600_000;
        now.as_millis().div_euclid(HOUR_MS * i64::from(self.every_h.max(1)))
    }
}

impl Policy {
    /// # Errors
    /// One sentence that names the setting and its range. Expressions are not looked at.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in
            [("new_share", self.new_share), ("diversity", self.diversity), ("exploration", self.exploration)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name} is {value}, it must be between 0 and 1"));
            }
        }
        if self.boost.len() > MAX_ODDS_RULES {
            let n = self.boost.len();
            return Err(format!("boost has {n} rules, at most {MAX_ODDS_RULES} are allowed"));
        }
        for OddsRule { when, by } in &self.boost {
            if !(1.0 / MAX_ODDS..=MAX_ODDS).contains(by) {
                return Err(format!(
                    "boost of \"{when}\" is by {by}, it must be between {} and {MAX_ODDS}",
                    1.0 / MAX_ODDS
                ));
            }
        }
        if let Some(Fatigue { after, by }) = self.fatigue {
            if !(0.0..=MAX_FATIGUE_AFTER).contains(&after) {
                return Err(format!(
                    "fatigue.after is {after}, it must be between 0 and {MAX_FATIGUE_AFTER}"
                ));
            }
            if !(1.0 / MAX_ODDS..=1.0).contains(&by) {
                return Err(format!("fatigue.by is {by}, it must be between {} and 1", 1.0 / MAX_ODDS));
            }
        }
        if let Some(Rotation { by, every_h }) = self.rotation {
            if !(1.0..=MAX_ROTATION).contains(&by) {
                return Err(format!("rotation.by is {by}, it must be between 1 and {MAX_ROTATION}"));
            }
            if !(1..=MAX_ROTATION_H).contains(&every_h) {
                return Err(format!(
                    "rotation.every_h is {every_h}, it must be between 1 and {MAX_ROTATION_H}"
                ));
            }
        }
        if self.max_per.len() > MAX_CAPS {
            let n = self.max_per.len();
            return Err(format!("max_per names {n} attributes, at most {MAX_CAPS} are allowed"));
        }
        match self.max_per.iter().find(|(_, most)| **most == 0) {
            Some((attribute, _)) => Err(format!("max_per.{attribute} is 0: a filter leaves items out")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(policy: &str, says: &str) {
        let policy: Policy = serde_json::from_str(policy).unwrap();
        let error = policy.check().unwrap_err();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        assert_eq!(Policy::default().check(), Ok(()));
        check_refused(r#"{"diversity": 1.5}"#, "diversity is 1.5");
        check_refused(r#"{"new_share": -0.1}"#, "new_share is -0.1");
        check_refused(r#"{"exploration": 2}"#, "exploration is 2");
        check_refused(r#"{"boost": [{"when": "price < 3", "by": 0}]}"#, "boost of \"price < 3\" is by 0");
        check_refused(r#"{"max_per": {"brand": 0}}"#, "max_per.brand is 0");
        check_refused(r#"{"fatigue": {"after": -1, "by": 0.5}}"#, "fatigue.after is -1");
        check_refused(r#"{"fatigue": {"after": 3, "by": 1.5}}"#, "fatigue.by is 1.5");
        check_refused(r#"{"fatigue": {"after": 3, "by": 0}}"#, "fatigue.by is 0");
        check_refused(r#"{"rotation": {"by": 0.5}}"#, "rotation.by is 0.5");
        check_refused(r#"{"rotation": {"by": 1.5, "every_h": 0}}"#, "rotation.every_h is 0");
        check_refused(r#"{"rotation": {"by": 1.5, "every_h": 721}}"#, "rotation.every_h is 721");
        let many = vec![OddsRule { when: "hidden".to_owned(), by: 2.0 }; MAX_ODDS_RULES + 1];
        let error = Policy { boost: many, ..Policy::default() }.check().unwrap_err();
        assert!(error.contains("33 rules"), "{error}");
    }

    #[test]
    fn each_impression_too_many_multiplies_the_odds() {
        let fatigue = Fatigue { after: 3.0, by: 0.5 };
        for (shown, by) in
            [(0.0, 1.0), (3.0, 1.0), (3.5, 0.5_f32.sqrt()), (4.0, 0.5), (6.0, 0.125), (90.0, 0.001)]
        {
            assert!((fatigue.factor(shown) - by).abs() < 1e-6, "{shown}: {}", fatigue.factor(shown));
        }
    }

    #[test]
    fn a_window_lasts_as_long_as_it_says() {
        let rotation = Rotation { by: 1.5, every_h: 6 };
        let at = |hours: i64| rotation.window(Timestamp::from_millis(hours * 3_600_000));
        assert_eq!([0, 5, 6, 11, 12, -1].map(at), [0, 0, 1, 1, 2, -1]);
    }
}
