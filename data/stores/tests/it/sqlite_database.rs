//! The embedded database: its contract, reopening, damage.

use std::sync::Arc;

use waggle_model::Timestamp;
use waggle_stores::{Database, DatabaseError};

use crate::contract::database::{database_contract, item};

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/waggle.db");
    let database = Arc::new(Database::open(&path).await.unwrap());
    database_contract(Arc::clone(&database)).await;
    let before = database.all_items().await.unwrap();
    let current = database.current_snapshot().await.unwrap();
    database.close().await;
    assert!(database.count_items().await.is_err(), "closed is closed");

    let database = Database::open(&path).await.unwrap();
    assert_eq!(database.all_items().await.unwrap(), before);
    assert_eq!(database.current_snapshot().await.unwrap(), current);
    assert_eq!(database.catalog_offset(3).await.unwrap(), 9);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waggle.db");
    std::fs::write(&path, b"honey ".repeat(2_000)).unwrap();
    let refused = Database::open(&path).await.unwrap_err();
    assert!(refused.to_string().contains("waggle.db"), "{refused}");
    assert!(Database::open(folder.path()).await.is_err(), "a folder is no database");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_a_batch_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(folder.path().join("db")).await.unwrap());
    let writer = tokio::spawn({
        let database = Arc::clone(&database);
        async move {
            for round in 0..20_i64 {
                let items = (0..300)
                    .map(|i| waggle_model::Item { price: Some(round as f64), ..item(&format!("i{i}"), "c") })
                    .collect::<Vec<_>>();
                database.upsert_items(&items, Timestamp::from_millis(round)).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let items = database.all_items().await.unwrap();
        assert!(items.is_empty() || items.len() == 300);
        assert!(items.iter().all(|i| i.price == items[0].price));
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_catalogue_with_damaged_json_says_which_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::open(&path).await.unwrap();
    database.upsert_items(&[item("whole", "c")], Timestamp::from_millis(1)).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE items SET item = '{\"item_id\": 5'").execute(&pool).await.unwrap();
    let damaged = database.all_items().await;
    assert!(matches!(damaged, Err(DatabaseError::Corrupt { table: "items", .. })), "{damaged:?}");
}
