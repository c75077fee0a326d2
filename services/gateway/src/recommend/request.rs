//! What a client asks for, every field checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waggle_contracts::{
    api::{MAX_K, RecommendationRequest},
    policy::{OddsRule, Policy},
};
use waggle_model::{
    CandidateSource, IdError, ItemId, Person, Placement, SessionId, UserId, answer::MAX_PLACEMENT_BYTES,
    ids::MAX_ID_BYTES,
};

/// Most items in each list of a request.
pub const MAX_LISTED: usize = 200;

/// A request whose every field was checked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    pub person: Person,
    pub placement: Placement,
    /// `None`: as many as the placement has by default.
    pub k: Option<usize>,
    pub items: Vec<ItemId>,
    pub exclude: Vec<ItemId>,
    /// Without those that `exclude` names, too.
    pub pin: Vec<ItemId>,
    pub category: Option<String>,
    pub filter: Option<String>,
    pub boost: Vec<OddsRule>,
    pub max_per: BTreeMap<String, usize>,
    pub exclude_known: bool,
    pub diversity: Option<f32>,
    pub new_share: Option<f32>,
    pub include_items: bool,
    /// The item whose page the list stands on, for what is like it or goes with it.
    pub beside: Option<ItemId>,
    /// What stands on the pages before this one.
    pub shown_before: Vec<ItemId>,
    /// Which sources may propose; empty means all.
    pub sources: Vec<CandidateSource>,
    /// The same list for everybody: the person is only kept for the record.
    pub is_impersonal: bool,
    /// Computed anew and not kept, whatever the answer cache holds (`Cache-Control: no-store`).
    pub is_uncached: bool,
    /// Asked by the system itself to see how it does: neither recorded nor counted.
    pub is_probe: bool,
}

impl Checked {
    /// # Errors
    /// One sentence that names the field and its limit.
    pub fn try_new(request: RecommendationRequest) -> Result<Self, String> {
        // What a request adds to the placement's policy has the same limits.
        Policy {
            boost: request.boost.clone(),
            max_per: request.max_per.clone(),
            diversity: request.diversity.unwrap_or_default(),
            new_share: request.new_share.unwrap_or_default(),
            ..Policy::default()
        }
        .check()?;
        // The placement becomes part of the answer's id, so its name is shorter.
        for (name, value, max) in [
            ("placement", &request.placement, MAX_PLACEMENT_BYTES),
            ("category", &request.category, MAX_ID_BYTES),
        ] {
            let is_named = |v: &String| (1..=max).contains(&v.len()) && !v.chars().any(char::is_control);
            if !value.as_ref().is_none_or(is_named) {
                return Err(format!("{name} must have 1 to {max} bytes without control characters"));
            }
        }
        let exclude = checked_ids("exclude", &request.exclude)?;
        let mut pin = checked_ids("pin", &request.pin)?;
        pin.retain(|id| !exclude.contains(id));
        Ok(Self {
            person: checked_person(request.user_id, request.session_id).map_err(|e| e.to_string())?,
            placement: request.placement.map(Placement::from).unwrap_or_default(),
            k: checked_k(request.k)?,
            items: checked_ids("items", &request.items)?,
            exclude,
            pin,
            category: request.category,
            filter: request.filter,
            boost: request.boost,
            max_per: request.max_per,
            exclude_known: request.exclude_known,
            diversity: request.diversity,
            new_share: request.new_share,
            include_items: request.include_items,
            beside: None,
            shown_before: Vec::new(),
            sources: Vec::new(),
            is_impersonal: false,
            is_uncached: false,
            is_probe: false,
        })
    }
}

impl Checked {
    /// The expressions that the client wrote.
    pub fn expressions(&self) -> Vec<String> {
        self.filter.iter().cloned().chain(self.boost.iter().map(|rule| rule.when.clone())).collect()
    }
}

/// # Errors
/// Names the value and the range.
pub fn checked_k(k: Option<i64>) -> Result<Option<usize>, String> {
    let Some(k) = k else { return Ok(None) };
    usize::try_from(k)
        .ok()
        .filter(|k| (1..=MAX_K).contains(k))
        .map(Some)
        .ok_or_else(|| format!("k is {k}, it must be between 1 and {MAX_K}"))
}

/// # Errors
/// [`IdError`] names the id that breaks a rule.
pub fn checked_person(user_id: Option<String>, session_id: Option<String>) -> Result<Person, IdError> {
    Ok(Person {
        user_id: user_id.map(UserId::try_new).transpose()?,
        session_id: session_id.map(SessionId::try_new).transpose()?,
    })
}

fn checked_ids(name: &str, ids: &[String]) -> Result<Vec<ItemId>, String> {
    if ids.len() > MAX_LISTED {
        return Err(format!("{name} has {} entries, at most {MAX_LISTED} are allowed", ids.len()));
    }
    ids.iter().map(|id| ItemId::try_new(id).map_err(|e| format!("{name}: {e}"))).collect()
}

#[cfg(test)]
mod tests;
