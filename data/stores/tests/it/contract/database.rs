//! The contract of [`Database`], whatever lies beneath it.

use std::{sync::Arc, time::Instant};

use serde_json::{Map, Value, json};
use waggle_model::{CatalogChange, Item, ItemId, SnapshotVersion, Timestamp, UserId};
use waggle_stores::{ArchiveFile, Database, DatabaseError, NewSnapshot, SnapshotState, Topic};

/// Runs the whole suite on an empty database.
pub(crate) async fn database_contract(database: Arc<Database>) {
    items_come_back_whole(&database).await;
    the_catalogue_moves_with_its_offset(&database).await;
    no_text_stops_the_projector(&database).await;
    lists_are_pages_without_gaps(&database).await;
    five_thousand_items_take_a_moment(&database).await;
    one_snapshot_serves_at_a_time(&database).await;
    promotions_at_once_leave_one_winner(Arc::clone(&database)).await;
    users_are_kept_and_erased(&database).await;
    facts_are_kept(&database).await;
    the_archive_refuses_gaps_and_overlaps(&database).await;
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn item(id: &str, category: &str) -> Item {
    Item {
        category: Some(category.to_owned()),
        ..Item::new(ItemId::try_new(id).unwrap(), format!("Title of {id}"))
    }
}

async fn items_come_back_whole(database: &Database) {
    let full = Item {
        brand: Some("Bienenwerk's \"finest\" 🐝".to_owned()),
        price: Some(0.1 + 0.2),
        currency: Some("EUR".to_owned()),
        description: Some("line\nline".to_owned()),
        image_url: Some("https://example.org/i.png".to_owned()),
        available_from: Some(at(-5)),
        hidden: true,
        in_stock: false,
        properties: json!({"sizes": [1, 2.5, null], "nested": {"deep": "x"}}).as_object().unwrap().clone(),
        ..item("full", "honey")
    };
    let bare = Item::new(ItemId::try_new("bare").unwrap(), "");
    database.upsert_items(&[full.clone(), bare.clone()], at(1)).await.unwrap();
    let absent = ItemId::try_new("absent").unwrap();
    let asked = [bare.item_id.clone(), absent.clone(), full.item_id.clone(), bare.item_id.clone()];
    assert_eq!(
        database.items(&asked).await.unwrap(),
        [Some(bare.clone()), None, Some(full.clone()), Some(bare)]
    );
    assert_eq!(database.item(&absent).await.unwrap(), None);
    assert_eq!(database.items(&[]).await.unwrap(), []);

    let newer = Item { price: None, hidden: false, ..full.clone() };
    database.upsert_items(&[full, newer.clone()], at(2)).await.unwrap();
    assert_eq!(database.item(&newer.item_id).await.unwrap(), Some(newer), "the last of a batch counts");
    assert_eq!(database.count_items().await.unwrap(), 2);
    database.upsert_items(&[], at(3)).await.unwrap();
}

async fn the_catalogue_moves_with_its_offset(database: &Database) {
    let put =
        |id: &str, title: &str| CatalogChange::Put(Item { title: title.to_owned(), ..item(id, "projected") });
    let delete = |id: &str| CatalogChange::Delete(ItemId::try_new(id).unwrap());
    assert_eq!(database.catalog_offset(3).await.unwrap(), 0);
    let changes = [
        put("p1", "a"),
        put("p2", "a"),
        delete("p1"),
        put("p3", "a"),
        delete("p3"),
        put("p3", "b"),
        delete("bare"),
    ];
    database.apply_catalog(3, 0, 7, &changes, at(10)).await.unwrap();
    assert_eq!(database.catalog_offset(3).await.unwrap(), 7);
    assert_eq!(database.catalog_offset(0).await.unwrap(), 0, "each partition has its own");
    let ids = ["p1", "p2", "p3", "bare"].map(|id| ItemId::try_new(id).unwrap());
    let titles = database.items(&ids).await.unwrap();
    let titles = titles.iter().map(|i| i.as_ref().map(|i| i.title.as_str())).collect::<Vec<_>>();
    assert_eq!(titles, [None, Some("a"), Some("b"), None]);

    for expected in [0, 6, 8] {
        let refused = database.apply_catalog(3, expected, 20, &[put("p2", "late")], at(11)).await;
        let Err(DatabaseError::Fenced { stored: 7, expected: told, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(told, expected);
    }
    assert!(database.apply_catalog(3, 7, 6, &[], at(11)).await.is_err());
    assert_eq!(database.item(&ids[1]).await.unwrap().unwrap().title, "a");
    database.apply_catalog(3, 7, 9, &[], at(12)).await.unwrap();
    assert_eq!(database.catalog_offset(3).await.unwrap(), 9);
}

async fn no_text_stops_the_projector(database: &Database) {
    let mut state = 1_u64;
    // Does not compress, so that no index takes it for short.
    let long = (0..40_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0x4e00 + u32::try_from(state >> 51).unwrap()).unwrap()
        })
        .collect::<String>();
    let nul = |text: &str| format!("{text}\0{text}");
    let strange = Item {
        title: nul("title"),
        category: Some(nul("cat")),
        brand: Some(nul("brand")),
        currency: Some(nul("EUR")),
        description: Some(nul("text")),
        properties: json!({"a\0b": ["\0"]}).as_object().unwrap().clone(),
        ..item("strange", "c")
    };
    let endless = Item { title: long.clone(), category: Some(long.clone()), ..item("endless", "c") };
    let changes = [CatalogChange::Put(strange.clone()), CatalogChange::Put(endless.clone())];
    database.apply_catalog(8, 0, 2, &changes, at(10)).await.unwrap();
    for item in [strange, endless] {
        assert_eq!(database.item(&item.item_id).await.unwrap().as_ref(), Some(&item), "kept whole");
        let found = database.list_items(item.category.as_deref(), None, 10).await.unwrap();
        assert_eq!(found, [item], "found by its category");
    }
    let erased = ["strange", "endless"].map(|id| CatalogChange::Delete(ItemId::try_new(id).unwrap()));
    database.apply_catalog(8, 2, 4, &erased, at(10)).await.unwrap();
    let user = UserId::try_new("strange").unwrap();
    let properties = json!({"name": "\0"}).as_object().unwrap().clone();
    database.put_user(&user, &properties, at(1)).await.unwrap();
    assert_eq!(database.user(&user).await.unwrap().unwrap().properties, properties);
    database.erase_user(&user, at(2)).await.unwrap();
    for (name, content) in [("a\0", "b"), ("a", "b\0")] {
        let refused = database.set_meta(name, content).await;
        assert!(matches!(refused, Err(DatabaseError::Nul { .. })), "{refused:?}");
        let refused = database.set_meta_if_absent(name, content).await;
        assert!(matches!(refused, Err(DatabaseError::Nul { .. })), "{refused:?}");
    }
}

async fn lists_are_pages_without_gaps(database: &Database) {
    let items = (0..25)
        .map(|i| item(&format!("l{i:02}"), if i % 5 == 0 { "five" } else { "other" }))
        .collect::<Vec<_>>();
    database.upsert_items(&items, at(20)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let page = database.list_items(None, seen.last(), 7).await.unwrap();
        let n = page.len();
        seen.extend(page.into_iter().map(|i| i.item_id));
        if n < 7 {
            break;
        }
    }
    let all = database.all_items().await.unwrap().into_iter().map(|i| i.item_id).collect::<Vec<_>>();
    assert_eq!(seen, all);
    assert_eq!(all.len() as u64, database.count_items().await.unwrap());
    let five = database.list_items(Some("five"), None, 100).await.unwrap();
    assert_eq!(five.len(), 5);
    assert!(five.iter().all(|i| i.category.as_deref() == Some("five")));
    assert_eq!(database.list_items(Some("five"), Some(&five[3].item_id), 100).await.unwrap(), five[4..]);
    assert!(database.list_items(Some("none"), None, 100).await.unwrap().is_empty());
    let categories = database.categories().await.unwrap();
    assert_eq!(categories[0], ("other".to_owned(), 20));
    assert!(categories.contains(&("five".to_owned(), 5)));
    assert!(categories.windows(2).all(|pair| pair[0].1 >= pair[1].1));
}

async fn five_thousand_items_take_a_moment(database: &Database) {
    let items = (0..5_000)
        .map(|i| Item {
            description: Some("A jar of honey from the meadows behind the house. ".repeat(4)),
            ..item(&format!("bulk-{i}"), "bulk")
        })
        .collect::<Vec<_>>();
    for round in ["inserted", "replaced"] {
        let start = Instant::now();
        database.upsert_items(&items, at(30)).await.unwrap();
        let took = start.elapsed();
        println!("5000 items {round} in {took:?}");
        // The aim is 300 ms; a shared machine may take longer without anything being wrong.
        assert!(took.as_secs() < 3, "{took:?}");
    }
    let ids = items.iter().map(|i| i.item_id.clone()).collect::<Vec<_>>();
    let read = database.items(&ids).await.unwrap();
    assert!(read.into_iter().flatten().eq(items));
}

pub(crate) fn snapshot(version: &str, created: i64, is_refused: bool) -> NewSnapshot {
    let version = SnapshotVersion::try_new(version).unwrap();
    let (manifest, metrics) = (json!({"files": [version.as_str()]}), json!({"ndcg@10": 0.25}));
    NewSnapshot { version, created_at: at(created), is_refused, manifest, metrics }
}

async fn one_snapshot_serves_at_a_time(database: &Database) {
    let version = |v: &str| SnapshotVersion::try_new(v).unwrap();
    assert_eq!(database.current_snapshot().await.unwrap(), None);
    assert!(matches!(database.rollback_snapshot().await, Err(DatabaseError::NothingToRollBackTo)));
    for (v, created, is_refused) in [("v1", 1, false), ("v2", 2, false), ("v3", 3, false), ("bad", 4, true)] {
        database.register_snapshot(&snapshot(v, created, is_refused)).await.unwrap();
    }
    let again = database.register_snapshot(&snapshot("v1", 9, true)).await;
    assert!(matches!(again, Err(DatabaseError::SnapshotExists(v)) if v == version("v1")));
    let refused = database.promote_snapshot(&version("bad"), at(5)).await;
    assert!(matches!(refused, Err(DatabaseError::SnapshotRefused(_))));
    let unknown = database.promote_snapshot(&version("v9"), at(5)).await;
    assert!(matches!(unknown, Err(DatabaseError::NoSuchSnapshot(_))));

    // All at the same instant: the order of promotions must not depend on the clock.
    for v in ["v1", "v2", "v3", "v3"] {
        database.promote_snapshot(&version(v), at(100)).await.unwrap();
    }
    let current = database.current_snapshot().await.unwrap().unwrap();
    assert_eq!((current.version, current.state), (version("v3"), SnapshotState::Promoted));
    assert_eq!(current.metrics, json!({"ndcg@10": 0.25}));
    assert_eq!(current.manifest, json!({"files": ["v3"]}));
    let listed = database.list_snapshots().await.unwrap();
    let listed = listed.iter().map(|s| (s.version.as_str(), s.state.as_str())).collect::<Vec<_>>();
    assert_eq!(listed, [("bad", "refused"), ("v3", "promoted"), ("v2", "retired"), ("v1", "retired")]);

    assert_eq!(database.rollback_snapshot().await.unwrap(), version("v2"));
    assert_eq!(database.rollback_snapshot().await.unwrap(), version("v1"), "not back to the bad one");
    assert!(matches!(database.rollback_snapshot().await, Err(DatabaseError::NothingToRollBackTo)));
    assert_eq!(database.current_snapshot().await.unwrap().unwrap().version, version("v1"));
    database.promote_snapshot(&version("v3"), at(50)).await.unwrap();
    assert_eq!(database.rollback_snapshot().await.unwrap(), version("v1"));
}

async fn promotions_at_once_leave_one_winner(database: Arc<Database>) {
    let tasks = (0..8)
        .map(|i| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                let new = snapshot(&format!("race-{i}"), 1_000 + i, false);
                database.register_snapshot(&new).await.unwrap();
                database.promote_snapshot(&new.version, at(5_000)).await.unwrap();
            })
        })
        .collect::<Vec<_>>();
    for task in tasks {
        task.await.unwrap();
    }
    let listed = database.list_snapshots().await.unwrap();
    let promoted = listed.iter().filter(|s| s.state == SnapshotState::Promoted).collect::<Vec<_>>();
    assert_eq!(promoted.len(), 1);
    assert!(promoted[0].version.as_str().starts_with("race-"));
}

async fn users_are_kept_and_erased(database: &Database) {
    let user = |id: &str| UserId::try_new(id).unwrap();
    let properties = |value: Value| value.as_object().unwrap().clone();
    assert_eq!(database.user(&user("anna")).await.unwrap(), None);
    let anna = properties(json!({"name": "Anna", "segments": ["a", "b"]}));
    database.put_user(&user("anna"), &anna, at(1)).await.unwrap();
    let many = (0..250).map(|i| (user(&format!("u{i:03}")), Map::new())).collect::<Vec<_>>();
    database.put_users(&many, at(2)).await.unwrap();
    assert_eq!(database.count_users().await.unwrap(), 251);
    let stored = database.user(&user("anna")).await.unwrap().unwrap();
    assert_eq!(
        (&stored.properties, stored.created_at, stored.updated_at, stored.erased_at),
        (&anna, at(1), at(1), None)
    );

    database.put_user(&user("anna"), &properties(json!({"name": "A."})), at(5)).await.unwrap();
    let stored = database.user(&user("anna")).await.unwrap().unwrap();
    assert_eq!((stored.properties.len(), stored.created_at, stored.updated_at), (1, at(1), at(5)));

    database.erase_user(&user("anna"), at(6)).await.unwrap();
    database.erase_user(&user("never seen"), at(6)).await.unwrap();
    for id in ["anna", "never seen"] {
        let erased = database.user(&user(id)).await.unwrap().unwrap();
        assert!(erased.properties.is_empty());
        assert_eq!(erased.erased_at, Some(at(6)));
    }
    let sample = database.sample_users(3).await.unwrap();
    assert_eq!(sample.iter().map(|u| u.user_id.as_str()).collect::<Vec<_>>(), ["u000", "u001", "u002"]);
    assert_eq!(database.count_users().await.unwrap(), 250);
    database.put_user(&user("anna"), &anna, at(7)).await.unwrap();
    assert_eq!(
        database.user(&user("anna")).await.unwrap().unwrap().erased_at,
        None,
        "an explicit change re-opens"
    );
}

async fn facts_are_kept(database: &Database) {
    assert_eq!(database.meta("format").await.unwrap(), None);
    assert_eq!(database.set_meta_if_absent("format", "1").await.unwrap(), "1");
    assert_eq!(database.set_meta_if_absent("format", "2").await.unwrap(), "1");
    database.set_meta("format", "3").await.unwrap();
    assert_eq!(database.meta("format").await.unwrap().as_deref(), Some("3"));
    database.remove_meta("format").await.unwrap();
    database.remove_meta("format").await.unwrap();
    assert_eq!(database.meta("format").await.unwrap(), None);
}

pub(crate) fn archive_file(partition: u32, first: u64, last: u64, n_rows: u64, part: u32) -> ArchiveFile {
    ArchiveFile {
        topic: Topic::Events,
        path: format!("archive/{partition}-{first}-{last}-{part}"),
        day: "2026-01-01".to_owned(),
        partition,
        first_offset: first,
        last_offset: last,
        n_rows,
        size_bytes: 100,
        sha256: "00".to_owned(),
        min_time: at(i64::from(part) * 1_000),
        max_time: at(i64::from(part) * 1_000 + 999),
    }
}

async fn the_archive_refuses_gaps_and_overlaps(database: &Database) {
    // Two batches of partition 0, the first in two files, and one of partition 1.
    let files = [
        archive_file(0, 0, 9, 4, 0),
        archive_file(0, 0, 9, 6, 1),
        archive_file(0, 10, 19, 10, 2),
        archive_file(1, 0, 0, 1, 5),
    ];
    database.commit_archive_files(&files).await.unwrap();
    assert_eq!(database.archive_offset(Topic::Events, 0).await.unwrap(), 20);
    assert_eq!(database.archive_offset(Topic::Events, 1).await.unwrap(), 1);
    assert_eq!(database.archive_offset(Topic::Answers, 0).await.unwrap(), 0);

    let gap = archive_file(0, 21, 22, 2, 9);
    let overlap = archive_file(0, 19, 22, 4, 9);
    let again = archive_file(0, 10, 19, 10, 2);
    for wrong in [gap, overlap, again] {
        // A good batch of another partition beside it must not pass either.
        let refused = database.commit_archive_files(&[archive_file(1, 1, 1, 1, 9), wrong]).await;
        assert!(
            matches!(refused, Err(DatabaseError::Fenced { partition: 0, stored: 20, .. })),
            "{refused:?}"
        );
    }
    for incomplete in
        [archive_file(0, 20, 29, 9, 9), archive_file(0, 20, 19, 0, 9), archive_file(0, 20, 29, 11, 9)]
    {
        let refused = database.commit_archive_files(&[incomplete]).await;
        assert!(matches!(refused, Err(DatabaseError::ArchiveBatch { partition: 0, .. })), "{refused:?}");
    }
    assert_eq!(database.archive_offset(Topic::Events, 1).await.unwrap(), 1);
    let paths = async |from: i64, to: i64| {
        let found = database.archive_files(Topic::Events, at(from)..at(to)).await.unwrap();
        found.into_iter().map(|f| f.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(0, 10_000).await.len(), 4);
    assert_eq!(paths(999, 1_000).await, ["archive/0-0-9-0"]);
    assert_eq!(paths(999, 1_001).await, ["archive/0-0-9-0", "archive/0-0-9-1"]);
    assert_eq!(paths(3_000, 5_000).await, Vec::<String>::new());
    assert_eq!(database.archive_files(Topic::Events, at(5_000)..at(5_001)).await.unwrap(), files[3..]);
}
