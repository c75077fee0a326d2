//! The feature vector of one candidate for one person: every value defined once, run by serving and by training.
//!
//! A linear ranker reads these, so what acts non-linearly comes as several decays, as 0/1 buckets or as a product of two
//! facts. Everything is a pure function of states, attributes, the sources' opinions and the moment; every value is
//! finite and within ±[`MAX_ABS`].

use waggle_model::{CandidateSource, Item, ItemKey, Timestamp};

use crate::{ItemFacts, ItemHistory, Opinions, PersonState, SessionItem, session_items};

/// Bound of every value: whatever a hostile or broken input produces, the ranker meets a number it can live with.
pub const MAX_ABS: f32 = 50.0;
/// Assumed days between orders where a person has fewer than two.
const DEFAULT_GAP_DAYS: f64 = 60.0;
/// Offset of reciprocal ranks `1/(rank + c)`, scaled so that the first place gets 1.
const RANK_OFFSET: f32 = 10.0;
/// What it counts that an item reads like the person's items, beside being bought together with them. Set, not learned:
/// training does not know the texts.
const TEXT_WORTH: f32 = 0.25;

/// Name and meaning of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// What it is, with its unit.
    pub about: &'static str,
}

/// What the catalogue says of an item, as far as ranking cares.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ItemAttributes {
    /// Price of one piece; 0 where unknown.
    pub price: f32,
    /// XXH3 of the category's name; 0 where unknown.
    pub category: u64,
    pub available_from: Option<Timestamp>,
}

/// All that is known of one candidate.
#[derive(Debug, Clone, Copy)]
pub struct CandidateInput<'a> {
    pub item: ItemKey,
    /// What everybody does with it.
    pub facts: &'a ItemFacts,
    pub attributes: ItemAttributes,
    pub opinions: &'a Opinions,
}

/// What is computed once per request from the person.
#[derive(Debug, Clone)]
pub struct PersonContext<'a> {
    person: &'a PersonState,
    now: Timestamp,
    /// Places in `person.items`, ascending by key.
    by_key: Vec<(ItemKey, u32)>,
    /// Share of the person's bought items per category, ascending by category.
    category_shares: Vec<(u64, f32)>,
    /// Share of the session's weight per category, ascending by category.
    session_categories: Vec<(u64, f32)>,
    session: Vec<SessionItem>,
    /// Weight of the strongest act of the session; 0 without one.
    session_strength: f32,
    mean_log_price: Option<f32>,
    order_gap_days: f64,
    n_orders: f64,
    own: PersonValues,
}

/// Values that are the same for all candidates.
#[derive(Debug, Clone, Copy)]
struct PersonValues {
    /// 1 if the person never ordered.
    newcomer: f32,
    ln_orders: f32,
    ln_order_size: f32,
    ln_order_days: f32,
    ln_gap: f32,
}

impl<'a> PersonContext<'a> {
    /// - `context`: the items of the page, as for [`session_items`]
    /// - `attributes`: what the catalogue says of an item of the history or the page; `None` where it is gone. Training
    ///   and serving must both look items up, or the category features differ between them.
    pub fn new(
        person: &'a PersonState,
        context: &[ItemKey],
        now: Timestamp,
        attributes: impl Fn(ItemKey) -> Option<ItemAttributes>,
    ) -> Self {
        let mut by_key: Vec<(ItemKey, u32)> =
            person.items.iter().zip(0..).map(|(entry, place)| (entry.item, place)).collect();
        by_key.sort_unstable();
        let session = session_items(person, context, now);
        let bought = person.items.iter().filter(|entry| entry.n_purchases > 0).map(|entry| (entry.item, 1.0));
        let category_shares = shares(bought, &attributes);
        let session_categories = shares(session.iter().map(|s| (s.item, s.weight)), &attributes);
        let span_days = person.last_order_at.days_since(person.first_seen);
        let n_gaps = f64::from(person.n_orders.saturating_sub(1));
        // One default gap as prior keeps two orders on one day from looking like a daily customer.
        let order_gap_days = (span_days.max(0.0) + DEFAULT_GAP_DAYS) / (n_gaps + 1.0);
        let n_orders = f64::from(person.n_orders);
        let has_ordered = person.n_orders > 0;
        let order_days = if has_ordered { now.days_since(person.last_order_at).max(0.0) as f32 } else { 0.0 };
        let own = PersonValues {
            newcomer: flag(!has_ordered),
            ln_orders: (n_orders as f32).ln_1p(),
            ln_order_size: ((person.n_purchases as f64 / n_orders.max(1.0)) as f32).ln_1p(),
            ln_order_days: order_days.ln_1p(),
            ln_gap: (order_gap_days as f32).max(0.1).ln(),
        };
        Self {
            person,
            now,
            by_key,
            category_shares,
            session_categories,
            session_strength: session.first().map_or(0.0, |strongest| strongest.weight),
            session,
            mean_log_price: (person.n_priced > 0)
                .then(|| (person.log_price_sum / person.n_priced as f64) as f32),
            order_gap_days,
            n_orders,
            own,
        }
    }

    /// The moment that all values are as of.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The session that the values are computed with.
    pub fn session(&self) -> &[SessionItem] {
        &self.session
    }

    fn history_of(&self, item: ItemKey) -> Option<&ItemHistory> {
        let place = self.by_key.binary_search_by_key(&item, |(key, _)| *key).ok()?;
        Some(&self.person.items[self.by_key[place].1 as usize])
    }
}

impl ItemAttributes {
    pub fn of(item: &Item) -> Self {
        Self {
            price: item
                .price
                .filter(|price| price.is_finite() && *price > 0.0)
                .map_or(0.0, |price| price as f32),
            category: item.category.as_deref().map_or(0, Self::category_key),
            available_from: item.available_from,
        }
    }

    /// [`category`](Self::category) of an item of that category.
    pub fn category_key(name: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64(name.as_bytes())
    }
}

/// Declares [`FEATURES`] and [`values`] from one table, so that a name, its meaning and its formula cannot drift apart.
macro_rules! features {
    ($facts:ident, $($name:literal, $about:literal => $value:expr;)*) => {
        /// Every feature, in the order of [`values`].
        pub const FEATURES: &[Feature] = &[$(Feature { name: $name, about: $about },)*];

        /// The candidate's values as of the context's moment, in the order of [`FEATURES`].
        ///
        /// # Panics
        /// If `out` is not as long as [`FEATURES`].
        pub fn values(person: &PersonContext<'_>, candidate: &CandidateInput<'_>, out: &mut [f32]) {
            assert_eq!(out.len(), FEATURES.len(), "one place per feature");
            let $facts = &Facts::of(person, candidate);
            let mut places = out.iter_mut();
            $(
                if let Some(place) = places.next() {
                    *place = bounded($value);
                }
            )*
        }
    };
}

features! { f,
    // What the person did with the item.
    "bought", "1 if the person bought the item before" => f.bought;
    "bought_ln_orders", "ln(1 + the person's orders that held the item)" => f.ln_bought;
    "bought_share", "share of the person's orders that held the item, two orders added as prior" => f.bought_share;
    "bought_recency_7d", "2^(−days since the person's last purchase of it / 7)" => f.recency(7.0);
    "bought_recency_30d", "2^(−days since the person's last purchase of it / 30)" => f.recency(30.0);
    "bought_recency_120d", "2^(−days since the person's last purchase of it / 120)" =>
        f.recency(120.0);
    "bought_recency_gap", "2^(−days since the person's last purchase of it / the person's mean days between orders)" =>
        f.recency(f.order_gap);
    "bought_in_last_order", "1 if the person's newest order held it" => f.in_last_order;
    "bought_in_order_before", "1 if it was last bought in the order before the newest" => f.in_order_before;
    "bought_just_now", "1 if the person bought it within the last two days" => f.bought * flag(f.bought_days < 2.0);
    "bought_ln_rate", "ln(1 + the person's orders of it per 28 days since the first, 60 days added as prior)" =>
        f.ln_bought_rate;
    "rebought", "1 if the person bought it in at least two orders" => flag(f.n_bought >= 2.0);
    "rebought_early", "1 if re-bought before and less than half its usual gap has passed" =>
        flag(f.n_bought >= 2.0 && f.due < 0.5);
    "rebought_due", "1 if re-bought before and half to twice its usual gap has passed" =>
        flag(f.n_bought >= 2.0 && f.due >= 0.5 && f.due < 2.0);
    "rebought_lapsed", "1 if re-bought before and over four times its usual gap has passed" =>
        flag(f.n_bought >= 2.0 && f.due >= 4.0);
    "bought_season", "1 if it was first or last bought 335 to 395 days ago: a yearly need" => f.season;
    "looked_ln", "ln(1 + the person's views, clicks and carts of it)" => f.ln_looked;
    "looked_recency_1d", "2^(−days since the person last touched it without buying / 1)" =>
        f.looked_recency;
    "rejected", "1 if the person's last verdict on it was negative" => f.rejected;
    // What everybody does with the item.
    "demand_1d", "ln(1 + decayed demand, half-life 1 day)" => f.item.ln_demand[0];
    "demand_7d", "ln(1 + decayed demand, half-life 7 days)" => f.item.ln_demand[1];
    "demand_30d", "ln(1 + decayed demand, half-life 30 days)" => f.item.ln_demand[2];
    "demand_30d_low", "1 if decayed demand of 30 days is below 1: hardly on offer" => flag(f.item.is_hardly_wanted);
    "trend_day", "ln(demand per day now / demand per day of the week), one unit added to both" => f.item.trend_day;
    "trend_week", "ln(demand per day of the week / demand per day of the month), one unit added to both" => f.item.trend_week;
    "rebuy_rate", "share of the item's orders that were re-buys, smoothed" => f.item.rebuy_rate;
    "refusal", "ln(1 + decayed negative verdicts, half-life 30 days)" => f.item.ln_refusal;
    "age_7d", "2^(−days since it was first offered / 7)" => half(f.age_days, 7.0);
    "age_30d", "2^(−days since it was first offered / 30)" => half(f.age_days, 30.0);
    "age_120d", "2^(−days since it was first offered / 120)" => half(f.age_days, 120.0);
    "ln_price", "ln(price of one piece); 0 where unknown" => f.ln_price;
    "price_gap", "|ln(price) − mean ln(price the person paid)|; 0 where unknown" => f.price_gap;
    // The person and things like it.
    "category_share", "share of the person's bought items in its category" => f.category_share;
    "ann_score", "score by the person's folded-in vector" => f.score(CandidateSource::Ann);
    "ann_rank", "11/(rank + 10) by that score; 0 without" => f.rank(CandidateSource::Ann);
    "item_item_score", "ln(1 + 10·similarity to the person's items); of an item without one, a quarter of how it reads" =>
        f.ln_item_item;
    "item_item_rank", "11/(rank + 10) by that similarity; 0 without" => f.rank(CandidateSource::ItemItem);
    "repeat_rank", "11/(rank + 10) among the person's own items by how due they are; 0 without" =>
        f.rank(CandidateSource::Repeat);
    "trending_rank", "11/(rank + 10) among the trending items; 0 without" => f.rank(CandidateSource::Trending);
    "new_rank", "11/(rank + 10) among the new items; 0 without" => f.rank(CandidateSource::New);
    "segment_rank", "11/(rank + 10) among what people of the same segment want; 0 without" =>
        f.rank(CandidateSource::Segment);
    // Products: what a sum of the above cannot say.
    "bought_x_rebuy_rate", "bought × share of the item's orders that were re-buys" => f.bought * f.item.rebuy_rate;
    "bought_x_demand_7d", "bought × demand of the week" => f.bought * f.item.ln_demand[1];
    "bought_x_demand_30d_low", "bought × hardly on offer" => f.bought * flag(f.item.is_hardly_wanted);
    "bought_x_trend_week", "bought × trend of the week" => f.bought * f.item.trend_week;
    "bought_x_ann_score", "bought × score by the person's vector" => f.bought * f.score(CandidateSource::Ann);
    "bought_x_item_item_score", "bought × similarity to the person's items" =>
        f.bought * f.ln_item_item;
    "bought_x_ln_orders", "bought × ln(1 + the person's orders)" => f.bought * f.own.ln_orders;
    "bought_x_days_since_order", "bought × ln(1 + days since the person's newest order)" => f.bought * f.own.ln_order_days;
    "share_x_recency", "share of orders × recency by the person's own gap" =>
        f.bought_share * f.recency(f.order_gap);
    "share_x_demand", "share of orders × demand of the week" => f.bought_share * f.item.ln_demand[1];
    "newcomer_x_demand_1d", "demand of the day for who never ordered" => f.own.newcomer * f.item.ln_demand[0];
    "newcomer_x_demand_7d", "demand of the week for who never ordered" => f.own.newcomer * f.item.ln_demand[1];
    "newcomer_x_demand_30d", "demand of the month for who never ordered" => f.own.newcomer * f.item.ln_demand[2];
    "newcomer_x_trending_rank", "place among the trending items for who never ordered" =>
        f.own.newcomer * f.rank(CandidateSource::Trending);
    "newcomer_x_rebuy_rate", "share of the item's orders that were re-buys for who never ordered" =>
        f.own.newcomer * f.item.rebuy_rate;
    "newcomer_x_segment_rank", "place among what people of the same segment want for who never ordered" =>
        f.own.newcomer * f.rank(CandidateSource::Segment);
    // The session in progress: all 0 without one.
    "session", "weight of the session's strongest act" => f.session;
    "session_in_basket", "1 if the item lies in the basket already" => f.in_basket;
    "session_score", "ln(1 + 10·score by similar sessions)" => f.ln_session;
    "session_rank", "11/(rank + 10) by that score; 0 without" => f.rank(CandidateSource::Session);
    "session_category", "share of the session in its category" => f.session_category;
    "session_x_bought", "session × bought" => f.session * f.bought;
    "session_x_ann_score", "session × score by the person's vector" => f.session * f.score(CandidateSource::Ann);
    "session_x_demand_7d", "session × demand of the week" => f.session * f.item.ln_demand[1];
    "session_x_bought_share", "session × share of orders" => f.session * f.bought_share;
    "session_score_x_bought", "score by similar sessions × bought" =>
        f.ln_session * f.bought;
    // The person alone: the same for all candidates, so that busy and idle people do not bend the other weights.
    "person_ln_orders", "ln(1 + the person's orders)" => f.own.ln_orders;
    "person_ln_order_size", "ln(1 + items per order)" => f.own.ln_order_size;
    "person_ln_days_since_order", "ln(1 + days since the newest order); 0 without one" => f.own.ln_order_days;
    "person_ln_gap", "ln(mean days between orders)" => f.own.ln_gap;
}

/// Quantities that several features share.
struct Facts<'a> {
    item: &'a ItemFacts,
    own: PersonValues,
    bought: f32,
    n_bought: f32,
    ln_bought: f32,
    bought_share: f32,
    bought_days: f64,
    ln_bought_rate: f32,
    /// Days since the last purchase per the item's own gap for this person.
    due: f64,
    in_last_order: f32,
    in_order_before: f32,
    season: f32,
    ln_looked: f32,
    looked_recency: f32,
    rejected: f32,
    age_days: f64,
    ln_price: f32,
    price_gap: f32,
    category_share: f32,
    ln_item_item: f32,
    ln_session: f32,
    opinions: &'a Opinions,
    session: f32,
    in_basket: f32,
    session_category: f32,
    order_gap: f64,
}

impl<'a> Facts<'a> {
    fn of(context: &PersonContext<'_>, candidate: &CandidateInput<'a>) -> Self {
        let CandidateInput { item, facts, attributes, opinions } = *candidate;
        let ln_price = if attributes.price > 0.0 { attributes.price.ln() } else { 0.0 };
        let offered_since = attributes.available_from.unwrap_or(facts.first_seen);
        let mut all = Self {
            item: facts,
            own: context.own,
            bought: 0.0,
            n_bought: 0.0,
            ln_bought: 0.0,
            bought_share: 0.0,
            bought_days: 0.0,
            ln_bought_rate: 0.0,
            due: 0.0,
            in_last_order: 0.0,
            in_order_before: 0.0,
            season: 0.0,
            ln_looked: 0.0,
            looked_recency: 0.0,
            rejected: 0.0,
            age_days: context.now.days_since(offered_since).max(0.0),
            ln_price,
            price_gap: match context.mean_log_price {
                Some(mean) if attributes.price > 0.0 => (ln_price - mean).abs(),
                _ => 0.0,
            },
            category_share: share_of(&context.category_shares, attributes.category),
            ln_item_item: 0.0,
            ln_session: 0.0,
            opinions,
            session: context.session_strength,
            in_basket: flag(context.session.iter().any(|s| s.item == item && s.is_in_basket)),
            session_category: context.session_strength
                * share_of(&context.session_categories, attributes.category),
            order_gap: context.order_gap_days,
        };
        all.ln_item_item = ln_10(all.similarity());
        all.ln_session = ln_10(all.score(CandidateSource::Session));
        if let Some(entry) = context.history_of(item) {
            all.read_history(context, entry);
        }
        all
    }

    fn read_history(&mut self, context: &PersonContext<'_>, entry: &ItemHistory) {
        let PersonContext { person, now, .. } = *context;
        let n_looked = f32::from(entry.n_attention.saturating_add(entry.n_carts));
        if n_looked > 0.0 {
            self.ln_looked = n_looked.ln_1p();
            self.looked_recency = half(now.days_since(entry.last).max(0.0), 1.0);
        }
        self.rejected = flag(entry.is_rejected);
        if entry.n_purchases == 0 {
            return;
        }
        let n = f64::from(entry.n_purchases);
        let since_first = now.days_since(entry.first).max(0.0);
        self.bought = 1.0;
        self.n_bought = n as f32;
        self.ln_bought = self.n_bought.ln_1p();
        self.bought_share = (n / (context.n_orders + 2.0)) as f32;
        self.bought_days = now.days_since(entry.last_purchase).max(0.0);
        self.ln_bought_rate = ((n * 28.0 / (since_first + 60.0)) as f32).ln_1p();
        let own_gap = entry.last_purchase.days_since(entry.first).max(0.0) / (n - 1.0).max(1.0);
        self.due = self.bought_days / own_gap.max(1.0);
        self.in_last_order = flag(entry.last_purchase >= person.last_order_at);
        self.in_order_before = flag(
            entry.last_purchase >= person.previous_order_at && entry.last_purchase < person.last_order_at,
        );
        let is_year_ago = |days: f64| (335.0..=395.0).contains(&days);
        self.season = flag(is_year_ago(since_first) || is_year_ago(self.bought_days));
    }

    /// `2^(−days since the last purchase / half_life)`; 0 if it was never bought.
    fn recency(&self, half_life_days: f64) -> f32 {
        if self.bought > 0.0 { half(self.bought_days, half_life_days) } else { 0.0 }
    }

    /// To the person's items, by who bought them together or else by text.
    fn similarity(&self) -> f32 {
        let together = self.score(CandidateSource::ItemItem);
        if together > 0.0 { together } else { TEXT_WORTH * self.score(CandidateSource::Lexical) }
    }

    fn score(&self, source: CandidateSource) -> f32 {
        let (score, _) = self.opinions.numbers(source);
        if score.is_finite() { score } else { 0.0 }
    }

    fn rank(&self, source: CandidateSource) -> f32 {
        match self.opinions.numbers(source) {
            (_, 0) => 0.0,
            (_, rank) => (1.0 + RANK_OFFSET) / (rank as f32 + RANK_OFFSET),
        }
    }
}

/// `2^(−days/half_life)`.
fn half(days: f64, half_life: f64) -> f32 {
    ((-days / half_life) as f32).exp2()
}

/// `ln(1 + 10·x)`, 0 for negative similarities: spreads the small values that most similarities have.
fn ln_10(similarity: f32) -> f32 {
    (10.0 * similarity.max(0.0)).ln_1p()
}

fn flag(is_true: bool) -> f32 {
    f32::from(u8::from(is_true))
}

fn bounded(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-MAX_ABS, MAX_ABS) }
}

/// Share of the weight per known category, ascending by category.
fn shares(
    items: impl Iterator<Item = (ItemKey, f32)>,
    attributes: &impl Fn(ItemKey) -> Option<ItemAttributes>,
) -> Vec<(u64, f32)> {
    let mut weighted: Vec<(u64, f32)> = items
        .filter_map(|(item, weight)| Some((attributes(item)?.category, weight)))
        .filter(|(category, _)| *category != 0)
        .collect();
    weighted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f32 = weighted.iter().map(|(_, weight)| weight).sum();
    weighted.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    for (_, share) in &mut weighted {
        *share /= total;
    }
    weighted
}

fn share_of(shares: &[(u64, f32)], category: u64) -> f32 {
    shares.binary_search_by_key(&category, |(known, _)| *known).map_or(0.0, |place| shares[place].1)
}

#[cfg(test)]
mod tests;
