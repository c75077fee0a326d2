//! What is wanted: the request joined with its placement.

use std::{sync::Arc, time::Duration};

use waggle_contracts::{
    api::DEFAULT_K,
    policy::{MAX_ODDS_RULES, Policy, Rotation, SeenRule},
    ranking::{Rules, Turn},
};
use waggle_model::{CandidateSource, Item, ItemId, PersonKey, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Checked;
use crate::{
    app::GatewayConfig,
    placements::{Loaded, PlacementConfig},
};

/// Candidates beyond what is shown: rules may leave some out.
const SPARE: usize = 20;

/// One request as its placement completes it.
pub struct Wanted<'a> {
    pub request: &'a Checked,
    pub placement: Arc<PlacementConfig>,
    /// [`Loaded::fingerprint`].
    pub placements_fingerprint: u64,
    pub k: usize,
    pub n_candidates: usize,
    pub cache_ttl: Duration,
    /// Which sources may propose; empty means all.
    pub sources: Vec<CandidateSource>,
    /// Expressions that all have to let an item through.
    pub filters: Vec<String>,
    pub exclude: Vec<ItemId>,
    /// The request's own first; without those that are excluded.
    pub pin: Vec<ItemId>,
    pub seen: SeenRule,
    pub rules: Rules,
}

impl<'a> Wanted<'a> {
    pub fn new(request: &'a Checked, placements: &Loaded, config: &GatewayConfig) -> Self {
        let placement = placements.of(&request.placement).clone();
        let Policy {
            filter,
            exclude,
            pin,
            seen,
            boost,
            fatigue,
            rotation,
            max_per,
            new_share,
            diversity,
            exploration,
        } = &placement.policy;
        let mut exclude: Vec<ItemId> = joined(&request.exclude, exclude);
        exclude.extend(request.shown_before.iter().cloned());
        let mut pin = joined(&request.pin, pin);
        pin.retain(|id| !exclude.contains(id));
        let mut caps = max_per.clone();
        caps.extend(request.max_per.iter().map(|(attribute, most)| (attribute.clone(), *most)));
        // A request with too many is refused before it comes here.
        let boosts = boost.iter().chain(&request.boost).take(MAX_ODDS_RULES);
        let sources = if request.sources.is_empty() { &placement.sources } else { &request.sources };
        Self {
            k: request.k.or(placement.k).unwrap_or(DEFAULT_K),
            n_candidates: placement.n_candidates.unwrap_or(config.n_candidates),
            cache_ttl: placement.cache_ttl_s.map_or(config.cache_ttl(), Duration::from_secs),
            sources: sources.clone(),
            filters: filter.iter().chain(&request.filter).cloned().collect(),
            seen: if request.exclude_known { SeenRule::ExcludeBought.max(*seen) } else { *seen },
            rules: Rules {
                pin: pin.iter().map(ItemId::key).collect(),
                boost: boosts.cloned().collect(),
                fatigue: *fatigue,
                rotation: rotation.map(|rotation| turn(rotation, request)),
                max_per: caps.into_iter().collect(),
                new_share: request.new_share.unwrap_or(*new_share),
                diversity: request.diversity.unwrap_or(*diversity),
                exploration: *exploration,
            },
            exclude,
            pin,
            request,
            placements_fingerprint: placements.fingerprint,
            placement,
        }
    }

    /// The same question about what these expressions let through, whatever else the placement says.
    pub fn narrowed_to(&self, filters: Vec<String>) -> Wanted<'a> {
        Wanted {
            request: self.request,
            placement: self.placement.clone(),
            placements_fingerprint: self.placements_fingerprint,
            k: 1,
            n_candidates: self.n_candidates,
            cache_ttl: Duration::ZERO,
            sources: Vec::new(),
            filters,
            exclude: Vec::new(),
            pin: Vec::new(),
            seen: SeenRule::Keep,
            rules: Rules::default(),
        }
    }

    /// Whether an expression asks about the user's properties.
    pub fn uses_user(&self) -> bool {
        let conditions = self.rules.boost.iter().map(|rule| &rule.when);
        self.filters.iter().chain(conditions).any(|text| text.contains("user"))
    }

    /// Whether the item may be shown as far as ids, category and the page say.
    pub fn allows(&self, item: &Item) -> bool {
        let Checked { category, items, .. } = self.request;
        category.as_ref().is_none_or(|c| item.category.as_ref() == Some(c))
            && !self.exclude.contains(&item.item_id)
            && !items.contains(&item.item_id)
    }

    /// Candidates to be proposed, whatever the sources find: where something narrows the choice, they may find too few.
    pub fn at_least(&self) -> usize {
        let is_narrow = !self.filters.is_empty() || self.request.category.is_some();
        if is_narrow && self.request.sources.is_empty() { self.k + SPARE } else { 0 }
    }

    /// A list of new items holds new items only, and whether others meet filter and caps the last rung cannot tell; every
    /// other list may be filled with popular ones.
    pub fn may_be_filled(&self) -> bool {
        let is_of_all =
            self.request.sources.is_empty() || self.request.sources.contains(&CandidateSource::Trending);
        is_of_all && self.filters.is_empty() && self.rules.max_per.is_empty()
    }
}

/// Whose turn it is now; the same for everybody in a list that is the same for everybody.
fn turn(rotation: Rotation, request: &Checked) -> Turn {
    let person = request.person.key().filter(|_| !request.is_impersonal);
    let window = rotation.window(Timestamp::now());
    let seed = xxh3_64_with_seed(&window.to_le_bytes(), person.map_or(0, |PersonKey(key)| key));
    Turn { log_by: rotation.by.ln(), seed }
}

/// Both, each once, the first ones first.
fn joined(first: &[ItemId], second: &[ItemId]) -> Vec<ItemId> {
    let mut all = first.to_vec();
    all.extend(second.iter().filter(|id| !first.contains(id)).cloned());
    all
}
