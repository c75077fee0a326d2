//! Table `items`: the catalogue as the projector has applied it.

use std::{borrow::Cow, collections::HashMap};

use sqlx::AssertSqlSafe;
use waggle_model::{CatalogChange, Item, ItemId, ItemKey, Timestamp};

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, Transaction, bulk_sql, corrupt, id_groups, projectors,
    push_placeholders, retried,
    sql::{Row, query},
    to_u64,
};

/// Name of the catalogue's projector in `projector_offsets`.
const PROJECTOR: &str = "catalog";
const COLUMNS: usize = 13;
/// Of a text that is repeated in a column, in bytes: Postgres indexes none that is longer than about 2,700.
const MAX_COLUMN_BYTES: usize = 1_024;

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
            let statement = group.iter().fold(query(AssertSqlSafe(sql)), |statement, id| statement.bind(*id));
            for row in statement.fetch_all(self.read()).await? {
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
        let statement = match category {
            Some(category) => query(
                "SELECT item, price FROM items WHERE category = $1 AND item_id > $2 ORDER BY item_id LIMIT $3",
            )
            .bind(column_text(category)),
            None => query("SELECT item, price FROM items WHERE item_id > $1 ORDER BY item_id LIMIT $2"),
        };
        let rows = statement.bind(after).bind(limit).fetch_all(self.read()).await?;
        rows.iter().map(read_item).collect()
    }

    /// Categories with their number of items, most items first. Items without a category are not counted.
    pub async fn categories(&self) -> Result<Vec<(String, u64)>, DatabaseError> {
        let rows = query(
            "SELECT category, COUNT(*) AS n_items FROM items WHERE category IS NOT NULL
             GROUP BY category ORDER BY n_items DESC, category",
        )
        .fetch_all(self.read())
        .await?;
        rows.iter().map(|row| Ok((row.get(0)?, to_u64("items", row.get(1)?)?))).collect()
    }

    /// The whole catalogue, by ascending id.
    pub async fn all_items(&self) -> Result<Vec<Item>, DatabaseError> {
        let mut items = Vec::new();
        let push = |row| {
            items.push(read_item(&row)?);
            Ok(())
        };
        query("SELECT item, price FROM items ORDER BY item_id").fetch_each(self.read(), push).await?;
        Ok(items)
    }

    pub async fn count_items(&self) -> Result<u64, DatabaseError> {
        to_u64("items", query("SELECT COUNT(*) FROM items").fetch_one(self.read()).await?.get(0)?)
    }

    /// - `changes`: one per id.
    /// - `moves`: partition, expected and next offset of the projector.
    async fn write_catalog(
        &self,
        mut changes: Vec<(&str, Option<&Item>)>,
        at: Timestamp,
        moves: Option<(u32, u64, u64)>,
    ) -> Result<(), DatabaseError> {
        // Two that write the same items take turns at the first instead of waiting for each other.
        changes.sort_unstable_by_key(|(id, _)| *id);
        let puts = changes.iter().filter_map(|(_, item)| *item).collect::<Vec<_>>();
        let deletes =
            changes.iter().filter(|(_, item)| item.is_none()).map(|(id, _)| *id).collect::<Vec<_>>();
        check_keys(&puts)?;
        retried(|| self.try_write_catalog(&puts, &deletes, at, moves)).await
    }

    async fn try_write_catalog(
        &self,
        puts: &[&Item],
        deletes: &[&str],
        at: Timestamp,
        moves: Option<(u32, u64, u64)>,
    ) -> Result<(), DatabaseError> {
        let mut transaction = self.begin().await?;
        if let Some((partition, expected, next)) = moves {
            projectors::advance(&mut transaction, PROJECTOR, partition, expected, next).await?;
        }
        delete_items(&mut transaction, deletes).await?;
        for chunk in puts.chunks(ROWS_PER_STATEMENT) {
            let Err(error) = put_items(&mut transaction, chunk, at).await else { continue };
            transaction.rollback().await.ok();
            return Err(match error {
                DatabaseError::Duplicate(detail) => self.collision(chunk, detail).await,
                other => other,
            });
        }
        transaction.commit().await
    }

    /// Finds which of the items has the key of another.
    async fn collision(&self, items: &[&Item], detail: String) -> DatabaseError {
        for item in items {
            let other = query("SELECT item_id FROM items WHERE item_key = $1 AND item_id <> $2")
                .bind(stored_key(item.item_id.key()))
                .bind(item.item_id.as_str())
                .fetch_optional(self.read())
                .await;
            if let Ok(Some(other)) = other
                && let Ok(other) = other.get::<String>(0)
                && let Ok(other) = ItemId::try_new(other)
            {
                return DatabaseError::KeyCollision { item_id: item.item_id.clone(), other };
            }
        }
        // Two inserted the same item at once, and one of them met the other in the index of keys.
        DatabaseError::Conflict(detail)
    }
}

/// The last change of each id.
fn newest<'a>(
    changes: impl Iterator<Item = (&'a str, Option<&'a Item>)>,
) -> Vec<(&'a str, Option<&'a Item>)> {
    changes.collect::<HashMap<_, _>>().into_iter().collect()
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
        let statement = group.iter().fold(query(AssertSqlSafe(sql)), |statement, id| statement.bind(*id));
        statement.execute(transaction.target()).await?;
    }
    Ok(())
}

async fn put_items(
    transaction: &mut Transaction<'_>,
    items: &[&Item],
    at: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = bulk_sql(
        "INSERT INTO items (item_id, item_key, title, category, brand, price, currency, item, hidden, in_stock,
                            available_from, available_until, updated_at)",
        COLUMNS,
        items.len(),
        "ON CONFLICT (item_id) DO UPDATE SET title = excluded.title, category = excluded.category,
             brand = excluded.brand, price = excluded.price, currency = excluded.currency, item = excluded.item,
             hidden = excluded.hidden, in_stock = excluded.in_stock, available_from = excluded.available_from,
             available_until = excluded.available_until, updated_at = excluded.updated_at",
    );
    let mut statement = query(sql);
    for item in items {
        statement = statement
            .bind(item.item_id.as_str())
            .bind(stored_key(item.item_id.key()))
            .bind(column_text(&item.title))
            .bind(item.category.as_deref().map(column_text))
            .bind(item.brand.as_deref().map(column_text))
            .bind(item.price)
            .bind(item.currency.as_deref().map(column_text))
            .bind(serde_json::to_string(item).map_err(|e| corrupt("items", "an item", e))?)
            .bind(i16::from(item.hidden))
            .bind(i16::from(item.in_stock))
            .bind(item.available_from.map(Timestamp::as_millis))
            .bind(item.available_until.map(Timestamp::as_millis))
            .bind(at.as_millis());
    }
    statement.execute(transaction.target()).await.map(drop)
}

/// What a column repeats of an item's text: its beginning, and U+FFFD for each U+0000. The item itself is kept whole.
fn column_text(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(MAX_COLUMN_BYTES)];
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// From columns `item, price`.
fn read_item(row: &Row) -> Result<Item, DatabaseError> {
    let json = row.get::<&str>(0)?;
    let mut item = serde_json::from_str::<Item>(json).map_err(|e| corrupt("items", "an item", e))?;
    // The column has every bit of it, decimal digits may not.
    item.price = row.get(1)?;
    Ok(item)
}
