//! What a shopper does with a slate: the position-based click model, then cart and purchase.

use rand::Rng;
use waggle_model::{ItemId, UserId};

use crate::{
    Market, SimulatorError,
    market::{Shopper, Vector},
};

/// Utility at which a place that is looked at is clicked every other time.
const CLICK_THRESHOLD: f64 = 4.0;
/// Utility at which the shares of carts and purchases are half-way between their least and most.
const ENGAGEMENT_THRESHOLD: f64 = 3.0;

/// One thing done with a slate.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub item_id: ItemId,
    /// 1-based place in the slate.
    pub position: u32,
    pub kind: ActionKind,
}

/// A purchase implies a cart, a cart a click; each is an action of its own, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    Click,
    Cart,
    Purchase { quantity: u32 },
}

/// `1 / log2(1 + p)`: the probability of looking at the 1-based place `p`; 0 for place 0, which does not exist.
///
/// The discount that ndcg takes for granted, so a slate sorted by true attraction has the most clicks in expectation.
pub fn examination(position: u32) -> f64 {
    if position == 0 { 0.0 } else { 1.0 / (1.0 + f64::from(position)).log2() }
}

impl Market {
    /// `P(click) = examination(position) · σ(U(user, item, day) − 4)`; 0 for an item that has not appeared yet.
    ///
    /// # Errors
    /// [`SimulatorError`] if the market has no such user or item.
    pub fn click_probability(
        &self,
        user: &UserId,
        item: &ItemId,
        position: u32,
        day: f64,
    ) -> Result<f64, SimulatorError> {
        if !self.has_appeared(self.item(item)?, day) {
            self.shopper(user)?;
            return Ok(0.0);
        }
        Ok(examination(position) * sigmoid(self.true_utility(user, item, day)? - CLICK_THRESHOLD))
    }

    /// `P(cart | click) = 0.1 + 0.4·σ(U − 3)`.
    ///
    /// # Errors
    /// As [`click_probability`](Self::click_probability).
    pub fn cart_probability(&self, user: &UserId, item: &ItemId, day: f64) -> Result<f64, SimulatorError> {
        Ok(cart_share(self.true_utility(user, item, day)?))
    }

    /// `P(purchase | cart) = 0.3 + 0.4·σ(U − 3)`.
    ///
    /// # Errors
    /// As [`click_probability`](Self::click_probability).
    pub fn purchase_probability(
        &self,
        user: &UserId,
        item: &ItemId,
        day: f64,
    ) -> Result<f64, SimulatorError> {
        Ok(purchase_share(self.true_utility(user, item, day)?))
    }

    /// What the shopper does with a slate, in order of places; each place independently, by the probabilities above.
    ///
    /// # Errors
    /// As [`click_probability`](Self::click_probability).
    pub fn choose(
        &self,
        user: &UserId,
        slate: &[ItemId],
        day: f64,
        rng: &mut impl Rng,
    ) -> Result<Vec<Action>, SimulatorError> {
        let shopper = self.shopper(user)?;
        let taste = self.taste(shopper, day);
        let mut actions = Vec::new();
        for (item_id, position) in slate.iter().zip(1u32..) {
            let item = self.item(item_id)?;
            if !self.has_appeared(item, day) {
                continue;
            }
            let utility = self.utility(&self.shoppers[shopper as usize], &taste, item);
            if !rng.gen_bool(examination(position) * sigmoid(utility - CLICK_THRESHOLD)) {
                continue;
            }
            let mut act = |kind| actions.push(Action { item_id: item_id.clone(), position, kind });
            act(ActionKind::Click);
            if rng.gen_bool(cart_share(utility)) {
                act(ActionKind::Cart);
                if rng.gen_bool(purchase_share(utility)) {
                    act(ActionKind::Purchase { quantity: quantity(rng) });
                }
            }
        }
        Ok(actions)
    }

    fn has_appeared(&self, item: u32, day: f64) -> bool {
        f64::from(self.items[item as usize].from_day) <= day
    }

    /// One of `seen` (item, place, bonus) by multinomial logit with an outside option, or `None` for the latter. `bonus` is added to the
    /// utility of single items.
    pub(crate) fn pick(
        &self,
        shopper: &Shopper,
        taste: &Vector,
        seen: &[(u32, u32, f64)],
        outside: f64,
        rng: &mut impl Rng,
    ) -> Option<(u32, u32, f64)> {
        let mut best = (outside + gumbel(rng), None);
        for &(item, position, bonus) in seen {
            let utility = self.utility(shopper, taste, item) + bonus + gumbel(rng);
            if utility > best.0 {
                best = (utility, Some((item, position, bonus)));
            }
        }
        best.1
    }
}

pub(crate) fn cart_share(utility: f64) -> f64 {
    0.1 + 0.4 * sigmoid(utility - ENGAGEMENT_THRESHOLD)
}

pub(crate) fn purchase_share(utility: f64) -> f64 {
    0.3 + 0.4 * sigmoid(utility - ENGAGEMENT_THRESHOLD)
}

/// One piece mostly, sometimes a few.
pub(crate) fn quantity(rng: &mut impl Rng) -> u32 {
    if rng.gen_bool(0.8) { 1 } else { rng.gen_range(2..=4) }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Standard Gumbel noise by inversion; the differences of two are logistic, hence the logit.
fn gumbel(rng: &mut impl Rng) -> f64 {
    let uniform: f64 = rng.sample(rand::distributions::Open01);
    -(-uniform.ln()).ln()
}
