use waggle_features::ItemState;
use waggle_model::{CatalogChange, Interaction, InteractionKind, Item, ItemId};
use waggle_stores::{MemoryState, StateBatch, StateKey};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn id(name: &str) -> ItemId {
    ItemId::try_new(name).unwrap()
}

#[tokio::test]
async fn lists_add_up_partitions_and_hold_only_what_is_offered() {
    let state = Arc::new(MemoryState::in_memory(2));
    let mut counters = ItemState::default();
    counters.apply(&Interaction::new(InteractionKind::Purchase, id("x")), NOW);
    for partition in 0..2 {
        let blob = |name: &str| {
            let key = StateKey { partition, kind: StateKind::Item, key: id(name).key().0 };
            (key, Some(counters.encode().into()))
        };
        // "both" was bought in both partitions, "one" in the first, "hidden" and "unknown" everywhere.
        let mut changes = vec![blob("both"), blob("hidden"), blob("unknown")];
        if partition == 0 {
            changes.push(blob("one"));
        }
        let damaged = StateKey { partition, kind: StateKind::Item, key: 1 };
        changes.push((damaged, Some(b"not counters".as_slice().into())));
        let batch = StateBatch { partition, expected_offset: 0, next_offset: 1, time: NOW, writes: changes };
        state.commit(batch).await.unwrap();
    }
    let table = Arc::new(ItemTable::default());
    let mut hidden = Item::new(id("hidden"), "x");
    hidden.hidden = true;
    let mut fresh = Item::new(id("fresh"), "x");
    fresh.available_from = Some(NOW);
    let shown = [Item::new(id("both"), "x"), Item::new(id("one"), "x"), fresh, hidden];
    table.apply(shown.into_iter().map(CatalogChange::Put).collect(), Timestamp::now());
    let lists = Lists::new(state, 2, table);
    assert_eq!(lists.load().trending, []);
    lists.refresh(NOW).await.unwrap();
    let lists = lists.load();
    let keys = |list: &[(ItemKey, f32)]| list.iter().map(|(key, _)| *key).collect::<Vec<_>>();
    assert_eq!(keys(&lists.trending), [id("both").key(), id("one").key()]);
    assert!(keys(&lists.new).contains(&id("fresh").key()));
    assert_eq!(lists.as_of, NOW);
}
