//! Table `users`: what shops told about people, and who was erased.

use std::collections::HashSet;

use serde_json::{Map, Value};
use waggle_model::{Timestamp, UserId};

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, bulk_sql, corrupt, id_groups, push_placeholders,
    sql::{Row, query},
    to_u64,
};

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRecord {
    pub user_id: UserId,
    pub properties: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Set for an erased user, who has no properties then.
    pub erased_at: Option<Timestamp>,
}

const COLUMNS: &str = "user_id, properties, created_at, updated_at, erased_at";

impl Database {
    /// The user, erased ones included.
    pub async fn user(&self, user_id: &UserId) -> Result<Option<UserRecord>, DatabaseError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM users WHERE user_id = $1"));
        let row = query(sql).bind(user_id.as_str()).fetch_optional(self.read()).await?;
        row.as_ref().map(read_user).transpose()
    }

    /// Sets all properties of a user; re-opens an erased id.
    pub async fn put_user(
        &self,
        user_id: &UserId,
        properties: &Map<String, Value>,
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.put_users(&[(user_id.clone(), properties.clone())], at).await
    }

    /// [`put_user`](Self::put_user) for many, in one transaction; of several with one id the last counts.
    pub async fn put_users(
        &self,
        users: &[(UserId, Map<String, Value>)],
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let newest = users.iter().map(|(id, properties)| (id.as_str(), properties));
        let newest = newest.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect::<Vec<_>>();
        let mut transaction = self.begin().await?;
        for chunk in newest.chunks(ROWS_PER_STATEMENT) {
            let mut statement = query(bulk_sql(
                "INSERT INTO users (user_id, properties, created_at, updated_at)",
                4,
                chunk.len(),
                "ON CONFLICT (user_id) DO UPDATE SET properties = excluded.properties,
                     updated_at = excluded.updated_at, erased_at = NULL",
            ));
            for (user_id, properties) in chunk {
                let json =
                    serde_json::to_string(properties).map_err(|e| corrupt("users", "properties", e))?;
                statement = statement.bind(*user_id).bind(json).bind(at.as_millis()).bind(at.as_millis());
            }
            statement.execute(transaction.target()).await?;
        }
        transaction.commit().await
    }

    /// Forgets the user's properties and marks the id as erased, whether or not it was known.
    pub async fn erase_user(&self, user_id: &UserId, at: Timestamp) -> Result<(), DatabaseError> {
        query(
            "INSERT INTO users (user_id, properties, created_at, updated_at, erased_at) VALUES ($1, '{}', $2, $2, $2)
             ON CONFLICT (user_id) DO UPDATE SET properties = '{}', updated_at = excluded.updated_at,
                 erased_at = excluded.erased_at",
        )
        .bind(user_id.as_str())
        .bind(at.as_millis())
        .execute(self.write())
        .await?;
        Ok(())
    }

    /// Up to `limit` users by ascending id after `after`, without erased ones.
    pub async fn list_users(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM users WHERE erased_at IS NULL AND user_id > $1 ORDER BY user_id LIMIT $2"
        );
        // No id is empty, so the empty string stands for the beginning.
        let after = after.map_or("", UserId::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query(sqlx::AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(self.read()).await?;
        rows.iter().map(read_user).collect()
    }

    /// Those of `user_ids` who were erased and have not come back.
    pub async fn erased_users(&self, user_ids: &[UserId]) -> Result<HashSet<UserId>, DatabaseError> {
        let ids = user_ids.iter().map(UserId::as_str).collect::<Vec<_>>();
        let mut erased = HashSet::new();
        for group in id_groups(&ids) {
            let mut sql =
                String::from("SELECT user_id FROM users WHERE erased_at IS NOT NULL AND user_id IN (");
            push_placeholders(&mut sql, 1, group.len());
            sql.push(')');
            let statement =
                group.iter().fold(query(sqlx::AssertSqlSafe(sql)), |statement, id| statement.bind(*id));
            for row in statement.fetch_all(self.read()).await? {
                erased
                    .insert(UserId::try_new(row.get::<&str>(0)?).map_err(|e| corrupt("users", "an id", e))?);
            }
        }
        Ok(erased)
    }

    /// Users without erased ones.
    pub async fn count_users(&self) -> Result<u64, DatabaseError> {
        let count = query("SELECT COUNT(*) FROM users WHERE erased_at IS NULL").fetch_one(self.read());
        to_u64("users", count.await?.get(0)?)
    }
}

fn read_user(row: &Row) -> Result<UserRecord, DatabaseError> {
    Ok(UserRecord {
        user_id: UserId::try_new(row.get::<&str>(0)?).map_err(|e| corrupt("users", "an id", e))?,
        properties: serde_json::from_str(row.get(1)?).map_err(|e| corrupt("users", "properties", e))?,
        created_at: Timestamp::from_millis(row.get(2)?),
        updated_at: Timestamp::from_millis(row.get(3)?),
        erased_at: row.get::<Option<i64>>(4)?.map(Timestamp::from_millis),
    })
}
