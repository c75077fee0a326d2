//! Table `items`: the catalogue as the projector has applied it.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Row, sqlite::SqliteRow};
use waggle_model::{CatalogChange, Item, ItemId, ItemKey, Timestamp};

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, Transaction, bulk_sql, corrupt, id_groups, projectors,
    push_placeholders, to_u64,
};

/// Name of the catalogue's projector in `projector_offsets`.
const PROJECTOR: &str = "catalog";
const COLUMNS: usize = 12;

impl Database {
    /// Inserts or replaces the items; of several with one id the last counts.
    ///
    /// - `at`: what `updated_at` becomes.
    ///
    /// # Errors
    /// [`DatabaseError::KeyCollision`] if two different ids have one 64-bit key; nothing is changed then.
    pub async fn upsert_items(&self, items: &[Item], at: Timestamp) -> Result<(), DatabaseError> {
        let puts = items.iter().map(|item| (item.item_id.as_str(), Some(item)));
        self.write_catalog(newest(puts), at, None).await
    }

    /// Applies the records `expected_offset..next_offset` of the catalogue topic and moves the projector's offset, in
    /// one transaction. Of several changes of one item the last counts.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] if the projector is not at `expected_offset`, [`DatabaseError::KeyCollision`]; nothing
    /// is changed then.
    pub async fn apply_catalog(
        &self,
        partition: u32,
        expected_offset: u64,
        next_offset: u64,
        changes: &[CatalogChange],
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let changes = changes.iter().map(|change| match change {
            CatalogChange::Put(item) => (item.item_id.as_str(), Some(item)),
            CatalogChange::Delete(item_id) => (item_id.as_str(), None),
        });
        self.write_catalog(newest(changes), at, Some((partition, expected_offset, next_offset))).await
    }

    /// Where the catalogue's projector stands.
    pub async fn catalog_offset(&self, partition: u32) -> Result<u64, DatabaseError> {
        self.projector_offset(PROJECTOR, partition).await
    }

    pub async fn item(&self, item_id: &ItemId) -> Result<Option<Item>, DatabaseError> {
        Ok(self.items(std::slice::from_ref(item_id)).await?.pop().flatten())
    }

    /// The items of `item_ids`, in that order.
    pub async fn items(&self, item_ids: &[ItemId]) -> Result<Vec<Option<Item>>, DatabaseError> {
        let ids = item_ids.iter().map(ItemId::as_str).collect::<Vec<_>>();
        let mut found = HashMap::with_capacity(ids.len());
        for group in id_groups(&ids) {
            let mut sql = String::from("SELECT item, price FROM items WHERE item_id IN (");
            push_placeholders(&mut sql, 1, group.len());
            sql.push(')');
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in group {
                query = query.bind(id);
            }
            for row in query.fetch_all(&self.readers).await? {
                let item = read_item(&row)?;
                found.insert(item.item_id.clone(), item);
            }
        }
        Ok(item_ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// Up to `limit` items by ascending id, of one category or of all, after the id `after`.
    ///
    /// The order of ids is the database's own; pages follow it without a gap.
    pub async fn list_items(
        &self,
        category: Option<&str>,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<Item>, DatabaseError> {
        // No id is empty, so the empty string stands for the beginning.
        let after = after.map_or("", ItemId::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match category {
            Some(category) => sqlx::query(
                "SELECT item, price FROM items WHERE category = $1 AND item_id > $2 ORDER BY item_id LIMIT $3",
            )
            .bind(category),
            None => sqlx::query("SELECT item, price FROM items WHERE item_id > $1 ORDER BY item_id LIMIT $2"),
        };
        let rows = query.bind(after).bind(limit).fetch_all(&self.readers).await?;
        rows.iter().map(read_item).collect()
    }

    /// Categories with their number of items, most items first. Items without a category are not counted.
    pub async fn categories(&self) -> Result<Vec<(String, u64)>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT category, COUNT(*) AS n_items FROM items WHERE category IS NOT NULL
             GROUP BY category ORDER BY n_items DESC, category",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, to_u64("items", row.try_get(1)?)?))).collect()
    }

    /// The whole catalogue, by ascending id.
    pub async fn all_items(&self) -> Result<Vec<Item>, DatabaseError> {
        let mut rows = sqlx::query("SELECT item, price FROM items ORDER BY item_id").fetch(&self.readers);
        let mut items = Vec::new();
        while let Some(row) = rows.try_next().await? {
            items.push(read_item(&row)?);
        }
        Ok(items)
    }

    pub async fn count_items(&self) -> Result<u64, DatabaseError> {
        to_u64("items", sqlx::query_scalar("SELECT COUNT(*) FROM items").fetch_one(&self.readers).await?)
    }

    /// - `moves`: partition, expected and next offset of the projector.
    async fn write_catalog(
        &self,
        changes: Vec<(&str, Option<&Item>)>,
        at: Timestamp,
        moves: Option<(u32, u64, u64)>,
    ) -> Result<(), DatabaseError> {
        let puts = changes.iter().filter_map(|(_, item)| *item).collect::<Vec<_>>();
        let deletes =
            changes.iter().filter(|(_, item)| item.is_none()).map(|(id, _)| *id).collect::<Vec<_>>();
        check_keys(&puts)?;
        let mut transaction = self.begin().await?;
        if let Some((partition, expected, next)) = moves {
            projectors::advance(&mut transaction, PROJECTOR, partition, expected, next).await?;
        }
        delete_items(&mut transaction, &deletes).await?;
        for chunk in puts.chunks(ROWS_PER_STATEMENT) {
            let Err(error) = put_items(&mut transaction, chunk, at).await else { continue };
            transaction.rollback().await.ok();
            let is_collision = error.as_database_error().is_some_and(|e| e.is_unique_violation());
            return Err(if is_collision { self.collision(chunk, error).await } else { error.into() });
        }
        Ok(transaction.commit().await?)
    }

    /// Finds which of the items has the key of another.
    async fn collision(&self, items: &[&Item], error: sqlx::Error) -> DatabaseError {
        for item in items {
            let other = sqlx::query_scalar::<_, String>(
                "SELECT item_id FROM items WHERE item_key = $1 AND item_id <> $2",
            )
            .bind(stored_key(item.item_id.key()))
            .bind(item.item_id.as_str())
            .fetch_optional(&self.readers)
            .await;
            if let Ok(Some(other)) = other
                && let Ok(other) = ItemId::try_new(other)
            {
                return DatabaseError::KeyCollision { item_id: item.item_id.clone(), other };
            }
        }
        error.into()
    }
}

/// The last change of each id, in the order of their ids' first appearance.
fn newest<'a>(
    changes: impl Iterator<Item = (&'a str, Option<&'a Item>)>,
) -> Vec<(&'a str, Option<&'a Item>)> {
    let mut places = HashMap::new();
    let mut newest = Vec::new();
    for (id, item) in changes {
        match places.insert(id, newest.len()) {
            None => newest.push((id, item)),
            Some(place) => {
                places.insert(id, place);
                newest[place] = (id, item);
            }
        }
    }
    newest
}

fn check_keys(items: &[&Item]) -> Result<(), DatabaseError> {
    let mut seen = HashMap::with_capacity(items.len());
    for item in items {
        if let Some(other) = seen.insert(item.item_id.key(), &item.item_id) {
            return Err(DatabaseError::KeyCollision { item_id: item.item_id.clone(), other: other.clone() });
        }
    }
    Ok(())
}

/// The same 64 bits as a signed number.
fn stored_key(key: ItemKey) -> i64 {
    key.0.cast_signed()
}

async fn delete_items(transaction: &mut Transaction<'_>, ids: &[&str]) -> Result<(), DatabaseError> {
    for group in id_groups(ids) {
        let mut sql = String::from("DELETE FROM items WHERE item_id IN (");
        push_placeholders(&mut sql, 1, group.len());
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in group {
            query = query.bind(id);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn put_items(
    transaction: &mut Transaction<'_>,
    items: &[&Item],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = bulk_sql(
        "INSERT INTO items (item_id, item_key, title, category, brand, price, currency, item, hidden, in_stock,
                            available_from, updated_at)",
        COLUMNS,
        items.len(),
        "ON CONFLICT (item_id) DO UPDATE SET title = excluded.title, category = excluded.category,
             brand = excluded.brand, price = excluded.price, currency = excluded.currency, item = excluded.item,
             hidden = excluded.hidden, in_stock = excluded.in_stock, available_from = excluded.available_from,
             updated_at = excluded.updated_at",
    );
    let mut query = sqlx::query(sql);
    for item in items {
        query = query
            .bind(item.item_id.as_str())
            .bind(stored_key(item.item_id.key()))
            .bind(item.title.as_str())
            .bind(item.category.as_deref())
            .bind(item.brand.as_deref())
            .bind(item.price)
            .bind(item.currency.as_deref())
            .bind(serde_json::to_string(item).map_err(|e| sqlx::Error::Encode(e.into()))?)
            .bind(i16::from(item.hidden))
            .bind(i16::from(item.in_stock))
            .bind(item.available_from.map(Timestamp::as_millis))
            .bind(at.as_millis());
    }
    query.execute(&mut **transaction).await.map(drop)
}

/// From columns `item, price`.
fn read_item(row: &SqliteRow) -> Result<Item, DatabaseError> {
    let json = row.try_get::<&str, _>(0)?;
    let mut item = serde_json::from_str::<Item>(json).map_err(|e| corrupt("items", "an item", e))?;
    // The column has every bit of it, decimal digits may not.
    item.price = row.try_get(1)?;
    Ok(item)
}
