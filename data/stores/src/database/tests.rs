use super::*;

#[test]
fn every_migration_file_is_applied_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect::<Vec<_>>();
    let mut applied = MIGRATIONS.map(|(_, _, sql)| sql.to_owned()).to_vec();
    files.sort();
    applied.sort();
    assert_eq!(files, applied);
    assert!(MIGRATIONS.windows(2).all(|pair| pair[0].0 < pair[1].0), "in ascending order");
}

#[tokio::test]
async fn two_items_with_one_key_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("db")).await.unwrap();
    let (old, new) = (ItemId::try_new("old").unwrap(), ItemId::try_new("new").unwrap());
    let at = waggle_model::Timestamp::from_millis(1);
    database.upsert_items(&[waggle_model::Item::new(old.clone(), "Old")], at).await.unwrap();
    // No two ids with one key are known, so the collision is made by hand.
    sql::query("UPDATE items SET item_key = $1")
        .bind(new.key().0.cast_signed())
        .execute(database.write())
        .await
        .unwrap();
    let others =
        (0..150).map(|i| waggle_model::Item::new(ItemId::try_new(format!("o{i}")).unwrap(), "Other"));
    let items = others.chain([waggle_model::Item::new(new.clone(), "New")]).collect::<Vec<_>>();
    let refused = database.upsert_items(&items, at).await;
    let Err(DatabaseError::KeyCollision { item_id, other }) = refused else { panic!("{refused:?}") };
    assert_eq!((item_id, other), (new, old));
    assert_eq!(database.count_items().await.unwrap(), 1, "nothing of the batch is left");
}

#[tokio::test]
async fn a_database_that_was_full_works_again_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("db")).await.unwrap();
    let at = waggle_model::Timestamp::from_millis(1);
    let item =
        |i: usize| waggle_model::Item::new(ItemId::try_new(format!("i{i}")).unwrap(), "x".repeat(1_000));
    let items = (0..2_000).map(item).collect::<Vec<_>>();
    sql::query("PRAGMA max_page_count = 100").execute(database.write()).await.unwrap();
    for _ in 0..3 {
        // The limit lives in the connection, and a connection that ran full is replaced.
        let refused = database.upsert_items(&items, at).await;
        if refused.is_ok() {
            break;
        }
        assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
        assert_eq!(database.count_items().await.unwrap(), 0);
    }
    sql::query("PRAGMA max_page_count = 1000000").execute(database.write()).await.unwrap();
    database.upsert_items(&items, at).await.unwrap();
    database.set_meta_if_absent("after", "full").await.unwrap();
    database.close().await;
    let database = Database::open(folder.path().join("db")).await.unwrap();
    assert_eq!(database.count_items().await.unwrap(), 2_000, "what was committed is in the file");
    assert_eq!(database.meta("after").await.unwrap().as_deref(), Some("full"));
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::open(&path).await.unwrap();
    sql::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999, 'from the future', TRUE, x'00', 1)",
    )
    .execute(database.write())
    .await
    .unwrap();
    database.close().await;
    let refused = Database::open(&path).await;
    let Err(DatabaseError::Newer { database, migration: 999 }) = refused else { panic!("{refused:?}") };
    assert!(database.contains("db"));
}
