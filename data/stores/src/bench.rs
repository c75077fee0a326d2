//! What benchmarks need beside the ports, and nothing else may use.
//!
//! - Peers: bare loops over the libraries beneath the ports, with nothing of ours between, to print beside our own
//!   figures: in the same run, on the same servers and disk, with the same records.
//! - Forgetting: a benchmark works under a prefix of its own, and removes it at the end.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use deadpool_redis::redis::{AsyncCommands, AsyncIter};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use sqlx::{
    Connection, PgConnection, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use waggle_model::partition_of;

use crate::{
    DatabaseError, KafkaConfig, LogError, NewRecord, PostgresConfig, RedisConfig, StateError, Topic,
    database, log::kafka, redis::Redis,
};

/// Longest wait for a server's answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of one of the bare appends' statements.
const ROWS_PER_INSERT: usize = 250;

/// Appends the groups to a new SQLite file at `path`, a row per record and a transaction per group, with WAL and
/// `synchronous=FULL`, so each group is on disk before the next begins. Gives the time of the appends alone.
///
/// A statement inserts many rows: sqlx hands each statement to SQLite's thread and waits for it, which costs more than
/// the row, and would be a measurement of that.
///
/// # Errors
/// Those of SQLite.
pub async fn sqlite_appends(path: &Path, groups: &[Vec<NewRecord>]) -> Result<Duration, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(8_192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE record (id INTEGER PRIMARY KEY, key BLOB, value BLOB, timestamp INTEGER)")
        .execute(&mut connection)
        .await?;
    let started = Instant::now();
    for group in groups {
        let mut transaction = connection.begin().await?;
        for rows in group.chunks(ROWS_PER_INSERT) {
            let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO record (key, value, timestamp) ");
            insert.push_values(rows, |mut row, record| {
                row.push_bind(record.key.as_ref())
                    .push_bind(record.value.as_ref())
                    .push_bind(record.timestamp.as_millis());
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let took = started.elapsed();
    connection.close().await?;
    Ok(took)
}

/// Produces the records to a new topic of that name, which is removed again: an idempotent producer with `acks=all`, as
/// fast as it takes them, its queue never empty. Gives the time until the last one is acknowledged.
///
/// # Errors
/// [`LogError::Storage`] for whatever Kafka refuses.
pub async fn kafka_produces(
    config: &KafkaConfig,
    topic: &str,
    n_partitions: u32,
    groups: Vec<Vec<NewRecord>>,
) -> Result<Duration, LogError> {
    let failed =
        |error: &dyn std::fmt::Display| LogError::Storage(format!("the bare producer failed: {error}"));
    let admin = admin(config)?;
    let new = NewTopic::new(topic, n_partitions.cast_signed(), TopicReplication::Fixed(-1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.map_err(|e| failed(&e))?;
    if let Some(Err((_, error))) = made.into_iter().next() {
        return Err(failed(&error));
    }
    let mut settings = kafka::client_config(config)?;
    settings.set("enable.idempotence", "true").set("acks", "all");
    let producer: ThreadedProducer<DefaultProducerContext> = settings.create().map_err(|e| failed(&e))?;
    let name = topic.to_owned();
    let produced = tokio::task::spawn_blocking(move || produce(&producer, &name, n_partitions, &groups));
    let took = produced.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    admin.delete_topics(&[topic], &AdminOptions::new()).await.map_err(|e| failed(&e))?;
    Ok(took)
}

fn produce(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    n_partitions: u32,
    groups: &[Vec<NewRecord>],
) -> Result<Duration, KafkaError> {
    let started = Instant::now();
    for record in groups.iter().flatten() {
        let partition = partition_of(&record.key, n_partitions).cast_signed();
        let mut next =
            BaseRecord::to(topic).partition(partition).key(&record.key[..]).payload(&record.value[..]);
        while let Err((error, back)) = producer.send(next) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            next = back;
            std::thread::yield_now();
        }
    }
    producer.flush(PATIENCE)?;
    Ok(started.elapsed())
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, LogError> {
    let made = kafka::client_config(config)?.create();
    made.map_err(|e: KafkaError| LogError::Storage(format!("the Kafka client refuses its settings: {e}")))
}

/// Removes the topics of an installation.
///
/// # Errors
/// [`LogError::Storage`] if Kafka cannot be asked; a topic that is not there is fine.
pub async fn forget_kafka(config: &KafkaConfig, prefix: &str) -> Result<(), LogError> {
    let names = Topic::ALL.map(|topic| format!("{prefix}.{}", topic.as_str()));
    let names = names.each_ref().map(String::as_str);
    let deleted = admin(config)?.delete_topics(&names, &AdminOptions::new()).await;
    deleted.map(drop).map_err(|e| LogError::Storage(format!("the topics of {prefix} cannot be removed: {e}")))
}

/// Removes every key of an installation.
///
/// # Errors
/// [`StateError::Storage`] if Redis cannot be asked.
pub async fn forget_redis(config: &RedisConfig, prefix: &str) -> Result<(), StateError> {
    let redis = Redis::new(config, PATIENCE)?;
    for pattern in [format!("{prefix}:*"), format!("{{{prefix}:*")] {
        let forget = async |connection: &mut deadpool_redis::Connection| {
            let found: AsyncIter<'_, String> = connection.scan_match(&pattern).await?;
            let keys = futures::TryStreamExt::try_collect::<Vec<_>>(found).await?;
            for keys in keys.chunks(1_000) {
                let _: () = connection.unlink(keys).await?;
            }
            Ok(())
        };
        redis.with(forget).await?;
    }
    Ok(())
}

/// Removes the schema of an installation.
///
/// # Errors
/// [`DatabaseError`] if Postgres cannot be asked.
pub async fn forget_postgres(config: &PostgresConfig, prefix: &str) -> Result<(), DatabaseError> {
    let (server, _) = database::postgres::server_of(config, prefix)?;
    let failed =
        |e: sqlx::Error| DatabaseError::Storage(format!("the schema {prefix} cannot be removed: {e}"));
    let mut connection = PgConnection::connect_with(&server).await.map_err(failed)?;
    let drop = sqlx::AssertSqlSafe(format!("DROP SCHEMA IF EXISTS \"{prefix}\" CASCADE"));
    sqlx::query(drop).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}
