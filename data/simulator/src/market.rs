//! The world: where items and shoppers stand, and what a shopper thinks of an item.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, StandardNormal};
use serde_json::{Map, Value};
use waggle_model::{ItemId, Timestamp, UserId};

use crate::{
    SimulatorError, SimulatorParams, browsing,
    words::{CATEGORIES, COUNTRIES},
};

/// Of the space of tastes.
pub const DIMENSIONS: usize = 16;
pub(crate) type Vector = [f32; DIMENSIONS];

pub(crate) const DAY_MS: i64 = 86_400_000;
/// Weights of the utility's terms; see the crate's documentation.
const TASTE_WEIGHT: f64 = 4.0;
const POPULARITY_WEIGHT: f64 = 0.35;
const PRICE_WEIGHT: f64 = 0.25;
/// Standard deviation of log prices within a category.
const PRICE_SPREAD: f64 = 0.45;
/// Standard deviation of the log of how much shoppers do.
const ACTIVITY_SPREAD: f64 = 0.9;
/// Days between the start of the market and the oldest items.
const OLDEST_ITEM_DAYS: i32 = 200;
/// Share of the items that have a partner.
const COMPLEMENTED: f64 = 0.4;
/// Days of one swing of an interest.
const DRIFT_PERIOD_DAYS: f64 = 90.0;

/// A market; see the [crate]'s documentation for its model.
#[derive(Debug, Clone)]
pub struct Market {
    pub(crate) params: SimulatorParams,
    pub(crate) items: Vec<Place>,
    pub(crate) shoppers: Vec<Shopper>,
    centres: Vec<Vector>,
    /// Running sums of the Zipf weights of all items.
    pub(crate) popularity: Vec<f64>,
    /// Items of each category and the running sums of their weights.
    pub(crate) by_category: Vec<(Vec<u32>, Vec<f64>)>,
    /// Items that appear during the days, ascending by day.
    pub(crate) newcomers: Vec<u32>,
    /// Expected visits of an average shopper on an average day.
    pub(crate) visits_per_day: f64,
}

/// Where an item stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub vector: Vector,
    /// Standardised log of the Zipf weight.
    pub popularity: f32,
    pub price: f64,
    /// In standard deviations of the log prices of its category.
    pub price_level: f32,
    pub category: u32,
    pub brand: u32,
    /// Number within its category: chooses the title.
    pub number: u32,
    /// Day of the market on which it appeared; negative before the start.
    pub from_day: i32,
    pub complement: Option<u32>,
}

/// What a shopper is like.
#[derive(Debug, Clone)]
pub(crate) struct Shopper {
    /// `(category, weight, phase)`; the first `n_interests` count.
    pub interests: [(u32, f32, f32); 3],
    pub n_interests: usize,
    personal: Vector,
    /// The price level they like.
    pub budget: f32,
    /// Multiple of the average shopper's visits.
    pub activity: f32,
    country: u32,
}

impl Market {
    /// Builds the world; `O(n_items + n_users)`.
    ///
    /// # Errors
    /// [`SimulatorError::Parameter`] from [`SimulatorParams::validate`].
    pub fn new(params: SimulatorParams) -> Result<Self, SimulatorError> {
        params.validate()?;
        let n_categories = params.n_categories as usize;
        let centres: Vec<Vector> =
            (0..n_categories).map(|c| unit(normal(&mut rng(&params, Stream::Centre, c, 0)))).collect();
        let (items, weights) = items(&params, &centres);
        let mut by_category = vec![(Vec::new(), Vec::new()); n_categories];
        for (place, (item, weight)) in (0u32..).zip(items.iter().zip(&weights)) {
            let (members, sums): &mut (Vec<u32>, Vec<f64>) = &mut by_category[item.category as usize];
            members.push(place);
            sums.push(sums.last().unwrap_or(&0.0) + weight);
        }
        let mut newcomers: Vec<u32> =
            (0u32..).zip(&items).filter(|(_, item)| item.from_day >= 0).map(|(i, _)| i).collect();
        newcomers.sort_by_key(|&i| items[i as usize].from_day);
        let shoppers = (0..params.n_users as usize).map(|u| shopper(&params, u)).collect();
        let mut market = Self {
            items,
            shoppers,
            centres,
            popularity: running_sums(&weights),
            by_category,
            newcomers,
            visits_per_day: 0.0,
            params,
        };
        market.visits_per_day = browsing::calibrate(&market);
        Ok(market)
    }

    pub fn params(&self) -> &SimulatorParams {
        &self.params
    }

    /// Every shopper with the properties a shop would know, ascending by id.
    pub fn users(&self) -> Vec<(UserId, Map<String, Value>)> {
        (0u32..)
            .zip(&self.shoppers)
            .map(|(number, shopper)| {
                let mut properties = Map::new();
                let (country, _) = COUNTRIES[shopper.country as usize];
                properties.insert("country".to_owned(), Value::String(country.to_owned()));
                (user_id(number), properties)
            })
            .collect()
    }

    /// How much the shopper likes the item on a day of the market (0 is the first; fractions and days after the last are
    /// fine). On the scale of the logit's unit noise.
    ///
    /// # Errors
    /// [`SimulatorError::UnknownUser`] or [`SimulatorError::UnknownItem`].
    pub fn true_utility(&self, user: &UserId, item: &ItemId, day: f64) -> Result<f64, SimulatorError> {
        let (shopper, item) = (self.shopper(user)?, self.item(item)?);
        Ok(self.utility(&self.shoppers[shopper as usize], &self.taste(shopper, day), item))
    }

    /// The `k` available items of highest true utility, best first; of equals the lower id.
    ///
    /// # Errors
    /// [`SimulatorError::UnknownUser`].
    pub fn true_preference(
        &self,
        user: &UserId,
        day: f64,
        k: usize,
    ) -> Result<Vec<(ItemId, f64)>, SimulatorError> {
        let shopper = self.shopper(user)?;
        let taste = self.taste(shopper, day);
        let mut all: Vec<(u32, f64)> = (0..self.params.n_items)
            .filter(|&item| f64::from(self.items[item as usize].from_day) <= day)
            .map(|item| (item, self.utility(&self.shoppers[shopper as usize], &taste, item)))
            .collect();
        let best_first = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let k = k.min(all.len());
        if k < all.len() {
            all.select_nth_unstable_by(k, best_first);
            all.truncate(k);
        }
        all.sort_by(best_first);
        Ok(all.into_iter().map(|(item, utility)| (item_id(item), utility)).collect())
    }

    /// The item that is bought along with this one, if it has a partner. The relation is mutual.
    ///
    /// # Errors
    /// [`SimulatorError::UnknownItem`].
    pub fn complement(&self, item: &ItemId) -> Result<Option<ItemId>, SimulatorError> {
        Ok(self.items[self.item(item)? as usize].complement.map(item_id))
    }

    /// The day of the market that a time falls on, if its events end at `end`.
    pub fn day_at(&self, end: Timestamp, at: Timestamp) -> f64 {
        at.days_since(self.start(end))
    }

    /// Midnight of day 0: the day of `end` is the last one.
    pub(crate) fn start(&self, end: Timestamp) -> Timestamp {
        let midnight = end.as_millis() - end.as_millis().rem_euclid(DAY_MS);
        Timestamp::from_millis(midnight - i64::from(self.params.days - 1) * DAY_MS)
    }

    pub(crate) fn utility(&self, shopper: &Shopper, taste: &Vector, item: u32) -> f64 {
        let item = &self.items[item as usize];
        let price_gap = f64::from(item.price_level - shopper.budget);
        TASTE_WEIGHT * f64::from(dot(taste, &item.vector)) + POPULARITY_WEIGHT * f64::from(item.popularity)
            - PRICE_WEIGHT * price_gap * price_gap
    }

    /// Interests at their weights of the day, and something personal, of unit length.
    pub(crate) fn taste(&self, shopper: u32, day: f64) -> Vector {
        let shopper = &self.shoppers[shopper as usize];
        let mut taste = shopper.personal;
        for (category, weight) in self.interests(shopper, day) {
            for (t, c) in taste.iter_mut().zip(&self.centres[category as usize]) {
                *t += weight * c;
            }
        }
        unit(taste)
    }

    /// Categories and their weights on a day, summing to 1.
    pub(crate) fn interests(&self, shopper: &Shopper, day: f64) -> impl Iterator<Item = (u32, f32)> + use<> {
        let drift = self.params.drift;
        let mut now = shopper.interests;
        for (_, weight, phase) in &mut now[..shopper.n_interests] {
            let swing = (std::f64::consts::TAU * (day / DRIFT_PERIOD_DAYS + f64::from(*phase))).sin();
            *weight *= (drift * swing).exp() as f32;
        }
        let n = shopper.n_interests;
        let sum: f32 = now[..n].iter().map(|interest| interest.1).sum();
        now.into_iter().take(n).map(move |(category, weight, _)| (category, weight / sum))
    }

    pub(crate) fn shopper(&self, user: &UserId) -> Result<u32, SimulatorError> {
        number(user.as_str(), USER_PREFIX, self.params.n_users)
            .ok_or_else(|| SimulatorError::UnknownUser { id: user.to_string() })
    }

    pub(crate) fn item(&self, item: &ItemId) -> Result<u32, SimulatorError> {
        number(item.as_str(), ITEM_PREFIX, self.params.n_items)
            .ok_or_else(|| SimulatorError::UnknownItem { id: item.to_string() })
    }
}

/// The items and their Zipf weights.
fn items(params: &SimulatorParams, centres: &[Vector]) -> (Vec<Place>, Vec<f64>) {
    let n = params.n_items as usize;
    let mut ranks: Vec<u32> = (1..=params.n_items).collect();
    ranks.shuffle(&mut rng(params, Stream::Ranks, 0, 0));
    let weights: Vec<f64> = ranks.iter().map(|&rank| f64::from(rank).powf(-params.zipf_exponent)).collect();
    let mean = weights.iter().map(|w| w.ln()).sum::<f64>() / n as f64;
    let variance = weights.iter().map(|w| (w.ln() - mean).powi(2)).sum::<f64>() / n as f64;
    let spread = if variance > 0.0 { variance.sqrt() } else { 1.0 };

    let mut numbers = vec![0u32; centres.len()];
    let mut items: Vec<Place> = Vec::with_capacity(n);
    for (i, weight) in weights.iter().enumerate() {
        let mut rng = rng(params, Stream::Item, i, 0);
        // Round robin first, so that no category is empty.
        let category = if i < centres.len() { i } else { rng.gen_range(0..centres.len()) };
        let number = numbers[category];
        numbers[category] += 1;
        let brand = rng.gen_range(0..params.n_brands);
        let price_level: f64 = rng.sample::<f64, _>(StandardNormal).clamp(-3.0, 3.0);
        let is_new = rng.gen_bool(params.new_items);
        let days = i32::try_from(params.days).expect("days were validated");
        items.push(Place {
            vector: item_vector(params, &centres[category], category, number, brand, &mut rng),
            popularity: ((weight.ln() - mean) / spread) as f32,
            price: shop_price(CATEGORIES[category].price * (PRICE_SPREAD * price_level).exp()),
            price_level: price_level as f32,
            category: u32::try_from(category).expect("the vocabulary is small"),
            brand,
            number,
            from_day: if is_new { rng.gen_range(0..days) } else { -rng.gen_range(1..=OLDEST_ITEM_DAYS) },
            complement: None,
        });
    }
    pair_up(params, &mut items);
    (items, weights)
}

/// Around the category's centre, nearer to items of the same noun and brand; of unit length.
fn item_vector(
    params: &SimulatorParams,
    centre: &Vector,
    category: usize,
    number: u32,
    brand: u32,
    own: &mut ChaCha8Rng,
) -> Vector {
    let noun = number as usize % CATEGORIES[category].nouns.len();
    let parts = [
        (0.5, unit(normal(&mut rng(params, Stream::Noun, category, noun)))),
        (0.25, unit(normal(&mut rng(params, Stream::Brand, brand as usize, 0)))),
        (0.45, unit(normal(own))),
    ];
    let mut vector = *centre;
    for (weight, part) in parts {
        for (v, p) in vector.iter_mut().zip(part) {
            *v += weight * p;
        }
    }
    unit(vector)
}

/// Gives a share of the items a partner from the category that goes with theirs.
fn pair_up(params: &SimulatorParams, items: &mut [Place]) {
    let mut rng = rng(params, Stream::Complements, 0, 0);
    let mut free: Vec<Vec<u32>> = vec![Vec::new(); params.n_categories as usize];
    for (i, item) in (0u32..).zip(items.iter()) {
        free[item.category as usize].push(i);
    }
    for members in &mut free {
        members.shuffle(&mut rng);
    }
    for i in 0..params.n_items {
        let category = &CATEGORIES[items[i as usize].category as usize];
        let partner = CATEGORIES.iter().take(free.len()).position(|c| c.name == category.goes_with);
        let (Some(partner), true, None) =
            (partner, rng.gen_bool(COMPLEMENTED / 2.0), items[i as usize].complement)
        else {
            continue;
        };
        while let Some(j) = free[partner].pop() {
            if j != i && items[j as usize].complement.is_none() {
                items[i as usize].complement = Some(j);
                items[j as usize].complement = Some(i);
                break;
            }
        }
    }
}

fn shopper(params: &SimulatorParams, number: usize) -> Shopper {
    let mut rng = rng(params, Stream::Shopper, number, 0);
    let n_categories = params.n_categories as usize;
    let n_interests = rng.gen_range(1..=3usize).min(n_categories);
    let mut interests = [(0, 0.0, 0.0); 3];
    let chosen = rand::seq::index::sample(&mut rng, n_categories, n_interests);
    for (interest, category) in interests.iter_mut().zip(chosen) {
        let category = u32::try_from(category).expect("the vocabulary is small");
        *interest = (category, rng.gen_range(0.3..1.0), rng.gen_range(0.0..1.0));
    }
    let personal = unit(normal(&mut rng)).map(|x| 0.35 * x);
    let activity = Normal::new(-ACTIVITY_SPREAD * ACTIVITY_SPREAD / 2.0, ACTIVITY_SPREAD)
        .expect("the spread is positive")
        .sample(&mut rng)
        .exp();
    let mut draw = rng.gen_range(0..COUNTRIES.iter().map(|(_, share)| share).sum::<u32>());
    let country = COUNTRIES.iter().position(|&(_, share)| {
        let is_here = draw < share;
        draw = draw.saturating_sub(share);
        is_here
    });
    Shopper {
        interests,
        n_interests,
        personal,
        budget: rng.sample::<f32, _>(StandardNormal).clamp(-2.5, 2.5),
        activity: activity as f32,
        country: u32::try_from(country.unwrap_or(0)).expect("the list is short"),
    }
}

/// Prices end as shops end them.
fn shop_price(price: f64) -> f64 {
    if price < 20.0 { ((price * 2.0).round().max(2.0) / 2.0) - 0.05 } else { price.round() - 0.1 }
}

/// What a generator is for; part of its seed.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Centre = 1,
    Noun,
    Brand,
    Ranks,
    Item,
    Complements,
    Shopper,
    Day,
    Calibration,
}

/// A generator of its own for every entity, mixed by `SplitMix64`'s finaliser (Steele, Lea, Flood 2014).
pub(crate) fn rng(params: &SimulatorParams, stream: Stream, a: usize, b: usize) -> ChaCha8Rng {
    let mut state = params.seed;
    for part in [stream as u64, a as u64, b as u64] {
        state = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    ChaCha8Rng::seed_from_u64(state)
}

fn normal(rng: &mut ChaCha8Rng) -> Vector {
    std::array::from_fn(|_| rng.sample(StandardNormal))
}

fn unit(mut vector: Vector) -> Vector {
    let norm = dot(&vector, &vector).sqrt();
    if norm > 0.0 {
        for x in &mut vector {
            *x /= norm;
        }
    }
    vector
}

fn dot(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn running_sums(weights: &[f64]) -> Vec<f64> {
    weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

const USER_PREFIX: &str = "shopper-";
const ITEM_PREFIX: &str = "sim-";

pub(crate) fn user_id(number: u32) -> UserId {
    UserId::try_new(format!("{USER_PREFIX}{number:07}")).expect("such an id is valid")
}

pub(crate) fn item_id(number: u32) -> ItemId {
    ItemId::try_new(format!("{ITEM_PREFIX}{number:07}")).expect("such an id is valid")
}

fn number(id: &str, prefix: &str, n: u32) -> Option<u32> {
    let digits = id.strip_prefix(prefix)?;
    let is_ours = digits.len() == 7 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&number| is_ours && number < n)
}
