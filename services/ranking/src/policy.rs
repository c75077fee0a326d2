//! What the score alone does not decide: pins, caps, places for new items, variety, and chance.

use rand::Rng;
use waggle_contracts::{
    policy::{AppliedRule, OddsRule},
    ranking::{RankRequest, Rules, Turn},
    retrieval::ProposedItem,
};
use waggle_features::{ItemFacts, live::NEW_DAYS};
use waggle_model::{ItemKey, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::likeness::Likeness;

/// Places are drawn by chance from so many of the best that may stand there.
const MAX_EXPLORED: usize = 100;

/// One place of a slate.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Place among the candidates.
    pub candidate: usize,
    /// Probability of this item here, given what stands above it.
    pub propensity: f32,
    /// What led here beyond the score.
    pub rules: Vec<AppliedRule>,
}

/// Scores after the rules that multiply the odds of a candidate: boosts, fatigue and rotation. Scores of a ranker are
/// log-odds; sums of reciprocal ranks, the scores without one, are multiplied themselves.
pub fn apply_odds(request: &RankRequest, is_log_odds: bool, scores: &mut [f32]) {
    let Rules { boost, fatigue, rotation, .. } = &request.rules;
    if boost.is_empty() && fatigue.is_none() && rotation.is_none() {
        return;
    }
    let tired = Tired::of(request);
    for (candidate, score) in request.candidates.iter().zip(scores) {
        let boosts: f32 = met(boost, candidate.matches).map(|rule| rule.by).product();
        let factor = boosts * tired.of_item(candidate.item).map_or(1.0, |(_, by)| by);
        let turn = rotation.map_or(0.0, |turn| log_turn(turn, candidate.item));
        if is_log_odds {
            *score += factor.ln() + turn;
        } else {
            *score *= factor * turn.exp();
        }
    }
}

/// The items that the person was shown too often: how often, and what that multiplies the odds by. Ascending by key.
struct Tired(Vec<(ItemKey, f32, f32)>);

impl Tired {
    fn of(request: &RankRequest) -> Self {
        let Some(fatigue) = request.rules.fatigue else { return Self(Vec::new()) };
        let often = request.person.shown.more_often_than(fatigue.after, request.now);
        let mut tired: Vec<_> = often.map(|(item, shown)| (item, shown, fatigue.factor(shown))).collect();
        tired.sort_unstable_by_key(|(item, ..)| *item);
        Self(tired)
    }

    fn of_item(&self, item: ItemKey) -> Option<(f32, f32)> {
        let place = self.0.binary_search_by_key(&item, |(item, ..)| *item).ok()?;
        let (_, shown, by) = self.0[place];
        Some((shown, by))
    }
}

/// What a turn adds to the log-odds of an item: between `−log_by` and `log_by`, each value as likely as any other over
/// items, people and windows.
fn log_turn(turn: Turn, item: ItemKey) -> f32 {
    let hash = xxh3_64_with_seed(&item.0.to_le_bytes(), turn.seed);
    // The upper 24 bits, which a float holds exactly, as a number from −1 to 1.
    let share = (hash >> 40) as f32 / (1 << 23) as f32 - 1.0;
    share * turn.log_by
}

fn met(rules: &[OddsRule], matches: u32) -> impl Iterator<Item = &OddsRule> {
    rules.iter().enumerate().filter(move |(place, _)| matches >> place & 1 == 1).map(|(_, rule)| rule)
}

/// At most `request.k` places: pinned items first, then one place after the other the best candidate that may stand
/// there. Ties go to the earlier candidate.
///
/// - `scores`: of all candidates, higher is better
/// - With variety δ a candidate's value is `(1 − δ)·r − δ·max_{j shown} sim(i, j)`, with `r` its score's place in the range
///   of all scores (0 to 1): maximal marginal relevance (Carbonell and Goldstein 1998).
/// - With exploration ε each place is drawn with probability ε from the [`MAX_EXPLORED`] best candidates that may stand
///   there, in proportion to `exp(value)`, else it goes to the best. The propensity of candidate `i` is then
///   `(1 − ε)·[i is the best] + ε·exp(v_i)/Σ_j exp(v_j)`.
pub fn arrange<'a>(
    request: &'a RankRequest,
    scores: &'a [f32],
    likeness: &'a Likeness<'a>,
    rng: &mut impl Rng,
) -> Vec<Place> {
    let mut slate = Slate::new(request, scores, likeness);
    slate.put_pins();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    if request.rules.is_plain() {
        slate.put_in_order(&order);
    } else {
        while slate.places.len() < request.k {
            if !slate.put_next(&order, rng) {
                break;
            }
        }
    }
    slate.places
}

/// A slate in the making.
struct Slate<'a> {
    request: &'a RankRequest,
    rules: &'a Rules,
    scores: &'a [f32],
    likeness: &'a Likeness<'a>,
    tired: Tired,
    places: Vec<Place>,
    is_placed: Vec<bool>,
    /// For variety: the greatest likeness to what stands in the slate, by candidate.
    alike: Vec<f32>,
    worst: f32,
    range: f32,
    n_new: usize,
}

/// What the next place goes to.
struct Choice {
    candidate: usize,
    /// Better candidates that stand back, and why.
    n_capped: usize,
    n_varied: usize,
    capped_by: Option<usize>,
}

impl<'a> Slate<'a> {
    fn new(request: &'a RankRequest, scores: &'a [f32], likeness: &'a Likeness<'a>) -> Self {
        let fold = |start: f32, pick: fn(f32, f32) -> f32| scores.iter().copied().fold(start, pick);
        let (worst, best) = (fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max));
        Self {
            request,
            rules: &request.rules,
            scores,
            likeness,
            tired: Tired::of(request),
            places: Vec::with_capacity(request.k),
            is_placed: vec![false; scores.len()],
            alike: vec![0.0; if request.rules.diversity > 0.0 { scores.len() } else { 0 }],
            worst,
            range: (best - worst).max(f32::EPSILON),
            n_new: 0,
        }
    }

    fn put(&mut self, candidate: usize, propensity: f32, mut rules: Vec<AppliedRule>) {
        let ProposedItem { item, matches, .. } = self.request.candidates[candidate];
        let boosts = met(&self.rules.boost, matches);
        rules.extend(boosts.map(|OddsRule { when, by }| AppliedRule::Boost { when: when.clone(), by: *by }));
        rules.extend(self.tired.of_item(item).map(|(shown, by)| AppliedRule::Fatigue { shown, by }));
        rules
            .extend(self.rules.rotation.map(|turn| AppliedRule::Rotation { by: log_turn(turn, item).exp() }));
        self.is_placed[candidate] = true;
        self.n_new += usize::from(self.is_new(candidate));
        self.places.push(Place { candidate, propensity, rules });
        for other in 0..self.alike.len() {
            if !self.is_placed[other] {
                self.alike[other] = self.alike[other].max(self.likeness.of(candidate, other));
            }
        }
    }

    fn put_pins(&mut self) {
        for pin in &self.rules.pin {
            let place = self.request.candidates.iter().position(|c| c.item == *pin);
            if let Some(place) = place.filter(|place| !self.is_placed[*place])
                && self.places.len() < self.request.k
            {
                self.put(place, 1.0, vec![AppliedRule::Pin]);
            }
        }
    }

    fn put_in_order(&mut self, order: &[usize]) {
        for &candidate in order {
            if self.places.len() >= self.request.k {
                return;
            }
            if !self.is_placed[candidate] {
                self.put(candidate, 1.0, Vec::new());
            }
        }
    }

    /// Fills the next place; false if nobody may stand there.
    fn put_next(&mut self, order: &[usize], rng: &mut impl Rng) -> bool {
        let wants_new = self.wants_new();
        let mut open: Vec<usize> = order.iter().copied().filter(|c| self.may_stand(*c)).collect();
        let has_new = open.iter().any(|candidate| self.is_new(*candidate));
        let is_reserved = wants_new && has_new;
        if is_reserved {
            open.retain(|candidate| self.is_new(*candidate));
        }
        let Some(choice) = self.best(order, &open) else { return false };
        let (candidate, propensity) = self.explored(&choice, &open, rng);
        let mut rules = Vec::new();
        if candidate == choice.candidate {
            if let Some(cap) = choice.capped_by {
                let attribute = self.rules.max_per[cap].0.clone();
                rules.push(AppliedRule::MaxPer { attribute, n_passed: choice.n_capped });
            }
            if choice.n_varied > 0 {
                rules.push(AppliedRule::Diversity { n_passed: choice.n_varied });
            }
        } else {
            rules.push(AppliedRule::Exploration);
        }
        if is_reserved && order.iter().any(|other| self.is_better_and_old(*other, candidate)) {
            rules.push(AppliedRule::NewShare);
        }
        self.put(candidate, propensity, rules);
        true
    }

    /// Whether the next place belongs to a new item: the share of new places must not fall behind.
    fn wants_new(&self) -> bool {
        let due = self.rules.new_share * (self.places.len() + 1) as f32;
        (self.n_new as f32) < due.floor()
    }

    fn is_new(&self, candidate: usize) -> bool {
        let attributes = &self.request.candidates[candidate].attributes;
        let ItemFacts { first_seen, .. } = self.request.item_facts[candidate];
        let since = attributes.available_from.unwrap_or(first_seen);
        since > Timestamp::default() && self.request.now.days_since(since) <= NEW_DAYS
    }

    fn is_better_and_old(&self, other: usize, than: usize) -> bool {
        !self.is_placed[other] && self.scores[other] > self.scores[than] && !self.is_new(other)
    }

    fn may_stand(&self, candidate: usize) -> bool {
        !self.is_placed[candidate] && self.full_cap(candidate).is_none()
    }

    /// The first cap that has no room for the candidate. What lacks the attribute is never capped.
    fn full_cap(&self, candidate: usize) -> Option<usize> {
        let groups = self.request.groups_of(candidate);
        (0..self.rules.max_per.len()).find(|&cap| {
            let group = groups.get(cap).copied().unwrap_or(0);
            let same = |place: &&Place| self.request.groups_of(place.candidate).get(cap) == Some(&group);
            group != 0 && self.places.iter().filter(same).count() >= self.rules.max_per[cap].1
        })
    }

    fn value(&self, candidate: usize) -> f32 {
        let diversity = self.rules.diversity;
        if diversity > 0.0 {
            let relevance = (self.scores[candidate] - self.worst) / self.range;
            (1.0 - diversity) * relevance - diversity * self.alike[candidate]
        } else {
            self.scores[candidate]
        }
    }

    /// Of equals the first wins.
    fn best(&self, order: &[usize], open: &[usize]) -> Option<Choice> {
        let mut best = *open.first()?;
        if self.rules.diversity > 0.0 {
            for &candidate in &open[1..] {
                if self.value(candidate) > self.value(best) {
                    best = candidate;
                }
            }
        }
        let better = order.iter().take_while(|candidate| **candidate != best);
        let capped: Vec<usize> = better
            .filter(|candidate| !self.is_placed[**candidate])
            .filter_map(|candidate| self.full_cap(*candidate))
            .collect();
        let n_varied = open.iter().take_while(|candidate| **candidate != best).count();
        Some(Choice { candidate: best, n_capped: capped.len(), n_varied, capped_by: capped.first().copied() })
    }

    /// The best, or with some probability another one; and the probability of what it is.
    fn explored(&self, choice: &Choice, open: &[usize], rng: &mut impl Rng) -> (usize, f32) {
        let exploration = self.rules.exploration;
        if exploration <= 0.0 || open.len() < 2 {
            return (choice.candidate, 1.0);
        }
        let mut among: Vec<usize> = open.iter().copied().take(MAX_EXPLORED).collect();
        if !among.contains(&choice.candidate) {
            among.push(choice.candidate);
        }
        let greatest = among.iter().map(|c| self.value(*c)).fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = among.iter().map(|c| f64::from(self.value(*c) - greatest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut chosen = choice.candidate;
        if rng.r#gen::<f32>() < exploration {
            let mut left = rng.r#gen::<f64>() * total;
            for (candidate, weight) in among.iter().zip(&weights) {
                chosen = *candidate;
                left -= weight;
                if left <= 0.0 {
                    break;
                }
            }
        }
        let place = among.iter().position(|c| *c == chosen).unwrap_or(0);
        let by_chance = weights[place] / total * f64::from(exploration);
        let by_value = if chosen == choice.candidate { 1.0 - f64::from(exploration) } else { 0.0 };
        (chosen, (by_chance + by_value) as f32)
    }
}
