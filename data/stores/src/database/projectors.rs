//! Table `projector_offsets`: how far each consumer that writes to the database has come.

use sqlx::Row;

use super::{Database, DatabaseError, Transaction, to_i64, to_u64};

impl Database {
    /// Offset of the first record of `partition` that the projector has not applied; 0 if it has applied none.
    pub async fn projector_offset(&self, name: &str, partition: u32) -> Result<u64, DatabaseError> {
        let row =
            sqlx::query("SELECT next_offset FROM projector_offsets WHERE name = $1 AND log_partition = $2")
                .bind(name)
                .bind(i64::from(partition))
                .fetch_optional(&self.readers)
                .await?;
        row.map_or(Ok(0), |row| to_u64("projector_offsets", row.try_get(0)?))
    }
}

/// Moves the offset inside `transaction`, or refuses if it is not where it is expected.
///
/// Postgres locks the row here, so two owners cannot both pass.
pub(super) async fn advance(
    transaction: &mut Transaction<'_>,
    name: &str,
    partition: u32,
    expected: u64,
    next: u64,
) -> Result<(), DatabaseError> {
    if next < expected {
        return Err(DatabaseError::Backwards { name: name.to_owned(), from: expected, to: next });
    }
    // A missing row means 0, so it is made before it is compared.
    sqlx::query(
        "INSERT INTO projector_offsets (name, log_partition, next_offset) VALUES ($1, $2, 0)
         ON CONFLICT (name, log_partition) DO NOTHING",
    )
    .bind(name)
    .bind(i64::from(partition))
    .execute(&mut **transaction)
    .await?;
    let moved = sqlx::query(
        "UPDATE projector_offsets SET next_offset = $1
         WHERE name = $2 AND log_partition = $3 AND next_offset = $4",
    )
    .bind(to_i64(next))
    .bind(name)
    .bind(i64::from(partition))
    .bind(to_i64(expected))
    .execute(&mut **transaction)
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let stored = sqlx::query_scalar::<_, i64>(
        "SELECT next_offset FROM projector_offsets WHERE name = $1 AND log_partition = $2",
    )
    .bind(name)
    .bind(i64::from(partition))
    .fetch_one(&mut **transaction)
    .await?;
    let stored = to_u64("projector_offsets", stored)?;
    Err(DatabaseError::Fenced { name: name.to_owned(), partition, stored, expected })
}
