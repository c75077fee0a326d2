//! The database on Postgres: its contract, processes at once, cut connections, refusals.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, json};
use sqlx::{Connection, PgConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use waggle_model::{CatalogChange, Item, ItemId, SnapshotVersion, Timestamp, UserId};
use waggle_stores::{Database, DatabaseError, NewSnapshot, PostgresConfig, SnapshotState, Topic};

use crate::{
    contract::database::{archive_batch, database_contract, item, snapshot},
    support::postgres::{Schema, config, postgres_url},
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let schema = Schema::new();
    let database = Arc::new(schema.connect().await);
    database_contract(Arc::clone(&database)).await;
    let before = database.all_items().await.unwrap();
    let current = database.current_snapshot().await.unwrap();
    database.close().await;
    assert!(database.count_items().await.is_err(), "closed is closed");

    let database = schema.connect().await;
    assert_eq!(database.all_items().await.unwrap(), before);
    assert_eq!(database.current_snapshot().await.unwrap(), current);
    assert_eq!(database.catalog_offset(3).await.unwrap(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_migrate_once() {
    let schema = Arc::new(Schema::new());
    let starts = (0..12).map(|i| {
        let schema = Arc::clone(&schema);
        tokio::spawn(async move {
            let database = schema.connect().await;
            database.set_meta_if_absent("first", &i.to_string()).await.unwrap()
        })
    });
    let mut told = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        told.push(start.await.unwrap());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "all learn who was first");
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_share_a_server() {
    let (one, other) = (Schema::new(), Schema::new());
    let (one, other) = (one.connect().await, other.connect().await);
    one.upsert_items(&[item("i", "c")], at(1)).await.unwrap();
    assert_eq!(other.count_items().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_projectors_at_one_offset_one_passes() {
    let schema = Schema::new();
    let handles = schema.connect_two().await;
    for round in 0..40 {
        let tasks = [0, 1].map(|who: usize| {
            let database = Arc::clone(&handles[who]);
            tokio::spawn(async move {
                let title = format!("by {who} in {round}");
                let change = CatalogChange::Put(Item { title, ..item("contended", "c") });
                database.apply_catalog(0, round, round + 1, &[change], at(1)).await
            })
        });
        let mut winner = None;
        for (who, task) in tasks.into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(()) => assert_eq!(winner.replace(who), None, "both passed"),
                Err(DatabaseError::Fenced { stored, .. }) => assert_eq!(stored, round + 1),
                Err(other) => panic!("{other}"),
            }
        }
        let stored = handles[0].item(&ItemId::try_new("contended").unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.title, format!("by {} in {round}", winner.unwrap()));
    }
    assert_eq!(handles[1].catalog_offset(0).await.unwrap(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_archivers_at_one_offset_one_passes() {
    let schema = Schema::new();
    let handles = schema.connect_two().await;
    for round in 0..40 {
        let tasks = [0, 1].map(|who: u32| {
            let database = Arc::clone(&handles[who as usize]);
            tokio::spawn(async move {
                let (name, offsets) = (format!("{round}-by-{who}"), round * 10..=round * 10 + 9);
                let batch = archive_batch(&database, &name, 0, offsets, &[10]).await;
                database.commit_archive_batch(&batch).await
            })
        });
        let mut n_passed = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => n_passed += 1,
                Err(DatabaseError::Fenced { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(n_passed, 1);
    }
    let files = handles[0].archive_files(Topic::Events, at(0)..at(i64::MAX)).await.unwrap();
    assert_eq!(files.iter().map(|f| f.n_rows).sum::<u64>(), 400);
    assert_eq!(handles[1].count_archive_leftovers().await.unwrap(), 40, "what the losers had written");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_replace_the_same_files_one_passes() {
    let schema = Schema::new();
    let handles = schema.connect_two().await;
    let first = archive_batch(&handles[0], "first", 0, 0..=9, &[5, 5]).await;
    handles[0].commit_archive_batch(&first).await.unwrap();
    for round in 0..30 {
        let tasks = [0, 1].map(|who: usize| {
            let database = Arc::clone(&handles[who]);
            tokio::spawn(async move {
                let old = database.all_archive_files(Topic::Events).await.unwrap();
                let new = archive_batch(&database, &format!("{round}-{who}"), 0, 0..=9, &[5, 5]).await;
                database.replace_archive_files(&old, &new.files, at(1)).await
            })
        });
        for task in tasks {
            let replaced = task.await.unwrap();
            assert!(matches!(replaced, Ok(()) | Err(DatabaseError::ArchiveChanged { .. })), "{replaced:?}");
        }
        assert_eq!(handles[0].all_archive_files(Topic::Events).await.unwrap().len(), 2, "two files, always");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promotions_of_two_processes_leave_one_that_serves() {
    let schema = Schema::new();
    let handles = schema.connect_two().await;
    let tasks = (0..16).map(|i: i64| {
        let database = Arc::clone(&handles[usize::try_from(i % 2).unwrap()]);
        tokio::spawn(async move {
            let new: NewSnapshot = snapshot(&format!("race-{i:02}"), i, false);
            database.register_snapshot(&new).await.unwrap();
            database.promote_snapshot(&new.version, at(5_000)).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let listed = handles[0].list_snapshots().await.unwrap();
    let count = |state| listed.iter().filter(|s| s.state == state).count();
    assert_eq!((count(SnapshotState::Promoted), count(SnapshotState::Retired)), (1, 15));
    let mut times = listed.iter().map(|s| s.promoted_at.unwrap()).collect::<Vec<_>>();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 16, "each promotion has its own place in the order");
    // Rolling back at once from both sides goes back by as many as there were calls.
    let back = [0, 1].map(|who: usize| {
        let database = Arc::clone(&handles[who]);
        tokio::spawn(async move { database.rollback_snapshot().await.unwrap() })
    });
    let mut reached = Vec::<SnapshotVersion>::new();
    for task in back {
        reached.push(task.await.unwrap());
    }
    assert_ne!(reached[0], reached[1]);
    let current = handles[1].current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.promoted_at, Some(times[13]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_items_written_from_two_sides_at_once_all_arrive() {
    let schema = Schema::new();
    let handles = schema.connect_two().await;
    for round in 0..4_i64 {
        let tasks = [0, 1].map(|who: usize| {
            let database = Arc::clone(&handles[who]);
            tokio::spawn(async move {
                // New items and known ones, in opposite orders; deletions of what the other writes.
                let mut ids = (0..300).map(|i| format!("i{}", i + 50 * round)).collect::<Vec<_>>();
                if who == 1 {
                    ids.reverse();
                }
                let items = ids.iter().map(|id| item(id, "c")).collect::<Vec<_>>();
                database.upsert_items(&items, at(round)).await.unwrap();
                let changes = ids[..50].iter().map(|id| CatalogChange::Delete(ItemId::try_new(id).unwrap()));
                let changes = changes.chain(items[50..].iter().cloned().map(CatalogChange::Put));
                let changes = changes.collect::<Vec<_>>();
                let (partition, offset) = (u32::try_from(who).unwrap(), round.cast_unsigned());
                database.apply_catalog(partition, offset, offset + 1, &changes, at(round)).await.unwrap();
                let users = ids.iter().map(|id| (UserId::try_new(id.as_str()).unwrap(), Map::new()));
                database.put_users(&users.collect::<Vec<_>>(), at(round)).await.unwrap();
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(handles[0].count_users().await.unwrap(), 450);
    let inner = (0..450).map(|i| ItemId::try_new(format!("i{i}")).unwrap()).collect::<Vec<_>>();
    // What nobody deleted in the last rounds is there: the middle of the last 300 ids.
    assert!(handles[0].items(&inner[200..400]).await.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused() {
    let schema = Schema::new();
    schema.connect().await.close().await;
    let insert = format!(
        "INSERT INTO \"{}\"._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999, 'from the future', TRUE, '', 1)",
        schema.prefix
    );
    schema.execute(insert).await;
    let refused = Database::connect(&config(&schema.url), &schema.prefix).await;
    let Err(DatabaseError::Newer { database, migration: 999 }) = refused else { panic!("{refused:?}") };
    assert!(database.starts_with("postgres at "), "{database}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_the_secret() {
    let good = config(&postgres_url());
    for prefix in ["", "pg_waggle", "Waggle", "a b", "x\"; DROP SCHEMA public; --", &"x".repeat(64)] {
        let refused = Database::connect(&good, prefix).await;
        assert!(matches!(refused, Err(DatabaseError::Settings(_))), "{prefix}: {refused:?}");
    }
    for url in [
        "mysql://anna:s3cret@localhost/x",
        "postgres://anna:s3cret@localhost:99999/x",
        "anna:s3cret",
        "postgres://anna:s3cret@localhost/x?sslmode=s3cret",
        "",
    ] {
        let config = config(url);
        let refused = Database::connect(&config, "waggle").await.unwrap_err();
        assert!(matches!(refused, DatabaseError::Settings(_)), "{url}: {refused:?}");
        let shown = format!("{refused} {refused:?} {config:?} {} {}", config.url, json!(config));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let none = PostgresConfig { pool_size: 0, ..good };
    assert!(matches!(Database::connect(&none, "waggle").await, Err(DatabaseError::Settings(_))));
    let secret = config("postgres://anna:s3cret@db.shop:5433/waggle");
    let shown = format!("{secret:?} {} {}", secret.url, json!(secret));
    assert!(
        !shown.contains("s3cret") && shown.contains("postgres://anna:***@db.shop:5433/waggle"),
        "{shown}"
    );
    assert_eq!(
        serde_json::from_value::<PostgresConfig>(json!({"url": "postgres://a"})).unwrap().pool_size,
        10
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_named_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free_port = free.local_addr().unwrap().port();
    drop(free);
    for port in [silent_port, free_port] {
        let url = format!("postgres://anna:s3cret@127.0.0.1:{port}/shop");
        let start = Instant::now();
        let config = PostgresConfig { connect_timeout_ms: 400, ..config(&url) };
        let refused = Database::connect(&config, "waggle").await.unwrap_err();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        let text = format!("{refused} {refused:?}");
        assert!(matches!(refused, DatabaseError::Unreachable { .. }), "{refused:?}");
        assert!(text.contains(&format!("127.0.0.1:{port}/shop")) && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_database_tells_its_name_and_no_password() {
    let schema = Schema::new();
    let database = schema.connect().await;
    let shown = format!("{database:?}");
    assert!(shown.contains("postgres at ") && !shown.contains("postgres://"), "{shown}");
}

/// A way to the server that can be cut, and that can swallow what is sent.
struct Line {
    url: String,
    state: watch::Sender<LineState>,
}

#[derive(Clone, Copy, PartialEq)]
enum LineState {
    Open { n_cuts: u32 },
    Silent,
}

impl Line {
    async fn to_server() -> Self {
        let url = postgres_url();
        let (scheme_and_user, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = format!("{scheme_and_user}@{}/{database}", listener.local_addr().unwrap());
        let (state, watched) = watch::channel(LineState::Open { n_cuts: 0 });
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, watched.clone()));
            }
        });
        Self { url: through, state }
    }
}

/// Until the line is cut; when it falls silent the connection stays, and nothing passes any more.
async fn carry(mut client: TcpStream, mut server: TcpStream, mut state: watch::Receiver<LineState>) {
    let opened = *state.borrow_and_update();
    if let LineState::Open { .. } = opened {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            _ = state.changed() => {}
        }
    }
    while *state.borrow_and_update() == LineState::Silent {
        if state.changed().await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_cut_are_replaced() {
    let schema = Schema::new();
    let line = Line::to_server().await;
    let database = Database::connect(&config(&line.url), &schema.prefix).await.unwrap();
    database.upsert_items(&[item("before", "c")], at(1)).await.unwrap();
    for n_cuts in 1..=3 {
        line.state.send(LineState::Open { n_cuts }).unwrap();
        database.upsert_items(&[item(&format!("after {n_cuts}"), "c")], at(2)).await.unwrap();
    }
    assert_eq!(database.count_items().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ended_are_replaced() {
    let schema = Schema::new();
    let url = format!("{}?application_name={}", schema.url, schema.prefix);
    let database = Database::connect(&config(&url), &schema.prefix).await.unwrap();
    let mut admin = PgConnection::connect(&schema.url).await.unwrap();
    for i in 0..5 {
        database.upsert_items(&[item(&format!("i{i}"), "c")], at(1)).await.unwrap();
        let ended = sqlx::query_scalar::<_, i64>(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1",
        );
        let ended = ended.bind(&schema.prefix).fetch_one(&mut admin).await.unwrap();
        assert!(ended >= 1, "nothing was ended");
    }
    assert_eq!(database.count_items().await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_costs_a_stated_time() {
    let schema = Schema::new();
    let line = Line::to_server().await;
    let config = PostgresConfig { acquire_timeout_ms: 500, statement_timeout_ms: 500, ..config(&line.url) };
    let database = Database::connect(&config, &schema.prefix).await.unwrap();
    assert_eq!(database.count_items().await.unwrap(), 0);
    line.state.send(LineState::Silent).unwrap();
    let start = Instant::now();
    let refused = database.count_items().await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Unreachable { .. }), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    line.state.send(LineState::Open { n_cuts: 1 }).unwrap();
    assert_eq!(database.count_items().await.unwrap(), 0, "heals");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_keeps_costs_the_statements_time() {
    let schema = Schema::new();
    let config = PostgresConfig { statement_timeout_ms: 300, ..config(&schema.url) };
    let database = Database::connect(&config, &schema.prefix).await.unwrap();
    database.register_snapshot(&snapshot("v1", 1, false)).await.unwrap();
    let mut other = PgConnection::connect(&schema.url).await.unwrap();
    let sql = format!("BEGIN; LOCK TABLE \"{}\".snapshots IN SHARE ROW EXCLUSIVE MODE", schema.prefix);
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    let version = SnapshotVersion::try_new("v1").unwrap();
    let refused = database.promote_snapshot(&version, at(1)).await.unwrap_err();
    assert!(refused.to_string().contains("statement timeout"), "{refused}");
    assert_eq!(database.current_snapshot().await.unwrap(), None, "reading goes on");
    other.close().await.unwrap();
    database.promote_snapshot(&version, at(1)).await.unwrap();
}
