use std::time::Instant;

use super::*;

fn item(id: &str, title: &str) -> Item {
    Item::new(ItemId::try_new(id).unwrap(), title)
}

fn put(id: &str, title: &str) -> CatalogChange {
    CatalogChange::Put(item(id, title))
}

fn delete(id: &str) -> CatalogChange {
    CatalogChange::Delete(ItemId::try_new(id).unwrap())
}

fn title_of(entries: &Entries, id: &str) -> Option<String> {
    Some(entries.find(&ItemId::try_new(id).unwrap())?.item().title)
}

fn apply(table: &ItemTable, changes: Vec<CatalogChange>) -> Vec<CatalogChange> {
    table.apply(changes, Timestamp::from_millis(1_000))
}

#[test]
fn the_last_change_of_an_item_counts() {
    let table = ItemTable::default();
    apply(&table, vec![put("a", "1"), put("b", "1"), put("a", "2"), delete("b"), delete("never there")]);
    let entries = table.load();
    assert_eq!((title_of(&entries, "a"), title_of(&entries, "b")), (Some("2".to_owned()), None));
    assert_eq!((entries.len(), entries.iter().count()), (1, 1));
}

#[test]
fn a_reader_keeps_the_table_it_took() {
    let table = ItemTable::default();
    apply(&table, vec![put("a", "before")]);
    let before = table.load();
    apply(&table, vec![put("a", "after")]);
    assert_eq!(title_of(&before, "a").unwrap(), "before");
    assert_eq!(title_of(&table.load(), "a").unwrap(), "after");
}

#[test]
fn a_change_with_the_key_of_another_item_is_left_out() {
    let table = ItemTable::default();
    let mut entries = Entries::default();
    // Two ids with one key cannot be found in the time of a test; an entry under a wrong key stands for the first.
    let (stored, new) = (item("stored", "first come"), item("new", "second"));
    let key = new.item_id.key();
    let slot = entries.slot_for(key);
    entries.put(slot, None, Some(&stored), Timestamp::from_millis(1_000), &mut Turns::new());
    table.entries.store(Arc::new(entries));
    let counted = apply(&table, vec![put("new", "second"), delete("new"), put("other", "x")]);
    assert_eq!(counted, [put("other", "x")]);
    assert_eq!(table.load().get(key).unwrap().item().title, "first come");
    assert!(table.load().find(&new.item_id).is_none());
}

#[test]
fn one_change_among_many_items_copies_a_small_part_of_the_table() {
    let table = ItemTable::default();
    apply(&table, (0..60_000).map(|n| put(&format!("item-{n}"), "x")).collect());
    let before = table.load();
    let started = Instant::now();
    apply(&table, vec![put("item-7", "y")]);
    let took = started.elapsed();
    let after = table.load();
    let n_copied = before.chunks.iter().zip(&after.chunks).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
    assert_eq!(n_copied, 1, "took {took:?}");
    assert!(before.shards.iter().zip(&after.shards).all(|(a, b)| Arc::ptr_eq(a, b)), "no new key");
}

#[test]
fn what_cannot_be_bought_now_is_not_offered() {
    let now = Timestamp::from_millis(1_000);
    let offered = |change: fn(&mut Item)| {
        let mut item = item("a", "x");
        change(&mut item);
        let table = ItemTable::default();
        table.apply(vec![CatalogChange::Put(item)], now);
        table.load().offered().has(0)
    };
    assert!(offered(|_| {}));
    assert!(!offered(|item| item.hidden = true));
    assert!(!offered(|item| item.in_stock = false));
    assert!(!offered(|item| item.available_from = Some(Timestamp::from_millis(1_001))));
    assert!(offered(|item| item.available_from = Some(Timestamp::from_millis(1_000))));
    assert!(!offered(|item| item.available_until = Some(Timestamp::from_millis(1_000))));
    assert!(offered(|item| item.available_until = Some(Timestamp::from_millis(1_001))));
}

#[test]
fn an_item_is_offered_from_its_moment_on() {
    let (table, at) = (ItemTable::default(), Timestamp::from_millis);
    let later =
        |id: &str, from: i64| CatalogChange::Put(Item { available_from: Some(at(from)), ..item(id, "x") });
    let is_offered = |id: &str| {
        let entries = table.load();
        let slot = entries.slot(ItemId::try_new(id).unwrap().key()).unwrap();
        entries.offered().has(slot.place())
    };
    apply(&table, vec![put("now", "x"), later("soon", 2_000), later("moved", 2_000), later("gone", 2_000)]);
    apply(&table, vec![later("moved", 3_000), delete("gone")]);
    assert_eq!(["now", "soon", "moved", "gone"].map(is_offered), [true, false, false, false]);
    table.advance(at(1_999));
    assert!(!is_offered("soon"));
    table.advance(at(2_000));
    assert_eq!(["now", "soon", "moved", "gone"].map(is_offered), [true, true, false, false]);
    table.advance(at(5_000));
    assert!(is_offered("moved") && !is_offered("gone"));
    let entries = table.load();
    assert_eq!((entries.next_turn, entries.offered().count(), entries.len()), (None, 3, 3));
}

#[test]
fn an_item_is_offered_until_its_moment_and_from_the_one_before() {
    let (table, at) = (ItemTable::default(), Timestamp::from_millis);
    let window = |id: &str, from: Option<i64>, until: i64| {
        let (available_from, available_until) = (from.map(at), Some(at(until)));
        CatalogChange::Put(Item { available_from, available_until, ..item(id, "x") })
    };
    let ids = ["open", "later", "over", "longer", "gone"];
    let offered = || {
        let entries = table.load();
        ids.map(|id| {
            let slot = entries.slot(ItemId::try_new(id).unwrap().key()).unwrap();
            entries.offered().has(slot.place())
        })
    };
    apply(
        &table,
        vec![
            window("open", None, 2_000),
            window("later", Some(2_000), 3_000),
            window("over", Some(500), 1_000),
            window("longer", None, 2_000),
            window("gone", Some(2_000), 3_000),
        ],
    );
    apply(&table, vec![window("longer", None, 4_000), delete("gone")]);
    assert_eq!(offered(), [true, false, false, true, false]);
    table.advance(at(1_999));
    assert_eq!(offered(), [true, false, false, true, false]);
    table.advance(at(2_000));
    assert_eq!(offered(), [false, true, false, true, false]);
    table.advance(at(3_000));
    assert_eq!(offered(), [false, false, false, true, false]);
    table.apply(vec![window("later", Some(2_000), 10_000), put("over", "back for good")], at(3_000));
    assert_eq!(offered(), [false, true, true, true, false]);
    // Past both moments of an item at once, as after a process slept.
    table.apply(vec![window("open", Some(20_000), 21_000)], at(3_000));
    table.advance(at(30_000));
    assert_eq!(offered(), [false, false, true, false, false]);
    assert_eq!(table.load().next_turn, None);
}

#[test]
fn a_snapshot_is_joined_to_what_the_shop_sells_and_to_what_it_will_sell() {
    let table = ItemTable::default();
    apply(&table, vec![put("a", "x"), put("b", "x")]);
    let ids = ["b", "later", "a"].map(|id| ItemId::try_new(id).unwrap());
    let vocabulary = Vocabulary::try_new(ids).unwrap();
    let rows = table.join(SnapshotVersion::try_new("v1").unwrap(), &vocabulary, &[1.0, 3.0, 2.0]);
    let title = |row: usize| {
        let entries = table.load();
        entries.at(rows.slot(ItemIdx::from_row(row))).map(|entry| entry.item().title)
    };
    assert_eq!([0, 1, 2].map(title), [Some("x".to_owned()), None, Some("x".to_owned())]);
    apply(&table, vec![put("later", "now")]);
    assert_eq!(title(1), Some("now".to_owned()));
    assert_eq!(rows.by_popularity(), [1, 2, 0].map(ItemIdx));
    assert_eq!(rows.row(rows.slot(ItemIdx(2))), Some(ItemIdx(2)));
    apply(&table, vec![put("unknown to it", "x")]);
    let slot = table.load().slot(ItemId::try_new("unknown to it").unwrap().key()).unwrap();
    assert_eq!(rows.row(slot), None);
}

#[test]
fn writers_of_several_partitions_lose_nothing_to_each_other() {
    let table = ItemTable::default();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let table = &table;
            scope.spawn(move || {
                for n in 0..250 {
                    apply(table, vec![put(&format!("{writer}-{n}"), "cup")]);
                }
            });
        }
    });
    assert_eq!(table.load().len(), 1_000);
}
