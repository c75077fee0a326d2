//! A market with known truth: items, shoppers with tastes, and what they do.
//!
//! A [`Market`] is a pure function of its [`SimulatorParams`]: every item, shopper and (shopper, day) has a random generator
//! of its own, seeded from the market's seed and its own number, so nothing depends on the order of asking or on threads.
//! What an evaluation can only estimate on real data can be looked up here: [`Market::true_utility`],
//! [`Market::true_preference`], [`Market::click_probability`].
//!
//! # The model
//! With `x_u(t)` a shopper's taste and `y_i` an item's place in a space of [`DIMENSIONS`] dimensions, both of unit length:
//!
//! `U(u, i, t) = 4·x_u(t)·y_i + 0.35·pop_i − 0.25·(price_i − budget_u)²`
//!
//! - `y_i` lies around the centre of its category, nearer to items of its noun and brand. `x_u(t)` mixes 1 to 3 category
//!   centres with weights that swing slowly with the day, plus something personal.
//! - `pop_i` is the standardised log of a Zipf weight; `price_i` and `budget_u` are in standard deviations of the log-normal
//!   prices of the item's category.
//! - **Browsing** ([`Market::events`]): a shopper meets lists drawn from popular items, their interests, new items and
//!   complements of what is in the cart, looks at place `p` with probability [`examination`], and picks among what was seen
//!   and an outside option by multinomial logit, that is the largest `U` plus independent Gumbel noise (`McFadden`,
//!   "Conditional logit analysis of qualitative choice behavior", 1974). Then cart, then purchase; purchases of consumables
//!   come again after the category's cycle.
//! - **Slates** ([`Market::choose`]): the position-based model (Craswell et al., "An experimental comparison of click
//!   position-bias models", WSDM 2008): `P(click at p) = examination(p) · σ(U − 4)`, independently for every place.
//!
//! Truth in this sense leaves two habits out, which depend on what went before and not on taste: repeats of consumables and
//! complements. Start reading at [`Market`].

mod browsing;
mod catalogue;
mod market;
mod params;
mod slate;
mod words;

pub use browsing::Events;
pub use market::{DIMENSIONS, Market};
pub use params::{SimulatorError, SimulatorParams};
pub use slate::{Action, ActionKind, examination};

#[cfg(test)]
mod tests;
