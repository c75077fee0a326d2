//! Filters that let a certain share of the catalogue through.

use std::collections::BTreeMap;

use serde_json::Value;
use waggle_model::Item;

/// Shares of the catalogue, in percent.
const SHARES: [f64; 4] = [50.0, 5.0, 0.5, 0.05];
/// What the filter that goes with people's taste lets through, in percent: customers buy in the same categories again.
const OF_TASTE: f64 = 5.0;
/// Length of the lists that are asked for.
const K: usize = 10;

/// A filter for `filter` of a recommendation.
#[derive(Debug, Clone)]
pub(super) struct Narrowed {
    pub(super) name: String,
    pub(super) filter: String,
    /// How many items of a list of ten must come.
    pub(super) n_items: usize,
}

/// What the filters ask of an item.
pub(super) struct Asked {
    price: Option<f64>,
    category: Option<String>,
}

impl From<Item> for Asked {
    fn from(Item { price, category, .. }: Item) -> Self {
        Self { price, category }
    }
}

/// By price, and by the category whose size comes nearest.
pub(super) fn narrowed(catalogue: &[Asked]) -> Vec<Narrowed> {
    let prices: Vec<f64> = catalogue.iter().filter_map(|item| item.price).collect();
    let by_price = SHARES.iter().filter_map(|share| at_least(&prices, catalogue.len(), *share));
    by_price.chain(of_taste(catalogue)).collect()
}

/// `price >= …`, the dearest items that make up the share.
fn at_least(prices: &[f64], n_items: usize, share: f64) -> Option<Narrowed> {
    let mut falling = prices.to_vec();
    falling.sort_by(|a, b| b.total_cmp(a));
    let wanted = (n_items as f64 * share / 100.0).round().max(1.0) as usize;
    let limit = *falling.get(wanted - 1)?;
    let n_matches = falling.iter().filter(|price| **price >= limit).count();
    Some(Narrowed {
        name: format!("filter {share} %"),
        filter: format!("price >= {limit}"),
        n_items: n_matches.min(K),
    })
}

fn of_taste(catalogue: &[Asked]) -> Option<Narrowed> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for category in catalogue.iter().filter_map(|item| item.category.as_deref()) {
        *sizes.entry(category).or_default() += 1;
    }
    let share = |n: usize| 100.0 * n as f64 / catalogue.len() as f64;
    let nearest = sizes
        .into_iter()
        .min_by(|a, b| (share(a.1) - OF_TASTE).abs().total_cmp(&(share(b.1) - OF_TASTE).abs()));
    nearest.map(|(category, n_matches)| Narrowed {
        name: format!("category {:.1} %", share(n_matches)),
        filter: format!("category = {}", Value::from(category)),
        n_items: n_matches.min(K),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_lets_its_share_through() {
        let category = |n: usize| if n < 100 { "few" } else { "many" };
        let item = |n: usize| Asked { price: Some(n as f64), category: Some(category(n).to_owned()) };
        let filters = narrowed(&(0..2_000).map(item).collect::<Vec<_>>());
        let texts: Vec<_> =
            filters.iter().map(|it| (it.name.as_str(), it.filter.as_str(), it.n_items)).collect();
        assert_eq!(
            texts,
            [
                ("filter 50 %", "price >= 1000", 10),
                ("filter 5 %", "price >= 1900", 10),
                ("filter 0.5 %", "price >= 1990", 10),
                ("filter 0.05 %", "price >= 1999", 1),
                ("category 5.0 %", "category = \"few\"", 10),
            ]
        );
    }
}
