use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

fn wanted(n: u8) -> ItemFacts {
    ItemFacts { trend_day: f32::from(n), ..ItemFacts::default() }
}

#[test]
fn facts_are_kept_for_a_second() {
    let (cache, items) = (FactsCache::default(), [ItemKey(1), ItemKey(2), ItemKey(3)]);
    assert_eq!(cache.get(&items, at(0)).1, [0, 1, 2]);
    cache.put([(ItemKey(1), wanted(1)), (ItemKey(3), wanted(3))], at(0));
    assert_eq!(cache.get(&items, at(999)), (vec![wanted(1), ItemFacts::default(), wanted(3)], vec![1]));
    assert_eq!(cache.get(&items, at(MAX_AGE_MS)).1, [0, 1, 2]);
    assert_eq!(cache.get(&items, at(-1)).1, [0, 1, 2], "a clock that went back");
}

#[test]
fn a_full_cache_makes_room() {
    let cache = FactsCache::default();
    let many = MAX_ITEMS as u64 * 2;
    cache.put((0..many).map(|n| (ItemKey(n << 32), wanted(0))), at(0));
    let kept: usize = cache.shards.iter().map(|shard| shard.read().unwrap().len()).sum();
    assert!(kept <= MAX_ITEMS, "{kept}");
    assert_eq!(cache.get(&[ItemKey((many - 1) << 32)], at(0)).1, Vec::<usize>::new(), "the newest is there");
}
