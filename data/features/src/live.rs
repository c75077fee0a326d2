//! What is trending and what is new: lists from the items' counters alone, the same for everybody.

use waggle_model::{ItemKey, Timestamp};

use crate::ItemState;

/// Most entries of each list.
pub const MAX_LIVE: usize = 500;
/// An item is new for this long after it was first offered, in days.
pub const NEW_DAYS: f64 = 30.0;

/// Place of the half-lives in [`HALF_LIVES_DAYS`](crate::item::HALF_LIVES_DAYS).
const DAY: usize = 0;
const WEEK: usize = 1;

/// Lists as of one moment, best first, ties by the smaller key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveLists {
    /// By [`trend_score`]; items nobody wants are left out.
    pub trending: Vec<(ItemKey, f32)>,
    /// Items of the last [`NEW_DAYS`], by demand and freshness: `2^(−age/7 d) + ln(1 + demand of the week)`.
    pub new: Vec<(ItemKey, f32)>,
    /// When the lists were made.
    pub as_of: Timestamp,
}

/// Lists in the making: of any number of items it keeps those that may still be among the best.
#[derive(Debug)]
pub struct LiveListsBuilder {
    lists: LiveLists,
}

impl LiveLists {
    /// The lists as of `now`. Each item comes with its counters and, if the catalogue tells, since when it is offered;
    /// else it is as old as its first event. Items that are not offered yet are left out.
    pub fn compute<'a>(
        items: impl IntoIterator<Item = (ItemKey, &'a ItemState, Option<Timestamp>)>,
        now: Timestamp,
    ) -> Self {
        let mut lists = LiveListsBuilder::new(now);
        for (item, state, available_from) in items {
            lists.add(item, state, available_from);
        }
        lists.finish()
    }
}

impl LiveListsBuilder {
    /// Lists as of `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { lists: LiveLists { as_of: now, ..LiveLists::default() } }
    }

    /// The next item, as [`LiveLists::compute`] takes it; each comes once, in any order.
    pub fn add(&mut self, item: ItemKey, state: &ItemState, available_from: Option<Timestamp>) {
        let now = self.lists.as_of;
        let offered_since = available_from.or((state.n_events > 0).then_some(state.first_seen));
        if offered_since.is_some_and(|since| since > now) {
            return;
        }
        let trend = trend_score(state, now);
        if trend > 0.0 {
            push(&mut self.lists.trending, (item, trend));
        }
        if let Some(age_days) =
            offered_since.map(|since| now.days_since(since)).filter(|age| *age <= NEW_DAYS)
        {
            let freshness = (-age_days / 7.0).exp2() + state.demand(WEEK, now).ln_1p();
            push(&mut self.lists.new, (item, freshness as f32));
        }
    }

    pub fn finish(mut self) -> LiveLists {
        keep_best(&mut self.lists.trending);
        keep_best(&mut self.lists.new);
        self.lists
    }
}

/// Adds to a list that stays a few times as long as it will be.
fn push(list: &mut Vec<(ItemKey, f32)>, scored: (ItemKey, f32)) {
    list.push(scored);
    if list.len() >= 8 * MAX_LIVE {
        keep_best(list);
    }
}

/// Demand of the week plus twice that of the day, as of `now`: a rush of hours shows, a quiet night does not empty the
/// list.
pub fn trend_score(state: &ItemState, now: Timestamp) -> f32 {
    (state.demand(WEEK, now) + 2.0 * state.demand(DAY, now)) as f32
}

fn keep_best(list: &mut Vec<(ItemKey, f32)>) {
    let best_first = |a: &(ItemKey, f32), b: &(ItemKey, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if list.len() > MAX_LIVE {
        list.select_nth_unstable_by(MAX_LIVE, best_first);
        list.truncate(MAX_LIVE);
    }
    list.sort_unstable_by(best_first);
}

#[cfg(test)]
mod tests;
