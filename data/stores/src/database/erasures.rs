//! Table `erasures`: whose rows the archive must not hold.

use waggle_model::{PersonKey, Timestamp};

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, Transaction, bulk_sql, corrupt,
    sql::{Row, query},
    to_i64, to_u64,
};

/// Somebody's erasure: which of their rows the archive must not hold.
///
/// In the partition of the topic of events where it stands, those before it; everywhere else, where offsets cannot be
/// compared, those with a time up to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    pub person: PersonKey,
    /// Where it stands in the topic of events; `None` for a session that went with its user.
    pub partition: Option<u32>,
    pub before_offset: u64,
    /// Its event time.
    pub erased_at: Timestamp,
    /// Ascends with every change of the table; 0 before it is stored.
    pub revision: u64,
}

const COLUMNS: &str = "person_key, log_partition, before_offset, erased_at, revision";
/// Stands for "no partition".
const NOWHERE: i64 = -1;

impl Database {
    /// Erasures that may concern records with times from `min_time` on, and the table's revision, which is not newer.
    pub async fn erasures_since(&self, min_time: Timestamp) -> Result<(u64, Vec<Erasure>), DatabaseError> {
        let row = query("SELECT COALESCE(MAX(revision), 0) FROM erasures").fetch_one(self.read()).await?;
        let revision = to_u64("erasures", row.get(0)?)?;
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE erased_at >= $1");
        let rows = query(sqlx::AssertSqlSafe(sql)).bind(min_time.as_millis()).fetch_all(self.read()).await?;
        Ok((revision, rows.iter().map(read_erasure).collect::<Result<_, _>>()?))
    }

    /// Erasures that the archive has not followed yet.
    pub async fn pending_erasures(&self) -> Result<Vec<Erasure>, DatabaseError> {
        let sql =
            format!("SELECT {COLUMNS} FROM erasures WHERE done_at IS NULL ORDER BY revision, person_key");
        let rows = query(sqlx::AssertSqlSafe(sql)).fetch_all(self.read()).await?;
        rows.iter().map(read_erasure).collect()
    }

    /// Makes the erasures known. One that is known already, or is covered by a later one, changes nothing.
    pub async fn register_erasures(&self, erasures: &[Erasure]) -> Result<(), DatabaseError> {
        if erasures.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin_alone("erasures").await?;
        register(&mut transaction, erasures).await?;
        transaction.commit().await
    }

    /// The archive has followed the erasures; those that were changed meanwhile stay pending.
    pub async fn finish_erasures(&self, erasures: &[Erasure], at: Timestamp) -> Result<(), DatabaseError> {
        let mut transaction = self.begin_alone("erasures").await?;
        for erasure in erasures {
            query(
                "UPDATE erasures SET done_at = $1
                 WHERE person_key = $2 AND log_partition = $3 AND revision = $4",
            )
            .bind(at.as_millis())
            .bind(erasure.person.0.cast_signed())
            .bind(stored_partition(erasure))
            .bind(to_i64(erasure.revision))
            .execute(transaction.target())
            .await?;
        }
        transaction.commit().await
    }
}

/// `transaction` was begun alone on the table.
pub(super) async fn register(
    transaction: &mut Transaction<'_>,
    erasures: &[Erasure],
) -> Result<(), DatabaseError> {
    if erasures.is_empty() {
        return Ok(());
    }
    let revision = next_revision(transaction).await?;
    // Ascending, so that of several with one key the last is the latest; each is a statement's only one of its key.
    for chunk in latest(erasures).chunks(ROWS_PER_STATEMENT) {
        let mut statement = query(bulk_sql(
            &format!("INSERT INTO erasures ({COLUMNS})"),
            5,
            chunk.len(),
            "ON CONFLICT (person_key, log_partition) DO UPDATE SET
                 before_offset = CASE WHEN excluded.before_offset > erasures.before_offset
                                      THEN excluded.before_offset ELSE erasures.before_offset END,
                 erased_at = CASE WHEN excluded.erased_at > erasures.erased_at
                                  THEN excluded.erased_at ELSE erasures.erased_at END,
                 revision = excluded.revision,
                 done_at = NULL
             WHERE excluded.before_offset > erasures.before_offset OR excluded.erased_at > erasures.erased_at",
        ));
        for erasure in chunk {
            statement = statement
                .bind(erasure.person.0.cast_signed())
                .bind(stored_partition(erasure))
                .bind(to_i64(erasure.before_offset))
                .bind(erasure.erased_at.as_millis())
                .bind(revision);
        }
        statement.execute(transaction.target()).await?;
    }
    Ok(())
}

/// Has the archive looked through again for erasures that became known after `revision` and may concern records from
/// `min_time` on, of which some have come just now. `transaction` was begun alone on the table.
pub(super) async fn reopen(
    transaction: &mut Transaction<'_>,
    revision: u64,
    min_time: Timestamp,
) -> Result<(), DatabaseError> {
    let next = next_revision(transaction).await?;
    query("UPDATE erasures SET revision = $1, done_at = NULL WHERE revision > $2 AND erased_at >= $3")
        .bind(next)
        .bind(to_i64(revision))
        .bind(min_time.as_millis())
        .execute(transaction.target())
        .await
        .map(drop)
}

async fn next_revision(transaction: &mut Transaction<'_>) -> Result<i64, DatabaseError> {
    let row =
        query("SELECT COALESCE(MAX(revision), 0) FROM erasures").fetch_one(transaction.target()).await?;
    Ok(row.get::<i64>(0)? + 1)
}

/// One erasure per person and partition, with the greatest offset and time.
fn latest(erasures: &[Erasure]) -> Vec<Erasure> {
    let mut latest = std::collections::BTreeMap::<(PersonKey, Option<u32>), Erasure>::new();
    for erasure in erasures {
        let known = latest.entry((erasure.person, erasure.partition)).or_insert(*erasure);
        known.before_offset = known.before_offset.max(erasure.before_offset);
        known.erased_at = known.erased_at.max(erasure.erased_at);
    }
    latest.into_values().collect()
}

fn stored_partition(erasure: &Erasure) -> i64 {
    erasure.partition.map_or(NOWHERE, i64::from)
}

fn read_erasure(row: &Row) -> Result<Erasure, DatabaseError> {
    let partition = match row.get::<i64>(1)? {
        NOWHERE => None,
        partition => Some(u32::try_from(partition).map_err(|e| corrupt("erasures", "partition", e))?),
    };
    Ok(Erasure {
        person: PersonKey(row.get::<i64>(0)?.cast_unsigned()),
        partition,
        before_offset: to_u64("erasures", row.get(2)?)?,
        erased_at: Timestamp::from_millis(row.get(3)?),
        revision: to_u64("erasures", row.get(4)?)?,
    })
}
