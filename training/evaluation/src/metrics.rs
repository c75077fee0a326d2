//! Metrics of one list against one truth.
//!
//! Everywhere `list` is best first and `truth` holds distinct items; the first `k` places of the list count, and an item
//! that a list repeats counts once, at its first place. `None` means that the truth is empty: such a case is left out
//! of the mean, and counted. A list shorter than `k` just has fewer chances to hit. `k` = 0 scores 0.

#[cfg(test)]
mod tests;

use waggle_model::ItemIdx;

/// `hits / min(k, |truth|)`: the share of the hits that were possible (Liang et al. 2018). 1 for a perfect list of any
/// length of truth.
pub fn recall_at_k(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    share(hit_ranks(list, truth, k).len(), k.min(truth.len()), truth)
}

/// `hits / |truth|`: the recall of the `LightGCN` tables; below 1 even for a perfect list where the truth is longer than
/// `k`.
pub fn recall_at_k_of_truth(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    share(hit_ranks(list, truth, k).len(), truth.len(), truth)
}

/// `Σ_{hits} 1/log₂(rank + 1) / Σ_{rank=1}^{min(k, |truth|)} 1/log₂(rank + 1)`: binary gain, the ideal list cut at
/// `min(k, |truth|)`.
pub fn ndcg_at_k(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    if truth.is_empty() {
        return None;
    }
    let discounted = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
    let ideal: f64 = (1..=k.min(truth.len())).map(discounted).sum();
    let gained: f64 = hit_ranks(list, truth, k).into_iter().map(discounted).sum();
    Some(if ideal > 0.0 { gained / ideal } else { 0.0 })
}

/// 1 if any of the first `k` is in the truth, else 0.
pub fn hit_rate_at_k(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    share(hit_ranks(list, truth, k).len().min(1), 1, truth)
}

/// `1/rank` of the first hit among the first `k`, 0 without one. Its mean is the mean reciprocal rank.
pub fn reciprocal_rank_at_k(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    if truth.is_empty() {
        return None;
    }
    Some(hit_ranks(list, truth, k).first().map_or(0.0, |&rank| 1.0 / rank as f64))
}

/// `Σ_{hits} (hits up to this rank)/rank / min(k, |truth|)`. Its mean is the mean average precision; 1 for a perfect list of any
/// length of truth.
pub fn average_precision_at_k(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Option<f64> {
    if truth.is_empty() {
        return None;
    }
    let precision = |(n_before, rank): (usize, usize)| (n_before + 1) as f64 / rank as f64;
    let sum: f64 = hit_ranks(list, truth, k).into_iter().enumerate().map(precision).sum();
    Some(if k == 0 { 0.0 } else { sum / k.min(truth.len()) as f64 })
}

/// 1-based places of the hits among the first `k`, ascending.
fn hit_ranks(list: &[ItemIdx], truth: &[ItemIdx], k: usize) -> Vec<usize> {
    let mut open: Vec<ItemIdx> = truth.to_vec();
    open.sort_unstable();
    open.dedup();
    let mut taken = vec![false; open.len()];
    let mut ranks = Vec::new();
    for (place, item) in list.iter().take(k).enumerate() {
        if let Ok(at) = open.binary_search(item)
            && !std::mem::replace(&mut taken[at], true)
        {
            ranks.push(place + 1);
        }
    }
    ranks
}

fn share(part: usize, whole: usize, truth: &[ItemIdx]) -> Option<f64> {
    match (truth.is_empty(), whole) {
        (true, _) => None,
        (false, 0) => Some(0.0),
        (false, _) => Some(part as f64 / whole as f64),
    }
}
