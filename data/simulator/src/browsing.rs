//! What shoppers do by themselves, day by day.

use std::collections::VecDeque;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;
use serde_json::Map;
use waggle_model::{
    Event, EventBody, EventId, Interaction, InteractionKind, ItemId, Person, SessionId, Timestamp, UserId,
};

use crate::{
    Market, SimulatorParams,
    catalogue::CURRENCY,
    examination,
    market::{DAY_MS, Shopper, Stream, Vector, item_id, rng, user_id},
    slate::{cart_share, purchase_share, quantity},
    words::CATEGORIES,
};

/// Items on a list.
const LIST_LENGTH: u32 = 20;
/// Utility of going on without opening anything.
const OUTSIDE: f64 = 2.5;
/// Added to the utility of a complement of something in the cart.
const COMPLEMENT_BONUS: f64 = 4.0;
/// Mean lists met in a visit, beyond the first.
const MEAN_MORE_LISTS: f64 = 2.5;
/// Share of the lists that belong to the shop: what is opened there is a click with its place. The others (links from
/// elsewhere) lead to a view.
const OWN_LISTS: f64 = 0.65;
/// Probability that a due consumable is bought in a visit.
const REPEAT: f64 = 0.5;
/// Consumables a shopper keeps in mind.
const PANTRY_SIZE: usize = 8;
/// An item is new for this long.
const NEW_DAYS: i32 = 14;
/// Visits by day of the week, from Thursday, the first day of the Unix epoch; mean 1.
const WEEKDAYS: [f64; 7] = [0.9, 0.9, 1.25, 1.25, 0.9, 0.9, 0.9];
/// Visits by hour of the day.
const HOURS: [u32; 24] = [2, 1, 1, 1, 1, 2, 4, 6, 7, 8, 9, 10, 12, 11, 9, 9, 10, 12, 15, 18, 20, 18, 12, 6];
/// Visits that are simulated to learn how many events one has.
const CALIBRATION_VISITS: usize = 2_000;

/// The events of a market, ascending by time; made by [`Market::events`].
#[derive(Debug)]
pub struct Events<'a> {
    market: &'a Market,
    end: Timestamp,
    day: u32,
    ready: VecDeque<Act>,
    /// Acts of visits that went on past midnight.
    carried: Vec<Act>,
    pantries: Vec<Vec<Due>>,
    user_ids: Vec<UserId>,
    item_ids: Vec<ItemId>,
}

/// A consumable and the day it will be used up.
#[derive(Debug, Clone, Copy)]
struct Due {
    item: u32,
    day: u32,
}

/// One event before it gets its strings.
#[derive(Debug, Clone, Copy)]
struct Act {
    at: Timestamp,
    shopper: u32,
    /// Day and number of the visit within it.
    visit: (u32, u32),
    /// Number within the visit.
    number: u32,
    is_anonymous: bool,
    item: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    View,
    Click { position: u32 },
    Cart { quantity: u32 },
    Purchase { quantity: u32 },
}

impl Market {
    /// What shoppers do, ascending by time: `days` days of which the last is the day of `end`, cut at `end`.
    ///
    /// Days are made one at a time, so memory holds one day of events and each shopper's consumables. Events of equal time
    /// are ordered by shopper and visit. The same market and `end` give the same events; another `end` at the same time of
    /// day moves them by whole days.
    pub fn events(&self, end: Timestamp) -> Events<'_> {
        Events {
            market: self,
            end,
            day: 0,
            ready: VecDeque::new(),
            carried: Vec::new(),
            pantries: vec![Vec::new(); self.shoppers.len()],
            user_ids: (0..self.params.n_users).map(user_id).collect(),
            item_ids: (0..self.params.n_items).map(item_id).collect(),
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() && self.day < self.market.params.days {
            self.make_day();
        }
        self.ready.pop_front().map(|act| self.event(&act))
    }
}

impl Events<'_> {
    fn make_day(&mut self) {
        let day = self.day;
        self.day += 1;
        let midnight = self.market.start(self.end).shifted_by_millis(i64::from(day) * DAY_MS);
        let market = self.market;
        let of_shoppers =
            self.pantries.par_iter_mut().enumerate().fold(Vec::new, |mut acts, (number, pantry)| {
                visits_of_day(market, number as u32, day, midnight, pantry, &mut acts);
                acts
            });
        let mut acts = std::mem::take(&mut self.carried);
        acts.extend(of_shoppers.flatten_iter().collect::<Vec<_>>());
        // No two are alike in these, so the order of the shoppers above does not matter.
        acts.par_sort_unstable_by_key(|act| (act.at, act.shopper, act.visit, act.number));
        let next_midnight = midnight.shifted_by_millis(DAY_MS);
        self.carried = acts.split_off(acts.partition_point(|act| act.at < next_midnight));
        acts.truncate(acts.partition_point(|act| act.at <= self.end));
        self.ready = acts.into();
    }

    fn event(&self, act: &Act) -> Event {
        let price = self.market.items[act.item as usize].price;
        let (kind, position, bought) = match act.kind {
            Kind::View => (InteractionKind::View, None, None),
            Kind::Click { position } => (InteractionKind::Click, Some(position), None),
            Kind::Cart { quantity } => (InteractionKind::Cart, None, Some(quantity)),
            Kind::Purchase { quantity } => (InteractionKind::Purchase, None, Some(quantity)),
        };
        let visit = format!("s-{:x}-{:x}-{:x}", act.shopper, act.visit.0, act.visit.1);
        let mut body = Interaction::new(kind, self.item_ids[act.item as usize].clone());
        body.position = position;
        if let Some(quantity) = bought {
            body.quantity = Some(f64::from(quantity));
            body.price = Some(price);
            body.currency = Some(CURRENCY.to_owned());
        }
        if matches!(act.kind, Kind::Purchase { .. }) {
            body.order_id = Some(format!("o{}", &visit[1..]));
        }
        let user_id = (!act.is_anonymous).then(|| self.user_ids[act.shopper as usize].clone());
        Event {
            event_id: Some(
                EventId::try_new(format!("{visit}-{:x}", act.number)).expect("such an id is valid"),
            ),
            timestamp: act.at,
            person: Person {
                user_id,
                session_id: Some(SessionId::try_new(&visit).expect("such an id is valid")),
            },
            body: EventBody::Interaction(body),
            context: Map::new(),
        }
    }
}

/// Expected visits per shopper and day that make `events_per_user`, from the mean length of simulated visits.
pub(crate) fn calibrate(market: &Market) -> f64 {
    let params: &SimulatorParams = &market.params;
    let mut acts = Vec::new();
    // Visits are weighted as they will happen: by how much their shopper does.
    let (mut weighted_acts, mut weights) = (0.0, 0.0);
    for i in 0..CALIBRATION_VISITS {
        let mut rng = rng(params, Stream::Calibration, i, 0);
        let number = rng.gen_range(0..params.n_users);
        let day = rng.gen_range(0..params.days);
        acts.clear();
        let mut visit = Visit::new(market, number, day, 0, Timestamp::default(), &mut rng);
        visit.run(&mut Vec::new(), &mut acts, &mut rng);
        let weight = f64::from(market.shoppers[number as usize].activity);
        weighted_acts += weight * acts.len() as f64;
        weights += weight;
    }
    let events_per_visit = (weighted_acts / weights).max(0.05);
    params.events_per_user / (events_per_visit * f64::from(params.days))
}

fn visits_of_day(
    market: &Market,
    number: u32,
    day: u32,
    midnight: Timestamp,
    pantry: &mut Vec<Due>,
    acts: &mut Vec<Act>,
) {
    let shopper = &market.shoppers[number as usize];
    let mut rng = rng(&market.params, Stream::Day, number as usize, day as usize);
    let weekday = usize::try_from(midnight.as_millis().div_euclid(DAY_MS).rem_euclid(7)).expect("0 to 6");
    let rate = market.visits_per_day * f64::from(shopper.activity) * WEEKDAYS[weekday];
    let n_visits = Poisson::new(rate).map_or(0.0, |visits| visits.sample(&mut rng));
    // More than a visit per quarter of an hour is no shopper.
    for visit in 0..(n_visits as u32).min(96) {
        let at = midnight.shifted_by_millis(time_of_day(&mut rng));
        Visit::new(market, number, day, visit, at, &mut rng).run(pantry, acts, &mut rng);
    }
}

fn time_of_day(rng: &mut ChaCha8Rng) -> i64 {
    let mut draw = rng.gen_range(0..HOURS.iter().sum::<u32>());
    let mut hour = 0;
    while draw >= HOURS[hour] {
        draw -= HOURS[hour];
        hour += 1;
    }
    hour as i64 * 3_600_000 + rng.gen_range(0..3_600_000)
}

/// One visit of one shopper.
struct Visit<'a> {
    market: &'a Market,
    shopper: &'a Shopper,
    taste: Vector,
    interests: Vec<(u32, f32)>,
    day: u32,
    act: Act,
    /// Items, quantities and what was added to their utility.
    cart: Vec<(u32, u32, f64)>,
    opened: Vec<u32>,
}

impl<'a> Visit<'a> {
    fn new(
        market: &'a Market,
        number: u32,
        day: u32,
        visit: u32,
        at: Timestamp,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let shopper = &market.shoppers[number as usize];
        let is_anonymous = rng.gen_bool(market.params.anonymous);
        Self {
            market,
            shopper,
            taste: market.taste(number, f64::from(day)),
            interests: market.interests(shopper, f64::from(day)).collect(),
            day,
            act: Act {
                at,
                shopper: number,
                visit: (day, visit),
                number: 0,
                is_anonymous,
                item: 0,
                kind: Kind::View,
            },
            cart: Vec::new(),
            opened: Vec::new(),
        }
    }

    fn run(&mut self, pantry: &mut Vec<Due>, acts: &mut Vec<Act>, rng: &mut ChaCha8Rng) {
        self.restock(pantry, acts, rng);
        let more = Poisson::new(MEAN_MORE_LISTS).map_or(0.0, |lists| lists.sample(rng));
        for _ in 0..=(more as u32) {
            self.wait(rng.gen_range(5..90));
            self.browse(acts, rng);
        }
        self.check_out(pantry, acts, rng);
    }

    /// Consumables that are used up go straight into the cart.
    fn restock(&mut self, pantry: &mut Vec<Due>, acts: &mut Vec<Act>, rng: &mut ChaCha8Rng) {
        let day = self.day;
        let due: Vec<u32> = pantry.iter().filter(|due| due.day <= day).map(|due| due.item).collect();
        for item in due {
            if rng.gen_bool(REPEAT) {
                pantry.retain(|kept| kept.item != item);
                self.opened.push(item);
                self.push(acts, item, Kind::View);
                self.add_to_cart(acts, item, 0.0, rng);
            }
        }
    }

    /// One list: look, pick, open, perhaps put into the cart.
    fn browse(&mut self, acts: &mut Vec<Act>, rng: &mut ChaCha8Rng) {
        let mut seen: Vec<(u32, u32, f64)> = Vec::with_capacity(LIST_LENGTH as usize);
        for position in 1..=LIST_LENGTH {
            let Some((item, bonus)) = self.listed(rng) else { continue };
            let is_repeated = self.opened.contains(&item) || seen.iter().any(|&(other, ..)| other == item);
            if !is_repeated && rng.gen_bool(examination(position)) {
                seen.push((item, position, bonus));
            }
        }
        let Some((item, position, bonus)) = self.market.pick(self.shopper, &self.taste, &seen, OUTSIDE, rng)
        else {
            return;
        };
        self.opened.push(item);
        let kind = if rng.gen_bool(OWN_LISTS) { Kind::Click { position } } else { Kind::View };
        self.push(acts, item, kind);
        if rng.gen_bool(cart_share(self.market.utility(self.shopper, &self.taste, item) + bonus)) {
            self.add_to_cart(acts, item, bonus, rng);
        }
    }

    /// What stands at one place of a list: the consideration set is sampled by popularity within the shopper's interests
    /// (a half), popularity in the shop (a third), newness, and complements of the cart. `None` where the draw has not
    /// appeared yet.
    fn listed(&self, rng: &mut ChaCha8Rng) -> Option<(u32, f64)> {
        let draw: f64 = rng.r#gen();
        let (item, bonus) = if draw < 0.15 && !self.cart.is_empty() {
            let (item, ..) = self.cart[rng.gen_range(0..self.cart.len())];
            (self.market.items[item as usize].complement?, COMPLEMENT_BONUS)
        } else if draw < 0.2 {
            (self.new_item(rng)?, 0.0)
        } else if draw < 0.7 {
            let mut left: f32 = rng.r#gen();
            let interest = self.interests.iter().find(|(_, weight)| {
                left -= weight;
                left <= 0.0
            });
            let (category, _) = interest.or(self.interests.last())?;
            let (members, sums) = &self.market.by_category[*category as usize];
            (members[by_weight(sums, rng)?], 0.0)
        } else {
            (u32::try_from(by_weight(&self.market.popularity, rng)?).ok()?, 0.0)
        };
        (self.market.items[item as usize].from_day <= self.today()).then_some((item, bonus))
    }

    /// Any item that appeared in the last days.
    fn new_item(&self, rng: &mut ChaCha8Rng) -> Option<u32> {
        let from_day = |item: &u32| self.market.items[*item as usize].from_day;
        let first = self.market.newcomers.partition_point(|item| from_day(item) < self.today() - NEW_DAYS);
        let end = self.market.newcomers.partition_point(|item| from_day(item) <= self.today());
        (first < end).then(|| self.market.newcomers[rng.gen_range(first..end)])
    }

    fn add_to_cart(&mut self, acts: &mut Vec<Act>, item: u32, bonus: f64, rng: &mut ChaCha8Rng) {
        let quantity = quantity(rng);
        self.wait(rng.gen_range(5..60));
        self.push(acts, item, Kind::Cart { quantity });
        self.cart.push((item, quantity, bonus));
    }

    /// The cart is bought item by item, all at one time and under one order.
    fn check_out(&mut self, pantry: &mut Vec<Due>, acts: &mut Vec<Act>, rng: &mut ChaCha8Rng) {
        self.wait(rng.gen_range(20..180));
        for (item, quantity, bonus) in std::mem::take(&mut self.cart) {
            if !rng.gen_bool(purchase_share(self.market.utility(self.shopper, &self.taste, item) + bonus)) {
                continue;
            }
            self.push(acts, item, Kind::Purchase { quantity });
            let cycle = CATEGORIES[self.market.items[item as usize].category as usize].cycle_days;
            if cycle > 0 {
                if pantry.len() == PANTRY_SIZE {
                    pantry.remove(0);
                }
                let days = f64::from(cycle) * rng.gen_range(0.7..1.3);
                pantry.push(Due { item, day: self.day + days.round() as u32 });
            }
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.act.at = self.act.at.shifted_by_millis(seconds * 1_000);
    }

    fn push(&mut self, acts: &mut Vec<Act>, item: u32, kind: Kind) {
        acts.push(Act { item, kind, ..self.act });
        self.act.number += 1;
    }

    fn today(&self) -> i32 {
        i32::try_from(self.day).expect("days were validated")
    }
}

/// A place with probability in proportion to its weight, by its running sums.
fn by_weight(sums: &[f64], rng: &mut ChaCha8Rng) -> Option<usize> {
    let draw = rng.r#gen::<f64>() * sums.last()?;
    Some(sums.partition_point(|&sum| sum <= draw).min(sums.len() - 1))
}
