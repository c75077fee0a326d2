//! Table `archive_leftovers`: files that lie beside the archive, so that none is forgotten.
//!
//! A file is announced here before it is written, leaves the table when its manifest row comes, and comes back when that
//! row goes. Deletion has two steps: from the first one on, the file cannot become part of the archive any more.

use sqlx::AssertSqlSafe;
use waggle_model::Timestamp;

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, Transaction, bulk_sql, id_groups, push_placeholders,
    sql::query,
};

impl Database {
    /// Says that a file of that path, which nobody has used before, is about to be written for the archive.
    pub async fn announce_archive_file(&self, path: &str, at: Timestamp) -> Result<(), DatabaseError> {
        query("INSERT INTO archive_leftovers (path, since, is_condemned) VALUES ($1, $2, 0)")
            .bind(path)
            .bind(at.as_millis())
            .execute(self.write())
            .await
            .map(drop)
    }

    /// Paths of up to `limit` files that have not been part of the archive since `before`; none of them ever will be.
    pub async fn condemn_archive_leftovers(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        query("UPDATE archive_leftovers SET is_condemned = 1 WHERE since < $1")
            .bind(before.as_millis())
            .execute(self.write())
            .await?;
        let rows = query("SELECT path FROM archive_leftovers WHERE is_condemned = 1 ORDER BY path LIMIT $1")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.read())
            .await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The condemned files are gone.
    pub async fn forget_archive_leftovers(&self, paths: &[String]) -> Result<(), DatabaseError> {
        let paths = paths.iter().map(String::as_str).collect::<Vec<_>>();
        for group in id_groups(&paths) {
            let mut sql = String::from("DELETE FROM archive_leftovers WHERE is_condemned = 1 AND path IN (");
            push_placeholders(&mut sql, 1, group.len());
            sql.push(')');
            let statement =
                group.iter().fold(query(AssertSqlSafe(sql)), |statement, path| statement.bind(*path));
            statement.execute(self.write()).await?;
        }
        Ok(())
    }

    /// Files announced or replaced that were not swept yet.
    pub async fn count_archive_leftovers(&self) -> Result<u64, DatabaseError> {
        let row = query("SELECT COUNT(*) FROM archive_leftovers").fetch_one(self.read()).await?;
        super::to_u64("archive_leftovers", row.get(0)?)
    }
}

/// The files become part of the archive. Gives the first that may not, because its deletion has begun.
pub(super) async fn withdraw<'p>(
    transaction: &mut Transaction<'_>,
    paths: impl Iterator<Item = &'p str>,
) -> Result<Option<&'p str>, DatabaseError> {
    for path in paths {
        let withdrawn = query("DELETE FROM archive_leftovers WHERE path = $1 AND is_condemned = 0")
            .bind(path)
            .execute(transaction.target())
            .await?;
        if withdrawn == 0 {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The files are no longer part of the archive.
pub(super) async fn leave(
    transaction: &mut Transaction<'_>,
    paths: &[&str],
    at: Timestamp,
) -> Result<(), DatabaseError> {
    for chunk in paths.chunks(ROWS_PER_STATEMENT) {
        let head = "INSERT INTO archive_leftovers (path, since, is_condemned)";
        let mut statement = query(bulk_sql(head, 3, chunk.len(), ""));
        for path in chunk {
            statement = statement.bind(*path).bind(at.as_millis()).bind(0_i16);
        }
        statement.execute(transaction.target()).await?;
    }
    Ok(())
}
