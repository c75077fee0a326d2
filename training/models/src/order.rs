//! Scores with places as integers that sort best first: one comparison instead of two of floats.

/// Ascending keys are descending scores in the order of [`f32::total_cmp`], ties by the smaller place.
pub(crate) fn key(score: f32, place: u32) -> u64 {
    u64::from(!ascending(score.to_bits())) << 32 | u64::from(place)
}

pub(crate) fn place(key: u64) -> u32 {
    (key & u64::from(u32::MAX)) as u32
}

pub(crate) fn score(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending ^ 1 << 31 } else { !ascending })
}

/// Negative numbers turned around, positive ones above them.
fn ascending(bits: u32) -> u32 {
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{key, place, score};

    proptest! {
        #[test]
        fn keys_sort_as_scores_and_places_do(
            a in (any::<u32>().prop_map(f32::from_bits), any::<u32>()),
            b in (any::<u32>().prop_map(f32::from_bits), any::<u32>()),
        ) {
            let by_floats = b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            prop_assert_eq!(key(a.0, a.1).cmp(&key(b.0, b.1)), by_floats);
            prop_assert_eq!(score(key(a.0, a.1)).to_bits(), a.0.to_bits());
            prop_assert_eq!(place(key(a.0, a.1)), a.1);
        }
    }
}
