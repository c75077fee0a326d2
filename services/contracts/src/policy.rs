//! How a placement's slate is made: `[placements.NAME]` of the configuration, and what a request adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waggle_model::ItemId;
pub use waggle_model::{AppliedRule, SeenRule};

/// Most rules that boost or bury, of placement and request together: each has a bit in [`Matches`].
pub const MAX_ODDS_RULES: usize = 32;
/// Most attributes with a cap.
pub const MAX_CAPS: usize = 8;
/// Odds may be multiplied by this or its inverse at most.
pub const MAX_ODDS: f32 = 1_000.0;
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddsRule {
    /// The condition, an expression as in a filter.
    pub when: String,
    /// Above 1 boosts, below 1 buries; 2 doubles the odds that the ranker sees in the item.
    pub by: f32,
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
        let many = vec![OddsRule { when: "hidden".to_owned(), by: 2.0 }; MAX_ODDS_RULES + 1];
        let error = Policy { boost: many, ..Policy::default() }.check().unwrap_err();
        assert!(error.contains("33 rules"), "{error}");
    }
}
