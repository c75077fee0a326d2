//! Table `projector_offsets`: how far each consumer that writes to the database has come.

use super::{Database, DatabaseError, Transaction, sql::query, to_i64, to_u64};

impl Database {
    /// Offset of the first record of `partition` that the projector has not applied; 0 if it has applied none.
    pub async fn projector_offset(&self, name: &str, partition: u32) -> Result<u64, DatabaseError> {
        let row = query("SELECT next_offset FROM projector_offsets WHERE name = $1 AND log_partition = $2")
            .bind(name)
            .bind(i64::from(partition))
            .fetch_optional(self.read())
            .await?;
        row.map_or(Ok(0), |row| to_u64("projector_offsets", row.get(0)?))
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
    query(
        "INSERT INTO projector_offsets (name, log_partition, next_offset) VALUES ($1, $2, 0)
         ON CONFLICT (name, log_partition) DO NOTHING",
    )
    .bind(name)
    .bind(i64::from(partition))
    .execute(transaction.target())
    .await?;
    let moved = query(
        "UPDATE projector_offsets SET next_offset = $1
         WHERE name = $2 AND log_partition = $3 AND next_offset = $4",
    )
    .bind(to_i64(next))
    .bind(name)
    .bind(i64::from(partition))
    .bind(to_i64(expected))
    .execute(transaction.target())
    .await?;
    if moved == 1 {
        return Ok(());
    }
    let stored = query("SELECT next_offset FROM projector_offsets WHERE name = $1 AND log_partition = $2")
        .bind(name)
        .bind(i64::from(partition))
        .fetch_one(transaction.target())
        .await?;
    let stored = to_u64("projector_offsets", stored.get(0)?)?;
    Err(DatabaseError::Fenced { name: name.to_owned(), partition, stored, expected })
}
