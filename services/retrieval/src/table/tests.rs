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
    Some(entries.find(&ItemId::try_new(id).unwrap())?.item.title.clone())
}

#[test]
fn the_last_change_of_an_item_counts() {
    let table = ItemTable::default();
    table.apply(vec![put("a", "1"), put("b", "1"), put("a", "2"), delete("b"), delete("never there")]);
    let entries = table.load();
    assert_eq!((title_of(&entries, "a"), title_of(&entries, "b")), (Some("2".to_owned()), None));
    assert_eq!((entries.len(), entries.iter().count()), (1, 1));
}

#[test]
fn a_reader_keeps_the_table_it_took() {
    let table = ItemTable::default();
    table.apply(vec![put("a", "before")]);
    let before = table.load();
    table.apply(vec![put("a", "after")]);
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
    let entry = Entry { attributes: ItemAttributes::of(&stored), item: Arc::new(stored) };
    Arc::make_mut(&mut entries.shards[shard_of(key)]).insert(key, entry);
    table.entries.store(Arc::new(entries));
    let counted = table.apply(vec![put("new", "second"), delete("new"), put("other", "x")]);
    assert_eq!(counted, [put("other", "x")]);
    assert_eq!(table.load().get(key).unwrap().item.title, "first come");
    assert!(table.load().find(&new.item_id).is_none());
}

#[test]
fn one_change_among_many_items_copies_a_small_part_of_the_table() {
    let table = ItemTable::default();
    table.apply((0..60_000).map(|n| put(&format!("item-{n}"), "x")).collect());
    let before = table.load();
    let started = Instant::now();
    table.apply(vec![put("item-7", "y")]);
    let took = started.elapsed();
    let after = table.load();
    let n_copied = (0..N_SHARDS).filter(|&s| !Arc::ptr_eq(&before.shards[s], &after.shards[s])).count();
    assert_eq!(n_copied, 1, "took {took:?}");
}

#[test]
fn what_cannot_be_bought_now_is_not_offered() {
    let now = Timestamp::from_millis(1_000);
    let offered = |change: fn(&mut Item), category| {
        let mut item = item("a", "x");
        item.category = Some("lamp".to_owned());
        change(&mut item);
        is_offered(&Entry { attributes: ItemAttributes::of(&item), item: Arc::new(item) }, category, now)
    };
    assert!(offered(|_| {}, None) && offered(|_| {}, Some("lamp")));
    assert!(!offered(|_| {}, Some("sofa")));
    assert!(!offered(|item| item.hidden = true, None));
    assert!(!offered(|item| item.in_stock = false, None));
    assert!(!offered(|item| item.available_from = Some(Timestamp::from_millis(1_001)), None));
    assert!(offered(|item| item.available_from = Some(Timestamp::from_millis(1_000)), None));
}

#[test]
fn writers_of_several_partitions_lose_nothing_to_each_other() {
    let table = ItemTable::default();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let table = &table;
            scope.spawn(move || {
                for n in 0..250 {
                    table.apply(vec![put(&format!("{writer}-{n}"), "cup")]);
                }
            });
        }
    });
    assert_eq!(table.load().len(), 1_000);
}
